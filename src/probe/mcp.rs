//! The kind `mcp`: a call that an MCP server of any version answers and that changes nothing (Model Context Protocol,
//! Streamable HTTP).
//!
//! Servers of 2026-07-28 are asked with `server/discover`. Who does not know it is asked as of 2025-11-25: `tools/list`,
//! and where that wants a session first, `initialize`, whose session is ended at once.

use super::check::Question;
use super::token::is_event_stream;
use crate::health::Fault;
use crate::limits::PROBE_BODY_BYTES_MAX;
use crate::moment::Clock;
use crate::sse::Collector;
use crate::topology::ProbeKind;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value as Json, json};
use std::time::Duration;

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The version without sessions, and the last one with.
const STATELESS: &str = "2026-07-28";
const STATEFUL: &str = "2025-11-25";
/// The id of our only call on each connection.
const ID: u64 = 1;

/// What a call came to.
enum Answered {
    /// A result.
    Result { session: Option<HeaderValue> },
    /// An answer that says: not so. Perhaps in another version.
    NotSo(Fault),
}

/// Asks, and says how long the answer's head took.
pub(super) async fn ask(question: &Question, kind: &ProbeKind, clock: Clock) -> Result<Duration, Fault> {
    let mut fault = Fault::Body;
    for (version, method) in [(STATELESS, "server/discover"), (STATEFUL, "tools/list"), (STATEFUL, "initialize")] {
        let dialled = question.dial(question.timeout()).await?;
        let asked = clock.now();
        let fields = fields(kind, version, method);
        let call = Bytes::from(call(version, method).to_string());
        let response = question.send(dialled, (Method::POST, path(kind)), fields, call).await?;
        let elapsed = clock.now().since(asked);
        match judge(response).await? {
            Answered::Result { session } => {
                if let Some(session) = session {
                    end(question, kind, session).await;
                }
                return Ok(elapsed);
            }
            Answered::NotSo(why) => fault = why,
        }
    }
    Err(fault)
}

fn path(kind: &ProbeKind) -> &str {
    let ProbeKind::Mcp { path, .. } = kind else { return "/" };
    path
}

fn fields(kind: &ProbeKind, version: &'static str, method: &'static str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if method != "initialize" {
        fields.insert(PROTOCOL_VERSION, HeaderValue::from_static(version));
    }
    if version == STATELESS {
        fields.insert(MCP_METHOD, HeaderValue::from_static(method));
    }
    if let ProbeKind::Mcp { authorization: Some(authorization), .. } = kind {
        fields.insert(AUTHORIZATION, authorization.clone());
    }
    fields
}

fn call(version: &str, method: &str) -> Json {
    let client = json!({ "name": "anyfront-probe", "version": env!("CARGO_PKG_VERSION") });
    let params = match method {
        "initialize" => json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client }),
        _ if version == STATELESS => json!({ "_meta": {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": client,
        }}),
        _ => json!({}),
    };
    json!({ "jsonrpc": "2.0", "id": ID, "method": method, "params": params })
}

/// A server that does not know a version or a method says so with 400, 404 or 405, or with an error of JSON-RPC.
async fn judge(response: Response<Incoming>) -> Result<Answered, Fault> {
    let status = response.status();
    match status.as_u16() {
        200..=299 => {}
        400 | 404 | 405 | 406 => return Ok(Answered::NotSo(Fault::Status(status.as_u16()))),
        other => return Err(Fault::Status(other)),
    }
    let session = response.headers().get(SESSION).cloned();
    let is_stream = is_event_stream(response.headers());
    let answer = if is_stream { from_stream(response.into_body()).await? } else { whole(response.into_body()).await? };
    Ok(if answer.get("result").is_some_and(Json::is_object) {
        Answered::Result { session }
    } else if answer.get("error").is_some() {
        Answered::NotSo(Fault::Body)
    } else {
        return Err(Fault::Body);
    })
}

async fn whole(body: Incoming) -> Result<Json, Fault> {
    let body = Limited::new(body, PROBE_BODY_BYTES_MAX).collect().await.map_err(|_| Fault::Body)?.to_bytes();
    answer_in(&body).ok_or(Fault::Body)
}

/// The answer among the events of a stream; notifications may come before it.
async fn from_stream(mut body: Incoming) -> Result<Json, Fault> {
    let mut collector = Collector::new(PROBE_BODY_BYTES_MAX);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Fault::Cut)?.into_data() else { continue };
        bytes += data.len();
        if bytes > PROBE_BODY_BYTES_MAX {
            return Err(Fault::Body);
        }
        for event in collector.feed(&data).map_err(|_| Fault::Body)? {
            if let Some(answer) = answer_in(event.data.as_bytes()) {
                return Ok(answer);
            }
        }
    }
    Err(Fault::Body)
}

/// The answer to our call, if that is what this is (JSON-RPC 2.0 §5).
fn answer_in(octets: &[u8]) -> Option<Json> {
    let answer: Json = serde_json::from_slice(octets).ok()?;
    // An error that no id could be read for has none.
    let is_ours = answer["id"] == ID || (answer["id"].is_null() && answer.get("error").is_some());
    (answer["jsonrpc"] == "2.0" && is_ours).then_some(answer)
}

/// Ends a session, so that probes leave nothing behind. Servers need not allow it.
async fn end(question: &Question, kind: &ProbeKind, session: HeaderValue) {
    let mut fields = fields(kind, STATEFUL, "");
    fields.insert(SESSION, session);
    if let Ok(dialled) = question.dial(question.timeout()).await {
        let _ = question.send(dialled, (Method::DELETE, path(kind)), fields, Bytes::new()).await;
    }
}
