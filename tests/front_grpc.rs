//! gRPC through a real node: calls both ways with their trailers, deadlines, and how every failure is told.

#[path = "common/front.rs"]
mod front;

use anyfront::tls::ALPN_HTTP2;
use bytes::Bytes;
use front::{BOUND, Door, Origin, Papers};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// A region that serves calls, and what it has met.
#[derive(Clone)]
struct Region {
    scheme: &'static str,
    address: SocketAddr,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    heads: Mutex<Vec<HeaderMap>>,
    trailers: Mutex<Vec<HeaderMap>>,
    resets: Mutex<Vec<Reason>>,
    changed: Notify,
}

impl Region {
    /// `scheme`: `https` or `h2c`.
    async fn start(scheme: &'static str, papers: &Papers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let book = Arc::new(Book::default());
        let acceptor = TlsAcceptor::from(papers.pair.server().expect("TLS"));
        let shared = Arc::clone(&book);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (book, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    if scheme == "h2c" {
                        speak(stream, book).await;
                    } else if let Ok(stream) = acceptor.accept(stream).await {
                        speak(stream, book).await;
                    }
                });
            }
        });
        Self { scheme, address, book }
    }

    fn origin(&self) -> (&'static str, SocketAddr) {
        (self.scheme, self.address)
    }

    fn heads(&self) -> Vec<HeaderMap> {
        self.book.heads.lock().expect("no panic").clone()
    }

    async fn reset(&self) -> Reason {
        let wait = async {
            loop {
                let changed = self.book.changed.notified();
                if let Some(reason) = self.book.resets.lock().expect("no panic").first() {
                    return *reason;
                }
                changed.await;
            }
        };
        timeout(BOUND, wait).await.expect("it is told")
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, book: Arc<Book>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let death = Arc::new(Notify::new());
    loop {
        tokio::select! {
            () = death.notified() => return,
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => drop(tokio::spawn(answer(request, respond, Arc::clone(&book), Arc::clone(&death)))),
                _ => return,
            },
        }
    }
}

fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    Bytes::from([&[0][..], &length, text.as_bytes()].concat())
}

fn fields(all: &[(&'static str, &'static str)]) -> HeaderMap {
    all.iter().map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value))).collect()
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, book: Arc<Book>, death: Arc<Notify>) {
    let (head, mut body) = request.into_parts();
    book.heads.lock().expect("no panic").push(head.headers);
    let begin = || Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    let ok = || fields(&[("grpc-status", "0"), ("x-count", "3")]);
    match head.uri.path() {
        "/Echo/Refused" => respond.send_reset(Reason::REFUSED_STREAM),
        "/Echo/Silent" => {
            if let Ok(reason) = std::future::poll_fn(|cx| respond.poll_reset(cx)).await {
                book.resets.lock().expect("no panic").push(reason);
                book.changed.notify_waiters();
            }
        }
        "/Echo/Only" => {
            let mut head = begin();
            head.headers_mut().extend(fields(&[("grpc-status", "5"), ("grpc-message", "not%20here")]));
            let _ = respond.send_response(head, true);
        }
        "/Echo/Lost" => {
            let mut send = respond.send_response(begin(), false).expect("sent");
            let _ = send.send_data(message("one"), false);
            tokio::time::sleep(Duration::from_millis(30)).await;
            death.notify_one();
        }
        "/Echo/Torn" => {
            let mut send = respond.send_response(begin(), false).expect("sent");
            let _ = send.send_data(message("one").slice(..6), false);
            tokio::time::sleep(Duration::from_millis(30)).await;
            send.send_reset(Reason::INTERNAL_ERROR);
        }
        "/Echo/Hold" => {
            let mut send = respond.send_response(begin(), false).expect("sent");
            let _ = send.send_data(message("one"), false);
            if let Ok(reason) = std::future::poll_fn(|cx| send.poll_reset(cx)).await {
                book.resets.lock().expect("no panic").push(reason);
                book.changed.notify_waiters();
            }
        }
        _ => {
            let mut send = respond.send_response(begin(), false).expect("sent");
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                let _ = send.send_data(data, false);
            }
            if let Ok(Some(trailers)) = body.trailers().await {
                book.trailers.lock().expect("no panic").push(trailers);
            }
            let _ = send.send_trailers(ok());
        }
    }
}

async fn http2(door: &Door) -> SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(door.tls(ALPN_HTTP2).await).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// A call under way.
struct Call {
    send: SendStream<Bytes>,
    head: Response<RecvStream>,
}

/// What a call came to.
#[derive(Debug)]
struct Outcome {
    head: HeaderMap,
    body: Vec<u8>,
    /// The last fields; where there is no body, the first are the last.
    end: Result<HeaderMap, h2::Error>,
}

impl Outcome {
    fn status(&self) -> &str {
        let end = self.end.as_ref().expect("a whole answer");
        end.get("grpc-status").map_or("none", |status| status.to_str().expect("text"))
    }

    fn message(&self) -> &str {
        self.end.as_ref().expect("fields").get("grpc-message").map_or("", |message| message.to_str().expect("text"))
    }
}

