//! THE STATUS PAGE OF A RUNNING NODE: what its regions do is on its page, at every door, and in its copy.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

#[path = "common/asking.rs"]
mod asking;
mod harness;

use anyfront::lab::world::World;
use anyfront::node::Options;
use asking::{ask, until};
use harness::{Fleet, quick};

/// A node with a public address for its page, and a folder for copies.
async fn fleet(folder: &std::path::Path) -> Fleet {
    let world = World::start(quick()).expect("a world");
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
    until(status, "/", |page| page.contains("All systems operational")).await;
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
