//! What happens.

use super::super::file::Fault as Written;
use super::super::kind::{Kind, Of};
use super::super::words::{meant, twice};
use super::super::{Fault, NewSite, Sites, What, Whom};
use super::{Proof, Rolled, time, values};
use crate::names::{EndpointName, Label};
use crate::sim::scenario::Direction;
use crate::snapshot::Target;
use crate::topology::check::check as check_config;
use crate::topology::read::{At, quoted};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// Most faults: the facts number them.
pub const FAULTS_MAX: usize = 10_000;
/// What comes and goes, where it is not said how long.
const SPELL: Duration = Duration::from_secs(10);

/// One fault while it is looked at.
struct Draft<'a> {
    kind: Kind,
    written: &'a Written,
    /// Where the whole of it is.
    span: &'a Range<usize>,
    /// The sites that only the scenario has.
    sites: &'a [NewSite],
}

impl Proof<'_> {
    pub(super) fn faults(&mut self, lasts: Duration, sites: &[NewSite]) -> Vec<Fault> {
        let written = self.file.fault.as_ref().map_or(&[][..], |faults| &faults.value);
        self.bound("fault", written, FAULTS_MAX);
        let mut faults: Vec<Fault> = Vec::with_capacity(written.len());
        for At { value, span } in written {
            let length = self.when(value, lasts);
            let Some(kind) = value.kind.as_ref().map(|kind| kind.value) else { continue };
            let draft = Draft { kind, written: value, span, sites };
            self.keys(&draft);
            if let Some(what) = self.what(&draft) {
                let at = time(value.at.as_ref()).unwrap_or_default();
                faults.push(Fault { at, lasts: length, what });
            }
        }
        faults.sort_by_key(|fault| fault.at);
        faults
    }

    /// When it begins and ends.
    fn when(&mut self, fault: &Written, lasts: Duration) -> Option<Duration> {
        let begins = time(fault.at.as_ref()).unwrap_or_default();
        if let Some(at) = fault.at.as_ref().filter(|at| at.value.0 >= lasts) {
            let help = "let the scenario last longer, or let this begin earlier";
            self.error(&at.span, "a fault that begins when all is over", "after the end", help);
        }
        self.positive("lasts", fault.lasts.as_ref());
        let length = fault.lasts.as_ref()?;
        let kind = fault.kind.as_ref().map(|kind| kind.value);
        if let Some(kind) = kind.filter(|kind| kind.is_momentary()) {
            let title = format!("{} is over in a moment", kind.as_str());
            self.error(&length.span, title, "no length", "remove lasts");
        } else if begins < lasts && begins.saturating_add(length.value.0) > lasts {
            let help = "without lasts it goes on to the end; or let the scenario last longer";
            self.warn(&length.span, "a fault that ends after the scenario", "never seen", help);
        }
        Some(length.value.0)
    }

    /// Keys that mean nothing here.
    fn keys(&mut self, draft: &Draft<'_>) {
        let known = || draft.kind.whose_keys().iter().chain(draft.kind.own_keys());
        for (key, span) in draft.written.written() {
            if !known().any(|known| *known == key) {
                let word = draft.kind.as_str();
                let takes: Vec<&str> = known().copied().collect();
                let takes = if takes.is_empty() { "nothing besides".to_owned() } else { takes.join(", ") };
                let help = format!("{word} takes at, lasts, {takes}");
                self.error(&span, format!("{key} means nothing for {word}"), "no effect", help);
            }
        }
    }

    fn what(&mut self, draft: &Draft<'_>) -> Option<What> {
        match draft.kind.of_whom() {
            Of::Regions => {
                let whom = self.whom(draft);
                self.of_regions(draft, whom)
            }
            Of::Ways => self.of_ways(draft),
            Of::Nodes => {
                let sites = self.nodes(draft);
                self.of_nodes(draft, sites)
            }
            Of::Target => self.drain(draft),
            Of::Nobody => self.of_nobody(draft),
        }
    }

    fn of_regions(&mut self, draft: &Draft<'_>, whom: Option<Whom>) -> Option<What> {
        let Written { share, status, up, down, .. } = draft.written;
        let share = |usual| share.as_ref().map_or(usual, |share| share.value.0);
        let spell = |key| time(key).unwrap_or(SPELL);
        Some(match draft.kind {
            Kind::Slow => {
                let times = self.times(draft);
                What::Slow(whom?, times?)
            }
            Kind::Errors => {
                let status = status.as_ref().map_or(503, |status| status.value.0);
                What::Errors(whom?, share(1.0), u16::try_from(status).expect("reading bounds it"))
            }
            Kind::Shrink => What::Shrink(whom?, share(0.5)),
            Kind::Flap => {
                self.positive("up", up.as_ref());
                self.positive("down", down.as_ref());
                What::Flap { whom: whom?, up: spell(up.as_ref()), down: spell(down.as_ref()) }
            }
            Kind::BlackHole => What::BlackHole(whom?),
            Kind::Pause => What::Pause(whom?),
            Kind::Unserved => What::Unserved(whom?),
            Kind::ProbesLie => What::ProbesLie(whom?),
            Kind::ProbesFail => What::ProbesFail(whom?),
            _ => What::Refuse(whom?),
        })
    }

    fn of_ways(&mut self, draft: &Draft<'_>) -> Option<What> {
        let whom = self.whom(draft);
        let sites = self.sites_named(draft);
        let direction = draft.written.direction.as_ref().map_or(Direction::Both, |direction| direction.value);
        if draft.kind == Kind::Cut {
            return Some(What::Cut { sites, whom: whom?, direction });
        }
        let share = self.needed(draft, "share", draft.written.share.as_ref().map(|share| share.value.0), "share = 0.2");
        Some(What::Loss { sites, whom: whom?, direction, share: share? })
    }

    fn of_nodes(&mut self, draft: &Draft<'_>, sites: Option<Sites>) -> Option<What> {
        let Written { up, down, every, by, seconds, millionths, .. } = draft.written;
        let spell = |key| time(key).unwrap_or(SPELL);
        Some(match draft.kind {
            Kind::Swizzle => {
                self.positive("every", every.as_ref());
                What::Swizzle { sites: sites?, every: spell(every.as_ref()) }
            }
            Kind::CrashLoop => {
                self.positive("up", up.as_ref());
                self.positive("down", down.as_ref());
                What::CrashLoop { sites: sites?, up: spell(up.as_ref()), down: spell(down.as_ref()) }
            }
            Kind::SlowProber => {
                let times = self.times(draft);
                What::SlowProber(sites?, times?)
            }
            Kind::ClockStep => {
                let seconds = self.needed(draft, "seconds", seconds.as_ref().map(|by| by.value.0), "seconds = -300");
                What::ClockStep(sites?, seconds?)
            }
            Kind::ClockDrift => {
                let drift = millionths.as_ref().map(|drift| drift.value.0);
                let drift = self.needed(draft, "millionths", drift, "millionths = 200");
                What::ClockDrift(sites?, i32::try_from(drift?).expect("reading bounds it"))
            }
            Kind::ChannelLate => {
                let by = self.needed(draft, "by", time(by.as_ref()), "by = \"2m\"");
                What::ChannelLate(sites?, by?)
            }
            Kind::ChannelGone => What::ChannelGone(sites?),
            Kind::ChannelTwice => What::ChannelTwice(sites?),
            Kind::Freeze => What::Freeze(sites?),
            Kind::Isolate => What::Isolate(sites?),
            Kind::BlindProber => What::BlindProber(sites?),
            Kind::DiskLost => What::DiskLost(sites?),
            _ => What::Crash(sites?),
        })
    }

    fn of_nobody(&mut self, draft: &Draft<'_>) -> Option<What> {
        match draft.kind {
            Kind::Rollout => self.rollout(draft),
            Kind::BadRollout => Some(What::BadRollout),
            Kind::GeoShift => {
                let share = draft.written.share.as_ref().map(|share| share.value.0);
                self.needed(draft, "share", share, "share = 0.1").map(What::GeoShift)
            }
            Kind::Traffic => {
                let times = draft.written.times.as_ref().map(|times| times.value.0);
                self.needed(draft, "times", times, "times = 3").map(What::Traffic)
            }
            _ => {
                let lasts = draft.written.lasts.as_ref().map(|lasts| lasts.value);
                self.needed(draft, "lasts", lasts, "lasts = \"5m\"").map(|_| What::Herd)
            }
        }
    }

    /// A key without which the kind means nothing.
    fn needed<T>(&mut self, draft: &Draft<'_>, key: &str, value: Option<T>, example: &str) -> Option<T> {
        if value.is_none() {
            let word = draft.kind.as_str();
            let help = format!("add a line such as {example}");
            self.error(draft.span, format!("{word} without {key}"), &format!("{key} is missing"), help);
        }
        value
    }

    /// How many times as long: never no time at all.
    fn times(&mut self, draft: &Draft<'_>) -> Option<f64> {
        let times = draft.written.times.as_ref();
        if let Some(times) = times.filter(|times| times.value.0 <= 0.0) {
            self.error(&times.span, "times is zero", "no time at all", "1 is as long as always, 10 ten times as long");
        }
        self.needed(draft, "times", times.map(|times| times.value.0), "times = 10")
    }

    /// Which regions.
    fn whom(&mut self, draft: &Draft<'_>) -> Option<Whom> {
        let Written { region, regions, provider, all, .. } = draft.written;
        let is_all = all.as_ref().is_some_and(|all| all.value);
        let said = [region.is_some(), regions.is_some(), provider.is_some(), is_all];
        self.one_of(draft, &said, "region, regions, provider and all = true")?;
        if is_all {
            return Some(Whom::All);
        }
        if let Some(provider) = provider {
            return self.provider(&provider.value, &provider.span).map(Whom::Provider);
        }
        let list: Vec<&At<Label>> = region.iter().chain(regions.iter().flat_map(|list| &list.value)).collect();
        self.not_twice("region", &list);
        if let Some(list) = regions.as_ref().filter(|list| list.value.is_empty()) {
            self.error(&list.span, "regions is empty", "nothing in it", "name a region, or write all = true");
        }
        let found = list.iter().filter_map(|name| self.region(name.value.as_str(), &name.span));
        Some(Whom::Regions(found.collect()))
    }

    /// Exactly one of several ways to say it.
    fn one_of(&mut self, draft: &Draft<'_>, said: &[bool], ways: &str) -> Option<()> {
        let word = draft.kind.as_str();
        match said.iter().filter(|said| **said).count() {
            0 => {
                let title = format!("{word} hits nothing");
                self.error(draft.span, title, "whom?", format!("say one of {ways}"));
                None
            }
            1 => Some(()),
            _ => {
                let title = format!("{word} says twice what it hits");
                self.error(draft.span, title, "which of them?", format!("keep one of {ways}"));
                None
            }
        }
    }

    fn not_twice(&mut self, what: &str, list: &[&At<Label>]) {
        for (name, text) in twice(list.iter().copied(), ToString::to_string) {
            self.error(&name.span, format!("{what} {} is there twice", quoted(&text)), "again here", "remove it");
        }
    }

    fn provider(&mut self, name: &Label, span: &Range<usize>) -> Option<Label> {
        let providers = &self.around.topology.providers;
        if !providers.contains(name) {
            let help = meant(name.as_str(), providers.iter().map(Label::as_str));
            let title = format!("there is no provider {}", quoted(name.as_str()));
            self.error(span, title, "not in the configuration", help);
            return None;
        }
        Some(name.clone())
    }

    /// Which nodes: none named is all, and that must be said.
    fn nodes(&mut self, draft: &Draft<'_>) -> Option<Sites> {
        let Written { site, sites, all, .. } = draft.written;
        let is_all = all.as_ref().is_some_and(|all| all.value);
        self.one_of(draft, &[site.is_some(), sites.is_some(), is_all], "site, sites and all = true")?;
        Some(self.sites_named(draft))
    }

    fn sites_named(&mut self, draft: &Draft<'_>) -> Sites {
        let Written { site, sites, .. } = draft.written;
        if let (Some(site), Some(_)) = (site, sites) {
            self.error(&site.span, "site and sites", "one of two", "name all of them in sites");
        }
        if let Some(list) = sites.as_ref().filter(|list| list.value.is_empty()) {
            self.error(&list.span, "sites is empty", "nothing in it", "name a site, or remove it");
        }
        let list: Vec<&At<Label>> = site.iter().chain(sites.iter().flat_map(|list| &list.value)).collect();
        self.not_twice("site", &list);
        let topology = self.around.topology;
        let known = || topology.sites.iter().map(|site| &site.name).chain(draft.sites.iter().map(|site| &site.name));
        for name in list.iter().filter(|name| known().all(|known| *known != name.value)) {
            let help = meant(name.value.as_str(), known().map(Label::as_str));
            let title = format!("there is no site {}", quoted(name.value.as_str()));
            self.error(&name.span, title, "in neither file", help);
        }
        site.iter().map(|site| site.value.clone()).chain(values(sites)).collect()
    }

    fn drain(&mut self, draft: &Draft<'_>) -> Option<What> {
        let Written { region, provider, endpoint, hard, .. } = draft.written;
        let said = [region.is_some(), provider.is_some(), endpoint.is_some()];
        self.one_of(draft, &said, "region, provider and endpoint")?;
        let target = match (region, provider, endpoint) {
            (Some(region), ..) => Target::Region(self.region(region.value.as_str(), &region.span)?),
            (_, Some(provider), _) => Target::Provider(self.provider(&provider.value, &provider.span)?),
            (_, _, endpoint) => Target::Endpoint(self.endpoint(endpoint.as_ref()?)?),
        };
        Some(What::Drain { target, is_hard: hard.as_ref().is_some_and(|hard| hard.value) })
    }

    fn endpoint(&mut self, written: &At<String>) -> Option<EndpointName> {
        let endpoints = &self.around.topology.endpoints;
        let found = endpoints.iter().find(|endpoint| endpoint.name.as_str() == written.value);
        if found.is_none() {
            let help = meant(&written.value, endpoints.iter().map(|endpoint| endpoint.name.as_str()));
            let title = format!("there is no endpoint {}", quoted(&written.value));
            self.error(&written.span, title, "not in the configuration", help);
        }
        found.map(|endpoint| endpoint.name.clone())
    }

    fn rollout(&mut self, draft: &Draft<'_>) -> Option<What> {
        let Written { file, config, .. } = draft.written;
        self.one_of(draft, &[file.is_some(), config.is_some()], "file and config")?;
        let (rolled, span, what) = match (file, config) {
            (Some(file), _) => (Rolled::File(&file.value), &file.span, format!("file {}", quoted(&file.value))),
            (_, config) => config.as_ref().map(|text| (Rolled::Text(&text.value), &text.span, "config".to_owned()))?,
        };
        match (self.around.config)(rolled) {
            Ok(text) => {
                self.regions_of_rollout(&text, &what, span);
                Some(What::Rollout(text))
            }
            Err(problem) => {
                let help = "bad_rollout is for a configuration that has a mistake";
                self.error(span, format!("{what} {problem}"), "cannot be rolled out", help);
                None
            }
        }
    }

    /// A world has the regions of its first configuration: nothing is known of any other.
    fn regions_of_rollout(&mut self, text: &str, what: &str, span: &Range<usize>) {
        let known = self.around.topology;
        let Ok(rolled) = check_config(text, Path::new("rollout")) else { return };
        let new = rolled.topology.regions.iter().find(|region| known.region_named(region.name.as_str()).is_none());
        if let Some(region) = new {
            let title = format!("{what} has a region {}", quoted(region.name.as_str()));
            let help = "a rollout has no region that the configuration has not: write it there too, drained if need be";
            self.error(span, title, "not in the configuration", help);
        }
    }
}
