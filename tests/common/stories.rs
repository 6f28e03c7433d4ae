//! Reports as the history makes them, made up: the fleet's own 14 regions, 90 days, everything that can be told. The same
//! each time.

use anyfront::history::story::{
    DAYS_SHOWN, Day, Flow, HostnameReport, Impact, Incident, Level, Phase, RegionReport, Report, Slot, Subject,
    Trouble, Update,
};
use anyfront::topology::check::check;
use std::path::Path;
use std::time::Duration;

/// Now, in all of them: 2026-11-27 16:05:22 UTC.
pub const NOW: Duration = Duration::from_secs(1_795_795_522);
const DAY_S: u64 = 86_400;

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

const fn hours(n: u64) -> Duration {
    minutes(n * 60)
}

const fn days(n: u64) -> Duration {
    hours(n * 24)
}

/// Chance that is the same each time.
#[derive(Clone, Debug)]
pub struct Lot(u64);

impl Lot {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to 1.
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn today() -> u32 {
    u32::try_from(NOW.as_secs() / DAY_S).expect("days fit")
}

/// 90 days, mostly good: `bad` are days ago, seconds, and at which level.
fn history(seed: u64, base_ms: f64, bad: &[(u32, u32, Level)]) -> Vec<Day> {
    let mut lot = Lot::new(seed);
    let mut all = Vec::new();
    for ago in (0..DAYS_SHOWN as u32).rev() {
        let whole = if ago == 0 { u32::try_from(NOW.as_secs() % DAY_S).expect("it fits") } else { DAY_S as u32 };
        let mut seconds = [0; 6];
        for (_, length, level) in bad.iter().filter(|(day, ..)| *day == ago) {
            seconds[*level as usize] += (*length).min(whole);
        }
        if lot.next() < 0.05 {
            seconds[Level::Degraded as usize] += 30;
        }
        seconds[0] = whole.saturating_sub(seconds.iter().sum());
        let p50 = base_ms * (0.95 + 0.1 * lot.next());
        all.push(Day { day: today() - ago, seconds, p50_ms: Some(p50), p95_ms: Some(p50 * 1.4) });
    }
    all
}

fn recent(seed: u64, base_ms: f64, gap: std::ops::Range<u64>) -> Vec<Slot> {
    let mut lot = Lot::new(seed ^ 0xabcd);
    (0..96)
        .filter(|slot| !gap.contains(slot))
        .map(|slot| {
            let wave = 1.0 + 0.12 * ((slot as f64) / 96.0 * std::f64::consts::TAU).sin();
            let p50 = base_ms * wave * (0.97 + 0.06 * lot.next());
            let p95 = p50 * (1.25 + 0.2 * lot.next());
            let p99 = p95 * (1.15 + if lot.next() > 0.9 { 0.9 } else { 0.25 * lot.next() });
            Slot { at: NOW - days(1) + minutes(15 * slot), p50_ms: Some(p50), p95_ms: Some(p95), p99_ms: Some(p99) }
        })
        .collect()
}

fn uptime(days: &[Day]) -> Option<f64> {
    let judged: f64 = days.iter().map(|day| f64::from(day.judged_s())).sum();
    let lost: f64 = days.iter().map(|day| f64::from(day.seconds[Level::Major as usize])).sum();
    (judged > 0.0).then(|| 1.0 - lost / judged)
}

/// The regions and hostnames of the repository's own `regions.toml`, all well.
pub fn all_well() -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("regions.toml");
    let source = std::fs::read_to_string(&path).expect("regions.toml is there");
    let topology = check(&source, &path).expect("it has no mistakes").topology;
    let here = topology.sites[0].place.at;
    let regions: Vec<RegionReport> = topology
        .regions
        .iter()
        .enumerate()
        .map(|(at, region)| {
            let at_place = region.place.at;
            let base = 4.0 + here.distance_km(&at_place) / 70.0;
            let days = history(at as u64 + 1, base, &[]);
            RegionReport {
                name: region.name.to_string(),
                provider: topology.providers[region.provider.at()].to_string(),
                city: region.place.city.as_deref().map(str::to_owned),
                country: region.place.country.map(|country| country.to_string()),
                latitude: at_place.latitude(),
                longitude: at_place.longitude(),
                level: Level::Operational,
                standing: "up".into(),
                reason: String::new(),
                since: NOW - days_of(40),
                latency_ms: Some(base),
                uptime: uptime(&days),
                recent: recent(at as u64 + 1, base, 0..0),
                days,
            }
        })
        .collect();
    let hostname = |name: &str, serving: &[&str], fallbacks: &[&str], sentence: &str| {
        let days = history(name.len() as u64 * 7, 0.0, &[]);
        HostnameReport {
            name: name.into(),
            level: Level::Operational,
            since: NOW - days_of(60),
            serving: serving.iter().map(ToString::to_string).collect(),
            missing: Vec::new(),
            fallbacks: fallbacks.iter().map(|name| (name.to_string(), true)).collect(),
            sentence: sentence.into(),
            uptime: uptime(&days),
            days,
        }
    };
    let hostnames = vec![
        hostname(
            "gateway.truefoundry.ai",
            &["orf", "yyz", "sfo", "dfw", "lhr", "mad", "gvx", "gru", "cpt", "dia", "bom", "sin", "mel", "syd"],
            &[],
            "served from all 14 regions, nearest first",
        ),
        hostname(
            "us.gateway.truefoundry.ai",
            &["orf", "sfo", "dfw"],
            &["yyz"],
            "served from ORF, SFO and DFW; fallback YYZ ready",
        ),
        hostname(
            "eu.gateway.truefoundry.ai",
            &["lhr", "mad", "gvx"],
            &["dia"],
            "served from LHR, MAD and GVX; fallback DIA ready",
        ),
        hostname("au.gateway.truefoundry.ai", &["syd", "mel"], &["sin"], "served from SYD and MEL; fallback SIN ready"),
    ];
    Report {
        at: NOW,
        fleet: "truefoundry".into(),
        vantage: "lon-1".into(),
        generation: 4_217,
        is_suspect: false,
        level: Level::Operational,
        regions,
        hostnames,
        incidents: past(),
        maintenance: vec![window()],
        flows: flows(),
        trouble: None,
    }
}

