//! Kinds of traffic.

use super::{At, Proof};
use crate::limits::CLASSES_MAX;
use crate::names::Hostname;
use crate::topology::mistake::Mistake;
use crate::topology::read::{nearest, quoted};
use crate::topology::{Class, Dialect, RouteIndex, StreamEnd};
use http::Method;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

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
            let prefix = class.prefix.as_ref().map_or("", |prefix| &prefix.value.0);
            if let Some(at) = classes.iter().position(|earlier| shadows(earlier, hostnames.as_ref(), prefix)) {
                let title = format!("class {} can never match", quoted(prefix));
                let help = "move the narrower class before the wider one: the first that matches counts";
                let mistake = Mistake::warning(span.clone(), title, "everything in it is taken", help);
                self.mistakes.push(mistake.and(written[at].span.clone(), "by this one"));
            }
            classes.push(Class {
                hostnames,
                prefix: prefix.into(),
                dialect: class.dialect.as_ref().map_or_else(Dialect::default, |dialect| dialect.value),
                safe: match &class.safe {
                    Some(safe) => safe.value.iter().map(|method| method.value.clone()).collect(),
                    None => safe_methods(),
                },
                idempotency_key: class.idempotency_key.as_ref().is_some_and(|honoured| honoured.value),
                commit_hold: class.commit_hold.as_ref().map_or(COMMIT_HOLD, |hold| hold.value),
                keep_alive: class.keep_alive.as_ref().map(|pause| pause.value).filter(|pause| !pause.is_zero()),
                stream_end: class.stream_end.as_ref().map_or_else(StreamEnd::default, |end| end.value),
            });
        }
        classes.push(Class {
            hostnames: None,
            prefix: "".into(),
            dialect: Dialect::Plain,
            safe: safe_methods(),
            idempotency_key: false,
            commit_hold: COMMIT_HOLD,
            keep_alive: None,
            stream_end: StreamEnd::Any,
        });
        classes
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

/// Whether `earlier` takes everything that a class on `hostnames` below `prefix` could take.
fn shadows(earlier: &Class, hostnames: Option<&HashSet<Hostname>>, prefix: &str) -> bool {
    let is_wider = match (&earlier.hostnames, hostnames) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow.is_subset(wide),
    };
    is_wider && prefix.starts_with(&*earlier.prefix)
}
