//! What becomes of `[zone]` and `[acme]`: the zone as nodes answer it, octet by octet where it is theirs to write.

#![expect(clippy::panic, reason = "helpers of tests")]

use anyfront::limits::DNS_DATAGRAM_BYTES_MAX;
use anyfront::names::Hostname;
use anyfront::topology::Topology;
use anyfront::topology::check::{Checked, check};
use anyfront::topology::mistake::Gravity;
use anyfront::topology::zone::{Answer, Believed, Zone, master};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, Restrict};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// A fleet of two regions, `zone` being what stands in it besides, its sites having these addresses.
fn file(sites: &[&[&str]], zone: &str) -> String {
    let sites = sites.iter().enumerate().map(|(at, addresses)| {
        format!("[[site]]\nname = \"s{at}\"\nlatitude = 1\nlongitude = 1\naddresses = {addresses:?}\n")
    });
    let region = |name: &str, address: &str| {
        format!(
            "[[region]]\nname = \"{name}\"\nprovider = \"{name}\"\ncountry = \"GB\"\nlatitude = 1\nlongitude = 1\n\
             endpoints = [\"http://{address}\"]\naddresses = [\"{address}\"]\n"
        )
    };
    format!(
        "[fleet]\nname = \"f\"\nzone = \"z.example\"\n[[hostname]]\nname = \"z.example\"\nregions = [\"*\"]\n{}{}{}\n{zone}",
        region("a", "192.0.2.1"),
        region("b", "192.0.2.2"),
        sites.collect::<String>(),
    )
}

const SITES: &[&[&str]] = &[&["192.0.2.10", "2001:db8::10"], &["192.0.2.10", "192.0.2.11"], &["192.0.2.12"]];

const ZONE: &str =
    "[zone]\nnameservers = [\"ns1.z.example\", \"NS2.z.example.\"]\nhostmaster = \"dns.admin+z@Example.com\"\n";

