//! A whole fleet in one process: the lab's regions, the real node in front of them, and clients all over the world.
//!
//! It speaks the domain: `fleet.kill("orf")`, `fleet.ask(get("us"), from("New York"))`, `fleet.until_standing(..)`. Every
//! wait is for a condition, with a bound; what took longer than the bound fails and says what was believed instead.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

pub mod load;

use anyfront::health::Standing;
use anyfront::lab::fault::{Aim, Fault};
use anyfront::lab::plan::CLIENTS;
use anyfront::lab::world::{Settings, World};
use anyfront::moment::Clock;
use anyfront::node::{Node, Options};
use anyfront::snapshot::Snapshot;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Collected, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::time::timeout;

/// Nothing takes this long unless it hangs.
pub const BOUND: Duration = Duration::from_secs(20);
/// A change of standing may take this long on a machine that is busy with everything else; alone it takes a tenth.
pub const SOON: Duration = Duration::from_secs(15);
/// Times that make outages short: what is tested is what happens, not how long the defaults take.
pub const QUICK: &str = r#"
[probe]
interval = "200ms"
fast_interval = "60ms"
down_interval = "150ms"
timeout = "3s"
[forward]
connect_timeout = "2s"
failover_timeout = "5s"
first_byte_timeout = "3s"
"#;
/// And where silence is what is tested: it is believed sooner.
pub const SILENT: &str = r#"
[probe]
interval = "200ms"
fast_interval = "60ms"
down_interval = "150ms"
timeout = "1s"
[forward]
connect_timeout = "500ms"
failover_timeout = "3s"
first_byte_timeout = "2s"
"#;

/// A world in the clear with quick probes.
pub fn quick() -> Settings {
    Settings { is_tls: false, extra: QUICK.to_owned(), ..Settings::default() }
}

/// A world in the clear in which silence is believed soon.
pub fn quick_to_hear_silence() -> Settings {
    Settings { extra: SILENT.to_owned(), ..quick() }
}

/// A world with TLS to the regions, so with HTTP/2, and quick probes.
pub fn quick_and_secure() -> Settings {
    Settings { is_tls: true, ..quick() }
}

/// A client in that city.
pub fn from(city: &str) -> IpAddr {
    from_network(city, 0)
}

/// A client in that city, in its network (/24) number `network`.
pub fn from_network(city: &str, network: u8) -> IpAddr {
    let (prefix, ..) = CLIENTS.iter().find(|(_, known, ..)| *known == city).expect("a city of the lab");
    let second = prefix.split('.').nth(1).and_then(|second| second.parse().ok()).expect("127.N.0.0/16");
    IpAddr::V4(Ipv4Addr::new(127, second, network, 1))
}

/// `us` is `us.gateway.truefoundry.ai`; nothing is the global name.
pub fn hostname(short: &str) -> String {
    if short.is_empty() { "gateway.truefoundry.ai".to_owned() } else { format!("{short}.gateway.truefoundry.ai") }
}

