//! Mails to the operator's server: on connections that are kept while there is something to send.

use super::letter::Letter;
use super::outbox::Outcome;
use crate::limits::MAIL_ANSWER_MAX;
use crate::moment::{Clock, Moment};
use crate::topology::Host;
use crate::topology::status::{Mail, Security};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A connection without a mail is ended after this: servers wait minutes, and some count connections.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// One mail, from the connection to the answer, takes no longer, whatever the server does in between.
const MAIL_MAX: Duration = Duration::from_secs(60);
/// What it takes to say farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// The way to the mail server.
#[derive(Debug)]
pub struct Post {
    clock: Clock,
    /// What the connections are for, and those that wait. Locked for a moment only: workers take and give back.
    idle: Mutex<(Option<Arc<Mail>>, Vec<Idle>)>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Moment,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Idle({:?})", self.since)
    }
}

impl Post {
    /// Without any connection yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, idle: Mutex::default() }
    }

    /// Sends one mail.
    pub async fn send(&self, letter: &Letter, mail: &Arc<Mail>) -> Outcome {
        match tokio::time::timeout(MAIL_MAX, self.try_send(letter, mail)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unreachable(format!("the mail server did not answer within {MAIL_MAX:?}")),
        }
    }

    async fn try_send(&self, letter: &Letter, mail: &Arc<Mail>) -> Outcome {
        let connection = match self.kept(mail) {
            Some(mut kept) => {
                // It may have been ended meanwhile, and then nothing was said about this mail.
                if kept.test_connected().await { Ok(kept) } else { connect(mail).await }
            }
            None => connect(mail).await,
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(why) => return Outcome::Unreachable(why),
        };
        let sent = connection.send(&letter.envelope, &letter.octets).await;
        if !connection.has_broken() {
            self.keep(mail, connection);
        }
        match sent {
            Ok(response) if response.is_positive() => Outcome::Delivered,
            Ok(response) => failed(format!("the mail server said {}", response.code()), false),
            // 5yz: it will not be taken, however often (RFC 5321 §4.2.1).
            Err(error) => failed(told(&error), error.is_permanent()),
        }
    }

    fn kept(&self, mail: &Arc<Mail>) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.0.as_ref() != Some(mail) {
            *idle = (Some(Arc::clone(mail)), Vec::new());
        }
        idle.1.pop().map(|idle| idle.connection)
    }

    fn keep(&self, mail: &Arc<Mail>, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.0.as_ref() == Some(mail) {
            idle.1.push(Idle { connection, since: self.clock.now() });
        }
    }

    /// Ends connections that waited too long; all of them if `is_last`.
    pub async fn tidy(&self, is_last: bool) {
        let now = self.clock.now();
        let old: Vec<Idle> = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let (old, young) = idle.1.drain(..).partition(|idle| is_last || now.since(idle.since) >= IDLE_MAX);
            idle.1 = young;
            old
        };
        for mut idle in old {
            let _ = tokio::time::timeout(FAREWELL, idle.connection.quit()).await;
        }
    }
}

fn failed(why: String, is_final: bool) -> Outcome {
    Outcome::Failed { why, is_final, is_gone: false }
}

/// An error in one line, with what is behind it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    super::letter::one_line(&text)
}

/// A connection that may be used: secured and signed in as the file says.
async fn connect(mail: &Mail) -> Result<AsyncSmtpConnection, String> {
    let host = match &mail.host {
        Host::Name(name) => name.to_string(),
        Host::Address(address) => address.to_string(),
    };
    let why = |error: lettre::transport::smtp::Error| told(&error);
    let domain = mail.from.rsplit('@').next().unwrap_or("localhost");
    let hello = ClientId::Domain(domain.to_owned());
    let secured = match mail.security {
        Security::None => None,
        Security::Tls | Security::StartTls => Some(tls(&host, mail).map_err(why)?),
    };
    let (first, later) = match mail.security {
        Security::Tls => (secured, None),
        Security::StartTls => (None, secured),
        Security::None => (None, None),
    };
    let server = (host.as_str(), mail.port);
    let connected = AsyncSmtpConnection::connect_tokio1(server, Some(MAIL_ANSWER_MAX), &hello, first, None);
    let connected = tokio::time::timeout(MAIL_ANSWER_MAX, connected).await;
    let mut connection = connected.map_err(|_| "the mail server does not answer".to_owned())?.map_err(why)?;
    if let Some(tls) = later {
        // It is an error if the server does not offer it: nothing is sent in the clear that was to be secured.
        connection.starttls(tls, &hello).await.map_err(why)?;
    }
    if let Some(login) = &mail.login {
        let credentials = Credentials::new(login.user.to_string(), login.password.to_string());
        connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(why)?;
    }
    Ok(connection)
}

fn tls(host: &str, mail: &Mail) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    for authority in &mail.trust {
        builder = builder.add_root_certificate(Certificate::from_der(authority.to_vec())?);
    }
    builder.build_rustls()
}
