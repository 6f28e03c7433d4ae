//! What a stand-in answers to which path.

use super::body::{Answer, Entry, Source};
use super::fault::{Fault, Hint};
use super::grpc::{self, Said};
use super::logbook::Logged;
use super::mcp;
use super::openai::{self, Completion, Wrong, octets};
use super::standin::Core;
use super::wire::Scissors;
use crate::moment::{Dice, mix};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Longest body of the OpenAI-compatible part, octets.
const API_BODY_BYTES_MAX: usize = 16 << 20;
/// Longest `/slow`.
const SLOW_MS_MAX: u64 = 600_000;
/// Most octets of `/bytes/N`: a tebibyte.
const BYTES_MAX: u64 = 1 << 40;

/// Most events of `/events`.
const EVENTS_MAX: u64 = 100_000;
/// A request with this field has its answer cut after so many octets of the body: one request's own fault.
const CUT_AT: &str = "x-lab-cut-at";
/// And one with this field is answered so many milliseconds later.
const LATE_MS: &str = "x-lab-late-ms";

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const TEXT: &str = "text/plain; charset=utf-8";

type Reply = Response<Answer>;

/// What is answered to one request, and when.
pub(super) async fn answer(
    core: Arc<Core>,
    request: Request<Incoming>,
    scissors: Scissors,
) -> Result<Reply, Infallible> {
    let is_head = request.method() == Method::HEAD;
    let is_shared = request.version() == Version::HTTP_2;
    let cut_at = in_field(&request, CUT_AT);
    let late_ms = in_field(&request, LATE_MS).unwrap_or(0).min(SLOW_MS_MAX);
    let is_probe = request.uri().path() == "/health";
    let number = core.log.begin(logged(&core, &request));
    let asked = Asked { core: Arc::clone(&core), scissors, number };
    let weather = *core.weather.borrow();
    let (mut late_by, mut times, mut injected, mut declined) = (Duration::ZERO, 1.0, None, None);
    match weather.fault {
        Fault::Hang => match asked.hang(request, weather.changes).await {},
        Fault::Slow { by, times: so_often } => (late_by, times) = (by, so_often),
        Fault::Error { share, status } if core.chance(number) < share => injected = Some(status),
        Fault::Unserved { share, hint } if !is_probe && core.chance(number) < share => declined = Some(hint),
        _ => {}
    }
    let wait = core.round_trip.mul_f64(times) + late_by + Duration::from_millis(late_ms);
    if !wait.is_zero() {
        sleep(wait).await;
    }
    let mut reply = match (declined, injected.and_then(|status| StatusCode::from_u16(status).ok())) {
        (Some(hint), _) => asked.decline(hint),
        (None, Some(status)) => {
            // Read to the end, so that the answer is not lost in a reset.
            let _ = digested(request.into_body()).await;
            asked.whole(status, JSON, openai::error("a fault of the lab", "server_error"))
        }
        (None, None) => asked.by_path(request).await,
    };
    core.log.answer(number, reply.status().as_u16(), injected.is_some() || declined.is_some());
    let entry = Entry { log: Arc::clone(&core.log), number, clock: core.clock };
    reply.body_mut().belongs_to(entry, is_head);
    if let Some(bytes) = cut_at {
        reply.body_mut().is_cut_at(bytes, is_shared);
    }
    reply.headers_mut().insert("x-lab-endpoint", core.endpoint_header.clone());
    Ok(reply)
}

fn logged(core: &Core, request: &Request<Incoming>) -> Logged {
    let request_id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    Logged {
        number: 0,
        region: core.about.region.clone(),
        endpoint: core.about.endpoint.clone(),
        request_id: request_id.map(Into::into),
        method: request.method().clone(),
        path: request.uri().path().into(),
        began: core.clock.now(),
        status: None,
        finished: None,
    }
}

impl Core {
    /// The chance of one request, 0 to 1: the same for the same seed and number.
    fn chance(&self, number: u64) -> f64 {
        Dice::seeded(self.seed ^ mix(number)).fraction()
    }
}

/// One request that is being answered.
struct Asked {
    core: Arc<Core>,
    scissors: Scissors,
    number: u64,
}

impl Asked {
    /// Reads the request and says nothing until the weather changes; then the connection is reset.
    async fn hang(&self, request: Request<Incoming>, changes: u64) -> Infallible {
        // How the request ends does not matter to who never answers.
        let _ = digested(request.into_body()).await;
        let _ = self.core.weather.subscribe().wait_for(|weather| weather.changes != changes).await;
        self.scissors.cut();
        std::future::pending().await
    }