/// What a client asks.
#[derive(Clone, Debug)]
pub struct Ask {
    pub host: String,
    pub method: Method,
    pub path: String,
    pub body: Bytes,
    pub id: String,
    /// Further header fields.
    pub fields: Vec<(&'static str, String)>,
}

impl Ask {
    /// With one more header field.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// A GET of `/v1/whoami` under that hostname.
pub fn get(host: &str) -> Ask {
    get_path(host, "/v1/whoami")
}

/// A GET of that path.
pub fn get_path(host: &str, path: &str) -> Ask {
    Ask {
        host: hostname(host),
        method: Method::GET,
        path: path.to_owned(),
        body: Bytes::new(),
        id: new_id("get"),
        fields: Vec::new(),
    }
}

/// A short completion, not streamed: it costs money, so it is not repeated.
pub fn post(host: &str) -> Ask {
    completion(host, false, 1)
}

/// A completion of so many tokens.
pub fn completion(host: &str, stream: bool, tokens: u64) -> Ask {
    let body = json!({"messages": [{"role": "user", "content": "hi"}], "stream": stream, "max_tokens": tokens});
    Ask {
        host: hostname(host),
        method: Method::POST,
        path: "/v1/chat/completions".to_owned(),
        body: Bytes::from(body.to_string()),
        id: new_id("post"),
        fields: Vec::new(),
    }
}

fn new_id(kind: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{kind}-{}", COUNT.fetch_add(1, Relaxed))
}

/// What a client saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The answer's status; `None`: the connection ended before one.
    pub status: Option<u16>,
    pub headers: HeaderMap,
    /// The whole body, or how it broke off.
    pub body: Result<Bytes, String>,
    /// From asking to the last byte.
    pub elapsed: Duration,
}

impl Seen {
    /// No answer, because of this.
    pub fn nothing(error: String) -> Self {
        Self { status: None, headers: HeaderMap::new(), body: Err(error), elapsed: Duration::ZERO }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Who answered; empty: no region did.
    pub fn region(&self) -> &str {
        Some(self.header("x-anyfront-region")).filter(|region| *region != "none").unwrap_or_default()
    }

    /// Every attempt in order, the last one included if it was answered.
    pub fn attempts(&self) -> Vec<&str> {
        let status = self.header("proxy-status");
        status.split("next-hop=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    /// Whether a region answered with 200, to the end.
    pub fn is_good(&self) -> bool {
        self.status == Some(200) && self.body.is_ok()
    }

    /// Whether the client was told that the answer is not whole: never a clean end.
    pub fn is_broken(&self) -> bool {
        self.body.is_err()
    }

    pub fn json(&self) -> Json {
        let body = self.body.as_ref().expect("a whole body");
        serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)))
    }

    /// The word for programs in an error of our own (OpenAI's shape); empty if it is none, or says nothing of trying
    /// again.
    pub fn own_error(&self) -> String {
        let hints = ["x-should-retry", "retry-after-ms", "retry-after"];
        if !self.region().is_empty() || hints.iter().any(|hint| self.header(hint).is_empty()) {
            return String::new();
        }
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection that a client keeps.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    clock: Clock,
}

impl Client {
    /// From `from` to `to`.
    pub async fn connect(to: SocketAddr, from: IpAddr) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
        socket.bind(SocketAddr::new(from, 0)).map_err(|error| error.to_string())?;
        let stream = timeout(BOUND, socket.connect(to)).await.map_err(|_| "connecting hangs".to_owned())?;
        let stream = stream.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self { sender, clock: Clock::start() })
    }

    /// Whether another request can be sent on it.
    pub fn may_go_on(&self) -> bool {
        !self.sender.is_closed()
    }

    pub async fn send(&mut self, ask: &Ask) -> Seen {
        self.send_within(ask, BOUND).await
    }

    pub async fn send_within(&mut self, ask: &Ask, bound: Duration) -> Seen {
        let began = self.clock.now();
        let mut seen = timeout(bound, self.exchange(ask))
            .await
            .unwrap_or_else(|_| Seen::nothing(format!("no end within {bound:?}")));
        seen.elapsed = self.clock.now().since(began);
        seen
    }

    async fn exchange(&mut self, ask: &Ask) -> Seen {
        let request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header("host", &ask.host)
            .header("x-request-id", &ask.id);
        let request = ask
            .fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, value))
            .body(Full::new(ask.body.clone()))
            .expect("a request");
        if let Err(error) = self.sender.ready().await {
            return Seen::nothing(error.to_string());
        }
        match self.sender.send_request(request).await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let body = body.collect().await.map(Collected::to_bytes).map_err(|error| error.to_string());
                Seen { status: Some(head.status.as_u16()), headers: head.headers, body, elapsed: Duration::ZERO }
            }
            Err(error) => Seen::nothing(error.to_string()),
        }
    }
}

