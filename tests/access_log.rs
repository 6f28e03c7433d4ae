//! The access log: what a line says and what it never says, and that nothing of what becomes of it is noticed by clients.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/front.rs"]
mod front;

use anyfront::access_log::Sink;
use anyfront::limits::{ACCESS_LOG_LINE_BYTES_MAX, ACCESS_LOG_QUEUE_MAX};
use anyfront::moment::{Clock, Moment};
use front::{BOUND, Door, Origin};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

/// What must be in no line, wherever a client puts it.
const CANARY: &str = "canary-5c0a93f1e27b84d6";
/// What makes a request leave the fast path, and changes nothing else.
const WHOLE: &str = "TE: trailers\r\n";

fn door(origins: &[&Origin], path: &Path) -> Door {
    let path = path.to_owned();
    Door::adjusted(origins, "", move |options| options.access_log = Some(Sink::File(path)))
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n{more}\r\n")
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < Moment::at(BOUND), "in vain: {what}");
        std::thread::yield_now();
    }
}

/// The lines of a file, once there are so many of requests.
#[track_caller]
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    until(&format!("{count} lines in {}", path.display()), || {
        let text = read();
        text.ends_with('\n') && text.lines().filter(|line| line.contains("\"decision\"")).count() >= count
    });
    read().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))).collect()
}

fn delivery(door: &Door) -> [u64; 3] {
    let delivery = door.node.as_ref().expect("it runs").counters.access_log();
    [&delivery.delivered, &delivery.missed, &delivery.failed].map(|count| count.load(Relaxed))
}

#[test]
fn a_line_says_what_was_asked_and_what_came_of_it_and_nothing_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let declines = Origin::start(|talk| {
        talk.read_body()?;
        talk.say("HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n").map(|()| true)
    });
    let door = door(&[&declines, &Origin::polite()], &path);
    let secrets = format!(
        "Authorization: Bearer {CANARY}\r\nX-Api-Key: {CANARY}\r\nCookie: a={CANARY}\r\nX-Else: {CANARY}\r\n\
         X-Forwarded-For: 198.51.100.77\r\nContent-Length: {}\r\n",
        CANARY.len()
    );
    for (at, way) in ["", WHOLE].into_iter().enumerate() {
        let head =
            format!("POST /v1/models?key={CANARY}#{CANARY} HTTP/1.1\r\nHost: gw.test\r\n{way}{secrets}\r\n{CANARY}");
        let answer = door.ask(head);
        assert_eq!(answer.status(), 200);
        let line = lines(&path, at + 1).pop().expect("a line");
        for (name, value) in [
            ("decision", answer.field("x-anyfront-decision").unwrap_or_default()),
            ("request_id", answer.field("x-request-id").unwrap_or_default()),
            ("node", "here"),
            ("client", "127.0.0.0/24"),
            ("hostname", "gw.test"),
            ("class", "/v1/"),
            ("method", "POST"),
            ("path", "/v1/models"),
            ("protocol", "HTTP/1.1"),
            ("outcome", "complete"),
            ("region", "b"),
        ] {
            assert_eq!(line[name], value, "{way}{name} of {line}");
        }
        assert_eq!((&line["status"], &line["attempt"], &line["bytes"]), (&200.into(), &2.into(), &5.into()), "{line}");
        assert_eq!(line["bytes_up"], CANARY.len());
        assert_eq!((&line["failed"][0]["region"], &line["failed"][0]["reason"]), (&"a".into(), &"unserved".into()));
        let [added, head, lasted] =
            ["added_ms", "head_ms", "elapsed_ms"].map(|name| line[name].as_f64().expect("a time"));
        assert!(0.0 < added && added <= head && head <= lasted, "{line}");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }
    door.ask("GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n");
    let refused = lines(&path, 3).pop().expect("a line");
    assert_eq!((&refused["outcome"], &refused["reason"]), (&"refused".into(), &"unknown_host".into()));
    assert_eq!((&refused["hostname"], &refused["client"]), (&Value::Null, &"127.0.0.0/24".into()));
    let text = fs::read_to_string(&path).expect("text");
    for never in [CANARY, "127.0.0.1", "198.51.100", "key="] {
        assert!(!text.replace("b/127.0.0.1", "").replace("a/127.0.0.1", "").contains(never), "{never:?} in\n{text}");
    }
}

