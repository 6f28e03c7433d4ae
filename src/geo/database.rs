//! Where an address is: the operator's overrides, then a database in MaxMind's format.
//!
//! A [`Locator`] holds the whole database in memory and never changes. One question costs a walk down the database's
//! tree and reading a few fields; nothing is allocated but the name of a city, where the database has any. Nothing that
//! a database holds makes it panic: what cannot be read is nowhere.

use super::countries::Countries;
use super::overrides::Overrides;
use super::place::Place;
use super::record::Record;
use crate::limits::GEO_DATABASE_BYTES_MAX;
use flate2::read::GzDecoder;
use ipnet::IpNet;
use maxminddb::{Reader, WithinOptions};
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The database in the box: countries, made by `anyfront geoip build`. Under CC BY-SA 4.0, see `geoip/`.
const BOX: &[u8] = include_bytes!("../../geoip/country.mmdb.gz");
/// What the database in the box is called where a path would stand.
const BOX_NAME: &str = "the database in the box";
/// How a file compressed by gzip begins.
const GZIP_MARK: [u8; 2] = [0x1F, 0x8B];
/// Networks that a tree may have for each of its nodes. One without shared parts has about one, and four more where IPv4
/// has its place in the ways to carry it over IPv6.
const NETWORKS_PER_NODE_MAX: usize = 16;
/// The end of the year 9999, seconds since 1970: later dates cannot be written.
const DATE_SECONDS_MAX: u64 = 253_402_300_799;

/// What said where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An override in the file.
    Override,
    /// The database.
    Database,
}

/// Where an address is.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// The network that this holds for. Of the IPv4 address, where the address carries one.
    pub network: IpNet,
    /// Who says so.
    pub source: Source,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than [`GEO_DATABASE_BYTES_MAX`].
    #[error("{} is larger than {GEO_DATABASE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// It is not in MaxMind's format, or damaged.
    #[error("{} is damaged or not in MaxMind's format: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It has neither countries nor locations.
    #[error("{} is of type {kind:?} and tells no places: a country or city database is needed", path.display())]
    Placeless {
        /// Which file.
        path: PathBuf,
        /// What it says of itself.
        kind: String,
    },
}

/// What is known of a database itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// The file; `None` is the one in the box.
    pub path: Option<PathBuf>,
    /// What it says of itself: `GeoLite2-City`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says of itself in English: where the data is from, perhaps its licence.
    pub description: String,
    /// When it was built, seconds since 1970.
    pub build_epoch: u64,
    /// What it takes in memory, octets.
    pub bytes: usize,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}", path.display())?,
            None => f.write_str(BOX_NAME)?,
        }
        let built = UNIX_EPOCH + Duration::from_secs(self.build_epoch.min(DATE_SECONDS_MAX));
        write!(f, ", {} of {}", self.kind, httpdate::fmt_http_date(built))
    }
}

/// What the database in `bytes`, read from `path`, says of itself. Proves no more than that it is a database.
///
/// # Errors
/// Why it is none.
pub fn facts_of(bytes: Vec<u8>, path: &Path) -> Result<Facts, GeoError> {
    Database::of(unpacked(bytes, path)?, None, path)
        .map(|database| Facts { path: Some(path.to_owned()), ..database.facts })
}

/// Finds places of addresses.
#[derive(Debug)]
pub struct Locator {
    overrides: Overrides,
    database: Arc<Database>,
}

