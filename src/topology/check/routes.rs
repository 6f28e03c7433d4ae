//! Hostnames: who serves them, in which order, behind which fence.

use super::{At, Proof, hostname};
use crate::geo::place::{Country, EEA_BESIDES_EU, EUROPEAN_UNION};
use crate::limits::HOSTNAMES_MAX;
use crate::names::Hostname;
use crate::topology::file::Served;
use crate::topology::mistake::Mistake;
use crate::topology::read::{Word, nearest, quoted};
use crate::topology::zone::Answer;
use crate::topology::{AllDown, Member, Region, RegionIndex, Residency, Route, RouteIndex, Steering};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

impl Proof<'_> {
    /// The written hostnames in order, then the regional ones.
    pub(super) fn routes(
        &mut self,
        zone: &Hostname,
        regions: &[Region],
    ) -> (Vec<Route>, HashMap<Hostname, RouteIndex>) {
        let file = self.file;
        let written = file.hostname.as_ref().map_or(&[][..], |hostnames| &hostnames.value);
        self.bound("hostname", written, HOSTNAMES_MAX);
        let written = &written[..written.len().min(HOSTNAMES_MAX)];
        self.unique("hostname", written.iter().filter_map(|served| served.value.name.as_ref()), ToString::to_string);
        let mut routes: Vec<Route> = written.iter().map(|served| self.route(served, regions)).collect();
        let mut route_by_hostname: HashMap<Hostname, RouteIndex> = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            route_by_hostname.entry(route.hostname.clone()).or_insert(RouteIndex::of(at));
        }
        for (at, region) in regions.iter().enumerate() {
            let Ok(hostname) = Hostname::below(&region.name, zone) else {
                let title = format!("the regional hostname {}.{zone} is too long", region.name);
                let span = file.fleet.as_ref().map_or(0..0, |fleet| fleet.span.clone());
                self.error(&span, title, "this zone", "shorten the zone or the region's name");
                continue;
            };
            let taken =
                written.iter().filter_map(|served| served.value.name.as_ref()).find(|name| name.value == hostname);
            if let Some(name) = taken {
                let title = format!("hostname {} is that of region {}", quoted(hostname.as_str()), region.name);
                let help = "remove this table: every region has its own hostname by itself, which never fails over";
                self.error(&name.span, title, "exists by itself", help);
            }
            route_by_hostname.entry(hostname.clone()).or_insert(RouteIndex::of(routes.len()));
            let said = file.region.as_ref().and_then(|regions| regions.value.get(at)).map(|region| &region.value);
            let answer = said.and_then(|said| said.answer.as_ref()).map_or(Answer::default(), |answer| answer.value);
            let ttl = self.believed(said.and_then(|said| said.ttl.as_ref()));
            routes.push(Route {
                hostname,
                is_regional: true,
                members: vec![Member { region: RegionIndex::of(at), level: 0 }],
                steering: Steering::default(),
                residency: None,
                all_down: AllDown::default(),
                answer,
                ttl,
                client_auth: self.regional_client_auth(at),
            });
        }
        (routes, route_by_hostname)
    }

    fn route(&mut self, At { value: served, .. }: &At<Served>, regions: &[Region]) -> Route {
        let name = hostname(&served.name);
        let (members, is_whole) = self.members(&name, served, regions);
        let residency = self.residency(&name, served, &members, regions, is_whole);
        let steering = served.steering.as_ref().map_or(Steering::Nearest, |steering| steering.value);
        let mut primaries = members.iter().filter(|member| member.level == 0).peekable();
        if let Some(At { span, .. }) = &served.steering
            && steering == Steering::Weighted
            && primaries.peek().is_some()
            && primaries.all(|member| regions[member.region.at()].weight == 0)
        {
            let title = format!("hostname {name} is weighted and all weights of its regions are zero");
            self.error(
                span,
                title,
                "nobody gets a share",
                "give a region a weight above 0, or use steering = \"priority\"",
            );
        }
        let all_down = served.all_down.as_ref().map_or(AllDown::TryNearest, |all_down| all_down.value);
        let client_auth = self.client_auth(served.client_ca.as_ref(), served.client_certificate.as_ref());
        let answer = served.answer.as_ref().map_or(Answer::default(), |answer| answer.value);
        let ttl = self.believed(served.ttl.as_ref());
        Route { hostname: name, is_regional: false, members, steering, residency, all_down, answer, ttl, client_auth }
    }

    /// Every region that may serve `name`, once, level by level; and whether all that is written could be understood.
    fn members(&mut self, name: &Hostname, served: &Served, regions: &[Region]) -> (Vec<Member>, bool) {
        let Some(primaries) = &*served.regions else { return (Vec::new(), false) };
        let mut levels: Vec<(&str, &[At<String>])> = vec![("regions", &primaries.value)];
        levels.extend(
            served.fallback.iter().flat_map(|fallback| &fallback.value).map(|level| ("fallback", &level.value.0[..])),
        );
        if primaries.value.is_empty() {
            let help = "name its primary regions, or [\"*\"] for all";
            self.error(&primaries.span, format!("hostname {name} has no regions"), "nothing in it", help);
            return (Vec::new(), false);
        }
        let mut named: HashMap<RegionIndex, Range<usize>> = HashMap::new();
        let mut star: Option<(u16, Range<usize>)> = None;
        let (mut members, mut level, mut is_whole) = (Vec::new(), 0, true);
        for (key, elements) in levels {
            let before = members.len();
            for At { value, span } in elements {
                if value == "*" {
                    if let Some((_, first)) = &star {
                        let title = format!("hostname {name} has \"*\" twice");
                        let mistake = Mistake::warning(span.clone(), title, "no effect", "nobody is left: remove it");
                        self.mistakes.push(mistake.and(first.clone(), "all are here"));
                    } else {
                        star = Some((level, span.clone()));
                        // Holds the level; who it stands for is known when all names are.
                        members.push(Member { region: RegionIndex(u16::MAX), level });
                    }
                    continue;
                }
                let Some(region) = self.region_by_name.get(value.as_str()).copied() else {
                    is_whole = false;
                    self.no_region(name, value, span);
                    continue;
                };
                if let Some(first) = named.get(&region) {
                    let title = format!("hostname {name} has region {value} twice");
                    let help = format!("remove it from {key}: a region counts where it is named first");
                    self.mistakes.push(
                        Mistake::warning(span.clone(), title, "no effect", help).and(first.clone(), "first here"),
                    );
                    continue;
                }
                named.insert(region, span.clone());
                members.push(Member { region, level });
            }
            level += u16::from(members.len() > before);
        }
        if let Some((level, span)) = star {
            let rest: Vec<Member> = (0..regions.len())
                .map(RegionIndex::of)
                .filter(|region| !named.contains_key(region))
                .map(|region| Member { region, level })
                .collect();
            if rest.is_empty() {
                let title = format!("hostname {name} has \"*\" besides the names of all regions");
                self.mistakes.push(Mistake::warning(span, title, "no effect", "remove it"));
            }
            let at = members.iter().position(|member| member.region.0 == u16::MAX).expect("pushed with the star");
            members.splice(at..=at, rest);
        }
        (members, is_whole)
    }

    fn no_region(&mut self, name: &Hostname, value: &str, span: &Range<usize>) {
        // A region without a good name may be the one that is meant; its own mistake is told already.
        let mut all = self.file.region.iter().flat_map(|regions| &regions.value);
        if all.any(|region| region.value.name.is_none()) {
            return;
        }
        let mut known: Vec<&str> = self.region_by_name.keys().copied().filter(|_| self.may_suggest()).collect();
        known.sort_unstable();
        let help = match nearest(value, known.iter().copied()) {
            None if known.is_empty() => "name a region that exists".to_owned(),
            Some(meant) => format!("did you mean {meant:?}?"),
            None if known.len() > 20 => format!("there are {} regions, none of that name", known.len()),
            None => format!("the regions are {}", known.join(", ")),
        };
        self.error(
            span,
            format!("hostname {name} names region {}, which does not exist", quoted(value)),
            "no such region",
            help,
        );
    }

    fn residency(
        &mut self,
        name: &Hostname,
        served: &Served,
        members: &[Member],
        regions: &[Region],
        is_whole: bool,
    ) -> Option<Residency> {
        let written = served.residency.as_ref().filter(|residency| !residency.value.is_empty())?;
        let mut countries = HashSet::new();
        let mut is_understood = is_whole;
        for At { value, span } in &written.value {
            let european = |codes: &[&str]| codes.iter().filter_map(|code| Country::parse(code)).collect::<Vec<_>>();
            match &**value {
                "EU" => countries.extend(european(&EUROPEAN_UNION)),
                "EEA" => countries.extend(european(&EUROPEAN_UNION).into_iter().chain(european(&EEA_BESIDES_EU))),
                code => match <Country as Word>::parse(code) {
                    Ok(country) => drop(countries.insert(country)),
                    Err(wrong) => {
                        is_understood = false;
                        let help = format!("{}; \"EU\" and \"EEA\" stand for their members", wrong.help);
                        self.error(span, format!("residency {} {}", quoted(code), wrong.problem), wrong.problem, help);
                    }
                },
            }
        }
        if is_understood
            && self.file.region.iter().flat_map(|list| &list.value).all(|region| region.value.country.is_some())
        {
            self.fence(name, written, members, regions, &countries);
        }
        Some(Residency { written: written.value.iter().map(|code| code.value.as_str().into()).collect(), countries })
    }

    /// Tells whom the fence of `name` shuts out.
    fn fence<T>(
        &mut self,
        name: &Hostname,
        written: &At<T>,
        members: &[Member],
        regions: &[Region],
        countries: &HashSet<Country>,
    ) {
        let is_outside = |region: &&Region| region.place.country.is_none_or(|country| !countries.contains(&country));
        let outside: Vec<String> = members
            .iter()
            .map(|member| &regions[member.region.at()])
            .filter(is_outside)
            .map(|region| {
                region
                    .place
                    .country
                    .map_or_else(|| region.name.to_string(), |country| format!("{} ({country})", region.name))
            })
            .collect();
        if outside.is_empty() {
            return;
        }
        let who = outside.join(", ");
        let span = written.span.clone();
        self.mistakes.push(if outside.len() == members.len() {
            let help = "widen the fence or name regions inside it";
            Mistake::error(
                span,
                format!("the residency of {name} shuts out all its regions: {who}"),
                "nobody is inside",
                help,
            )
        } else {
            let help = "leave them out of this hostname if that is meant, or widen the fence";
            Mistake::warning(
                span,
                format!("the residency of {name} shuts out {who}"),
                "never used behind this fence",
                help,
            )
        });
    }
}
