//! A zone with everything in it, and what is answered from it, without a node.

use super::{first_snapshot, topology};
use anyfront::dns::prepare::{Challenges, Inputs, Preparer};
use anyfront::dns::prepared::Prepared;
use anyfront::dnssec::change::Change;
use anyfront::dnssec::life::Step;
use anyfront::moment::Moment;
use anyfront::secret::Secret;
use anyfront::snapshot::Snapshot;
use arc_swap::ArcSwap;
use hickory_proto::dnssec::Algorithm;
use hickory_proto::rr::Name;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Sites and regions on three continents, hostnames of both kinds, and records of every shape. `{keys}` is where the zone's
/// keys are said, if there are any.
pub const FILE: &str = r#"
[fleet]
name = "test"
zone = "gw.example"
[[site]]
name = "lon-1"
country = "GB"
latitude = 51.5
longitude = -0.1
addresses = ["192.0.2.10", "2001:db8::10"]
[[site]]
name = "syd-1"
country = "AU"
latitude = -33.9
longitude = 151.2
addresses = ["192.0.2.20", "2001:db8::20"]
[[site]]
name = "nyc-1"
country = "US"
latitude = 40.7
longitude = -74.0
addresses = ["192.0.2.30"]
[[region]]
name = "orf"
provider = "aws"
country = "US"
latitude = 38.95
longitude = -77.45
addresses = ["198.51.100.1", "2001:db8:1::1"]
[[region.endpoint]]
url = "http://orf.gw.example:81"
connect = ["127.0.0.1:9"]
[[region]]
name = "lhr"
provider = "gcp"
country = "GB"
latitude = 51.47
longitude = -0.46
addresses = ["198.51.100.3", "198.51.100.4", "2001:db8:3::1"]
[[region.endpoint]]
url = "http://lhr.gw.example:81"
connect = ["127.0.0.1:9"]
[[region]]
name = "syd"
provider = "aws"
country = "AU"
latitude = -33.9
longitude = 151.2
addresses = ["198.51.100.2"]
[[region.endpoint]]
url = "http://syd.gw.example:81"
connect = ["127.0.0.1:9"]
[[hostname]]
name = "gw.example"
regions = ["*"]
[[hostname]]
name = "direct.gw.example"
regions = ["*"]
answer = "region"
[[hostname]]
name = "deep.below.gw.example"
regions = ["orf", "syd"]
answer = "region"
ttl = { min = "5s", max = "30s" }
[zone]
nameservers = ["ns1.gw.example", "ns2.gw.example", "ns.elsewhere.example"]
hostmaster = "host.master@gw.example"
version = "anyfront"
{keys}
[[zone.record]]
name = "@"
type = "TXT"
value = "v=spf1 -all"
[[zone.record]]
name = "@"
type = "MX"
value = "10 mx.elsewhere.example."
[[zone.record]]
name = "@"
type = "CAA"
value = '0 issue "ca.example"'
[[zone.record]]
name = "direct"
type = "TXT"
value = "beside what steering says"
[[zone.record]]
name = "static"
type = "A"
value = "203.0.113.7"
[[zone.record]]
name = "*.wild"
type = "TXT"
value = "a wildcard"
[[zone.record]]
name = "*.wild"
type = "A"
value = "203.0.113.8"
[[zone.record]]
name = "is.here.wild"
type = "A"
value = "203.0.113.9"
[[zone.record]]
name = "alias"
type = "CNAME"
value = "direct.gw.example."
[[zone.record]]
name = "*.alias"
type = "CNAME"
value = "direct.gw.example."
[[zone.record]]
name = "away"
type = "CNAME"
value = "www.elsewhere.example."
[[zone.record]]
name = "service.tcp"
type = "SRV"
value = "0 5 443 gw.example."
[[zone.record]]
name = "long"
type = "TXT"
value = "LONG"
"#;

/// A snapshot of [`FILE`].
pub fn snapshot(keys: &str) -> Snapshot {
    let text = FILE.replace("{keys}", keys).replace("LONG", &"long ".repeat(300));
    first_snapshot(topology(&text))
}

/// What is answered from `snapshot`, with the keys below `state_dir`.
pub fn prepared(snapshot: &Snapshot, state_dir: &Path, wall: Duration) -> Prepared {
    let secret = Arc::new(ArcSwap::from_pointee(Secret::random()));
    let challenges = Challenges::default();
    let mut preparer = Preparer::new(Inputs { state_dir: state_dir.to_owned(), secret, challenges });
    let prepared = preparer.prepare(&Arc::new(snapshot.clone()), Moment::ZERO, wall).expect("the keys can be used");
    prepared.expect("it is the first").expect("there is a zone")
}

/// What `keys` of [`FILE`] says for a zone that is signed.
pub const SIGNED: &str = "[zone.dnssec]\nkeys = \"dnssec\"\n";

/// Makes the first key of the zone, below `state_dir`, at `wall`.
pub fn make_key(state_dir: &Path, algorithm: Algorithm, wall: Duration) {
    let zone = Name::from_ascii("gw.example.").expect("a name");
    let mut change = Change::begin(&state_dir.join("dnssec"), &zone, true).expect("a folder of its own");
    change.make(Step::Generate, algorithm, Duration::from_secs(86_400), wall, "a test").expect("the first key");
}
