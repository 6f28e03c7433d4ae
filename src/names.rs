//! The names of things, parsed once and trusted after.
//!
//! A [`Hostname`] is canonical: lower case, no trailing dot, no port. A [`Label`] is what an operator may call a
//! region, provider, site or endpoint.

use std::fmt;
use std::sync::Arc;

/// Longest hostname in octets (RFC 1035 §2.3.4, without the root).
pub const HOSTNAME_BYTES_MAX: usize = 253;
/// Longest name an operator may give, in octets: one DNS label (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Why a text is not the name it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Over the limit of its kind.
    #[error("is longer than {0} characters")]
    TooLong(usize),
    /// A character its kind does not allow.
    #[error("has the character {0:?}, which a name cannot have")]
    Character(char),
    /// An IP address where a name belongs.
    #[error("is an address, not a name")]
    Address,
    /// A label that begins or ends with a hyphen, or is empty.
    #[error("has an empty label, or one that begins or ends with a hyphen")]
    BadLabel,
    /// Something after the colon that is no port.
    #[error("has a port that is no number from 1 to 65535")]
    Port,
}

/// A DNS hostname in canonical form: lower case, no trailing dot (RFC 1123 §2.1, underscores refused).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// Parses a name in any case, with or without its final dot.
    ///
    /// # Errors
    /// What is wrong with it; an address is refused too.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > HOSTNAME_BYTES_MAX {
            return Err(NameError::TooLong(HOSTNAME_BYTES_MAX));
        }
        if text.starts_with('[')
            || text
                .split('.')
                .next_back()
                .is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
        {
            // The last label of a name is never all digits, so this is an IPv4 address or pretends to be one.
            return Err(NameError::Address);
        }
        for label in text.split('.') {
            if let Some(bad) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
                return Err(NameError::Character(bad));
            }
            if label.is_empty() || label.len() > LABEL_BYTES_MAX || label.starts_with('-') || label.ends_with('-') {
                return Err(NameError::BadLabel);
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// Parses what a client wrote in `Host` or `:authority` (RFC 9110 §7.2): a name, and perhaps a port, which does
    /// not matter for routing.
    ///
    /// # Errors
    /// What is wrong with it: user information, an address, a bad port, a bad name.
    pub fn from_authority(authority: &str) -> Result<Self, NameError> {
        if authority.starts_with('[') {
            return Err(NameError::Address);
        }
        let name = match authority.split_once(':') {
            None => authority,
            Some((name, port)) => {
                let good = !port.is_empty()
                    && port.bytes().all(|b| b.is_ascii_digit())
                    && port.parse::<u16>().is_ok_and(|port| port > 0);
                if !good {
                    return Err(NameError::Port);
                }
                name
            }
        };
        Self::parse(name)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This name below `zone`: `eu` and `gateway.example` make `eu.gateway.example`.
    ///
    /// # Errors
    /// If the whole is too long.
    pub fn below(label: &Label, zone: &Self) -> Result<Self, NameError> {
        Self::parse(&format!("{label}.{zone}"))
    }

    /// Whether this is `zone` itself or a name below it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        self.0.strip_suffix(&*zone.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl std::borrow::Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A short name given by an operator: lower-case letters, digits and inner hyphens, at most 63, so that it can be a
/// DNS label, a metric label and a file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// Parses a label.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > LABEL_BYTES_MAX {
            return Err(NameError::TooLong(LABEL_BYTES_MAX));
        }
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '-') {
            return Err(NameError::Character(bad));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::BadLabel);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The name of an endpoint: `REGION/WHAT`, as in `orf/orf.gateway.example`. Unique in a topology, stable over reloads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(Arc<str>);

impl EndpointName {
    /// The endpoint `what` of `region`. `what` is the authority of its URL, or the name it was given.
    #[must_use]
    pub fn new(region: &Label, what: &str) -> Self {
        Self(format!("{region}/{what}").into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for EndpointName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

macro_rules! written_as_text {
    ($($name:ident),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    )*};
}
written_as_text!(Hostname, Label, EndpointName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostname_has_one_form() {
        for text in ["EU.Gateway.Example", "eu.gateway.example.", "eu.gateway.example"] {
            assert_eq!(Hostname::parse(text).expect(text).as_str(), "eu.gateway.example");
        }
        for authority in ["eu.example:443", "EU.example.:8080", "eu.example"] {
            assert_eq!(Hostname::from_authority(authority).expect(authority).as_str(), "eu.example");
        }
    }

    #[test]
    fn what_is_no_hostname_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "a..b",
            "-a.b",
            "a-.b",
            "a b",
            "a_b",
            "ex\u{e4}mple",
            "192.0.2.1",
            "[::1]",
            "a.b.1",
            &long,
            "user@a.b",
            "a.b/",
            "a%2eb",
            "a.b..",
        ] {
            assert!(Hostname::parse(text).is_err(), "{text:?} was taken for a hostname");
        }
        for authority in ["a.b:", "a.b:0", "a.b:65536", "a.b:+1", "a.b:80:80", "u@a.b", "[::1]:80", "a.b:8 0", ":80"] {
            assert!(Hostname::from_authority(authority).is_err(), "{authority:?} was taken for an authority");
        }
    }

    #[test]
    fn within_means_whole_labels() {
        let zone = Hostname::parse("gateway.example").expect("good");
        for (name, within) in
            [("gateway.example", true), ("eu.gateway.example", true), ("notgateway.example", false), ("example", false)]
        {
            assert_eq!(Hostname::parse(name).expect("good").is_within(&zone), within, "{name}");
        }
    }
}
