//! Every answer names its decision, and every request leaves one record: told once, when its answer has ended, and replayed
//! from what is remembered.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/front.rs"]
mod front;

use anyfront::counters::record::{Outcome, Record};
use anyfront::counters::records::DecisionId;
use anyfront::health::Fault;
use anyfront::moment::{Clock, Moment};
use anyfront::names::Label;
use bytes::Bytes;
use front::{Answer, BOUND, Client, Door, Origin, Papers};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What makes a request leave the fast path, and changes nothing else.
const WHOLE: &str = "TE: trailers\r\n";
/// Both ways in.
const WAYS: [&str; 2] = ["", WHOLE];

fn door(origins: &[&Origin], forward: &str) -> Door {
    Door::adjusted(origins, forward, |options| options.admin = vec![SocketAddr::from(([127, 0, 0, 1], 0))])
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n{more}\r\n")
}

/// The decision of an answer, in the form it must have.
#[track_caller]
fn decision(answer: &Answer) -> DecisionId {
    let all = front::fields(&answer.head, "x-anyfront-decision");
    assert_eq!(all.len(), 1, "{}", answer.head);
    DecisionId::parse(all[0]).unwrap_or_else(|| panic!("{:?} is no decision", all[0]))
}

/// The record of it, once it is as it should be.
#[track_caller]
fn record(door: &Door, id: DecisionId, is_so: impl Fn(&Record) -> bool) -> Record {
    let (node, clock) = (door.node.as_ref().expect("it runs"), Clock::start());
    loop {
        let found = node.counters.find(id);
        match found {
            Some(record) if is_so(&record) => return record,
            found => assert!(clock.now() < Moment::at(BOUND), "{found:#?}"),
        }
        std::thread::yield_now();
    }
}

#[track_caller]
fn ended(door: &Door, id: DecisionId) -> Record {
    record(door, id, |record| record.outcome != Outcome::UnderWay)
}

