//! What a node shows of itself, for Prometheus: `GET /metrics`.
//!
//! Rendered from the same [`Overview`] as everything else, at the moment of asking, so no registry can disagree with it.
//! Labels are names from the file, from this program, and nothing else: no client, no path, no hostname that the file has
//! not, so their number is bounded by the file. `deploy/METRICS.md` has all of them.
//! The text is valid in the plain format (version 0.0.4) and, where asked for, in OpenMetrics 1.0.

use super::sites::SiteView;
use super::totals::WebsocketTotals;
use super::view::{EndpointView, HostnameView, Overview, ProbeView, RegionView};
use crate::headroom::Headroom;
use crate::residency::shelf::Shelf;
use std::fmt::{Display, Write};
use std::time::Duration;
use traffic::Requests;

/// In which dialect metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Plain,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The one that an `Accept` header asks for.
    #[must_use]
    pub fn accepted_by(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Plain }
    }

    /// What goes into `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

const STANDINGS: [&str; 5] = ["up", "strained", "unknown", "ejected", "down"];

/// Writes every metric of a node. `findings`: what would be without regions, and what was counted of residency until now by
/// the wall clock.
#[must_use]
pub fn render(
    node: &Overview,
    requests: &Requests,
    findings: (&Headroom, Option<&Shelf>, Duration),
    is_ready: bool,
    format: Format,
) -> String {
    let mut page = Page { text: String::with_capacity(16 << 10), format };
    page.node(node, is_ready);
    page.certificates(node);
    page.doors(node);
    page.requests(requests, &node.counters);
    page.hostnames(node);
    page.sites(&node.sites);
    page.regions(&node.regions);
    page.endpoints(&node.regions);
    page.probes(&node.regions);
    page.history(&node.history);
    page.dns(node);
    page.deliveries(&node.deliveries);
    let (headroom, shelf, wall) = findings;
    page.headroom(headroom);
    if let Some(shelf) = shelf {
        page.residency(shelf, wall);
    }
    if format == Format::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

mod dns;
mod findings;
mod history;
mod subscriptions;
pub mod traffic;

struct Page {
    text: String,
    format: Format,
}

impl Page {
    /// The head of a metric. `name` is without the `_total` of a counter; a unit is the end of the name.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let suffix = if kind == "counter" && self.format == Format::Plain { "_total" } else { "" };
        let _ = writeln!(self.text, "# HELP {name}{suffix} {help}");
        let _ = writeln!(self.text, "# TYPE {name}{suffix} {kind}");
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit));
        if let Some(unit) = unit.filter(|_| self.format == Format::OpenMetrics) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (at, (key, label)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{key}=\"{}\"", if at == 0 { '{' } else { ',' }, escaped(label));
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.sample(&format!("{name}_total"), &[], value);
    }

    fn node(&mut self, node: &Overview, is_ready: bool) {
        self.head("anyfront_build_info", "gauge", "Always 1; which version runs where.");
        let labels = [("version", &*node.version), ("fleet", &node.fleet), ("site", &node.site)];
        self.sample("anyfront_build_info", &labels, 1);
        let help = "The node's wall clock, seconds since the Unix epoch.";
        self.gauge("anyfront_wall_clock_seconds", help, node.wall_s);
        self.gauge("anyfront_uptime_seconds", "Since the node started.", node.uptime_s);
        self.gauge("anyfront_ready", "1 if the node wants traffic.", u8::from(is_ready));
        self.gauge("anyfront_generation", "Number of the snapshot in force.", node.generation);
        let valid = u8::from(node.problem.is_none());
        self.gauge("anyfront_config_valid", "0 while the newest regions.toml is refused.", valid);
        self.head("anyfront_config_info", "gauge", "Always 1; SHA-256 of the regions.toml in force.");
        self.sample("anyfront_config_info", &[("digest", &node.digest)], 1);
        let suspect = u8::from(node.suspect);
        self.gauge("anyfront_node_suspect", "1 while the node suspects its own network.", suspect);
        self.gauge("anyfront_drains", "Drains in force.", node.drains.len());
    }

    fn certificates(&mut self, node: &Overview) {
        let certificates = &node.certificates;
        let valid = certificates.problems.is_empty() && certificates.in_force.iter().all(|one| one.left_s > 0.0);
        let help = "0 while a certificate's files cannot be used, or one in force has expired.";
        self.gauge("anyfront_certificates_valid", help, u8::from(valid));
        let name = "anyfront_certificate_expires_in_seconds";
        self.head(name, "gauge", "Until the certificate in force ends; below 0: it has expired.");
        for certificate in &certificates.in_force {
            self.sample(name, &[("certificate", &certificate.file)], certificate.left_s.round());
        }
    }

    fn doors(&mut self, node: &Overview) {
        let totals = &node.counters;
        self.counter("anyfront_connections", "Client connections accepted.", totals.connections);
        self.gauge("anyfront_connections_open", "Client connections open now.", totals.open);
        self.counter(
            "anyfront_connections_refused",
            "Client connections refused because a limit was reached.",
            totals.refused_connections,
        );
        self.counter(
            "anyfront_proxy_headers_failed",
            "Connections closed for want of a good PROXY header from a balancer.",
            totals.failed_proxy_headers,
        );
        self.counter(
            "anyfront_connections_dismissed",
            "HTTP/2 clients told to go for resetting too much or saying too much that carries nothing.",
            totals.dismissed,
        );
        self.gauge(
            "anyfront_answers_waiting",
            "Answers on HTTP/2 connections that have waited a second or longer for their clients, now.",
            totals.waiting,
        );
        self.counter(
            "anyfront_handshakes_failed",
            "TLS handshakes with clients that failed.",
            totals.failed_handshakes,
        );
        self.counter("anyfront_requests", "Requests taken.", totals.requests);
        self.counter(
            "anyfront_refusals",
            "Requests refused by the node itself: bad, unknown host, too large, looping.",
            totals.refusals,
        );
        self.counter("anyfront_unserved", "Requests that no region could serve.", totals.unserved);
        self.counter("anyfront_failovers", "Attempts after the first of a request.", totals.failovers);
        self.counter(
            "anyfront_unrepeated",
            "Repetitions not made because the retry budget was spent.",
            totals.unrepeated,
        );
        self.counter("anyfront_cut", "Answers that ended before their end.", totals.cut);
        self.counter(
            "anyfront_events_dropped",
            "Facts about endpoints dropped because the queue was full.",
            totals.dropped_events,
        );
        self.gauge("anyfront_replay_bytes", "Octets kept for possible repetition, now.", totals.replay_bytes);
        self.websockets(&totals.websockets);
    }

    fn websockets(&mut self, totals: &WebsocketTotals) {
        self.gauge("anyfront_websockets_open", "WebSockets open now.", totals.open);
        let name = "anyfront_websockets_ended";
        self.head(name, "counter", "WebSockets that have ended, and why.");
        for (reason, count) in [
            ("closed", totals.closed),
            ("client_lost", totals.client_lost),
            ("region_lost", totals.region_lost),
            ("idle", totals.idle),
            ("going_away", totals.going_away),
        ] {
            self.sample(&format!("{name}_total"), &[("reason", reason)], count);
        }
    }

    /// Whether hostnames are served as meant. By what every client has in common: who is near is another question.
    fn hostnames(&mut self, node: &Overview) {
        let name = "anyfront_hostname_level";
        let help = "The first level of a hostname's regions with one that is up or strained and not drained: 0 are its \
                    primaries, 1 its first fallback; -1: none.";
        self.head(name, "gauge", help);
        for hostname in &node.hostnames {
            let level = level(hostname, &node.regions).map_or_else(|| "-1".to_owned(), |level| level.to_string());
            self.sample(name, &[("hostname", &hostname.name)], level);
        }
    }

    fn sites(&mut self, sites: &[SiteView]) {
        let judged = || sites.iter().filter(|site| site.is_judged());
        let name = "anyfront_site_up";
        self.head(name, "gauge", "1 if the other site answers; absent where nobody is asked.");
        for site in judged().filter(|site| site.standing != "unknown") {
            self.sample(name, &[("site", &site.name)], u8::from(site.standing == "up"));
        }
        let name = "anyfront_site_left_out";
        self.head(name, "gauge", "1 while DNS leaves the site out of its answers.");
        for site in judged() {
            self.sample(name, &[("site", &site.name)], u8::from(site.left_out));
        }
    }

    fn regions(&mut self, regions: &[RegionView]) {
        self.head("anyfront_region_standing", "gauge", "1 for the standing that the region has, 0 for the others.");
        for region in regions {
            for standing in STANDINGS {
                let labels = [("region", &*region.name), ("provider", &region.provider), ("standing", standing)];
                self.sample("anyfront_region_standing", &labels, u8::from(region.standing == standing));
            }
        }
        self.each_region(regions, "drained", "1 while an operator's drain covers the whole region.", |region| {
            Some(f64::from(u8::from(region.drained.is_some())))
        });
        self.each_region(regions, "share_percent", "How much of its share the region gets.", |region| {
            Some(f64::from(region.share_percent))
        });
        self.each_region(regions, "round_trip_seconds", "How long a probe takes; absent before the first.", |region| {
            region.round_trip_ms.map(|ms| (ms * 100.0).round() / 100_000.0)
        });
        self.each_region(regions, "in_flight", "Requests at the region now.", |region| {
            Some(f64::from(region.in_flight))
        });
        self.each_region(regions, "capacity", "Requests the region may have at once; absent: no limit.", |region| {
            region.capacity.map(f64::from)
        });
    }

    fn each_region(
        &mut self,
        regions: &[RegionView],
        what: &str,
        help: &str,
        value: impl Fn(&RegionView) -> Option<f64>,
    ) {
        let name = format!("anyfront_region_{what}");
        self.head(&name, "gauge", help);
        for region in regions {
            if let Some(value) = value(region) {
                self.sample(&name, &[("region", &region.name)], value);
            }
        }
    }

    fn endpoints(&mut self, regions: &[RegionView]) {
        self.each_endpoint(regions, "up", "gauge", "1 if the endpoint is up or strained.", |endpoint| {
            u64::from(matches!(&*endpoint.standing, "up" | "strained"))
        });
        self.each_endpoint(regions, "in_flight", "gauge", "Requests at the endpoint now.", |endpoint| {
            u64::from(endpoint.in_flight)
        });
        self.each_endpoint(regions, "requests", "counter", "Attempts answered, whatever the status.", |endpoint| {
            endpoint.requests
        });
        self.each_endpoint(regions, "failures", "counter", "Attempts failed.", |endpoint| endpoint.failures);
        let help = "Connections to the endpoint open now, WebSockets apart.";
        self.each_endpoint(regions, "connections_open", "gauge", help, |endpoint| u64::from(endpoint.connections_open));
        let help = "Those of them that nothing is under way on, as of some seconds ago.";
        self.each_endpoint(regions, "connections_idle", "gauge", help, |endpoint| u64::from(endpoint.connections_idle));
        let help = "Connections to the endpoint opened.";
        self.each_endpoint(regions, "connections_opened", "counter", help, |endpoint| endpoint.connections_opened);
    }

    fn probes(&mut self, regions: &[RegionView]) {
        let name = "anyfront_probe_results";
        self.head(name, "counter", "Probes by how they ended.");
        for (region, endpoint, probe) in each(regions) {
            for (result, count) in [("failed", probe.failed), ("passed", probe.passed)] {
                let labels = [("region", region), ("endpoint", endpoint), ("probe", &probe.kind), ("result", result)];
                self.sample(&format!("{name}_total"), &labels, count);
            }
        }
        self.each_probe(regions, "passes", "1 if the probe of this kind calls the endpoint up.", |probe| {
            Some(f64::from(u8::from(probe.standing == "up")))
        });
        let seconds = |ms: Option<f64>| ms.map(|ms| (ms * 100.0).round() / 100_000.0);
        self.each_probe(regions, "first_event_seconds", "From a probe's request to the first event.", |probe| {
            seconds(probe.first_event_ms)
        });
        self.each_probe(regions, "first_event_smoothed_seconds", "The same, smoothed.", |probe| {
            seconds(probe.first_event_smoothed_ms)
        });
        self.each_probe(regions, "gap_seconds", "The largest time between two events of a probe's stream.", |probe| {
            seconds(probe.gap_ms)
        });
        self.each_probe(regions, "gap_smoothed_seconds", "The same, smoothed.", |probe| seconds(probe.gap_smoothed_ms));
    }

    fn each_probe(
        &mut self,
        regions: &[RegionView],
        what: &str,
        help: &str,
        value: impl Fn(&ProbeView) -> Option<f64>,
    ) {
        let name = format!("anyfront_probe_{what}");
        self.head(&name, "gauge", help);
        for (region, endpoint, probe) in each(regions) {
            if let Some(value) = value(probe) {
                self.sample(&name, &[("region", region), ("endpoint", endpoint), ("probe", &probe.kind)], value);
            }
        }
    }

    fn each_endpoint(
        &mut self,
        regions: &[RegionView],
        what: &str,
        kind: &str,
        help: &str,
        value: impl Fn(&EndpointView) -> u64,
    ) {
        let name = format!("anyfront_endpoint_{what}");
        self.head(&name, kind, help);
        let name = if kind == "counter" { format!("{name}_total") } else { name };
        for region in regions {
            for endpoint in &region.endpoints {
                let labels = [("region", &*region.name), ("endpoint", &endpoint.name)];
                self.sample(&name, &labels, value(endpoint));
            }
        }
    }
}

