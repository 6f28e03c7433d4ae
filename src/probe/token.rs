//! The kind `token`: opens a tiny stream of a model and watches it flow.
//!
//! A gateway can answer `/health` at once while its streams are stuck; only who reads a stream finds that out. Nothing
//! is asked but a few tokens of a model that costs nothing.

use super::check::Question;
use super::flow::{Flow, Wanted};
use crate::health::Fault;
use crate::health::opinion::Flowed;
use crate::limits::{PROBE_BODY_BYTES_MAX, PROBE_STREAM_BYTES_MAX};
use crate::moment::Clock;
use crate::sse::Collector;
use crate::sse::names_events;
use crate::topology::ProbeKind;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use serde_json::json;
use std::time::Duration;

/// What the model is told; the shortest prompt that any will answer.
const PROMPT: &str = "ping";
/// Tokens asked for besides the events that must come: the first and the last event of a stream have none.
const TOKENS_TO_SPARE: u32 = 1;

/// Asks, and says how long the answer's head took; how the stream flowed is in `flowed`, also if it failed.
pub(super) async fn ask(
    question: &Question,
    kind: &ProbeKind,
    clock: Clock,
    flowed: &mut Flowed,
) -> Result<Duration, Fault> {
    let ProbeKind::Token { path, model, events, first_event, gap, authorization } = kind else {
        return Err(Fault::Protocol);
    };
    let wanted = Wanted { events: *events, first_event: *first_event, gap: *gap };
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(authorization) = authorization {
        fields.insert(AUTHORIZATION, authorization.clone());
    }
    let body = json!({
        "model": &**model, "stream": true, "max_tokens": events.saturating_add(TOKENS_TO_SPARE),
        "messages": [{ "role": "user", "content": PROMPT }],
    });
    let dialled = question.dial(*first_event).await?;
    let asked = clock.now();
    let mut flow = Flow::new(wanted, asked);
    let head = question.send(dialled, (Method::POST, path), fields, Bytes::from(body.to_string()));
    let until = clock.instant(flow.deadline());
    let response = tokio::time::timeout_at(until, head).await.unwrap_or(Err(Fault::Silent))?;
    let elapsed = clock.now().since(asked);
    if !response.status().is_success() {
        return Err(Fault::Status(response.status().as_u16()));
    }
    if !is_event_stream(response.headers()) {
        return Err(Fault::Body);
    }
    let mut body = response.into_body();
    let mut collector = Collector::new(PROBE_BODY_BYTES_MAX);
    let mut bytes = 0;
    loop {
        let until = clock.instant(flow.deadline());
        let frame = match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => return Err(Fault::Stalled),
            // An end without its mark is no end.
            Ok(None | Some(Err(_))) => return Err(Fault::Cut),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len();
        let events = collector.feed(&data).map_err(|_| Fault::Body)?;
        for event in events {
            let judged = flow.event(clock.now(), &event);
            *flowed = flow.flowed();
            if judged? {
                return Ok(elapsed);
            }
        }
        if bytes > PROBE_STREAM_BYTES_MAX {
            return Err(Fault::Body);
        }
    }
}

/// Whether an answer is a stream of events.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| names_events(kind.as_bytes()))
}