/// The lab's regions and a node in front of them.
pub struct Fleet {
    pub world: World,
    pub clock: Clock,
    node: Option<Node>,
    options: Options,
}

impl Fleet {
    /// Starts everything, and waits until every region is up.
    pub async fn start(settings: Settings) -> Self {
        let world = World::start(settings).unwrap_or_else(|error| panic!("{error}"));
        let options = world.node_options();
        Self::start_with(world, options).await
    }

    /// A node of that kind in front of that world.
    pub async fn start_with(world: World, options: Options) -> Self {
        let node = Node::start(options.clone()).unwrap_or_else(|error| panic!("{error}"));
        let fleet = Self { world, clock: Clock::start(), node: Some(node), options };
        fleet.until_all(Standing::Up, SOON).await;
        fleet
    }

    /// Stops the node and starts it again in the same state directory.
    pub async fn restart(&mut self) {
        stop(self.node.take());
        self.node = Some(Node::start(self.options.clone()).unwrap_or_else(|error| panic!("{error}")));
        self.until_all(Standing::Up, SOON).await;
    }

    /// The same, and waits for no region: some may be down.
    pub fn restart_at_once(&mut self) {
        stop(self.node.take());
        self.node = Some(Node::start(self.options.clone()).unwrap_or_else(|error| panic!("{error}")));
    }

    /// Where the node keeps what it has to keep.
    pub fn state_dir(&self) -> &std::path::Path {
        &self.options.state_dir
    }

    /// Asks the node to stop, as a signal does; the thread ends when it has.
    pub fn stop_node(&mut self) -> std::thread::JoinHandle<()> {
        let node = self.node.take().expect("it runs");
        std::thread::spawn(|| node.stop())
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }

    /// Where clients find it.
    pub fn http(&self) -> SocketAddr {
        self.node().http[0]
    }

    pub fn kill(&self, whom: &str) {
        self.suffer(whom, Fault::Refuse);
    }

    /// `whom`: a region, `provider:NAME`, `REGION/ENDPOINT` or `all`.
    pub fn suffer(&self, whom: &str, fault: Fault) {
        let aim = Aim::parse(whom).unwrap_or_else(|error| panic!("{error}"));
        self.world.fault(&aim, fault).unwrap_or_else(|error| panic!("{error}"));
    }

    pub fn heal(&self, whom: &str) {
        self.suffer(whom, Fault::None);
    }

    /// Asks on a connection of its own.
    pub async fn ask(&self, ask: Ask, from: IpAddr) -> Seen {
        let mut client = Client::connect(self.http(), from).await.expect("the node takes connections");
        client.send(&ask).await
    }

    pub async fn connect(&self, from: IpAddr) -> Client {
        Client::connect(self.http(), from).await.expect("the node takes connections")
    }

    pub fn standing(&self, region: &str) -> Standing {
        let snapshot = self.node().published.load_full();
        standing_in(&snapshot, region)
    }

    /// Waits until the node believes what `holds` asks for; says how long it took.
    pub async fn until(&self, what: &str, within: Duration, holds: impl Fn(&Snapshot) -> bool) -> Duration {
        let began = self.clock.now();
        let mut bell = self.node().published.subscribe();
        let wait = async {
            while !holds(&self.node().published.load_full()) {
                bell.changed().await.expect("the node lives");
            }
        };
        if timeout(within, wait).await.is_err() {
            panic!("not within {within:?}: {what}; believed instead: {}", self.beliefs());
        }
        self.clock.now().since(began)
    }

    pub async fn until_standing(&self, region: &str, standing: Standing, within: Duration) -> Duration {
        self.until(&format!("{region} is {standing}"), within, |snapshot| standing_in(snapshot, region) == standing)
            .await
    }

    /// Until a region is not up: whatever it is called then, nobody is sent there while another is up.
    pub async fn until_out(&self, region: &str, within: Duration) -> Duration {
        let holds = |snapshot: &Snapshot| standing_in(snapshot, region) > Standing::Up;
        self.until(&format!("{region} is out of rotation"), within, holds).await
    }

