//! What is known of earlier tries: regions that say they did nothing, clients that ask again, clients that will not wait
//! long, and how much may be repeated.

#[path = "common/front.rs"]
mod front;

use anyfront::counters::DoorCounters;
use anyfront::health::Standing;
use anyfront::moment::{Clock, Moment, mix};
use front::{Answer, Door, Origin};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// A field that nothing simple has: requests with it go the whole way.
const WHOLE_WAY: &str = "Via: 1.1 elsewhere\r\n";
/// Both ways through the node.
const WAYS: [&str; 2] = ["", WHOLE_WAY];

fn ask(door: &Door, method: &str, path: &str, fields: &str) -> Answer {
    let body = if method == "POST" { "Content-Length: 2\r\n\r\nhi" } else { "\r\n" };
    door.ask(format!("{method} {path} HTTP/1.1\r\nHost: gw.test\r\n{fields}{body}"))
}

fn total(door: &Door, which: impl Fn(&DoorCounters) -> &AtomicU64) -> u64 {
    door.node.as_ref().expect("it runs").counters.total(which)
}

/// An origin that says of each request what its `x-say` asks for.
fn obedient() -> Origin {
    Origin::start(|talk| {
        talk.read_body()?;
        let say = talk.request.field("x-say").unwrap_or("200|").to_owned();
        let (status, fields) = say.split_once('|').expect("a status and fields");
        let fields: String = fields.split('|').filter(|field| !field.is_empty()).map(|f| format!("{f}\r\n")).collect();
        talk.say(format!("HTTP/1.1 {status} Said\r\n{fields}Content-Length: 4\r\n\r\nmine"))?;
        Ok(true)
    })
}

#[test]
fn what_a_region_has_not_served_goes_elsewhere_whatever_it_is() {
    let (first, second) = (obedient(), Origin::polite());
    let door = Door::before(&[&first, &second]);
    for way in WAYS {
        for method in ["GET", "POST"] {
            for (say, details) in [
                ("503|edge-unserved: 1", "; details=\"unserved\""),
                ("200|Edge-Unserved: ?1", "; details=\"unserved\""),
                ("429|edge-unserved: 1;hint=elsewhere;reason=draining", "; details=\"unserved: draining\""),
                (
                    "400|edge-unserved: 1; new=:aGk=:; reason=\"no \\\"room\\\"\"",
                    "; details=\"unserved: no \\\"room\\\"\"",
                ),
                ("421|", "; details=\"unserved\""),
            ] {
                let answer = ask(&door, method, "/v1/x", &format!("{way}x-say: {say}\r\n"));
                assert_eq!(
                    (answer.status(), answer.text().as_str()),
                    (200, "hello"),
                    "{way}{method} {say}: {answer:?}"
                );
                let happened = answer.field("proxy-status").unwrap_or_default();
                assert!(happened.starts_with(&format!("here; next-hop=\"a\"{details}, ")), "{say}: {happened}");
            }
        }
    }
    assert_eq!(total(&door, |door| &door.unrepeated), 0, "it costs no budget");
    assert_eq!(first.nonsense(), Vec::<String>::new());
}

#[test]
fn a_key_lets_what_may_be_done_already_go_elsewhere_where_the_gateway_honours_it() {
    let dying = Origin::start(|talk| talk.read_body().map(|()| false));
    let honoured = "[[class]]\nhostnames = [\"*\"]\nprefix = \"/keys/\"\nidempotency_key = true\n";
    for way in WAYS {
        for (path, key, is_repeated) in [
            ("/keys/x", "Idempotency-Key: 7f\r\n", true),
            ("/keys/x", "Idempotency-Key:\r\n", false),
            ("/keys/x", "", false),
            ("/v1/x", "Idempotency-Key: 7f\r\n", false),
        ] {
            let second = Origin::polite();
            let door = Door::with(&[&dying, &second], honoured);
            let answer = ask(&door, "POST", path, &format!("{way}{key}"));
            let (status, asked) = if is_repeated { (200, 1) } else { (502, 0) };
            assert_eq!((answer.status(), second.seen().len()), (status, asked), "{way}{path} {key}: {answer:?}");
        }
    }
}

