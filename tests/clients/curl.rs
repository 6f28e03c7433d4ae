//! `curl`, with HTTP/1.1 and HTTP/2.

use crate::harness::{Fleet, get_path, hostname, quick_and_secure};
use anyfront::lab::fault::Fault;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value as Json;
use std::fmt::Write;
use std::process::{Command, Output};
use tokio::task::spawn_blocking;

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];
/// A body that is longer than anything that is kept to be sent again.
const LARGE_BYTES: usize = 16 << 20;

/// Asks the fleet's door; `None` where there is no `curl`.
async fn curl(fleet: &Fleet, path: &str, arguments: &[&str]) -> Option<Output> {
    let (host, port) = (hostname("us"), fleet.node().https[0].port());
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"])
        .arg("--cacert")
        .arg(fleet.world.ca_path())
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .args(arguments)
        .arg(format!("https://{host}:{port}{path}"));
    match spawn_blocking(move || command.output()).await.expect("it does not panic") {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("SKIPPED: curl: {error}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_post_of_16_mib_arrives_whole_elsewhere_when_the_region_refuses() {
    let fleet = Fleet::start(quick_and_secure()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("large");
    let large: Vec<u8> = (0..LARGE_BYTES).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&file, &large).expect("room on the disk");
    let mut sum = String::new();
    digest(&SHA256, &large).as_ref().iter().for_each(|byte| write!(sum, "{byte:02x}").expect("a string takes all"));
    let data = format!("@{}", file.display());
    for (version, dead, region) in [(VERSIONS[0], "orf", "dfw"), (VERSIONS[1], "dfw", "sfo")] {
        fleet.kill(dead);
        let arguments = [version, "--data-binary", &data, "--header", "content-type: application/octet-stream"];
        let Some(output) = curl(&fleet, "/whoami", &arguments).await else { return };
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
        let whoami: Json = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&whoami["region"], &whoami["body_sha256"]), (&Json::from(region), &Json::from(sum.as_str())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_that_is_cut_is_an_error_of_curl() {
    let fleet = Fleet::start(quick_and_secure()).await;
    assert!(fleet.ask(get_path("us", "/events?n=2&ms=1"), crate::harness::from("London")).await.is_good());
    fleet.suffer("orf", Fault::CutAfter { bytes: 100 });
    for version in VERSIONS {
        for path in ["/events?n=50&ms=1", "/v1/events?n=50&ms=1", "/bytes/100000"] {
            let Some(output) = curl(&fleet, path, &[version, "--no-buffer"]).await else { return };
            let told = output.status.code();
            // Partial file, an error of an HTTP/2 stream, a receive error: never 0.
            assert!(matches!(told, Some(18 | 92 | 56)), "{version} {path}: {told:?}");
            assert!(output.stdout.len() >= 60, "{version} {path}: the good part is missing");
        }
    }
}
