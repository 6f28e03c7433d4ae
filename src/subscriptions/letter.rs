//! Mails, from what they say to their octets: one recipient each, plain text with HTML beside it, and in their heads what lets
//! mail programs thread them, unsubscribe by one click (RFC 8058) and send no automatic answers (RFC 3834).
//!
//! Heads are made by the library's types only, of values without line ends, so that nothing written by anybody becomes a
//! header of its own.

use super::address::MailAddress;
use super::news::News;
use super::outbox::{Content, Message};
use crate::history::story::Subject;
use crate::moment::rfc3339;
use crate::topology::status::{Mail, Status};
use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use maud::{Markup, html};
use std::time::{Duration, UNIX_EPOCH};

/// Longest subject, characters.
const SUBJECT_MAX: usize = 150;

/// A mail, ready to go.
#[derive(Debug)]
pub struct Letter {
    /// From whom to whom.
    pub envelope: Envelope,
    /// Head and body.
    pub octets: Vec<u8>,
}

/// What a mail says.
#[derive(Debug)]
struct Words {
    subject: String,
    text: String,
    html: Markup,
}

/// Writes `message` on behalf of the page.
///
/// # Errors
/// Why there can be none: an address that is none.
pub fn write(message: &Message, page: &Status, mail: &Mail) -> Result<Letter, String> {
    let url = page.url.as_deref().unwrap_or_default();
    let own = super::desk::path_of(&message.to.token);
    let own = format!("{url}{own}");
    let words = match &message.content {
        Content::News(news) => told(news, page, url, &own),
        Content::Confirm => asked(page, url, &own, message),
        Content::Known => known(page, url, &own),
    };
    let to = MailAddress::parse(&message.to.to)?;
    let address = |text: &str| text.parse::<Address>().map_err(|error| error.to_string());
    let (to, from) = (address(to.as_str())?, address(&mail.from)?);
    let domain = from.domain().to_owned();
    let id = |id: &str| format!("<{}@{domain}>", one_line(id));
    let mut builder = lettre::Message::builder()
        .from(Mailbox::new(Some(one_line(&page.title)), from.clone()))
        .to(Mailbox::new(None, to.clone()))
        .subject(shortened(&one_line(&words.subject), SUBJECT_MAX))
        .date(UNIX_EPOCH + message.created)
        .message_id(Some(id(&message.id)));
    if let Some(first) = &message.thread {
        builder = builder.in_reply_to(id(first)).references(id(first));
    }
    let unsubscribe = format!("<{own}/unsubscribe>");
    for (name, value) in [
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("List-Unsubscribe", &*unsubscribe),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ] {
        let name = HeaderName::new_from_ascii(name.to_owned()).expect("a good name");
        builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    let parts = MultiPart::alternative_plain_html(words.text, words.html.into_string());
    let octets = builder.multipart(parts).map_err(|error| error.to_string())?.formatted();
    let envelope = Envelope::new(Some(from), vec![to]).map_err(|error| error.to_string())?;
    Ok(Letter { envelope, octets })
}

/// `text` without anything that could end a line or draw what is not there.
#[must_use]
pub fn one_line(text: &str) -> String {
    let is_bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let clean: String = text.chars().map(|c| if is_bad(c) { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` with its lines, and without any other control.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(one_line).collect()
}

fn shortened(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    text.chars().take(characters_max - 1).chain(['…']).collect()
}

/// A time as people read it: to the minute, UTC.
fn time(at: Duration) -> String {
    format!("{} UTC", rfc3339(at)[..16].replace('T', " "))
}

fn about(subjects: &[Subject]) -> String {
    match subjects {
        [] => "everything".to_owned(),
        some => some.iter().map(|subject| one_line(subject.name())).collect::<Vec<_>>().join(", "),
    }
}

/// One update, as a mail has it: heading, facts, text, link.
struct Told {
    heading: String,
    facts: Vec<(&'static str, String)>,
    text: Vec<String>,
    link: String,
}

impl Told {
    fn of(news: &News, url: &str) -> Self {
        let (incident, update) = (&news.incident, news.update());
        let mut facts = vec![("Status", update.phase.words().to_owned()), ("Affects", about(&incident.subjects))];
        if let Some((from, until)) = incident.window {
            facts.push(("Planned", format!("{} to {}", time(from), time(until))));
        } else {
            facts.push(("Impact", incident.impact.as_str().to_owned()));
            facts.push(("Since", time(incident.opened_at)));
        }
        facts.push(("As of", time(update.at)));
        Self {
            heading: one_line(&incident.title),
            facts,
            text: lines(&update.text),
            link: format!("{url}/incident/{}", one_line(&incident.id)),
        }
    }

    fn plain(&self) -> String {
        let facts = self.facts.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
        let text = self.text.join("\n");
        format!("{}\n\n{facts}\n{text}\n\n{}\n", self.heading, self.link)
    }

    fn html(&self) -> Markup {
        html! {
            h1 style="font-size:1.25rem;margin:0 0 .75rem" { (self.heading) }
            table style="border-spacing:0;margin:0 0 .75rem" {
                @for (name, value) in &self.facts {
                    tr { td style="padding:0 1rem 0 0;color:#57606a" { (name) } td { (value) } }
                }
            }
            @for line in &self.text { p style="margin:0 0 .5rem" { (line) } }
            p { a href=(self.link) { "See it on the status page" } }
        }
    }
}

fn told(news: &[News], page: &Status, url: &str, own: &str) -> Words {
    let all: Vec<Told> = news.iter().map(|news| Told::of(news, url)).collect();
    let subject = match news {
        [one] => format!("[{}] {}: {}", page.title, one.update().phase.words(), one.incident.title),
        many => format!("[{}] {} updates", page.title, many.len()),
    };
    let foot = "You get this because you asked for it. To get other messages or none:";
    let apart = "\n----------------------------------------\n\n";
    let plain = all.iter().map(Told::plain).collect::<Vec<_>>().join(apart);
    let body = html! {
        @for (at, told) in all.iter().enumerate() {
            @if at > 0 { hr; }
            (told.html())
        }
    };
    Words {
        subject,
        text: format!("{plain}\n-- \n{}\n{foot}\n{own}\n", page.title),
        html: whole(&page.title, &body, &html! { (foot) " " a href=(own) { "your subscription" } "." }),
    }
}

fn asked(page: &Status, url: &str, own: &str, message: &Message) -> Words {
    let about = about(message.to.scopes.subjects());
    let who = format!(
        "Somebody, most likely you, asked {} ({url}) to send messages to this address about {about}.",
        page.title
    );
    let do_it = "If that is what you want, follow this link and press the button there within 24 hours:";
    let leave = "If not, do nothing: no messages are sent without your yes. At most this question comes again, and ever more \
                 rarely, if somebody asks for it again.";
    let link = format!("{own}/confirm");
    Words {
        subject: format!("[{}] Please confirm your subscription", page.title),
        text: format!("{who}\n\n{do_it}\n\n{link}\n\n{leave}\n"),
        html: whole(
            &page.title,
            &html! { p { (who) } p { (do_it) } p { a href=(link) { "Confirm the subscription" } } p { (leave) } },
            &html! { (page.title) },
        ),
    }
}

fn known(page: &Status, url: &str, own: &str) -> Words {
    let who = format!("Somebody, most likely you, asked {} ({url}) to send messages to this address.", page.title);
    let so = "It gets them already. What it gets can be changed, or ended, here:";
    Words {
        subject: format!("[{}] You are subscribed already", page.title),
        text: format!("{who}\n\n{so}\n\n{own}\n"),
        html: whole(
            &page.title,
            &html! { p { (who) } p { (so) } p { a href=(own) { "Your subscription" } } },
            &html! { (page.title) },
        ),
    }
}

fn whole(title: &str, body: &Markup, foot: &Markup) -> Markup {
    html! {
        (maud::DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { (title) } }
            body style="font-family:system-ui,sans-serif;line-height:1.5;max-width:40rem;margin:1rem" {
                (body)
                p style="color:#57606a;font-size:.875rem;margin-top:2rem" { (foot) }
            }
        }
    }
}
