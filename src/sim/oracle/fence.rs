//! Who may serve what, worked out from what is written and from nothing else.

use crate::geo::place::Country;
use crate::sim::stage::File;
use crate::topology::{Route, Topology};

/// The members of the European Union.
const EU: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];
/// Who is in the European Economic Area besides.
const EEA: [&str; 3] = ["IS", "LI", "NO"];

/// A region's part in a hostname.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// 0 for primaries, then one for each fallback.
    pub level: u16,
    /// Whether the fence lets it serve the hostname.
    pub is_inside: bool,
}

/// For one file: by the world's routes, then by the world's regions.
pub type Fences = Vec<Vec<Option<Part>>>;

/// The fences of `file`, numbered like `world`, the file of the beginning.
pub fn fences(file: &File, world: &Topology) -> Fences {
    let of = |route: &Route| {
        let mut parts = vec![None; world.regions.len()];
        let written = file.topology.routes.iter().find(|written| written.hostname == route.hostname);
        for member in written.iter().flat_map(|written| &written.members) {
            let there = file.regions[member.region.at()];
            let country = file.topology.region(member.region).place.country;
            let codes = written.and_then(|written| written.residency.as_ref()).map(|fence| fence.written.as_slice());
            let is_inside = codes.is_none_or(|codes| country.is_some_and(|country| is_inside(codes, country)));
            parts[there.at()] = Some(Part { level: member.level, is_inside });
        }
        parts
    };
    world.routes.iter().map(of).collect()
}

fn is_inside(codes: &[std::sync::Arc<str>], country: Country) -> bool {
    let country = country.to_string();
    codes.iter().any(|code| match &**code {
        "EU" => EU.contains(&country.as_str()),
        "EEA" => EU.contains(&country.as_str()) || EEA.contains(&country.as_str()),
        code => code == country,
    })
}
