//! Where messages go: mailboxes and URLs as strangers write them.

use crate::limits::{MAIL_ADDRESS_BYTES_MAX, WEBHOOK_URL_BYTES_MAX};
use crate::names::Hostname;
use http::Uri;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest part before the @, octets (RFC 5321 §4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;

/// A mailbox that a message may go to: nothing in it but what every server takes as it is (RFC 5321 §4.1.2, `Dot-string`), so
/// that it can neither end a line nor begin another address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress(String);

impl MailAddress {
    /// Parses it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAIL_ADDRESS_BYTES_MAX {
            return Err(format!("an address has at most {MAIL_ADDRESS_BYTES_MAX} characters"));
        }
        let (local, domain) = text.rsplit_once('@').ok_or("an address has an @")?;
        let is_atom = |atom: &str| {
            let good = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet);
            !atom.is_empty() && atom.bytes().all(good)
        };
        if local.len() > LOCAL_BYTES_MAX || !local.split('.').all(is_atom) {
            return Err("the part before the @ has a character that is not taken here, or too many".to_owned());
        }
        let domain = Hostname::parse(domain).map_err(|error| format!("the part after the @ {error}"))?;
        if !domain.as_str().contains('.') {
            return Err("the part after the @ is no whole domain".to_owned());
        }
        Ok(Self(format!("{local}@{domain}")))
    }

    /// The text, its domain in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By what it is known: some servers tell `A@` from `a@`, but no two people have both.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Whose mailbox it most likely is: what stands behind a `+` tells apart what one person gets (RFC 5233).
    #[must_use]
    pub fn person(&self) -> String {
        let key = self.key();
        let (local, domain) = key.rsplit_once('@').expect("it was parsed");
        match local.split_once('+') {
            Some((person, _)) if !person.is_empty() => format!("{person}@{domain}"),
            _ => key,
        }
    }

    /// Enough to recognise it: `m…@example.com`.
    #[must_use]
    pub fn masked(&self) -> String {
        let (local, domain) = self.0.rsplit_once('@').expect("it was parsed");
        let first: String = local.chars().take(1).collect();
        format!("{first}…@{domain}")
    }
}

/// The host of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookHost {
    /// A name, which has to be resolved.
    Name(Hostname),
    /// An address, written in the one usual way.
    Address(IpAddr),
}

/// A URL that a webhook may have, as far as that can be told without looking where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookUrl {
    /// The whole URL.
    pub uri: Uri,
    /// Its host.
    pub host: HookHost,
    /// Its port.
    pub port: u16,
}

impl HookUrl {
    /// Parses it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > WEBHOOK_URL_BYTES_MAX {
            return Err(format!("a URL has at most {WEBHOOK_URL_BYTES_MAX} characters"));
        }
        if !text.bytes().all(|octet| octet.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&octet)) {
            return Err("it has a character that a URL cannot have".to_owned());
        }
        if text.contains('#') {
            return Err("what comes after a # is never sent".to_owned());
        }
        let uri: Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
        if uri.scheme_str() != Some("https") {
            return Err("it has to begin with https://".to_owned());
        }
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it must not have a user name or password".to_owned());
        }
        let host = host(authority.host())?;
        let port = match (authority.port_u16(), authority.as_str() == authority.host()) {
            (Some(port), _) if port > 0 => port,
            (None, true) => 443,
            _ => return Err("it has no good port".to_owned()),
        };
        Ok(Self { uri, host, port })
    }

    /// Enough to recognise it, without what may be a secret of its owner: `https://example.com/…`.
    #[must_use]
    pub fn masked(&self) -> String {
        let authority = self.uri.authority().map(ToString::to_string).unwrap_or_default();
        let rest = if self.uri.path_and_query().is_some_and(|path| path.as_str() != "/") { "…" } else { "" };
        format!("https://{authority}/{rest}")
    }
}

