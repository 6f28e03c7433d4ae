//! The kind `http`: a GET, and what its answer must be. It must come to its end: one that breaks off is no answer.

use super::check::Question;
use crate::health::Fault;
use crate::limits::PROBE_BODY_BYTES_MAX;
use crate::moment::Clock;
use crate::topology::ProbeKind;
use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;

/// Asks, and says how long the answer's head took.
pub(super) async fn ask(question: &Question, kind: &ProbeKind, clock: Clock) -> Result<Duration, Fault> {
    let ProbeKind::Http { path, expect_status, .. } = kind else { return Err(Fault::Protocol) };
    let dialled = question.dial(question.timeout()).await?;
    let connected = clock.now();
    let response = question.send(dialled, (Method::GET, path), HeaderMap::new(), Bytes::new()).await?;
    let elapsed = clock.now().since(connected);
    let status = response.status().as_u16();
    if !expect_status.iter().any(|range| range.contains(&status)) {
        return Err(Fault::Status(status));
    }
    judge_body(kind, response.into_body()).await?;
    Ok(elapsed)
}

async fn judge_body(kind: &ProbeKind, body: Incoming) -> Result<(), Fault> {
    let ProbeKind::Http { expect_body, expect_json, .. } = kind else { return Ok(()) };
    let body = match Limited::new(body, PROBE_BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() && !kind.wants_body() => return Ok(()),
        Err(error) if error.is::<LengthLimitError>() => return Err(Fault::Body),
        Err(_) => return Err(Fault::Cut),
    };
    let text = String::from_utf8_lossy(&body);
    let has_json = |(pointer, value): &(Arc<str>, serde_json::Value)| {
        serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|json| json.pointer(pointer) == Some(value))
    };
    let is_good = text.contains(&**expect_body) && expect_json.as_ref().is_none_or(has_json);
    is_good.then_some(()).ok_or(Fault::Body)
}