fn days_of(n: u64) -> Duration {
    days(n)
}

fn update(id: &str, ago: Duration, phase: Phase, text: &str, by_operator: bool) -> Update {
    Update { id: id.into(), at: NOW - ago, phase, text: text.into(), by_operator }
}

fn window() -> Incident {
    let from = Duration::from_secs(NOW.as_secs() / DAY_S * DAY_S) + days(3) + hours(2);
    Incident {
        id: "mnt-20261130-gvx".into(),
        title: "Gävle: the network of the data centre is renewed".into(),
        phase: Phase::Scheduled,
        impact: Impact::Maintenance,
        subjects: vec![Subject::Region("gvx".into())],
        opened_at: NOW - days(4),
        closed_at: None,
        window: Some((from, from + hours(2))),
        is_automatic: false,
        updates: vec![update(
            "u-mnt-1",
            days(4),
            Phase::Scheduled,
            "GVX is drained before the work begins. eu.gateway.truefoundry.ai is served from LHR and MAD meanwhile; no \
             request is lost.",
            true,
        )],
        post_mortem: None,
    }
}

fn past() -> Vec<Incident> {
    vec![
        Incident {
            id: "inc-20261121-bom".into(),
            title: "BOM answers slowly".into(),
            phase: Phase::Resolved,
            impact: Impact::Minor,
            subjects: vec![Subject::Region("bom".into())],
            opened_at: NOW - days(6),
            closed_at: Some(NOW - days(6) + minutes(47)),
            window: None,
            is_automatic: true,
            updates: vec![
                update("u-bom-1", days(6), Phase::Investigating, "BOM takes 1.9 s for half of its answers.", false),
                update(
                    "u-bom-2",
                    days(6) - minutes(47),
                    Phase::Resolved,
                    "BOM has been as fast as usual for 10 minutes.",
                    false,
                ),
            ],
            post_mortem: None,
        },
        Incident {
            id: "inc-20261012-dia".into(),
            title: "DIA is out of service".into(),
            phase: Phase::Resolved,
            impact: Impact::Major,
            subjects: vec![Subject::Region("dia".into()), Subject::Hostname("eu.gateway.truefoundry.ai".into())],
            opened_at: NOW - days(46),
            closed_at: Some(NOW - days(46) + hours(2)),
            window: None,
            is_automatic: true,
            updates: vec![
                update("u-dia-1", days(46), Phase::Investigating, "DIA does not answer.", false),
                update(
                    "u-dia-2",
                    days(46) - minutes(35),
                    Phase::Identified,
                    "A cable in the Gulf is cut. The provider moves traffic to another.",
                    true,
                ),
                update("u-dia-3", days(46) - minutes(110), Phase::Monitoring, "DIA answers again.", false),
                update("u-dia-4", days(46) - hours(2), Phase::Resolved, "DIA has been well for 10 minutes.", false),
            ],
            post_mortem: Some(
                "What happened\nA ship's anchor cut the cable that both of the provider's paths share.\n\nWhat it meant\n\
                 Nobody was without an answer: eu.gateway.truefoundry.ai needs DIA only as a fallback.\n\nWhat we do\n\
                 The provider has a third path since 2 November."
                    .into(),
            ),
        },
    ]
}

