//! THE STATUS PAGE OF A RUNNING NODE: what its regions do is on its page, at every door, and in its copy.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

#[path = "common/asking.rs"]
mod asking;
mod harness;

use anyfront::lab::world::{Settings, World};
use anyfront::limits::SUBSCRIBING_PER_PREFIX_MAX;
use anyfront::node::Options;
use asking::{ask, until};
use harness::{Fleet, quick, quick_and_secure};

/// A node with a public address for its page, and a folder for copies.
async fn fleet(folder: &std::path::Path) -> Fleet {
    fleet_of(quick(), folder).await
}

async fn fleet_of(settings: Settings, folder: &std::path::Path) -> Fleet {
    let world = World::start(settings).expect("a world");
    let options = Options {
        status: vec!["127.0.0.1:0".parse().expect("an address")],
        status_export: Some(folder.to_owned()),
        ..world.node_options()
    };
    Fleet::start_with(world, options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_dies_is_on_the_page_in_the_documents_the_badges_and_the_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = fleet(folder.path()).await;
    let status = fleet.node().status[0];
    until(status, "/", |page| page.contains("All systems operational")).await;
    until(status, "/badge/region/orf.svg", |badge| badge.contains("ORF: operational")).await;

    fleet.kill("orf");
    until(status, "/", |page| page.contains("; ORF down; fallback YYZ ready")).await;
    until(status, "/badge/region/orf.svg", |badge| badge.contains("ORF: outage")).await;
    until(status, "/api/v2/components.json", |told| told.contains(r#""status":"major_outage""#)).await;
    let index = folder.path().join("index.html");
    let copy = || std::fs::read_to_string(&index).unwrap_or_default();
    asking::soon(|| copy().contains("; ORF down; fallback YYZ ready")).await;
    assert!(copy().contains("data-manner=\"static\"") && copy().contains(" as of "), "it says that it is a copy");

    fleet.heal("orf");
    // An incident that opened meanwhile may be open still.
    until(status, "/", |page| page.contains("All systems operational") || page.contains("All systems work, and")).await;
}

/// What is for operators is not for everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_address_knows_nothing_of_the_admin_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = fleet(folder.path()).await;
    let status = fleet.node().status[0];
    for path in ["/regions", "/decisions", "/explain?host=x", "/metrics", "/drains", "/report", "/ready"] {
        assert_eq!(ask(status, "GET", path, "").await.status, 404, "{path}");
    }
    for path in ["/drain", "/reload", "/"] {
        let refused = ask(status, "POST", path, "content-length: 0\r\n").await;
        assert_eq!((refused.status, refused.field("allow")), (405, "GET, HEAD"), "{path}");
    }
    until(status, "/", |page| page.contains("All systems operational")).await;
    let page = ask(status, "GET", "/", "").await;
    let addresses = fleet.node().published.load().topology.endpoints.len();
    assert!(addresses > 0 && !page.text().contains("127.0.0.1"), "an endpoint's address is on the page");
}

const HOST: &str = "status.gateway.truefoundry.ai";

/// A node whose page has a hostname of its own, with HTTPS or without.
async fn fleet_with_hostname(settings: Settings, has_https: bool) -> Fleet {
    let extra = format!("{}\n[status]\nhostname = \"{HOST}\"\ntitle = \"Gateway <status>\"\n", settings.extra);
    let world = World::start(Settings { extra, ..settings }).expect("a world");
    let mut options = world.node_options();
    if !has_https {
        options.https.clear();
    }
    Fleet::start_with(world, options).await
}

fn is_page(page: &str) -> bool {
    page.contains("Gateway &lt;status&gt;") && page.contains("All systems operational")
}

/// The page at its own hostname, over HTTPS, with its news; in the clear only the way there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_has_a_hostname_of_its_own_at_the_nodes_doors() {
    let fleet = fleet_with_hostname(quick_and_secure(), true).await;
    let (http, port) = (fleet.http(), fleet.node().https[0].port());
    let curl = |arguments: &[&str], path: &str| {
        let ran = std::process::Command::new("curl")
            .args(["--silent", "--noproxy", "*", "--resolve", &format!("{HOST}:{port}:127.0.0.1"), "--cacert"])
            .arg(fleet.world.ca_path())
            .args(arguments)
            .arg(format!("https://{HOST}:{port}{path}"))
            .output()
            .expect("curl runs");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    asking::soon_async(async || is_page(&curl(&["--http2"], "/"))).await;
    assert!(is_page(&curl(&["--http1.1", "--compressed"], "/")));
    for version in ["--http2", "--http1.1"] {
        let news = curl(&[version, "--no-buffer", "--max-time", "3", "--include"], "/events?since=another");
        assert!(news.contains("text/event-stream") && news.contains("event: reload"), "{version}: {news}");
    }
    // Feeds point to the hostname.
    assert!(curl(&[], "/history.atom").contains(&format!("<id>tag:{HOST},2026:history</id>")));
    for (method, path) in [("GET", "/"), ("GET", "/subscription/secret?x=1&y"), ("HEAD", "/badge.svg")] {
        let moved = asking::ask_host(http, HOST, method, path, "").await;
        let to = format!("https://{HOST}{path}");
        assert_eq!((moved.status, moved.field("location"), moved.body.len()), (308, &*to, 0), "{method} {path}");
        assert!(!moved.field("x-request-id").is_empty(), "as all answers of a node");
    }
    // Anybody can say that he came by HTTPS.
    let moved = asking::ask_host(http, HOST, "GET", "/", "x-forwarded-proto: https\r\n").await;
    assert_eq!(moved.status, 308);
    let form = asking::ask_host(http, HOST, "POST", "/subscribe", "content-length: 3\r\n").await;
    assert_eq!((form.status, form.field("connection")), (308, "close"), "nothing of it is read");
    // Who found us at another port than everybody's finds HTTPS where it is.
    let other = asking::ask_host(http, &format!("{HOST}:{}", http.port()), "GET", "/a", "").await;
    assert_eq!(other.field("location"), format!("https://{HOST}:{port}/a"));
}

/// A trusted proxy that ends TLS is not sent in circles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_may_say_that_its_client_came_by_https() {
    const HOST: &str = "status.gateway.truefoundry.ai";
    let settings = quick_and_secure();
    let extra = format!("{}\n[status]\nhostname = \"{HOST}\"\n", settings.extra);
    let world = World::start(Settings { extra, trusts_loopback: true, ..settings }).expect("a world");
    let options = world.node_options();
    let fleet = Fleet::start_with(world, options).await;
    for (lines, wanted) in [("x-forwarded-proto: https\r\n", 200), ("x-forwarded-proto: http\r\n", 308), ("", 308)] {
        assert_eq!(asking::ask_host(fleet.http(), HOST, "GET", "/", lines).await.status, wanted, "{lines:?}");
    }
}

/// Where nobody listens for HTTPS, the page at its hostname is in the clear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_https_the_page_is_shown_in_the_clear_at_its_hostname() {
    let fleet = fleet_with_hostname(quick(), false).await;
    let http = fleet.http();
    let ask = |path: &'static str| asking::ask_host(http, HOST, "GET", path, "");
    asking::soon_async(async || is_page(ask("/").await.text())).await;
    assert_eq!(ask("/nowhere").await.status, 404);
    assert_eq!(ask("/api/v2/status.json").await.field("access-control-allow-origin"), "*");
    assert!(!ask("/").await.field("x-request-id").is_empty(), "as all answers of a node");
    assert_eq!(asking::ask_host(http, HOST, "POST", "/", "content-length: 0\r\n").await.status, 405);
    // A reader who follows does not keep a node from leaving.
    let mut follower = tokio::net::TcpStream::connect(http).await.expect("it listens");
    let head = format!("GET /events HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut follower, head.as_bytes()).await.expect("sent");
    let mut fleet = fleet;
    let stopping = fleet.stop_node();
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut follower, &mut rest);
    tokio::time::timeout(asking::BOUND, ended).await.expect("in time").expect("an end in order");
    assert!(String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"), "the whole stream, and its end");
    stopping.join().expect("it does not panic");
}

/// `anyfront status export DIR`: the page of a running node as files, from its admin address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_writes_the_page_of_a_node_as_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = fleet(&folder.path().join("own")).await;
    let admin = fleet.node().admin[0].to_string();
    until(fleet.node().status[0], "/", |page| page.contains("All systems operational")).await;
    let copy = folder.path().join("copy");
    let run = |arguments: &[&str]| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_anyfront"))
            .args(["status", "export"])
            .arg(&copy)
            .args(arguments)
            .output()
            .expect("it runs");
        (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    };
    let (is_done, said) = run(&["--admin", &admin, "--url", "https://status.example/"]);
    assert!(is_done && said.contains("files written to"), "{said}");
    let read = |name: &str| std::fs::read_to_string(copy.join(name)).unwrap_or_default();
    assert!(read("index.html").contains("All systems operational") && read("index.html").contains(" as of "));
    assert!(read("history.atom").contains("<id>tag:status.example,2026:history</id>"));
    for wrong in ["javascript:alert(1)", "status.example", "https://ada@status.example", "https://status.example/?a"] {
        let (is_done, said) = run(&["--admin", &admin, "--url", wrong]);
        assert!(!is_done && said.contains(wrong) && said.contains("--url"), "{said}");
    }
    let (is_done, said) = run(&["--admin", "127.0.0.1:1"]);
    assert!(!is_done && said.contains("no node answers"), "{said}");
    // The live view in the terminal is still what it was.
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_anyfront"))
        .args(["status", "--once", "--admin", &admin])
        .output();
    assert!(String::from_utf8_lossy(&ran.expect("it runs").stdout).contains("orf"));
}

