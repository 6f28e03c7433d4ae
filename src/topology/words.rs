//! The values of the file that are written as text.

use super::link::Cloud;
use super::mistake::Mistake;
use super::read::{At, Word, Written, Wrong, quoted, wrong_type};
use super::{AllDown, ClientCertificate, Dialect, Host, HostFrom, NatState, Steering, StreamEnd};
use crate::geo::place::Country;
use crate::limits::DURATION_MAX;
use crate::names::{Hostname, Label};
use http::Method;
use ipnet::IpNet;
use serde_json::{Value as Json, json};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// ISO 3166-1 alpha-2, and XK, which country databases use for Kosovo.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ \
    FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT \
    JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP \
    MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE \
    RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV \
    TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

impl Word for Label {
    const WHAT: &'static str = "a short name in quotes: lower-case letters, digits and inner hyphens";
    fn parse(text: &str) -> Result<Self, Wrong> {
        Self::parse(text).map_err(|error| {
            let help =
                "a name has lower-case letters, digits and inner hyphens, at most 63, so that it can be a DNS label";
            Wrong::new(error.to_string(), help)
        })
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "examples": ["orf"] })
    }
}

impl Word for Hostname {
    const WHAT: &'static str = "a hostname in quotes";
    fn parse(text: &str) -> Result<Self, Wrong> {
        Self::parse(text).map_err(|error| {
            let help = "a hostname has letters, digits and hyphens between dots; no scheme, port, path or wildcard";
            Wrong::new(error.to_string(), help)
        })
    }
    fn schema() -> Json {
        json!({ "type": "string", "format": "hostname", "examples": ["gateway.example.com"] })
    }
}

impl Word for Country {
    const WHAT: &'static str = "the two letters of a country in quotes, such as \"GB\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let known = |code: &str| COUNTRIES.split(' ').any(|country| country == code);
        match Self::parse(text).filter(|_| known(text)) {
            Some(country) => Ok(country),
            None => {
                let upper = text.to_ascii_uppercase();
                let help = match &*upper {
                    "UK" => "the United Kingdom is \"GB\"".to_owned(),
                    "EL" => "Greece is \"GR\"".to_owned(),
                    code if code.len() == 2 && known(code) => format!("write {code:?}, in capitals"),
                    _ => "use the two capital letters of ISO 3166-1, such as \"GB\" or \"US\"".to_owned(),
                };
                Err(Wrong::new("is no country code", help))
            }
        }
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[A-Z]{2}$", "examples": ["GB"] })
    }
}

impl Word for IpAddr {
    const WHAT: &'static str = "an IP address in quotes";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let Ok(address) = text.parse::<Self>() else {
            return Err(Wrong::new(
                "is no IP address",
                "write an address such as \"192.0.2.10\" or \"2001:db8::10\", without a port",
            ));
        };
        refuse_unusable(address)?;
        Ok(address)
    }
}

impl Word for SocketAddr {
    const WHAT: &'static str = "an IP address with a port in quotes";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help =
            "write an address and a port such as \"198.51.100.7:443\" or \"[2001:db8::7]:443\"; names belong into url";
        let Ok(address) = text.parse::<Self>() else {
            return Err(Wrong::new("is no IP address with a port", help));
        };
        if address.port() == 0 {
            return Err(Wrong::new("has port 0", help));
        }
        refuse_unusable(address.ip())?;
        Ok(address)
    }
}

fn refuse_unusable(address: IpAddr) -> Result<(), Wrong> {
    match address {
        _ if address.is_unspecified() || address.is_multicast() => {}
        IpAddr::V4(v4) if v4.is_broadcast() => {}
        _ => return Ok(()),
    }
    Err(Wrong::new("is an address nobody can connect to", "write the address of one machine or one anycast service"))
}

impl Word for IpNet {
    const WHAT: &'static str = "a network in quotes, such as \"10.0.0.0/8\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let net = match (text.parse::<Self>(), text.parse::<IpAddr>()) {
            (Ok(net), _) => net,
            (_, Ok(address)) => Self::from(address),
            _ => {
                return Err(Wrong::new(
                    "is no network",
                    "write an address and a prefix length, such as \"10.0.0.0/8\" or \"2001:db8::/32\"",
                ));
            }
        };
        if net != net.trunc() {
            return Err(Wrong::new("has address bits beyond its prefix length", format!("write \"{}\"", net.trunc())));
        }
        Ok(net)
    }
}