impl Locator {
    /// The overrides and the database at `database` (MaxMind's format, perhaps compressed by gzip), or the one in the
    /// box. Reads and proves all of it: some seconds for the largest city databases.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub fn open(overrides: Vec<(IpNet, Place)>, database: Option<&Path>) -> Result<Self, GeoError> {
        let database = match database {
            Some(path) => Database::open(path)?,
            None => Database::in_the_box()?,
        };
        Ok(Self { overrides: Overrides::new(overrides), database: Arc::new(database) })
    }

    /// As [`open`](Self::open), but reads nothing if it is the database that is open already and its file's length and
    /// time of change are what they were: for a reload.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub fn reopen(&self, overrides: Vec<(IpNet, Place)>, database: Option<&Path>) -> Result<Self, GeoError> {
        let open = &self.database;
        let is_same = open.facts.path.as_deref() == database
            && database.is_none_or(|path| Stamp::of(path).is_ok_and(|stamp| Some(stamp) == open.stamp));
        if is_same {
            return Ok(Self { overrides: Overrides::new(overrides), database: Arc::clone(open) });
        }
        Self::open(overrides, database)
    }

    /// What is known of the database itself.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.database.facts
    }

    /// What the operator says.
    pub(super) fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// What everybody else says.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Where `address` is, if anybody knows.
    ///
    /// An IPv6 address that carries an IPv4 address is where that one is; an override may name it either way.
    #[must_use]
    pub fn locate(&self, address: IpAddr) -> Option<Found> {
        let written = address.to_canonical();
        let carried = carried_v4(written).map_or(written, IpAddr::V4);
        let overridden = self.overrides.find(written).or_else(|| self.overrides.find(carried));
        match overridden {
            Some((network, place)) => Some(Found { place: place.clone(), network, source: Source::Override }),
            None => self.database.find(carried),
        }
    }
}

/// The IPv4 address in an IPv6 address that only carries one: 6to4 (RFC 3056), Teredo (RFC 4380), NAT64's well-known
/// prefix (RFC 6052) and stateless translation (RFC 2765).
fn carried_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let last = (v6.to_bits() & 0xFFFF_FFFF) as u32;
    match v6.segments() {
        [0x2002, high, low, ..] => Some((u32::from(high) << 16 | u32::from(low)).into()),
        [0x2001, 0, ..] => Some((!last).into()), // Teredo hides it from meddling translators: every bit inverted
        [0x64, 0xFF9B, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xFFFF, 0, ..] => Some(last.into()),
        _ => None,
    }
}

/// A file as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    /// Since 1970.
    changed: Option<Duration>,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&std::fs::Metadata> for Stamp {
    fn from(metadata: &std::fs::Metadata) -> Self {
        let changed = metadata.modified().ok().and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
        Self { bytes: metadata.len(), changed }
    }
}

/// A network of which a database says something, if only that it knows nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    /// Its last address. Of IPv6 for an IPv4 address that a database of IPv6 does not tell apart from others.
    pub last: IpAddr,
    /// Where its record is; networks may share one. `None` if there is none.
    pub record: Option<usize>,
}

/// A database in memory.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    countries: Countries,
    facts: Facts,
    stamp: Option<Stamp>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.fmt(f)
    }
}

impl Database {
    /// The one in the box. It was proven when it was made, and gzip's checksum holds for the rest.
    fn in_the_box() -> Result<Self, GeoError> {
        Self::of(inflated(BOX, Path::new(BOX_NAME))?, None, Path::new(BOX_NAME))
    }

    fn open(path: &Path) -> Result<Self, GeoError> {
        let (bytes, stamp) = read(path)?;
        let database = Self::of(unpacked(bytes, path)?, Some(stamp), path)?;
        database.prove(path)?;
        Ok(database)
    }

    fn of(bytes: Vec<u8>, stamp: Option<Stamp>, path: &Path) -> Result<Self, GeoError> {
        let size = bytes.len();
        let reader = Reader::from_source(bytes).map_err(|error| damaged(path, &error))?;
        let metadata = reader.metadata();
        let facts = Facts {
            path: stamp.map(|_| path.to_owned()),
            kind: metadata.database_type.clone(),
            description: metadata.description.get("en").cloned().unwrap_or_default(),
            build_epoch: metadata.build_epoch,
            bytes: size,
        };
        Ok(Self { reader, countries: Countries::new(), facts, stamp })
    }

