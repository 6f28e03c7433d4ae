//! How a request ends: a region's answer is made ours, or we have to say that there is none; and what is remembered of it.

use super::Exchange;
use crate::counters::DoorCounters;
use crate::counters::record::{Outcome, Record};
use crate::front::affinity::Bond;
use crate::front::call::Call;
use crate::front::course::{Course, is_failed_by};
use crate::front::events::{EventStream, is_event_stream};
use crate::front::grpc;
use crate::front::headers::{self, Farewell};
use crate::front::ongoing::Ongoing;
use crate::front::prepare::{call_id, here, session_lost};
use crate::front::replay::Source;
use crate::front::reply::Complaint;
use crate::front::stream::{Carried, Followed, Reply, Silence};
use crate::front::terms::Protocol;
use crate::front::tunnel::{Edge, Offer, Tunnel};
use crate::health::Fault;
use crate::topology::{Dialect, RegionIndex};
use crate::upstream::answer::Answer;
use crate::upstream::body::OutgoingError;
use crate::upstream::{AttemptError, Progress};
use http::{Response, StatusCode, Version, header};
use std::sync::Arc;

impl Exchange<'_> {
    /// The region's answer, made ours.
    pub(super) fn pass_on(mut self, mut answer: Response<Answer>, offer: Option<Offer>) -> Response<Reply> {
        let front = Arc::clone(&self.connection.front);
        let (snapshot, target) = (Arc::clone(&self.course.snapshot), self.course.target());
        let status = answer.status();
        let region = &snapshot.topology.region(target.region).name;
        if is_failed_by(status.as_u16(), headers::unserved(answer.headers()).is_some()) {
            front.recall.failed(front.clock.now(), self.key, region);
        }
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        let region_upgrade = switches.then(|| hyper::upgrade::on(&mut answer));
        let (mut parts, body) = answer.into_parts();
        let is_framed = parts.version == Version::HTTP_2 || parts.headers.contains_key(header::TRANSFER_ENCODING);
        headers::toward_client(&mut parts.headers, &self.farewell(target.region, status, parts.version));
        if !parts.headers.contains_key(headers::REQUEST_ID) {
            parts.headers.insert(headers::REQUEST_ID, self.request_id.clone());
        }
        if self.bond != Bond::Free {
            let secret = front.secret.load();
            let here = here(self.connection, &snapshot, &self.course.hostname, &secret);
            self.bond.answered(&mut parts.headers, status, region, &here);
        }
        front.passes_on(&snapshot, &self.course.hostname, target.region);
        let ongoing = self.ongoing(status);
        let state = snapshot.endpoint(target.endpoint);
        parts.version = Version::HTTP_11;
        if let (Some(offer), Some(region)) = (offer, region_upgrade) {
            let (client, edge) = offer.accept(&mut parts, self.connection);
            tokio::spawn(self.tunnel(body, edge, ongoing).join(client, region));
            return Response::from_parts(parts, Reply::own(""));
        }
        let silence = self.course.terms.patience.and_then(|patience| patience.silence);
        // With a length said before, nothing but its octets may follow.
        let is_open_ended = !parts.headers.contains_key(header::CONTENT_LENGTH);
        let events = EventStream::of(&parts.headers, self.course.terms.stream, !is_framed).filter(|_| is_open_ended);
        let is_call = self.course.terms.protocol == Protocol::Grpc && is_open_ended && grpc::speaks(&parts.headers);
        let carried = Carried {
            answer: body,
            front,
            endpoint: state.id,
            load: Arc::clone(&state.load),
            prefix: self.course.client.hash(),
            ended_by: (self.version == Version::HTTP_10).then(|| Arc::clone(&self.connection.talk)),
            call: is_call.then(|| Box::new(Call::until(self.course.deadline()))),
            idle_max: silence.unwrap_or(snapshot.topology.forward.stream_idle_timeout),
            silence_means: if silence.is_some() { Fault::Late } else { Fault::Silent },
            fails: (self.key, region.clone()),
            silence: Silence::default(),
            followed: events.map(|events| Box::new(Followed::new(events))),
            ending: None,
            given_at: 0,
            has_events: is_event_stream(&parts.headers),
            ongoing,
        };
        Response::from_parts(parts, Reply::region(carried))
    }

    fn tunnel(&self, answer: Answer, edge: Edge, ongoing: Ongoing) -> Tunnel {
        let (topology, state) = (&self.course.snapshot.topology, self.course.endpoint());
        Tunnel {
            front: Arc::clone(&self.connection.front),
            answer,
            edge,
            endpoint: state.id,
            name: topology.endpoint(self.course.target().endpoint).name.clone(),
            load: Arc::clone(&state.load),
            prefix: self.course.client.hash(),
            idle_max: topology.forward.websocket_idle_timeout,
            busy: self.connection.talk.busy(),
            alive: self.connection.alive.clone(),
            ongoing,
        }
    }

    fn farewell(&self, region: RegionIndex, status: StatusCode, version: Version) -> Arc<Farewell> {
        let (snapshot, failed) = (&self.course.snapshot, &self.course.journey.failed);
        if failed.is_empty() {
            return self.connection.part(snapshot, region, status, version);
        }
        let (site, name) = (&snapshot.here.name, &snapshot.topology.region(region).name);
        let happened = headers::happened(site, failed, Some((name, status.as_u16())));
        Arc::new(Farewell::new(version, site, name, &happened))
    }

    /// Nobody answered.
    pub(super) async fn give_up(mut self, failed: Option<AttemptError>, body: &Source) -> Response<Reply> {
        let front = Arc::clone(&self.connection.front);
        let mut outcome = Outcome::Unserved;
        let mut complaint = match body.failed() {
            Some(OutgoingError::TooSlow) => {
                outcome = Outcome::Refused;
                Complaint::closing(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the request's body came too slowly")
            }
            Some(OutgoingError::Client) => {
                outcome = Outcome::ClientGone;
                Complaint::closing(StatusCode::BAD_REQUEST, "body_incomplete", "the request's body ended early")
            }
            None if self.is_late => Complaint::late(self.course.attempts),
            None => {
                DoorCounters::count(&front.counters.door.unserved);
                let Course { snapshot, hostname, .. } = &self.course;
                front.counters.residency.refused(front.clock.wall(), &snapshot.topology, hostname);
                if let Some(region) = self.course.failed_at_last(failed) {
                    front.recall.failed(front.clock.now(), self.key, region);
                }
                if self.bond.is_session() && reached_nobody(failed) { session_lost() } else { Complaint::of(failed) }
            }
        };
        // The official SDKs of models repeat what failed, and are meant to. A tool call acts.
        let has_reached = failed.is_some_and(|error| error.progress == Progress::Sent);
        complaint.is_final = has_reached && !self.course.terms.is_safe && self.course.terms.dialect != Dialect::OpenAi;
        let happened = headers::happened(&self.course.snapshot.here.name, &self.course.journey.failed, None);
        let happened = (!happened.is_empty()).then_some(happened.as_str());
        self.unanswered(outcome, Some((complaint.status, complaint.code)));
        let is_call = matches!(self.bond, Bond::Session(_)) && !complaint.closes;
        let call_id = if is_call { call_id(body).await } else { None };
        complaint.to_call(call_id).answer(self.course.terms.dialect, &self.request_id, happened, front.roll())
    }

    /// The request whose answer begins with this head.
    fn ongoing(&mut self, status: StatusCode) -> Ongoing {
        self.is_told = true;
        let (topology, target) = (Arc::clone(&self.course.snapshot.topology), self.course.target());
        let region = topology.region(target.region).name.clone();
        let mut record = self.record();
        record.elapsed = Some(self.connection.front.clock.now().since(self.course.began));
        record.first_byte = self.first_byte;
        record.status = status.as_u16();
        record.wish = record.decided.wish.word(target.region);
        record.endpoint = Some(topology.endpoint(target.endpoint).name.clone());
        let country = self.course.client.place.country;
        let of = (&self.course.hostname, Some((target.region, &region)), &self.class);
        let place = self.connection.place(&self.course.snapshot, of, country);
        record.region = Some(region);
        Ongoing::new(&self.connection.front, record, place, self.octets_up.clone())
    }

    /// The request ends without a region's answer; with our own, if there is one.
    fn unanswered(&mut self, outcome: Outcome, answer: Option<(StatusCode, &'static str)>) {
        self.is_told = true;
        let front = &self.connection.front;
        let mut record = self.record();
        record.outcome = outcome;
        record.octets_up = self.octets_up.octets();
        if let Some((status, code)) = answer {
            record.elapsed = Some(front.clock.now().since(self.course.began));
            (record.status, record.reason) = (status.as_u16(), Some(code));
        }
        let Course { snapshot, hostname, client, .. } = &self.course;
        let place = self.connection.place(snapshot, (hostname, None, &self.class), client.place.country);
        front.conclude(Some(&place), record);
    }

    /// What is known of the request while nobody has answered. Nothing more is asked of it after this.
    fn record(&mut self) -> Record {
        let front = &self.connection.front;
        let course = &mut self.course;
        front.counters.records.decided_by(&course.snapshot);
        tracing::debug!(hostname = %course.hostname, client = %course.client.prefix, generation = course.snapshot.generation, attempt = course.attempts, version = ?self.version, private_link = self.connection.arrival.link.as_ref().map(tracing::field::display), method = %self.method, decision = %self.id, "a request was steered");
        Record {
            id: self.id,
            began: course.began,
            elapsed: None,
            lasted: std::time::Duration::ZERO,
            outcome: Outcome::UnderWay,
            reason: None,
            hostname: Some(course.hostname.clone()),
            class: Some(Arc::clone(&self.class)),
            prefix: course.client.prefix,
            client: Some(Arc::clone(&course.client)),
            method: self.method.clone(),
            path: self.path.take(),
            version: self.version,
            request_id: self.request_id.clone(),
            link: self.connection.arrival.link.clone(),
            trace: self.trace,
            decided: std::mem::take(&mut course.decided),
            has_residency: self.has_residency,
            region: None,
            endpoint: None,
            wish: None,
            status: 0,
            attempts: course.attempts,
            failed: std::mem::take(&mut course.journey.failed),
            first_byte: None,
            gap: None,
            octets_up: 0,
            octets_down: 0,
        }
    }
}

impl Drop for Exchange<'_> {
    /// Nobody waits for an answer any more.
    fn drop(&mut self) {
        if !self.is_told {
            self.unanswered(Outcome::ClientGone, None);
        }
    }
}

/// Whether no endpoint could be reached, through no fault of this node and not for the client's haste.
fn reached_nobody(failed: Option<AttemptError>) -> bool {
    failed.is_none_or(|error| error.progress == Progress::Unsent && !matches!(error.fault, Fault::Local | Fault::Late))
}
