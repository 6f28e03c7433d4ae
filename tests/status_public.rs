//! THE STATUS PAGE AS EVERYBODY GETS IT: at its public address, as files, and as news.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

#[path = "common/asking.rs"]
mod asking;
mod common;
#[path = "common/status.rs"]
mod status;
#[path = "common/stories.rs"]
mod stories;

use anyfront::history::story::Level;
use anyfront::limits::{
    HEADER_BYTES_MAX, HEADER_FIELDS_MAX, STATUS_CONNECTIONS_MAX, STATUS_LISTENERS_MAX, STATUS_LISTENERS_PER_PREFIX_MAX,
    STATUS_NEWS_MAX,
};
use anyfront::status::board::Content;
use anyfront::status::rendering::Rendering;
use asking::BOUND;
use futures_util::StreamExt;
use serde_json::Value;
use status::Shown;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

/// For looking at: `STATUS_SERVE=STORY` shows it until the test is ended, and prints where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_can_be_looked_at_live() {
    let Ok(story) = std::env::var("STATUS_SERVE") else { return };
    let report = match story.as_str() {
        "outage" => stories::outage(),
        "new" => stories::no_history_yet(),
        "doubt" => stories::in_doubt(),
        hostile if hostile.starts_with("hostile") => {
            stories::hostile(hostile.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0))
        }
        _ => stories::all_well(),
    };
    let shown = Shown::start(Shown::now(report.clone()), None).await;
    println!("http://{}/", shown.address);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        shown.tell(Shown::now(report.clone()));
    }
}

