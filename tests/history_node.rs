//! What a running node tells of itself: a real fleet, real faults, and the report that the page is made of.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

mod harness;

use anyfront::history::story::{Level, Phase, Report, Subject};
use harness::{Fleet, SOON, from, get, quick};
use std::sync::Arc;
use std::time::Duration;

/// Within it everybody has to have heard.
const MINUTE: Duration = Duration::from_secs(60);

/// The first report that is as `wanted`.
async fn told(fleet: &Fleet, wanted: impl Fn(&Report) -> bool) -> Arc<Report> {
    told_within(fleet, SOON, wanted).await
}

async fn told_within(fleet: &Fleet, bound: Duration, wanted: impl Fn(&Report) -> bool) -> Arc<Report> {
    let mut report = fleet.node().report.clone();
    let found = tokio::time::timeout(bound, async {
        loop {
            let now = Arc::clone(&report.borrow_and_update());
            if wanted(&now) {
                return now;
            }
            report.changed().await.expect("the node runs");
        }
    });
    match found.await {
        Ok(found) => found,
        Err(_) => panic!("still told: {:#?}", lines(&fleet.node().report.borrow())),
    }
}

fn lines(report: &Report) -> Vec<String> {
    let regions = report.regions.iter().map(|region| format!("{} {:?} {}", region.name, region.level, region.reason));
    let hostnames = report.hostnames.iter().map(|name| format!("{} {:?} {}", name.name, name.level, name.sentence));
    regions.chain(hostnames).collect()
}

fn region<'a>(report: &'a Report, name: &str) -> &'a anyfront::history::story::RegionReport {
    report.regions.iter().find(|region| region.name == name).expect("a region")
}

