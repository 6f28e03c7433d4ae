//! Where people ask to be told, and to be told no more: what the forms of the status page come to.
//!
//! Whoever shows the forms hands over their fields as they came, with the address of who sent them, and gets a value that says
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

use super::address::{HookHost, HookUrl, MailAddress};
use super::call::Caller;
use super::crowd::Crowd;
use super::outbox::{self, Outcome};
use super::scope::Scopes;
use super::table::{self, Noted, Subscriber, Wish};
use super::{Counts, Parts, fence, hook};
use crate::client::asker;
use crate::history::seal::Sealer;
use crate::history::store::StoreError;
use crate::history::story::Subject;
use http::HeaderMap;
use rusqlite::Transaction;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Characters of a token: what [`outbox::fresh`] makes.
const TOKEN_CHARACTERS: usize = 32;

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
    /// A mail with a link is under way. The same is said if one was sent lately or the address is known already:
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

/// The page of the subscription with this token, below where the status page is.
#[must_use]
pub fn path_of(token: &str) -> String {
    format!("/subscription/{token}")
}

/// Where people ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    parts: Arc<Parts>,
    caller: Arc<Caller>,
    /// Who asked to be told how often, or came with a token that is none. Locked for a moment only.
    askers: Arc<Mutex<Crowd>>,
    /// Who had webhooks tested how often: strangers who only ask take nothing of it.
    testers: Arc<Mutex<Crowd>>,
}

impl Desk {
    /// A desk over the same table that messages are sent by.
    #[must_use]
    pub fn new(parts: Arc<Parts>, caller: Arc<Caller>) -> Self {
        Self { parts, caller, askers: Arc::default(), testers: Arc::default() }
    }

    /// What it shares with those who deliver.
    pub(super) fn shared(&self) -> (Arc<Parts>, Arc<Caller>) {
        (Arc::clone(&self.parts), Arc::clone(&self.caller))
    }

