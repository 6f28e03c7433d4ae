//! A node as operators see it: `control` and the admin address, without the doors of the data plane.
#![allow(dead_code, reason = "each test file uses a part")]

use anyfront::control::{self, Control, Event};
use anyfront::counters::Counters;
use anyfront::geo::database::Locator;
use anyfront::history::desk::Desk;
use anyfront::history::store::Store;
use anyfront::history::story::Report;
use anyfront::moment::{Clock, Moment};
use anyfront::snapshot::Published;
use anyfront::status::admin::{self, Admin};
use anyfront::status::board::Board;
use anyfront::status::dns::Dns;
use anyfront::status::drains::Drains;
use anyfront::status::findings::Findings;
use anyfront::status::guard::Token;
use anyfront::status::page::Manner;
use anyfront::status::public::Fallback;
use anyfront::status::rendering::Rendering;
use anyfront::subscriptions::call::Caller;
use anyfront::subscriptions::desk::Desk as Subscriptions;
use anyfront::subscriptions::{Parts, table};
use anyfront::topology::check::check;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Three providers, four regions, one of them with two endpoints.
pub const FLEET: &str = r#"
[fleet]
name = "example"
zone = "gateway.example"

[[site]]
name = "lon-1"
city = "London"
country = "GB"
latitude = 51.5
longitude = -0.12

[[geo.place]]
prefix = "203.0.113.0/24"
city = "New York"
country = "US"
latitude = 40.71
longitude = -74.01

[[region]]
name = "orf"
provider = "aws"
city = "North Virginia"
country = "US"
latitude = 38.95
longitude = -77.45
endpoints = ["https://192.0.2.1", "https://192.0.2.2"]

[[region]]
name = "sfo"
provider = "azure"
city = "San Francisco"
country = "US"
latitude = 37.77
longitude = -122.42
endpoints = ["https://192.0.2.3"]

[[region]]
name = "yyz"
provider = "gcp"
city = "Toronto"
country = "CA"
latitude = 43.65
longitude = -79.38
endpoints = ["https://192.0.2.4"]

[[region]]
name = "lhr"
provider = "gcp"
city = "London"
country = "GB"
latitude = 51.51
longitude = -0.13
endpoints = ["https://192.0.2.5"]

[[hostname]]
name = "gateway.example"
regions = ["*"]

[[hostname]]
name = "us.gateway.example"
regions = ["orf", "sfo"]
fallback = ["yyz"]

[[hostname]]
name = "home.gateway.example"
regions = ["orf", "sfo"]
residency = ["US"]
"#;

/// A node that is running.
pub struct Node {
    /// Where operators find it.
    pub address: SocketAddr,
    /// Facts for it.
    pub events: mpsc::Sender<Event>,
    /// What it believes.
    pub published: Published,
    /// What it counts.
    pub counters: Counters,
    /// Its time.
    pub clock: Clock,
    /// Whether it wants traffic.
    pub ready: watch::Sender<bool>,
    /// Wishes to read the file again.
    pub reloads: mpsc::Receiver<()>,
    shutdown: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// A history that nobody writes, and subscriptions that nobody has.
fn no_history(state: &Path, published: &Published, clock: Clock) -> (Desk, Subscriptions) {
    let store = Store::start(state, &[table::MODULE], clock).expect("a thread");
    let desk = Desk::new(watch::channel(Arc::default()).1, store.clone(), Arc::default()).0;
    let parts = Parts::new(store, published.clone(), clock, 7, state.to_owned());
    (desk, Subscriptions::new(Arc::new(parts), Arc::new(Caller::new(clock, None))))
}

/// A status page that has nothing to tell.
fn board(published: &Published, clock: Clock, ending: watch::Receiver<bool>) -> Board {
    let setting = Fallback::of(&[]).setting(&published.load(), Manner::Live);
    Board::new(Rendering::of(&Report::default(), &setting, None), clock, ending)
}

impl Node {
    /// Starts one with the drains in `state`.
    pub fn start(state: &Path, token: Option<&Path>) -> Self {
        let topology = check(FLEET, Path::new("regions.toml")).expect("the fleet is right").topology;
        let clock = Clock::start();
        let here = topology.sites[0].clone();
        let locator = Arc::new(Locator::open(topology.geo.places.clone(), None).expect("the database in the box"));
        let drains = Drains::open(state, clock.wall()).expect("drains");
        let mut control = Control::new(clock.now(), Arc::new(topology), locator, here, drains.overrides());
        let (first, _) = control.advance(clock.now(), clock.wall()).expect("the first is new");
        let published = Published::new(first);
        let (events, received) = mpsc::channel(64);
        let (reload, reloads) = mpsc::channel(1);
        let (ready, is_ready) = watch::channel(true);
        let (shutdown, asked) = watch::channel(false);
        let counters = Counters::new(2);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address");
        let (history, subscriptions) = no_history(state, &published, clock);
        let admin = Admin {
            published: published.clone(),
            events: events.clone(),
            counters: counters.clone(),
            drains,
            clock,
            token: token.map(|path| Token::read(path).expect("a token")),
            ready: is_ready,
            reload,
            started: Moment::ZERO,
            nat_ips: watch::channel("{}".into()).1,
            dns: Dns::default(),
            history,
            findings: Findings::none(),
            board: Arc::new(board(&published, clock, asked.clone())),
            subscriptions,
        };
        let writer = published.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::join!(
                    control::run(control, received, writer, clock, asked.clone()),
                    admin::run(admin, vec![listener], asked)
                );
            });
        });
        Self { address, events, published, counters, clock, ready, reloads, shutdown, thread: Some(thread) }
    }

    /// Sends bytes, and gives what came back until the node closed: status and body.
    pub fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Asks with a few header lines more.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let (address, length) = (self.address, body.len());
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
        ))
    }

    /// Asks for what is at `path`.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "", "")
    }

    /// Asks for JSON.
    pub fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Runs the real command against this node.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let address = self.address.to_string();
        anyfront(&[arguments, &["--admin", &address]].concat())
    }

    /// Waits until `holds`, a few seconds at most.
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let give_up = self.clock.now() + Duration::from_secs(10);
        while !holds(self) {
            assert!(self.clock.now() < give_up, "{what} did not come");
            std::thread::yield_now();
        }
    }

    /// Stops it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shutdown.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the node ended well");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// Runs the real command.
pub fn anyfront(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anyfront"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .env("USER", "ada")
        .env_remove("SUDO_USER")
        .env("COLUMNS", "100")
        .output()
        .expect("the command ran")
}

/// Its standard output; it must have gone well.
pub fn output(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Its standard error; it must have failed with 1.
pub fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stdout));
    text
}