fn us(report: &Report) -> &anyfront::history::story::HostnameReport {
    report.hostnames.iter().find(|hostname| hostname.name.starts_with("us.")).expect("a hostname")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_dies_is_told_and_so_is_its_recovery() {
    let fleet = Fleet::start(quick()).await;
    let well =
        told(&fleet, |report| report.level == Level::Operational && report.regions[0].latency_ms.is_some()).await;
    assert_eq!(well.regions.len(), fleet.node().published.load().topology.regions.len());
    assert!(well.hostnames.iter().all(|hostname| hostname.level == Level::Operational), "{:#?}", lines(&well));
    assert_eq!(us(&well).sentence, "served from ORF, SFO and DFW; fallback YYZ ready");
    assert_eq!(well.hostnames[0].sentence, "served from all 14 regions");
    assert_eq!((well.trouble.clone(), us(&well).days.len()), (None, 90));
    let mut client = fleet.connect(from("Sydney")).await;
    assert!(client.send(&get("au")).await.is_good());
    let flows = told(&fleet, |report| !report.flows.is_empty()).await;
    assert_eq!((flows.flows[0].region.as_str(), flows.flows[0].country.as_deref()), ("syd", Some("AU")));

    fleet.kill("orf");
    let down =
        told(&fleet, |report| us(report).level == Level::Degraded && region(report, "orf").level == Level::Major).await;
    assert_eq!(us(&down).sentence, "served from SFO and DFW; ORF down; fallback YYZ ready");
    assert_eq!(down.hostnames[0].sentence, "served from 13 of 14 regions; ORF down");
    assert_eq!(us(&down).missing, [("orf".to_owned(), "down".to_owned())]);
    assert!(region(&down, "orf").since > well.at - Duration::from_secs(1));
    let counted = told(&fleet, |report| region(report, "orf").days[89].seconds[Level::Major as usize] > 0).await;
    assert!(region(&counted, "orf").uptime.is_some_and(|uptime| uptime < 1.0));

    fleet.heal("orf");
    told(&fleet, |report| us(report).level == Level::Operational && region(report, "orf").level == Level::Operational)
        .await;
}

/// The command as a person types it.
fn anyfront(fleet: &Fleet, arguments: &[&str]) -> String {
    let admin = fleet.node().admin[0].to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_anyfront"))
        .args(arguments)
        .args(["--admin", &admin])
        .env("USER", "ada")
        .env_remove("SUDO_USER")
        .output()
        .expect("the command ran");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// From the death of a region to the last word about it, over a restart of the node in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_outage_is_one_incident_over_a_restart_and_closes_when_it_is_over() {
    let mut fleet = Fleet::start(quick()).await;
    let first = fleet.node().report.borrow().incidents.clone();
    assert_eq!(first, []);
    fleet.kill("bom");
    let killed = fleet.clock.now();
    let opened = told_within(&fleet, MINUTE, |report| !report.incidents.is_empty()).await;
    assert!(fleet.clock.now().since(killed) < MINUTE);
    let incident = opened.incidents[0].clone();
    assert!(incident.subjects.contains(&Subject::Region("bom".to_owned())), "{incident:#?}");
    assert_eq!((incident.phase, incident.updates.len()), (Phase::Investigating, 1), "{incident:#?}");
    assert!(incident.updates[0].text.contains("Requests from clients near Mumbai are answered by"), "{incident:#?}");
    assert!(anyfront(&fleet, &["incident", "list"]).contains(&incident.id));

    fleet.restart_at_once();
    let again = told_within(&fleet, MINUTE, |report| !report.incidents.is_empty()).await;
    assert_eq!(again.incidents, std::slice::from_ref(&incident), "the same one, and no word more");
    fleet.heal("bom");
    let closed = told_within(&fleet, MINUTE + MINUTE, |report| report.incidents[0].phase == Phase::Resolved).await;
    assert_eq!((closed.incidents.len(), closed.incidents[0].updates.len()), (1, 2), "{:#?}", closed.incidents);
    assert_eq!(closed.incidents[0].id, incident.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn operators_write_for_everybody_by_command_and_it_survives_a_restart() {
    let mut fleet = Fleet::start(quick()).await;
    let run = |arguments: &[&str]| anyfront(&fleet, arguments);
    let hostile = "<b>&amp;\"quoted\"</b> {{7*7}}";
    let opened =
        run(&["incident", "open", hostile, "--text", "line one\nline two", "--subject", "region:bom", "--json"]);
    let opened: serde_json::Value = serde_json::from_str(&opened).expect("JSON");
    let id = opened["incident"]["id"].as_str().expect("an id").to_owned();
    assert_eq!((&opened["incident"]["title"], &opened["unkept"]), (&hostile.into(), &serde_json::Value::Null));
    run(&["incident", "update", &id, "--phase", "identified", "--text", "understood"]);
    let begin = anyfront::moment::rfc3339(fleet.clock.wall() + Duration::from_secs(3_600));
    let planned =
        ["incident", "maintain", "Upgrade", "--text", "t", "--subject", "region:syd", "--from", &begin, "--for", "2h"];
    assert!(run(&planned).contains("scheduled"));
    for wrong in [
        &["incident", "open", "two\r\nlines", "--text", "t"][..],
        &["incident", "open", "t", "--text", "t\u{1b}[31m"],
        &["incident", "open", "t", "--text", "t", "--subject", "region:nowhere"],
        &["incident", "update", "nonesuch", "--text", "t"],
        &["incident", "post-mortem", &id, "--text", "too early"],
    ] {
        let admin = fleet.node().admin[0].to_string();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_anyfront"))
            .args(wrong)
            .args(["--admin", &admin])
            .output()
            .expect("the command ran");
        assert_eq!(output.status.code(), Some(1), "{wrong:?}");
        assert!(!output.stderr.is_empty() && !output.stderr.contains(&0x1b), "{wrong:?}");
    }
    fleet.restart_at_once();
    told_within(&fleet, MINUTE, |report| report.incidents.len() == 1 && report.maintenance.len() == 1).await;
    let run = |arguments: &[&str]| anyfront(&fleet, arguments);
    let shown = run(&["incident", "show", &id]);
    assert!(shown.contains(hostile) && shown.contains("identified") && shown.contains("  line two"), "{shown}");
    run(&["incident", "resolve", &id, "--text", "over"]);
    run(&["incident", "post-mortem", &id, "--text", "learnt"]);
    let planned = fleet.node().report.borrow().maintenance[0].id.clone();
    run(&["incident", "cancel", &planned, "--text", "not needed"]);
    let report = Arc::clone(&fleet.node().report.borrow());
    assert_eq!(report.incidents[0].post_mortem.as_deref(), Some("learnt"));
    assert!(report.incidents[0].phase == Phase::Resolved && report.maintenance[0].phase == Phase::Completed);
    let audit = std::fs::read_to_string(fleet.state_dir().join("audit.jsonl")).expect("an audit log");
    let actions: Vec<String> = audit
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .inspect(|line| assert!(line["chain"].as_str().is_some_and(|chain| chain.len() == 64), "{line}"))
        .map(|line| line["action"].as_str().expect("an action").to_owned())
        .collect();
    let wanted = ["incident_open", "incident_update", "maintenance_schedule"];
    assert_eq!(actions[..3], wanted.map(str::to_owned));
    assert!(actions.ends_with(&["incident_resolve", "incident_post_mortem", "maintenance_cancel"].map(str::to_owned)));
    let metrics = fleet.admin_text("/metrics").await;
    assert!(
        metrics.contains("anyfront_history_trouble 0") && metrics.contains("anyfront_incidents_open 0"),
        "{metrics}"
    );
}

/// The level that programs read in the documents of the page.
fn document(fleet: &Fleet, path: &str) -> serde_json::Value {
    let setting = anyfront::status::public::Fallback::of(&[])
        .setting(&fleet.node().published.load(), anyfront::status::page::Manner::Live);
    let rendering = anyfront::status::rendering::Rendering::of(&fleet.node().report.borrow(), &setting, None);
    serde_json::from_slice(&rendering.files[path].body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_an_operator_says_of_an_open_incident_is_what_is_shown() {
    let fleet = Fleet::start(quick()).await;
    told(&fleet, |report| report.level == Level::Operational).await;
    let open = |title: &str, more: &[&str]| {
        let ran = anyfront(&fleet, &[&["incident", "open", title, "--text", "t", "--json"], more].concat());
        let opened: serde_json::Value = serde_json::from_str(&ran).expect("JSON");
        opened["incident"]["id"].as_str().expect("an id").to_owned()
    };
    let hostname = us(&fleet.node().report.borrow()).name.clone();
    let subject = format!("hostname:{hostname}");
    let first = open("Answers are wrong", &["--impact", "critical", "--subject", &subject]);
    let shown = told(&fleet, |report| us(report).level == Level::Major).await;
    assert_eq!((shown.level, us(&shown).days[89].seconds[Level::Major as usize]), (Level::Major, 0), "no time is down");
    assert_eq!(us(&shown).since, shown.incidents[0].opened_at);
    assert!(region(&shown, "orf").level == Level::Operational && us(&shown).uptime.is_none_or(|up| up >= 1.0));
    let status = document(&fleet, "api/v2/status.json");
    assert_eq!(status["status"]["indicator"], "critical", "{status}");
    assert_eq!(status["status"]["description"], "Outage: Answers are wrong", "{status}");

    // One about nothing in particular, and one that nobody notices.
    anyfront(&fleet, &["incident", "resolve", &first, "--text", "over"]);
    told(&fleet, |report| report.level == Level::Operational).await;
    let second = open("Mails are late", &["--impact", "minor"]);
    let shown = told(&fleet, |report| report.level == Level::Degraded).await;
    assert!(shown.hostnames.iter().all(|hostname| hostname.level == Level::Operational), "{:#?}", lines(&shown));
    anyfront(&fleet, &["incident", "resolve", &second, "--text", "over"]);
    told(&fleet, |report| report.level == Level::Operational).await;
    open("Nobody notices", &["--impact", "none", "--subject", "region:orf"]);
    let shown = told(&fleet, |report| report.incidents.len() == 3).await;
    assert_eq!((shown.level, region(&shown, "orf").level), (Level::Operational, Level::Operational));
    let status = document(&fleet, "api/v2/status.json");
    assert_eq!(status["status"]["description"], "All systems work, and an incident is open", "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_maintenance_in_progress_is_about_is_shown_under_maintenance() {
    let fleet = Fleet::start(quick()).await;
    told(&fleet, |report| report.level == Level::Operational).await;
    let plan = ["incident", "maintain", "Upgrade", "--text", "t", "--subject", "region:syd", "--for", "2h", "--from"];
    let begin = anyfront::moment::rfc3339(fleet.clock.wall() + Duration::from_secs(2));
    anyfront(&fleet, &[&plan[..], &[&begin]].concat());
    let shown = told_within(&fleet, MINUTE, |report| region(report, "syd").level == Level::Maintenance).await;
    assert_eq!((shown.level, region(&shown, "orf").level), (Level::Maintenance, Level::Operational));
    let told_of = document(&fleet, "api/v2/summary.json");
    assert_eq!(told_of["status"]["indicator"], "maintenance", "{told_of}");
    assert_eq!(told_of["status"]["description"], "Under maintenance: Upgrade", "{told_of}");
    let syd = told_of["components"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "SYD"));
    assert_eq!(syd.map(|syd| &syd["status"]), Some(&"under_maintenance".into()), "{told_of}");
    // What is seen counts more than what was planned.
    fleet.kill("syd");
    told(&fleet, |report| region(report, "syd").level == Level::Major).await;
}

/// Where everybody who serves a hostname was taken away, its customers are refused: nothing is as planned about that.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hostname_whose_regions_are_all_drained_is_an_outage() {
    let fleet = Fleet::start(quick()).await;
    told(&fleet, |report| report.level == Level::Operational).await;
    for name in ["orf", "sfo", "dfw"] {
        anyfront(&fleet, &["drain", &format!("region:{name}"), "--reason", "work"]);
    }
    told(&fleet, |report| us(report).level == Level::Maintenance).await;
    anyfront(&fleet, &["drain", "region:yyz", "--reason", "work"]);
    let shown = told(&fleet, |report| us(report).level == Level::Major).await;
    let sentence = "served from nowhere; ORF, SFO and DFW draining; fallback YYZ not ready";
    assert_eq!((us(&shown).sentence.as_str(), shown.level), (sentence, Level::Major));
    let subject = Subject::Hostname(us(&shown).name.clone());
    let is_told = |report: &Report| report.incidents.iter().any(|incident| incident.subjects.contains(&subject));
    let opened = told_within(&fleet, MINUTE, is_told).await;
    assert!(us(&opened).days[89].seconds[Level::Major as usize] > 0, "it counts");
}