/// What a policy allows, by directive.
fn policy(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let directives = text.split(';').map(str::trim).filter(|directive| !directive.is_empty());
    directives
        .map(|directive| {
            let mut words = directive.split_ascii_whitespace();
            (words.next().expect("a name"), words.collect())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_may_load_what_is_theirs_and_nothing_else() {
    let shown = Shown::start(Shown::now(stories::outage()), None).await;
    for path in ["/", "/history", "/subscribe", "/incident/inc-20261127-us", "/nowhere", "/a/b/nowhere"] {
        let answer = shown.get(path).await;
        let policy = policy(answer.field("content-security-policy"));
        for (directive, wanted) in [
            ("default-src", "'none'"),
            ("script-src", "'self'"),
            ("style-src", "'self'"),
            ("img-src", "'self'"),
            ("connect-src", "'self'"),
            ("form-action", "'self'"),
            ("base-uri", "'none'"),
            ("frame-ancestors", "'none'"),
        ] {
            assert_eq!(policy.get(directive), Some(&vec![wanted]), "{path}: {directive}");
        }
        assert_eq!(policy.len(), 8, "{path}: {policy:?}");
        assert_eq!(answer.field("x-content-type-options"), "nosniff");
        assert_eq!(answer.field("referrer-policy"), "no-referrer");
        assert_eq!(answer.field("x-frame-options"), "DENY");
        assert_eq!(answer.field("access-control-allow-origin"), "");
        let page = answer.text();
        assert!(!page.contains(" style=") && !page.contains(" onclick=") && !page.contains("<style"), "{path}");
    }
    let badge = shown.get("/badge.svg").await;
    assert_eq!(policy(badge.field("content-security-policy")).get("default-src"), Some(&vec!["'none'"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reader_has_is_not_sent_again() {
    let shown = Shown::start(stories::outage(), None).await;
    for path in ["/", "/history.atom", "/api/v2/summary.json", "/badge.svg", "/history"] {
        let plain = shown.get(path).await;
        let packed = shown.ask("GET", path, "accept-encoding: br, gzip;q=0.5\r\n").await;
        assert_eq!((plain.status, packed.status), (200, 200), "{path}");
        assert_eq!((plain.field("vary"), packed.field("vary")), ("accept-encoding", "accept-encoding"));
        if plain.body.len() > 512 {
            assert_eq!(packed.field("content-encoding"), "gzip", "{path}");
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).expect("gzip");
            assert_eq!(unpacked, plain.body, "{path}");
            assert_ne!(plain.field("etag"), packed.field("etag"), "two codings are two representations");
        }
        for tag in [plain.field("etag"), packed.field("etag"), "\"other\", *", &format!("W/{}", plain.field("etag"))] {
            let known = shown.ask("GET", path, &format!("if-none-match: {tag}\r\n")).await;
            assert_eq!((known.status, known.body.len()), (304, 0), "{path} {tag}");
            assert_eq!(known.field("etag"), plain.field("etag"));
        }
        let other = shown.ask("GET", path, "if-none-match: \"other\"\r\naccept-encoding: gzip;q=0\r\n").await;
        assert_eq!((other.status, other.field("content-encoding")), (200, ""));
        let head = shown.ask("HEAD", path, "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.field("content-length"), plain.body.len().to_string());
    }
    let page = shown.get("/").await;
    let style = page.text().split("href=\"").find(|rest| rest.starts_with("assets/style")).expect("a style");
    let style = shown.get(&format!("/{}", style.split('"').next().expect("its end"))).await;
    assert_eq!(style.field("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(page.field("cache-control"), "public, max-age=5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_elsewhere_may_read_documents_feeds_and_badges() {
    let shown = Shown::start(stories::outage(), None).await;
    for (path, kind) in [
        ("/api/v2/summary.json", "application/json; charset=utf-8"),
        ("/api/v2/scheduled-maintenances/upcoming.json", "application/json; charset=utf-8"),
        ("/history.atom", "application/atom+xml; charset=utf-8"),
        ("/feed/region/orf.rss", "application/rss+xml; charset=utf-8"),
        ("/badge/hostname/us.gateway.truefoundry.ai.svg", "image/svg+xml"),
    ] {
        let answer = shown.get(path).await;
        assert_eq!((answer.status, answer.field("content-type")), (200, kind), "{path}");
        assert_eq!(answer.field("access-control-allow-origin"), "*", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_said_with_a_way_back() {
    let shown = Shown::start(stories::all_well(), None).await;
    for (path, home) in [("/nowhere", "./"), ("/incident/gone", "../"), ("/a/b/c", "../../")] {
        let answer = shown.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("There is no such page"), "{path}");
        assert!(answer.text().contains(&format!("class=\"brand\" href=\"{home}\"")), "{path}");
    }
    let deep = shown.get("/a/b/c/d/e/f").await;
    assert_eq!((deep.status, deep.text()), (404, "not found\n"));
    let slashed = shown.get("/history/").await;
    assert_eq!((slashed.status, slashed.field("location")), (308, "../history"));
    for path in ["/../../etc/passwd", "/%2e%2e/x", "/assets/", "//history"] {
        assert!(matches!(shown.get(path).await.status, 404 | 200), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = shown.ask(method, "/", "content-length: 0\r\n").await;
        assert_eq!((refused.status, refused.field("allow")), (405, "GET, HEAD"), "{method}");
    }
}

/// A reader's stream: its lines as they come.
async fn follow(shown: &Shown, path: &str, lines: &str) -> (String, Lines<BufReader<TcpStream>>) {
    let mut stream = TcpStream::connect(shown.address).await.expect("it listens");
    let head = format!("GET {path} HTTP/1.1\r\nhost: status\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut lines = BufReader::new(stream).lines();
    let mut head = String::new();
    while let Some(line) = lines.next_line().await.expect("read") {
        if line.is_empty() {
            break;
        }
        head.push_str(&line.to_lowercase());
        head.push('\n');
    }
    (head, lines)
}

/// The next line that begins so.
async fn next(lines: &mut Lines<BufReader<TcpStream>>, begin: &str) -> Option<String> {
    let reading = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(rest) = line.strip_prefix(begin) {
                return Some(rest.to_owned());
            }
        }
        None
    };
    tokio::time::timeout(BOUND, reading).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_hears_what_changed_and_who_missed_something_is_told_to_ask() {
    let shown = Shown::start(Shown::now(stories::all_well()), None).await;
    let version = shown.board.shown().version.clone();
    let (head, mut lines) = follow(&shown, &format!("/events?since={version}"), "").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    assert_eq!(next(&mut lines, "retry: ").await.as_deref(), Some("3000"));
    assert_eq!(next(&mut lines, "event: ").await.as_deref(), Some("alive"));

    let mut report = Shown::now(stories::all_well());
    report.regions[0].level = Level::Major;
    shown.tell(report);
    let id = next(&mut lines, "id: ").await.expect("an id");
    assert_eq!(next(&mut lines, "event: ").await.as_deref(), Some("parts"));
    let told: Value = serde_json::from_str(&next(&mut lines, "data: ").await.expect("data")).expect("JSON in one line");
    assert!(told["parts"]["region-orf"].as_str().is_some_and(|part| part.contains("Outage")), "{told}");
    assert_eq!(id, shown.board.shown().version);

    // Coming back with that id: nothing was missed. With another: reload.
    let (_, mut lines) = follow(&shown, "/events", &format!("last-event-id: {id}\r\n")).await;
    assert_eq!(next(&mut lines, "event: ").await.as_deref(), Some("alive"));
    let (_, mut lines) = follow(&shown, "/events", &format!("last-event-id: {version}\r\n")).await;
    assert_eq!(next(&mut lines, "event: ").await.as_deref(), Some("reload"));

    // The end of the node ends what would not end by itself.
    shown.end();
    assert_eq!(next(&mut lines, "never").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_is_far_behind_is_told_to_ask_anew() {
    let shown = Shown::start(Shown::now(stories::all_well()), None).await;
    let (parts, ()) = http::Request::get("/events").body(()).expect("a request").into_parts();
    let peer = "127.0.0.1".parse().expect("an address");
    let Content::News(mut news) = shown.board.answer(peer, &parts).into_body() else { panic!("news") };
    for second in 0..=STATUS_NEWS_MAX as u64 + 1 {
        let mut report = stories::all_well();
        report.at += Duration::from_secs(second);
        let next = Rendering::of(&report, &shown.board.shown().setting, Some(&shown.board.shown()));
        shown.board.show(&Arc::new(next));
    }
    let heard =
        [news.next().await, news.next().await].map(|bytes| String::from_utf8_lossy(&bytes.expect("news")).into_owned());
    assert!(heard[0].contains("event: alive") && heard[1].contains("event: reload"), "{heard:?}");
}

/// The last seat is given; the next reader is told to ask now and then, and a seat that is left is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_follow_are_bounded_in_all_and_by_network() {
    let shown = Shown::start(stories::all_well(), None).await;
    let (parts, ()) = http::Request::get("/events").body(()).expect("a request").into_parts();
    let ask = |peer: [u8; 4]| shown.board.answer(IpAddr::from(peer), &parts);
    let mut seated = Vec::new();
    for number in 0..STATUS_LISTENERS_PER_PREFIX_MAX {
        seated.push(ask([198, 51, 100, (number % 250) as u8]));
    }
    assert!(seated.iter().all(|answer| answer.status() == 200));
    assert_eq!(ask([198, 51, 100, 7]).status(), 503, "its network has all it may");
    for number in seated.len()..STATUS_LISTENERS_MAX {
        seated.push(ask([203, (number / 250) as u8, (number % 250) as u8, 1]));
    }
    assert!(seated.iter().all(|answer| answer.status() == 200), "{}", seated.len());
    let full = ask([192, 0, 2, 1]);
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].as_bytes()), (503, b"60".as_slice()));
    drop(seated.pop());
    assert_eq!(ask([192, 0, 2, 1]).status(), 200);
}

/// Connections that say nothing are closed in time, and one more than there may be is closed at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_in_number_and_in_silence() {
    let shown = Shown::start(stories::all_well(), None).await;
    let mut open = Vec::new();
    for _ in 0..STATUS_CONNECTIONS_MAX {
        open.push(TcpStream::connect(shown.address).await.expect("it listens"));
    }
    let mut last = open.pop().expect("one of them");
    last.write_all(b"GET /badge.svg HTTP/1.1\r\nhost: status\r\n\r\n").await.expect("sent");
    let mut octets = [0; 15];
    tokio::time::timeout(BOUND, last.read_exact(&mut octets)).await.expect("in time").expect("read");
    assert_eq!(&octets, b"HTTP/1.1 200 OK");
    let mut refused = TcpStream::connect(shown.address).await.expect("the kernel takes it");
    let read = tokio::time::timeout(BOUND, refused.read(&mut octets)).await.expect("in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    // All of them are silent: within the time for a head they are gone, and there is room again.
    let read = tokio::time::timeout(BOUND, open[0].read_to_end(&mut Vec::new())).await.expect("in time");
    drop(read);
    asking::until(shown.address, "/badge.svg", |badge| badge.contains("operational")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_nobody_or_for_two_is_refused() {
    let shown = Shown::start(Shown::now(stories::all_well()), None).await;
    for (hosts, wanted) in [("", "400"), ("host: a\r\nhost: b\r\n", "400"), ("host: a\r\n", "200")] {
        let mut stream = TcpStream::connect(shown.address).await.expect("it listens");
        let head = format!("GET /badge.svg HTTP/1.1\r\nconnection: close\r\n{hosts}\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await.expect("in time").expect("read");
        assert!(answer.starts_with(format!("HTTP/1.1 {wanted} ").as_bytes()), "{hosts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused() {
    let shown = Shown::start(stories::all_well(), None).await;
    let many: String = (0..=HEADER_FIELDS_MAX).map(|number| format!("x-{number}: 1\r\n")).collect();
    assert_eq!(shown.ask("GET", "/", &many).await.status, 431);
    let long = format!("x-long: {}\r\n", "x".repeat(HEADER_BYTES_MAX));
    assert_eq!(shown.ask("GET", "/", &long).await.status, 431);
}

/// The copy follows the report, and a folder that cannot be written stops nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_follows_and_its_disk_may_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    let shown = Shown::start(Shown::now(stories::all_well()), Some(copy.clone())).await;
    let has = |text: &'static str| {
        let index = copy.join("index.html");
        move || std::fs::read_to_string(&index).unwrap_or_default().contains(text)
    };
    asking::soon(has("All systems operational")).await;
    std::fs::remove_dir_all(&copy).expect("removed");
    std::fs::write(&copy, "in the way").expect("written");
    shown.tell(Shown::now(stories::outage()));
    asking::until(shown.address, "/", |page| page.contains("served by its fallback only")).await;
    std::fs::remove_file(&copy).expect("removed");
    shown.tell(Shown::now(stories::outage()));
    asking::soon(has("by its fallback only")).await;
}
