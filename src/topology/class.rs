//! Kinds of traffic: what a class takes, and what it may be tied to.

use super::read::{Word, Wrong, quoted};
use super::words::words;
use crate::names::Hostname;
use http::Method;
use http::header::HeaderName;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A kind of traffic.
#[derive(Clone, Debug)]
pub struct Class {
    /// What it is called in metrics and logs: its paths as they are written, or `*` for what no class takes.
    pub name: Arc<str>,
    /// On which hostnames; `None` is all.
    pub hostnames: Option<HashSet<Hostname>>,
    /// Which paths.
    pub paths: Paths,
    /// The shape of our own errors.
    pub dialect: Dialect,
    /// What may be repeated although it may have been processed.
    pub safe: Vec<Method>,
    /// Whether the gateway honours `Idempotency-Key`, so that requests that carry one may be repeated too.
    pub idempotency_key: bool,
    /// Whether it is MCP over streamable HTTP: its sessions are tied to regions, and its methods known.
    pub is_mcp: bool,
    /// Whose pages may ask; `None`: nobody is asked whose page it is.
    pub origins: Option<Vec<Arc<str>>>,
    /// What keeps a client's requests together.
    pub affinity: Option<Affinity>,
    /// How long the head of an event stream waits for its first event; zero: not at all.
    pub commit_hold: Duration,
    /// After how long a silence a comment is put between the events of a stream; `None`: never.
    pub keep_alive: Option<Duration>,
    /// Which ends of an event stream are good ones.
    pub stream_end: StreamEnd,
}

impl Class {
    /// Whether a request may be repeated although it may have been processed.
    #[must_use]
    pub fn is_safe(&self, method: &Method, has_idempotency_key: bool) -> bool {
        self.safe.contains(method) || (self.idempotency_key && has_idempotency_key)
    }

    /// Whether steering alone decides where its requests go, and everybody may ask.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.is_mcp && self.origins.is_none() && self.affinity.is_none()
    }

    pub(super) fn takes(&self, hostname: &Hostname, path: &str) -> bool {
        self.paths.take(path) && self.hostnames.as_ref().is_none_or(|names| names.contains(hostname))
    }
}

/// The shape of our own errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error":{"message":…}}` as OpenAI's API has it.
    OpenAi,
    /// JSON-RPC 2.0 §5.1.
    JsonRpc,
    /// `application/problem+json` (RFC 9457).
    #[default]
    Plain,
    /// Trailers without anything before them. No class says so: a request that is a gRPC call is answered as one.
    Grpc,
}

/// Which ends of an event stream are good ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamEnd {
    /// Every clean end.
    #[default]
    Any,
    /// Only one after `data: [DONE]`.
    Done,
}

/// Which paths a class takes, byte for byte: nothing is decoded, `%2f` is no slash and `..` a segment like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// Every path that begins so.
    Below(Arc<str>),
    /// Every path of this shape.
    Like(Pattern),
}

impl Paths {
    /// Whether `path` is one of them.
    #[must_use]
    pub fn take(&self, path: &str) -> bool {
        match self {
            Self::Below(prefix) => path.starts_with(&**prefix),
            Self::Like(pattern) => pattern.takes(path),
        }
    }

    /// Whether every path of `other` is one of these too.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(wide), Self::Below(narrow)) => narrow.starts_with(&**wide),
            (Self::Below(wide), Self::Like(narrow)) => narrow.certain_prefix().starts_with(&**wide),
            (Self::Like(wide), Self::Below(narrow)) => wide.covers_below(narrow),
            (Self::Like(wide), Self::Like(narrow)) => wide.covers(narrow),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn written(&self) -> String {
        match self {
            Self::Below(prefix) => prefix.to_string(),
            Self::Like(pattern) => pattern.written(),
        }
    }
}

/// The shape of a path: segments that are given, and segments that may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
    /// Whether anything may follow: a final `**`.
    is_open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// This, and it may be empty: the one after a final slash.
    Given(Box<str>),
    /// `*`: one, whatever it is, but not empty.
    Any,
}

impl Segment {
    fn takes(&self, segment: &str) -> bool {
        match self {
            Self::Given(given) => **given == *segment,
            Self::Any => !segment.is_empty(),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Given(given) => self.takes(given),
            Self::Any => *self == Self::Any,
        }
    }
}