    /// That the whole tree and all its records can be read, and that there are places among them. Not maxminddb's own
    /// `verify`: that one refuses databases for what they do not say of themselves.
    fn prove(&self, path: &Path) -> Result<(), GeoError> {
        let networks_max = usize::try_from(self.reader.metadata().node_count).unwrap_or(usize::MAX);
        let networks_max = networks_max.saturating_mul(NETWORKS_PER_NODE_MAX);
        // With those that are there twice: they could be there without end.
        let every = WithinOptions::default().include_networks_without_data().include_aliased_networks();
        let mut seen = HashSet::new();
        let mut tells_places = false;
        for (count, network) in self.reader.networks(every).map_err(|error| damaged(path, &error))?.enumerate() {
            if count == networks_max {
                return Err(damaged(path, &"more networks than its tree can have: it turns in circles"));
            }
            let network = network.map_err(|error| damaged(path, &error))?;
            if network.offset().is_some_and(|offset| seen.insert(offset)) {
                let record = network.decode::<Record<'_>>().map_err(|error| damaged(path, &error))?;
                tells_places |= record.is_some_and(|record| record.place(&self.countries).is_some());
            }
        }
        if tells_places {
            return Ok(());
        }
        Err(GeoError::Placeless { path: path.to_owned(), kind: self.facts.kind.clone() })
    }

    /// The network that has `address`; `None` if the database has nothing of its family, or is damaged there.
    pub(super) fn network(&self, address: IpAddr) -> Option<Network> {
        let entry = self.reader.lookup(address).ok()?;
        let network = entry.network().ok()?;
        let last = IpNet::new(network.ip(), network.prefix()).ok()?.broadcast();
        Some(Network { last, record: entry.offset() })
    }

    pub(super) fn find(&self, address: IpAddr) -> Option<Found> {
        let entry = self.reader.lookup(address).ok()?;
        let place = entry.decode::<Record<'_>>().ok()??.place(&self.countries)?;
        let network = entry.network().ok()?;
        let network = IpNet::new(network.ip(), network.prefix()).ok()?;
        Some(Found { place, network, source: Source::Database })
    }
}

fn read(path: &Path) -> Result<(Vec<u8>, Stamp), GeoError> {
    let unreadable = |source| GeoError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let stamp = Stamp::from(&file.metadata().map_err(unreadable)?);
    let bytes = bounded(file).map_err(unreadable)?;
    bytes.ok_or_else(|| GeoError::TooLarge { path: path.to_owned() }).map(|bytes| (bytes, stamp))
}

fn unpacked(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, GeoError> {
    if bytes.starts_with(&GZIP_MARK) { inflated(&bytes, path) } else { Ok(bytes) }
}

fn inflated(packed: &[u8], path: &Path) -> Result<Vec<u8>, GeoError> {
    let bytes = bounded(GzDecoder::new(packed)).map_err(|error| damaged(path, &error))?;
    bytes.ok_or_else(|| GeoError::TooLarge { path: path.to_owned() })
}

/// All that `from` has; `None` if that is more than a database may have.
fn bounded(from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(GEO_DATABASE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= GEO_DATABASE_BYTES_MAX).then_some(bytes))
}

fn damaged(path: &Path, error: &impl ToString) -> GeoError {
    GeoError::Damaged { path: path.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_carries_another_is_where_that_one_is() {
        for (written, carried) in [
            ("2002:5102:458e::1", Some("81.2.69.142")),
            ("2001:0:4136:e378:8000:63bf:aefd:ba71", Some("81.2.69.142")),
            ("64:ff9b::81.2.69.142", Some("81.2.69.142")),
            ("::ffff:0:81.2.69.142", Some("81.2.69.142")),
            ("64:ff9b:1::81.2.69.142", None),
            ("2001:1::1", None),
            ("2001:db8::1", None),
            ("::1", None),
            ("81.2.69.142", None),
        ] {
            let found = carried_v4(written.parse().expect("an address"));
            assert_eq!(found, carried.map(|address| address.parse().expect("an address")), "{written}");
        }
    }

    #[test]
    fn the_box_holds_what_it_should() {
        let database = Database::in_the_box().expect("the box");
        database.prove(Path::new(BOX_NAME)).expect("a good database");
    }

    #[test]
    fn a_date_beyond_all_dates_is_written_too() {
        let facts = Facts { path: None, kind: "X".into(), description: String::new(), build_epoch: u64::MAX, bytes: 0 };
        assert_eq!(facts.to_string(), "the database in the box, X of Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
