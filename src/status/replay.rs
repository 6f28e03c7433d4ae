//! Why a request went where it went: its decision replayed from what was remembered of it, and what became of it.
//!
//! Nothing here retells: the function that steered decides again, from the same inputs. What is gone is said to be gone.

use crate::counters::Counters;
use crate::counters::record::{Decided, Failed, Record};
use crate::counters::records::DecisionId;
use crate::moment::Moment;
use crate::names::{EndpointName, Label};
use crate::snapshot::Snapshot;
use crate::steering::decision::Decision;
use crate::steering::{Query, steer};
use crate::topology::RegionIndex;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// A request and its decisions.
#[derive(Debug)]
pub struct Replay {
    record: Record,
    /// How long ago its head came.
    age: Duration,
    steps: Vec<Step>,
}

/// One decision, and the attempt that followed it.
#[derive(Debug)]
struct Step {
    generation: u64,
    /// Nothing if the generation is gone.
    replayed: Option<(Arc<Snapshot>, Decision)>,
    /// `None`: the one that was answered, or none was made.
    failed: Option<Failed>,
}

impl Replay {
    /// The request whose decision is called `id`, `now`.
    ///
    /// # Errors
    /// A status and a sentence: 400 for what is no such name, 404 for one that is not remembered.
    pub fn find(counters: &Counters, now: Moment, id: &str) -> Result<Self, (u16, String)> {
        let wrong =
            || (400, format!("{id:?} is no decision: x-anyfront-decision of an answer has 16 hexadecimal digits"));
        let id = DecisionId::parse(id).ok_or_else(wrong)?;
        let record = counters.find(id).ok_or_else(|| {
            let text = format!(
                "decision {id} is not remembered: each worker keeps its last requests, none over a restart; or another \
                 node made it (via of the answer says which)"
            );
            (404, text)
        })?;
        let steps = steps(counters, &record);
        Ok(Self { age: now.since(record.began), record, steps })
    }

