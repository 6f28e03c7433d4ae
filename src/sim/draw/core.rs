//! What stays healthy while everything else breaks.

use crate::moment::Dice;
use crate::names::Label;
use crate::sim::scenario::NewSite;
use crate::topology::{RegionIndex, Topology};

/// What nothing happens to: some regions, such that every written hostname has at least one that may serve it; and some
/// sites, whose ways to those regions are clean. No fault touches a node at these sites or a region of these, no drain takes
/// one out, and no region of these has too few slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Its regions, in the order of the configuration.
    pub regions: Vec<Label>,
    /// Its sites; at least one.
    pub sites: Vec<Label>,
}

impl Core {
    /// As small as chance wants it, and never too small.
    pub(super) fn draw(topology: &Topology, new: &[NewSite], dice: &mut Dice) -> Self {
        let mut is_in = vec![false; topology.regions.len()];
        for route in topology.routes.iter().filter(|route| !route.is_regional) {
            let members = route.members.iter().map(|member| member.region);
            let members: Vec<RegionIndex> = members.filter(|member| !route.shuts_out(topology, *member)).collect();
            if !members.is_empty() && !members.iter().any(|member| is_in[member.at()]) {
                is_in[members[pick(dice, members.len())].at()] = true;
            }
        }
        for region in &mut is_in {
            *region |= dice.fraction() < 0.1;
        }
        let sites = topology.sites.iter().map(|site| &site.name).chain(new.iter().map(|site| &site.name));
        let sites: Vec<Label> = sites.cloned().collect();
        let always = pick(dice, sites.len());
        let mut at = 0;
        let sites = sites.into_iter().filter(|_| {
            at += 1;
            at - 1 == always || dice.fraction() < 0.3
        });
        let sites = sites.collect();
        let regions = topology.regions.iter().zip(is_in).filter(|(_, is_in)| *is_in);
        Self { regions: regions.map(|(region, _)| region.name.clone()).collect(), sites }
    }
}

fn pick(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.roll() % count as u64).unwrap_or(0)
}