    pub async fn until_all(&self, standing: Standing, within: Duration) -> Duration {
        let holds = |snapshot: &Snapshot| snapshot.endpoints.iter().all(|state| state.standing == standing);
        self.until(&format!("everything is {standing}"), within, holds).await
    }

    /// Waits until every region has been asked `count` times more, by probes or anybody.
    pub async fn until_probed(&self, count: u64) {
        for region in self.world.regions() {
            self.until_begun(region.as_str(), count).await;
        }
    }

    /// Waits until a region has begun to process `count` requests more.
    pub async fn until_begun(&self, region: &str, count: u64) {
        let enough = self.world.counts(region).begun + count;
        let wait = async {
            while self.world.counts(region).begun < enough {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(BOUND, wait).await.expect("it is asked");
    }

    /// How often each request was processed, by its id; and where last.
    pub fn processed(&self) -> BTreeMap<String, Vec<String>> {
        let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in self.world.log_of_all() {
            if let Some(id) = entry.request_id {
                by_id.entry(id.to_string()).or_default().push(entry.region.to_string());
            }
        }
        by_id
    }

    /// POSTs that were processed more than once: there must be none, ever.
    pub fn posts_processed_twice(&self) -> Vec<(String, Vec<String>)> {
        self.processed().into_iter().filter(|(id, regions)| id.starts_with("post") && regions.len() > 1).collect()
    }

    /// What the node believes now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.node().published.load_full()
    }

    /// Every region's standing and reason.
    pub fn beliefs(&self) -> String {
        let snapshot = self.snapshot();
        let regions = snapshot.topology.regions.iter().zip(&snapshot.regions);
        regions
            .map(|(region, state)| format!("{} {} ({})", region.name, state.standing, state.reason))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Says something to the admin address.
    pub async fn admin(&self, method: Method, path: &str, body: &Json) -> Json {
        let address = self.node().admin[0];
        let mut client = Client::connect(address, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.expect("the admin address");
        let body = if method == Method::GET { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", address.to_string())
            .header("content-type", "application/json")
            .body(Full::new(body))
            .expect("a request");
        let answer = timeout(BOUND, client.sender.send_request(request)).await.expect("no hanging").expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or(Json::Null)
    }

    /// What the admin address says at `path`, as it is.
    pub async fn admin_text(&self, path: &str) -> String {
        let address = self.node().admin[0];
        let mut client = Client::connect(address, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.expect("the admin address");
        let request = Request::builder().uri(path).header("host", address.to_string());
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let answer = timeout(BOUND, client.sender.send_request(request)).await.expect("no hanging").expect("an answer");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8_lossy(&body).into_owned()
    }

    pub async fn drain(&self, target: &str, hard: bool) {
        let wish = json!({"target": target, "reason": "a test", "who": "me", "hard": hard});
        self.admin(Method::POST, "/drain", &wish).await;
        self.until(&format!("{target} is drained"), SOON, |snapshot| is_drained(snapshot, target)).await;
    }

    pub async fn undrain(&self, target: &str) {
        self.admin(Method::POST, "/undrain", &json!({"target": target, "who": "me"})).await;
        self.until(&format!("{target} is not drained"), SOON, |snapshot| !is_drained(snapshot, target)).await;
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        stop(self.node.take());
    }
}

/// On a thread of its own: it blocks, which may not be done inside a runtime.
fn stop(node: Option<Node>) {
    if let Some(node) = node {
        let _ = std::thread::spawn(|| node.stop()).join();
    }
}

fn is_drained(snapshot: &Snapshot, target: &str) -> bool {
    snapshot.overrides.iter().any(|drain| drain.target.to_string() == target)
}

pub fn standing_in(snapshot: &Snapshot, region: &str) -> Standing {
    let index = snapshot.topology.region_named(region).unwrap_or_else(|| panic!("no region {region}"));
    snapshot.region(index).standing
}