#[track_caller]
fn checked(text: &str) -> Checked {
    check(text, Path::new("regions.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[track_caller]
fn zone(more: &str) -> Arc<Zone> {
    checked(&file(SITES, &format!("{ZONE}{more}"))).topology.dns.expect("a zone")
}

fn record(name: &str, kind: &str, value: &str) -> String {
    format!("[[zone.record]]\nname = {name:?}\ntype = {kind:?}\nvalue = {value:?}\n")
}

fn name(text: &str) -> Name {
    Name::from_str(text).expect("a name")
}

#[test]
fn absent_keys_have_the_documented_defaults_and_no_zone_is_none() {
    let without = checked(&file(SITES, "")).topology;
    assert!(without.dns.is_none() && without.acme.is_none());
    let zone = zone("[zone.dnssec]\n");
    assert_eq!(zone.apex, name("z.example."));
    assert_eq!((zone.ttl, zone.negative_ttl, zone.answers_per_second), (Believed::DEFAULT, 60, 200));
    assert!(zone.version.is_none() && zone.client_subnet_from.is_none());
    assert!(zone.records.is_empty() && zone.aliases.is_empty());
    assert_eq!(zone.keys.as_deref(), Some(Path::new("dnssec")));
    assert!(self::zone("").keys.is_none());
}

#[test]
fn every_key_arrives() {
    let text = "ttl = { min = \"5s\", max = \"30s\" }\nnegative_ttl = \"10s\"\nversion = \"anyfront\"\n\
         client_subnet_from = [\"192.0.2.0/24\", \"2001:db8::1\"]\nanswers_per_second = 0\n";
    let zone = zone(&format!("{text}[zone.dnssec]\nkeys = \"keys\"\n{}ttl = \"2m\"\n", record("x", "A", "192.0.2.9")));
    let seconds = Duration::from_secs;
    assert_eq!(zone.ttl, Believed { min: seconds(5), max: seconds(30) });
    assert_eq!((zone.negative_ttl, zone.version.as_deref(), zone.answers_per_second), (10, Some("anyfront"), 0));
    assert_eq!(zone.client_subnet_from.as_ref().expect("said").len(), 2);
    assert_eq!(zone.keys.as_deref(), Some(Path::new("keys")));
    assert_eq!((zone.records[0].owner.to_string().as_str(), zone.records[0].ttl), ("x.z.example.", 120));
}

#[test]
fn the_part_before_the_at_is_one_label_of_the_responsible_name() {
    let labels: Vec<Vec<u8>> = zone("").hostmaster.iter().map(<[u8]>::to_vec).collect();
    assert_eq!(labels, [&b"dns.admin+z"[..], b"example", b"com"]);
}

#[test]
fn site_addresses_are_dealt_to_the_name_servers_in_the_zone() {
    let glue = |sites: &[&[&str]], servers: &str, more: &str| -> Vec<String> {
        let text = format!("[zone]\nnameservers = [{servers}]\nhostmaster = \"a@z.example\"\n{more}");
        let zone = checked(&file(sites, &text)).topology.dns.expect("a zone");
        let one = |glue: &[std::net::IpAddr]| glue.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        zone.nameservers.iter().map(|server| one(&server.glue)).collect()
    };
    let two = "\"ns1.z.example\", \"ns2.z.example\"";
    assert_eq!(glue(SITES, two, ""), ["192.0.2.10 192.0.2.12 2001:db8::10", "192.0.2.11 2001:db8::10"]);
    let three = format!("{two}, \"ns3.z.example\"");
    assert_eq!(glue(&[&["192.0.2.1", "192.0.2.2"]], &three, ""), ["192.0.2.1", "192.0.2.2", "192.0.2.1"]);
    // Whoever is elsewhere takes no part, nor does whoever has addresses of its own.
    let mixed = "\"ns.example.com\", \"ns1.z.example\", \"ns2.z.example\"";
    let own = format!("{}{}", record("ns1", "A", "192.0.2.7"), record("ns1", "TXT", "x"));
    assert_eq!(glue(&[&["192.0.2.1"]], mixed, &own), ["", "192.0.2.7", "192.0.2.1"]);
}

#[test]
fn a_name_server_s_addresses_are_in_one_place() {
    let own = format!("{}{}", record("ns1", "AAAA", "2001:db8::7"), record("ns1", "TXT", "x"));
    let zone = zone(&own);
    let kinds: Vec<RecordType> = zone.records.iter().map(|record| record.data.record_type()).collect();
    assert_eq!(kinds, [RecordType::TXT]);
    assert_eq!(zone.nameservers[0].glue, ["2001:db8::7".parse::<std::net::IpAddr>().expect("an address")]);
}

#[test]
fn names_that_are_others_are_led_to_where_they_end() {
    let records = [
        record("one", "CNAME", "two"),
        format!("{}ttl = \"30s\"\n", record("two", "CNAME", "Three.z.example.")),
        record("three", "CNAME", "@"),
        record("out", "CNAME", "further"),
        format!("{}ttl = \"40s\"\n", record("further", "CNAME", "cdn.example.com.")),
        record("*.w", "CNAME", "one"),
        record("by-wildcard", "CNAME", "x.y.w"),
        record("*.t", "TXT", "t"),
        record("at-wildcard", "CNAME", "x.t"),
        record("server", "CNAME", "ns1"),
        record("region", "CNAME", "a"),
    ];
    let zone = zone(&records.concat());
    let aliases: Vec<(String, String, u32)> =
        zone.aliases.iter().map(|alias| (alias.owner.to_string(), alias.target.to_string(), alias.ttl)).collect();
    let alias = |owner: &str, target: &str, ttl| (format!("{owner}.z.example."), target.to_owned(), ttl);
    assert_eq!(
        aliases,
        [
            alias("one", "z.example.", 30),
            alias("two", "z.example.", 30),
            alias("three", "z.example.", 3_600),
            alias("*.w", "z.example.", 30),
            alias("by-wildcard", "z.example.", 30),
            alias("at-wildcard", "x.t.z.example.", 3_600),
            alias("server", "ns1.z.example.", 3_600),
            alias("region", "a.z.example.", 3_600),
        ]
    );
    let outside = zone.records.iter().filter(|record| record.data.record_type() == RecordType::CNAME);
    let outside: Vec<(String, String, u32)> =
        outside.map(|record| (record.owner.to_string(), record.data.to_string(), record.ttl)).collect();
    let cname = |owner: &str| (format!("{owner}.z.example."), "cdn.example.com.".to_owned(), 40);
    assert_eq!(outside, [cname("out"), cname("further")]);
}

#[test]
fn hostnames_say_what_they_are_answered_with_and_for_how_long() {
    let text = "[[hostname]]\nname = \"x.z.example\"\nregions = [\"a\", \"b\"]\nanswer = \"region\"\nttl = { max = \"45s\" }\n";
    let source = file(SITES, &format!("{ZONE}ttl = {{ min = \"10s\" }}\n{text}")).replacen(
        "addresses = [\"192.0.2.1\"]",
        "addresses = [\"192.0.2.1\"]\nanswer = \"region\"\nttl = { min = \"1s\" }",
        1,
    );
    let Topology { routes, .. } = checked(&source).topology;
    let seconds = Duration::from_secs;
    let said: Vec<_> = routes.iter().map(|route| (route.hostname.as_str(), route.answer, route.ttl)).collect();
    assert_eq!(
        said,
        [
            ("z.example", Answer::Front, Believed { min: seconds(10), max: seconds(60) }),
            ("x.z.example", Answer::Region, Believed { min: seconds(10), max: seconds(45) }),
            ("a.z.example", Answer::Region, Believed { min: seconds(1), max: seconds(60) }),
            ("b.z.example", Answer::Front, Believed { min: seconds(10), max: seconds(60) }),
        ]
    );
}

// ---- data, octet by octet -------------------------------------------------------------------------------------------

#[track_caller]
fn data(kind: RecordType, text: &str) -> RData {
    let data = master::data(kind, text, &name("z.example."));
    data.unwrap_or_else(|wrong| panic!("{kind} {text}: {} {}", wrong.problem, wrong.help))
}

fn octets(kind: RecordType, text: &str) -> Vec<u8> {
    data(kind, text).to_bytes().expect("it can be written")
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("two digits");
    digits.chunks(2).map(pair).collect()
}

/// The examples of RFC 9460, appendix D, and some of our own.
#[test]
fn data_is_written_as_the_rfcs_have_it() {
    use RecordType as T;
    let foo = "03666f6f076578616d706c6503636f6d00";
    for (kind, text, expected) in [
        (T::A, "192.0.2.1", "c0000201".to_owned()),
        (T::AAAA, "2001:DB8::1", "20010db8000000000000000000000001".to_owned()),
        (T::MX, "10\t mx", "000a 026d78 017a 076578616d706c65 00".to_owned()),
        (T::SRV, "1 2 5060 foo.example.com.", format!("0001 0002 13c4 {foo}")),
        (T::SRV, "0 0 0 .", "0000 0000 0000 00".to_owned()),
        (T::CNAME, "@", "017a076578616d706c6500".to_owned()),
        (T::CAA, "0 issue \"a; b\"", "00 05 6973737565 613b2062".to_owned()),
        (T::CAA, "128 IODEF mailto:\\097@b\\.c", "80 05 696f646566 6d61696c746f3a6140622e63".to_owned()),
        (T::TLSA, &format!("3 1 1 {}", "00ff ".repeat(16)), format!("03 01 01 {}", "00ff".repeat(16))),
        (T::TLSA, "3 1 0 30", "03 01 00 30".to_owned()),
        (T::SSHFP, &format!("4 2 {}", "aB".repeat(32)), format!("04 02 {}", "ab".repeat(32))),
        (T::NAPTR, "1 2 \"u\" \"E2U+sip\" \"!^.*$!\\\\x!\" .", "0001 0002 0175 074532552b736970 09215e2e2a24215c782100".to_owned()),
        (T::NAPTR, "1 2 s \"\" \"\" foo.example.com.", format!("0001 0002 0173 00 00 {foo}")),
        (T::HTTPS, "0 foo.example.com.", format!("0000 {foo}")),
        (T::SVCB, "1 .", "0001 00".to_owned()),
        (T::SVCB, "16 foo.example.com. port=53", format!("0010 {foo} 0003 0002 0035")),
        (T::SVCB, "1 foo.example.com. key667=hello", format!("0001 {foo} 029b 0005 68656c6c6f")),
        (T::SVCB, "1 foo.example.com. key667=\"hello\\210qoo\"", format!("0001 {foo} 029b 0009 68656c6c6fd2716f6f")),
        (T::SVCB, "1 foo.example.com. ipv6hint=\"2001:db8::1,2001:db8::53:1\"",
         format!("0001 {foo} 0006 0020 20010db8000000000000000000000001 20010db8000000000000000000530001")),
        (T::SVCB, "16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
         "0010 03666f6f076578616d706c65036f726700 0000 0004 00010004 0001 0009 026832 0568332d3139 0004 0004 c0000201".to_owned()),
        (T::HTTPS, "1 . alpn=\"h2\" no-default-alpn ech=AAEC", "0001 00 0001 0003 026832 0002 0000 0005 0003 000102".to_owned()),
        (T::SVCB, "1 dns dohpath=/dns-query{?dns}",
         "0001 03646e73 017a 076578616d706c65 00 0007 0010 2f646e732d71756572797b3f646e737d".to_owned()),
    ] {
        assert_eq!(octets(kind, text), hex(&expected), "{kind} {text}");
    }
}

#[test]
fn what_is_written_is_read_again_as_the_same() {
    use RecordType as T;
    for (kind, text) in [
        (T::MX, "10 mx"),
        (T::SRV, "1 2 3 x.example.com."),
        (T::CAA, "128 issuewild \";\""),
        (T::NAPTR, "1 2 \"\" \"\" \"!a!b!\" ."),
        (T::HTTPS, "1 . alpn=h2,http/1.1 port=8443 ipv4hint=192.0.2.1,192.0.2.2"),
        (T::SVCB, "3 x alpn=dot key65333=a\\001b mandatory=alpn"),
        (T::SSHFP, "4 2 0000000000000000000000000000000000000000000000000000000000000000"),
    ] {
        let octets = octets(kind, text);
        let length = Restrict::new(u16::try_from(octets.len()).expect("short"));
        let read = RData::read(&mut BinDecoder::new(&octets), kind, length).expect("it can be read");
        assert_eq!(read, data(kind, text), "{kind} {text}");
    }
}

#[test]
fn a_text_is_cut_where_a_string_is_full_and_a_list_is_kept_as_it_is() {
    let strings = |value: &str| -> Vec<usize> {
        let zone = zone(&format!("[[zone.record]]\nname = \"t\"\ntype = \"TXT\"\nvalue = {value}\n"));
        let RData::TXT(txt) = &zone.records[0].data else { panic!("a TXT") };
        txt.txt_data.iter().map(|string| string.len()).collect()
    };
    let text = |length: usize| format!("\"{}\"", "x".repeat(length));
    assert_eq!(strings(&text(255)), [255]);
    assert_eq!(strings(&text(256)), [255, 1]);
    assert_eq!(strings(&text(510)), [255, 255]);
    assert_eq!(strings("\"\""), [0]);
    assert_eq!(strings(&format!("[\"a\", {}, \"\"]", text(255))), [1, 255, 0]);
    assert_eq!(strings("\"\u{e9}; \\\\ \\\"\""), [7], "as it is: no comment, no escape but TOML's");
}

// ---- what fits ------------------------------------------------------------------------------------------------------

/// What `check` says of a TXT of that many octets, if it warns.
fn size_warning(length: usize) -> Option<String> {
    let text = record("t", "TXT", &"x".repeat(length));
    let rows = checked(&file(SITES, &format!("{ZONE}{text}"))).warnings.rows();
    rows.into_iter().map(|row| row.message).find(|message| message.contains("octets"))
}

#[test]
fn an_answer_that_needs_tcp_is_warned_of_and_counted_as_it_is_sent() {
    let whole = |length: usize| {
        let zone = zone(&record("t", "TXT", &"x".repeat(length)));
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name("t.z.example."), RecordType::TXT));
        message.add_answer(Record::from_rdata(name("t.z.example."), 60, zone.records[0].data.clone()));
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(10, vec![7; 24]));
        message.edns = Some(edns);
        message.to_bytes().expect("it can be written").len()
    };
    let most = (1..DNS_DATAGRAM_BYTES_MAX).rev().find(|length| size_warning(*length).is_none()).expect("some fit");
    assert_eq!(whole(most), DNS_DATAGRAM_BYTES_MAX);
    let told = size_warning(most + 1).expect("one more does not");
    assert!(told.contains(&format!("takes {} octets", whole(most + 1))), "{told}");
}

