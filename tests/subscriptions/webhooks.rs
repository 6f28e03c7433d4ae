//! Webhooks: signed so that official libraries believe it, in order, again under the same id, and never behind our walls.

use crate::directory::{Asked, Directory, status};
use crate::stand::{CLIENT, Stand, page};
use crate::tls::{Authority, until};
use anyfront::history::story::{Phase, Subject};
use anyfront::subscriptions::call::Caller;
use anyfront::subscriptions::desk::{Refusal, Subscribed, Tested};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

/// A receiver: what it was asked, and what it answers.
pub struct Receiver {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Receiver {
    pub fn start(authority: &Authority, answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let directory = Directory::start(authority, move |one| {
            let answer = answer(one);
            noted.lock().expect("whole").push(one.clone());
            answer
        });
        Self { url: format!("https://localhost:{}/hook", directory.address.port()), asked }
    }

    /// One that takes everything.
    pub fn willing(authority: &Authority) -> Self {
        Self::start(authority, |_| status(204, ""))
    }

    /// What it was asked, tests left out.
    pub fn asked(&self) -> Vec<Asked> {
        let all = self.asked.lock().expect("whole");
        all.iter().filter(|one| json(one)["type"] != "subscription.test").cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.asked().len()
    }

    /// The updates it was told of, in order.
    pub fn updates(&self) -> Vec<String> {
        self.asked().iter().map(|one| json(one)["data"]["update"]["id"].as_str().unwrap_or("?").to_owned()).collect()
    }
}

pub fn json(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).expect("JSON")
}

pub fn id(asked: &Asked) -> String {
    asked.field("webhook-id").expect("an id").to_owned()
}

/// Whether the signature is one by `secret`, as somebody who knows the scheme would look.
fn is_signed_by(asked: &Asked, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
    let timestamp = asked.field("webhook-timestamp").expect("a time");
    let content = format!("{}.{timestamp}.{}", id(asked), asked.body);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let signature = STANDARD.encode(aws_lc_rs::hmac::sign(&key, content.as_bytes()));
    asked.field("webhook-signature").expect("signed").split(' ').any(|one| one == format!("v1,{signature}"))
}

/// Whether the official library takes it; `None` where it is not installed.
fn is_believed(asked: &Asked, secret: &str) -> Option<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/clients/python/bin/python");
    let script = root.join("tests/clients/python/verify_webhook.py");
    if !python.is_file() {
        println!("SKIPPED: the official library for webhooks is not installed: `make test` does it");
        return None;
    }
    let field = |name: &str| asked.field(name).expect("it is there").to_owned();
    let told = serde_json::json!({
        "secret": secret, "body": asked.body, "headers": {
            "webhook-id": field("webhook-id"), "webhook-timestamp": field("webhook-timestamp"),
            "webhook-signature": field("webhook-signature"),
        },
    });
    let mut command = Command::new(python);
    let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    serde_json::to_writer(child.stdin.take().expect("piped"), &told).expect("told");
    let output = child.wait_with_output().expect("it ends");
    match std::str::from_utf8(&output.stdout).expect("text").trim() {
        "believed" => Some(true),
        "refused" => Some(false),
        "missing" => {
            println!("SKIPPED: the official library for webhooks is not installed: `make test` does it");
            None
        }
        other => panic!("the library says {other:?}"),
    }
}

#[test]
fn what_a_webhook_is_told_is_what_happened_signed_and_believed_by_the_official_library() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let receiver = Receiver::willing(&authority);
    let mut stand = Stand::start(&folder, &authority, &page(""));
    let (_, secret) = stand.webhook(&receiver.url, &["region:a"]);
    stand.tell("i1", "u1", Phase::Investigating, "We look into it: ö, \"quotes\" & <tags>.");
    stand.tell("i1", "u2", Phase::Resolved, "It is over.");
    stand.tell_of("i2", "u3", Phase::Investigating, "Elsewhere", "b", stand.wall());
    stand.publish();
    until("both came", || receiver.count() == 2);
    let asked = receiver.asked();
    let (first, second) = (json(&asked[0]), json(&asked[1]));
    assert_eq!((&first["type"], &second["type"]), (&"incident.created".into(), &"incident.resolved".into()));
    assert_eq!(first["data"]["incident"]["status"], "investigating", "as it was then");
    assert_eq!(first["data"]["incident"]["name"], "Trouble i1");
    assert_eq!(first["data"]["incident"]["shortlink"], "https://status.z.example/incident/i1");
    assert_eq!(first["data"]["incident"]["incident_updates"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["data"]["incident"]["incident_updates"][0]["body"], "It is over.");
    assert_eq!(first["data"]["update"]["body"], "We look into it: ö, \"quotes\" & <tags>.");
    assert_eq!(first["data"]["components"][0]["name"], "a");
    assert_eq!(first["data"]["components"][0]["id"], Subject::Region("a".to_owned()).id(), "as in the documents");
    assert_eq!(first["data"]["page"]["url"], "https://status.z.example");
    assert!(asked.iter().all(|one| one.method == "POST" && one.path == "/hook" && is_signed_by(one, &secret)));
    assert_ne!(id(&asked[0]), id(&asked[1]));
    if let Some(believed) = is_believed(&asked[0], &secret) {
        assert!(believed, "the official library does not believe it");
        let mut forged = asked[0].clone();
        forged.body = forged.body.replace("Trouble", "Peace");
        assert_eq!(is_believed(&forged, &secret), Some(false), "it would believe anything");
    }
    stand.stop();
}

