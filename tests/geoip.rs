//! Where clients are: the database in the box, databases that people build or bring, and what happens when they are bad.

use anyfront::geo::build::{List, build, packed};
use anyfront::geo::database::{Found, Locator, Source};
use anyfront::geo::map::GeoMap;
use anyfront::geo::place::{Coordinates, Country, Place};
use ipnet::IpNet;
use mmdb_writer::{Value as Entry, Writer};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Ranges as Tor writes them, small enough to read.
const RANGES: &str = "# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n# Vendor:    Example\n# License:   CC0\n\
    16777216,16777471,AU\n16777472,16778239,FR\n16778240,16779263,FR\n16909060,16909060,JP\n\
    1359102976,1359134719,GB\n2130706432,2147483647,??\n3221225984,3221226239,EU\n3405803776,3405804031,UK\n\
    4026531840,4294967294,US\n\
    2001:db8::,2001:db8:7fff:ffff:ffff:ffff:ffff:ffff,SE\n2001:db8:8000::7,2001:db8:8000::7,NO\n2a00::,2a0f::,DE\n";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn country(found: &Found) -> String {
    found.place.country.expect("a country").to_string()
}

fn place(latitude: f64, city: &str) -> Place {
    let at = Coordinates::new(latitude, 0.5).expect("on earth");
    Place { at, country: Country::parse("GB"), city: Some(city.into()) }
}

/// A folder with `bytes` in a file.
fn file(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    (folder, path)
}

fn built(text: &str) -> Vec<u8> {
    build(&[List { name: "ranges", text }]).expect("good ranges").bytes
}

fn opened(bytes: &[u8]) -> Locator {
    let (_folder, path) = file("some.mmdb", bytes);
    Locator::open(Vec::new(), Some(&path)).expect("a good database")
}

fn anyfront<const N: usize>(arguments: [&str; N]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anyfront")).args(arguments).output().expect("the program starts")
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn output(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn the_box_knows_well_known_addresses() {
    let locator = Locator::open(Vec::new(), None).expect("the box");
    for (client, expected) in [
        ("81.2.69.142", "GB"),
        ("8.8.8.8", "US"),
        ("1.1.1.1", "AU"),
        ("193.0.6.139", "NL"),          // the RIPE NCC
        ("202.12.29.142", "AU"),        // APNIC
        ("200.160.2.3", "BR"),          // NIC.br
        ("2001:4860:4860::8888", "US"), // Google's resolver
        ("2001:67c:2e8:22::c100:68b", "NL"),
        ("::ffff:81.2.69.142", "GB"),
        ("2002:5102:458e::1", "GB"),
        ("64:ff9b::81.2.69.142", "GB"),
        ("2001:0:4136:e378:8000:63bf:aefd:ba71", "GB"),
    ] {
        let found = locator.locate(address(client)).unwrap_or_else(|| panic!("{client} is nowhere"));
        assert_eq!((country(&found).as_str(), found.source), (expected, Source::Database), "{client}");
        assert_eq!(found.place.city, None);
    }
    for client in ["127.0.0.1", "10.1.2.3", "224.0.0.1", "::1", "fe80::1", "fd00::1", "2001:db8::1"] {
        assert_eq!(locator.locate(address(client)), None, "{client}");
    }
    assert_eq!((locator.facts().kind.as_str(), &locator.facts().path), ("anyfront-Country", &None));
    assert!(locator.facts().build_epoch > 1_767_225_600, "data of 2026 or later");
    assert!(locator.facts().description.contains("IPFire Project, CC BY-SA 4.0"), "{:?}", locator.facts());
}

/// The country of `address` by walking the text: the model to which the database is held.
fn country_in(text: &str, address: IpAddr) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        let holds = match address {
            IpAddr::V4(v4) => {
                let number = |field: &str| field.parse::<u32>().ok();
                number(fields[0])? <= v4.to_bits() && v4.to_bits() <= number(fields[1])?
            }
            IpAddr::V6(v6) => {
                let number = |field: &str| field.parse::<Ipv6Addr>().ok();
                number(fields[0])? <= v6 && v6 <= number(fields[1])?
            }
        };
        let code = if fields[2] == "UK" { "GB" } else { fields[2] };
        (holds && !matches!(code, "??" | "EU")).then(|| code.to_owned())
    })
}

