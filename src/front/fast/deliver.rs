//! An answer's way to the client on the fast path, and what is remembered of its request.

use super::head::{Answered, Asked, Extent};
use super::relay::{Broken, Relay};
use super::{Errand, Fast, Next};
use crate::counters::DoorCounters;
use crate::counters::record::{Outcome, Record};
use crate::front::course::{Course, is_failed_by};
use crate::front::failover::is_failure;
use crate::front::recall::{Key, Who};
use crate::health::Fault;
use crate::load::InFlight;
use crate::moment::Moment;
use crate::names::Label;
use crate::upstream::pool::Bare;
use http::{Method, Version};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// What is known of a request besides its errand once its answer has begun.
struct Begun {
    method: Method,
    octets_up: u64,
    status: u16,
    now: Moment,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Fast<'_, S> {
    /// The answer to its end. From here on nothing can be taken back.
    pub(super) async fn deliver(
        &mut self,
        asked: Asked,
        errand: &mut Errand,
        mut bare: Bare,
        answered: Answered,
        in_flight: InFlight,
    ) -> Next {
        let (path, errand) = (errand.path.take(), &*errand);
        let now = self.passes_on(errand);
        let is_failed = is_failed_by(answered.status, answered.unserved.is_some());
        let octets_here = self.rooms.answer.len() - answered.head_bytes;
        let is_here = matches!(answered.extent, Extent::Length(octets) if octets <= octets_here as u64);
        let key = (is_failed || !is_here).then(|| self.key(&asked, errand));
        let front = &self.connection.front;
        let region = errand.course.region();
        if let Some(key) = key.filter(|_| is_failed) {
            front.recall.failed(now, key, region);
        }
        if let Some(budget) = self.preface.budget.as_ref().filter(|_| !is_failure(answered.status)) {
            budget.succeeded(now);
        }
        self.input.drain(..asked.head_bytes + asked.body_bytes);
        if answered.extent == Extent::UntilClose {
            // Until it has ended well, whatever else may end it.
            self.talk.ends_in_reset();
        }
        if answered.closes && !asked.closes {
            self.talk.leaves();
        }
        let begun = Begun { method: asked.method, octets_up: asked.body_bytes as u64, status: answered.status, now };
        self.rooms.lines = asked.lines;
        // What has all at hand is over before anybody could ask.
        if !is_here {
            front.counters.records.show(self.record(errand, &begun));
        }
        let mut relay = Relay::new(
            front,
            &mut self.client,
            &mut bare.stream,
            &mut self.rooms.reply,
            (answered.extent, answered.is_event_stream),
            errand.course.snapshot.topology.forward.stream_idle_timeout,
        );
        let carried = relay.run(&self.rooms.answer[answered.head_bytes..], &mut self.input).await;
        let (octets, gap) = (relay.octets, relay.gap);
        let (outcome, fault) = match carried {
            Ok(_) => (Outcome::Complete, None),
            Err(Broken::Client) => (Outcome::ClientGone, None),
            Err(Broken::Region(fault)) => (Outcome::Cut, Some(fault)),
        };
        drop(in_flight);
        let mut record = self.record(errand, &begun);
        (record.outcome, record.reason) = (outcome, fault.map(Fault::as_str));
        (record.octets_down, record.gap, record.path) = (octets, gap, path);
        self.conclude(errand, record, Some(region));
        match (carried, fault) {
            (Ok(is_clean), _) => {
                if is_clean && answered.is_kept {
                    errand.pool.put_back_bare(bare);
                }
                self.go_on(answered.closes).await
            }
            (Err(_), None) => Next::End,
            (Err(_), Some(fault)) => {
                self.blame(errand, fault, key);
                Next::End
            }
        }
    }

    /// The answer has come to its end; the connection to its own, if it `closes`.
    async fn go_on(&mut self, closes: bool) -> Next {
        if !closes {
            return Next::Request;
        }
        self.talk.ends_well();
        let _ = self.client.shutdown().await;
        Next::End
    }