#[test]
fn what_no_message_carries_is_refused() {
    let text = file(SITES, &format!("{ZONE}{}", record("t", "TXT", &"x".repeat(65_300))));
    let rows = check(&text, Path::new("regions.toml")).expect_err("too long").rows();
    assert!(rows.len() == 1 && rows[0].message.contains("octets") && rows[0].gravity == Gravity::Error, "{rows:?}");
}

#[test]
fn a_chain_of_names_has_an_end() {
    let chain = |length: usize| {
        let link = |at: usize| record(&format!("n{at}"), "CNAME", &format!("n{}", at + 1));
        let end = record(&format!("n{length}"), "TXT", "the end");
        file(SITES, &format!("{ZONE}{}{end}", (0..length).map(link).collect::<String>()))
    };
    let zone = checked(&chain(17)).topology.dns.expect("a zone");
    assert!(zone.aliases.len() == 17 && zone.aliases.iter().all(|alias| alias.target == name("n17.z.example.")));
    let rows = check(&chain(18), Path::new("regions.toml")).expect_err("one too many").rows();
    assert!(rows.len() == 1 && rows[0].message.contains("through more than 16 others"), "{rows:?}");
}

// ---- certificates ---------------------------------------------------------------------------------------------------

#[test]
fn certificates_are_for_the_zone_and_what_is_below_it_unless_names_are_given() {
    let acme = |more: &str| {
        let text = format!("{ZONE}[acme]\ndirectory = \"https://acme.example:14000/dir\"\n{more}");
        checked(&file(SITES, &text)).topology.acme.expect("certificates")
    };
    let names = |more: &str| acme(more).names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(names(""), "z.example *.z.example");
    assert_eq!(names("names = [\"*.x.z.example\", \"X.z.example\"]\n"), "*.x.z.example x.z.example");
    let acme = acme("contact = [\"mailto:a@z.example\"]\nprofile = \"shortlived\"\n");
    assert_eq!(
        (&*acme.directory, &acme.contact[..]),
        ("https://acme.example:14000/dir", &["mailto:a@z.example".to_owned()][..])
    );
    assert_eq!(acme.profile.as_deref(), Some("shortlived"));
    let www = Hostname::parse("www.z.example").expect("a name");
    let deep = Hostname::parse("a.www.z.example").expect("a name");
    assert_eq!([&www, &deep].map(|hostname| acme.names.iter().any(|name| name.covers(hostname))), [true, false]);
}