    /// Says that nothing was done, and does nothing: the body is not even read.
    fn decline(&self, hint: Hint) -> Reply {
        let error = openai::error("a fault of the lab: not served", "server_error");
        let mut reply = self.whole(StatusCode::SERVICE_UNAVAILABLE, JSON, error);
        let word = format!("1; reason=lab; hint={}", hint.as_str());
        let word = HeaderValue::from_str(&word).expect("our own words are visible");
        reply.headers_mut().insert("edge-unserved", word);
        reply
    }

    async fn by_path(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let path = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(&path);
        let number = |text: &str| text.parse::<u64>().ok();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts[..] {
            ["whoami"] => return self.whoami(request).await,
            ["embeddings"] => return self.api(request, |body| openai::embeddings(body).map(Completion::Whole)).await,
            ["chat", "completions"] => {
                let about = &self.core.about;
                let place = format!("{} ({})", about.place, about.region);
                return self.api(request, |body| openai::completion(body, &place, self.number)).await;
            }
            ["mcp"] | [_, "mcp", _, "server"] => return self.mcp(request).await,
            ["echo"] => return self.echo(request).await,
            ["status", code] => return self.status(code),
            ["ws"] => return self.web_socket(request),
            [service @ ("anyfront.lab.Echo" | "grpc.health.v1.Health"), method] => {
                let (service, method) = (service.to_owned(), method.to_owned());
                return self.grpc(request, &service, &method).await;
            }
            _ => {}
        }
        let query = request.uri().query().unwrap_or_default().to_owned();
        // Read to the end, so that the answer is not lost in a reset; how it ends does not matter to these.
        let _ = digested(request.into_body()).await;
        match parts[..] {
            ["health"] => {
                let body = json!({"status": "ok", "region": self.core.about.region.as_str()});
                self.whole(StatusCode::OK, JSON, octets(&body))
            }
            ["models"] => self.whole(StatusCode::OK, JSON, openai::models()),
            ["bytes", count] => match number(count).filter(|count| *count <= BYTES_MAX) {
                Some(count) => self.reply(StatusCode::OK, "application/octet-stream", Source::Zeros(count)),
                None => self.wrong(400, "it should read /bytes/N, N octets, at most a tebibyte"),
            },
            ["slow"] => self.slow(&query).await,
            ["events"] => self.events(&query),
            ["trailers"] => self.trailers(),
            _ => self.wrong(404, "there is /health, /whoami, /v1/models, /v1/embeddings, /v1/chat/completions, /bytes/N, /echo, /status/CODE, /slow?ms=N, /events?n=N&ms=N, /trailers, /mcp, /TENANT/mcp/SERVER/server, /ws and, by gRPC, /anyfront.lab.Echo/Say and /Count"),
        }
    }

    /// The request as it arrived.
    async fn whoami(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let headers: Vec<[String; 2]> = head
            .headers
            .iter()
            .map(|(name, value)| [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()])
            .collect();
        let Ok((body_bytes, body_sha256)) = digested(body).await else {
            return self.wrong(400, "the body ended early");
        };
        let about = &self.core.about;
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        self.whole(
            StatusCode::OK,
            JSON,
            octets(&json!({
                "region": about.region.as_str(),
                "provider": about.provider.as_str(),
                "place": about.place,
                "endpoint": about.endpoint.as_str(),
                "method": head.method.as_str(),
                "path": head.uri.path_and_query().map_or("", |path| path.as_str()),
                "version": version(head.version),
                "authority": head.uri.authority().map(http::uri::Authority::as_str).or(host),
                "headers": headers,
                "body_bytes": body_bytes,
                "body_sha256": body_sha256,
            })),
        )
    }

    /// The request's body, as it comes in. The answer begins at once, unless the client waits to be told to go on: then
    /// "100 Continue" must come before it.
    async fn echo(&self, request: Request<Incoming>) -> Reply {
        let (head, mut rest) = request.into_parts();
        let first = if head.headers.contains_key(header::EXPECT) { rest.frame().await } else { None };
        let Ok(first) = first.transpose() else { return self.wrong(400, "the body ended early") };
        let mut reply = self.reply(StatusCode::OK, "application/octet-stream", Source::Echo { first, rest });
        for name in [header::CONTENT_TYPE, header::TRAILER] {
            if let Some(value) = head.headers.get(&name) {
                reply.headers_mut().insert(name, value.clone());
            }
        }
        reply
    }