    /// The region broke off what it had begun.
    fn blame(&self, errand: &Errand, fault: Fault, key: Option<Key>) {
        let front = &self.connection.front;
        DoorCounters::count(&front.counters.door.cut);
        if let Some(key) = key {
            front.recall.failed(front.clock.now(), key, errand.course.region());
        }
        front.tell(Some(errand.course.broke_off(fault)));
    }

    /// What the region answered is passed on from now.
    fn passes_on(&self, errand: &Errand) -> Moment {
        let Course { snapshot, hostname, .. } = &errand.course;
        self.connection.front.passes_on(snapshot, hostname, errand.course.target().region);
        self.took()
    }

    /// One more request is on its way to its end. When that was.
    fn took(&self) -> Moment {
        self.talk.served();
        let front = &self.connection.front;
        DoorCounters::count(&front.counters.door.requests);
        front.clock.now()
    }

    /// The client has gone before there was an answer.
    pub(super) fn abandoned(&self, asked: &Asked, errand: &mut Errand) {
        let now = self.took();
        let begun = Begun { method: asked.method.clone(), octets_up: asked.body_bytes as u64, status: 0, now };
        let mut record = self.record(errand, &begun);
        (record.outcome, record.path) = (Outcome::ClientGone, errand.path.take());
        (record.elapsed, record.first_byte, record.region, record.endpoint) = (None, None, None, None);
        self.conclude(errand, record, None);
    }

    /// Counts and tells a request that has ended.
    #[inline]
    fn conclude(&self, errand: &Errand, record: Record, region: Option<&Label>) {
        let front = &self.connection.front;
        let Course { snapshot, hostname, client, .. } = &errand.course;
        let region = region.map(|name| (errand.course.target().region, name));
        let place = self.connection.place(snapshot, (hostname, region, &errand.class), client.place.country);
        front.conclude(Some(&place), record);
    }

    /// What is known of a request whose answer has begun.
    #[inline]
    fn record(&self, errand: &Errand, begun: &Begun) -> Record {
        let course = &errand.course;
        let (topology, target) = (&course.snapshot.topology, course.target());
        self.connection.front.counters.records.decided_by(&course.snapshot);
        Record {
            id: errand.id,
            began: course.began,
            elapsed: Some(begun.now.since(course.began)),
            lasted: Duration::ZERO,
            outcome: Outcome::UnderWay,
            reason: None,
            hostname: Some(course.hostname.clone()),
            class: Some(Arc::clone(&errand.class)),
            prefix: course.client.prefix,
            client: Some(Arc::clone(&course.client)),
            method: begun.method.clone(),
            path: None,
            version: Version::HTTP_11,
            request_id: errand.request_id.clone(),
            link: self.connection.arrival.link.clone(),
            trace: None,
            decided: course.decided.clone(),
            has_residency: errand.has_residency,
            region: Some(topology.region(target.region).name.clone()),
            endpoint: Some(topology.endpoint(target.endpoint).name.clone()),
            wish: None,
            status: begun.status,
            attempts: course.attempts,
            failed: Vec::new(),
            first_byte: Some(errand.headed_at.since(errand.sent_at)),
            gap: None,
            octets_up: begun.octets_up,
            octets_down: 0,
        }
    }

    /// What the client is remembered by if it is failed.
    fn key(&self, asked: &Asked, errand: &Errand) -> Key {
        let octets = |(start, end): (usize, usize)| &self.input[start..end];
        let target = std::str::from_utf8(octets(asked.target)).unwrap_or_default();
        let [authorization, api_key] = asked.credentials.map(|place| place.map_or(&[][..], octets));
        self.connection.front.recall.key(Who {
            address: self.connection.arrival.peer.to_canonical(),
            authorization,
            api_key,
            hostname: &errand.course.hostname,
            path: target.split_once('?').map_or(target, |(path, _)| path),
        })
    }
}