fn flows() -> Vec<Flow> {
    let rows: [(&str, f64, f64, &str, f64); 30] = [
        ("US", 40.7, -74.0, "orf", 182.0),
        ("US", 34.0, -118.2, "sfo", 141.0),
        ("US", 29.8, -95.4, "dfw", 96.0),
        ("CA", 45.5, -73.6, "yyz", 41.0),
        ("GB", 53.5, -2.2, "lhr", 88.0),
        ("DE", 52.5, 13.4, "gvx", 64.0),
        ("FR", 48.9, 2.4, "lhr", 52.0),
        ("ES", 37.4, -6.0, "mad", 31.0),
        ("PT", 38.7, -9.1, "mad", 9.0),
        ("IT", 41.9, 12.5, "mad", 22.0),
        ("PL", 52.2, 21.0, "gvx", 17.0),
        ("NO", 59.9, 10.8, "gvx", 8.0),
        ("TR", 41.0, 29.0, "dia", 14.0),
        ("AE", 25.2, 55.3, "dia", 19.0),
        ("SA", 24.7, 46.7, "dia", 7.5),
        ("IN", 28.6, 77.2, "bom", 118.0),
        ("LK", 6.9, 79.9, "bom", 3.0),
        ("SG", 1.4, 103.8, "sin", 37.0),
        ("ID", -6.2, 106.8, "sin", 21.0),
        ("JP", 35.7, 139.7, "sin", 55.0),
        ("KR", 37.6, 127.0, "sin", 26.0),
        ("NZ", -36.8, 174.8, "syd", 11.0),
        ("AU", -27.5, 153.0, "syd", 28.0),
        ("AU", -35.0, 138.6, "mel", 12.0),
        ("BR", -22.9, -43.2, "gru", 34.0),
        ("AR", -34.6, -58.4, "gru", 16.0),
        ("CL", -33.4, -70.6, "gru", 6.0),
        ("ZA", -26.2, 28.0, "cpt", 13.0),
        ("KE", -1.3, 36.8, "cpt", 4.0),
        ("MX", 19.4, -99.1, "dfw", 18.0),
    ];
    let flow = |(country, latitude, longitude, region, per_second): (&str, f64, f64, &str, f64)| Flow {
        country: Some(country.into()),
        latitude,
        longitude,
        region: region.into(),
        per_second,
    };
    rows.map(flow).to_vec()
}

fn region<'a>(report: &'a mut Report, name: &str) -> &'a mut RegionReport {
    report.regions.iter_mut().find(|region| region.name == name).expect("the fleet has it")
}

