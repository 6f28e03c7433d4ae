//! The values of `[zone]` and `[acme]` that are written as text.

use super::Answer;
use super::master::{FORMS, MADE_BY_US};
use crate::limits::DURATION_MAX;
use crate::names::Hostname;
use crate::topology::mistake::Mistake;
use crate::topology::read::{At, Word, Written, Wrong, wrong_type};
use crate::topology::words::words;
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Longest text that one string of a record holds, octets (RFC 1035 §3.3).
pub const STRING_BYTES_MAX: usize = 255;

words!("\"front\" or \"region\"": Answer { "front" => Self::Front, "region" => Self::Region });

/// A time to live: whole seconds, at least one. Nothing is a duration that DNS can carry in parts of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Seconds {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Word for Seconds {
    const WHAT: &'static str = "a time in whole seconds with its unit in quotes, such as \"60s\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let duration = <Duration as Word>::parse(text)?;
        if duration.is_zero() {
            return Err(Wrong::new("is no time at all", "resolvers would ask for every client: use at least \"1s\""));
        }
        if duration.subsec_nanos() > 0 {
            return Err(Wrong::new("is not in whole seconds", "DNS counts in seconds: use such as \"1s\""));
        }
        let seconds = u32::try_from(duration.as_secs().min(DURATION_MAX.as_secs()));
        Ok(Self(seconds.expect("a day has fewer seconds than 32 bits hold")))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "examples": ["60s"] })
    }
}

/// A mailbox, as SOA writes it (RFC 1035 §3.3.13): the part before the @ is one label, whatever dots it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox(pub Name);

impl Word for Mailbox {
    const WHAT: &'static str = "a mailbox in quotes, such as \"hostmaster@example.com\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write a mailbox such as \"hostmaster@example.com\"";
        let Some((local, domain)) = text.split_once('@') else {
            let help = format!("{help}: with an @, not with a dot in its place");
            return Err(Wrong::new("is no mailbox", help));
        };
        let labels = mailbox(local, domain).map_err(|problem| Wrong::new(problem, help))?;
        let labels = std::iter::once(local.as_bytes()).chain(labels.as_str().split('.').map(str::as_bytes));
        match Name::from_labels(labels) {
            Ok(name) => Ok(Self(name)),
            Err(_) => Err(Wrong::new("is too long for a name", "name a shorter mailbox: SOA has 255 octets for it")),
        }
    }
    fn schema() -> Json {
        json!({ "type": "string", "format": "email", "examples": ["hostmaster@example.com"] })
    }
}

/// The domain of a mailbox whose two parts are what mail can carry everywhere (RFC 5321 §4.1.2, `Dot-string`).
fn mailbox(local: &str, domain: &str) -> Result<Hostname, String> {
    let is_atom = |atom: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        !atom.is_empty() && atom.bytes().all(good)
    };
    if local.is_empty() || local.len() > crate::names::LABEL_BYTES_MAX || !local.split('.').all(is_atom) {
        return Err("has no name of 1 to 63 plain characters before its @".to_owned());
    }
    Hostname::parse(domain).map_err(|error| format!("has a domain that {error}"))
}

/// Whom an ACME authority may write to: a `mailto:` URL with one mailbox (RFC 8555 §7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(pub String);

impl Word for Contact {
    const WHAT: &'static str = "a mailto URL in quotes, such as \"mailto:hostmaster@example.com\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write one mailbox such as \"mailto:hostmaster@example.com\", and each of several for itself";
        let Some(address) = text.strip_prefix("mailto:") else {
            let help = if text.contains('@') && !text.contains(':') {
                format!("write \"mailto:{text}\"")
            } else {
                help.to_owned()
            };
            return Err(Wrong::new("is no mailto URL", help));
        };
        let Some((local, domain)) = address.split_once('@') else { return Err(Wrong::new("has no mailbox", help)) };
        match mailbox(local, domain) {
            // In a URL a percent sign begins an escape, and a question mark the header fields that are not allowed.
            Ok(_) if local.contains(['%', '?']) => Err(Wrong::new("has more than a mailbox", help)),
            Ok(_) => Ok(Self(text.to_owned())),
            Err(problem) => Err(Wrong::new(problem, help)),
        }
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^mailto:", "examples": ["mailto:hostmaster@example.com"] })
    }
}

/// The URL of an ACME authority's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(pub String);

impl Word for Directory {
    const WHAT: &'static str = "a URL in quotes, such as \"https://acme-v02.api.letsencrypt.org/directory\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write the directory's URL, such as \"https://acme-v02.api.letsencrypt.org/directory\"";
        let Ok(uri) = text.parse::<http::Uri>() else { return Err(Wrong::new("is no URL", help)) };
        if uri.scheme() != Some(&http::uri::Scheme::HTTPS) {
            return Err(Wrong::new("does not begin with https://", help));
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => {
                Err(Wrong::new("has user information", "remove everything up to the @"))
            }
            Some(authority) if !authority.host().is_empty() => Ok(Self(text.to_owned())),
            _ => Err(Wrong::new("has no host", help)),
        }
    }
    fn schema() -> Json {
        let example = "https://acme-v02.api.letsencrypt.org/directory";
        json!({ "type": "string", "pattern": "^https://", "examples": [example] })
    }
}

