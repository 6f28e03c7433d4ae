//! `check` against files with mistakes: each is told at its line, with what would be right, and nothing else is told.
//!
//! The cases are below `tests/check/`: TOML with a note on every line where something is to be told,
//! `# <- error: part of the message | part of the help` (or `warning`). A case begins with `### its name`, and what it
//! leaves out is added at its end from [`PARTS`], unless its name says `(without PART)`; and [`ZONE`], if it says `(zone)`.

#![expect(clippy::panic, reason = "helpers of tests")]

use anyfront::limits::{
    CERTIFICATE_NAMES_MAX, CLASSES_MAX, ENDPOINTS_PER_REGION_MAX, GEO_PLACES_MAX, HOSTNAMES_MAX, LIST_MAX,
    MISTAKES_MAX, NAMESERVERS_MAX, NEGATIVE_TTL_MAX, PRIVATE_LINKS_MAX, REGIONS_MAX, SITES_MAX, TOPOLOGY_BYTES_MAX,
    ZONE_RECORDS_MAX,
};
use anyfront::topology::check::{Checked, check};
use anyfront::topology::mistake::{Gravity, Mistakes};
use anyfront::topology::{AllDown, Dialect, ProbeKind, Steering, Topology};
use std::path::PathBuf;
use std::time::Duration;

/// What makes a file whole.
const PARTS: [(&str, &str); 4] = [
    ("fleet", "[fleet]\nname = \"test\"\nzone = \"z.example\"\n"),
    (
        "site",
        "[[site]]\nname = \"here\"\nlatitude = 51.5\nlongitude = -0.1\n\
         addresses = [\"192.0.2.10\", \"2001:db8::10\", \"192.0.2.11\"]\n",
    ),
    (
        "region",
        "[[region]]\nname = \"a\"\nprovider = \"p\"\ncountry = \"GB\"\nlatitude = 51.5\nlongitude = -0.1\n\
         endpoints = [\"http://192.0.2.1\"]\n\
         [[region]]\nname = \"b\"\nprovider = \"q\"\ncountry = \"DE\"\nlatitude = 52\nlongitude = 13\n\
         endpoints = [\"http://192.0.2.2\"]\n",
    ),
    ("hostname", "[[hostname]]\nname = \"www.z.example\"\nregions = [\"a\"]\nfallback = [\"b\"]\n"),
];

/// What makes nodes answer by DNS.
const ZONE: &str =
    "[zone]\nnameservers = [\"ns1.z.example\", \"ns2.z.example\"]\nhostmaster = \"dns.admin@z.example\"\n";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn told(source: &str) -> Mistakes {
    match check(source, &root().join("tests/check/case.toml")) {
        Ok(checked) => checked.warnings,
        Err(mistakes) => mistakes,
    }
}

