//! What everybody may see at the moment, and the answer to whoever asks for it, by whichever door they came.
//!
//! An answer is a look into memory: nothing is rendered and nothing is compressed for a request. Who wants to hear of changes
//! follows `/events` (WHATWG HTML §9.2): parts as they change, a sign of life every 15 s, and `reload` for whoever missed
//! something.

use super::forms;
use super::rendering::{Change, File, Rendering};
use super::seats::{Seat, Seats};
use crate::limits::{STATUS_EVENTS_LAST, STATUS_LISTENERS_MAX, STATUS_LISTENERS_PER_PREFIX_MAX, STATUS_NEWS_MAX};
use crate::moment::Clock;
use crate::shutdown::requested;
use crate::subscriptions::desk::Desk;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Interval;

/// Where news are.
const EVENTS: &str = "events";
/// Between two signs of life.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// A report this old is none of now: no sign of life is given for it.
const REPORT_AGE_MAX: Duration = Duration::from_secs(60);
/// What a page may load: what comes from where it comes from, and nothing else; nobody may frame it.
pub(super) const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                           form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What anything else may: nothing.
const FILE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";

/// What an answer consists of.
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// News, as they come.
    News(BoxStream<'static, Bytes>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Whole(_)) { "Whole" } else { "News" })
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Self::News(news) => news.poll_next_unpin(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(body) if body.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.len() as u64),
            Self::News(_) => SizeHint::default(),
        }
    }
}

/// One thing that changed, as followers get it.
#[derive(Clone, Debug)]
struct News(Bytes);

impl News {
    fn new(version: &str, change: &Change) -> Self {
        Self(match change {
            Change::Parts(told) => Bytes::from(format!("id: {version}\nevent: parts\ndata: {told}\n\n")),
            Change::Reload => Self::reload(version).0,
        })
    }

    fn reload(version: &str) -> Self {
        Self(Bytes::from(format!("id: {version}\nevent: reload\ndata: {version}\n\n")))
    }

    fn alive() -> Self {
        Self(Bytes::from_static(b": alive\nevent: alive\ndata: 1\n\n"))
    }
}

/// What is shown, and who follows it.
#[derive(Debug)]
pub struct Board {
    shown: Arc<ArcSwap<Rendering>>,
    news: broadcast::Sender<News>,
    seats: Arc<Seats>,
    clock: Clock,
    ending: watch::Receiver<bool>,
    /// Who takes the forms, if anybody does.
    desk: Option<Desk>,
}

impl Board {
    /// Shows `first`. Followers are let go when `ending` turns true.
    #[must_use]
    pub fn new(first: Rendering, clock: Clock, ending: watch::Receiver<bool>) -> Self {
        let (news, _) = broadcast::channel(STATUS_NEWS_MAX);
        let seats = Arc::new(Seats::new(STATUS_LISTENERS_MAX, STATUS_LISTENERS_PER_PREFIX_MAX));
        Self { shown: Arc::new(ArcSwap::from_pointee(first)), news, seats, clock, ending, desk: None }
    }

    /// With somebody who takes the forms.
    #[must_use]
    pub fn with_forms(self, desk: Desk) -> Self {
        Self { desk: Some(desk), ..self }
    }

    /// What is shown.
    #[must_use]
    pub fn shown(&self) -> Arc<Rendering> {
        self.shown.load_full()
    }

    /// Shows `next` instead, and tells the followers what changed.
    pub fn show(&self, next: &Arc<Rendering>) {
        let before = self.shown.swap(Arc::clone(next));
        if let Some(change) = next.change_since(&before) {
            // Nobody may be there to hear it.
            let _ = self.news.send(News::new(&next.version, &change));
        }
    }

    /// Whether the body of a request has to be read.
    #[must_use]
    pub fn wants_body(&self, asked: &Parts) -> bool {
        self.desk.is_some() && asked.method == Method::POST && forms::are_asked(asked)
    }

