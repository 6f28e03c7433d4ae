//! The status page and who is told, as proven by [`check`](super::check).

pub mod words;

use super::{Host, Topology};
use crate::names::Hostname;
use ipnet::IpNet;
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The public status page, and who is told of incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// A hostname of its own, by HTTPS where nodes listen for it. No route has it.
    pub hostname: Option<Hostname>,
    /// Where links point to: `http:` or `https:`, without a `/` at its end. There is one if mails are sent.
    pub url: Option<Arc<str>>,
    /// What the page is called: one line of visible characters.
    pub title: Arc<str>,
    /// How webhooks are called; `None`: there are none.
    pub webhooks: Option<Arc<Webhooks>>,
    /// How mails are sent; `None`: not at all.
    pub mail: Option<Arc<Mail>>,
}

/// How webhooks are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhooks {
    /// Private networks in which they may be.
    pub private: Vec<IpNet>,
    /// Certificate authorities believed besides the public ones.
    pub trust: Vec<CertificateDer<'static>>,
}

/// How mails are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The server.
    pub host: Host,
    /// At which port.
    pub port: u16,
    /// How much of it nobody else may read.
    pub security: Security,
    /// As whom to sign in.
    pub login: Option<Login>,
    /// Whom mails come from.
    pub from: Arc<str>,
    /// Certificate authorities believed besides the public ones.
    pub trust: Vec<CertificateDer<'static>>,
}

/// Who we are to the mail server. It shows its password to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Whom.
    pub user: Arc<str>,
    /// By which proof.
    pub password: Arc<Zeroizing<String>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?})", self.user)
    }
}

/// How much of the way to the mail server nobody else may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// TLS after asking for it (RFC 3207); without it nothing is sent.
    #[default]
    StartTls,
    /// TLS from the first octet (RFC 8314 §3).
    Tls,
    /// None: the server is this machine.
    None,
}

impl Security {
    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}

impl Status {
    /// What the page of a fleet is called that does not say it.
    #[must_use]
    pub fn title_of(fleet: &str) -> Arc<str> {
        format!("{fleet} status").into()
    }
}

impl Mail {
    /// The server with its port, as the file writes it.
    #[must_use]
    pub fn authority(&self) -> String {
        match &self.host {
            Host::Name(name) => format!("{name}:{}", self.port),
            Host::Address(address) => std::net::SocketAddr::new(*address, self.port).to_string(),
        }
    }
}

impl Topology {
    /// The hostnames that nodes serve themselves: of the NAT addresses and of the status page.
    pub fn own_hostnames(&self) -> impl Iterator<Item = &Hostname> {
        self.nat_hostname.iter().chain(&self.status.hostname)
    }
}