fn request(host: &str, method: &str, more: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("https://{host}/Echo/{method}"))
        .header("content-type", "application/grpc+test")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    request.headers_mut().extend(fields(more));
    request
}

async fn begin(
    sender: &mut SendRequest<Bytes>,
    request: Request<()>,
) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let mut ready = sender.clone().ready().await.expect("ready");
    ready.send_request(request, false).expect("sent")
}

async fn outcome(answer: h2::client::ResponseFuture) -> Outcome {
    let (head, body) = timeout(BOUND, answer).await.expect("no hanging").expect("an answer").into_parts();
    assert_eq!(head.status, 200);
    rest(head.headers, body).await
}

async fn rest(head: HeaderMap, mut body: RecvStream) -> Outcome {
    let mut octets = Vec::new();
    let failed = loop {
        match timeout(BOUND, body.data()).await.expect("no hanging") {
            Some(Ok(data)) => {
                let _ = body.flow_control().release_capacity(data.len());
                octets.extend_from_slice(&data);
            }
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    let end = match failed {
        Some(error) => Err(error),
        None => {
            timeout(BOUND, body.trailers()).await.expect("no hanging").map(|end| end.unwrap_or_else(|| head.clone()))
        }
    };
    Outcome { head, body: octets, end }
}

/// A call with one message, to its end.
async fn call(sender: &mut SendRequest<Bytes>, request: Request<()>) -> Outcome {
    let (answer, mut send) = begin(sender, request).await;
    let _ = send.send_data(message("hello"), true);
    outcome(answer).await
}

/// Node and runtime end in an order that both like.
fn run<T>(ask: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(ask())
}

fn end(door: Door) {
    tokio::task::block_in_place(|| drop(door));
}

#[test]
fn messages_and_trailers_pass_both_ways_as_they_come() {
    let papers = Papers::new();
    for scheme in ["https", "h2c"] {
        run(async || {
            let region = Region::start(scheme, &papers).await;
            let door = Door::start(&[region.origin()], "", &papers);
            let mut sender = http2(&door).await;
            let (answer, mut send) =
                begin(&mut sender, request("gw.test", "Say", &[("grpc-timeout", "nonsense")])).await;
            // Bidirectional: the answer begins, and each message is answered, while the call is still being made.
            let (head, mut body) = timeout(BOUND, answer).await.expect("no hanging").expect("an answer").into_parts();
            assert_eq!(head.headers["x-anyfront-region"], "a");
            for text in ["one", "two", "three"] {
                send.send_data(message(text), false).expect("sent");
                let data = timeout(BOUND, body.data()).await.expect("no hanging").expect("more").expect("good");
                let _ = body.flow_control().release_capacity(data.len());
                assert_eq!(data, message(text), "{scheme}");
            }
            send.send_trailers(fields(&[("x-sum", "7")])).expect("sent");
            let outcome = rest(head.headers, body).await;
            assert_eq!((outcome.status(), outcome.body.as_slice()), ("0", &[][..]));
            assert_eq!(outcome.end.expect("fields")["x-count"], "3");

            let only = call(&mut sender, request("gw.test", "Only", &[])).await;
            assert_eq!((only.status(), only.message()), ("5", "not%20here"));
            let heads = region.heads();
            assert_eq!(
                (&heads[0]["te"], &heads[0]["grpc-timeout"]),
                (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("nonsense"))
            );
            assert_eq!(region.book.trailers.lock().expect("no panic")[0]["x-sum"], "7");
            end(door);
        });
    }
}

#[test]
fn only_regions_that_speak_http2_are_asked() {
    let papers = Papers::new();
    run(async || {
        let old = Origin::polite();
        let region = Region::start("h2c", &papers).await;
        let door = Door::start(&[("http", old.address), region.origin()], "", &papers);
        let mut sender = http2(&door).await;
        let outcome = call(&mut sender, request("gw.test", "Say", &[])).await;
        assert_eq!((outcome.status(), &outcome.head["x-anyfront-region"]), ("0", &HeaderValue::from_static("b")));
        end(door);

        let door = Door::start(&[("http", old.address)], "", &papers);
        let mut sender = http2(&door).await;
        let outcome = call(&mut sender, request("gw.test", "Say", &[])).await;
        assert_eq!(outcome.status(), "14");
        assert!(
            outcome.message().contains("HTTP/2") && outcome.message().contains("nothing was processed"),
            "{outcome:?}"
        );
        assert!(old.seen().is_empty());
        let snapshot = door.node.as_ref().expect("it runs").published.load_full();
        assert!(snapshot.endpoints[0].standing <= anyfront::health::Standing::Up, "it does what it can");
        end(door);
    });
}

#[test]
fn what_a_region_refused_goes_elsewhere_whatever_it_is() {
    let papers = Papers::new();
    run(async || {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        let (first, second) = (Region::start("https", &papers).await, Region::start("h2c", &papers).await);
        let door = Door::start(&[("h2c", gone), first.origin(), second.origin()], "", &papers);
        let mut sender = http2(&door).await;
        let outcome = call(&mut sender, request("gw.test", "Refused", &[])).await;
        // Both have refused it, so nobody has done it.
        assert_eq!((first.heads().len(), second.heads().len()), (1, 1));
        assert_eq!(outcome.status(), "14");
        assert!(outcome.message().contains("nothing was processed"), "{outcome:?}");
        assert!(outcome.head["grpc-retry-pushback-ms"].to_str().is_ok_and(|ms| ms.parse::<u32>().is_ok()));
        assert!(outcome.head.contains_key("x-request-id"));
        end(door);
    });
}

#[test]
fn the_callers_time_is_kept_and_what_is_left_is_passed_on() {
    let papers = Papers::new();
    run(async || {
        let region = Region::start("h2c", &papers).await;
        let door = Door::start(&[region.origin()], "", &papers);
        let mut sender = http2(&door).await;
        // Before the answer's head.
        let outcome = call(&mut sender, request("gw.test", "Silent", &[("grpc-timeout", "900m")])).await;
        assert_eq!(outcome.status(), "4", "{outcome:?}");
        assert_eq!(region.reset().await, Reason::CANCEL, "the region is told that nobody waits");
        let left = region.heads()[0]["grpc-timeout"].to_str().expect("text").to_owned();
        let (digits, unit) = left.split_at(left.len() - 1);
        let left: u64 = digits.parse().expect("a number");
        assert!(unit == "u" && (1..=900_000).contains(&left) && digits.len() <= 8, "{left}{unit}");
        // And after it.
        let outcome = call(&mut sender, request("gw.test", "Hold", &[("grpc-timeout", "300m")])).await;
        assert_eq!((outcome.status(), outcome.body.as_slice()), ("4", &*message("one")));
        // Time that is long enough changes nothing.
        let outcome = call(&mut sender, request("gw.test", "Say", &[("grpc-timeout", "99999999H")])).await;
        assert_eq!(outcome.status(), "0");
        end(door);
    });
}

#[test]
fn a_call_that_a_region_breaks_off_is_never_ok() {
    let papers = Papers::new();
    for scheme in ["https", "h2c"] {
        run(async || {
            let region = Region::start(scheme, &papers).await;
            let door = Door::start(&[region.origin()], "", &papers);
            let mut sender = http2(&door).await;
            for method in ["Lost", "Torn"] {
                let outcome = call(&mut sender, request("gw.test", method, &[])).await;
                assert_eq!(outcome.status(), "14", "{method} {scheme}");
                assert!(outcome.message().contains("may have been processed"), "{outcome:?}");
                assert!(!outcome.body.is_empty(), "what came has passed");
            }
            end(door);
        });
    }
}

#[test]
fn our_own_errors_are_those_of_a_call() {
    let papers = Papers::new();
    run(async || {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        let door = Door::start(&[("h2c", gone)], "", &papers);
        let mut sender = http2(&door).await;
        let outcome = call(&mut sender, request("other.test", "Say", &[])).await;
        assert_eq!(outcome.status(), "12", "{outcome:?}");
        let outcome = call(&mut sender, request("gw.test", "Say", &[("expect", "something")])).await;
        assert_eq!(outcome.status(), "13");
        let outcome = call(&mut sender, request("gw.test", "Say", &[])).await;
        assert_eq!(outcome.status(), "14");
        assert_eq!(outcome.head["content-type"], "application/grpc");
        assert_eq!(outcome.head["x-anyfront-region"], "none");
        assert!(outcome.head["proxy-status"].to_str().expect("text").contains("connection_refused"));
        // What only looks like it is answered in its own way.
        let mut web = request("other.test", "Say", &[]);
        web.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc-web"));
        let (answer, mut send) = begin(&mut sender, web).await;
        let _ = send.send_data(Bytes::new(), true);
        assert_eq!(timeout(BOUND, answer).await.expect("no hanging").expect("an answer").status(), 421);
        end(door);
    });
}

#[test]
fn a_caller_that_gives_up_takes_the_regions_work_along() {
    let papers = Papers::new();
    for method in ["Silent", "Hold"] {
        run(async || {
            let region = Region::start("h2c", &papers).await;
            let door = Door::start(&[region.origin()], "", &papers);
            let mut sender = http2(&door).await;
            let (answer, mut send) = begin(&mut sender, request("gw.test", method, &[])).await;
            send.send_data(message("hello"), false).expect("sent");
            let call = if method == "Hold" {
                Some(Call { head: timeout(BOUND, answer).await.expect("no hanging").expect("an answer"), send })
            } else {
                let asked = async {
                    while region.heads().is_empty() {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                };
                timeout(BOUND, asked).await.expect("the region is asked");
                send.send_reset(Reason::CANCEL);
                None
            };
            if let Some(mut call) = call {
                call.send.send_reset(Reason::CANCEL);
                drop(call.head);
            }
            assert_eq!(region.reset().await, Reason::CANCEL, "{method}");
            end(door);
        });
    }
}