    async fn api(&self, request: Request<Incoming>, say: impl Fn(&[u8]) -> Result<Completion, Wrong>) -> Reply {
        if request.method() != Method::POST {
            let mut reply = self.wrong(405, "this wants a POST");
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return reply;
        }
        let body = match Limited::new(request.into_body(), API_BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return self.wrong(413, "the body is longer than 16 MiB");
            }
            Err(_) => return self.wrong(400, "the body ended early"),
        };
        match say(&body) {
            Ok(Completion::Whole(body)) => self.whole(StatusCode::OK, JSON, body),
            Ok(Completion::Streamed(left)) => self.event_stream(Source::Events { left, pace: self.core.token_pace }),
            Err(Wrong(status, why)) => self.wrong(status, &why),
        }
    }

    /// Speaks MCP over streamable HTTP.
    async fn mcp(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, API_BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return self.wrong(400, "the body ended early, or is longer than 16 MiB"),
        };
        let region = self.core.about.region.as_str();
        let asked = mcp::Asked { method: &head.method, headers: &head.headers, body: &body, region };
        let said = asked.answer(&mut self.core.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        let status = StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = match said.content {
            mcp::Content::Nothing => {
                let mut reply = self.reply(status, JSON, Source::Done);
                reply.headers_mut().remove(header::CONTENT_TYPE);
                reply
            }
            mcp::Content::Json(json) => self.whole(status, JSON, octets(&json)),
            mcp::Content::Events(left) => {
                self.reply(status, EVENTS, Source::Events { left, pace: self.core.token_pace })
            }
            mcp::Content::Listening(first) => self.reply(status, EVENTS, Source::Listening(Some(first))),
        };
        if let Some(session) = said.session.and_then(|session| HeaderValue::from_str(&session).ok()) {
            reply.headers_mut().insert("mcp-session-id", session);
        }
        reply
    }

    /// Answers without reading the request's body, however long it is.
    fn status(&self, code: &str) -> Reply {
        match code.parse().ok().filter(|code| (200..=999).contains(code)).map(StatusCode::from_u16) {
            Some(Ok(status @ (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED))) => {
                let mut reply = self.reply(status, TEXT, Source::Done);
                reply.headers_mut().remove(header::CONTENT_TYPE);
                reply
            }
            Some(Ok(status)) => self.whole(status, TEXT, Bytes::from(format!("{status}\n"))),
            _ => self.wrong(400, "it should read /status/CODE, 200 to 999"),
        }
    }

    /// A stream of events for anybody who may only GET, such as a browser's `EventSource`.
    fn events(&self, query: &str) -> Reply {
        let pace = parameter(query, "ms=").filter(|ms| *ms <= SLOW_MS_MAX);
        match (parameter(query, "n=").filter(|count| *count <= EVENTS_MAX), pace) {
            (Some(left), Some(ms)) => {
                let (pace, clock) = (Duration::from_millis(ms), self.core.clock);
                self.event_stream(Source::Ticks { left, count: 0, pace, clock })
            }
            _ => self.wrong(400, "it should read /events?n=N&ms=N: how many, and how far apart"),
        }
    }

    fn event_stream(&self, source: Source) -> Reply {
        let mut reply = self.reply(StatusCode::OK, EVENTS, source);
        reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        reply
    }

    async fn slow(&self, query: &str) -> Reply {
        let ms = parameter(query, "ms=");
        match ms.filter(|ms| *ms <= SLOW_MS_MAX) {
            Some(ms) => {
                sleep(Duration::from_millis(ms)).await;
                self.whole(StatusCode::OK, TEXT, Bytes::from(format!("{ms} ms\n")))
            }
            None => self.wrong(400, "it should read /slow?ms=N, at most ten minutes"),
        }
    }

    fn trailers(&self) -> Reply {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-lab-trailer", self.core.endpoint_header.clone());
        let mut reply = self.reply(StatusCode::OK, TEXT, Source::Done);
        reply.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-lab-trailer"));
        // As events, so that the length is not known before: over HTTP/1.1 only a chunked body has trailers.
        let events = Source::Events { left: [Bytes::from_static(b"see below\n")].into(), pace: Duration::ZERO };
        *reply.body_mut() = self.body(events).with_trailers(trailers);
        reply
    }

    /// A call; its status comes in the trailers, at the end of whatever is said.
    async fn grpc(&self, request: Request<Incoming>, service: &str, method: &str) -> Reply {
        let is_call = request.version() == Version::HTTP_2 && request.method() == Method::POST;
        let Ok(body) = Limited::new(request.into_body(), API_BODY_BYTES_MAX).collect().await else {
            return self.wrong(400, "the body ended early, or is longer than 16 MiB");
        };
        if !is_call {
            return self.wrong(426, "this speaks gRPC over HTTP/2");
        }
        let (left, pace, status, why) = match grpc::said(service, method, &body.to_bytes()) {
            Said::One(message) => ([message].into(), Duration::ZERO, 0, ""),
            Said::Many(messages) => (messages, self.core.token_pace, 0, ""),
            Said::Wrong(status, why) => (VecDeque::new(), Duration::ZERO, status, why),
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
        trailers.insert("grpc-message", HeaderValue::from_static(why));
        let mut reply = self.reply(StatusCode::OK, "application/grpc", Source::Done);
        *reply.body_mut() = self.body(Source::Events { left, pace }).with_trailers(trailers);
        reply
    }

    /// Opens a stream (RFC 8441 §5) or shakes hands (RFC 6455 §4.2.2), and echoes every message.
    fn web_socket(&self, mut request: Request<Incoming>) -> Reply {
        let says = |name, wanted: &str| {
            let value = request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            value.is_some_and(|value| value.to_ascii_lowercase().contains(wanted))
        };
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
        let is_stream =
            request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_ref() == b"websocket");
        let is_upgrade = says(header::CONNECTION, "upgrade") && says(header::UPGRADE, "websocket");
        let accept = match key.filter(|_| is_upgrade) {
            None if !is_stream => return self.wrong(426, "this speaks WebSocket, and that was no handshake"),
            accept => accept,
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let (core, scissors) = (Arc::clone(&self.core), self.scissors.clone());
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                echo_messages(&core, upgraded, &scissors).await;
            }
        });
        let status = if is_stream { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS };
        let mut reply = self.reply(status, TEXT, Source::Done);
        let headers = reply.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        let Some(accept) = accept.filter(|_| !is_stream) else { return reply };
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::from_str(&accept).expect("base64 is a header value");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        reply
    }

    fn body(&self, source: Source) -> Answer {
        Answer::new(source, self.core.weather.subscribe(), self.scissors.clone())
    }

    fn reply(&self, status: StatusCode, kind: &'static str, source: Source) -> Reply {
        let mut reply = Response::new(self.body(source));
        *reply.status_mut() = status;
        reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        reply
    }

    fn whole(&self, status: StatusCode, kind: &'static str, body: Bytes) -> Reply {
        self.reply(status, kind, Source::Whole(body))
    }

    fn wrong(&self, status: u16, why: &str) -> Reply {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        self.whole(status, JSON, openai::error(why, "invalid_request_error"))
    }
}

