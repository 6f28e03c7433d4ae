//! Bonds without a node: heads in, ties and heads out.

use super::*;
use crate::names::Hostname;
use crate::topology::check::check;
use http::header::COOKIE;
use std::path::Path;

const FILE: &str = r#"
[fleet]
name = "f"
zone = "z.example"
[[site]]
name = "here"
latitude = 0
longitude = 0
[[region]]
name = "a"
provider = "p"
country = "GB"
latitude = 1
longitude = 0
endpoints = ["http://192.0.2.1"]
[[region]]
name = "b"
provider = "q"
country = "US"
latitude = 2
longitude = 0
endpoints = ["http://192.0.2.2"]
[[hostname]]
name = "www.z.example"
regions = ["a", "b"]
[[hostname]]
name = "gb.z.example"
regions = ["*"]
residency = ["GB"]
[[class]]
prefix = "/mcp"
mcp = true
[[class]]
prefix = "/temporary"
affinity = { by = "cookie" }
[[class]]
prefix = "/sticky"
affinity = { by = "cookie", style = "sticky", cookie = "pin" }
[[class]]
prefix = "/refuse"
affinity = { by = "cookie", lost = "refuse", ttl = "1m" }
[[class]]
prefix = "/user"
affinity = { by = "header", header = "X-User" }
[[class]]
prefix = "/key"
affinity = { by = "credential" }
"#;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: Duration = Duration::from_secs(1_800_000_000);

struct Node {
    topology: Topology,
    secret: Secret,
    wall: Duration,
    is_https: bool,
}

fn node() -> Node {
    let topology = check(FILE, Path::new("regions.toml")).unwrap_or_else(|wrong| panic!("{wrong}")).topology;
    Node { topology, secret: Secret::parse(SECRET).expect("good"), wall: NOW, is_https: false }
}

fn label(name: &str) -> Label {
    Label::parse(name).expect("a name")
}

fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

impl Node {
    fn hostname(&self, name: &str) -> &Hostname {
        self.topology.route_by_hostname.get_key_value(name).expect("it is served").0
    }

    fn here<'a>(&'a self, hostname: &'a Hostname) -> Here<'a> {
        let zone = &self.topology.zone;
        Here { secret: &self.secret, zone, hostname, wall: self.wall, is_https: self.is_https }
    }

    fn ask(&self, name: &str, path: &str, headers: &mut HeaderMap) -> Result<Bond, Unbound> {
        let hostname = self.hostname(name);
        let route = self.topology.route(self.topology.route_by_hostname[hostname]);
        Bond::of(self.topology.class(hostname, path), &self.topology, route, headers, &self.here(hostname))
    }

    fn bond(&self, path: &str, headers: &mut HeaderMap) -> Bond {
        self.ask("www.z.example", path, headers).expect("it can be gone on with")
    }

    fn answer(&self, bond: &Bond, region: &str, status: u16, headers: &mut HeaderMap) {
        let hostname = self.hostname("www.z.example");
        let status = StatusCode::from_u16(status).expect("a status");
        bond.answered(headers, status, &label(region), &self.here(hostname));
    }

    /// What region `region` calls `id`, as its client knows it.
    fn session(&self, region: &str, id: &str) -> String {
        let mut answer = head(&[("mcp-session-id", id)]);
        self.answer(&self.bond("/mcp", &mut head(&[])), region, 200, &mut answer);
        text(&answer, "mcp-session-id")
    }

