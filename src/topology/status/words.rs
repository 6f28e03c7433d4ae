//! The values of `[status]` that are written as text.

use super::Security;
use crate::limits::MAIL_ADDRESS_BYTES_MAX;
use crate::names::Hostname;
use crate::topology::Host;
use crate::topology::read::{Word, Wrong};
use crate::topology::words::words;
use crate::topology::zone::words::Mailbox;
use serde_json::{Value as Json, json};

words!("\"starttls\", \"tls\" or \"none\"": Security {
    "starttls" => Self::StartTls,
    "tls" => Self::Tls,
    "none" => Self::None,
});

/// Where the status page is: `http:` or `https:`, a host, perhaps a port and a path. Kept without a `/` at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageUrl(pub String);

impl Word for PageUrl {
    const WHAT: &'static str = "a URL in quotes, such as \"https://status.example.com\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write where the page is, such as \"https://status.example.com\"";
        let Ok(uri) = text.parse::<http::Uri>() else { return Err(Wrong::new("is no URL", help)) };
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Wrong::new("does not begin with https:// or http://", help));
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => {
                return Err(Wrong::new("has user information", "remove everything up to the @"));
            }
            Some(authority) if !authority.host().is_empty() => {}
            _ => return Err(Wrong::new("has no host", help)),
        }
        if text.contains(['?', '#']) {
            return Err(Wrong::new("has a query or a fragment", "end it before the ? or #: paths are put after it"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^https?://[^?#@]+$", "examples": ["https://status.example.com"] })
    }
}

/// A mail server: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The name or the address.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Word for Server {
    const WHAT: &'static str = "a server with its port in quotes, such as \"smtp.example.com:587\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write a name or an address, and a port: \"smtp.example.com:587\" or \"[2001:db8::25]:465\"";
        if text.contains("//") {
            return Err(Wrong::new("has a scheme", format!("{help}; security says how it is spoken to")));
        }
        let Some((host, port)) = text.rsplit_once(':') else { return Err(Wrong::new("has no port", help)) };
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 && port.to_string() == *text.rsplit(':').next().unwrap_or_default() => port,
            _ => return Err(Wrong::new("has no port from 1 to 65535", help)),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match (bare, host.parse()) {
            (Some(bare), _) => match bare.parse::<std::net::Ipv6Addr>() {
                Ok(address) => Host::Address(address.into()),
                Err(_) => return Err(Wrong::new("has no IPv6 address in its brackets", help)),
            },
            (None, Ok(std::net::IpAddr::V4(address))) => Host::Address(address.into()),
            (None, Ok(_)) => return Err(Wrong::new("has an IPv6 address without brackets", help)),
            (None, Err(_)) => match Hostname::parse(host) {
                Ok(name) => Host::Name(name),
                Err(error) => return Err(Wrong::new(format!("has a host that {error}"), help)),
            },
        };
        Ok(Self { host, port })
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^.+:[0-9]+$", "examples": ["smtp.example.com:587"] })
    }
}

/// A mailbox that mails come from or go to: what every server takes, without a name before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub String);

impl Word for Address {
    const WHAT: &'static str = "a mailbox in quotes, such as \"status@example.com\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        if text.contains(['<', '>', '"']) {
            return Err(Wrong::new(
                "has more than a mailbox",
                "write the mailbox alone, such as \"status@example.com\"",
            ));
        }
        if text.len() > MAIL_ADDRESS_BYTES_MAX {
            return Err(Wrong::new(
                "is too long",
                format!("no server takes more than {MAIL_ADDRESS_BYTES_MAX} octets"),
            ));
        }
        Mailbox::parse(text).map(|_| Self(text.to_owned()))
    }
    fn schema() -> Json {
        json!({ "type": "string", "format": "email", "examples": ["status@example.com"] })
    }
}
