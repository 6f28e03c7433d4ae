//! Metrics: what is documented is what is there, both formats are read by who reads them, and strangers make nothing grow.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/front.rs"]
mod front;

use anyfront::counters::histogram::Times;
use anyfront::counters::traffic::{ADDED_BOUNDS, REGION_BOUNDS, Traffic};
use anyfront::headroom::{Headroom, Loss, Receiver};
use anyfront::names::{Hostname, Label};
use anyfront::residency::ledger::Ledger;
use anyfront::residency::seal::Signer;
use anyfront::residency::shelf::Shelf;
use anyfront::status::dns::{ZoneKeyView, ZoneView};
use anyfront::status::metrics::traffic::Requests;
use anyfront::status::metrics::{Format, render};
use anyfront::status::sites::SiteView;
use anyfront::status::subscribers::DeliveriesView;
use anyfront::status::totals::DnsStreamTotals;
use anyfront::status::view::{CertificateView, EndpointView, HostnameView, Overview, ProbeView, RegionView};
use front::{Client, Door, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A metric as it is documented, or as it is on the page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

/// A node of which everything can be told.
fn everything() -> (Overview, Requests) {
    let probe = ProbeView {
        kind: "token".to_owned(),
        standing: "up".to_owned(),
        first_event_ms: Some(1.0),
        first_event_smoothed_ms: Some(1.0),
        gap_ms: Some(1.0),
        gap_smoothed_ms: Some(1.0),
        ..ProbeView::default()
    };
    let region = RegionView {
        name: "orf".to_owned(),
        round_trip_ms: Some(76.25),
        capacity: Some(10),
        endpoints: vec![EndpointView { name: "orf/a".to_owned(), probes: vec![probe], ..EndpointView::default() }],
        ..RegionView::default()
    };
    let zone = ZoneView {
        keys: vec![ZoneKeyView::default()],
        keys_change_in_s: Some(1.0),
        signatures_left_s: Some(1.0),
        ..ZoneView::default()
    };
    let mut node = Overview {
        regions: vec![region],
        zone: Some(zone),
        deliveries: vec![DeliveriesView { outcomes: vec![("delivered".to_owned(), 1)], ..DeliveriesView::default() }],
        sites: vec![SiteView { name: "lon-1".to_owned(), standing: "up".to_owned(), ..SiteView::default() }],
        hostnames: vec![HostnameView { name: "gw.test".to_owned(), ..HostnameView::default() }],
        ..Overview::default()
    };
    node.certificates.in_force = vec![CertificateView::default()];
    let totals = &mut node.counters;
    totals.dns.elapsed = vec![(Some(0.000_005), 1), (None, 3)];
    totals.dns.streams = [("tcp".to_owned(), DnsStreamTotals::default())].into();
    totals.failovers_after = [("reset".to_owned(), 1)].into();
    totals.limits = [("head".to_owned(), 1)].into();
    totals.outcomes = [("complete".to_owned(), 1)].into();
    let times = |bounds: &'static [Duration]| Times { bounds, counts: vec![1; bounds.len() + 1], nanos: 7 };
    let traffic = Traffic {
        hostname: Hostname::parse("gw.test").ok(),
        region: Label::parse("orf").ok(),
        class: "*".into(),
        statuses: [0, 0, 1, 0, 0, 0],
        first_byte: times(&REGION_BOUNDS),
        gap: times(&REGION_BOUNDS),
        ..Traffic::default()
    };
    (node, Requests { traffic: vec![traffic], added: times(&ADDED_BOUNDS) })
}

/// The metrics of a page in the plain format.
fn metrics_of(page: &str) -> BTreeMap<String, Metric> {
    let mut all: BTreeMap<String, Metric> = BTreeMap::new();
    let mut help = String::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').expect("name and help").1.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and kind");
            current = name.to_owned();
            let metric = Metric { kind: kind.to_owned(), help: help.clone(), ..Metric::default() };
            assert!(all.insert(current.clone(), metric).is_none(), "{name} has two heads");
        } else {
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
            let metric = all.get_mut(&current).unwrap_or_else(|| panic!("{line} has no head"));
            let names = labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.to_owned());
            metric.labels.extend(names.filter(|name| name != "le"));
        }
    }
    all
}