    /// As JSON: the first decision as `GET /explain` has it, and besides what was asked, what came of it, and every attempt.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let first = self.steps.first();
        let decided = |step: &Step| {
            let (snapshot, decision) = step.replayed.as_ref()?;
            Some(decision.to_json(snapshot, self.record.client.as_ref()?))
        };
        let mut json = first.and_then(decided).unwrap_or_else(|| {
            let gone = first.map(|step| gone(step.generation));
            json!({ "hostname": self.record.hostname, "generation": first.map(|step| step.generation), "gone": gone })
        });
        let attempts = self.steps.iter().enumerate().filter(|(_, step)| self.was_made(step));
        let attempts = attempts.map(|(at, step)| {
            let mut attempt = self.attempt(step);
            attempt["decision"] = decided(step).filter(|_| at > 0).unwrap_or_default();
            attempt
        });
        json["attempts"] = attempts.collect();
        json["request"] = self.request();
        json
    }

    fn request(&self) -> Value {
        let record = &self.record;
        json!({
            "decision": record.id.to_string(),
            "request_id": String::from_utf8_lossy(record.request_id.as_bytes()),
            "age_ms": milliseconds(self.age),
            "method": record.method.as_str(),
            "class": record.class,
            "client": record.prefix,
            "private_link": record.link.as_ref().map(ToString::to_string),
            "wish": record.wish,
            "has_residency": record.has_residency,
            "region": record.region,
            "endpoint": record.endpoint.as_ref().map(EndpointName::as_str),
            "passed_over": self.passed_over(),
            "status": Some(record.status).filter(|status| *status > 0),
            "outcome": record.outcome.as_str(),
            "reason": record.reason,
            "attempts": record.attempts,
            "elapsed_ms": record.elapsed.map(milliseconds),
            "added_ms": record.added().map(milliseconds),
            "first_byte_ms": record.first_byte.map(milliseconds),
            "gap_ms": record.gap.map(milliseconds),
            "lasted_ms": milliseconds(record.lasted),
            "bytes_up": record.octets_up,
            "bytes_down": record.octets_down,
        })
    }

    fn attempt(&self, step: &Step) -> Value {
        let record = &self.record;
        match &step.failed {
            Some(failed) => json!({
                "attempt": failed.number,
                "region": failed.region,
                "endpoint": failed.endpoint.as_str(),
                "generation": step.generation,
                "outcome": failed.fault.as_str(),
                "reason": failed.reason.as_ref().map_or_else(|| failed.fault.to_string(), ToString::to_string),
                "elapsed_ms": milliseconds(failed.elapsed),
            }),
            None => json!({
                "attempt": record.attempts,
                "region": record.region,
                "endpoint": record.endpoint.as_ref().map(EndpointName::as_str),
                "generation": step.generation,
                "outcome": "answered",
                "reason": format!("status {}", record.status),
                "elapsed_ms": record.first_byte.map(milliseconds),
            }),
        }
    }

    /// Whether there was an attempt behind a decision.
    fn was_made(&self, step: &Step) -> bool {
        step.failed.is_some() || self.record.region.is_some()
    }

    /// Regions that the last decision ranks before the one that answered and that were not asked: none of their endpoints
    /// could be, because none had an address or an operator kept new work away.
    fn passed_over(&self) -> Vec<String> {
        let last = self.steps.last().and_then(|step| step.replayed.as_ref());
        let (Some((snapshot, decision)), Some(region)) = (last, &self.record.region) else { return Vec::new() };
        let names = decision.candidates.iter().map(|candidate| &snapshot.topology.region(candidate.region).name);
        let before = names.take_while(|name| *name != region);
        let is_tried = |name: &Label| self.record.failed.iter().any(|failed| failed.region == *name);
        before.filter(|name| !is_tried(name)).map(ToString::to_string).collect()
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.headline();
        let Some(first) = self.steps.first() else {
            let _ = writeln!(text, "  nothing was steered for it");
            return text;
        };
        text.push('\n');
        text.push_str(&self.told(first));
        if self.record.failed.is_empty() {
            return text;
        }
        text.push_str("\nattempts:\n");
        for (at, step) in self.steps.iter().enumerate().filter(|(_, step)| self.was_made(step)) {
            let attempt = self.attempt(step);
            let word = |name: &str| attempt[name].as_str().unwrap_or("-").to_owned();
            let took = attempt["elapsed_ms"].as_f64().unwrap_or_default();
            let _ = writeln!(
                text,
                "  {:>2}  {:<12} {:<28} {took:>8.1} ms  generation {}: {}, {}",
                at + 1,
                word("region"),
                word("endpoint"),
                step.generation,
                word("outcome"),
                word("reason")
            );
        }
        for (at, step) in self.steps.iter().enumerate().skip(1).filter(|(_, step)| self.was_made(step)) {
            let _ = write!(text, "\nthe decision for attempt {}:\n{}", at + 1, self.told(step));
        }
        text
    }

    fn headline(&self) -> String {
        let record = &self.record;
        let hostname = record.hostname.as_ref().map_or("a hostname that is not served", |name| name.as_str());
        let mut text = format!("decision {}: {} for {hostname}", record.id, record.method);
        if let Some(class) = &record.class {
            let _ = write!(text, ", class {class}");
        }
        let _ = writeln!(text, ", {:.1} s ago", self.age.as_secs_f64());
        let _ = write!(text, "  {}", record.outcome.as_str().replace('_', " "));
        if let Some(reason) = record.reason {
            let _ = write!(text, " ({reason})");
        }
        if record.status > 0 {
            let _ = write!(text, ", status {}", record.status);
        }
        if let (Some(region), Some(endpoint)) = (&record.region, &record.endpoint) {
            let _ = write!(text, ", from {region} ({})", endpoint.as_str());
        }
        let attempts = if record.attempts == 1 { "attempt" } else { "attempts" };
        let _ = writeln!(text, ", {} {attempts}", record.attempts);
        if let Some(elapsed) = record.elapsed {
            let _ = write!(text, "  the answer began after {:.1} ms", milliseconds(elapsed));
            if let (Some(first_byte), Some(added)) = (record.first_byte, record.added()) {
                let (region, here) = (milliseconds(first_byte), milliseconds(added));
                let _ = write!(text, ": {region:.1} ms at the region, {here:.1} ms here");
            }
            text.push('\n');
        }
        if let Some(gap) = record.gap {
            let _ = writeln!(text, "  its events paused for {:.1} ms at most", milliseconds(gap));
        }
        for region in self.passed_over() {
            let _ = writeln!(text, "  {region} ranks higher and had no endpoint that could be asked");
        }
        text
    }

    fn told(&self, step: &Step) -> String {
        match (&step.replayed, &self.record.client) {
            (Some((snapshot, decision)), Some(client)) => decision.to_text(snapshot, client),
            _ => format!("  {}\n", gone(step.generation)),
        }
    }
}

/// Every decision that was made for a request, in order.
fn steps(counters: &Counters, record: &Record) -> Vec<Step> {
    if record.client.is_none() {
        return Vec::new();
    }
    let mut left: Vec<&Label> = Vec::new();
    let mut steps = Vec::new();
    let is_answered = record.region.is_some();
    let last = (is_answered || record.failed.is_empty()).then_some((&record.decided, None));
    let all = record.failed.iter().map(|failed| (&failed.decided, Some(failed))).chain(last);
    for (decided, failed) in all {
        let snapshot = counters.decided_by(decided.generation);
        let replayed = snapshot.and_then(|snapshot| {
            let decision = replay(record, decided, &left, &snapshot)?;
            Some((snapshot, decision))
        });
        steps.push(Step { generation: decided.generation, replayed, failed: failed.cloned() });
        left.extend(failed.filter(|failed| failed.leaves_region).map(|failed| &failed.region));
    }
    steps
}

fn replay(record: &Record, decided: &Decided, left: &[&Label], snapshot: &Snapshot) -> Option<Decision> {
    let topology = &snapshot.topology;
    let route = *topology.route_by_hostname.get(record.hostname.as_ref()?)?;
    let left = left.iter().filter(|_| !decided.starts_over);
    let tried: Vec<RegionIndex> = left.filter_map(|name| topology.region_named(name.as_str())).collect();
    let (client, full, wish) = (record.client.as_ref()?, &decided.full[..], decided.wish);
    Some(steer(snapshot, &Query { route, client, tried: &tried, full, wish }))
}

fn gone(generation: u64) -> String {
    format!(
        "generation {generation} is gone: only the newest that decided something are kept, of the file in force and the one before"
    )
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
