//! How long a client's connection goes on taking requests: until it is old, or the node ends.
//!
//! Clients cling to connections, and may have to go for reasons that are ours alone. So nobody is cut, and nobody loses a
//! request that is on its way: HTTP/1.1 is told with an answer that it is the last (RFC 9112 §9.6), HTTP/2 with GOAWAY,
//! which names the last stream only when the client has read that there will be a last one (RFC 9113 §6.8).

use super::guard::Talk;
use crate::limits::{FAREWELL, KEEP_ALIVE_IDLE};
use crate::moment::{Clock, Moment};
use crate::shutdown::requested;
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use std::sync::OnceLock;
use tokio::sync::watch;

/// Said with an answer after which the connection stays: how long it stays idle ([`KEEP_ALIVE_IDLE`]). The pools of
/// Node.js keep theirs for four seconds if nothing is said, and drop it in time if something is. The first field says
/// that the second goes no further (RFC 9110 §7.6.1).
pub const STAYS: &[u8] = b"connection: keep-alive\r\nkeep-alive: timeout=75\r\n";
const STAYS_SO_LONG: &str = "timeout=75";
const _: () = assert!(KEEP_ALIVE_IDLE.as_secs() == 75, "it is what we say");

/// When one connection has to go.
#[derive(Debug)]
pub struct Lifetime {
    until: Option<Moment>,
    ending: watch::Receiver<bool>,
    /// Since when clients are told.
    told_since: OnceLock<Moment>,
}

impl Lifetime {
    /// Of a connection that is old at `until`, at a node that ends with `ending`.
    #[must_use]
    pub fn new(until: Option<Moment>, ending: watch::Receiver<bool>) -> Self {
        Self { until, ending, told_since: OnceLock::new() }
    }

    /// Whether it has to go.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        *self.ending.borrow() || self.until.is_some_and(|until| now >= until)
    }

    /// Whether the answer that is ready `now` should be the last. Not while `has_more`: what the client has sent ahead is
    /// answered too, for [`FAREWELL`] at most.
    #[must_use]
    pub fn ends_now(&self, now: Moment, has_more: bool) -> bool {
        self.is_over(now) && (!has_more || now.since(*self.told_since.get_or_init(|| now)) >= FAREWELL)
    }

    /// Comes back when it has to go.
    pub async fn over(&self, clock: Clock) {
        let mut ending = self.ending.clone();
        match self.until {
            None => requested(&mut ending).await,
            Some(until) => tokio::select! {
                () = requested(&mut ending) => {}
                () = tokio::time::sleep_until(clock.instant(until)) => {}
            },
        }
    }

    /// For [`given_up`].
    #[must_use]
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ending.clone()
    }

    /// Writes into the head of an answer in `version` whether the connection stays. `wants_close`: the client said that it
    /// does not.
    pub fn say(
        &self,
        now: Moment,
        talk: &Talk,
        (version, wants_close): (Version, bool),
        status: StatusCode,
        headers: &mut HeaderMap,
    ) {
        let is_said = wants_close || status == StatusCode::SWITCHING_PROTOCOLS;
        if version == Version::HTTP_2 || is_said || headers.contains_key(header::CONNECTION) {
            return;
        }
        if self.ends_now(now, talk.has_more()) {
            talk.leaves();
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        } else if version == Version::HTTP_11 && !self.is_over(now) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
            headers.insert("keep-alive", HeaderValue::from_static(STAYS_SO_LONG));
        }
    }
}

/// Comes back when the node ends and nobody should wait for a request on an idle connection any more.
pub async fn given_up(ending: &mut watch::Receiver<bool>) {
    requested(ending).await;
    // Rarely needed, and every idle connection would have room for it.
    Box::pin(tokio::time::sleep(FAREWELL)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_sent_ahead_is_answered_but_not_for_ever() {
        let (end, ending) = watch::channel(false);
        let at = |seconds| Moment::at(Duration::from_secs(seconds));
        let lifetime = Lifetime::new(Some(at(10)), ending);
        assert!(!lifetime.ends_now(at(9), false));
        assert!(lifetime.ends_now(at(10), false));
        assert!(!lifetime.ends_now(at(20), true), "told for the first time");
        assert!(!lifetime.ends_now(at(20), true));
        assert!(lifetime.ends_now(at(20) + FAREWELL, true));

        let lifetime = Lifetime::new(None, lifetime.ending.clone());
        assert!(!lifetime.is_over(at(1_000_000)));
        end.send_replace(true);
        assert!(lifetime.is_over(at(0)));
    }
}