impl Word for Duration {
    const WHAT: &'static str = "a duration with its unit in quotes, such as \"5s\" or \"250ms\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "a duration is a whole number and one of ms, s, m, h: \"250ms\", \"5s\", \"1m\", \"1h\"";
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(unit_at);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "" => return Err(Wrong::new("has no unit", format!("{help}; perhaps \"{digits}s\""))),
            _ => return Err(Wrong::new("is no duration", help)),
        };
        if digits.is_empty() {
            return Err(Wrong::new("is no duration", help));
        }
        // More digits than 64 bits hold are longer than a day too.
        let duration = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_ms)).map(Self::from_millis);
        duration
            .filter(|duration| *duration <= DURATION_MAX)
            .ok_or_else(|| Wrong::new("is longer than a day", "use at most \"24h\""))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "examples": ["5s"] })
    }
}

/// Status codes that pass: one, or a range of them.
#[derive(Clone, Debug)]
pub struct Statuses(pub RangeInclusive<u16>);

impl Word for Statuses {
    const WHAT: &'static str = "a status code or a range of them in quotes, such as \"200-299\" or \"301\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |text: &str| {
            let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|code| is_code && (200..=599).contains(code))
        };
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first..=last)),
            (Some(_), Some(_)) => Err(Wrong::new("ends before it begins", format!("write \"{last}-{first}\""))),
            _ => Err(Wrong::new(
                "is no final status code",
                "write codes from 200 to 599, such as \"200-299\" or \"301\"",
            )),
        }
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[2-5][0-9]{2}(-[2-5][0-9]{2})?$" })
    }
}

/// Where an endpoint is: `http` or `https`, a name or an address, perhaps a port.
#[derive(Clone, Debug)]
pub struct Url {
    /// Whether it is `https`.
    pub tls: bool,
    /// Its host part.
    pub host: Host,
    /// Its port, or its scheme's own.
    pub port: u16,
}

impl Word for Url {
    const WHAT: &'static str = "a URL in quotes, such as \"https://orf.gateway.example\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let example = "write a scheme, a name or an address, and perhaps a port: \"https://orf.gateway.example:8443\"";
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some(_) => return Err(Wrong::new("has a scheme other than http and https", example)),
            None => return Err(Wrong::new("has no scheme", format!("{example}, or \"http://…\" without TLS"))),
        };
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(after, "" | "/") {
            return Err(Wrong::new("has a path, and requests keep their own", "end it after the name or the port"));
        }
        if authority.contains('@') {
            return Err(Wrong::new(
                "has user information",
                "credentials have no place here: remove everything up to the @",
            ));
        }
        let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
            let Some((inner, port)) = bracketed.split_once(']') else {
                return Err(Wrong::new(
                    "has an opening bracket and no closing one",
                    "an IPv6 address is written \"https://[2001:db8::1]:443\"",
                ));
            };
            let Ok(address) = inner.parse::<std::net::Ipv6Addr>() else {
                return Err(Wrong::new(
                    "has no IPv6 address between its brackets",
                    "write such as \"https://[2001:db8::1]:443\"",
                ));
            };
            if !(port.is_empty() || port.starts_with(':')) {
                return Err(Wrong::new("has something other than a port after its address", example));
            }
            (Host::Address(address.into()), port.strip_prefix(':'))
        } else {
            let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
            (host_of(name)?, port)
        };
        if let Host::Address(address) = host {
            refuse_unusable(address)?;
        }
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => port,
                _ => return Err(Wrong::new("has a port that is no number from 1 to 65535", example)),
            },
        };
        Ok(Self { tls, host, port })
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^https?://[^/?#@]+/?$", "examples": ["https://orf.gateway.example"] })
    }
}

fn host_of(name: &str) -> Result<Host, Wrong> {
    if let Ok(address) = name.parse::<std::net::Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let named = Hostname::parse(name).map(Host::Name);
    named.map_err(|error| {
        Wrong::new(format!("has a name that {error}"), "write such as \"https://orf.gateway.example\"")
    })
}

/// What a probe asks of the URL: path and query.
#[derive(Clone, Debug)]
pub struct UrlPath(pub String);

impl Word for UrlPath {
    const WHAT: &'static str = "a path in quotes, such as \"/health\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "a path begins with / and has only visible ASCII characters; others are percent-encoded";
        if !text.starts_with('/') {
            return Err(Wrong::new("does not begin with /", help));
        }
        match text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
            Some(bad) => Err(Wrong::new(format!("has the character {bad:?}"), help)),
            None => Ok(Self(text.to_owned())),
        }
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^/", "examples": ["/health"] })
    }
}

/// A path below which a class applies: without a query.
#[derive(Clone, Debug)]
pub struct Prefix(pub String);

impl Word for Prefix {
    const WHAT: &'static str = "the beginning of a path in quotes, such as \"/v1/\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        if text.contains('?') {
            return Err(Wrong::new("has a query", "classes go by path alone: end it before the ?"));
        }
        if text.contains('*') {
            return Err(Wrong::new(
                "has a wildcard",
                format!(
                    "a prefix takes everything below it: {}; for a * in the middle write path instead of prefix",
                    quoted(text.split('*').next().unwrap_or("/"))
                ),
            ));
        }
        UrlPath::parse(text).map(|UrlPath(path)| Self(path))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^/[^?#*]*$", "examples": ["/v1/"] })
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Debug)]
pub struct Pointer(pub String);

