//! Every bound that strangers, files or peers can press against, with its unit and its reason.

use std::time::Duration;

/// Longest `regions.toml`, octets. The real fleet needs 8 KiB; 1 024 regions with everything said need 600 KiB.
pub const TOPOLOGY_BYTES_MAX: usize = 1 << 20;
/// Most mistakes told at once: nobody mends more in one go, and each costs a drawing.
pub const MISTAKES_MAX: usize = 100;
/// Most sites: one row in every report, and no anycast network has so many.
pub const SITES_MAX: usize = 256;
/// Most regions: steering ranks all of them for each request, which stays below 100 µs.
pub const REGIONS_MAX: usize = 1_024;
/// Most endpoints of a region: with [`REGIONS_MAX`] regions they still fit an index of 16 bits.
pub const ENDPOINTS_PER_REGION_MAX: usize = 32;
/// Most written hostnames: with the regional ones they fit an index of 16 bits.
pub const HOSTNAMES_MAX: usize = 1_024;
/// Most classes: each request walks them in order.
pub const CLASSES_MAX: usize = 256;
/// Most overrides of where clients are: a table looked through before the database.
pub const GEO_PLACES_MAX: usize = 4_096;
/// Most elements of any other list in the file: addresses, proxies, methods, status ranges.
pub const LIST_MAX: usize = 1_024;
/// Longest duration the file may ask for: beyond a day a time limit is none.
pub const DURATION_MAX: Duration = Duration::from_secs(86_400);
/// Shortest time between probes of one endpoint: more would be an attack on it.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Largest file of certificate authorities, octets. All public ones together take 250 KiB.
pub const TRUST_FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest country or city database, octets. The largest city databases take 150 MiB.
pub const GEO_DATABASE_BYTES_MAX: u64 = 1 << 30;