/// A name, or an address written as addresses are: resolvers also take `2130706433`, `0x7f.1` and `0177.0.0.1` for one.
fn host(text: &str) -> Result<HookHost, String> {
    if let Some(bare) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = bare.parse::<Ipv6Addr>().map_err(|_| "it has no IPv6 address in its brackets".to_owned())?;
        return Ok(HookHost::Address(address.into()));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(HookHost::Address(address.into()));
    }
    let bare = text.strip_suffix('.').unwrap_or(text);
    let last = bare.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    if last.bytes().all(|octet| octet.is_ascii_digit()) || last.starts_with("0x") {
        return Err("its host is neither a name nor an address as addresses are written".to_owned());
    }
    Hostname::parse(bare).map(HookHost::Name).map_err(|error| format!("its host {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_line_or_begin_another_address_is_no_address() {
        for good in ["a@b.example", "first.last+tag@Sub.Example.com", "o'neil@b.example"] {
            assert!(MailAddress::parse(good).is_ok(), "{good}");
        }
        let mut hostile: Vec<String> = Vec::new();
        for evil in
            ["\r\n", "\n", "\r", "\0", "\u{b}", "\u{85}", "\u{2028}", "%0d%0a\r\n", " ", "\t", ",", ";", "<", ">", "\""]
        {
            for whole in ["{}a@b.example", "a{}b@c.example", "a@b{}.example", "a@b.example{}"] {
                hostile.push(whole.replace("{}", evil));
                hostile.push(whole.replace("{}", &format!("{evil}RCPT TO:<x@y.example>")));
                hostile.push(whole.replace("{}", &format!("{evil}Bcc: x@y.example")));
            }
        }
        hostile.extend(
            ["", "@", "a@", "@b.example", "a@b", "a@@b.example", "a..b@c.example", ".a@b.example", "a@[127.0.0.1]"]
                .map(str::to_owned),
        );
        hostile.extend(
            ["<a@b.example>", "\"a b\"@c.example", "a@b.example,c@d.example", "ä@b.example"].map(str::to_owned),
        );
        hostile.push(format!("{}@b.example", "a".repeat(65)));
        hostile.push(format!("a@{}.example", "b.".repeat(130)));
        for text in hostile {
            assert!(MailAddress::parse(&text).is_err(), "{text:?} is taken");
        }
        let longest = format!("{}@b.example", "a".repeat(64));
        assert!(MailAddress::parse(&longest).is_ok());
    }

    #[test]
    fn addresses_are_recognised_and_not_told() {
        let address = MailAddress::parse("Maria.Muster@Example.com").expect("good");
        assert_eq!((address.as_str(), &*address.key()), ("Maria.Muster@example.com", "maria.muster@example.com"));
        assert_eq!(address.masked(), "M…@example.com");
        let person = |text: &str| MailAddress::parse(text).expect("good").person();
        assert_eq!((&*person("A+1@b.example"), &*person("a+2+3@B.example")), ("a@b.example", "a@b.example"));
        assert_eq!((&*person("+1@b.example"), &*person("a@b.example")), ("+1@b.example", "a@b.example"));
        let url = HookUrl::parse("https://hooks.example.com/T00/B00/secret?x=y").expect("good");
        assert_eq!(url.masked(), "https://hooks.example.com/…");
    }

    #[test]
    fn a_webhook_is_where_its_url_says_and_says_it_in_one_way() {
        let url = HookUrl::parse("https://hooks.example.com:8443/a?b=c").expect("good");
        assert_eq!((url.port, HookUrl::parse("https://x.example").expect("good").port), (8_443, 443));
        assert!(matches!(HookUrl::parse("https://[2a00:1450::1]/"), Ok(HookUrl { host: HookHost::Address(_), .. })));
        for bad in [
            "",
            "http://a.example/",
            "HTTPS//a.example",
            "https:///a",
            "https://",
            "ftp://a.example/",
            "https://user@a.example/",
            "https://user:word@a.example/",
            "https://a.example@b.example/",
            "https://a.example/#b",
            "https://a.example/\r\nX: y",
            "https://a.example/ b",
            "https://a.example\\@b.example/",
            "https://a.example:0/",
            "https://a.example:/",
            "https://a.example:65536/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://127.0.0.1./",
            "https://127.0.0.0x1/",
            "https://017700000001/",
            "https://[::ffff:127.0.0.1/",
            "https://[127.0.0.1]/",
            "https://[fe80::1%25eth0]/",
            "https://１２７.0.0.1/",
            "https://a..example/",
        ] {
            assert!(HookUrl::parse(bad).is_err(), "{bad:?} is taken");
        }
        let long = |count: usize| format!("https://a.example/{}", "x".repeat(count - "https://a.example/".len()));
        assert!(HookUrl::parse(&long(WEBHOOK_URL_BYTES_MAX)).is_ok());
        assert!(HookUrl::parse(&long(WEBHOOK_URL_BYTES_MAX + 1)).is_err());
    }
}
