//! Whom a fault hits, and what is left of a scenario where some of them do not exist: the same story is played against
//! several configurations.

use super::{Scenario, Sites, What, Whom};
use crate::names::{Hostname, Label};
use crate::snapshot::Target;
use crate::topology::Topology;

/// Who exists.
pub struct Known<'a> {
    /// Whether there is such a region.
    pub region: &'a dyn Fn(&Label) -> bool,
    /// Whether there is such a provider.
    pub provider: &'a dyn Fn(&Label) -> bool,
    /// Whether there is such an endpoint.
    pub endpoint: &'a dyn Fn(&str) -> bool,
    /// Whether there is such a site.
    pub site: &'a dyn Fn(&Label) -> bool,
    /// Whether there is such a hostname.
    pub hostname: &'a dyn Fn(&Hostname) -> bool,
}

impl What {
    /// The regions that it hits, if it hits regions.
    pub fn whom_mut(&mut self) -> Option<&mut Whom> {
        match self {
            Self::Refuse(whom)
            | Self::BlackHole(whom)
            | Self::Pause(whom)
            | Self::Slow(whom, _)
            | Self::Errors(whom, ..)
            | Self::Unserved(whom)
            | Self::ProbesLie(whom)
            | Self::ProbesFail(whom)
            | Self::Shrink(whom, _)
            | Self::Flap { whom, .. }
            | Self::Loss { whom, .. }
            | Self::Cut { whom, .. } => Some(whom),
            _ => None,
        }
    }

    /// The sites that it hits, if it hits sites.
    pub fn sites_mut(&mut self) -> Option<&mut Sites> {
        match self {
            Self::Loss { sites, .. }
            | Self::Cut { sites, .. }
            | Self::Swizzle { sites, .. }
            | Self::Crash(sites)
            | Self::CrashLoop { sites, .. }
            | Self::Freeze(sites)
            | Self::Isolate(sites)
            | Self::SlowProber(sites, _)
            | Self::BlindProber(sites)
            | Self::ClockStep(sites, _)
            | Self::ClockDrift(sites, _)
            | Self::DiskLost(sites)
            | Self::ChannelLate(sites, _)
            | Self::ChannelGone(sites)
            | Self::ChannelTwice(sites) => Some(sites),
            _ => None,
        }
    }

    /// What is left of it where only those exist; `None` if it hits nobody then.
    #[must_use]
    pub fn among(&self, known: &Known<'_>) -> Option<Self> {
        let mut what = self.clone();
        match what.whom_mut() {
            Some(Whom::Regions(regions)) => {
                regions.retain(known.region);
                if regions.is_empty() {
                    return None;
                }
            }
            Some(Whom::Provider(provider)) if !(known.provider)(provider) => return None,
            _ => {}
        }
        if let Some(sites) = what.sites_mut().filter(|sites| !sites.is_empty()) {
            sites.retain(known.site);
            // An empty list would be all of them.
            if sites.is_empty() {
                return None;
            }
        }
        if let Self::Drain { target, .. } = &what {
            let is_known = match target {
                Target::Provider(name) => (known.provider)(name),
                Target::Region(name) => (known.region)(name),
                Target::Endpoint(name) => (known.endpoint)(name.as_str()),
            };
            if !is_known {
                return None;
            }
        }
        Some(what)
    }
}

/// A scenario in front of a configuration that it was not written for.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// What of it can be played there.
    pub scenario: Scenario,
    /// What of it cannot, each in words.
    pub left_out: Vec<String>,
}

impl Scenario {
    /// As much of it as can be played against a configuration that it was not written for: what names a region, provider,
    /// endpoint, site or hostname that is not there is left out. A site of its own that the configuration has is the
    /// configuration's.
    ///
    /// # Errors
    /// A sentence, if none of its hostnames is there: nobody would ask for anything.
    pub fn fitted(&self, topology: &Topology) -> Result<Fitted, String> {
        let is_there = |(name, weight): &(Hostname, u32)| *weight > 0 && topology.route_by_hostname.contains_key(name);
        if !self.crowd.hostnames.is_empty() && !self.crowd.hostnames.iter().any(is_there) {
            return Err("it has none of the hostnames that are asked for".to_owned());
        }
        let has_site = |name: &Label| topology.sites.iter().any(|site| site.name == *name);
        let mut fitted = self.clone();
        fitted.sites.retain(|site| !has_site(&site.name));
        let own: Vec<Label> = fitted.sites.iter().map(|site| site.name.clone()).collect();
        let left_out = fitted.among(&Known {
            region: &|name| topology.region_named(name.as_str()).is_some(),
            provider: &|name| topology.providers.contains(name),
            endpoint: &|name| topology.endpoints.iter().any(|endpoint| endpoint.name.as_str() == name),
            site: &|name| has_site(name) || own.contains(name),
            hostname: &|name| topology.route_by_hostname.contains_key(name),
        });
        Ok(Fitted { left_out, scenario: fitted })
    }

    /// Leaves out what does not exist, and says what that was. Wishes for a hostname that is not there are not made: they do
    /// not become wishes for another. At least one hostname has to be there, because none named is all of them.
    pub fn among(&mut self, known: &Known<'_>) -> Vec<String> {
        let mut left_out = Vec::new();
        self.regions.retain(|(region, _)| {
            let is_there = (known.region)(region);
            if !is_there {
                left_out.push(format!("what region {region} is like"));
            }
            is_there
        });
        let asked = |hostnames: &[(Hostname, u32)]| hostnames.iter().map(|(_, weight)| f64::from(*weight)).sum::<f64>();
        let before = asked(&self.crowd.hostnames);
        self.crowd.hostnames.retain(|(hostname, _)| {
            let is_there = (known.hostname)(hostname);
            if !is_there {
                left_out.push(format!("what is asked of {hostname}"));
            }
            is_there
        });
        let after = asked(&self.crowd.hostnames);
        if after < before {
            self.crowd.per_minute *= after / before;
        }
        self.sites.retain(|site| (known.site)(&site.name));
        let mut number = 0;
        self.faults.retain_mut(|fault| {
            number += 1;
            let kind = fault.what.kind().as_str();
            match fault.what.among(known) {
                Some(what) => {
                    if what != fault.what {
                        left_out.push(format!("a part of fault {number} ({kind})"));
                    }
                    fault.what = what;
                    true
                }
                None => {
                    left_out.push(format!("fault {number} ({kind})"));
                    false
                }
            }
        });
        left_out
    }
}
