//! What many runs of a simulation share: the configuration, cities, and where clients' addresses are taken to be.

use super::cities::Cities;
use super::cities::addresses::Addresses;
use super::scenario::Scenario;
use crate::geo::database::Locator;
use crate::geo::map::GeoMap;
use crate::topology::{RegionIndex, Site, Topology};
use std::sync::Arc;

/// A configuration on the stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The cities of the world.
    pub cities: Arc<Cities>,
    /// Where nodes take clients to be.
    pub locator: Arc<Locator>,
    /// Which addresses clients of a city have.
    pub addresses: Arc<Addresses>,
    /// The file that all nodes begin with.
    pub topology: Arc<Topology>,
}

impl Stage {
    /// Everything that is the same for all scenarios.
    #[must_use]
    pub fn of(topology: Arc<Topology>, locator: Arc<Locator>) -> Self {
        let cities = Cities::of_the_world();
        let addresses = Addresses::find(&cities, &GeoMap::compile(&locator));
        Self { cities: Arc::new(cities), locator, addresses: Arc::new(addresses), topology }
    }

    /// The same world with another configuration.
    #[must_use]
    pub fn with(&self, topology: Arc<Topology>) -> Self {
        Self { topology, ..self.clone() }
    }
}

/// A file as nodes of `scenario` have it: with its sites, and with capacities for the clients that stand for many.
#[must_use]
pub fn fitted(written: &Topology, scenario: &Scenario) -> Topology {
    let mut topology = written.clone();
    let (shared, port) = topology.sites.first().map_or((Vec::new(), 443), |site| (site.addresses.clone(), site.port));
    for new in &scenario.sites {
        if topology.sites.iter().any(|site| site.name == new.name) {
            continue;
        }
        let addresses = if new.addresses.is_empty() { shared.clone() } else { new.addresses.clone() };
        topology.sites.push(Site { name: new.name.clone(), place: new.place.clone(), addresses, port });
    }
    let stands_for = scenario.crowd.stands_for.max(1);
    for region in &mut topology.regions {
        region.capacity = region.capacity.map(|capacity| capacity.div_ceil(stands_for));
    }
    topology
}

/// A file in force, and what its numbers mean in the world.
#[derive(Clone, Debug)]
pub struct File {
    /// What it says.
    pub topology: Arc<Topology>,
    /// The world's number of each of its regions.
    pub regions: Arc<[RegionIndex]>,
    /// The world's number of each of its sites; sites without a node have none.
    pub sites: Arc<[Option<u16>]>,
}

impl File {
    /// `topology` in a world that has the regions and sites of `first`; `None` if it has a region more.
    #[must_use]
    pub fn in_world(topology: Arc<Topology>, first: &Topology) -> Option<Self> {
        let regions: Option<Vec<RegionIndex>> =
            topology.regions.iter().map(|region| first.region_named(region.name.as_str())).collect();
        let place = |site: &Site| first.sites.iter().position(|known| known.name == site.name);
        let sites = topology.sites.iter().map(|site| place(site).and_then(|at| u16::try_from(at).ok())).collect();
        Some(Self { regions: regions?.into(), sites, topology })
    }
}
