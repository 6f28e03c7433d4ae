//! Private links that are known.

use super::{At, Proof};
use crate::limits::PRIVATE_LINKS_MAX;
use crate::names::{Hostname, Label};
use crate::topology::file::Link;
use crate::topology::link::{LinkTerms, PrivateLink};
use crate::topology::mistake::Mistake;
use crate::topology::read::{nearest, quoted};
use crate::topology::{RegionIndex, Route, RouteIndex};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

impl Proof<'_> {
    pub(super) fn links(
        &mut self,
        routes: &[Route],
        by_hostname: &HashMap<Hostname, RouteIndex>,
    ) -> HashMap<PrivateLink, LinkTerms> {
        let file = self.file;
        let written = file.private_link.as_ref().map_or(&[][..], |links| &links.value);
        self.bound("private_link", written, PRIVATE_LINKS_MAX);
        let (mut links, mut first) = (HashMap::new(), HashMap::<PrivateLink, &Range<usize>>::new());
        for At { value: written, .. } in &written[..written.len().min(PRIVATE_LINKS_MAX)] {
            let terms = self.link_terms(written, routes, by_hostname);
            let (Some(cloud), Some(At { value: id, span })) = (&*written.provider, &*written.id) else { continue };
            let Some(link) = PrivateLink::parse_id(cloud.value, id) else {
                let title = format!("id {} is none of a private link of {}", quoted(id), cloud.value.as_str());
                self.error(span, title, "no such id", format!("write {}", cloud.value.id_help()));
                continue;
            };
            if let Some(first) = first.get(&link) {
                let title = format!("private link {} is there twice", quoted(&link.to_string()));
                let mistake = Mistake::error(span.clone(), title, "again here", "remove one of them");
                self.mistakes.push(mistake.and((*first).clone(), "first here"));
                continue;
            }
            first.insert(link.clone(), span);
            links.insert(link, terms);
        }
        links
    }

    fn link_terms(
        &mut self,
        written: &Link,
        routes: &[Route],
        by_hostname: &HashMap<Hostname, RouteIndex>,
    ) -> LinkTerms {
        let list = written.hostnames.as_ref();
        let hostnames = list.and_then(|list| self.hostnames("private link", list, by_hostname));
        let region = written.region.as_ref().and_then(|region| self.link_region(region));
        if let (Some(region), Some(name), Some(hostnames)) = (region, &written.region, &hostnames) {
            self.unreachable(region, name, hostnames, routes, by_hostname);
        }
        if let (Some(At { value: true, span }), None) = (&written.leaves_region, &written.region) {
            let help = "name its region, or remove leaves_region: without a region it goes where everybody goes";
            self.error(span, "leaves_region without region", "there is nothing to leave", help);
        }
        let leaves_region = written.leaves_region.as_ref().is_some_and(|leaves| leaves.value);
        LinkTerms { hostnames, region, leaves_region }
    }

    fn link_region(&mut self, At { value: name, span }: &At<Label>) -> Option<RegionIndex> {
        let known = self.region_by_name.get(name.as_str()).copied();
        // A region without a good name may be the one that is meant; its own mistake is told already.
        let is_told = self.file.region.iter().flat_map(|list| &list.value).any(|region| region.value.name.is_none());
        if known.is_none() && !is_told {
            let mut names: Vec<&str> = self.region_by_name.keys().copied().filter(|_| self.may_suggest()).collect();
            names.sort_unstable();
            let help = match nearest(name.as_str(), names) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => "name the region of a [[region]]".to_owned(),
            };
            let title = format!("a private link stays in region {}, which does not exist", quoted(name.as_str()));
            self.error(span, title, "no such region", help);
        }
        known
    }

    /// Hostnames that may be asked for and are never served, because the link's region does not serve them.
    fn unreachable(
        &mut self,
        region: RegionIndex,
        At { value: name, span }: &At<Label>,
        hostnames: &HashSet<Hostname>,
        routes: &[Route],
        by_hostname: &HashMap<Hostname, RouteIndex>,
    ) {
        let serves = |hostname: &&Hostname| {
            let route = by_hostname.get(*hostname).map(|route| &routes[route.at()]);
            // One whose regions are refused has its own mistake.
            route.is_none_or(|route| route.members.is_empty() || route.members.iter().any(|who| who.region == region))
        };
        let mut never: Vec<&str> =
            hostnames.iter().filter(|hostname| !serves(hostname)).map(Hostname::as_str).collect();
        if never.is_empty() {
            return;
        }
        never.sort_unstable();
        let title = format!("a private link asks for {}, which region {name} does not serve", never.join(", "));
        let help = "add the region to that hostname, or leave the hostname out of hostnames";
        self.error(span, title, "never asked there", help);
    }
}