impl Pattern {
    /// Whether a path has this shape.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut given = path.split('/');
        self.segments.iter().all(|segment| given.next().is_some_and(|given| segment.takes(given)))
            && given.next().is_some() == self.is_open
    }

    /// What every path of this shape begins with.
    fn certain_prefix(&self) -> String {
        let mut prefix = String::from("/");
        for (at, segment) in self.segments.iter().enumerate() {
            let Segment::Given(given) = segment else { return prefix };
            prefix.push_str(given);
            if at + 1 < self.segments.len() || self.is_open {
                prefix.push('/');
            }
        }
        prefix
    }

    fn covers(&self, other: &Self) -> bool {
        let has_room = if self.is_open {
            // What is open takes one segment more at least.
            other.segments.len() + usize::from(other.is_open) > self.segments.len()
        } else {
            !other.is_open && other.segments.len() == self.segments.len()
        };
        has_room && self.segments.iter().zip(&other.segments).all(|(wide, narrow)| wide.covers(narrow))
    }

    /// Whether every path that begins with `prefix` has this shape.
    fn covers_below(&self, prefix: &str) -> bool {
        let Some(prefix) = prefix.strip_prefix('/') else { return false };
        // The last one is not whole: more may be written behind it.
        let mut whole: Vec<&str> = prefix.split('/').collect();
        whole.pop();
        self.is_open
            && whole.len() >= self.segments.len()
            && self.segments.iter().zip(whole).all(|(segment, given)| segment.takes(given))
    }

    fn written(&self) -> String {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Given(given) => given,
            Segment::Any => "*",
        });
        let all: Vec<&str> = segments.chain(self.is_open.then_some("**")).collect();
        format!("/{}", all.join("/"))
    }
}

impl Word for Pattern {
    const WHAT: &'static str = "the shape of a path in quotes, such as \"/*/mcp/*/server\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help =
            "write such as \"/*/mcp/*/server\": * is one whole segment, ** at the end is everything that follows";
        let Some(path) = text.strip_prefix('/') else { return Err(Wrong::new("does not begin with /", help)) };
        if text.contains('?') {
            return Err(Wrong::new("has a query", "classes go by path alone: end it before the ?"));
        }
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
            let help = "a path has only visible ASCII characters; others are percent-encoded";
            return Err(Wrong::new(format!("has the character {bad:?}"), help));
        }
        let mut written: Vec<&str> = path.split('/').collect();
        let is_open = written.last() == Some(&"**");
        if is_open {
            written.pop();
        }
        if let Some(odd) = written.iter().find(|segment| segment.contains('*') && **segment != "*") {
            let problem = if **odd == *"**" { "has ** before its end" } else { "has a * that is not a whole segment" };
            return Err(Wrong::new(problem, help));
        }
        let segment = |text: &&str| if *text == "*" { Segment::Any } else { Segment::Given((*text).into()) };
        Ok(Self { segments: written.iter().map(segment).collect(), is_open })
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^/[^?#]*$", "examples": ["/*/mcp/*/server"] })
    }
}

/// How the requests of a client are kept together in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// The region that served first is written, sealed, into a cookie.
    Cookie {
        /// What it is called.
        name: Arc<str>,
        /// What happens while the region is out.
        lost: Lost,
        /// How long it binds, since it was made.
        ttl: Duration,
    },
    /// The value of a header decides among equals; nothing is remembered.
    Header(HeaderName),
    /// What the client shows as its credential does: `Authorization`, or else `X-Api-Key`.
    Credential,
}

/// What becomes of a pinned request while its region is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Others serve it, and the pin stays: it goes back when the region is back.
    Visit,
    /// Another serves it and becomes the pin.
    Move,
    /// It is refused.
    Refuse,
}

/// What the affinity of a class goes by, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A cookie of ours.
    Cookie,
    /// A header of the client's.
    Header,
    /// Its credential.
    Credential,
}

/// Whether a pin stays while its region is out, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// It stays.
    Temporary,
    /// The one that served becomes the pin.
    Sticky,
}

/// What happens while a pinned region is out, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenLost {
    /// Another region serves.
    Move,
    /// The request is refused.
    Refuse,
}

words!("\"cookie\", \"header\" or \"credential\"": By {
    "cookie" => Self::Cookie,
    "header" => Self::Header,
    "credential" => Self::Credential,
});
words!("\"temporary\" or \"sticky\"": Style { "temporary" => Self::Temporary, "sticky" => Self::Sticky });
words!("\"move\" or \"refuse\"": WhenLost { "move" => Self::Move, "refuse" => Self::Refuse });

/// The name of a header field, in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

impl Word for FieldName {
    const WHAT: &'static str = "the name of a header in quotes, such as \"x-user\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let named = HeaderName::from_bytes(text.as_bytes()).map(Self);
        named.map_err(|_| Wrong::new("is no name of a header", "write such as \"x-user\": no colon, no spaces"))
    }
    fn schema() -> Json {
        json!({ "type": "string", "examples": ["x-user"] })
    }
}

/// The name of a cookie (RFC 6265 §4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(pub String);

impl Word for CookieName {
    const WHAT: &'static str = "the name of a cookie in quotes, such as \"anyfront-affinity\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(is_token) {
            let help = "a cookie's name has letters, digits, hyphens and the like, 1 to 64: \"anyfront-affinity\"";
            return Err(Wrong::new("is no name of a cookie", help));
        }
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("__host-") || lower.starts_with("__secure-") {
            let help = "browsers take those by TLS only, and this class may be asked without: choose another name";
            return Err(Wrong::new("has a prefix that browsers understand", help));
        }
        Ok(Self(text.to_owned()))
    }
    fn schema() -> Json {
        json!({ "type": "string", "examples": ["anyfront-affinity"] })
    }
}