/// What a certificate is for: a hostname, or whatever is directly below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName {
    /// The hostname.
    pub base: Hostname,
    /// Whether it is for what is directly below.
    pub is_wildcard: bool,
}

impl CertificateName {
    /// Whether a certificate for it is good for `hostname`.
    #[must_use]
    pub fn covers(&self, hostname: &Hostname) -> bool {
        if !self.is_wildcard {
            return self.base == *hostname;
        }
        hostname.as_str().split_once('.').is_some_and(|(_, parent)| parent == self.base.as_str())
    }
}

impl std::fmt::Display for CertificateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.is_wildcard { "*." } else { "" }, self.base)
    }
}

impl Word for CertificateName {
    const WHAT: &'static str = "a hostname in quotes, or such as \"*.gateway.example.com\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let (is_wildcard, base) = text.strip_prefix("*.").map_or((false, text), |base| (true, base));
        match Hostname::parse(base) {
            Ok(base) => Ok(Self { base, is_wildcard }),
            Err(error) => {
                let help = "write a hostname, or \"*.\" and one for whatever is directly below it";
                Err(Wrong::new(error.to_string(), help))
            }
        }
    }
    fn schema() -> Json {
        json!({ "type": "string", "examples": ["*.gateway.example.com"] })
    }
}

/// Text that fits into one string of a record: 1 to 255 visible characters and inner blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl Word for Text {
    const WHAT: &'static str = "text in quotes";
    fn parse(text: &str) -> Result<Self, Wrong> {
        if text.trim().is_empty() || text.trim() != text {
            return Err(Wrong::new("is empty or has blanks around it", "write some text, or remove this key"));
        }
        if text.len() > STRING_BYTES_MAX {
            return Err(Wrong::new(format!("is longer than {STRING_BYTES_MAX} octets"), "shorten it"));
        }
        if text.chars().any(char::is_control) {
            return Err(Wrong::new("has a control character", "use visible characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A folder for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(pub PathBuf);

impl Word for Folder {
    const WHAT: &'static str = "the name of a folder in quotes, such as \"dnssec\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        if text.is_empty() || text.contains('\0') {
            return Err(Wrong::new("is no folder", "name a folder below the state directory, such as \"dnssec\""));
        }
        Ok(Self(PathBuf::from(text)))
    }
    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1, "examples": ["dnssec"] })
    }
}

/// The type of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub RecordType);

impl Word for Kind {
    const WHAT: &'static str = "a type of record in quotes, such as \"TXT\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some((kind, _)) = FORMS.iter().find(|(kind, _)| kind.to_string() == text) {
            return Ok(Self(*kind));
        }
        let upper = text.to_ascii_uppercase();
        if let Some((_, problem, help)) = MADE_BY_US.iter().find(|(names, ..)| names.contains(&&*upper)) {
            return Err(Wrong::new(*problem, *help));
        }
        let known: Vec<String> = FORMS.iter().map(|(kind, _)| kind.to_string()).collect();
        if known.contains(&upper) {
            return Err(Wrong::new("is in lower case", format!("write {upper:?}, in capitals")));
        }
        Err(Wrong::new("is not known here", format!("the types are {}", known.join(", "))))
    }
    fn schema() -> Json {
        json!({ "enum": FORMS.iter().map(|(kind, _)| kind.to_string()).collect::<Vec<_>>() })
    }
}

/// What a record says: one text, or the several strings of a TXT.
#[derive(Clone, Debug)]
pub enum Value {
    /// In master-file form; of a TXT the text itself.
    One(String),
    /// The strings of a TXT.
    Several(Vec<At<String>>),
}

impl Written for Value {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(Self::One(text.to_string())),
            DeValue::Array(array) if array.is_empty() => {
                let title = format!("{key} has no text");
                mistakes.push(Mistake::error(
                    value.span(),
                    title,
                    "nothing in it",
                    "write the text, or remove the record",
                ));
                None
            }
            DeValue::Array(_) => Some(Self::Several(Vec::read(key, value, mistakes)?)),
            _ => {
                mistakes.push(wrong_type(key, value, "text in quotes, or for a TXT a list of texts"));
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] })
    }
}

/// The strings of a TXT, each at most 255 octets: as they are listed, or one text cut where it has to be.
///
/// # Errors
/// The one that is too long.
pub fn strings(value: &Value) -> Result<Vec<&[u8]>, &At<String>> {
    match value {
        Value::One(text) if text.is_empty() => Ok(vec![b""]),
        Value::One(text) => Ok(text.as_bytes().chunks(STRING_BYTES_MAX).collect()),
        Value::Several(texts) => match texts.iter().find(|text| text.value.len() > STRING_BYTES_MAX) {
            Some(long) => Err(long),
            None => Ok(texts.iter().map(|text| text.value.as_bytes()).collect()),
        },
    }
}
