//! Kinds of traffic.

use super::{At, Proof};
use crate::limits::CLASSES_MAX;
use crate::names::Hostname;
use crate::topology::class::{Affinity, By, Lost, Paths, Pattern, Style, WhenLost};
use crate::topology::file;
use crate::topology::mistake::Mistake;
use crate::topology::read::{Told, nearest, quoted};
use crate::topology::{Class, Dialect, RouteIndex, StreamEnd};
use http::Method;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

/// How long a cookie binds unless it is said.
const PIN_TTL: Duration = Duration::from_secs(3_600);
/// How long the head of an event stream waits for its first event: hardly noticed, and longer than most deaths take.
const COMMIT_HOLD: Duration = Duration::from_millis(250);

impl Proof<'_> {
    /// The classes as written, then the one that takes everything.
    pub(super) fn classes(&mut self, routes: &HashMap<Hostname, RouteIndex>) -> Vec<Class> {
        let file = self.file;
        let written = file.class.as_ref().map_or(&[][..], |classes| &classes.value);
        self.bound("class", written, CLASSES_MAX);
        let written = &written[..written.len().min(CLASSES_MAX)];
        let mut classes: Vec<Class> = Vec::with_capacity(written.len() + 1);
        for At { value: class, span } in written {
            let hostnames = class.hostnames.as_ref().and_then(|list| self.hostnames("class", list, routes));
            let paths = self.paths(class, span);
            if let Some(at) = classes.iter().position(|earlier| shadows(earlier, hostnames.as_ref(), &paths)) {
                let title = format!("class {} can never match", quoted(&paths.written()));
                let help = "move the narrower class before the wider one: the first that matches counts";
                let mistake = Mistake::warning(span.clone(), title, "everything in it is taken", help);
                self.mistakes.push(mistake.and(written[at].span.clone(), "by this one"));
            }
            let is_mcp = class.mcp.as_ref().is_some_and(|mcp| mcp.value);
            if is_mcp {
                self.mcp(class);
            }
            let dialect = if is_mcp { Dialect::JsonRpc } else { Dialect::default() };
            classes.push(Class {
                name: paths.written().into(),
                hostnames,
                paths,
                dialect: class.dialect.as_ref().map_or(dialect, |dialect| dialect.value),
                safe: match &class.safe {
                    Some(safe) => safe.value.iter().map(|method| method.value.clone()).collect(),
                    None => safe_methods(),
                },
                idempotency_key: class.idempotency_key.as_ref().is_some_and(|honoured| honoured.value),
                is_mcp,
                origins: class
                    .origins
                    .as_ref()
                    .map(|list| list.value.iter().map(|origin| origin.value.0.as_str().into()).collect()),
                affinity: class.affinity.as_ref().and_then(|written| self.affinity(written)),
                commit_hold: class.commit_hold.as_ref().map_or(COMMIT_HOLD, |hold| hold.value),
                keep_alive: class.keep_alive.as_ref().map(|pause| pause.value).filter(|pause| !pause.is_zero()),
                stream_end: class.stream_end.as_ref().map_or_else(StreamEnd::default, |end| end.value),
            });
        }
        classes.push(Class {
            name: "*".into(),
            hostnames: None,
            paths: Paths::Below("".into()),
            dialect: Dialect::Plain,
            safe: safe_methods(),
            idempotency_key: false,
            is_mcp: false,
            origins: None,
            affinity: None,
            commit_hold: COMMIT_HOLD,
            keep_alive: None,
            stream_end: StreamEnd::Any,
        });
        classes
    }

    /// Which paths a class takes: it must say it in one way.
    fn paths(&mut self, class: &file::Class, span: &Range<usize>) -> Paths {
        let below = |prefix: &str| Paths::Below(prefix.into());
        let like = |path: &At<Told<Pattern>>| path.value.0.clone().map_or_else(|| below(""), Paths::Like);
        match (&class.prefix, &class.path) {
            (Some(prefix), None) => below(prefix.value.0.as_ref().map_or("", |prefix| &prefix.0)),
            (None, Some(path)) => like(path),
            (Some(prefix), Some(path)) => {
                let help = "keep one: prefix takes everything below it, path goes by whole segments";
                let mistake = Mistake::error(path.span.clone(), "a class with prefix and path", "one too many", help);
                self.mistakes.push(mistake.and(prefix.span.clone(), "the other"));
                like(path)
            }
            (None, None) => {
                let help = "add a line such as prefix = \"/v1/\", or path = \"/*/mcp/*/server\"";
                self.error(span, "[[class]] without prefix", "prefix is missing", help);
                below("")
            }
        }
    }

    /// What cannot go with `mcp`, or would not do what is hoped.
    fn mcp(&mut self, class: &file::Class) {
        if let Some(affinity) = &class.affinity {
            let title = "a class with mcp and affinity";
            let help = "remove affinity: MCP's own sessions tie its requests, and what has no session needs no tie";
            self.error(&affinity.span, title, "tied twice", help);
        }
        if let Some(dialect) = class.dialect.as_ref().filter(|dialect| dialect.value != Dialect::JsonRpc) {
            let title = "a class with mcp whose dialect is not JSON-RPC";
            let help = "remove dialect: with mcp it is \"jsonrpc\"";
            let label = "MCP clients read JSON-RPC";
            self.mistakes.push(Mistake::warning(dialect.span.clone(), title, label, help));
        }
        let mut safe = class.safe.iter().flat_map(|safe| &safe.value);
        if let Some(post) = safe.find(|method| method.value == Method::POST) {
            let title = "a class with mcp in which every POST is safe";
            let help = "remove POST: MCP's reading methods are known and repeated anyway";
            let label = "tool calls may then happen twice";
            self.mistakes.push(Mistake::warning(post.span.clone(), title, label, help));
        }
    }

    /// What keeps a client's requests together; `None` if it is told why that cannot be.
    fn affinity(&mut self, At { value: written, span }: &At<file::Affinity>) -> Option<Affinity> {
        let by = written.by.as_ref()?.value;
        self.means_nothing(written, by);
        match (by, &written.header) {
            (By::Header, None) => {
                let help = "add header = \"x-…\", the one whose value keeps requests together";
                self.error(span, "affinity by header without header", "header is missing", help);
                None
            }
            (By::Header, Some(header)) => header.value.0.as_ref().map(|name| Affinity::Header(name.0.clone())),
            (By::Credential, _) => Some(Affinity::Credential),
            (By::Cookie, _) => {
                self.positive("ttl", written.ttl.as_ref());
                let is_sticky = written.style.as_ref().is_some_and(|style| style.value == Style::Sticky);
                let lost = match written.lost.as_ref().map(|lost| lost.value) {
                    Some(WhenLost::Refuse) => Lost::Refuse,
                    _ if is_sticky => Lost::Move,
                    _ => Lost::Visit,
                };
                if let (Some(style), Lost::Refuse) = (&written.style, lost) {
                    let title = "affinity that refuses while its region is out, and has a style";
                    let help = "remove style, or say lost = \"move\"";
                    self.error(&style.span, title, "nobody else ever serves", help);
                }
                let name = written.cookie.as_ref().map_or("anyfront-affinity", |cookie| &cookie.value.0);
                let ttl = written.ttl.as_ref().map_or(PIN_TTL, |ttl| ttl.value);
                Some(Affinity::Cookie { name: name.into(), lost, ttl })
            }
        }
    }

    /// Keys of an affinity that mean nothing with what it goes by.
    fn means_nothing(&mut self, written: &file::Affinity, by: By) {
        let of_cookies = [
            ("style", written.style.as_ref().map(|key| &key.span)),
            ("lost", written.lost.as_ref().map(|key| &key.span)),
            ("cookie", written.cookie.as_ref().map(|key| &key.span)),
            ("ttl", written.ttl.as_ref().map(|key| &key.span)),
        ];
        let header = ("header", written.header.as_ref().map(|key| &key.span));
        let of_cookies = of_cookies.into_iter().filter(|_| by != By::Cookie).map(|key| (key, "cookie"));
        let of_header = [header].into_iter().filter(|_| by != By::Header).map(|key| (key, "header"));
        for ((key, span), whose) in of_cookies.chain(of_header) {
            if let Some(span) = span {
                let title = format!("{key} means nothing in this affinity");
                let help = format!("remove it, or say by = {whose:?}");
                self.error(span, title, format!("belongs to by = {whose:?}"), help);
            }
        }
    }

    /// The hostnames of a class or of `what` else has some; `None` is all.
    pub(super) fn hostnames(
        &mut self,
        what: &str,
        list: &At<Vec<At<String>>>,
        routes: &HashMap<Hostname, RouteIndex>,
    ) -> Option<HashSet<Hostname>> {
        if list.value.is_empty() {
            self.error(
                &list.span,
                format!("a {what} on no hostname"),
                "nothing in it",
                "name hostnames, or [\"*\"] for all",
            );
        }
        let (mut hostnames, mut is_all) = (HashSet::new(), false);
        for At { value, span } in &list.value {
            if value == "*" {
                is_all = true;
                continue;
            }
            match Hostname::parse(value) {
                Ok(hostname) if routes.contains_key(&hostname) => {
                    hostnames.insert(hostname);
                }
                // A table whose name is refused may be the one that is meant.
                Ok(_)
                    if self
                        .file
                        .hostname
                        .iter()
                        .flat_map(|list| &list.value)
                        .any(|served| served.value.name.is_none()) => {}
                Ok(hostname) => {
                    let help = match nearest(
                        hostname.as_str(),
                        routes.keys().map(Hostname::as_str).filter(|_| self.may_suggest()),
                    ) {
                        Some(meant) => format!("did you mean {meant:?}?"),
                        None => "name one that has a [[hostname]] or is a region's own, or \"*\" for all".to_owned(),
                    };
                    self.error(
                        span,
                        format!("{what} on hostname {}, which does not exist", quoted(value)),
                        "no such hostname",
                        help,
                    );
                }
                Err(error) => {
                    let help = "name one that has a [[hostname]] or is a region's own, or \"*\" for all";
                    self.error(span, format!("hostnames {} {error}", quoted(value)), error.to_string(), help);
                }
            }
        }
        if is_all && list.value.len() > 1 {
            let title = format!("a {what} on \"*\" and on named hostnames");
            self.mistakes.push(Mistake::warning(
                list.span.clone(),
                title,
                "\"*\" is all of them",
                "keep the names or the \"*\"",
            ));
        }
        (!is_all).then_some(hostnames)
    }
}

/// What every HTTP implementation must keep free of effects (RFC 9110 §9.2.1), TRACE apart.
fn safe_methods() -> Vec<Method> {
    vec![Method::GET, Method::HEAD, Method::OPTIONS]
}

/// Whether `earlier` takes everything that a class on `hostnames` with `paths` could take.
fn shadows(earlier: &Class, hostnames: Option<&HashSet<Hostname>>, paths: &Paths) -> bool {
    let is_wider = match (&earlier.hostnames, hostnames) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow.is_subset(wide),
    };
    is_wider && earlier.paths.cover(paths)
}