/// Addresses at and beside every border of `text`.
fn borders(text: &str) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for field in text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| line.split(',').take(2)) {
        for step in [u128::MAX, 0, 1] {
            match field.parse::<u32>() {
                Ok(number) => all.push(IpAddr::V4(Ipv4Addr::from_bits(number.wrapping_add(step as u32)))),
                Err(_) => {
                    let number = field.parse::<Ipv6Addr>().expect("IPv6").to_bits();
                    all.push(IpAddr::V6(Ipv6Addr::from_bits(number.wrapping_add(step))));
                }
            }
        }
    }
    all
}

/// The database and the model agree on `address`, and on both ends of the network that is said to hold for it.
fn agree(locator: &Locator, text: &str, address: IpAddr) {
    let found = locator.locate(address);
    assert_eq!(found.as_ref().map(country), country_in(text, address), "{address}");
    if let Some(found) = found {
        assert!(found.network.contains(&address), "{address} is not in {}", found.network);
        for end in [found.network.network(), found.network.broadcast()] {
            assert_eq!(country_in(text, end), Some(country(&found)), "{} is not all of one country", found.network);
        }
    }
}

/// Sorted ranges with gaps, and neighbours of one country among them.
fn ranges() -> impl Strategy<Value = String> {
    let codes = prop::sample::select(vec!["GB", "FR", "US", "UK", "??", "EU"]);
    let v4 = prop::collection::vec((1..=40_000_000_u32, any::<bool>(), codes.clone()), 1..60);
    let v6 = prop::collection::vec((1..=u128::MAX / 160, any::<bool>(), codes), 0..60);
    (v4, v6).prop_map(|(v4, v6)| {
        let mut text = String::new();
        let mut next = 0_u32;
        for (length, is_gap, code) in v4 {
            if !is_gap {
                text += &format!("{next},{},{code}\n", next + (length - 1));
            }
            next += length;
        }
        let mut next = 0x2003_u128 << 112; // above Teredo and 6to4, which are never asked for
        for (length, is_gap, code) in v6 {
            if !is_gap {
                text += &format!("{},{},{code}\n", Ipv6Addr::from_bits(next), Ipv6Addr::from_bits(next + (length - 1)));
            }
            next += length;
        }
        text + "4294967040,4294967295,US\n"
    })
}

fn carries_v4(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] == 0x2002 || v6.segments()[..2] == [0x2001, 0])
}

#[test]
fn a_built_database_says_what_its_ranges_say() {
    let locator = opened(&built(RANGES));
    for address in borders(RANGES) {
        agree(&locator, RANGES, address);
    }
    let config = Config { cases: 48, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() };
    let addresses = prop::collection::vec(any::<IpAddr>(), 64);
    proptest!(config, |(text in ranges(), addresses in addresses)| {
        let bytes = built(&text);
        prop_assert!(bytes == built(&text), "the same ranges give the same bytes");
        let locator = opened(&bytes);
        let addresses = addresses.into_iter().map(|address| address.to_canonical());
        for address in borders(&text).into_iter().chain(addresses).filter(|address| !carries_v4(*address)) {
            agree(&locator, &text, address);
        }
    });
}

/// Writes `bytes` to `path` and asks a few hundred questions. Whether the database was taken; if not, the complaint names
/// the file.
fn is_taken(path: &Path, bytes: &[u8]) -> bool {
    std::fs::write(path, bytes).expect("written");
    match Locator::open(Vec::new(), Some(path)) {
        Ok(locator) => {
            for at in 0..200_u32 {
                let _ = locator.locate(Ipv4Addr::from_bits(at * 27_011).into());
                let _ = locator.locate(Ipv6Addr::from_bits(u128::from(at) << 112).into());
            }
            drop(GeoMap::compile(&locator));
            true
        }
        Err(error) => {
            assert!(error.to_string().starts_with(text_of(path)), "{error}");
            false
        }
    }
}

#[test]
fn a_damaged_database_is_refused_or_knows_less_but_never_fails() {
    let line = |at: u32| format!("{},{},{}", at * 7_001, at * 7_001 + 5_003, ["GB", "FR", "US"][at as usize % 3]);
    let good = built(&(0..700).map(line).collect::<Vec<_>>().join("\n"));
    assert!(good.len() > 16 << 10, "several blocks: {} bytes", good.len());
    let (_folder, path) = file("some.mmdb", &good);
    let mut refused = 0;
    for start in (0..good.len()).step_by(1 << 10) {
        let end = good.len().min(start + (1 << 10));
        for damage in [0x00, 0x01, 0x80, 0xFF] {
            let mut bad = good.clone();
            for octet in &mut bad[start..end] {
                *octet = if damage == 0 { 0 } else { *octet ^ damage };
            }
            refused += usize::from(!is_taken(&path, &bad));
        }
        assert!(!is_taken(&path, &good[..start]), "cut at {start}");
    }
    assert!(refused > good.len() >> 10, "{refused} of {} refused", (good.len() >> 10) * 4);
    for at in good.len() - 320..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x55; // the records and the metadata, octet by octet
        is_taken(&path, &bad);
    }
    assert!(is_taken(&path, &good));
}

