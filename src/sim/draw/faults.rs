//! Random faults.

use super::{Draw, LASTS};
use crate::names::Label;
use crate::sim::scenario::kind::{Kind, Of};
use crate::sim::scenario::{Direction, Fault, Sites, What, Whom};
use crate::snapshot::Target;
use crate::topology::check::check;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Draw<'_> {
    pub(super) fn fault(&mut self) -> Fault {
        // Where nothing is left for a kind to hit, another is drawn; some hit nobody, so this ends.
        loop {
            let kind = self.one(Kind::ALL).unwrap_or(Kind::Herd);
            if let Some(what) = self.what(kind) {
                let at = Duration::from_millis(self.below(LASTS.as_secs() * 1_000));
                return Fault { at, lasts: self.lasts(kind, at), what };
            }
        }
    }

    fn lasts(&mut self, kind: Kind, at: Duration) -> Option<Duration> {
        let length = match kind {
            kind if kind.is_momentary() => return None,
            Kind::Herd => self.length(SECOND, 3 * MINUTE),
            // What may be broken for ever often is, where progress is asked for.
            _ if self.happens(if self.core.is_some() { 40 } else { 10 }) => return None,
            _ => self.length(SECOND, 30 * MINUTE),
        };
        // What would end after the scenario goes on to its end; a herd has to meet before.
        if at + length <= LASTS {
            Some(length)
        } else {
            (kind == Kind::Herd).then(|| LASTS.saturating_sub(at).max(Duration::from_millis(1)))
        }
    }

    fn what(&mut self, kind: Kind) -> Option<What> {
        match kind.of_whom() {
            Of::Regions => self.of_regions(kind),
            Of::Ways => self.of_ways(kind),
            Of::Nodes => self.of_nodes(kind),
            Of::Target => self.drain(),
            Of::Nobody => self.of_nobody(kind),
        }
    }

    fn of_regions(&mut self, kind: Kind) -> Option<What> {
        let whom = self.whom()?;
        Some(match kind {
            Kind::Slow => What::Slow(whom, self.one(&[1.5, 3.0, 10.0, 50.0])?),
            Kind::Errors => {
                What::Errors(whom, self.one(&[0.05, 0.3, 0.7, 1.0])?, self.one(&[500, 502, 503, 504, 429])?)
            }
            Kind::Shrink => What::Shrink(whom, self.one(&[0.0, 0.1, 0.5, 0.9])?),
            Kind::Flap => {
                let (up, down) = (self.length(SECOND, 2 * MINUTE), self.length(SECOND, 2 * MINUTE));
                What::Flap { whom, up, down }
            }
            Kind::BlackHole => What::BlackHole(whom),
            Kind::Pause => What::Pause(whom),
            Kind::Unserved => What::Unserved(whom),
            Kind::ProbesLie => What::ProbesLie(whom),
            Kind::ProbesFail => What::ProbesFail(whom),
            _ => What::Refuse(whom),
        })
    }

    fn of_ways(&mut self, kind: Kind) -> Option<What> {
        // Between nodes that may break and all regions, or all nodes and regions that may break.
        let is_by_site = self.happens(50);
        let (sites, whom) = match self.sites().filter(|_| is_by_site) {
            Some(sites) => (sites, if self.happens(30) { Whom::All } else { Whom::Regions(self.any_regions()) }),
            None => (Sites::new(), self.whom()?),
        };
        let direction = self.one(&[Direction::There, Direction::Back, Direction::Both])?;
        Some(match kind {
            Kind::Cut => What::Cut { sites, whom, direction },
            _ => What::Loss { sites, whom, direction, share: self.one(&[0.02, 0.1, 0.3, 0.6, 0.95])? },
        })
    }

    fn of_nodes(&mut self, kind: Kind) -> Option<What> {
        let sites = self.sites()?;
        Some(match kind {
            Kind::Swizzle => What::Swizzle { sites, every: self.length(SECOND, MINUTE) },
            Kind::CrashLoop => {
                let (up, down) = (self.length(SECOND, 2 * MINUTE), self.length(SECOND, 2 * MINUTE));
                What::CrashLoop { sites, up, down }
            }
            Kind::SlowProber => What::SlowProber(sites, self.one(&[2.0, 10.0, 100.0])?),
            Kind::ClockStep => What::ClockStep(sites, self.one(&[-86_400, -300, -2, 2, 300, 86_400])?),
            Kind::ClockDrift => What::ClockDrift(sites, self.one(&[-50_000, -200, 200, 50_000])?),
            Kind::ChannelLate => What::ChannelLate(sites, self.length(SECOND, 10 * MINUTE)),
            Kind::ChannelGone => What::ChannelGone(sites),
            Kind::ChannelTwice => What::ChannelTwice(sites),
            Kind::Freeze => What::Freeze(sites),
            Kind::Isolate => What::Isolate(sites),
            Kind::BlindProber => What::BlindProber(sites),
            Kind::DiskLost => What::DiskLost(sites),
            _ => What::Crash(sites),
        })
    }

    fn of_nobody(&mut self, kind: Kind) -> Option<What> {
        Some(match kind {
            Kind::Rollout => What::Rollout(self.rollout()),
            Kind::BadRollout => What::BadRollout,
            Kind::GeoShift => What::GeoShift(self.one(&[0.05, 0.3, 1.0])?),
            Kind::Traffic => What::Traffic(self.one(&[0.0, 0.2, 2.0, 5.0])?),
            _ => What::Herd,
        })
    }

    fn drain(&mut self) -> Option<What> {
        let topology = self.around.topology;
        let target = match self.whom()? {
            Whom::Provider(provider) => Target::Provider(provider),
            Whom::Regions(regions) => {
                let region = self.one(&regions)?;
                let of = topology.regions.iter().find(|known| known.name == region)?;
                let endpoint = self.one(&of.endpoints).filter(|_| self.happens(30));
                match endpoint {
                    Some(endpoint) => Target::Endpoint(topology.endpoint(endpoint).name.clone()),
                    None => Target::Region(region),
                }
            }
            Whom::All => Target::Region(self.one(&topology.regions)?.name.clone()),
        };
        Some(What::Drain { target, is_hard: self.happens(30) })
    }

    /// Regions that may break.
    fn whom(&mut self) -> Option<Whom> {
        let topology = self.around.topology;
        let is_core = |region: &Label| self.core.as_ref().is_some_and(|core| core.regions.contains(region));
        let regions: Vec<Label> =
            topology.regions.iter().map(|region| region.name.clone()).filter(|region| !is_core(region)).collect();
        let kept = topology.regions.iter().filter(|region| is_core(&region.name)).map(|region| region.provider.at());
        let kept: Vec<usize> = kept.collect();
        let providers = topology.providers.iter().enumerate().filter(|(at, _)| !kept.contains(at));
        let providers: Vec<Label> = providers.map(|(_, provider)| provider.clone()).collect();
        match self.below(10) {
            0 if kept.is_empty() => Some(Whom::All),
            1 if !providers.is_empty() => self.one(&providers).map(Whom::Provider),
            2..=3 if !regions.is_empty() => Some(Whom::Regions(self.some(&regions, 5))),
            _ => self.one(&regions).map(|region| Whom::Regions(vec![region])),
        }
    }

    fn any_regions(&mut self) -> Vec<Label> {
        let regions: Vec<Label> = self.around.topology.regions.iter().map(|region| region.name.clone()).collect();
        self.some(&regions, 4)
    }

    /// Sites that may break.
    fn sites(&mut self) -> Option<Sites> {
        let sites = self.around.topology.sites.iter().map(|site| &site.name);
        let sites = sites.chain(self.sites.iter().map(|site| &site.name));
        let is_core = |site: &Label| self.core.as_ref().is_some_and(|core| core.sites.contains(site));
        let sites: Vec<Label> = sites.filter(|site| !is_core(site)).cloned().collect();
        match self.below(10) {
            _ if sites.is_empty() => None,
            0 if self.core.is_none() => Some(Sites::new()),
            1..=3 => Some(self.some(&sites, 4)),
            _ => self.one(&sites).map(|site| vec![site]),
        }
    }

    /// Another configuration: the same in other words, with another patience of its probes, or without a region.
    fn rollout(&mut self) -> Arc<str> {
        let config = self.around.config;
        let same = || Arc::from(format!("{}\n# the same again\n", config.trim_end()));
        let change = self.below(3);
        let Ok(mut table) = config.parse::<toml::Table>() else { return same() };
        let is_changed = match change {
            1 => {
                let probe = table.entry("probe").or_insert_with(|| toml::Table::new().into());
                let fall = self.one(&[1, 2, 5]).unwrap_or(3);
                probe.as_table_mut().map(|probe| probe.insert("fall".to_owned(), toml::Value::Integer(fall))).is_some()
            }
            2 if self.core.is_none() => self.without_a_region(&mut table).is_some(),
            _ => false,
        };
        let text = table.to_string();
        if is_changed && check(&text, Path::new("rollout.toml")).is_ok() { text.into() } else { same() }
    }

    fn without_a_region(&mut self, table: &mut toml::Table) -> Option<()> {
        let gone = self.one(&self.around.topology.regions)?.name.clone();
        let is_gone = |value: &toml::Value| value.as_str() == Some(gone.as_str());
        let name = |region: &toml::Value| region.get("name").is_some_and(is_gone);
        table.get_mut("region")?.as_array_mut()?.retain(|region| !name(region));
        for hostname in table.get_mut("hostname").and_then(toml::Value::as_array_mut).into_iter().flatten() {
            for key in ["regions", "fallback"] {
                let Some(list) = hostname.get_mut(key).and_then(toml::Value::as_array_mut) else { continue };
                for level in list.iter_mut().filter_map(toml::Value::as_array_mut) {
                    level.retain(|region| !is_gone(region));
                }
                list.retain(|region| !is_gone(region) && region.as_array().is_none_or(|level| !level.is_empty()));
            }
        }
        Some(())
    }
}