/// An evening on which much goes on: a region out, one drained, one slow, one hostname on its fallback, days not watched.
pub fn outage() -> Report {
    let mut report = all_well();
    let told =
        |report: &mut Report, name: &str, level, standing: &str, reason: &str, since, bad: &[(u32, u32, Level)]| {
            let region = region(report, name);
            (region.level, region.since) = (level, NOW - since);
            (region.standing, region.reason) = (standing.into(), reason.into());
            region.days = history(name.len() as u64, region.latency_ms.unwrap_or(20.0), bad);
            region.uptime = uptime(&region.days);
        };
    let major = Level::Major;
    told(
        &mut report,
        "orf",
        major,
        "down",
        "3 probes in a row failed: no answer within 1500 ms",
        minutes(23),
        &[(0, 1_380, major), (31, 540, major), (52, 2_400, Level::Degraded)],
    );
    told(
        &mut report,
        "sfo",
        Level::Maintenance,
        "up",
        "drained by an operator",
        minutes(50),
        &[(0, 3_000, Level::Maintenance), (40, 7_200, Level::Maintenance)],
    );
    told(&mut report, "dfw", major, "ejected", "", minutes(9), &[(0, 540, major)]);
    told(
        &mut report,
        "bom",
        Level::Degraded,
        "strained",
        "slow: half of the probes take 1.9 s",
        minutes(14),
        &[(0, 1_800, Level::Degraded), (6, 2_820, Level::Degraded)],
    );
    told(&mut report, "dia", Level::Operational, "up", "", days(46), &[(46, 7_200, major)]);
    let orf = region(&mut report, "orf");
    (orf.latency_ms, orf.recent) = (None, recent(1, 120.0, 94..96));
    // From before it was watched.
    let gru = region(&mut report, "gru");
    gru.days.drain(..28);
    let us = &mut report.hostnames[1];
    (us.level, us.since) = (Level::Partial, NOW - minutes(9));
    us.serving = vec!["yyz".into()];
    us.missing =
        vec![("orf".into(), "down".into()), ("sfo".into(), "draining".into()), ("dfw".into(), "ejected".into())];
    us.fallbacks = vec![("yyz".into(), true)];
    us.sentence = "served from fallback YYZ; ORF down; SFO draining; DFW ejected".into();
    us.days = history(3, 0.0, &[(0, 540, Level::Partial), (31, 200, Level::Partial)]);
    report.hostnames[0].sentence = "served from 11 of 14 regions; ORF down; SFO draining; DFW ejected".into();
    report.level = Level::Partial;
    report.incidents.insert(0, open());
    let gvx = &mut report.maintenance[0];
    gvx.phase = Phase::Scheduled;
    for flow in report.flows.iter_mut().filter(|flow| ["orf", "sfo", "dfw"].contains(&flow.region.as_str())) {
        flow.region = "yyz".into();
    }
    report
}

fn open() -> Incident {
    Incident {
        id: "inc-20261127-us".into(),
        title: "us.gateway.truefoundry.ai is served by its fallback".into(),
        phase: Phase::Identified,
        impact: Impact::Major,
        subjects: vec![
            Subject::Hostname("us.gateway.truefoundry.ai".into()),
            Subject::Region("orf".into()),
            Subject::Region("dfw".into()),
        ],
        opened_at: NOW - minutes(23),
        closed_at: None,
        window: None,
        is_automatic: true,
        updates: vec![
            update("u-us-1", minutes(23), Phase::Investigating, "ORF does not answer. Requests go to DFW.", false),
            update(
                "u-us-2",
                minutes(9),
                Phase::Investigating,
                "DFW fails requests and is left out. SFO is drained for maintenance. us.gateway.truefoundry.ai is served \
                 from its fallback YYZ, outside the United States.",
                false,
            ),
            update(
                "u-us-3",
                minutes(4),
                Phase::Identified,
                "A release of the gateway went to ORF and DFW and is rolled back. SFO's maintenance is ended early and it \
                 takes requests within 5 minutes.",
                true,
            ),
        ],
        post_mortem: None,
    }
}

