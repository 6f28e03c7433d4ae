//! Answers of our own: errors in the shape that the route's clients expect, and never a redirect.

use super::grpc;
use super::headers::{PROXY_STATUS, REGION, REQUEST_ID};
use super::stream::Reply;
use super::unserved::{Hint, Unserved};
use crate::health::Fault;
use crate::topology::Dialect;
use crate::upstream::{AttemptError, Progress};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// Tells the official SDKs whether another try can help.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// When, in milliseconds; the official SDKs prefer it.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Another try is asked for no sooner than this.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(300);
/// And no later than this: jitter, so that clients do not come back in step.
const RETRY_AFTER_MAX: Duration = Duration::from_millis(2_000);

/// The word for programs that the client's own time was up.
pub const DEADLINE: &str = "deadline_exceeded";

/// What we have to say instead of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The status.
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people; names nothing internal.
    pub message: String,
    /// Whether the connection must end with it.
    pub closes: bool,
    /// Whether the request may have been processed and must not be twice: then nobody is invited to ask again.
    pub is_final: bool,
    /// The id of the JSON-RPC call that it answers, if it is known.
    pub call_id: Option<Value>,
}

impl Complaint {
    /// A complaint after which the connection goes on.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), closes: false, is_final: false, call_id: None }
    }

    /// A complaint after which nothing more can be understood on this connection.
    #[must_use]
    pub fn closing(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { closes: true, ..Self::new(status, code, message) }
    }

    /// As the answer to the call of that id.
    #[must_use]
    pub fn to_call(self, call_id: Option<Value>) -> Self {
        Self { call_id, ..self }
    }

    /// What there is to say when nobody answered; `failed`: how the last attempt ended, if there was one.
    #[must_use]
    pub fn of(failed: Option<AttemptError>) -> Self {
        let new = Self::new;
        match failed {
            None => new(StatusCode::SERVICE_UNAVAILABLE, "no_region", "no region may serve this hostname now"),
            Some(AttemptError { fault: Fault::Unsuited, .. }) => new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unsuited",
                "no region that is left speaks the HTTP that this needs (HTTP/2 for gRPC); nothing was processed",
            ),
            Some(AttemptError { fault: Fault::Late, progress: Progress::Unsent, .. }) => new(
                StatusCode::GATEWAY_TIMEOUT,
                "no_answer",
                "no region could be reached as soon as the client wants; nothing was processed",
            ),
            Some(AttemptError { progress: Progress::Unsent, .. }) => new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_region_reached",
                "no region could be reached; nothing was processed",
            ),
            Some(AttemptError { fault: Fault::Silent | Fault::Late, .. }) => new(
                StatusCode::GATEWAY_TIMEOUT,
                "no_answer",
                "the region did not answer in time; the request may have been processed",
            ),
            Some(_) => new(
                StatusCode::BAD_GATEWAY,
                "connection_lost",
                "the connection to the region ended before its answer; the request may have been processed",
            ),
        }
    }

    /// The client's own time was up after so many attempts.
    #[must_use]
    pub fn late(attempts: u32) -> Self {
        let fate = if attempts == 0 { "nothing was processed" } else { "it may have been processed" };
        Self::new(StatusCode::GATEWAY_TIMEOUT, DEADLINE, format!("the request's own time is up; {fate}"))
    }

    /// Whether the same request may succeed a little later.
    fn may_help_to_retry(&self) -> bool {
        matches!(self.status.as_u16(), 502..=504) && !self.is_final
    }

    /// The answer that says it, `request_id` and `happened` (`Proxy-Status`) included. `roll` is the chance in the jitter.
    #[must_use]
    pub fn answer(
        &self,
        dialect: Dialect,
        request_id: &HeaderValue,
        happened: Option<&str>,
        roll: u64,
    ) -> Response<Reply> {
        let (content_type, body) = match dialect {
            Dialect::Grpc => return self.grpc(request_id, happened, roll),
            Dialect::OpenAi => ("application/json", self.openai()),
            Dialect::JsonRpc => ("application/json", self.jsonrpc()),
            Dialect::Plain => ("application/problem+json", self.problem()),
        };
        let body = body.to_string();
        let mut answer = Response::new(Reply::own(body.clone()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REQUEST_ID, request_id.clone());
        headers.insert(REGION, HeaderValue::from_static("none"));
        if let Some(happened) = happened.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(PROXY_STATUS, happened);
        }
        if self.may_help_to_retry() {
            let after_ms = retry_after_ms(roll);
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(after_ms));
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after_ms.div_ceil(1_000)));
        } else {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// Trailers without anything before them: for HTTP that is a head of 200 without a body.
    fn grpc(&self, request_id: &HeaderValue, happened: Option<&str>, roll: u64) -> Response<Reply> {
        let mut answer = Response::new(Reply::own(""));
        let headers = answer.headers_mut();
        *headers = grpc::ending(self.grpc_status(), &self.message);
        headers.insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE);
        headers.insert(REQUEST_ID, request_id.clone());
        headers.insert(REGION, HeaderValue::from_static("none"));
        if let Some(happened) = happened.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(PROXY_STATUS, happened);
        }
        if self.grpc_status() == grpc::Status::Unavailable {
            // No call is invited again that may have been processed: a negative number says so.
            let after_ms =
                if self.is_unprocessed() { HeaderValue::from(retry_after_ms(roll)) } else { HeaderValue::from(-1) };
            headers.insert(grpc::PUSHBACK, after_ms);
        }
        answer
    }

    fn is_unprocessed(&self) -> bool {
        matches!(self.code, "no_region" | "no_region_reached" | "unsuited")
    }

    fn grpc_status(&self) -> grpc::Status {
        if self.code == DEADLINE { grpc::Status::DeadlineExceeded } else { grpc::Status::of(self.status) }
    }

    fn openai(&self) -> Value {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        json!({ "error": { "message": self.message, "type": kind, "code": self.code, "param": null } })
    }

    /// JSON-RPC 2.0 §5.1: -32000 to -32099 are for servers, -32600 is a request that is none.
    fn jsonrpc(&self) -> Value {
        let number = if self.status.is_server_error() { -32_000 } else { -32_600 };
        let data = json!({ "code": self.code, "status": self.status.as_u16() });
        json!({ "jsonrpc": "2.0", "id": self.call_id, "error": { "code": number, "message": self.message, "data": data } })
    }

    /// RFC 9457.
    fn problem(&self) -> Value {
        json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.message,
            "code": self.code,
        })
    }
}

/// When another try is asked for.
pub(super) fn retry_after_ms(roll: u64) -> u64 {
    let spread = (RETRY_AFTER_MAX - RETRY_AFTER_MIN).as_millis() as u64;
    RETRY_AFTER_MIN.as_millis() as u64 + roll % (spread + 1)
}

/// Tells SDKs what a region means that has not served a request and wants it asked again later; when, if it has not said.
pub fn invite_later(headers: &mut HeaderMap, unserved: &Unserved, roll: u64) {
    if unserved.hint != Hint::Later {
        return;
    }
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
    if !headers.contains_key(RETRY_AFTER_MS) && !headers.contains_key(header::RETRY_AFTER) {
        let after_ms = retry_after_ms(roll);
        headers.insert(RETRY_AFTER_MS, HeaderValue::from(after_ms));
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after_ms.div_ceil(1_000)));
    }
}