#[test]
fn what_is_not_exactly_the_contract_is_an_answer_like_any_other() {
    let (first, second) = (obedient(), Origin::polite());
    let door = Door::before(&[&first, &second]);
    for way in WAYS {
        for say in [
            "503|edge-unserved: 0",
            "503|edge-unserved: 10",
            "503|edge-unserved: 1, 1",
            "503|edge-unserved: 1|edge-unserved: 1",
            "503|edge-unserved: 1;hint=",
            "429|",
            "409|",
            "500|",
        ] {
            let answer = ask(&door, "POST", "/v1/x", &format!("{way}x-say: {say}\r\n"));
            assert_eq!((answer.field("x-anyfront-region"), answer.text().as_str()), (Some("a"), "mine"), "{say}");
            assert_eq!((answer.field("edge-unserved"), answer.field("x-should-retry")), (None, None), "{say}");
        }
    }
    assert_eq!(second.seen().len(), 0);
}

#[test]
fn what_is_to_be_asked_later_is_asked_nowhere_else_and_clients_are_told_when() {
    let (first, second) = (obedient(), Origin::polite());
    let door = Door::before(&[&first, &second]);
    for way in WAYS {
        for (method, status) in [("GET", 503), ("POST", 429)] {
            let later = |fields: &str| format!("{way}x-say: {status}|edge-unserved: 1; hint=later|{fields}\r\n");
            let answer = ask(&door, method, "/v1/x", &later("x-should-retry: false"));
            assert_eq!((answer.status(), answer.text().as_str()), (status, "mine"), "{answer:?}");
            assert_eq!(answer.field("edge-unserved"), None);
            assert_eq!(front::fields(&answer.head, "x-should-retry"), ["true"], "{answer:?}");
            let number = |name| answer.field(name).and_then(|value| value.parse::<u64>().ok()).expect("a number");
            let (after_ms, after_s) = (number("retry-after-ms"), number("retry-after"));
            assert!((300..=2_000).contains(&after_ms) && after_s == after_ms.div_ceil(1_000), "{answer:?}");

            let answer = ask(&door, method, "/v1/x", &later("Retry-After: 7"));
            assert_eq!((answer.field("retry-after"), answer.field("retry-after-ms")), (Some("7"), None), "{answer:?}");
        }
    }
    assert_eq!(second.seen().len(), 0);
}

#[test]
fn when_nobody_serves_it_the_last_region_has_the_word() {
    let origins = [obedient(), obedient()];
    let door = Door::before(&[&origins[0], &origins[1]]);
    for way in WAYS {
        let answer = ask(&door, "POST", "/v1/x", &format!("{way}x-say: 529|edge-unserved: 1; reason=full\r\n"));
        assert_eq!((answer.status(), answer.text().as_str()), (529, "mine"), "{answer:?}");
        assert_eq!((answer.field("x-anyfront-region"), answer.field("edge-unserved")), (Some("b"), None), "{answer:?}");
    }
    assert!(origins.iter().all(|origin| origin.seen().len() == 2), "each once");
}

/// Client-visible failures of `count` requests, each with two more tries as the official SDKs make them.
fn failures_after_retries(door: &Door, count: u32, says_so: bool) -> u32 {
    let fails = |number: &u32| {
        (0..3).all(|retry| {
            let said = if says_so { format!("x-stainless-retry-count: {retry}\r\n") } else { String::new() };
            let fields = format!("Authorization: Bearer k{number}\r\n{said}");
            ask(door, "POST", "/v1/chat/completions", &fields).status() >= 500
        })
    };
    u32::try_from((0..count).filter(fails).count()).expect("few")
}