    /// Who asks: `peer`, or whom the file's trusted proxies name.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.desk.as_ref().map_or_else(|| peer.to_canonical(), |desk| desk.client(peer, headers))
    }

    /// The answer to a request of `peer`, forms and all.
    pub async fn serve(&self, peer: IpAddr, asked: &Parts, body: &[u8]) -> Response<Content> {
        match &self.desk {
            Some(desk) if forms::are_asked(asked) => forms::answer(desk, &self.shown(), peer, asked, body).await,
            _ => self.answer(peer, asked),
        }
    }

    /// The answer to a request of `peer` that is for no form.
    #[must_use]
    pub fn answer(&self, peer: IpAddr, asked: &Parts) -> Response<Content> {
        let path = asked.uri.path().trim_start_matches('/');
        if !matches!(asked.method, Method::GET | Method::HEAD) {
            return not_allowed();
        }
        if path == EVENTS {
            return self.follow(peer, asked);
        }
        let shown = self.shown.load();
        let trimmed = path.strip_suffix('/').filter(|trimmed| shown.files.contains_key(*trimmed));
        match (shown.files.get(path), trimmed) {
            (Some(file), _) => whole(file, asked),
            (None, Some(trimmed)) => moved(trimmed),
            (None, None) => {
                let depth = path.matches('/').count();
                let Some(page) = shown.missing.get(depth) else { return refusal(StatusCode::NOT_FOUND, "not found\n") };
                let mut answer = whole(page, asked);
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
            }
        }
    }

    /// News from now on; `reload` first for whoever knows another version than the one that is shown.
    fn follow(&self, peer: IpAddr, asked: &Parts) -> Response<Content> {
        let content = if asked.method == Method::HEAD {
            Content::Whole(Bytes::new())
        } else {
            let Some(seat) = Seats::take(&self.seats, peer) else {
                let mut full =
                    refusal(StatusCode::SERVICE_UNAVAILABLE, "too many follow already: ask for the page instead\n");
                full.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
                return full;
            };
            Content::News(self.news_from_now(seat, known_version(asked)))
        };
        let mut answer = Response::new(content);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Proxies in front of us must not gather it.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        secure(headers, FILE_POLICY);
        answer
    }

    fn news_from_now(&self, seat: Seat, known: Option<String>) -> BoxStream<'static, Bytes> {
        // Subscribed before the version is looked at: what changes in between is heard twice rather than never.
        let news = self.news.subscribe();
        let shown = self.shown.load();
        let has_missed = known.is_some_and(|known| known != shown.version);
        let greeting = if has_missed { News::reload(&shown.version) } else { News::alive() };
        let first = [b"retry: 3000\n".as_slice(), &greeting.0].concat();
        let mut alive = tokio::time::interval(ALIVE_EVERY);
        alive.reset();
        let follower = Follower {
            first: Some(Bytes::from(first)),
            news,
            alive,
            until: Box::pin(tokio::time::sleep(STATUS_EVENTS_LAST)),
            ending: self.ending.clone(),
            clock: self.clock,
            shown: Arc::clone(&self.shown),
            _seat: seat,
        };
        unfold(follower, Follower::next).boxed()
    }
}

/// Somebody who follows.
struct Follower {
    first: Option<Bytes>,
    news: broadcast::Receiver<News>,
    alive: Interval,
    until: Pin<Box<tokio::time::Sleep>>,
    ending: watch::Receiver<bool>,
    clock: Clock,
    shown: Arc<ArcSwap<Rendering>>,
    _seat: Seat,
}

impl Follower {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if let Some(first) = self.first.take() {
            return Some((first, self));
        }
        let next = tokio::select! {
            () = requested(&mut self.ending) => None,
            () = &mut self.until => None,
            news = self.news.recv() => match news {
                Ok(News(bytes)) => Some(bytes),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(News::reload("").0),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            _ = self.alive.tick() => Some(self.sign()),
        };
        next.map(|bytes| (bytes, self))
    }
}

impl Follower {
    /// A sign of life, if what is shown is of now; else only a comment, which keeps the connection and claims nothing.
    fn sign(&self) -> Bytes {
        let age = self.clock.wall().saturating_sub(self.shown.load().at);
        if age > REPORT_AGE_MAX { Bytes::from_static(b": nothing new\n\n") } else { News::alive().0 }
    }
}

/// The version that somebody has who asks for news: from the address at first, from the last event when coming back.
fn known_version(asked: &Parts) -> Option<String> {
    let last = asked.headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let since = || {
        let query = asked.uri.query()?;
        query.split('&').find_map(|pair| pair.strip_prefix("since=")).map(str::to_owned)
    };
    last.or_else(since)
}

fn whole(file: &File, asked: &Parts) -> Response<Content> {
    let gzip = file.gzip.as_ref().filter(|_| takes_gzip(&asked.headers));
    let body = gzip.unwrap_or(&file.body).clone();
    let tag = if gzip.is_some() { format!("\"{}-gz\"", file.tag) } else { format!("\"{}\"", file.tag) };
    let is_known = is_known(&asked.headers, &file.tag);
    let length = body.len();
    let is_bare = is_known || asked.method == Method::HEAD;
    let mut answer = Response::new(Content::Whole(if is_bare { Bytes::new() } else { body }));
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits are visible"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(file.cache_control));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    secure(headers, if file.is_page() { PAGE_POLICY } else { FILE_POLICY });
    if file.is_for_others() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    }
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return answer;
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if gzip.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

/// What every answer says to browsers.
pub(super) fn secure(headers: &mut HeaderMap, policy: &'static str) {
    const SAID: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in SAID {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Content> {
    let mut answer = Response::new(Content::Whole(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    secure(answer.headers_mut(), FILE_POLICY);
    answer
}

fn not_allowed() -> Response<Content> {
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "this is asked with GET or HEAD\n");
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

/// To the same without the slash at its end, wherever we are mounted.
fn moved(path: &str) -> Response<Content> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut answer = refusal(StatusCode::PERMANENT_REDIRECT, "");
    if let Ok(there) = HeaderValue::from_str(&format!("../{name}")) {
        answer.headers_mut().insert(header::LOCATION, there);
    }
    answer
}

/// Whether gzip is among what the client takes (RFC 9110 §12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        matches!(name.trim(), "gzip" | "x-gzip") && !is_refused
    })
}

/// `If-None-Match`: any of the listed tags, in either coding, compared weakly (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).any(|listed| {
        let bare = listed.strip_prefix("W/").unwrap_or(listed).trim_matches('"');
        listed == "*" || bare.strip_suffix("-gz").unwrap_or(bare) == tag
    })
}