/// Just started: nothing is known and there is no history.
pub fn no_history_yet() -> Report {
    let mut report = all_well();
    for region in &mut report.regions {
        region.level = Level::Unknown;
        region.standing = "unknown".into();
        (region.latency_ms, region.uptime) = (None, None);
        region.days.clear();
        region.recent.clear();
        region.since = NOW;
    }
    for hostname in &mut report.hostnames {
        hostname.level = Level::Unknown;
        hostname.uptime = None;
        hostname.days.clear();
        hostname.since = NOW;
    }
    report.level = Level::Unknown;
    report.incidents.clear();
    report.maintenance.clear();
    report.flows.clear();
    report
}

/// The observer trusts neither itself nor its disk.
pub fn in_doubt() -> Report {
    let mut report = all_well();
    report.is_suspect = true;
    report.level = Level::Unknown;
    report.trouble = Some(Trouble { since: NOW - hours(3), why: "nothing can be written: the disk is full".into() });
    for region in &mut report.regions {
        (region.level, region.standing) = (Level::Unknown, "down".into());
    }
    report
}

/// What strangers write into fields.
pub const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'onmouseover='alert(1)",
    "]]><script>alert(1)</script><![CDATA[",
    "&lt;b&gt; &amp;amp; &#x3c;script&#x3e; &nbsp;",
    "<!-- --><?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"b\">]>&a;",
    "</title></textarea></style></svg><script>alert(1)</script>",
    "javascript:alert(1)",
    "\u{202e}gnp.exe\u{2066}\u{2067}\u{2068} \u{200f}",
    "\0\u{1}\u{8}\u{b}\u{c}\u{1b}[31m\u{7f}\u{85}\u{9f}\u{fffe}\u{ffff}",
    "line one\r\nX-Injected: yes\n\n\tline three",
    "../../../../etc/passwd",
    "${7*7} {{7*7}} <%= 7*7 %>",
    "عربي שלום 日本語 👩‍👩‍👧‍👦 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
];

/// The text of the hostile corpus at `at`; every few an unbroken word of 8 KiB.
pub fn hostile_text(at: usize) -> String {
    match at % (HOSTILE.len() + 1) {
        at if at == HOSTILE.len() => "W".repeat(8 << 10),
        at => HOSTILE[at].to_owned(),
    }
}

/// A report in which every text is hostile: the corpus goes round from `start`.
pub fn hostile(start: usize) -> Report {
    let mut at = start;
    let mut next = || {
        at += 1;
        hostile_text(at)
    };
    let mut report = outage();
    report.regions.truncate(4);
    report.hostnames.truncate(2);
    (report.fleet, report.vantage) = (next(), next());
    for region in &mut report.regions {
        (region.name, region.provider) = (next(), next());
        (region.city, region.country) = (Some(next()), Some(next()));
        (region.standing, region.reason) = (next(), next());
        (region.latitude, region.longitude) = (f64::NAN, f64::INFINITY);
        region.latency_ms = Some(f64::NEG_INFINITY);
    }
    for hostname in &mut report.hostnames {
        (hostname.name, hostname.sentence) = (next(), next());
        hostname.serving = vec![next()];
        hostname.missing = vec![(next(), next())];
        hostname.fallbacks = vec![(next(), false)];
    }
    for incident in report.incidents.iter_mut().chain(&mut report.maintenance) {
        (incident.id, incident.title) = (next(), next());
        incident.subjects = vec![Subject::Region(next()), Subject::Hostname(next())];
        for update in &mut incident.updates {
            (update.id, update.text) = (next(), next());
        }
        incident.post_mortem = Some(next());
    }
    for flow in &mut report.flows {
        (flow.country, flow.region) = (Some(next()), next());
        flow.per_second = f64::NAN;
    }
    report.trouble = Some(Trouble { since: NOW, why: next() });
    report
}