/// The forms of a real node: noted, refused, shown, tested, changed, ended; and a look changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_subscribed_changed_and_ended_by_forms() {
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = fleet(folder.path()).await;
    let status = fleet.node().status[0];
    let form = ask(status, "GET", "/subscribe", "").await;
    assert!(form.text().contains("name=\"kind\" value=\"webhook\"") && !form.text().contains("value=\"mail\""));
    let post = |path: String, body: String| async move { asking::post(status, &path, &body).await };

    let hostile = "kind=webhook&to=javascript%3Aalert(1)%22%3E%3Cscript%3E".to_owned();
    let refused = post("/subscribe".into(), hostile).await;
    assert_eq!((refused.status, refused.text().contains("<script>")), (400, false), "{}", refused.text());
    let mail = post("/subscribe".into(), "kind=mail&to=a%40b.example".into()).await;
    assert_eq!(mail.status, 403, "the file has no mail server");

    let noted =
        post("/subscribe".into(), "kind=webhook&to=https%3A%2F%2Fhook.example%2Fx&scope=region%3Aorf".into()).await;
    assert_eq!((noted.status, noted.field("cache-control")), (200, "no-store"), "{}", noted.text());
    assert!(noted.text().contains("whsec_") && noted.field("content-security-policy").contains("script-src 'self'"));
    let token = noted.text().split("subscription/").nth(1).and_then(|rest| rest.split('"').next()).expect("its page");
    let at = |what: &str| format!("/subscription/{token}{what}");
    for what in ["", "/confirm", "/unsubscribe"] {
        let own = ask(status, "GET", &at(what), "").await;
        assert_eq!(own.status, 200, "{what}");
        assert!(own.text().contains("hook.") && own.text().contains("ORF") && !own.text().contains("whsec_"));
        assert_eq!(own.field("cache-control"), "no-store");
        assert_eq!(own.field("referrer-policy"), "no-referrer");
    }
    let changed = post(at("/scopes"), "scope=hostname%3Aus.gateway.truefoundry.ai".into()).await;
    assert_eq!((changed.status, changed.text().contains("Changed.")), (200, true), "{}", changed.text());
    let wrong = post(at("/scopes"), "scope=region%3Anowhere".into()).await;
    assert_eq!(wrong.status, 400);
    let rotated = post(at("/rotate"), String::new()).await;
    assert!(rotated.text().contains("whsec_"), "{}", rotated.text());
    // What mail programs send by themselves (RFC 8058); and again.
    for _ in 0..2 {
        let ended = post(at("/unsubscribe"), "List-Unsubscribe=One-Click".into()).await;
        assert_eq!((ended.status, ended.text().contains("Unsubscribed")), (200, true));
    }
    assert_eq!(ask(status, "GET", &at(""), "").await.status, 404);
    let long = "x".repeat(anyfront::limits::STATUS_FORM_BYTES_MAX + 1);
    assert_eq!(post("/subscribe".into(), long).await.status, 413);
}

/// Behind a proxy that the file trusts, one who asks too often keeps out nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_told_apart_behind_a_trusted_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = fleet_of(Settings { trusts_loopback: true, ..quick() }, folder.path()).await;
    let status = fleet.node().status[0];
    let path = format!("/subscription/{}/confirm", "0".repeat(32));
    let confirm = async |client: &str| {
        let lines = format!("content-length: 0\r\nx-forwarded-for: 8.8.8.8, {client}\r\n");
        ask(status, "POST", &path, &lines).await.status
    };
    for at in 0..SUBSCRIBING_PER_PREFIX_MAX {
        assert_eq!(confirm("203.0.113.9").await, 404, "{at}");
    }
    assert_eq!(confirm("203.0.113.9").await, 429);
    assert_eq!(confirm("198.51.100.1").await, 404, "somebody else");
}
