//! A real Prometheus reads a real node: both formats, every rule, and every panel of the dashboard.

#![allow(clippy::panic, reason = "this is how a test fails")]

mod harness;
#[path = "common/needs.rs"]
mod needs;

use anyfront::moment::{Clock, Moment};
use harness::{BOUND, Fleet, from, get, post, quick};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a node shows only where it has what to compute headroom from.
const SOMETIMES: [&str; 2] = ["anyfront_headroom_ratio", "anyfront_headroom_unserved_ratio"];

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// What `curl` gets.
fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "10"]).args(arguments).output().expect("curl runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A Prometheus that scrapes one node.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Prometheus {
    fn reading(node: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = port.expect("a port");
        let rules = deploy("alerts.yml");
        let config = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [{:?}]\n\
             scrape_configs:\n- job_name: anyfront\n  static_configs:\n  - targets: [{:?}]\n",
            rules.display().to_string(),
            node.to_string()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        Self { child, address, folder }
    }

    fn ask(&self, path: &str, query: &str) -> Value {
        let url = format!("http://{}{path}", self.address);
        let answer = curl(&["-G", "--data-urlencode", &format!("query={query}"), &url]);
        serde_json::from_str(&answer).unwrap_or(Value::Null)
    }

    /// The result of a query, which must be a good one.
    #[track_caller]
    fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.ask("/api/v1/query", query);
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let clock = Clock::start();
        while !is_so(self) {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(
                clock.now() < Moment::at(3 * BOUND),
                "in vain: {what}\n{}\n{}",
                self.ask("/api/v1/targets", ""),
                log()
            );
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names of our metrics in an expression, as they are on the page.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("anyfront_"));
    ours.map(|name| ["_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name)))
        .map(str::to_owned)
        .collect()
}

/// Every expression of the dashboard, as Grafana would ask it, with the title of its panel.
fn dashboard() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(deploy("grafana.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let asked = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().expect("expr").to_owned()))
    });
    let annotations = dashboard["annotations"]["list"].as_array().expect("annotations");
    let noted = annotations.iter().map(|one| ("annotation".to_owned(), one["expr"].as_str().expect("expr").to_owned()));
    let variables = [("$__rate_interval", "1m"), ("$node", ".*"), ("$hostname", ".*")];
    let filled = |expr: String| variables.iter().fold(expr, |expr, (name, value)| expr.replace(name, value));
    asked.chain(noted).map(|(title, expr)| (title, filled(expr))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_reads_the_page_the_rules_and_the_dashboard() {
    if ["prometheus", "promtool", "curl"].map(needs::program).contains(&None) {
        return;
    }
    let fleet = Fleet::start(quick()).await;
    for _ in 0..3 {
        assert!(fleet.ask(get("us"), from("New York")).await.is_good());
        assert!(fleet.ask(post("eu"), from("London")).await.is_good());
    }
    let node = fleet.node().admin[0];
    let page = curl(&[&format!("http://{node}/metrics")]);
    lint(&page);

    let prometheus = Prometheus::reading(node);
    prometheus.until("it starts", |prometheus| prometheus.ask("/api/v1/query", "1")["status"] == "success");
    prometheus.until("the node is scraped", |prometheus| {
        prometheus.query("up == 1").len() == 1 && !prometheus.query("rate(anyfront_requests_total[1m])").is_empty()
    });
    let there: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(str::to_owned).collect();
    let mut empty = Vec::new();
    for (title, expression) in dashboard() {
        let unknown: Vec<String> = names(&expression).into_iter().filter(|name| !there.contains(name)).collect();
        // A zone's are there where there is a zone.
        assert!(
            unknown.iter().all(|name| name.starts_with("anyfront_dns_")),
            "{title}: {unknown:?} are not on the page"
        );
        if prometheus.query(&expression).is_empty() && !expression.contains("> 0") {
            empty.push(title);
        }
    }
    for title in
        ["Requests", "Answers by region", "What this node adds", "Standing", "Level in force", "How requests end"]
    {
        assert!(!empty.iter().any(|empty| empty == title), "{title} shows nothing");
    }
    rules(&prometheus, &there);

    fleet.kill("orf");
    fleet.until_out("orf", harness::SOON).await;
    prometheus.until("the alert of the region", |prometheus| {
        let alerts = prometheus.query("ALERTS{alertname=\"AnyfrontRegionDown\",region=\"orf\"}");
        alerts.len() == 1
    });
}

/// Whether every rule was loaded and is evaluated, and names only what there is.
fn rules(prometheus: &Prometheus, there: &BTreeSet<String>) {
    let told =
        || prometheus.ask("/api/v1/rules", "")["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
    prometheus.until("every rule is evaluated", |_| {
        let rules = told();
        !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")
    });
    let rules = told();
    assert!(rules.len() >= 20, "{}", rules.len());
    for rule in rules {
        let expression = rule["query"].as_str().expect("a query");
        let unknown = names(expression).into_iter().filter(|name| !there.contains(name));
        let unknown: Vec<String> = unknown.filter(|name| !SOMETIMES.contains(&name.as_str())).collect();
        assert!(unknown.iter().all(|name| name.starts_with("anyfront_dns_")), "{}: {unknown:?}", rule["name"]);
        for needed in ["summary", "runbook"] {
            assert!(rule["annotations"][needed].as_str().is_some_and(|text| text.len() > 20), "{rule}");
        }
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("page" | "ticket")), "{rule}");
    }
}

/// What Prometheus' own tool says of the page and the rules.
fn lint(page: &str) {
    let checked =
        Command::new("promtool").args(["check", "rules"]).arg(deploy("alerts.yml")).output().expect("promtool");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let tool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut tool = tool.expect("promtool");
    tool.stdin.take().expect("piped").write_all(page.as_bytes()).expect("written");
    let checked = tool.wait_with_output().expect("promtool ends");
    let complaints = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && complaints.is_empty(), "{complaints}");
}