fn checked(source: &str) -> Checked {
    check(source, &root().join("regions.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn whole(name: &str, text: &str) -> String {
    let mut source = text.to_owned();
    for (part, text) in PARTS.iter().filter(|(part, _)| !name.contains(&format!("without {part}"))) {
        source.push_str(&format!("# {part}, as always\n{text}"));
    }
    if name.contains("(zone)") {
        source.push_str(ZONE);
    }
    source
}

/// `(line, gravity, part of the message, part of the help)` of every note.
fn notes(source: &str) -> Vec<(usize, Gravity, &str, &str)> {
    let mut notes = Vec::new();
    for (at, line) in source.lines().enumerate() {
        for note in line.split("# <- ").skip(1) {
            let (gravity, text) = note.split_once(": ").expect("# <- error: text");
            let gravity = match gravity {
                "error" => Gravity::Error,
                "warning" => Gravity::Warning,
                other => panic!("{other:?} is neither error nor warning"),
            };
            let (message, help) = text.split_once(" | ").unwrap_or((text, ""));
            notes.push((at + 1, gravity, message.trim(), help.trim()));
        }
    }
    notes
}

/// What differs between what is told and what is noted.
fn differences(name: &str, source: &str) -> Vec<String> {
    let mistakes = told(source);
    let (rows, notes) = (mistakes.rows(), notes(source));
    let mut left: Vec<_> = rows.iter().collect();
    let mut differences = Vec::new();
    for (line, gravity, message, help) in notes {
        let found = left.iter().position(|row| {
            row.line == line && row.gravity == gravity && row.message.contains(message) && row.help.contains(help)
        });
        match found {
            Some(at) => drop(left.remove(at)),
            None => differences.push(format!("{name}:{line}: {gravity:?} {message:?} | {help:?} is not told")),
        }
    }
    differences.extend(left.iter().map(|row| {
        format!("{name}:{}: told without a note: {:?} {:?} | {:?}", row.line, row.gravity, row.message, row.help)
    }));
    assert!(rows.is_sorted_by_key(|row| (row.line, row.column)), "{name}: told out of order: {rows:?}");
    let drawn = mistakes.render(false);
    assert!(rows.iter().all(|row| drawn.contains(&row.message)), "{name}: the drawing leaves something out");
    differences
}

#[test]
fn every_mistake_is_told_at_its_line_with_what_would_be_right() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("tests/check"))
        .expect("it is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    let (mut count, mut differences_) = (0, Vec::new());
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "toml")) {
        let text = std::fs::read_to_string(file).expect("text");
        for case in text.split("### ").skip(1) {
            let (name, body) = case.split_once('\n').expect("a name, then the case");
            differences_.extend(differences(name, &whole(name, body)));
            count += 1;
        }
    }
    assert!(differences_.is_empty(), "\n{}\n", differences_.join("\n"));
    assert!(count >= 50, "only {count} cases were found");
}

#[test]
fn a_missing_note_and_a_wrong_one_are_noticed() {
    let source = whole("", "[probe]\nrise = 0 # <- error: nothing of the kind\n");
    assert_eq!(differences("sample", &source).len(), 2);
}

// ---- what is right --------------------------------------------------------------------------------------------------

