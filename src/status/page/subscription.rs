//! What comes of the forms: a subscription's own page with its buttons, and what is said after each.
//!
//! These pages are for one reader: nobody keeps them, and no address is told where the reader came from.

use super::incident::subject_words;
use super::marks::mark;
use super::subscribe::scopes;
use super::words::{breakable, time};
use super::{Links, Manner, Setting, Sheet, framed};
use crate::history::story::{Level, Report};
use crate::subscriptions::desk::{Kind, Refusal, Subscription};
use maud::{Markup, html};

/// A token as it stands in a path: whatever it consists of, it leads nowhere else.
fn encoded(token: &str) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'~');
    let one = |octet| if is_plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") };
    token.bytes().map(one).collect()
}

/// Which button a subscription's page shows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// None of them more than the others.
    Nothing,
    /// "Yes, it is me".
    Confirm,
    /// "No more".
    Unsubscribe,
}

/// One page of these.
struct Say<'a> {
    /// Where it is, as far as links need it.
    path: &'a str,
    /// How it went.
    level: Level,
    title: &'a str,
    text: Markup,
    rest: Markup,
}

fn page(setting: &Setting, say: &Say<'_>) -> String {
    let content = html! {
        section class={"hero " (say.level.as_str())} {
            div class="inner" { (mark(say.level)) div { h1 { (say.title) } p { (say.text) } } }
        }
        div class="inner" { (say.rest) }
    };
    let sheet = Sheet { path: say.path, title: say.title, description: say.title, level: None, made: None, content };
    framed(setting, &sheet)
}

fn home(path: &str) -> Markup {
    html! { a href=(Links::at(path, Manner::Live).page("")) { "How everything is now" } }
}

/// A mail is under way.
#[must_use]
pub fn mailed(setting: &Setting) -> String {
    let path = "subscribe";
    let text = html! { "Follow the link in it, and you will be told. It is valid for a day; if nothing comes, look among what your mail program took for spam." };
    page(
        setting,
        &Say {
            path,
            level: Level::Operational,
            title: "A mail is on its way",
            text,
            rest: html! { section { (home(path)) } },
        },
    )
}

/// A webhook is noted: its secret, this one time.
#[must_use]
pub fn noted(setting: &Setting, token: &str, secret: &str) -> String {
    let path = "subscribe";
    let text = html! { "Keep both now: the secret is never shown again. Nothing is sent before a test has passed." };
    let rest = html! {
        section class="card" {
            h2 { "Its secret" }
            p class="quiet" { "Messages are signed with it by the Standard Webhooks scheme." }
            code class="secret" { (secret) }
            h2 { "Its page" }
            p class="quiet" { "Whoever has this link may test, change and end it." }
            p { a href={"subscription/" (encoded(token))} { (setting.url) "/subscription/" (token) } }
            form method="post" action={"subscription/" (encoded(token)) "/test"} { button { "Send a test now" } }
        }
    };
    page(setting, &Say { path, level: Level::Operational, title: "Your webhook is noted", text, rest })
}

