//! What webhooks are told, and how it is signed: Standard Webhooks.
//!
//! The body is JSON with `type`, `timestamp` and `data`; incidents in it have the shape that Statuspage's second interface gives
//! them. Signed is `id.timestamp.body` with HMAC-SHA-256, base64 behind `v1,`; while a secret is replaced, with both.

use super::news::News;
use super::outbox::{Content, Message};
use crate::history::story::{Incident, Subject, Update};
use crate::moment::rfc3339;
use crate::topology::status::Status;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::time::Duration;

/// Octets of a secret.
pub const SECRET_BYTES: usize = 24;
/// What a secret begins with as it is shown.
const PREFIX: &str = "whsec_";

/// A secret that nobody can guess.
///
/// # Panics
/// If the system has no randomness to give.
#[must_use]
pub fn fresh_secret() -> Vec<u8> {
    let mut secret = vec![0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut secret).expect("the system gives randomness");
    secret
}

/// A secret as it is shown.
#[must_use]
pub fn shown(secret: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(secret))
}

/// The header fields of a message: its id, when it is sent (seconds), and a signature by each of `secrets`.
#[must_use]
pub fn signed(id: &str, wall: Duration, body: &[u8], secrets: &[Vec<u8>]) -> HeaderMap {
    let timestamp = wall.as_secs().to_string();
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let sign = |secret: &Vec<u8>| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &content);
        format!("v1,{}", STANDARD.encode(tag))
    };
    let signatures = secrets.iter().map(sign).collect::<Vec<_>>().join(" ");
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signatures)] {
        let value = HeaderValue::from_str(value).expect("ids, digits and base64 are plain");
        fields.insert(HeaderName::from_static(name), value);
    }
    fields
}

/// What a message says.
#[must_use]
pub fn body(message: &Message, page: &Status) -> Vec<u8> {
    let value = match &message.content {
        Content::News(news) => match &news[..] {
            [one] => told(one, page),
            many => json!({
                "type": "updates.gathered",
                "timestamp": rfc3339(message.created),
                "data": { "events": many.iter().map(|news| told(news, page)).collect::<Vec<_>>(), "page": shown_page(page) },
            }),
        },
        Content::Confirm | Content::Known => test(page, message.created),
    };
    value.to_string().into_bytes()
}

/// What a test says.
#[must_use]
pub fn test(page: &Status, wall: Duration) -> Value {
    let about = "This is a test. Answer with any status from 200 to 299 to be told of incidents here.";
    json!({
        "type": "subscription.test",
        "timestamp": rfc3339(wall),
        "data": { "message": about, "page": shown_page(page) },
    })
}

fn told(news: &News, page: &Status) -> Value {
    let (incident, update) = (&news.incident, news.update());
    json!({
        "type": news.event(),
        "timestamp": rfc3339(update.at),
        "data": {
            "incident": shown_incident(incident, page),
            "update": shown_update(incident, update),
            "components": components(&incident.subjects),
            "page": shown_page(page),
        },
    })
}

fn shown_page(page: &Status) -> Value {
    json!({ "name": page.title, "url": page.url })
}

fn components(subjects: &[Subject]) -> Value {
    subjects.iter().map(|subject| json!({ "id": subject.id(), "name": subject.name() })).collect()
}

/// An incident or a maintenance as Statuspage's interface shows it.
fn shown_incident(incident: &Incident, page: &Status) -> Value {
    let time = |at: Option<Duration>| at.map(rfc3339);
    let at_phase = |wanted: &str| incident.updates.iter().find(|update| update.phase.as_str() == wanted);
    let updates = incident.updates.iter().rev().map(|update| shown_update(incident, update));
    json!({
        "id": incident.id,
        "name": incident.title,
        "status": incident.phase.as_str(),
        "impact": incident.impact.as_str(),
        "created_at": rfc3339(incident.opened_at),
        "started_at": rfc3339(incident.opened_at),
        "updated_at": rfc3339(incident.updated_at()),
        "monitoring_at": time(at_phase("monitoring").map(|update| update.at)),
        "resolved_at": time(incident.closed_at),
        "scheduled_for": time(incident.window.map(|(from, _)| from)),
        "scheduled_until": time(incident.window.map(|(_, until)| until)),
        "shortlink": page.url.as_ref().map(|url| format!("{url}/incident/{}", incident.id)),
        "incident_updates": updates.collect::<Vec<_>>(),
        "components": components(&incident.subjects),
    })
}

fn shown_update(incident: &Incident, update: &Update) -> Value {
    let at = rfc3339(update.at);
    json!({
        "id": update.id,
        "incident_id": incident.id,
        "status": update.phase.as_str(),
        "body": update.text,
        "created_at": at,
        "updated_at": at,
        "display_at": at,
        "affected_components": components(&incident.subjects),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_published_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let wall = Duration::from_secs(1_614_265_330);
        let fields =
            signed("msg_p5jXN8AQM9LWM0D4loKWxJek", wall, br#"{"test": 2432232314}"#, &[secret.clone(), vec![7; 24]]);
        let signatures = fields["webhook-signature"].to_str().expect("text");
        assert!(signatures.starts_with("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,"), "{signatures}");
        assert_eq!(fields["webhook-timestamp"], "1614265330");
        assert_eq!(shown(&secret), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_ne!(fresh_secret(), fresh_secret());
    }
}