/// Every probe, with its region and endpoint.
fn each(regions: &[RegionView]) -> impl Iterator<Item = (&str, &str, &ProbeView)> {
    regions.iter().flat_map(|region| {
        let probes =
            region.endpoints.iter().flat_map(|endpoint| endpoint.probes.iter().map(move |one| (endpoint, one)));
        probes.map(move |(endpoint, probe)| (&*region.name, &*endpoint.name, probe))
    })
}

/// The first level of a hostname with a region that works.
fn level(hostname: &HostnameView, regions: &[RegionView]) -> Option<usize> {
    let works = |name: &String| {
        let region = regions.iter().find(|region| region.name == *name);
        let keeps_away = |region: &RegionView| match region.drained.as_deref() {
            Some("hard") => true,
            Some(_) => !hostname.regional,
            None => false,
        };
        region.is_some_and(|region| matches!(&*region.standing, "up" | "strained") && !keeps_away(region))
    };
    hostname.levels.iter().position(|level| level.iter().any(works))
}

/// A label's value, escaped as both formats want it.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headroom::{Loss, Receiver};
    use crate::status::dns::{ZoneKeyView, ZoneView};

    #[test]
    fn every_sample_belongs_to_a_head_in_both_formats() {
        let region = RegionView {
            name: "orf".to_owned(),
            standing: "up".to_owned(),
            round_trip_ms: Some(76.25),
            endpoints: vec![EndpointView { name: "orf/a\"b".to_owned(), ..EndpointView::default() }],
            ..RegionView::default()
        };
        let zone = ZoneView { keys: vec![ZoneKeyView::default()], keys_change_in_s: Some(1.0), ..ZoneView::default() };
        let mut node = Overview { regions: vec![region], zone: Some(zone), ..Overview::default() };
        node.counters.dns.elapsed = vec![(Some(0.000_005), 1), (None, 3)];
        node.counters.dns.elapsed_ns = 1_500_000;
        let receiver = |ratio| Receiver { region: Some("dfw".to_owned()), ratio, ..Receiver::default() };
        let nobody = Receiver { asked: 1.0, ..Receiver::default() };
        let receivers = vec![receiver(Some(1.4)), receiver(None), nobody];
        let lost = vec!["region:orf".to_owned()];
        let loss = Loss { lost, in_flight: 4.0, receivers, ..Loss::default() };
        let spared = Loss { lost: vec!["region:x".to_owned()], in_flight: 1.0, ..Loss::default() };
        let headroom = Headroom { losses: vec![loss, spared], ..Headroom::default() };
        for format in [Format::Plain, Format::OpenMetrics] {
            let text = render(&node, &Requests::default(), (&headroom, None, Duration::ZERO), true, format);
            let (mut known, mut is_histogram) = (String::new(), false);
            for line in text.lines() {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    let (name, kind) = rest.split_once(' ').expect("name and kind");
                    let suffix = if kind == "counter" && format == Format::OpenMetrics { "_total" } else { "" };
                    known = format!("{name}{suffix}");
                    is_histogram = kind == "histogram";
                } else if !line.starts_with('#') {
                    let end = line.find(['{', ' ']).expect("a value");
                    let name = ["_bucket", "_sum", "_count"].into_iter().filter(|_| is_histogram);
                    let name = name.fold(&line[..end], |name, part| name.strip_suffix(part).unwrap_or(name));
                    assert_eq!(name, known, "{line}");
                    assert!(line.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok()), "{line}");
                }
            }
            assert!(
                text.contains("anyfront_region_standing{region=\"orf\",provider=\"\",standing=\"up\"} 1\n"),
                "{text}"
            );
            assert!(text.contains("anyfront_region_round_trip_seconds{region=\"orf\"} 0.07625\n"), "{text}");
            assert!(text.contains("endpoint=\"orf/a\\\"b\""), "{text}");
            let histogram = "_bucket{le=\"0.000005\"} 1\nanyfront_dns_elapsed_seconds_bucket{le=\"+Inf\"} 3\n\
                             anyfront_dns_elapsed_seconds_sum 0.0015\nanyfront_dns_elapsed_seconds_count 3\n";
            assert!(text.contains(histogram), "{text}");
            assert!(text.contains("anyfront_headroom_ratio{lost=\"region:orf\",region=\"dfw\"} 1.4\n"), "{text}");
            assert!(!text.contains(" -0\n"), "{text}");
            assert!(text.contains("anyfront_headroom_unserved_ratio{lost=\"region:orf\"} 0.25\n"), "{text}");
            assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
        }
    }
}