#[test]
fn a_damaged_compressed_database_is_refused() {
    let line = |at: u32| format!("{},{},GB", at * 7_001, at * 7_001 + 5_003);
    let good = packed(&built(&(0..1_400).map(line).collect::<Vec<_>>().join("\n"))).expect("packed");
    let (_folder, path) = file("some.mmdb.gz", &good);
    assert!(is_taken(&path, &good));
    for at in (0..good.len()).step_by(499) {
        let mut bad = good.clone();
        bad[at] ^= 0xFF;
        let is_in_the_head = (3..10).contains(&at); // flags and time mean nothing
        assert!(is_in_the_head || !is_taken(&path, &bad), "flipped at {at}");
        assert!(!is_taken(&path, &good[..at]), "cut at {at}");
    }
}

/// A city database in several layouts, and networks of which less is known.
fn cities() -> Vec<u8> {
    let mut writer = Writer::new("Example-City");
    let names = |name: &str| Entry::map([("de", Entry::from("anders")), ("en", Entry::from(name))]);
    let rows = [
        (
            "203.1.0.0/24",
            Entry::map([
                ("city", Entry::map([("geoname_id", Entry::from(7_u32)), ("names", names("Seattle"))])),
                ("country", Entry::map([("iso_code", Entry::from("US")), ("names", names("United States"))])),
                ("location", Entry::map([("latitude", Entry::from(47.61)), ("longitude", Entry::from(-122.33))])),
            ]),
        ),
        (
            "2600:1000::/32",
            Entry::map([
                ("city", Entry::from("Perth")),
                ("country", Entry::from("AU")),
                ("lat", Entry::from("-31.95")),
                ("lng", Entry::from("115.86")),
            ]),
        ),
        ("203.1.1.0/24", Entry::map([("country", Entry::map([("iso_code", Entry::from("GB"))]))])),
        ("203.1.2.0/24", Entry::map([("autonomous_system_number", Entry::from(64_512_u32))])),
    ];
    for (range, entry) in rows {
        writer.insert_value(network(range), entry).expect("inserted");
    }
    writer.to_bytes().expect("a database")
}

#[test]
fn a_city_database_gives_points_and_names() {
    let locator = opened(&cities());
    let told = |client: &str| {
        locator.locate(address(client)).map(|found| {
            let at = found.place.at;
            (found.place.to_string(), at.latitude(), at.longitude(), found.network.to_string())
        })
    };
    let seattle = ("Seattle, US".to_owned(), 47.61, -122.33, "203.1.0.0/24".to_owned());
    assert_eq!(told("203.1.0.9"), Some(seattle.clone()));
    assert_eq!(told("::ffff:203.1.0.9"), Some(seattle.clone()));
    assert_eq!(told("2002:cb01:9::"), Some(seattle));
    assert_eq!(told("2600:1000::1"), Some(("Perth, AU".to_owned(), -31.95, 115.86, "2600:1000::/32".to_owned())));
    assert_eq!(told("203.1.1.1"), Some(("GB".to_owned(), 51.51, -0.13, "203.1.1.0/24".to_owned())));
    assert_eq!(told("203.1.2.1"), None, "a record without a place");
    assert_eq!(told("203.1.3.1"), None, "no record");
}

#[test]
fn a_database_without_places_is_refused() {
    let mut writer = Writer::new("Example-ASN");
    let entry = Entry::map([("autonomous_system_number", Entry::from(64_512_u32))]);
    writer.insert_value(network("203.1.0.0/16"), entry).expect("inserted");
    let (_folder, path) = file("asn.mmdb", writer.to_bytes().expect("a database"));
    let error = Locator::open(Vec::new(), Some(&path)).expect_err("no places").to_string();
    assert!(error.starts_with(text_of(&path)) && error.contains("Example-ASN"), "{error}");
}

