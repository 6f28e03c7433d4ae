//! Where people ask to be told, and to be told no more: what the forms of the status page come to.
//!
//! Whoever shows the forms hands over their fields as they came, with the network of who sent them, and gets a value that says
//! what to show. Nothing here is HTML, and nothing of what comes back needs anything but escaping.
//!
//! | Form | Where | Asks | Gets |
//! | --- | --- | --- | --- |
//! | to subscribe | `POST /subscribe` | `Desk::subscribe` | [`Subscribed`] |
//! | a subscription's own page | `GET /subscription/TOKEN` | `Desk::look` | [`Looked`] |
//! | the button "yes, it is me" there | `POST /subscription/TOKEN/confirm` | `Desk::confirm` | [`Looked`] |
//! | what to be told about | `POST /subscription/TOKEN/scopes` | `Desk::change` | [`Changed`] |
//! | the button "no more" | `POST /subscription/TOKEN/unsubscribe` | `Desk::unsubscribe` | [`Ended`] |
//! | a webhook's button "test" | `POST /subscription/TOKEN/test` | `Desk::test` | [`Tested`] |
//! | a webhook's button "new secret" | `POST /subscription/TOKEN/rotate` | `Desk::rotate` | [`Rotated`] |
//!
//! A GET never changes anything, because mail scanners follow links: `GET /subscription/TOKEN/confirm` and
//! `…/unsubscribe` show the subscription's own page with the button in front. The POST to `…/unsubscribe` is also what mail
//! programs send by themselves (RFC 8058), with `List-Unsubscribe=One-Click` as its body: any body will do, and the answer
//! is a success also if the subscription is no more.
//!
//! Whoever has the token of a subscription may do everything with it and with nothing else: it is in mails and shown once when
//! a webhook is made. Pages with one should say `Referrer-Policy: no-referrer` and `Cache-Control: no-store`.

use crate::history::story::Subject;
use std::time::Duration;

/// What a form says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// `mail` or `webhook`.
    pub kind: String,
    /// The address or the URL.
    pub to: String,
    /// What about: `region:NAME`, `hostname:NAME`, or `everything`. Nothing at all is everything too.
    pub scopes: Vec<String>,
}

impl Form {
    /// The form out of its fields `kind`, `to` and any number of `scope`; others are not looked at.
    pub fn of<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut form = Self::default();
        for (name, value) in fields {
            match name {
                "kind" => value.clone_into(&mut form.kind),
                "to" => value.trim().clone_into(&mut form.to),
                "scope" => form.scopes.push(value.to_owned()),
                _ => {}
            }
        }
        form
    }
}

/// By which way somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// By mail.
    Mail,
    /// By a request to a URL.
    Webhook,
}

impl Kind {
    /// As forms, tables and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

/// What is offered at all, as the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Mails.
    pub mail: bool,
    /// Webhooks.
    pub webhooks: bool,
}

/// What came of asking to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// A mail with a link is under way. The same is said if one was sent within the hour or the address is known already:
    /// nobody learns here who subscribes.
    Mailed,
    /// The webhook is noted and proves itself next, by `Desk::test`. This is the only time that its secret is shown.
    Noted {
        /// By which it is managed.
        token: String,
        /// With which its messages are signed (`whsec_…`).
        secret: String,
    },
    /// It cannot be.
    Refused(Refusal),
}

/// Why something asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something in the form is not right.
    #[error("{field}: {problem}")]
    Wrong {
        /// Which field: `kind`, `to` or `scope`.
        field: &'static str,
        /// Why, for people.
        problem: String,
    },
    /// The file does not let this be offered.
    #[error("this is not offered here")]
    NotOffered,
    /// The same URL is told the same already.
    #[error("this address is told of this already")]
    Known,
    /// This network asked too often; or this subscription was tested too often.
    #[error("too often: try again later")]
    TooOften {
        /// After how long it may be tried again.
        retry_after: Duration,
    },
    /// There are as many subscriptions as there may be.
    #[error("no more subscriptions are taken at the moment")]
    Full,
    /// No subscription has this token (any more).
    #[error("there is no such subscription")]
    Unknown,
    /// The history's file cannot be used: nothing can be noted now.
    #[error("this cannot be noted at the moment: try again later")]
    Unavailable,
}

/// What a subscription is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// By which way.
    pub kind: Kind,
    /// The address or URL, in part: enough to recognise it.
    pub to: String,
    /// What about; empty is everything.
    pub scopes: Vec<Subject>,
    /// Whether it is in force: otherwise it waits to be confirmed (mail) or tested (webhook).
    pub is_confirmed: bool,
    /// Since when it is there, since the Unix epoch.
    pub created_at: Duration,
    /// Until when the secret before this one signs beside it, since the Unix epoch.
    pub old_secret_until: Option<Duration>,
    /// Why nothing is sent: the webhook failed for days. A test that passes mends it.
    pub stopped: Option<String>,
}

/// A look at a subscription.
pub type Looked = Result<Subscription, Refusal>;

/// What came of changing what to be told about.
pub type Changed = Result<Subscription, Refusal>;

/// What came of ending a subscription. There having been none is no mistake here: it is over.
pub type Ended = Result<(), Refusal>;

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tested {
    /// It answered as it should, and is in force.
    Passed(Subscription),
    /// It did not.
    Failed {
        /// What it did instead, for people.
        why: String,
    },
    /// It was not asked.
    Refused(Refusal),
}

/// What came of asking for a new secret: it (`whsec_…`), shown this one time. The old one signs beside it for a day.
pub type Rotated = Result<String, Refusal>;