#[test]
fn nothing_that_strangers_write_breaks_a_line_or_makes_it_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let door = door(&[&Origin::polite()], &path);
    let long = "\\\"".repeat(3_500);
    let wide = "ä".repeat(3_500);
    let corpus = [
        "/a\x1b[31mred\x1b[0m",
        "/\x07bell\x08\x08\x08",
        "/line%0d%0a{\"decision\":\"forged\"}",
        "/\u{202e}evil\u{2028}\u{2029}\u{85}",
        "/\"},{\"a\":\"",
        "/\x7f\x00",
        &format!("/{long}"),
        &format!("/{wide}"),
    ];
    let mut asked = 0;
    for path in corpus {
        for way in ["", WHOLE] {
            let mut client = door.client();
            client.say(get(path, way));
            let answer = client.answer();
            // What is no target is refused by who reads it; what comes through must come through whole.
            asked += usize::from(answer.field("x-anyfront-decision").is_some());
        }
    }
    for (method, id) in [("\\\"M\\\"", "a"), ("x-~|`^_", "b"), ("GET", "\\\"},{\\\"\\u001b")] {
        let answer = door.ask(format!("{method} / HTTP/1.1\r\nHost: gw.test\r\nX-Request-Id: {id}\r\n\r\n"));
        asked += usize::from(answer.field("x-anyfront-decision").is_some());
    }
    assert!(asked >= 12, "only {asked} of them are requests at all");
    let all = lines(&path, asked);
    assert_eq!(all.len(), asked, "a line is two, or none");
    let octets = fs::read(&path).expect("a file");
    for line in octets.split(|octet| *octet == b'\n') {
        assert!(line.len() < ACCESS_LOG_LINE_BYTES_MAX, "{} octets", line.len());
        assert!(line.iter().all(|octet| !octet.is_ascii_control()), "{}", line.escape_ascii());
    }
    let cut: Vec<&Value> = all.iter().filter(|line| line["path_is_cut"] == true).collect();
    assert!(!cut.is_empty() && cut.iter().all(|line| line["path"].as_str().is_some_and(|path| path.len() > 500)));
    assert!(all.iter().any(|line| line["path"] == "/line%0d%0a{\"decision\":\"forged\"}"));
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let door = door(&[&Origin::polite()], &path);
    door.get("/first");
    lines(&path, 1);
    fs::rename(&path, &old).expect("moved");
    door.node.as_ref().expect("it runs").reload();
    until("the file", || path.exists());
    door.get("/second");
    assert_eq!((lines(&path, 1)[0]["path"].clone(), lines(&old, 1).len()), ("/second".into(), 1));
    // Nobody says so: it is seen.
    fs::remove_file(&path).expect("removed");
    until("the file", || path.exists());
    door.get("/third");
    assert_eq!(lines(&path, 1)[0]["path"], "/third");
}

#[test]
fn a_folder_that_has_gone_is_counted_and_requests_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("log");
    fs::create_dir(&inside).expect("a folder");
    let path = inside.join("access.log");
    let door = door(&[&Origin::polite()], &path);
    door.get("/first");
    lines(&path, 1);
    fs::remove_dir_all(&inside).expect("gone");
    until("failures", || {
        assert_eq!(door.get("/lost").status(), 200);
        delivery(&door)[2] > 0
    });
    let lost = delivery(&door)[2];
    fs::create_dir(&inside).expect("a folder");
    until("the file", || path.exists());
    door.get("/again");
    let all = lines(&path, 1);
    assert!(all[0]["failed"].as_u64().is_some_and(|failed| failed >= lost), "{all:#?}");
    assert!(all.iter().any(|line| line["path"] == "/again"));
}

#[test]
fn a_full_disk_is_counted_and_requests_go_on() {
    let door = door(&[&Origin::polite()], &PathBuf::from("/dev/full"));
    until("failures", || {
        assert_eq!(door.get("/").status(), 200);
        delivery(&door)[2] > 2
    });
    assert_eq!(delivery(&door)[0], 0);
}

#[test]
fn what_nobody_takes_in_time_is_dropped_and_the_log_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    // Both ends, so that opening one of them waits for nobody.
    let pipe = fs::OpenOptions::new().read(true).write(true).open(&path).expect("a pipe");
    let door = door(&[&Origin::polite()], &path);
    let mut client = door.client();
    let mut asked = 0_u64;
    let clock = Clock::start();
    while delivery(&door)[1] == 0 {
        for _ in 0..100 {
            client.say(get("/", ""));
            assert_eq!(client.answer().status(), 200, "a reader of the log is waited for");
        }
        asked += 100;
        assert!(
            asked < 4 * ACCESS_LOG_QUEUE_MAX as u64 && clock.now() < Moment::at(6 * BOUND),
            "{:?}",
            delivery(&door)
        );
    }
    assert!(asked > ACCESS_LOG_QUEUE_MAX as u64, "dropped although there was room");
    let dropped = delivery(&door)[1];
    let told = BufReader::new(pipe).lines().map_while(Result::ok).find(|line| line.contains("\"dropped\""));
    let told: Value = serde_json::from_str(&told.expect("a line that says so")).expect("JSON");
    // The last of them may have been dropped since.
    let is_right = |told: u64| (dropped..=asked - ACCESS_LOG_QUEUE_MAX as u64).contains(&told);
    assert!(told["dropped"].as_u64().is_some_and(is_right) && told["failed"] == 0, "{dropped}: {told}");
}