impl Word for Pointer {
    const WHAT: &'static str = "a JSON pointer in quotes, such as \"/status\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        if !(text.is_empty() || text.starts_with('/')) {
            return Err(Wrong::new(
                "does not begin with /",
                format!("a JSON pointer (RFC 6901) is written \"/{}\"", text.replace('.', "/")),
            ));
        }
        let mut after_tilde = text.split('~').skip(1);
        if after_tilde.any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(Wrong::new(
                "has a ~ that escapes nothing",
                "in a JSON pointer ~ is written ~0 and a / inside a name ~1",
            ));
        }
        Ok(Self(text.to_owned()))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^(/.*)?$", "examples": ["/status"] })
    }
}

impl Word for Method {
    const WHAT: &'static str = "a method in quotes, such as \"GET\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write a method in capitals, such as \"GET\"";
        match Self::from_bytes(text.as_bytes()) {
            Ok(Self::CONNECT) => Err(Wrong::new("is never carried", "remove it")),
            Ok(method) if !text.contains(|c: char| c.is_ascii_lowercase()) => Ok(method),
            Ok(_) => Err(Wrong::new(
                "is in lower case, and methods are case-sensitive",
                format!("write {:?}", text.to_ascii_uppercase()),
            )),
            Err(_) => Err(Wrong::new("is no method", help)),
        }
    }
}

/// Makes an enum a word: the words and what they mean.
macro_rules! words {
    ($what:literal: $type:ty { $($word:literal => $value:expr),* $(,)? }) => {
        impl Word for $type {
            const WHAT: &'static str = $what;
            fn parse(text: &str) -> Result<Self, Wrong> {
                match text {
                    $($word => Ok($value),)*
                    _ => {
                        let known = [$($word),*];
                        let help = match crate::topology::read::nearest(text, known) {
                            Some(meant) => format!("did you mean {meant:?}?"),
                            None => format!("write one of {}", known.map(|word| format!("{word:?}")).join(", ")),
                        };
                        Err(Wrong::new("is not known here", help))
                    }
                }
            }
            fn schema() -> Json {
                json!({ "enum": [$($word),*] })
            }
        }
    };
}
pub(crate) use words;

words!("\"planned\", \"active\" or \"retiring\"": NatState {
    "planned" => Self::Planned,
    "active" => Self::Active,
    "retiring" => Self::Retiring,
});
words!("\"endpoint\" or \"client\"": HostFrom { "endpoint" => Self::Endpoint, "client" => Self::Client });
words!("\"try-nearest\" or \"refuse\"": AllDown { "try-nearest" => Self::TryNearest, "refuse" => Self::Refuse });
words!("\"required\" or \"optional\"": ClientCertificate {
    "required" => Self::Required,
    "optional" => Self::Optional,
});
words!("\"nearest\", \"latency\", \"priority\" or \"weighted\"": Steering {
    "nearest" => Self::Nearest,
    "latency" => Self::Latency,
    "priority" => Self::Priority,
    "weighted" => Self::Weighted,
});
words!("\"any\" or \"done\"": StreamEnd {
    "any" => Self::Any,
    "done" => Self::Done,
});
words!("\"aws\", \"gcp\" or \"azure\"": Cloud { "aws" => Self::Aws, "gcp" => Self::Gcp, "azure" => Self::Azure });
words!("\"openai\", \"jsonrpc\" or \"plain\"": Dialect {
    "openai" => Self::OpenAi,
    "jsonrpc" => Self::JsonRpc,
    "plain" => Self::Plain,
});

/// Probes besides a probe: tables of the same keys, so that editors are told of them by reference.
#[derive(Clone, Debug)]
pub struct Also(pub Vec<At<super::file::Probe>>);

impl Written for Also {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        Vec::read(key, value, mistakes).map(Self)
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": { "$ref": "#/properties/probe" } })
    }
}

/// One element of `fallback`: a region, or several that are one level.
#[derive(Clone, Debug)]
pub struct Level(pub Vec<At<String>>);

impl Written for Level {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(name) => Some(Self(vec![At { value: name.to_string(), span: value.span() }])),
            DeValue::Array(array) if array.is_empty() => {
                mistakes.push(Mistake::error(
                    value.span(),
                    format!("{key} has a level without regions"),
                    "nothing in it",
                    "name a region or remove it",
                ));
                None
            }
            DeValue::Array(_) => Some(Self(Vec::read(key, value, mistakes)?)),
            _ => {
                mistakes.push(wrong_type(
                    key,
                    value,
                    "a region's name in quotes, or a list of names that are one level",
                ));
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] })
    }
}