    /// The cookie that an answer of `region` sets, name and value.
    fn cookie(&self, path: &str, region: &str) -> String {
        let mut answer = head(&[]);
        self.answer(&self.bond(path, &mut head(&[])), region, 200, &mut answer);
        text(&answer, "set-cookie").split(';').next().unwrap_or_default().to_owned()
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect();
    lines.join(" | ")
}

fn ties(bond: &Bond) -> Ties {
    let mut ties = Ties::default();
    bond.tie(&mut ties);
    ties
}

#[test]
fn a_session_is_sealed_on_its_way_out_and_opened_on_its_way_back_by_any_node() {
    let token = node().session("b", "c0ffee");
    assert!(token.starts_with(seal::MARK) && !token.contains("c0ffee"));
    assert_eq!(token, node().session("b", "c0ffee"), "the same session is the same token");
    let mut request = head(&[("mcp-session-id", &token), ("mcp-protocol-version", "2025-11-25")]);
    let bond = node().bond("/mcp", &mut request);
    assert_eq!(text(&request, "mcp-session-id"), "c0ffee");
    assert_eq!(ties(&bond), Ties { only: Some(label("b")), goes_on: true, ..Ties::default() });
    assert!(bond.is_session());
}

#[test]
fn a_client_never_sees_its_session_change() {
    let token = node().session("b", "c0ffee");
    let rotated = Node { secret: Secret::parse(&format!("{}\n{SECRET}", "f".repeat(32))).expect("good"), ..node() };
    let bond = rotated.bond("/mcp", &mut head(&[("mcp-session-id", &token)]));
    let mut answer = head(&[("mcp-session-id", "c0ffee")]);
    rotated.answer(&bond, "b", 200, &mut answer);
    assert_eq!(text(&answer, "mcp-session-id"), token);
    assert_ne!(rotated.session("b", "c0ffee"), token, "a new one is made with the new secret");

    let bond = node().bond("/mcp", &mut head(&[("mcp-session-id", "from-before-us")]));
    assert_eq!(ties(&bond), Ties::default(), "one that is not ours goes where steering says");
    let mut answer = head(&[("mcp-session-id", "from-before-us")]);
    node().answer(&bond, "a", 200, &mut answer);
    assert_eq!(text(&answer, "mcp-session-id"), "from-before-us");
}

#[test]
fn without_sessions_in_its_era_a_request_is_tied_to_nothing() {
    let token = node().session("b", "c0ffee");
    let mut request = head(&[("mcp-session-id", &token), ("mcp-protocol-version", "2026-07-28")]);
    let bond = node().bond("/mcp", &mut request);
    assert_eq!((ties(&bond), text(&request, "mcp-session-id")), (Ties::default(), token));
    let mut answer = head(&[("mcp-session-id", "c0ffee")]);
    node().answer(&bond, "b", 200, &mut answer);
    assert_eq!(text(&answer, "mcp-session-id"), "c0ffee");
}

#[test]
fn a_session_that_cannot_be_gone_on_with_is_lost() {
    let token = node().session("b", "c0ffee");
    let lost = |hostname: &str, token: &str| node().ask(hostname, "/mcp", &mut head(&[("mcp-session-id", token)]));
    assert_eq!(lost("gb.z.example", &token), Err(Unbound::Lost), "another hostname");
    assert_eq!(lost("www.z.example", &format!("{token}x")), Err(Unbound::Lost), "damaged");
    assert_eq!(lost("www.z.example", seal::MARK), Err(Unbound::Lost), "empty");
    assert_eq!(lost("www.z.example", &node().session("gone", "c0ffee")), Err(Unbound::Lost), "no such region");
    let mut twice = head(&[("mcp-session-id", &token), ("mcp-session-id", &token)]);
    assert_eq!(node().ask("www.z.example", "/mcp", &mut twice), Err(Unbound::Ambiguous));
    let pin = node().cookie("/temporary", "b");
    let pin = pin.split_once('=').expect("a cookie").1;
    assert_eq!(lost("www.z.example", pin), Err(Unbound::Lost), "a pin is no session");
}

#[test]
fn a_session_id_past_the_bound_is_passed_on() {
    let most = "x".repeat(crate::limits::MCP_SESSION_ID_BYTES_MAX);
    let token = node().session("a", &most);
    let mut request = head(&[("mcp-session-id", &token)]);
    assert!(node().bond("/mcp", &mut request).is_session());
    assert_eq!(text(&request, "mcp-session-id"), most);
    let more = format!("{most}x");
    assert_eq!(node().session("a", &more), more);
}

#[test]
fn a_pin_is_set_once_and_ties_as_its_class_says() {
    let mut answer = head(&[("set-cookie", "theirs=1; Path=/")]);
    let bond = node().bond("/temporary", &mut head(&[]));
    node().answer(&bond, "b", 200, &mut answer);
    let set = text(&answer, "set-cookie");
    assert!(set.starts_with("theirs=1; Path=/ | anyfront-affinity=anyfront."), "{set}");
    assert!(set.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{set}");
    let secure = Node { is_https: true, ..node() };
    let mut answer = head(&[]);
    secure.answer(&bond, "b", 200, &mut answer);
    assert!(text(&answer, "set-cookie").ends_with("; SameSite=Lax; Secure"));

    let again = |path: &str| node().bond(path, &mut head(&[("cookie", &node().cookie(path, "b"))]));
    let (there, goes_on) = (Some(label("b")), true);
    assert_eq!(ties(&again("/temporary")), Ties { prefer: there.clone(), goes_on, ..Ties::default() });
    assert_eq!(ties(&again("/sticky")), Ties { prefer: there.clone(), goes_on, ..Ties::default() });
    assert_eq!(ties(&again("/refuse")), Ties { only: there, goes_on, ..Ties::default() });
    for (path, region, is_set) in
        [("/temporary", "b", false), ("/temporary", "a", false), ("/sticky", "b", false), ("/sticky", "a", true)]
    {
        let mut answer = head(&[]);
        node().answer(&again(path), region, 200, &mut answer);
        assert_eq!(answer.contains_key("set-cookie"), is_set, "{path} served by {region}");
    }
    let mut failure = head(&[]);
    node().answer(&bond, "b", 503, &mut failure);
    assert!(!failure.contains_key("set-cookie"), "who fails at first is no home");
}

#[test]
fn a_pin_that_is_not_good_is_none_and_regions_see_none_of_them() {
    let good = node().cookie("/temporary", "b");
    let late = Node { wall: NOW + Duration::from_secs(3_600), ..node() };
    let in_time = Node { wall: NOW + Duration::from_secs(3_599), ..node() };
    let pinned = |node: &Node, cookie: &str| {
        let mut request = head(&[("cookie", cookie)]);
        let is_pinned = ties(&node.bond("/temporary", &mut request)).prefer.is_some();
        assert!(!text(&request, "cookie").contains("anyfront-affinity"), "{request:?}");
        is_pinned
    };
    assert!(pinned(&node(), &good) && pinned(&in_time, &good));
    assert!(!pinned(&late, &good), "too old");
    assert!(!pinned(&node(), &format!("{good}x")), "forged");
    assert!(!pinned(&node(), "anyfront-affinity=b"), "not sealed");
    assert!(!pinned(&node(), &node().cookie("/temporary", "gone")), "no such region");
    assert!(pinned(&node(), &format!("anyfront-affinity=b; {good}")), "the good one counts");
}

#[test]
fn only_so_many_pins_are_opened() {
    let good = node().cookie("/temporary", "b");
    let pinned = |bad: usize| {
        let cookies = format!("{}{good}", "anyfront-affinity=x; ".repeat(bad));
        ties(&node().bond("/temporary", &mut head(&[("cookie", &cookies)]))).prefer.is_some()
    };
    assert!(pinned(crate::limits::PINS_OPENED_MAX - 1) && !pinned(crate::limits::PINS_OPENED_MAX));
}

#[test]
fn cookies_of_others_pass_byte_for_byte() {
    let ours = node().cookie("/temporary", "b");
    for (line, left) in [
        (format!("a=1; {ours}; b=\"x y\""), Some("a=1; b=\"x y\"")),
        (format!("{ours};a=1;  b=2"), Some("a=1;  b=2")),
        (format!("a=1;{ours}"), Some("a=1")),
        (ours.clone(), None),
        (format!("{ours}; {ours}"), None),
        ("a=1;; anyfront-affinityx=2; =3; d".to_owned(), Some("a=1;; anyfront-affinityx=2; =3; d")),
    ] {
        let mut request = head(&[("cookie", &line), ("cookie", "other=line")]);
        let _ = node().bond("/temporary", &mut request);
        let lines: Vec<&str> = request.get_all(COOKIE).iter().map(|value| value.to_str().expect("text")).collect();
        let expected: Vec<&str> = left.into_iter().chain(["other=line"]).collect();
        assert_eq!(lines, expected, "{line}");
    }
}

#[test]
fn what_belongs_together_is_spread_alike_by_all_nodes_and_by_nobody_else() {
    let lot = |path: &str, fields: &[(&'static str, &str)]| ties(&node().bond(path, &mut head(fields))).spread;
    let user = lot("/user", &[("x-user", "ada")]);
    assert!(user.is_some());
    assert_eq!(user, lot("/user", &[("x-user", "ada"), ("authorization", "Bearer x")]));
    assert_ne!(user, lot("/user", &[("x-user", "bob")]));
    let other = Node { secret: Secret::random(), ..node() };
    assert_ne!(user, ties(&other.bond("/user", &mut head(&[("x-user", "ada")]))).spread);
    assert_eq!(lot("/user", &[]), None, "nothing to go by");
    assert_eq!(
        lot("/key", &[("authorization", "Bearer x")]),
        lot("/key", &[("authorization", "Bearer x"), ("x-api-key", "y")])
    );
    assert!(lot("/key", &[("x-api-key", "y")]).is_some());
    assert_eq!(lot("/key", &[]), None);
}