#[test]
fn overrides_beat_the_database_and_the_longest_wins() {
    let rows = [
        ("81.2.0.0/16", 1.0),
        ("81.2.69.0/24", 2.0),
        ("81.2.69.142/32", 3.0),
        ("2002:5102:4500::/40", 4.0),
        ("2001:db8::/32", 5.0),
    ];
    let overrides = rows.map(|(range, at)| (network(range), place(at, range)));
    let locator = Locator::open(overrides.to_vec(), None).expect("the box");
    for (client, at) in [
        ("81.2.69.142", 3.0),
        ("::ffff:81.2.69.142", 3.0),
        ("64:ff9b::81.2.69.142", 3.0),
        ("2002:5102:458e::1", 4.0), // the operator wrote it as it is, which goes before the address that it carries
        ("2002:5102:1::1", 1.0),
        ("81.2.69.1", 2.0),
        ("81.2.1.1", 1.0),
        ("2001:db8::1", 5.0),
    ] {
        let found = locator.locate(address(client)).expect("overridden");
        assert_eq!((found.place.at.latitude(), found.source), (at, Source::Override), "{client}");
    }
    assert_eq!(locator.locate(address("81.3.0.1")).expect("in the box").source, Source::Database);
}

#[test]
fn four_thousand_overrides_are_all_found() {
    let rows: Vec<(IpNet, Place)> = (0..4_096_u32)
        .map(|at| {
            let first = Ipv4Addr::from_bits(0x0A00_0000 | at << 12);
            let length = 20 + u8::try_from(at % 13).expect("small");
            (IpNet::new(first.into(), length).expect("a network"), place(f64::from(at) / 100.0, "here"))
        })
        .collect();
    let locator = Locator::open(rows.clone(), None).expect("the box");
    for (network, place) in rows {
        let found = locator.locate(network.addr()).expect("overridden");
        assert_eq!((found.network, found.place), (network, place));
    }
}

#[test]
fn a_reload_reads_a_changed_file_and_no_other() {
    let (_folder, path) = file("some.mmdb", built("16777216,16777471,GB"));
    let first = Locator::open(Vec::new(), Some(&path)).expect("a database");
    let same = first.reopen(vec![(network("1.0.0.0/32"), place(1.0, "here"))], Some(&path)).expect("unchanged");
    assert_eq!(same.locate(address("1.0.0.0")).expect("overridden").source, Source::Override);
    assert_eq!(country(&same.locate(address("1.0.0.1")).expect("in the database")), "GB");

    std::fs::write(&path, built("16777216,16777471,FR\n16777600,16777700,SE")).expect("written");
    let changed = same.reopen(Vec::new(), Some(&path)).expect("a database");
    assert_eq!(country(&changed.locate(address("1.0.0.1")).expect("in the database")), "FR");

    std::fs::write(&path, b"no database").expect("written");
    changed.reopen(Vec::new(), Some(&path)).expect_err("damaged");
    let boxed = changed.reopen(Vec::new(), None).expect("the box");
    assert_eq!(boxed.facts().path, None);
}

#[test]
fn lookup_tells_people_and_programs() {
    let people = output(&anyfront(["geoip", "lookup", "81.2.69.142", "127.0.0.1"]));
    let lines: Vec<&str> = people.lines().collect();
    assert!(lines[0].starts_with("81.2.69.142  GB ") && lines[0].contains("the database, of 81.2."), "{people}");
    assert_eq!(lines[1], "127.0.0.1    nobody knows: taken to be where the node stands");
    assert!(people.contains("asked: the database in the box") && people.contains("CC BY-SA 4.0"), "{people}");

    let (_folder, path) = file("city.mmdb", cities());
    let told = anyfront(["geoip", "lookup", "--json", "--database", text_of(&path), "203.1.0.1", "2001:db8::1"]);
    let told: Value = serde_json::from_str(&output(&told)).expect("JSON");
    assert_eq!(told["database"]["path"], text_of(&path));
    assert_eq!(told["database"]["type"], "Example-City");
    let expected = json!([
        { "address": "203.1.0.1", "country": "US", "city": "Seattle", "latitude": 47.61, "longitude": -122.33,
          "network": "203.1.0.0/24", "source": "database" },
        { "address": "2001:db8::1", "country": null, "city": null, "latitude": null, "longitude": null,
          "network": null, "source": null },
    ]);
    assert_eq!(told["addresses"], expected);
}