#[test]
fn nothing_is_sent_to_a_webhook_that_has_not_proven_itself() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let receiver = Receiver::start(&authority, |_| status(404, ""));
    let witness = Receiver::willing(&authority);
    let mut stand = Stand::start(&folder, &authority, &page(""));
    let Subscribed::Noted { token, .. } = stand.subscribe("webhook", &receiver.url, &[]) else { panic!("not noted") };
    let tested = stand.runtime.block_on(stand.desk.test(&token, CLIENT));
    assert_eq!(tested, Tested::Failed { why: "it answered 404".to_owned() });
    assert_eq!(stand.runtime.block_on(stand.desk.look(&token)).map(|seen| seen.is_confirmed), Ok(false));
    stand.webhook(&witness.url, &[]);
    stand.tell("i1", "u1", Phase::Investigating, "x");
    stand.publish();
    until("the other is told", || witness.count() == 1);
    assert_eq!(receiver.count(), 0);
    stand.stop();
}

#[test]
fn what_failed_comes_again_under_the_same_id_and_later_updates_wait_for_it() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    let receiver = Receiver::start(&authority, move |asked| match asked.body.contains("\"u1\"") {
        true if json(asked)["data"]["update"]["id"] == "u1" && counted.fetch_add(1, SeqCst) < 2 => status(503, ""),
        _ => status(200, ""),
    });
    let mut stand = Stand::start(&folder, &authority, &page(""));
    stand.webhook(&receiver.url, &[]);
    stand.tell("i1", "u1", Phase::Investigating, "x");
    stand.tell("i2", "v1", Phase::Investigating, "x");
    stand.tell("i1", "u2", Phase::Monitoring, "x");
    stand.tell("i1", "u3", Phase::Resolved, "x");
    stand.publish();
    until("all came", || receiver.updates().contains(&"u3".to_owned()));
    let asked = receiver.asked();
    let of_one: Vec<String> = receiver.updates().into_iter().filter(|id| id.starts_with('u')).collect();
    assert_eq!(of_one, ["u1", "u1", "u1", "u2", "u3"], "in order, after the first was taken");
    let ids: Vec<String> = asked.iter().filter(|one| json(one)["data"]["update"]["id"] == "u1").map(id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let other = receiver.updates().iter().position(|id| id == "v1");
    assert!(other < receiver.updates().iter().position(|id| id == "u2"), "another incident does not wait");
    stand.stop();
}

#[test]
fn while_a_secret_is_replaced_both_sign() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let receiver = Receiver::willing(&authority);
    let mut stand = Stand::start(&folder, &authority, &page(""));
    let (token, old) = stand.webhook(&receiver.url, &[]);
    let new = stand.runtime.block_on(stand.desk.rotate(&token)).expect("a new one");
    assert_ne!(old, new);
    stand.tell("i1", "u1", Phase::Investigating, "x");
    stand.publish();
    until("it came", || receiver.count() == 1);
    let asked = receiver.asked();
    assert!(is_signed_by(&asked[0], &old) && is_signed_by(&asked[0], &new));
    if let (Some(one), Some(other)) = (is_believed(&asked[0], &old), is_believed(&asked[0], &new)) {
        assert!(one && other);
    }
    let shown = stand.runtime.block_on(stand.desk.look(&token)).expect("it is there");
    let left = shown.old_secret_until.expect("told").saturating_sub(stand.wall());
    assert!(left.as_secs().abs_diff(86_400) < 300, "{left:?}");
    stand.stop();
}

#[test]
fn whoever_is_gone_is_told_no_more_until_a_test_passes() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let receiver = Receiver::start(&authority, |asked| {
        status(if json(asked)["type"] == "subscription.test" { 200 } else { 410 }, "")
    });
    let mut stand = Stand::start(&folder, &authority, &page(""));
    let (token, _) = stand.webhook(&receiver.url, &[]);
    stand.tell("i1", "u1", Phase::Investigating, "x");
    stand.publish();
    let look = || stand.runtime.block_on(stand.desk.look(&token)).expect("it is there");
    until("it is switched off", || look().stopped.is_some());
    assert_eq!((look().stopped.as_deref(), look().is_confirmed), (Some("it answered 410"), false));
    assert!(matches!(stand.runtime.block_on(stand.desk.test(&token, CLIENT)), Tested::Passed(_)));
    assert_eq!((look().stopped, look().is_confirmed), (None, true));
    stand.stop();
}