async fn echo_messages(core: &Core, upgraded: Upgraded, scissors: &Scissors) {
    let resets = core.weather.borrow().resets;
    let mut weather = core.weather.subscribe();
    let echo = async {
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let is_cut = matches!(core.weather.borrow().fault, Fault::Cut | Fault::CutAfter { .. });
            if is_cut {
                scissors.cut();
                return;
            }
            let is_content = message.is_text() || message.is_binary();
            // Pings and closes are answered below this.
            if is_content && socket.send(message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = echo => {}
        () = async {
            let _ = weather.wait_for(|weather| weather.resets != resets).await;
            scissors.cut();
        } => {}
    }
}

/// The number in a field of the request.
fn in_field(request: &Request<Incoming>, name: &str) -> Option<u64> {
    request.headers().get(name)?.to_str().ok()?.parse().ok()
}

/// The number behind `name=` in a query.
fn parameter(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)).and_then(|number| number.parse().ok())
}

/// Length and SHA-256 of a body.
async fn digested(mut body: Incoming) -> Result<(u64, String), hyper::Error> {
    let (mut bytes, mut digest) = (0, Digest::new(&SHA256));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes += data.len() as u64;
            digest.update(&data);
        }
    }
    let hexadecimal = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, hexadecimal))
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "another",
    }
}