#[test]
fn an_account_s_key_is_read_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("regions.toml");
    for (text, expected) in
        [("c2VjcmV0\n", Some(&b"secret"[..])), (" c2VjcmV0MQ==\n", Some(b"secret1")), ("\n", None), ("c2Vj cmV0", None)]
    {
        std::fs::write(folder.path().join("eab.key"), text).expect("written");
        let acme = "[acme]\ndirectory = \"https://acme.example/\"\n[acme.external_account]\nid = \"kid-1\"\nkey_file = \"eab.key\"\n";
        match check(&file(SITES, &format!("{ZONE}{acme}")), &path) {
            Ok(Checked { topology, .. }) => {
                let acme = topology.acme.expect("certificates");
                let account = acme.external_account.as_ref().expect("an account");
                assert_eq!((&*account.id, Some(account.key.as_slice())), ("kid-1", expected), "{text:?}");
                assert!(!format!("{acme:?}").contains("115, 101, 99"), "{acme:?}");
                assert!(topology.files.iter().any(|(path, _)| path.ends_with("eab.key")), "a new key is taken over");
            }
            Err(mistakes) => {
                assert!(expected.is_none(), "{text:?}: {mistakes}");
                let rows = mistakes.rows();
                assert!(rows.len() == 1 && rows[0].message == "key_file \"eab.key\" has no key", "{rows:?}");
            }
        }
    }
}