#[test]
fn a_client_that_asks_again_is_not_sent_to_the_region_that_failed_it() {
    const REQUESTS: u32 = 600;
    // Three of ten fail, by chance, but the same chance every time; probes pass.
    let asked = AtomicU64::new(0);
    let sick = Origin::start(move |talk| {
        talk.read_body()?;
        if mix(asked.fetch_add(1, SeqCst)) % 10 < 3 {
            talk.say("HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        talk.answer("hello")
    });
    let healthy = Origin::polite();
    let door = Door::before(&[&sick, &healthy]);
    let without = failures_after_retries(&door, REQUESTS, false);
    let with = failures_after_retries(&door, REQUESTS, true);
    println!("of {REQUESTS} requests with two retries each, {without} failed without the memory and {with} with it");
    assert!(without >= 6, "the region is not sick enough to tell: {without}");
    assert!(with * 5 <= without, "{with} of {REQUESTS} failed with the memory, {without} without");
    let standing = door.node.as_ref().expect("it runs").published.load_full().endpoints[0].standing;
    assert_eq!(standing, Standing::Up, "it passes its probes");
}

#[test]
fn whatever_failed_a_client_is_remembered_for_that_client_alone() {
    let sick = Origin::start(|talk| {
        talk.read_body()?;
        match talk.request.target().split('?').next().unwrap_or_default() {
            "/cut" => talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell")?,
            "/chunks" => talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?,
            "/lost" => {}
            // It says that it closes: a POST that met the end of a connection would rightly be lost.
            "/own" => talk.say("HTTP/1.1 500 Sick\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?,
            "/busy" => talk.say(
                "HTTP/1.1 503 Busy\r\nConnection: close\r\nedge-unserved: 1;hint=later\r\nContent-Length: 0\r\n\r\n",
            )?,
            _ => return talk.answer("mine"),
        }
        Ok(false)
    });
    let healthy = Origin::polite();
    let door = Door::before(&[&sick, &healthy]);
    let again = |path: &str, key: &str, count: &str| {
        let fields = format!("x-api-key: {key}\r\nx-stainless-retry-count: {count}\r\n");
        ask(&door, "POST", path, &fields).field("x-anyfront-region").unwrap_or_default().to_owned()
    };
    for (number, way) in WAYS.into_iter().enumerate() {
        for path in ["/cut", "/chunks", "/lost", "/own"] {
            let key = ["first", "second"][number];
            let failed = ask(&door, "POST", &format!("{path}?q"), &format!("{way}x-api-key: {key}\r\n"));
            assert!(failed.status() >= 500 || !failed.is_whole, "{path}: {failed:?}");
            assert_eq!(again(path, key, "1"), "b", "{way}{path}");
            for (path, key, count) in
                [("/fine", key, "1"), ("/fine", "other", "2"), ("/own", key, "0"), ("/own", key, "x")]
            {
                assert_eq!(again(path, key, count), "a", "{way}{path} {key} {count}");
            }
        }
        let _ = ask(&door, "POST", "/busy", way);
        assert_eq!(again("/busy", "", "1"), "a", "the fleet is busy, not the region sick");
    }
}

#[test]
fn an_impatient_safe_request_leaves_a_silent_region_at_half_time() {
    let (silent, second) = (silent(), Origin::polite());
    let door = Door::before(&[&silent, &second]);
    let clock = Clock::start();
    let answer = ask(&door, "GET", "/v1/models", "x-tfy-ttft-timeout-ms: 3000\r\n");
    let took = clock.now().since(Moment::ZERO);
    println!("answered after {took:?}");
    assert_eq!((answer.status(), answer.field("x-anyfront-region")), (200, Some("b")), "{answer:?}");
    assert!(took >= Duration::from_millis(1_400), "{took:?}");
    let left =
        |origin: &Origin| origin.only().field("x-anyfront-deadline-ms").and_then(|left| left.parse::<u64>().ok());
    let (first, then) = (left(&silent).expect("said"), left(&second).expect("said"));
    assert!((1..=2_850).contains(&first) && (1..=1_450).contains(&then), "{first} {then}");
    let snapshot = door.node.as_ref().expect("it runs").published.load_full();
    assert_eq!(snapshot.endpoints[0].load.failures(), 0, "a client that will not wait is no evidence");
}

#[test]
fn an_impatient_client_gets_its_error_before_it_gives_up() {
    let (silent, second) = (silent(), Origin::polite());
    let door = Door::before(&[&silent, &second]);
    for (fields, least_ms) in [
        ("x-stainless-read-timeout: 1.5\r\n", 1_400),
        ("x-tfy-ttft-timeout-ms: 200\r\nx-tfy-request-timeout: 1500\r\n", 1_400),
    ] {
        let clock = Clock::start();
        let answer = ask(&door, "POST", "/v1/chat/completions", fields);
        let took = clock.now().since(Moment::ZERO);
        println!("{} after {took:?}", answer.status());
        assert_eq!(answer.status(), 504, "{answer:?}");
        assert!(answer.text().contains("\"code\":\"no_answer\""), "{answer:?}");
        assert!(took >= Duration::from_millis(least_ms) && took < Duration::from_secs(4), "{took:?}");
    }
    assert_eq!(second.seen().len(), 0, "it may have been processed");
}

#[test]
fn silence_inside_an_answer_ends_it_when_the_client_would() {
    let halting = Origin::start(|talk| {
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell")?;
        talk.read_body()?;
        wait_for_the_end(talk)
    });
    let door = Door::before(&[&halting]);
    let clock = Clock::start();
    let answer = ask(&door, "POST", "/x", "x-stainless-read-timeout: 1\r\n");
    let took = clock.now().since(Moment::ZERO);
    assert!(answer.status() == 200 && !answer.is_whole && took >= Duration::from_millis(900), "{took:?} {answer:?}");
}

#[test]
fn what_every_sdk_says_and_what_nobody_can_mean_change_nothing() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let fields = [
        "X-Stainless-Read-Timeout: 600",
        "X-Stainless-Read-Timeout: -1",
        "X-Stainless-Read-Timeout: 1e3",
        "X-Tfy-Ttft-Timeout-Ms: 0",
        "X-Tfy-Ttft-Timeout-Ms: 99999999999999999999",
        "X-Tfy-Request-Timeout: 20",
        "X-Stainless-Retry-Count: 0",
    ];
    for field in fields {
        let answer = ask(&door, "POST", "/x", &format!("{field}\r\nX-Anyfront-Deadline-Ms: 5\r\n"));
        assert_eq!(answer.status(), 200, "{field}");
        let seen = origin.seen().pop().expect("one");
        assert_eq!(seen.field("x-anyfront-deadline-ms"), None, "{field}");
        // Only the fast path leaves names as they are written.
        assert!(seen.head.contains(field), "{field} takes the long way: {}", seen.head);
    }
}

/// An origin that reads and never answers.
fn silent() -> Origin {
    Origin::start(|talk| {
        talk.read_body()?;
        wait_for_the_end(talk)
    })
}

fn wait_for_the_end(talk: &mut front::Talk) -> std::io::Result<bool> {
    let _ = std::io::Read::read(&mut talk.stream, &mut [0]);
    Ok(false)
}

fn failing(every: u64) -> Origin {
    let asked = AtomicU64::new(0);
    Origin::start(move |talk| {
        talk.read_body()?;
        if asked.fetch_add(1, SeqCst).is_multiple_of(every) {
            talk.say("HTTP/1.1 503 Overloaded\r\nContent-Length: 4\r\n\r\nmine")?;
            return Ok(true);
        }
        talk.answer("hello")
    })
}

/// Asks for `lasts`, both ways in turn; how many requests and how long it took, seconds begun.
fn press(door: &Door, lasts: Duration) -> (usize, usize) {
    let clock = Clock::start();
    let mut client = door.client();
    let mut requests = 0;
    while clock.now() < Moment::at(lasts) {
        client.say(format!("GET /v1/models HTTP/1.1\r\nHost: gw.test\r\n{}\r\n", WAYS[requests % 2]));
        assert!(matches!(client.answer().status(), 200 | 503));
        requests += 1;
        if requests % 2 == 0 {
            // A connection that has taken the whole way once stays there.
            client = door.client();
        }
    }
    (requests, usize::try_from(clock.now().since(Moment::ZERO).as_secs()).expect("short") + 1)
}

#[test]
fn a_fleet_that_fails_under_load_gets_hardly_more_of_it() {
    let origins = [failing(1), failing(1), failing(1)];
    let door = Door::before(&[&origins[0], &origins[1], &origins[2]]);
    let (requests, seconds) = press(&door, Duration::from_secs(10));
    let attempts: usize = origins.iter().map(|origin| origin.seen().len()).sum();
    let floor = 2 * 3 * seconds;
    println!("{attempts} attempts for {requests} requests in {seconds} s, {floor} of them by the floor");
    assert!(requests > 10 * floor, "too few requests to tell: {requests}");
    assert!(attempts > requests, "some are repeated");
    assert!(10 * attempts.saturating_sub(floor) <= 11 * requests, "{attempts} attempts for {requests} requests");
    let refused = total(&door, |door| &door.unrepeated);
    assert!(refused as usize + floor >= requests, "{refused} of {requests} were not repeated");
}

#[test]
fn a_region_that_fails_half_of_everything_has_a_tenth_of_its_successes_repeated() {
    let origins = [failing(2), Origin::polite()];
    let door = Door::with(&[&origins[0], &origins[1]], "retry_budget = 10\nretry_floor = 0");
    let (requests, _) = press(&door, Duration::from_secs(3));
    let repeated = origins[1].seen().len();
    let successes = requests / 2;
    println!("{repeated} repeated for {successes} successes of {requests}");
    assert!(repeated > 0 && 10 * repeated <= successes + 10, "{repeated} repeated for {successes} successes");
    let never = Door::with(&[&origins[0], &origins[1]], "retry_budget = 0\nretry_floor = 0");
    let before = origins[1].seen().len();
    let _ = press(&never, Duration::from_millis(200));
    assert_eq!(origins[1].seen().len(), before);
}