fn route_text(topology: &Topology, hostname: &str) -> String {
    let hostname = anyfront::names::Hostname::parse(hostname).expect("a name");
    let route = topology.route(topology.route_by_hostname[&hostname]);
    let members = route.members.iter().map(|member| format!("{}{}", topology.region(member.region).name, member.level));
    members.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_repository_s_own_file_means_the_real_fleet() {
    let source = std::fs::read_to_string(root().join("regions.toml")).expect("it is there");
    let Checked { topology, warnings } = checked(&source);
    let warned: Vec<String> = warnings.rows().into_iter().map(|row| row.message).collect();
    assert_eq!(warned, ["all regions of hostname au.gateway.truefoundry.ai are on provider aws"]);

    assert_eq!((topology.regions.len(), topology.endpoints.len(), topology.providers.len()), (14, 14, 3));
    assert_eq!(topology.routes.len(), 4 + 14);
    assert_eq!(topology.routes.iter().filter(|route| route.is_regional).count(), 14);
    let all = "orf0 yyz0 sfo0 dfw0 lhr0 mad0 gvx0 gru0 cpt0 dia0 bom0 sin0 mel0 syd0";
    for (hostname, members) in [
        ("gateway.truefoundry.ai", all),
        ("us.gateway.truefoundry.ai", "orf0 sfo0 dfw0 yyz1"),
        ("eu.gateway.truefoundry.ai", "lhr0 mad0 gvx0 dia1"),
        ("au.gateway.truefoundry.ai", "syd0 mel0 sin1"),
        ("gru.gateway.truefoundry.ai", "gru0"),
    ] {
        assert_eq!(route_text(&topology, hostname), members, "{hostname}");
    }
    assert!(topology.routes.iter().all(|route| route.steering == Steering::Nearest && route.residency.is_none()));
    let dialect = |path| {
        let hostname = anyfront::names::Hostname::parse("gateway.truefoundry.ai").expect("a name");
        topology.class(&hostname, path).dialect
    };
    assert_eq!(
        [dialect("/v1/chat/completions"), dialect("/mcp/x"), dialect("/chat/completions"), dialect("/")],
        [Dialect::OpenAi, Dialect::JsonRpc, Dialect::OpenAi, Dialect::Plain]
    );
    assert_eq!(topology.digest.len(), 64);
}

#[test]
fn absent_keys_have_the_documented_defaults() {
    let Checked { topology, warnings } = checked(&whole("", ""));
    assert!(warnings.is_empty(), "{warnings}");
    let seconds = Duration::from_secs;
    let forward = &topology.forward;
    assert_eq!(
        (forward.attempts, forward.failover_timeout, forward.connect_timeout, forward.first_byte_timeout),
        (3, seconds(5), seconds(1), seconds(600))
    );
    assert_eq!((forward.retry_percent, forward.retry_floor), (10, 3));
    assert_eq!((forward.stream_idle_timeout, forward.slow_start), (seconds(600), seconds(60)));
    assert_eq!(forward.websocket_idle_timeout, seconds(300));
    assert!(forward.trusted_proxies.is_empty() && forward.trust.is_empty());
    let probe = &topology.regions[0].probe;
    assert_eq!(
        (probe.interval, probe.fast_interval, probe.down_interval, probe.timeout),
        (seconds(1), Duration::from_millis(250), seconds(2), Duration::from_millis(1_500))
    );
    assert_eq!((probe.rise, probe.fall, probe.reset_ok), (3, 3, 10));
    let ProbeKind::Http { path, expect_status, expect_body, expect_json } = &probe.kind else { panic!("HTTP") };
    assert_eq!(
        (&**path, expect_status.as_slice(), &**expect_body, expect_json),
        ("/health", &[200..=299][..], "", &None)
    );
    let route = &topology.routes[0];
    assert_eq!((route.steering, route.all_down), (Steering::Nearest, AllDown::TryNearest));
    let region = &topology.regions[0];
    assert_eq!((region.weight, region.capacity, region.addresses.len()), (100, None, 0));
    assert_eq!((topology.endpoints[0].weight, topology.endpoints[0].tls, topology.endpoints[0].port), (100, false, 80));
    assert_eq!(topology.classes.len(), 1, "the one that takes everything");
}

#[test]
fn the_schema_has_every_key_and_its_default() {
    let schema = anyfront::topology::file::schema();
    assert_eq!(schema["properties"]["probe"]["properties"]["interval"]["default"], "1s");
    for (_, keys) in anyfront::topology::file::TABLES {
        let text = schema.to_string();
        assert!(keys.iter().all(|key| text.contains(&format!("\"{key}\""))));
    }
}

// ---- the edges of every table ---------------------------------------------------------------------------------------

/// The errors of `source`, as text.
fn errors(source: &str) -> Vec<String> {
    let rows = told(source).rows();
    rows.into_iter().filter(|row| row.gravity == Gravity::Error).map(|row| row.message).collect()
}

#[track_caller]
fn assert_edge(most: usize, what: &str, source: impl Fn(usize) -> String) {
    assert_eq!(errors(&source(most)), Vec::<String>::new(), "{most} of {what} are allowed");
    let over = errors(&source(most + 1));
    assert!(over.len() == 1 && over[0].contains(what), "{} of {what}: {over:?}", most + 1);
}

#[test]
fn every_table_takes_what_it_may_and_not_one_more() {
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let region = |n: usize, endpoints: &str| {
        format!(
            "[[region]]\nname=\"r{n}\"\nprovider=\"p\"\ncountry=\"GB\"\nlatitude=1\nlongitude=1\nendpoints=[{endpoints}]\n"
        )
    };
    assert_edge(SITES_MAX, "[[site]]", |count| {
        let sites = many(count, &|n| format!("[[site]]\nname=\"s{n}\"\nlatitude=1\nlongitude=1\n"));
        whole("without site", &sites)
    });
    assert_edge(REGIONS_MAX, "[[region]]", |count| {
        let regions = many(count, &|n| region(n, "\"http://192.0.2.1\""));
        whole("without region, without hostname", &regions)
    });
    assert_edge(ENDPOINTS_PER_REGION_MAX, "endpoints", |count| {
        let endpoints = many(count, &|n| format!("\"http://192.0.2.1:{}\",", n + 1));
        whole("without region, without hostname", &region(0, &endpoints))
    });
    assert_edge(HOSTNAMES_MAX, "[[hostname]]", |count| {
        let hostnames =
            many(count, &|n| format!("[[hostname]]\nname=\"h{n}.example\"\nregions=[\"a\"]\nfallback=[\"b\"]\n"));
        whole("without hostname", &hostnames)
    });
    assert_edge(CLASSES_MAX, "[[class]]", |count| {
        whole("", &many(count, &|n| format!("[[class]]\nprefix=\"/{n}/\"\n")))
    });
    assert_edge(GEO_PLACES_MAX, "place", |count| {
        let places = many(count, &|n| {
            format!("[[geo.place]]\nprefix=\"10.{}.{}.0/24\"\nlatitude=1\nlongitude=1\n", n / 256, n % 256)
        });
        whole("", &places)
    });
    assert_edge(PRIVATE_LINKS_MAX, "private_link", |count| {
        whole("", &many(count, &|n| format!("[[private_link]]\nprovider=\"gcp\"\nid=\"{n}\"\n")))
    });
    assert_edge(ZONE_RECORDS_MAX, "[[zone.record]]", |count| {
        let records = many(count, &|n| format!("[[zone.record]]\nname=\"r{n}\"\ntype=\"TXT\"\nvalue=\"x\"\n"));
        whole("(zone)", &records)
    });
    assert_edge(NAMESERVERS_MAX, "nameservers", |count| {
        let names = many(count, &|n| format!("\"ns{n}.example.com\","));
        whole("", &format!("[zone]\nnameservers=[{names}]\nhostmaster=\"a@z.example\"\n"))
    });
    assert_edge(CERTIFICATE_NAMES_MAX, "names", |count| {
        let names = many(count, &|n| format!("\"n{n}.z.example\","));
        whole("(zone)", &format!("[acme]\ndirectory=\"https://acme.example/\"\nnames=[{names}]\n"))
    });
    let negative = |most: u64| whole("", &format!("{ZONE}negative_ttl=\"{most}s\"\n"));
    assert_edge(NEGATIVE_TTL_MAX.as_secs().try_into().expect("few"), "negative_ttl", |most| negative(most as u64));
    assert_edge(LIST_MAX, "trusted_proxies", |count| {
        let proxies = many(count, &|n| format!("\"10.{}.{}.0/24\",", n / 256, n % 256));
        whole("", &format!("[forward]\ntrusted_proxies=[{proxies}]\n"))
    });
}

#[test]
fn the_longest_file_is_read_and_one_octet_more_is_not() {
    let source = whole("", "");
    let padded = |length: usize| format!("{source}#{}", "x".repeat(length - source.len() - 1));
    assert_eq!(errors(&padded(TOPOLOGY_BYTES_MAX)), Vec::<String>::new());
    let over = errors(&padded(TOPOLOGY_BYTES_MAX + 1));
    assert!(over.len() == 1 && over[0].contains("octets"), "{over:?}");
}

#[test]
fn a_thousand_mistakes_are_told_in_part_and_counted_whole() {
    let bad: String = (0..1_000).map(|n| format!("bad{n} = 1\n")).collect();
    let mistakes = told(&whole("", &bad));
    assert_eq!(mistakes.len(), MISTAKES_MAX);
    assert!(mistakes.render(false).ends_with("and 900 more like these\n"));
}

// ---- what a hostile hand may write ----------------------------------------------------------------------------------

#[test]
fn no_text_makes_check_panic() {
    let deep = |open: &str, close: &str| format!("x = {}{}", open.repeat(2_000), close.repeat(2_000));
    let texts = [
        String::new(),
        "\u{feff}".to_owned(),
        "\u{feff}[fleet]\nname = \"f\"\n".to_owned(),
        "\0".to_owned(),
        "\r".to_owned(),
        "[fleet]\rname = 1".to_owned(),
        "[fleet".to_owned(),
        "[[fleet]]\n[fleet]\n".to_owned(),
        "fleet.name.x.y = 1\nfleet.name = 2\n".to_owned(),
        "fleet = 1979-05-27T07:32:00Z\nsite = 07:32:00\nregion = 1979-05-27\n".to_owned(),
        "\"\" = 1\n'' = 2\n".to_owned(),
        "\"\u{1F600}\u{202E}\" = \"\u{1F600}\u{202E}\"\n".to_owned(),
        "[probe]\nrise = 99999999999999999999999999999\nfall = -0\nreset_ok = 0xFFFFFFFFFFFFFFFFFF\ntimeout = 1e999\n"
            .to_owned(),
        "[[site]]\nlatitude = nan\nlongitude = -inf\n[[site]]\nlatitude = 1_0.0_1\nlongitude = 0o7\n".to_owned(),
        "[probe]\nexpect_json = { pointer = \"/a\", value = inf }\n".to_owned(),
        "[probe]\nexpect_json = { pointer = \"/a\", value = 99999999999999999999 }\n".to_owned(),
        "region = [1, \"a\", [], {}, 1979-05-27, [[[]]], nan]\n".to_owned(),
        "hostname = [{ regions = [[]], fallback = [[[\"a\"]], {}, 1] }]\n".to_owned(),
        "[geo]\ndatabase = \"\"\n[forward]\ntrust = [\"/\", \"/dev/zero\", \"\\u0000\", \"..\"]\n".to_owned(),
        "x = \"".to_owned() + &"\u{e4}".repeat(100_000),
        "\u{e4}".repeat(1_000) + " = 1",
        deep("[", "]"),
        deep("{a=", "}"),
        format!("{} = 1\n", vec!["a"; 5_000].join(".")),
        "[a]\n".repeat(20_000),
        "= 1\n".repeat(20_000),
        "[[region]]\n".repeat(5_000),
        "[[zone.record]]\n".repeat(5_000),
        format!("{ZONE}[[zone.record]]\nname=\"a\\u0000\"\ntype=\"CAA\"\nvalue=\"0 a \\u0000\\\\1\"\n"),
    ];
    for text in texts {
        for source in [text.clone(), text.replace('\n', "\r\n"), whole("", &text)] {
            let mistakes = told(&source);
            drop((mistakes.render(true), mistakes.rows(), mistakes.to_string()));
        }
        let shown: String = text.chars().take(60).collect();
        assert!(!told(&text).is_empty(), "{shown:?} was taken");
    }
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let source = whole("", "[probe]\nrise = 0\n").replace('\n', "\r\n");
    let rows = told(&source).rows();
    assert_eq!((rows.len(), rows[0].line, rows[0].column), (1, 2, 8));
    let marked = format!("\u{feff}{}", whole("", ""));
    assert_eq!(errors(&marked), Vec::<String>::new());
}

#[test]
fn a_refused_file_costs_no_more_than_its_length_however_it_is_made() {
    // Not a benchmark: four times the file may cost about four times as much, and a quadratic walk would cost sixteen.
    let lines = |share: usize| "bad = 1\n".repeat(1_000 * share);
    assert_grows_gently(|share| drop(told(&lines(share)).render(false)));
    // References to nothing, among long names that each might be the one meant.
    let long = "x".repeat(58);
    let region = |n| {
        let name = format!("{long}{n}");
        format!(
            "[[region]]\nname=\"{name}\"\nprovider=\"p\"\ncountry=\"GB\"\nlatitude=1\nlongitude=1\nendpoints=[\"http://192.0.2.1\"]\n"
        )
    };
    let hostname = |n| format!("[[hostname]]\nname=\"h{n}.example\"\nregions=[{}]\n", "\"nowhere\",".repeat(300));
    let regions: String = (0..100).map(region).collect();
    let file = |share: usize| {
        let hostnames: String = (0..4 * share).map(hostname).collect();
        whole("without region, without hostname", &format!("{regions}{hostnames}"))
    };
    assert_eq!(told(&file(1)).len(), MISTAKES_MAX);
    assert_grows_gently(|share| drop(told(&file(share))));
}

/// Costs of one and of four shares, each the least of several runs: what else the machine does only adds.
fn assert_grows_gently(cost: impl Fn(usize)) {
    let least = |share| {
        let once = |_| {
            let began = anyfront::moment::Clock::start();
            cost(share);
            began.now().since(anyfront::moment::Moment::ZERO)
        };
        (0..2).map(once).min().expect("two runs")
    };
    let (one, four) = (least(1), least(4));
    assert!(four < one * 10, "{four:?} for four times what takes {one:?}");
}
