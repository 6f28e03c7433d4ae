//! Traces: what a collector hears, what regions hear, and that nobody waits for either.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/front.rs"]
mod front;

use anyfront::limits::SPANS_QUEUE_MAX;
use anyfront::moment::{Clock, Moment};
use anyfront::spans::settings::Settings;
use front::{BOUND, Door, Origin};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

const CANARY: &str = "canary-5c0a93f1e27b84d6";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that takes everything.
fn collector() -> Origin {
    Origin::start(|talk| {
        talk.read_body()?;
        talk.say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")?;
        Ok(false)
    })
}

fn door(origins: &[&Origin], collector: SocketAddr, more: &[(&str, &str)]) -> Door {
    let url = format!("http://{collector}");
    let said = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven")];
    let variable = |name: &str| {
        let found = said.iter().chain(more).find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let settings = Settings::of(variable).expect("they are good");
    Door::adjusted(origins, "", |options| options.traces = settings)
}

fn traced(path: &str, flags: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gw.test\r\ntraceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: v=1\r\n\
         Authorization: Bearer {CANARY}\r\n\r\n"
    )
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < Moment::at(3 * BOUND), "in vain: {what}");
        std::thread::yield_now();
    }
}

fn counts(door: &Door) -> [u64; 3] {
    let delivery = door.node.as_ref().expect("it runs").counters.spans();
    [&delivery.delivered, &delivery.missed, &delivery.failed].map(|count| count.load(Relaxed))
}

/// The spans that a collector has heard of, once it has.
fn spans(collector: &Origin) -> Vec<Value> {
    collector.until("a message", |seen, _| seen.iter().any(|seen| seen.is_whole));
    let seen = collector.seen();
    let messages = seen.iter().filter(|seen| seen.is_whole).map(|seen| {
        assert_eq!((seen.line(), seen.field("content-type")), ("POST /v1/traces HTTP/1.1", Some("application/json")));
        assert_eq!(seen.field("x-tenant"), Some("seven"));
        assert!(!String::from_utf8_lossy(&seen.body).contains(CANARY), "a secret is told");
        serde_json::from_slice::<Value>(&seen.body).expect("JSON")
    });
    let all = messages.flat_map(|message| {
        let resource = &message["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "anyfront");
        resource["scopeSpans"][0]["spans"].as_array().cloned().expect("spans")
    });
    all.collect()
}

/// An attribute of a span.
fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let all = span["attributes"].as_array().expect("attributes");
    let value = &all.iter().find(|one| one["key"] == key)?["value"];
    value["stringValue"].as_str().or(value["intValue"].as_str())
}

fn nanos(span: &Value, key: &str) -> u128 {
    span[key].as_str().and_then(|text| text.parse().ok()).expect("nanoseconds")
}

#[test]
fn a_request_is_a_span_and_each_attempt_one_below_it() {
    let declines = Origin::start(|talk| {
        talk.read_body()?;
        talk.say("HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n").map(|()| true)
    });
    let (well, collector) = (Origin::polite(), collector());
    let door = door(&[&declines, &well], collector.address, &[]);
    let answer = door.ask(traced(&format!("/v1/models?key={CANARY}"), "01"));
    assert_eq!(answer.status(), 200);
    let spans = spans(&collector);
    let [request, first, second] = &spans[..] else { panic!("{spans:#?}") };
    assert!(spans.iter().all(|span| span["traceId"] == TRACE));
    assert_eq!(
        (&request["parentSpanId"], &request["kind"], &request["name"]),
        (&PARENT.into(), &2.into(), &"GET /v1/".into())
    );
    for (key, value) in [
        ("anyfront.decision", answer.field("x-anyfront-decision").expect("one")),
        ("anyfront.region", "b"),
        ("anyfront.outcome", "complete"),
        ("http.response.status_code", "200"),
        ("url.path", "/v1/models"),
        ("server.address", "gw.test"),
        ("client.address", "127.0.0.0/24"),
    ] {
        assert_eq!(attribute(request, key), Some(value), "{key} of {request:#}");
    }
    for (span, origin, region) in [(first, &declines, "a"), (second, &well, "b")] {
        assert_eq!((&span["parentSpanId"], &span["kind"]), (&request["spanId"], &3.into()));
        assert_eq!(attribute(span, "anyfront.region"), Some(region));
        let heard = origin.only();
        let id = span["spanId"].as_str().expect("an id");
        assert_eq!(heard.field("traceparent"), Some(format!("00-{TRACE}-{id}-01").as_str()));
        assert_eq!(
            heard.field("tracestate"),
            Some("v=1"),
            "the trace is gone on with, and so is what others say of it"
        );
        let (from, to) = (nanos(span, "startTimeUnixNano"), nanos(span, "endTimeUnixNano"));
        assert!(nanos(request, "startTimeUnixNano") <= from && from <= to && to <= nanos(request, "endTimeUnixNano"));
    }
    assert_eq!((&first["status"]["code"], &second["status"]), (&2.into(), &Value::Null));
    assert!(nanos(first, "endTimeUnixNano") <= nanos(second, "startTimeUnixNano"));
    assert_eq!(attribute(first, "error.type"), Some("unserved"));
    until("it is counted", || counts(&door) == [1, 0, 0]);
}