/// Where a page comes from, as browsers write it into `Origin` (RFC 6454 §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(pub String);

impl Word for WebOrigin {
    const WHAT: &'static str = "an origin in quotes, such as \"https://app.example\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write scheme and host, and the port where it is not the scheme's own: \"https://app.example\"";
        if text == "*" {
            return Err(Wrong::new("is no origin", "leave origins out, and none is checked"));
        }
        let Some((scheme, host)) = text.split_once("://") else { return Err(Wrong::new("has no scheme", help)) };
        if scheme.is_empty() || host.is_empty() {
            return Err(Wrong::new("is no origin", help));
        }
        if let Some(path) = host.find(['/', '?', '#', '@']) {
            let problem = "has more than scheme, host and port";
            return Err(Wrong::new(problem, format!("write {}", quoted(&text[..scheme.len() + 3 + path]))));
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic()) {
            return Err(Wrong::new("is not as browsers write it", format!("{help}, in lower case")));
        }
        let default = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => "",
        };
        if let Some(bare) = text.strip_suffix(default).filter(|_| !default.is_empty()) {
            return Err(Wrong::new("has its scheme's own port, which browsers leave out", format!("write {bare:?}")));
        }
        Ok(Self(text.to_owned()))
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[a-z][a-z0-9+.-]*://[^/?#@]+$", "examples": ["https://app.example"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str) -> Paths {
        Paths::Like(Pattern::parse(text).unwrap_or_else(|wrong| panic!("{text} {}", wrong.problem)))
    }

    fn below(text: &str) -> Paths {
        Paths::Below(text.into())
    }

    #[test]
    fn a_star_is_one_whole_segment_and_two_are_the_rest() {
        for (pattern, path, is_taken) in [
            ("/*/mcp/*/server", "/acme/mcp/github/server", true),
            ("/*/mcp/*/server", "/acme/mcp/github/server/", false),
            ("/*/mcp/*/server", "/acme/mcp/github/server/x", false),
            ("/*/mcp/*/server", "/acme/mcp/github", false),
            ("/*/mcp/*/server", "//mcp/github/server", false),
            ("/*/mcp/*/server", "/a/b/mcp/github/server", false),
            ("/*/mcp/*/server", "/acme/MCP/github/server", false),
            ("/*/mcp/*/server", "/acme%2fmcp/mcp/git%2fhub/server", true),
            ("/*/mcp/*/server", "/acme/mcp%2fgithub/server", false),
            ("/*/mcp/*/server", "/../mcp/;x/server", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/a", false),
            ("/**", "/", true),
            ("/a/", "/a/", true),
            ("/a/", "/a", false),
            ("/**", "*", false),
        ] {
            assert_eq!(like(pattern).take(path), is_taken, "{pattern} {path}");
            assert_eq!(like(pattern).written(), pattern);
        }
    }

    #[test]
    fn the_wider_covers_the_narrower_whichever_way_they_are_written() {
        for (wide, narrow, is_covered) in [
            (below("/a"), below("/ab"), true),
            (below("/ab"), below("/a"), false),
            (below("/a/"), like("/a/*"), true),
            (below("/a"), like("/a"), true),
            (below("/a/"), like("/a"), false),
            (below("/a/b"), like("/a/*"), false),
            (below("/"), like("/*/x"), true),
            (like("/a/**"), below("/a/"), true),
            (like("/a/**"), below("/a"), false),
            (like("/*/x/**"), below("/t/x/"), true),
            (like("/*/x/**"), below("/t/"), false),
            (like("/a/*"), below("/a/b"), false),
            (like("/*/mcp/*/server"), like("/t/mcp/s/server"), true),
            (like("/t/mcp/*/server"), like("/*/mcp/*/server"), false),
            (like("/*/mcp/**"), like("/*/mcp/*/server"), true),
            (like("/*/mcp/**"), like("/*/mcp"), false),
            (like("/a/*"), like("/a/**"), false),
            (like("/a/**"), like("/a/**"), true),
            (like("/a/*/**"), like("/a/**"), false),
            (like("/*"), like("/"), false),
        ] {
            assert_eq!(wide.cover(&narrow), is_covered, "{} {}", wide.written(), narrow.written());
        }
    }

    #[test]
    fn what_is_no_pattern_origin_or_cookie_is_told() {
        for text in ["a", "/a*", "/**/b", "/a?b", "/ä", "/a/***"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        for text in
            ["*", "null", "app.example", "https://", "https://app.example/", "https://App.example", "https://a:443"]
        {
            assert!(WebOrigin::parse(text).is_err(), "{text}");
        }
        assert!(WebOrigin::parse("http://localhost:6274").is_ok());
        for text in ["", "a b", "a=b", "__Host-x", "ä"] {
            assert!(CookieName::parse(text).is_err(), "{text}");
        }
    }
}