#[test]
fn lookup_asks_as_a_node_would() {
    let (folder, path) = file("city.mmdb", cities());
    let fleet = include_str!("../regions.toml");
    let geo = "\n[geo]\ndatabase = \"city.mmdb\"\n[[geo.place]]\nprefix = \"203.1.0.0/28\"\ncity = \"Leeds\"\n\
        country = \"GB\"\nlatitude = 53.8\nlongitude = -1.55\n";
    let config = folder.path().join("regions.toml");
    std::fs::write(&config, format!("{fleet}{geo}")).expect("written");
    let told = anyfront(["geoip", "lookup", "--json", "--config", text_of(&config), "203.1.0.1", "203.1.0.77"]);
    let told: Value = serde_json::from_str(&output(&told)).expect("JSON");
    for (at, city, source) in [(0, "Leeds", "override"), (1, "Seattle", "database")] {
        assert_eq!(told["addresses"][at]["city"], city);
        assert_eq!(told["addresses"][at]["source"], source);
    }
    assert_eq!(told["database"]["path"], text_of(&path));

    std::fs::write(&config, format!("{fleet}{geo}nonsense = 1\n")).expect("written");
    let mistake = complaint(&anyfront(["geoip", "lookup", "--config", text_of(&config), "203.1.0.1"]));
    assert!(mistake.contains("nonsense"), "{mistake}");
}

#[test]
fn lookup_complains_clearly() {
    let bad = anyfront(["geoip", "lookup", "81.2.69.142", "81.2.69"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(complaint(&bad).contains("'81.2.69'"), "{}", complaint(&bad));
    let missing = complaint(&anyfront(["geoip", "lookup", "--database", "nowhere/some.mmdb", "1.1.1.1"]));
    assert!(missing.contains("cannot read nowhere/some.mmdb: "), "{missing}");
    let (_folder, path) = file("text.mmdb", "hello");
    let none = complaint(&anyfront(["geoip", "lookup", "--database", text_of(&path), "1.1.1.1"]));
    assert!(none.contains(text_of(&path)) && none.contains("not in MaxMind's format"), "{none}");
}

#[test]
fn build_says_what_it_did_and_gives_the_same_from_a_folder_and_from_files() {
    let pick = |is_v6| RANGES.split_inclusive('\n').filter(|line| line.contains("::") == is_v6).collect::<String>();
    let (folder, v4) = file("geoip", pick(false));
    let v6 = folder.path().join("geoip6");
    std::fs::write(&v6, pick(true)).expect("written");

    let plain = folder.path().join("country.mmdb");
    let said = output(&anyfront(["geoip", "build", "--from", text_of(folder.path()), "--out", text_of(&plain)]));
    assert!(said.contains("read      9 IPv4 and 3 IPv6 ranges"), "{said}");
    assert!(said.contains("left out  2 with a code that is no country (?? 1, EU 1)"), "{said}");
    let bytes = std::fs::read(&plain).expect("written");
    assert_eq!(bytes, built(RANGES));
    assert!(said.contains(&format!("country.mmdb: {} bytes", bytes.len())), "{said}");

    let gz = folder.path().join("country.mmdb.gz");
    output(&anyfront(["geoip", "build", "--from", text_of(&v4), text_of(&v6), "--out", text_of(&gz)]));
    let locator = Locator::open(Vec::new(), Some(&gz)).expect("compressed databases are read too");
    let facts = locator.facts();
    assert_eq!((facts.bytes, facts.build_epoch), (bytes.len(), 1_782_362_039));
    assert_eq!(facts.description, "Countries of networks. Data: Example, CC0");
}

#[test]
fn a_failed_build_names_the_line_and_leaves_everything_as_it_was() {
    let (folder, ranges) = file("ranges", "1,2,GB\n2,3\n");
    let old = folder.path().join("country.mmdb");
    std::fs::write(&old, "the old one").expect("written");
    let mistake = complaint(&anyfront(["geoip", "build", "--from", text_of(&ranges), "--out", text_of(&old)]));
    assert!(mistake.contains(&format!("{}:2: ", text_of(&ranges))), "{mistake}");
    assert_eq!(std::fs::read_to_string(&old).expect("still there"), "the old one");

    std::fs::write(&ranges, "1,2,GB\n").expect("written");
    let nowhere = folder.path().join("no/where.mmdb");
    let mistake = complaint(&anyfront(["geoip", "build", "--from", text_of(&ranges), "--out", text_of(&nowhere)]));
    assert!(mistake.contains(&format!("cannot write {}", text_of(&nowhere))), "{mistake}");
    let missing = complaint(&anyfront(["geoip", "build", "--from", text_of(&nowhere), "--out", text_of(&old)]));
    assert!(missing.contains(&format!("cannot read {}", text_of(&nowhere))), "{missing}");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 2, "nothing else is left behind");
}