#[test]
fn redirects_are_not_followed_and_long_answers_are_not_read() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let target = Receiver::willing(&authority);
    let location = format!("Location: {}\r\n", target.url);
    let redirecting = Receiver::start(&authority, move |_| status(307, &location));
    let endless = Receiver::start(&authority, |_| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(1_000_000))
    });
    let stand = Stand::start(&folder, &authority, &page(""));
    let test = |url: &str| {
        let Subscribed::Noted { token, .. } = stand.subscribe("webhook", url, &[]) else { panic!("not noted") };
        stand.runtime.block_on(stand.desk.test(&token, CLIENT))
    };
    assert_eq!(test(&redirecting.url), Tested::Failed { why: "it answered 307".to_owned() });
    assert!(target.asked.lock().expect("whole").is_empty(), "we were led elsewhere");
    assert!(matches!(test(&endless.url), Tested::Passed(_)), "what it said is enough");
    stand.stop();
}

#[test]
fn nobody_makes_us_ask_what_stands_behind_our_walls() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let inside = Receiver::willing(&authority);
    let closed = page("").replace("webhook_private = [\"127.0.0.0/8\", \"::1/128\"]\n", "");
    let stand = Stand::start(&folder, &authority, &closed);
    let port = inside.url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    let mut urls = vec![inside.url.clone()];
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.1",
        "0.0.0.0",
    ] {
        urls.push(format!("https://{host}/"));
        urls.push(format!("https://{host}:{port}/hook"));
    }
    for (at, url) in urls.iter().enumerate() {
        // From somewhere else each time: it is not about how often one asks.
        let client = format!("198.51.{at}.1").parse().expect("an address");
        let form = anyfront::subscriptions::desk::Form::of([("kind", "webhook"), ("to", &**url)]);
        // An address is looked at when it is named, a name when it is called.
        let token = match stand.runtime.block_on(stand.desk.subscribe(&form, client)) {
            Subscribed::Noted { token, .. } if url.contains("localhost") => token,
            Subscribed::Refused(Refusal::Wrong { field: "to", problem }) if !url.contains("localhost") => {
                assert!(problem.contains("not public"), "{url}: {problem}");
                continue;
            }
            other => panic!("{url}: {other:?}"),
        };
        let tested = stand.runtime.block_on(stand.desk.test(&token, client));
        let Tested::Failed { why } = tested else { panic!("{url}: {tested:?}") };
        assert!(why.contains("not public") || why.contains("does not resolve"), "{url}: {why}");
    }
    for bad in ["https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "http://example.com/"] {
        let refused = stand.subscribe("webhook", bad, &[]);
        assert!(matches!(refused, Subscribed::Refused(Refusal::Wrong { field: "to", .. })), "{bad}: {refused:?}");
    }
    assert!(inside.asked.lock().expect("whole").is_empty(), "it was asked");
    stand.stop();
}

/// A name server that leads `hook.example` to the first of these addresses, then to the second, and so on; how often it did.
fn leading(addresses: [Ipv4Addr; 2]) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = socket.local_addr().expect("bound");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut message = [0; 1_500];
        while let Ok((_, client)) = socket.recv_from(&mut message) {
            let end = 12 + message[12..].iter().position(|octet| *octet == 0).expect("a name") + 5;
            let is_v4 = message[end - 3] == 1;
            let mut answer = message[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x85, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
            if is_v4 {
                // Nobody may remember it: a life of no seconds.
                answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend(addresses[counted.fetch_add(1, SeqCst) % 2].octets());
            }
            let _ = socket.send_to(&answer, client);
        }
    });
    (address, asked)
}

#[test]
fn a_name_that_leads_elsewhere_the_second_time_leads_nowhere() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let (open, closed) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST);
    let spied: Arc<AtomicUsize> = Arc::default();
    let spies = Arc::clone(&spied);
    let hook = Directory::at((open, 0).into(), "hook.example", &authority, |_| status(200, ""));
    let port = hook.address.port();
    Directory::at((closed, port).into(), "hook.example", &authority, move |_| {
        spies.fetch_add(1, SeqCst);
        status(200, "")
    });
    let (server, asked) = leading([open, closed]);
    let tables = page("").replace("\"127.0.0.0/8\", \"::1/128\"", "\"127.0.0.2/32\"");
    let resolving = move |clock| {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Caller::new(clock, Some(builder.build().expect("a resolver")))
    };
    let stand = Stand::with(folder.path(), &authority.pem, &tables, resolving);
    let url = format!("https://hook.example:{port}/");
    let Subscribed::Noted { token, .. } = stand.subscribe("webhook", &url, &[]) else { panic!("not noted") };
    let test = || stand.runtime.block_on(stand.desk.test(&token, CLIENT));
    assert!(matches!(test(), Tested::Passed(_)), "it leads where it may");
    assert_eq!(asked.load(SeqCst), 1, "asked once, and what was looked at was dialled");
    assert_eq!(test(), Tested::Failed { why: "it leads to an address that is not public".to_owned() });
    assert_eq!((asked.load(SeqCst), spied.load(SeqCst)), (2, 0), "what stands behind the wall was asked");
    stand.stop();
}
