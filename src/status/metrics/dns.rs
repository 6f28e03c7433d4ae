//! DNS, for Prometheus.

use super::Page;
use crate::status::dns::ZoneView;
use crate::status::totals::{DNS_OUTCOMES_BY_NAME, DNS_TRANSPORTS_BY_NAME, DnsStreamTotals, DnsTotals};
use crate::status::view::Overview;

impl Page {
    pub(super) fn dns(&mut self, node: &Overview) {
        self.questions(&node.counters.dns);
        self.elapsed(&node.counters.dns);
        self.streams(&node.counters.dns);
        if let Some(zone) = &node.zone {
            self.zone(zone);
        }
    }

    fn questions(&mut self, totals: &DnsTotals) {
        let name = "anyfront_dns_questions";
        self.head(name, "counter", "Questions by DNS, how they came and what became of them.");
        for transport in DNS_TRANSPORTS_BY_NAME {
            for outcome in DNS_OUTCOMES_BY_NAME {
                let count = totals.questions.get(transport).and_then(|outcomes| outcomes.get(outcome));
                let labels = [("transport", transport), ("outcome", outcome)];
                self.sample(&format!("{name}_total"), &labels, count.copied().unwrap_or_default());
            }
        }
        for (what, help, count) in [
            ("prepared", "Answers copied from prepared octets: the fast path.", totals.prepared),
            ("truncated", "Answers that were too long for a datagram.", totals.truncated),
            ("slipped", "Answers withheld from those who ask too often, who were told to come by TCP.", totals.slipped),
            ("dropped", "Answers withheld from those who ask too often, who were told nothing.", totals.dropped),
            ("untapped", "Messages that were not logged: dnstap's reader is away or too slow.", totals.untapped),
            ("implausible", "Datagrams from where no resolver asks.", totals.implausible),
            ("signatures", "Signatures made for names that do not exist.", totals.signatures),
            ("presigned", "Denials as signed before: signing had taken its share of time.", totals.presigned),
            ("subnets", "Questions with a client subnet.", totals.subnets),
        ] {
            self.counter(&format!("anyfront_dns_{what}"), help, count);
        }
    }

    fn elapsed(&mut self, totals: &DnsTotals) {
        let name = "anyfront_dns_elapsed_seconds";
        self.head(name, "histogram", "From the arrival of questions over UDP to the departure of their answers.");
        for (end, count) in &totals.elapsed {
            let end = end.map_or_else(|| "+Inf".to_owned(), |end| end.to_string());
            self.sample(&format!("{name}_bucket"), &[("le", &end)], count);
        }
        let seconds = std::time::Duration::from_nanos(totals.elapsed_ns).as_secs_f64();
        self.sample(&format!("{name}_sum"), &[], seconds);
        self.sample(&format!("{name}_count"), &[], totals.elapsed.last().map_or(0, |(_, all)| *all));
    }

    fn streams(&mut self, totals: &DnsTotals) {
        type Count = fn(&DnsStreamTotals) -> u64;
        let counts: [(&str, &str, &str, Count); 4] = [
            ("connections", "counter", "Connections for DNS accepted.", |streams| streams.connections),
            ("connections_open", "gauge", "Connections for DNS open now.", |streams| streams.open),
            ("connections_turned_out", "counter", "Connections for DNS closed to make room for others.", |streams| {
                streams.turned_out
            }),
            ("handshakes_failed", "counter", "TLS handshakes for DNS that failed.", |streams| {
                streams.failed_handshakes
            }),
        ];
        for (what, kind, help, count) in counts {
            let name = format!("anyfront_dns_{what}");
            self.head(&name, kind, help);
            let name = if kind == "counter" { format!("{name}_total") } else { name };
            for (transport, streams) in &totals.streams {
                self.sample(&name, &[("transport", transport)], count(streams));
            }
        }
    }

    fn zone(&mut self, zone: &ZoneView) {
        self.gauge("anyfront_dns_names", "Names of the zone.", zone.names);
        self.gauge("anyfront_dns_generation", "Number of the snapshot that DNS answers from.", zone.generation);
        self.gauge("anyfront_dns_signed", "1 if the zone is signed.", u8::from(zone.signed));
        if let Some(left) = zone.signatures_left_s {
            let help = "Until the signatures in force end; they are renewed long before.";
            self.gauge("anyfront_dns_signatures_expire_in_seconds", help, left.round());
        }
        self.head("anyfront_dns_key", "gauge", "1 for what a key of the zone does, 0 for what it does not.");
        for key in &zone.keys {
            let tag = key.tag.to_string();
            for (does, is_so) in
                [("published", key.published), ("signs_keys", key.signs_keys), ("signs_zone", key.signs_zone)]
            {
                let labels = [("tag", &*tag), ("algorithm", &key.algorithm), ("does", does)];
                self.sample("anyfront_dns_key", &labels, u8::from(is_so));
            }
        }
        if let Some(due) = zone.keys_change_in_s {
            let help = "Until what the keys do changes by itself.";
            self.gauge("anyfront_dns_keys_change_in_seconds", help, due.round());
        }
    }
}