    /// Who asks: `peer`, or whom the file's trusted proxies name.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        asker(peer, headers, &self.parts.published.load().topology.forward.trusted_proxies).address
    }

    /// What became of messages, and what waits.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.parts.counts
    }

    /// What forms may be shown.
    #[must_use]
    pub fn offers(&self) -> Offers {
        let snapshot = self.parts.published.load();
        let page = &snapshot.topology.status;
        Offers { mail: page.mail.is_some(), webhooks: page.webhooks.is_some() }
    }

    /// Somebody at `client` wants to be told.
    pub async fn subscribe(&self, form: &Form, client: IpAddr) -> Subscribed {
        match self.try_subscribe(form, client).await {
            Ok(subscribed) => subscribed,
            Err(refusal) => Subscribed::Refused(refusal),
        }
    }

    async fn try_subscribe(&self, form: &Form, client: IpAddr) -> Result<Subscribed, Refusal> {
        let wrong = |field| move |problem| Refusal::Wrong { field, problem };
        let offers = self.offers();
        let (kind, to, key, asked_as) = match &*form.kind {
            "mail" if offers.mail => {
                let address = MailAddress::parse(&form.to).map_err(wrong("to"))?;
                (Kind::Mail, address.as_str().to_owned(), address.key(), address.person())
            }
            "webhook" if offers.webhooks => {
                let url = self.hook(&form.to).map_err(wrong("to"))?;
                (Kind::Webhook, url.uri.to_string(), url.uri.to_string(), String::new())
            }
            "mail" | "webhook" => return Err(Refusal::NotOffered),
            _ => return Err(wrong("kind")("it is either mail or webhook".to_owned())),
        };
        let topology = Arc::clone(&self.parts.published.load_full().topology);
        let scopes = Scopes::parse(&form.scopes, &topology).map_err(wrong("scope"))?;
        self.enter(&self.askers, client)?;
        let secret = (kind == Kind::Webhook).then(hook::fresh_secret);
        let wish = Wish { kind, to, key, asked_as, scopes, token: outbox::fresh(""), secret };
        let (token, secret) = (wish.token.clone(), wish.secret.as_deref().map(hook::shown));
        let noted = self.write(move |tx, sealer, wall| {
            let noted = table::subscribe(tx, sealer, &wish, wall)?;
            match (kind, &noted) {
                (Kind::Mail, Ok(Noted::Pending(id))) => outbox::ask(tx, *id, "confirm", wall)?,
                (Kind::Mail, Ok(Noted::Known(id))) => outbox::ask(tx, *id, "known", wall)?,
                _ => {}
            }
            Ok(noted)
        });
        noted.await??;
        match secret {
            Some(secret) => Ok(Subscribed::Noted { token, secret }),
            None => {
                self.parts.bell(Kind::Mail).notify_one();
                Ok(Subscribed::Mailed)
            }
        }
    }

    /// A URL that a webhook may have. An address in it is looked at now; a name, when it is called.
    fn hook(&self, text: &str) -> Result<HookUrl, String> {
        let url = HookUrl::parse(text)?;
        let snapshot = self.parts.published.load();
        if let (HookHost::Address(address), Some(terms)) = (&url.host, &snapshot.topology.status.webhooks) {
            fence::allowed(&[*address], url.port, &terms.private)?;
        }
        Ok(url)
    }

    /// Shows a subscription; changes nothing.
    ///
    /// # Errors
    /// Why it cannot be shown.
    pub async fn look(&self, token: &str) -> Looked {
        self.with(token, |_, _, subscriber, _| Ok(Ok(subscriber.shown()))).await
    }

    /// Somebody who got the mail says yes. A webhook says yes by [`Desk::test`].
    ///
    /// # Errors
    /// Why it is not confirmed.
    pub async fn confirm(&self, token: &str, client: IpAddr) -> Looked {
        let confirm = |tx: &Transaction<'_>, sealer: &Sealer, subscriber: Subscriber, wall: Duration| {
            if subscriber.kind == Kind::Mail {
                table::confirm(tx, subscriber.id, wall)?;
            }
            let now = table::subscriber(tx, sealer, subscriber.id, wall)?;
            Ok(now.map(|now| now.shown()).ok_or(Refusal::Unknown))
        };
        let confirmed = self.with(token, confirm).await;
        self.admit(confirmed, client)
    }

    /// From now on it is told about these.
    ///
    /// # Errors
    /// Why nothing changes.
    pub async fn change(&self, token: &str, scopes: &[String]) -> Changed {
        let topology = Arc::clone(&self.parts.published.load_full().topology);
        let scopes = Scopes::parse(scopes, &topology);
        let scopes = scopes.map_err(|problem| Refusal::Wrong { field: "scope", problem })?;
        let change = move |tx: &Transaction<'_>, sealer: &Sealer, subscriber: Subscriber, wall: Duration| {
            if !table::change(tx, sealer, &subscriber, &subscriber.to, &scopes)? {
                return Ok(Err(Refusal::Known));
            }
            let now = table::subscriber(tx, sealer, subscriber.id, wall)?;
            Ok(now.map(|now| now.shown()).ok_or(Refusal::Unknown))
        };
        self.with(token, change).await
    }

    /// It is told no more, and forgotten.
    ///
    /// # Errors
    /// If that cannot be noted now. That there is no such subscription is no error.
    pub async fn unsubscribe(&self, token: &str) -> Ended {
        let remove = |tx: &Transaction<'_>, _: &Sealer, subscriber: Subscriber, _| {
            table::remove(tx, subscriber.id)?;
            Ok(Ok(()))
        };
        match self.with(token, remove).await {
            Err(Refusal::Unknown) => Ok(()),
            ended => ended,
        }
    }

    /// Sends a webhook a test, signed like everything else. If it is answered with any 2xx the webhook is in force from then
    /// on. Takes up to five seconds.
    pub async fn test(&self, token: &str, client: IpAddr) -> Tested {
        match self.try_test(token, client).await {
            Ok(tested) => tested,
            Err(refusal) => Tested::Refused(refusal),
        }
    }

    async fn try_test(&self, token: &str, client: IpAddr) -> Result<Tested, Refusal> {
        let topology = Arc::clone(&self.parts.published.load_full().topology);
        let terms = topology.status.webhooks.as_ref().ok_or(Refusal::NotOffered)?;
        let find = |_: &Transaction<'_>, _: &Sealer, subscriber: Subscriber, _| Ok(Ok(subscriber));
        let found = self.with(token, find).await;
        let subscriber = self.admit(found, client)?;
        if subscriber.kind != Kind::Webhook {
            return Err(Refusal::NotOffered);
        }
        self.enter(&self.testers, client)?;
        let url = HookUrl::parse(&subscriber.to).map_err(|problem| Refusal::Wrong { field: "to", problem })?;
        let body = hook::test(&topology.status, self.parts.clock.wall()).to_string().into_bytes();
        let outcome = self.caller.call(&url, &outbox::fresh("test_"), body, &subscriber.secrets, terms).await;
        match outcome {
            Outcome::Delivered => {}
            Outcome::Unreachable(why) | Outcome::Failed { why, .. } => return Ok(Tested::Failed { why }),
        }
        let confirm = |tx: &Transaction<'_>, sealer: &Sealer, subscriber: Subscriber, wall: Duration| {
            table::confirm(tx, subscriber.id, wall)?;
            let now = table::subscriber(tx, sealer, subscriber.id, wall)?;
            Ok(now.map(|now| now.shown()).ok_or(Refusal::Unknown))
        };
        self.with(token, confirm).await.map(Tested::Passed)
    }

    /// Gives a webhook a new secret.
    ///
    /// # Errors
    /// Why it keeps the one it has.
    pub async fn rotate(&self, token: &str) -> Rotated {
        let secret = hook::fresh_secret();
        let shown = hook::shown(&secret);
        let rotate = move |tx: &Transaction<'_>, sealer: &Sealer, subscriber: Subscriber, wall| {
            if subscriber.kind != Kind::Webhook {
                return Ok(Err(Refusal::NotOffered));
            }
            table::rotate(tx, sealer, &subscriber, &secret, wall)?;
            Ok(Ok(()))
        };
        self.with(token, rotate).await.map(|()| shown)
    }

    /// Everybody, for operators: their rows and what their own pages show.
    ///
    /// # Errors
    /// If the history's file cannot be read.
    pub async fn everybody(&self) -> Result<Vec<(i64, Subscription)>, Refusal> {
        let list = |tx: &Transaction<'_>, sealer: &Sealer, wall: Duration| table::everybody(tx, sealer, wall);
        self.write(list).await
    }

    /// Ends the subscription in this row, as an operator; whether there was one.
    ///
    /// # Errors
    /// If that cannot be noted now.
    pub async fn remove(&self, row: i64) -> Result<bool, Refusal> {
        self.write(move |tx, _, _| table::remove(tx, row)).await
    }

    /// Whoever has the token of a subscription is no stranger: only who has none is counted.
    fn admit<T>(&self, found: Result<T, Refusal>, client: IpAddr) -> Result<T, Refusal> {
        if matches!(found, Err(Refusal::Unknown)) {
            self.enter(&self.askers, client)?;
        }
        found
    }

    fn enter(&self, crowd: &Mutex<Crowd>, client: IpAddr) -> Result<(), Refusal> {
        let mut crowd = crowd.lock().unwrap_or_else(PoisonError::into_inner);
        crowd.enter(client, self.parts.clock.now()).map_err(|retry_after| Refusal::TooOften { retry_after })
    }

    /// Does something with the subscription that has this token.
    async fn with<T: Send + 'static>(
        &self,
        token: &str,
        job: impl FnOnce(&Transaction<'_>, &Sealer, Subscriber, Duration) -> rusqlite::Result<Result<T, Refusal>>
        + Send
        + 'static,
    ) -> Result<T, Refusal> {
        if token.len() != TOKEN_CHARACTERS {
            return Err(Refusal::Unknown);
        }
        let token = token.to_owned();
        let found = self.write(move |tx, sealer, wall| match table::by_token(tx, sealer, &token, wall)? {
            Some(subscriber) => job(tx, sealer, subscriber, wall),
            None => Ok(Err(Refusal::Unknown)),
        });
        found.await?
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>, &Sealer, Duration) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let unavailable = |error: StoreError| {
            tracing::debug!(%error, "subscriptions cannot be reached");
            Refusal::Unavailable
        };
        let (sealer, wall) = (self.parts.sealer().map_err(unavailable)?, self.parts.clock.wall());
        self.parts.store.run(move |tx| job(tx, &sealer, wall)).await.map_err(unavailable)
    }
}
