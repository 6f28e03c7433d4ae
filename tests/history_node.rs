//! What a running node tells of itself: a real fleet, real faults, and the report that the page is made of.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

mod harness;

use anyfront::history::story::{Level, Report};
use harness::{Fleet, SOON, from, get, quick};
use std::sync::Arc;
use std::time::Duration;

/// The first report that is as `wanted`.
async fn told(fleet: &Fleet, wanted: impl Fn(&Report) -> bool) -> Arc<Report> {
    let mut report = fleet.node().report.clone();
    let found = tokio::time::timeout(SOON, async {
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
        Err(_) => panic!("still told: {:#?}", shown(&fleet.node().report.borrow())),
    }
}

fn shown(report: &Report) -> Vec<String> {
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
    assert!(well.hostnames.iter().all(|hostname| hostname.level == Level::Operational), "{:#?}", shown(&well));
    assert_eq!(us(&well).sentence, "served from ORF, SFO and DFW; fallback YYZ ready");
    assert_eq!((well.trouble.clone(), us(&well).days.len()), (None, 90));
    let mut client = fleet.connect(from("Sydney")).await;
    assert!(client.send(&get("au")).await.is_good());
    let flows = told(&fleet, |report| !report.flows.is_empty()).await;
    assert_eq!((flows.flows[0].region.as_str(), flows.flows[0].country.as_deref()), ("syd", Some("AU")));

    fleet.kill("orf");
    let down =
        told(&fleet, |report| us(report).level == Level::Degraded && region(report, "orf").level == Level::Major).await;
    assert_eq!(us(&down).sentence, "served from SFO and DFW; ORF down; fallback YYZ ready");
    assert_eq!(us(&down).missing, [("orf".to_owned(), "down".to_owned())]);
    assert!(region(&down, "orf").since > well.at - Duration::from_secs(1));
    let counted = told(&fleet, |report| region(report, "orf").days[89].seconds[Level::Major as usize] > 0).await;
    assert!(region(&counted, "orf").uptime.is_some_and(|uptime| uptime < 1.0));

    fleet.heal("orf");
    told(&fleet, |report| us(report).level == Level::Operational && region(report, "orf").level == Level::Operational)
        .await;
}
