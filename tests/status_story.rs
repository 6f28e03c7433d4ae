//! A STORY, FROM THE FAULT TO THE READERS: a region dies, and the page in a browser, the badge, the feeds, the documents, the
//! mailbox of a real mail server and a webhook tell it, each in time, in order and once; it recovers, and they tell that.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

#[path = "common/asking.rs"]
mod asking;
mod common;
#[path = "common/directory.rs"]
mod directory;
#[path = "common/exim.rs"]
mod exim;
mod harness;
#[path = "common/needs.rs"]
mod needs;
#[path = "common/pebble.rs"]
mod pebble;
#[path = "common/reader.rs"]
mod reader;
#[path = "common/tls.rs"]
mod tls;

use anyfront::lab::world::{Settings, World};
use anyfront::moment::{Clock, Moment};
use anyfront::node::Options;
use asking::ask;
use directory::{Asked, Directory, status};
use exim::{Exim, body, field};
use harness::{Fleet, from, get, quick};
use reader::Reader;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tls::Authority;

/// Within which everybody has to be told, from the fault on.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// Longest wait on a machine that is busy with everything else. What took longer than [`TOLD_WITHIN`] fails at the end.
const BOUND: Duration = Duration::from_secs(180);

/// A node with readers of every kind.
struct Readers {
    fleet: Fleet,
    page: SocketAddr,
    exim: Exim,
    hooks: Arc<Mutex<Vec<Asked>>>,
    _directory: Directory,
    _folder: tempfile::TempDir,
}

impl Readers {
    async fn start() -> Option<Self> {
        let exim = Exim::start(None, None)?;
        let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
        let trusted = folder.path().join("authority.pem");
        std::fs::write(&trusted, &authority.pem).expect("written");
        let hooks: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let noted = Arc::clone(&hooks);
        let directory = Directory::start(&authority, move |asked| {
            noted.lock().expect("whole").push(asked.clone());
            status(204, "")
        });
        let settings = quick();
        let extra = format!(
            "{}\n[status]\nurl = \"https://status.test\"\ntitle = \"Gateway\"\nwebhook_private = [\"127.0.0.0/8\", \"::1/128\"]\n\
             webhook_trust = [\"{}\"]\n[status.mail]\nserver = \"{}\"\nsecurity = \"none\"\nfrom = \"status@mail.test\"\n",
            settings.extra,
            trusted.display(),
            exim.address
        );
        let world = World::start(Settings { extra, ..settings }).expect("a world");
        let options = Options { status: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..world.node_options() };
        let fleet = Fleet::start_with(world, options).await;
        let page = fleet.node().status[0];
        let readers = Self { fleet, page, exim, hooks, _directory: directory, _folder: folder };
        readers.subscribe(&readers._directory.url()).await;
        Some(readers)
    }

    /// Subscribes as people do: by the page's forms, the mail's link and the test of the webhook.
    async fn subscribe(&self, directory: &str) {
        let hook = directory.replace(':', "%3A").replace('/', "%2F");
        let noted = self.post("/subscribe", &format!("kind=webhook&to={hook}&scope=region%3Abom")).await;
        let token = token_in(&noted, "subscription/");
        assert!(noted.contains("whsec_"), "the secret is shown: {noted}");
        let tested = self.post(&format!("/subscription/{token}/test"), "").await;
        assert!(tested.contains("it is in force"), "{tested}");

        self.post("/subscribe", "kind=mail&to=anna%40mail.test").await;
        self.until("the mail that asks whether it was her", |readers| readers.exim.mails("anna").len() == 1).await;
        let asked = body(&self.exim.mails("anna")[0]);
        let token = token_in(&asked, "https://status.test/subscription/");
        let confirmed = self.post(&format!("/subscription/{token}/confirm"), "").await;
        assert!(confirmed.contains("Confirmed."), "{confirmed}");
    }

    async fn post(&self, path: &str, form: &str) -> String {
        let page = self.page;
        let (path, form) = (path.to_owned(), form.to_owned());
        let posting = tokio::task::spawn_blocking(move || {
            let ran = std::process::Command::new("curl")
                .args(["--silent", "--noproxy", "*", "--data", &form, &format!("http://{page}{path}")])
                .output()
                .expect("curl runs");
            String::from_utf8_lossy(&ran.stdout).into_owned()
        });
        posting.await.expect("no panic")
    }

    async fn text(&self, path: &str) -> String {
        ask(self.page, "GET", path, "").await.text().to_owned()
    }