/// What the admin address says at `path`.
fn admin(door: &Door, path: &str) -> (u16, String) {
    let address = door.node.as_ref().expect("it runs").admin[0];
    let mut client = Client::connect(address);
    client.say(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    let answer = client.answer();
    (answer.status(), answer.text())
}

fn explained(door: &Door, id: DecisionId) -> Value {
    let (status, body) = admin(door, &format!("/explain/{id}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn every_answer_names_its_decision_and_no_two_the_same() {
    let origin = Origin::start(|talk| {
        talk.read_body()?;
        talk.say("HTTP/1.1 200 OK\r\nX-Anyfront-Decision: 0000000000000000\r\nContent-Length: 2\r\n\r\nok")?;
        Ok(true)
    });
    let door = door(&[&origin], "");
    let mut seen = HashSet::new();
    let mut client = door.client();
    for way in WAYS {
        for more in ["", "X-Request-Id: 0123456789abcdef\r\n", "X-Anyfront-Decision: 0123456789abcdef\r\n"] {
            client.say(get("/", &format!("{way}{more}")));
            let id = decision(&client.answer());
            assert!(seen.insert(id) && id.to_string() != "0123456789abcdef" && id.to_string() != "0000000000000000");
        }
    }
    assert!(origin.seen().iter().all(|seen| seen.field("x-anyfront-decision").is_none()), "regions are not told");
    for refused in [
        "GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: gw.test\r\nCDN-Loop: gw.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        &format!("GET / HTTP/1.1\r\nHost: gw.test\r\nX-Long: {}\r\n\r\n", "x".repeat(9_000)),
    ] {
        let answer = door.ask(refused);
        assert!(answer.status() >= 400, "{refused:?}: {}", answer.head);
        let id = decision(&answer);
        assert!(seen.insert(id));
        let record = ended(&door, id);
        assert_eq!((record.outcome, record.status), (Outcome::Refused, answer.status()), "{record:#?}");
    }
    let mut client = door.client();
    client.say("HEAD / HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(seen.insert(decision(&client.head_answer())));
}

#[test]
fn a_record_says_how_the_answer_ended_on_both_ways() {
    let origin = Origin::start(|talk| {
        talk.read_body()?;
        match talk.request.target().to_owned().as_str() {
            "/cut" => {
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")?;
                Ok(false)
            }
            "/slow" => {
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")?;
                // Until the client has gone, and with it the node.
                let _ = std::io::Read::read(&mut talk.stream, &mut [0]);
                Ok(false)
            }
            "/mute" => {
                let _ = std::io::Read::read(&mut talk.stream, &mut [0]);
                Ok(false)
            }
            "/none" => talk.say("HTTP/1.1 204 No Content\r\n\r\n").map(|()| true),
            "/chunks" => {
                talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")?;
                Ok(true)
            }
            _ => talk.answer("hello"),
        }
    });
    let door = door(&[&origin], "");
    for way in WAYS {
        for (path, octets) in [("/v1/models?secret=1", 5), ("/none", 0), ("/chunks", 7)] {
            let record = ended(&door, decision(&door.ask(get(path, way))));
            assert_eq!((record.outcome, record.octets_down), (Outcome::Complete, octets), "{way}{path}");
            assert_eq!((record.attempts, record.failed.len(), record.reason), (1, 0, None));
            assert_eq!(record.region.as_ref().map(Label::as_str), Some("a"));
            assert!(record.first_byte <= record.elapsed && record.elapsed <= Some(record.lasted), "{record:#?}");
            assert_eq!(record.path, None, "nobody writes it down");
        }
        let body = format!("POST /v1/x HTTP/1.1\r\nHost: gw.test\r\n{way}Content-Length: 11\r\n\r\nhello world");
        let record = ended(&door, decision(&door.ask(body)));
        assert_eq!((record.octets_up, record.class.as_deref()), (11, Some("/v1/")), "{way}");

        let cut = door.ask(get("/cut", way));
        assert!(!cut.is_whole);
        let record = ended(&door, decision(&cut));
        assert_eq!((record.outcome, record.reason, record.octets_down), (Outcome::Cut, Some("cut"), 4), "{way}");
        assert!(record.is_failure());

        let mut client = door.client();
        client.say(get("/slow", way));
        let head = {
            let mut head = Vec::new();
            while !head.ends_with(b"half") {
                let mut octet = [0];
                std::io::Read::read_exact(&mut client.stream, &mut octet).expect("more");
                head.push(octet[0]);
            }
            Answer { head: String::from_utf8(head).expect("text"), ..Answer::default() }
        };
        let id = decision(&head);
        record_under_way(&door, id);
        drop(client);
        let record = ended(&door, id);
        assert_eq!((record.outcome, record.is_failure()), (Outcome::ClientGone, false), "{way}");

        let before = origin.seen().len();
        let mut client = door.client();
        client.say(get("/mute", way));
        origin.until("the request is there", |seen, _| seen.len() > before);
        drop(client);
        let newest = until_newest(&door, |record| record.attempts == 1 && record.status == 0);
        assert_eq!((newest.outcome, newest.region, newest.elapsed), (Outcome::ClientGone, None, None), "{way}");
    }
    let traffic = door.node.as_ref().expect("it runs").counters.traffic();
    let total = |region: Option<&str>, class: &str| {
        let one = traffic.iter().find(|one| one.region.as_ref().map(Label::as_str) == region && &*one.class == class);
        one.map(|one| (one.statuses, one.failures))
    };
    assert_eq!(total(Some("a"), "/v1/"), Some(([0, 0, 4, 0, 0, 0], 0)));
    assert_eq!(total(Some("a"), "*"), Some(([0, 0, 8, 0, 0, 0], 2)));
    assert_eq!(total(None, "*"), Some(([2, 0, 0, 0, 0, 0], 0)));
}

fn record_under_way(door: &Door, id: DecisionId) {
    let under_way = record(door, id, |_| true);
    assert_eq!((under_way.outcome, under_way.status), (Outcome::UnderWay, 200));
    assert_eq!(explained(door, id)["request"]["outcome"], "under_way");
}

fn until_newest(door: &Door, is_so: impl Fn(&Record) -> bool) -> Record {
    let (node, clock) = (door.node.as_ref().expect("it runs"), Clock::start());
    loop {
        let newest = node.counters.newest(1).into_iter().next();
        match newest {
            Some(record) if is_so(&record) && record.outcome != Outcome::UnderWay => return record,
            newest => assert!(clock.now() < Moment::at(BOUND), "{newest:#?}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_failover_is_replayed_attempt_by_attempt() {
    let dead = Origin::start(|talk| {
        talk.read_body()?;
        Ok(false)
    });
    let well = Origin::polite();
    let door = door(&[&dead, &well], "");
    for way in WAYS {
        let answer = door.ask(get("/v1/models", way));
        assert_eq!((answer.status(), answer.field("x-anyfront-region")), (200, Some("b")));
        let id = decision(&answer);
        let record = ended(&door, id);
        assert_eq!((record.attempts, record.failed.len(), record.failed[0].fault), (2, 1, Fault::Reset), "{record:#?}");
        assert!(record.added() >= Some(record.failed[0].elapsed), "a failed attempt is what we add");
        let told = explained(&door, id);
        assert_eq!(told["candidates"][0]["region"], "a", "{told:#}");
        assert_eq!((&told["request"]["status"], &told["request"]["region"]), (&200.into(), &"b".into()));
        let [first, second] = &told["attempts"].as_array().expect("attempts")[..] else { panic!("{told:#}") };
        assert_eq!((&first["region"], &first["outcome"]), (&"a".into(), &"reset".into()));
        assert_eq!((&second["region"], &second["outcome"]), (&"b".into(), &"answered".into()));
        assert_eq!(second["decision"]["candidates"][0]["region"], "b", "{told:#}");
        let excluded =
            serde_json::json!([{ "region": "a", "exclusion": "tried", "reason": "already failed for this request" }]);
        assert_eq!(second["decision"]["excluded"], excluded);
        let (status, text) = admin(&door, &format!("/explain/{id}?format=text"));
        for part in [
            "class /v1/",
            "complete, status 200, from b (b/",
            "2 attempts",
            "goes to a",
            "already failed for this request",
        ] {
            assert!(status == 200 && text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert!(!text.contains("127.0.0.1\n") && told["client"]["prefix"] == "127.0.0.0/24", "{text}");
    }
    let counters = &door.node.as_ref().expect("it runs").counters;
    let after_reset = counters.total(|door| &door.failovers_after[Fault::Reset.number()]);
    assert_eq!((after_reset, counters.total(|door| &door.failovers)), (2, 2));
    assert_eq!(counters.workers().map(|worker| worker.door.requests.load(Relaxed)).sum::<u64>(), 2);
}

#[test]
fn nobody_answering_is_a_record_too() {
    let door = door(&[&Origin::gone()], "");
    for way in WAYS {
        let answer = door.ask(get("/v1/models", way));
        assert_eq!(answer.status(), 503);
        let id = decision(&answer);
        let record = ended(&door, id);
        assert_eq!((record.outcome, record.reason), (Outcome::Unserved, Some("no_region_reached")));
        assert_eq!((record.region, record.failed[0].fault), (None, Fault::Refused));
        let told = explained(&door, id);
        assert_eq!(told["attempts"].as_array().map(Vec::len), Some(1), "{told:#}");
        assert_eq!(told["attempts"][0]["outcome"], "refused");
    }
    let flows = door.node.as_ref().expect("it runs").counters.traffic();
    assert_eq!((flows.len(), flows[0].failures), (1, 2));
}

#[test]
fn what_was_refused_says_so_and_what_is_unknown_gets_a_sentence() {
    let door = door(&[&Origin::polite()], "");
    let id = decision(&door.ask("GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n"));
    let told = explained(&door, id);
    assert_eq!((&told["request"]["reason"], &told["attempts"]), (&"unknown_host".into(), &Value::Array(Vec::new())));
    let (_, text) = admin(&door, &format!("/explain/{id}?format=text"));
    assert!(text.contains("refused (unknown_host), status 421") && text.contains("nothing was steered"), "{text}");
    for (path, status, part) in [
        ("/explain/0123456789abcdef", 404, "is not remembered"),
        ("/explain/0123456789ABCDEG", 400, "16 hexadecimal digits"),
        ("/explain/", 400, "16 hexadecimal digits"),
        ("/explain/0123456789abcdef?format=xml", 400, "neither text nor json"),
    ] {
        let (got, body) = admin(&door, path);
        assert!(got == status && body.contains(part), "{path}: {got} {body}");
    }
}

#[test]
fn a_decision_is_replayed_by_the_generation_that_made_it() {
    let (a, b) = (Origin::polite(), Origin::polite());
    let door = door(&[&a, &b], "");
    let old = decision(&door.get("/"));
    let generation = ended(&door, old).decided.generation;
    door.reload(&[&a]);
    let answer = door.get("/");
    let new = decision(&answer);
    assert!(ended(&door, new).decided.generation > generation);
    let regions = |told: &Value| told["candidates"].as_array().map_or(0, Vec::len);
    let told = explained(&door, old);
    assert_eq!((regions(&told), &told["generation"]), (2, &generation.into()), "{told:#}");
    assert_eq!(regions(&explained(&door, new)), 1);
    // Of the file in force and the one before; what is older is said to be gone.
    door.reload(&[&a, &b]);
    ended(&door, decision(&door.get("/")));
    let told = explained(&door, old);
    assert!(
        told["gone"].as_str().is_some_and(|gone| gone.contains(&format!("generation {generation} is gone"))),
        "{told:#}"
    );
    assert_eq!((&told["request"]["region"], &told["attempts"][0]["outcome"]), (&"a".into(), &"answered".into()));
}

#[test]
fn a_stream_of_events_tells_its_longest_silence() {
    const PAUSE: Duration = Duration::from_millis(150);
    let origin = Origin::start(|talk| {
        talk.read_body()?;
        talk.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for event in ["9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n", "0\r\n\r\n"] {
            talk.say(event)?;
            // The pause is what is measured.
            let _ = talk.stream.set_read_timeout(Some(PAUSE));
            let _ = std::io::Read::read(&mut talk.stream, &mut [0]);
        }
        Ok(false)
    });
    let door = Door::start(&[("http", origin.address)], "", &Papers::new());
    for (path, way) in [("/x", ""), ("/x", WHOLE), ("/v1/x", "")] {
        let answer = door.ask(get(path, way));
        assert!(answer.is_whole);
        let record = ended(&door, decision(&answer));
        assert!(record.gap.is_some_and(|gap| gap >= PAUSE / 2 && gap <= record.lasted), "{path} {way}: {record:#?}");
    }
}

#[test]
fn a_websocket_is_one_record_with_what_passed_both_ways() {
    let origin = Origin::start(|talk| {
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        talk.say(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{accept}\r\n\r\n"
        ))?;
        talk.say([0x81, 2, b'h', b'i'])?;
        // Until the client has gone.
        while std::io::Read::read(&mut talk.stream, &mut [0; 64])? > 0 {}
        Ok(false)
    });
    let door = door(&[&origin], "");
    let mut client = door.client();
    client.say(
        "GET /ws HTTP/1.1\r\nHost: gw.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let answer = client.any_answer(false);
    assert_eq!(answer.status(), 101);
    let id = decision(&answer);
    client.until_said("hi");
    client.say([0x82, 0x83, 0, 0, 0, 0, 1, 2, 3]);
    record(&door, id, |record| record.outcome == Outcome::UnderWay && record.status == 101);
    drop(client);
    let record = ended(&door, id);
    assert_eq!((record.outcome, record.octets_down), (Outcome::ClientGone, 4), "{record:#?}");
    assert!(record.octets_up <= 9);
}

#[test]
fn streams_of_one_connection_have_decisions_of_their_own() {
    let origin = Origin::polite();
    let door = door(&[&origin], "");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let ids: Vec<DecisionId> = runtime.block_on(async {
        let stream = TokioIo::new(door.tls(b"h2").await);
        let (sender, connection) =
            http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let ask = |at: usize| {
            let (mut sender, host) = (sender.clone(), if at == 0 { "elsewhere.test" } else { "gw.test" });
            async move {
                let request =
                    http::Request::get(format!("https://{host}/v1/{at}")).body(Full::from("")).expect("a request");
                let answer: http::Response<Incoming> = sender.send_request(request).await.expect("an answer");
                let id = answer.headers()["x-anyfront-decision"].to_str().ok().and_then(DecisionId::parse);
                let body = answer.into_body().collect().await.expect("a body").to_bytes();
                assert!(at == 0 || body == "hello");
                id.expect("a decision")
            }
        };
        let mut ids = Vec::new();
        for at in 0..20 {
            ids.push(ask(at).await);
        }
        ids
    });
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 20);
    assert_eq!(ended(&door, ids[0]).outcome, Outcome::Refused);
    for id in &ids[1..] {
        let record = ended(&door, *id);
        assert_eq!((record.outcome, record.octets_down, record.version), (Outcome::Complete, 5, http::Version::HTTP_2));
    }
}
