//! Where regions call out from.

use super::{At, Proof};
use crate::limits::NAT_IPS_PER_REGION_MAX;
use crate::names::Hostname;
use crate::topology::mistake::Mistake;
use crate::topology::unseen::unseen;
use crate::topology::{NatIp, NatState, Region, RouteIndex, file};
use ipnet::IpNet;
use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

/// How long before its use an address must be told: customers change firewalls by hand.
const NOTICE: Duration = Duration::from_secs(14 * 86_400);

/// Whether a customer who allows it would open the door to strangers.
const fn is_implausible(prefix: IpNet) -> bool {
    match prefix {
        IpNet::V4(prefix) => prefix.prefix_len() < 16,
        IpNet::V6(prefix) => prefix.prefix_len() < 32,
    }
}

impl Proof<'_> {
    /// The addresses of one region.
    pub(super) fn nat_ips(&mut self, region: &file::Region) -> Vec<NatIp> {
        let written = region.nat_ip.as_ref().map_or(&[][..], |list| &list.value);
        self.bound("region.nat_ip", written, NAT_IPS_PER_REGION_MAX);
        let mut addresses = Vec::with_capacity(written.len());
        for At { value: nat, span } in written.iter().take(NAT_IPS_PER_REGION_MAX) {
            let state = nat.state.as_ref().map_or(NatState::Active, |state| state.value);
            if state == NatState::Planned && nat.valid_from.is_none() {
                let place = nat.state.as_ref().map_or(span, |state| &state.span);
                let help = "add a line such as valid_from = 2027-01-31: from when on it will be used";
                self.error(place, "a planned nat_ip without valid_from", "from when on?", help);
            }
            let Some(prefix) = &*nat.prefix else { continue };
            if is_implausible(prefix.value) {
                let title = format!("nat_ip {} is wider than any region's way out", prefix.value);
                let help = "customers allow what is listed here: at most an IPv4 /16 or an IPv6 /32";
                self.error(&prefix.span, &title, "too wide", help);
                continue;
            }
            self.unseen(prefix);
            let valid_from = nat.valid_from.as_ref().map(|when| when.value.0);
            if let (Some(wall), Some(from), NatState::Planned, Some(at)) =
                (self.wall, valid_from, state, &nat.valid_from)
            {
                self.notice(prefix.value, wall, from, &at.span);
            }
            addresses.push(NatIp { prefix: prefix.value, valid_from, state });
        }
        addresses
    }

    fn unseen(&mut self, At { value: prefix, span }: &At<IpNet>) {
        if let Some((network, what)) = unseen(prefix) {
            let title = format!("nat_ip {prefix} is {what} ({network})");
            let help = "write the public addresses that the region's calls come from";
            self.mistakes.push(Mistake::warning(span.clone(), title, "nobody sees it as a source", help));
        }
    }

    fn notice(&mut self, prefix: IpNet, wall: Duration, from: Duration, span: &Range<usize>) {
        if from < wall + NOTICE {
            let title = format!("nat_ip {prefix} is planned with less than 14 days of notice");
            let help = "customers change firewalls by hand: give them 14 days, or say that it is active";
            self.mistakes.push(Mistake::warning(span.clone(), title, "too soon", help));
        }
    }

    /// No two regions call out from the same network; said once for each pair that meets.
    pub(super) fn nat_ips_differ(&mut self) {
        let mut seen: HashMap<IpNet, &Range<usize>> = HashMap::new();
        let file = self.file;
        for region in file.region.iter().flat_map(|regions| &regions.value) {
            for nat in region.value.nat_ip.iter().flat_map(|list| &list.value) {
                let Some(At { value: prefix, span }) = &*nat.value.prefix else { continue };
                if let Some(first) = seen.get(prefix) {
                    let title = format!("nat_ip {prefix} is there twice");
                    let help = "an address belongs to one region: remove it from the other";
                    let mistake = Mistake::error(span.clone(), title, "again here", help);
                    self.mistakes.push(mistake.and((*first).clone(), "first here"));
                    continue;
                }
                // Every shorter network that would hold it: at most 128 looks.
                let around = (0..prefix.prefix_len()).rev().find_map(|length| {
                    let wider = IpNet::new(prefix.addr(), length).ok()?.trunc();
                    seen.get(&wider).map(|first| (wider, (*first).clone()))
                });
                if let Some((wider, first)) = around {
                    let title = format!("nat_ip {prefix} is inside {wider}");
                    let help = "whoever allows the wider one allows it already: remove one";
                    self.mistakes.push(Mistake::warning(span.clone(), title, "said already", help).and(first, "here"));
                }
                seen.insert(*prefix, span);
            }
        }
    }

    /// The hostname of the document: one of its own.
    pub(super) fn nat_hostname(
        &mut self,
        routes: &HashMap<Hostname, RouteIndex>,
        regions: &[Region],
    ) -> Option<Hostname> {
        let file = self.file;
        let At { value, span } = file.nat_ips.as_ref()?;
        let At { value: hostname, span: place } = value.hostname.as_ref()?;
        if routes.contains_key(hostname) {
            let title = format!("the hostname of [nat_ips], {hostname}, is served by regions already");
            self.error(place, title, "taken", "give the document a hostname of its own");
        }
        if regions.iter().all(|region| region.nat_ips.is_empty()) {
            let title = "[nat_ips] has nothing to tell".to_owned();
            let help = "add [[region.nat_ip]] to regions, or remove it";
            self.mistakes.push(Mistake::warning(span.clone(), title, "no region has a nat_ip", help));
        }
        Some(hostname.clone())
    }
}