    /// How long it took from `start` until it was so.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(BOUND, waiting).await.is_err() {
            panic!("{what} did not come; exim: {}", self.exim.log());
        }
    }

    async fn until_text(&self, path: &str, is_so: impl Fn(&str) -> bool) {
        let waiting = async {
            while !is_so(&self.text(path).await) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(BOUND, waiting).await.is_err() {
            panic!("{path} still says {}", self.text(path).await);
        }
    }

    /// What the webhook was told, tests left out.
    fn told(&self) -> Vec<Value> {
        let all = self.hooks.lock().expect("whole");
        let told = all.iter().map(|asked| serde_json::from_str::<Value>(&asked.body).expect("JSON"));
        told.filter(|told| told["type"] != "subscription.test").collect()
    }

    /// The mails after the one that asked.
    fn mails(&self) -> Vec<String> {
        self.exim.mails("anna").split_off(1)
    }
}

/// The word after `before`.
fn token_in(text: &str, before: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// Notes how long something took since the fault; all of it is judged at the end.
struct Watch {
    clock: Clock,
    start: Moment,
    laps: Vec<(&'static str, Duration)>,
}

impl Watch {
    fn start() -> Self {
        let clock = Clock::start();
        Self { clock, start: clock.now(), laps: Vec::new() }
    }

    fn lap(&mut self, what: &'static str) {
        self.laps.push((what, self.clock.now().since(self.start)));
    }

    fn judge(&self) {
        println!("{:.1?}", self.laps);
        let late: Vec<_> = self.laps.iter().filter(|(_, took)| *took > TOLD_WITHIN).collect();
        assert!(late.is_empty(), "told too late: {late:.1?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_dies_and_recovers_and_everybody_is_told_both_once_and_in_order() {
    let Some(readers) = Readers::start().await else { return };
    let mut browser = Reader::start(0);
    readers.until_text("/", |page| page.contains("All systems operational")).await;
    if let Some(browser) = &mut browser {
        assert_eq!(browser.does(&format!("follow http://{}/", readers.page)).await, "All systems operational");
    }

    readers.fleet.kill("bom");
    let mut watch = Watch::start();
    if let Some(browser) = &mut browser {
        let told = browser.does("changed gateway.truefoundry.ai").await;
        assert!(told.contains(r#""isFocused":true"#), "{told}");
        watch.lap("browser");
    }
    readers.until_text("/", |page| page.contains("BOM is out of service")).await;
    watch.lap("page");
    readers.until_text("/badge/region/bom.svg", |badge| badge.contains("BOM: outage")).await;
    watch.lap("badge");
    readers.until_text("/api/v2/incidents/unresolved.json", |told| told.contains("\"incidents\":[{")).await;
    watch.lap("incident");
    let unresolved: Value =
        serde_json::from_str(&readers.text("/api/v2/incidents/unresolved.json").await).expect("JSON");
    let incident = unresolved["incidents"][0]["id"].as_str().expect("an id").to_owned();
    for feed in ["/history.atom", "/history.rss"] {
        readers.until_text(feed, |feed| feed.contains(&incident)).await;
    }
    watch.lap("feeds");
    readers.until("a mail", |readers| !readers.mails().is_empty()).await;
    watch.lap("mail");
    readers.until("a webhook", |readers| !readers.told().is_empty()).await;
    watch.lap("webhook");
    watch.judge();
    assert_eq!(readers.told()[0]["type"], "incident.created");
    assert_eq!(readers.told()[0]["data"]["incident"]["id"], incident.as_str());
    let subject = field(&readers.mails()[0], "Subject").expect("a subject");
    assert!(subject.starts_with("[Gateway] ") && subject.contains("bom"), "{subject}");
    // Requests went on meanwhile, and their answers name their decisions.
    let answer = readers.fleet.ask(get(""), from("London")).await;
    assert!(answer.is_good() && !answer.header("x-anyfront-decision").is_empty());

    readers.fleet.heal("bom");
    let mut watch = Watch::start();
    readers.until_text("/", |page| page.contains("All systems operational")).await;
    watch.lap("page");
    readers.until_text("/api/v2/incidents/unresolved.json", |told| told.contains("\"incidents\":[]")).await;
    watch.lap("incident");
    readers.until("the mail of its end", |readers| readers.mails().len() == 2).await;
    watch.lap("mail");
    readers.until("the webhook of its end", |readers| readers.told().len() == 2).await;
    watch.lap("webhook");
    if let Some(browser) = &mut browser {
        browser.does("changed All_systems_operational").await;
        watch.lap("browser");
    }
    watch.judge();
    assert_eq!(readers.told()[1]["type"], "incident.resolved");
    assert_eq!(readers.told()[1]["data"]["incident"]["id"], incident.as_str());
    let [first, second] = &readers.mails()[..] else { panic!("two mails") };
    assert_eq!(field(second, "In-Reply-To"), field(first, "Message-ID").or_else(|| field(first, "References")));
    let resolved = readers.text("/api/v2/incidents.json").await;
    let resolved: Value = serde_json::from_str(&resolved).expect("JSON");
    assert_eq!(resolved["incidents"][0]["status"], "resolved");
    assert_eq!(resolved["incidents"].as_array().map(Vec::len), Some(1), "one fault, one incident: {resolved}");
}