/// Those of the document: rows of its tables.
fn documented() -> BTreeMap<String, Metric> {
    let text = include_str!("../deploy/METRICS.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `anyfront_"));
    let metric = |row: &str| {
        let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, help] = cells[..] else { panic!("four cells: {row}") };
        let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let name = format!("anyfront_{}", name.trim_end_matches('`'));
        (name, Metric { kind: kind.to_owned(), labels, help: help.to_owned() })
    };
    rows.map(metric).collect()
}

#[test]
fn what_is_documented_is_what_is_there() {
    let (node, requests) = everything();
    let receiver = Receiver { region: Some("dfw".to_owned()), ratio: Some(0.5), ..Receiver::default() };
    let loss = Loss { in_flight: 1.0, receivers: vec![receiver], ..Loss::default() };
    let headroom = Headroom { losses: vec![loss], ..Headroom::default() };
    let shelf = Shelf {
        fleet: "f".into(),
        vantage: "s".into(),
        folder: PathBuf::new(),
        ledger: Ledger::default(),
        signer: Arc::new(Signer::of_seed(&[7; 32])),
        earlier: Arc::new([]),
        filed: Arc::default(),
        trouble: None,
    };
    let findings = (&headroom, Some(&shelf), Duration::ZERO);
    let (there, told) = (metrics_of(&render(&node, &requests, findings, true, Format::Plain)), documented());
    let row = |(name, metric): (&String, &Metric)| {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{name}` | {} | {} | {} |", metric.kind, labels.join(", "), metric.help)
    };
    let missing: Vec<String> =
        there.iter().filter(|(name, metric)| told.get(*name) != Some(*metric)).map(row).collect();
    let gone: Vec<&String> = told.keys().filter(|name| !there.contains_key(*name)).collect();
    assert!(missing.is_empty(), "deploy/METRICS.md should have these rows:\n{}", missing.join("\n"));
    assert!(gone.is_empty(), "deploy/METRICS.md tells of {gone:?}, which are no more");
}

fn page(door: &Door, accept: &str) -> String {
    let address = door.node.as_ref().expect("it runs").admin[0];
    let mut client = Client::connect(address);
    client.say(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"));
    client.answer().text()
}

fn door(origins: &[&Origin]) -> Door {
    Door::adjusted(origins, "", |options| options.admin = vec![SocketAddr::from(([127, 0, 0, 1], 0))])
}

#[test]
fn strangers_make_no_series() {
    let door = door(&[&Origin::polite()]);
    let series = |door: &Door| -> BTreeSet<String> {
        let page = page(door, "*/*");
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
    };
    for (path, host) in [("/", "gw.test"), ("/v1/x", "gw.test"), ("/mcp", "gw.test"), ("/", "else.test")] {
        door.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    let before = series(&door);
    let mut client = door.client();
    for at in 0..2_000 {
        let (method, path) = (["GET", "POST", "BREW", "PROPFIND"][at % 4], format!("/{at}/..;/{at}?q={at}"));
        let length = if at % 4 == 1 { "Content-Length: 0\r\n" } else { "" };
        client.say(format!(
            "{method} {path} HTTP/1.1\r\nHost: gw.test\r\n{length}X-Request-Id: r{at}\r\nUser-Agent: u{at}\r\n\
             X-{at}: {at}\r\n\r\n"
        ));
        assert_eq!(client.answer().status(), 200);
    }
    let mut client = door.client();
    for at in 0..200 {
        client.say(format!("GET / HTTP/1.1\r\nHost: h{at}.gw.test\r\n\r\n"));
        assert_eq!(client.answer().status(), 421);
    }
    let after = series(&door);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
    let total: u64 = door.node.as_ref().expect("it runs").counters.traffic().iter().map(Traffic::requests).sum();
    assert!(total >= 2_000, "{total}");
}