#[test]
fn what_is_not_sampled_goes_on_and_is_not_told() {
    let (well, collector) = (Origin::polite(), collector());
    let door = door(&[&well], collector.address, &[]);
    assert_eq!(door.ask(traced("/", "00")).status(), 200);
    let said = well.only().field("traceparent").expect("one").to_owned();
    assert!(said.starts_with(&format!("00-{TRACE}-")) && said.ends_with("-00") && !said.contains(PARENT), "{said}");
    // Without a parent, or with one that is none, a trace begins here.
    door.ask("GET / HTTP/1.1\r\nHost: gw.test\r\ntraceparent: 00-x\r\ntracestate: v=1\r\n\r\n");
    let spans = spans(&collector);
    let request = spans.iter().find(|span| span["kind"] == 2).expect("a request");
    assert!(spans.len() == 2 && request["parentSpanId"].is_null() && request["traceId"] != TRACE, "{spans:#?}");
    let heard = well.seen().pop().expect("the second");
    assert_eq!(heard.field("tracestate"), None, "it speaks of no trace");
    assert!(heard.field("traceparent").is_some_and(|said| said[3..35] == *request["traceId"].as_str().expect("an id")));
}

#[test]
fn where_traces_are_not_told_they_pass_untouched() {
    let well = Origin::polite();
    let door = Door::before(&[&well]);
    for way in ["", "TE: trailers\r\n"] {
        door.ask(traced("/", "01").replace("\r\n\r\n", &format!("\r\n{way}\r\n")));
        let heard = well.seen().pop().expect("one");
        assert_eq!(heard.field("traceparent"), Some(format!("00-{TRACE}-{PARENT}-01").as_str()), "{way}");
        assert_eq!(heard.field("tracestate"), Some("v=1"));
    }
}

#[test]
fn a_collector_that_is_busy_is_asked_once_more_and_one_that_is_away_is_counted() {
    let busy = Origin::start(|talk| {
        talk.read_body()?;
        let is_first = talk.request.connection == 0;
        let status = if is_first { "503 Service Unavailable" } else { "200 OK" };
        talk.say(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).map(|()| false)
    });
    let well = Origin::polite();
    let asked = door(&[&well], busy.address, &[]);
    assert_eq!(asked.get("/").status(), 200);
    until("the second try", || counts(&asked) == [1, 0, 0]);
    let [first, second] = &busy.seen()[..] else { panic!("{:#?}", busy.seen()) };
    assert_eq!(first.body, second.body);

    let away = door(&[&well], Origin::gone().address, &[]);
    assert_eq!(away.get("/").status(), 200);
    until("the failure", || counts(&away) == [0, 0, 1]);
}

#[test]
fn what_a_collector_does_not_take_in_time_is_dropped() {
    let mute = Origin::start(|talk| {
        talk.read_body()?;
        // Until the node gives up.
        let _ = std::io::Read::read(&mut talk.stream, &mut [0]);
        Ok(false)
    });
    let door = door(&[&Origin::polite()], mute.address, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")]);
    let mut client = door.client();
    let (clock, mut asked) = (Clock::start(), 0);
    while counts(&door)[1] == 0 {
        for _ in 0..100 {
            client.say("GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n");
            assert_eq!(client.answer().status(), 200, "the collector is waited for");
        }
        asked += 100;
        assert!(asked < 4 * SPANS_QUEUE_MAX && clock.now() < Moment::at(6 * BOUND), "{:?}", counts(&door));
    }
    assert!(asked > SPANS_QUEUE_MAX, "dropped although there was room");
}

#[test]
fn an_environment_that_makes_no_sense_keeps_a_node_from_starting_and_says_why() {
    let node = Command::new(env!("CARGO_BIN_EXE_anyfront"))
        .args(["serve", "--http", "127.0.0.1:0", "--config", "/nowhere"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
        .env("OTEL_TRACES_SAMPLER", "sometimes")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&node.stderr);
    assert!(!node.status.success() && said.contains("OTEL_TRACES_SAMPLER=sometimes"), "{said}");
}

#[test]
fn a_password_in_the_collectors_url_is_refused_and_not_repeated() {
    let node = Command::new(env!("CARGO_BIN_EXE_anyfront"))
        .args(["serve", "--http", "127.0.0.1:0", "--config", "/nowhere"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://us:secret@127.0.0.1:4318")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&node.stderr);
    assert!(!node.status.success() && said.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