// ---- the fleet in this repository -----------------------------------------------------------------------------------

/// `regions.toml` with its zone, as it says itself that it is to be had.
fn repository(with_connect: bool) -> String {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("regions.toml")).expect("there");
    let (before, block) = source.split_once("# [zone]\n").expect("the example");
    let block: String = block
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line.trim_start_matches('#'))))
        .collect();
    let before: String = before
        .lines()
        .map(|line| match line.strip_prefix("endpoints = [").filter(|_| with_connect) {
            Some(url) => {
                format!("endpoint = [{{ url = {}, connect = [\"192.0.2.99:443\"] }}]\n", url.trim_end_matches(']'))
            }
            None => format!("{line}\n"),
        })
        .collect();
    format!("{before}[zone]\n{block}")
}

#[test]
fn the_zone_of_the_repository_s_fleet_is_right_once_regions_are_found_without_it() {
    let Checked { topology, warnings } = checked(&repository(true));
    let warned: Vec<String> = warnings.rows().into_iter().map(|row| row.message).collect();
    assert_eq!(warned, ["all regions of hostname au.gateway.truefoundry.ai are on provider aws"]);
    let zone = topology.dns.expect("a zone");
    assert!(zone.nameservers.iter().all(|server| server.glue.len() == 2), "{:?}", zone.nameservers);
    assert_eq!((zone.records.len(), zone.aliases.len(), topology.acme.is_some()), (2, 0, true));

    let rows = check(&repository(false), Path::new("regions.toml")).expect_err("nodes would ask themselves").rows();
    assert_eq!(rows.len(), 14);
    assert!(rows.iter().all(|row| row.message.contains("which this fleet answers") && row.help.contains("connect")));
}