/// A subscription's own page. `note` is what has just come of a button.
#[must_use]
pub fn own(
    setting: &Setting,
    report: &Report,
    (path, token): (&str, &str),
    subscription: &Subscription,
    (front, note): (Front, Option<(Level, &str)>),
) -> String {
    let links = Links::at(path, Manner::Live);
    let to = |what: &str| links.file(&format!("subscription/{}/{what}", encoded(token)));
    let (level, title) = match (subscription.is_confirmed, &subscription.stopped) {
        (_, Some(_)) => (Level::Degraded, "This subscription is stopped"),
        (false, None) if subscription.kind == Kind::Mail => (Level::Unknown, "Is it you?"),
        (false, None) => (Level::Unknown, "This webhook waits for its test"),
        (true, None) => (Level::Operational, "You will be told"),
    };
    let text = html! {
        @match subscription.kind { Kind::Mail => "By mail to ", Kind::Webhook => "By webhook to " }
        b { bdi { (breakable(&subscription.to)) } }
        @if subscription.scopes.is_empty() { " of everything" } @else {
            " of "
            @for (at, subject) in subscription.scopes.iter().enumerate() { @if at > 0 { ", " } bdi { (subject_words(subject)) } }
        }
        ", since " (time(subscription.created_at)) "."
    };
    let confirm = html! { form method="post" action=(to("confirm")) { button { "Yes, tell me" } } };
    let test = html! { form method="post" action=(to("test")) { button { "Send a test" } } };
    let end = html! { form method="post" action=(to("unsubscribe")) { button class=[(front != Front::Unsubscribe).then_some("second")] { "Unsubscribe" } } };
    let is_waiting_mail = subscription.kind == Kind::Mail && !subscription.is_confirmed;
    let rest = html! {
        @if let Some((level, note)) = note { p class={"notice " (level.as_str())} role="status" { (mark(level)) span { bdi { (note) } } } }
        @if let Some(why) = &subscription.stopped { p class="notice degraded" { (mark(Level::Degraded)) span { "Nothing is sent: " bdi { (why) } ". A test that passes mends it." } } }
        section class="card" {
            div class="buttons" {
                @if front == Front::Unsubscribe { (end) }
                @if is_waiting_mail { (confirm) }
                @if subscription.kind == Kind::Webhook { (test) }
                @if front != Front::Unsubscribe { (end) }
            }
        }
        @if !is_waiting_mail && front != Front::Unsubscribe {
            section class="card" {
                h2 { "What about" }
                form method="post" action=(to("scopes")) { (scopes(report, &subscription.scopes)) button { "Change" } }
            }
        }
        @if subscription.kind == Kind::Webhook && front != Front::Unsubscribe {
            section class="card" {
                h2 { "Its secret" }
                p class="quiet" {
                    "A new one is shown once; the old one signs beside it for a day."
                    @if let Some(until) = subscription.old_secret_until { " The one before this signs until " (time(until)) "." }
                }
                form method="post" action=(to("rotate")) { button class="second" { "Make a new secret" } }
            }
        }
    };
    page(setting, &Say { path, level, title, text, rest })
}

/// It is over.
#[must_use]
pub fn ended(setting: &Setting, path: &str) -> String {
    let links = Links::at(path, Manner::Live);
    let text = html! { "You will not be told any more, and we have forgotten you. " a href=(links.page("subscribe")) { "Subscribe again" } };
    page(
        setting,
        &Say { path, level: Level::Operational, title: "Unsubscribed", text, rest: html! { section { (home(path)) } } },
    )
}

/// A new secret, this one time.
#[must_use]
pub fn rotated(setting: &Setting, (path, token): (&str, &str), secret: &str) -> String {
    let links = Links::at(path, Manner::Live);
    let text = html! { "It is never shown again. The old one signs beside it for a day." };
    let rest = html! {
        section class="card" {
            h2 { "The new secret" }
            code class="secret" { (secret) }
            p { a href=(links.page(&format!("subscription/{}", encoded(token)))) { "Back to this subscription" } }
        }
    };
    page(setting, &Say { path, level: Level::Operational, title: "A new secret", text, rest })
}

/// It cannot be, and why.
#[must_use]
pub fn refused(setting: &Setting, path: &str, refusal: &Refusal) -> String {
    let why = match refusal {
        Refusal::Wrong { problem, .. } => problem.clone(),
        other => other.to_string(),
    };
    let links = Links::at(path, Manner::Live);
    let (level, title) = match refusal {
        Refusal::Wrong { .. } => (Level::Degraded, "That is not right yet"),
        Refusal::Unknown => (Level::Unknown, "There is no such subscription"),
        Refusal::Known => (Level::Operational, "That is so already"),
        _ => (Level::Degraded, "That is not possible now"),
    };
    let text = html! { bdi { (why) } ". " a href=(links.page("subscribe")) { "Back to the forms" } };
    page(setting, &Say { path, level, title, text, rest: html! {} })
}
