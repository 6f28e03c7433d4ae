//! Records as spans, in the JSON of OTLP (opentelemetry-proto 1, `ExportTraceServiceRequest`): a server's span for each
//! request, and below it a client's for each attempt. A machine.

use crate::counters::record::{Failed, Outcome, Record};
use crate::counters::trace::Trace;
use crate::names::{Hostname, Label};
use serde_json::{Value, json};
use std::time::Duration;

/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;
/// `SPAN_KIND_CLIENT`.
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The message that tells of these spans, by the resource of these attributes.
#[must_use]
pub fn message(resource: &[(String, String)], spans: &[Value]) -> Value {
    let attributes: Vec<Value> = resource.iter().map(|(key, value)| text(key, value)).collect();
    json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes },
            "scopeSpans": [{ "scope": { "name": "anyfront", "version": env!("CARGO_PKG_VERSION") }, "spans": spans }],
        }],
    })
}

/// The spans of a request that began at `began`, wall clock.
#[must_use]
pub fn spans(record: &Record, trace: Trace, began: Duration) -> Vec<Value> {
    let mut spans = Vec::with_capacity(record.failed.len() + 2);
    let mut attributes = vec![
        text("http.request.method", record.method.as_str()),
        text("url.path", record.path.as_deref().unwrap_or_default().split(['?', '#']).next().unwrap_or_default()),
        text("client.address", &record.prefix.to_string()),
        text("anyfront.decision", &record.id.to_string()),
        text("anyfront.outcome", record.outcome.as_str()),
        number("anyfront.generation", record.decided.generation),
        number("anyfront.attempts", u64::from(record.attempts)),
        number("http.request.body.size", record.octets_up),
        number("http.response.body.size", record.octets_down),
    ];
    let named = [
        ("server.address", record.hostname.as_ref().map(Hostname::as_str)),
        ("http.route", record.class.as_deref()),
        ("anyfront.region", record.region.as_ref().map(Label::as_str)),
        ("anyfront.wish", record.wish),
        ("error.type", record.reason.filter(|_| record.is_failure())),
    ];
    attributes.extend(named.iter().filter_map(|(key, value)| value.map(|value| text(key, value))));
    if record.status > 0 {
        attributes.push(number("http.response.status_code", u64::from(record.status)));
    }
    if let Some(added) = record.added() {
        attributes
            .push(json!({ "key": "anyfront.added_ms", "value": { "doubleValue": added.as_secs_f64() * 1_000.0 } }));
    }
    let name = match &record.class {
        Some(class) => format!("{} {class}", record.method),
        None => record.method.to_string(),
    };
    let mut span = head(trace.id, trace.span, trace.parent, SERVER);
    span["name"] = json!(name);
    lasts(&mut span, began, began + record.lasted);
    span["attributes"] = json!(attributes);
    if record.is_failure() {
        span["status"] = json!({ "code": ERROR });
    }
    spans.push(span);
    spans.extend(record.failed.iter().map(|failed| failed_attempt(record, failed, trace, began)));
    spans.extend(answered_attempt(record, trace, began));
    spans
}

fn failed_attempt(record: &Record, failed: &Failed, trace: Trace, began: Duration) -> Value {
    let mut span = head(trace.id, trace.attempt(failed.number), Some(trace.span), CLIENT);
    span["name"] = json!(record.method.as_str());
    lasts(&mut span, began + failed.after, began + failed.after + failed.elapsed);
    span["attributes"] = json!([
        text("http.request.method", record.method.as_str()),
        text("anyfront.region", failed.region.as_str()),
        text("server.address", failed.endpoint.as_str()),
        text("error.type", failed.fault.as_str()),
        number("anyfront.attempt", u64::from(failed.number)),
    ]);
    span["status"] = json!({ "code": ERROR, "message": failed.fault.to_string() });
    span
}

/// From the request's first octet to that region until the last of its answer.
fn answered_attempt(record: &Record, trace: Trace, began: Duration) -> Option<Value> {
    let (region, endpoint) = (record.region.as_ref()?, record.endpoint.as_ref()?);
    let sent = record.elapsed?.saturating_sub(record.first_byte?);
    let mut span = head(trace.id, trace.attempt(record.attempts), Some(trace.span), CLIENT);
    span["name"] = json!(record.method.as_str());
    lasts(&mut span, began + sent, began + record.lasted);
    span["attributes"] = json!([
        text("http.request.method", record.method.as_str()),
        text("anyfront.region", region.as_str()),
        text("server.address", endpoint.as_str()),
        number("http.response.status_code", u64::from(record.status)),
        number("anyfront.attempt", u64::from(record.attempts)),
    ]);
    if record.outcome == Outcome::Cut {
        span["status"] = json!({ "code": ERROR });
    }
    Some(span)
}

fn head(trace: u128, span: u64, parent: Option<u64>, kind: u8) -> Value {
    let mut head = json!({ "traceId": format!("{trace:032x}"), "spanId": format!("{span:016x}"), "kind": kind });
    if let Some(parent) = parent {
        head["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    head
}

/// 64 bits are written as text in the JSON of protocol buffers.
fn lasts(span: &mut Value, from: Duration, to: Duration) {
    span["startTimeUnixNano"] = json!(from.as_nanos().to_string());
    span["endTimeUnixNano"] = json!(to.as_nanos().to_string());
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}
