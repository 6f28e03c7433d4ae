//! Residency, shown: every answer says which region processed it, what is counted agrees with what the regions saw, and
//! the summaries of it can be kept, verified, and not changed.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/front.rs"]
mod front;

mod clock;
mod documents;
mod fence;
mod keeping;
mod killed;
mod ways;

use anyfront::lab::world::{Settings, World};
use anyfront::moment::Clock;
use anyfront::node::Options;
use anyfront::residency::day::Day;
use anyfront::residency::shelf::{CountsView, Index, Keys};
use harness::{BOUND, Fleet, QUICK, hostname};
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::process::{Command, Output};

/// A hostname that must stay in the Union, though two of its regions are not in it.
const FENCED: &str = "in";
const HOSTNAMES: &str = r#"
[[hostname]]
name = "gateway.truefoundry.ai"
regions = ["*"]
[[hostname]]
name = "in.gateway.truefoundry.ai"
regions = ["lhr", "mad", "gvx"]
fallback = ["dia"]
residency = ["EU"]
"#;

fn settings() -> Settings {
    Settings { extra: format!("{QUICK}{HOSTNAMES}"), ..harness::quick() }
}

async fn fleet() -> Fleet {
    Fleet::start(settings()).await
}

/// A fleet whose node is started otherwise.
async fn fleet_with(prepare: impl FnOnce(&mut Options)) -> Fleet {
    let world = World::start(settings()).unwrap_or_else(|error| panic!("{error}"));
    let mut options = world.node_options();
    prepare(&mut options);
    Fleet::start_with(world, options).await
}

async fn told<T: DeserializeOwned>(fleet: &Fleet, path: &str) -> T {
    let json = fleet.admin(Method::GET, path, &Json::Null).await;
    serde_json::from_value(json).expect("it is as it says")
}

async fn index(fleet: &Fleet) -> Index {
    told(fleet, "/residency").await
}

async fn keys(fleet: &Fleet) -> Keys {
    told(fleet, "/residency/key").await
}

fn today() -> Day {
    Day::of(Clock::start().wall())
}

/// What is counted of a hostname, over all days that are known: a test may run at midnight.
fn counted(index: &Index, short: &str) -> Vec<CountsView> {
    let hostnames = index.days.iter().flat_map(|day| &day.hostnames);
    hostnames.filter(|one| one.name == hostname(short)).filter_map(|one| one.counts.clone()).collect()
}

fn answers(counts: &[CountsView]) -> u64 {
    counts.iter().flat_map(|counts| &counts.processed).map(|one| one.answers).sum()
}

fn answers_of(counts: &[CountsView], region: &str) -> u64 {
    counts.iter().flat_map(|counts| &counts.processed).filter(|one| one.region == region).map(|one| one.answers).sum()
}

/// Waits until `holds` of what is counted of a hostname.
async fn until_counted(fleet: &Fleet, short: &str, holds: impl Fn(&[CountsView]) -> bool) -> Vec<CountsView> {
    let mut last = Vec::new();
    let wait = async {
        loop {
            last = counted(&index(fleet).await, short);
            if holds(&last) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let is_so = tokio::time::timeout(BOUND, wait).await.is_ok();
    assert!(is_so, "never counted so: {last:#?}");
    last
}

/// The signed summary of a hostname's day, as it is served.
async fn document(fleet: &Fleet, day: Day, short: &str) -> String {
    let path = format!("/residency/{day}/{}", hostname(short));
    let address = fleet.node().admin[0];
    let mut client = harness::Client::connect(address, std::net::Ipv4Addr::LOCALHOST.into()).await.expect("admin");
    let seen = client.send(&harness::Ask { host: address.to_string(), path, ..harness::get("") }).await;
    assert_eq!(seen.status, Some(200), "{seen:?}");
    String::from_utf8(seen.body.expect("a body").to_vec()).expect("text")
}

fn residency(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anyfront")).arg("residency").args(arguments).output().expect("it runs")
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{err}")
}
