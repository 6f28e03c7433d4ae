//! Every kind of fault, at one primary, at all primaries, at primaries and fallback, and everywhere; for global,
//! multi-regional and regional names: who serves, and what the client sees.
//!
//! One table says where clients end up ([`Case`]), one what each fault looks like ([`Sight`]); every test is one cell
//! of faults × breadths and goes through all names twice: while the node cannot know yet, and when it does.

mod harness;

use anyfront::health::Standing;
use anyfront::lab::fault::Fault;
use anyfront::snapshot::Snapshot;
use futures_util::future::join_all;
use harness::{Ask, Fleet, SOON, Seen, from, get, hostname, post, quick, quick_and_secure, quick_to_hear_silence};
use std::time::Duration;

/// One name, asked from one place, in one breadth of outage.
struct Case {
    host: &'static str,
    city: &'static str,
    /// Who serves it when all is well.
    first: &'static str,
    /// Who serves it then; `None`: nobody who works is left.
    then: Option<&'static str>,
}

const fn case(host: &'static str, city: &'static str, first: &'static str, then: Option<&'static str>) -> Case {
    Case { host, city, first, then }
}

/// How much is broken, and what that means to whom.
struct Breadth {
    broken: &'static [&'static str],
    cases: &'static [Case],
}

const ONE_PRIMARY: Breadth = Breadth {
    broken: &["orf", "lhr", "syd"],
    cases: &[
        case("", "New York", "orf", Some("yyz")),
        case("", "London", "lhr", Some("mad")),
        case("us", "New York", "orf", Some("dfw")),
        case("eu", "London", "lhr", Some("mad")),
        case("au", "Sydney", "syd", Some("mel")),
        case("orf", "New York", "orf", None),
        // Who is not concerned notices nothing.
        case("us", "San Francisco", "sfo", Some("sfo")),
        case("mel", "London", "mel", Some("mel")),
    ],
};

const ALL_PRIMARIES: Breadth = Breadth {
    broken: &["orf", "sfo", "dfw", "lhr", "mad", "gvx"],
    cases: &[
        case("", "New York", "orf", Some("yyz")),
        case("", "London", "lhr", Some("dia")),
        case("us", "San Francisco", "sfo", Some("yyz")),
        case("eu", "Berlin", "gvx", Some("dia")),
        case("dfw", "New York", "dfw", None),
        case("au", "Sydney", "syd", Some("syd")),
    ],
};

const PRIMARIES_AND_FALLBACK: Breadth = Breadth {
    broken: &["orf", "sfo", "dfw", "yyz", "syd", "mel", "sin"],
    cases: &[
        case("", "New York", "orf", Some("lhr")),
        case("", "Sydney", "syd", Some("bom")),
        case("us", "New York", "orf", None),
        case("au", "Sydney", "syd", None),
        case("sin", "Sydney", "sin", None),
        case("eu", "Paris", "lhr", Some("lhr")),
    ],
};

const EVERYTHING: Breadth = Breadth {
    broken: &["all"],
    cases: &[
        case("", "New York", "orf", None),
        case("us", "San Francisco", "sfo", None),
        case("eu", "London", "lhr", None),
        case("au", "Sydney", "syd", None),
        case("gru", "London", "gru", None),
    ],
};

const SLOWER_BY: Duration = Duration::from_millis(350);

fn fault(kind: &str) -> Fault {
    match kind {
        "refuse" => Fault::Refuse,
        "blackhole" => Fault::Blackhole,
        "error" => Fault::Error { share: 1.0, status: 503 },
        "slow" => Fault::Slow { by: SLOWER_BY, times: 1.0 },
        "cut" => Fault::Cut,
        "tls" => Fault::Tls,
        "flap" => Fault::Flap { period: Duration::from_millis(150) },
        "hang" => Fault::Hang,
        _ => unreachable!("the matrix below has no such fault"),
    }
}

/// What a client sees of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// 200 to the end, from who works.
    GoodElsewhere,
    /// 200 to the end, from whoever it was.
    Good,
    /// The broken region's own 503.
    TheirError,
    /// Our error in the dialect of the route, with hints when to try again.
    OurError(&'static [(u16, &'static str)]),
    /// An answer that visibly is not whole.
    Broken,
}
use Sight::{Broken, Good, GoodElsewhere, OurError, TheirError};

const UNREACHED: Sight = OurError(&[(503, "no_region_reached")]);
const NO_ANSWER: Sight = OurError(&[(504, "no_answer")]);
const LOST_OR_UNREACHED: Sight = OurError(&[(502, "connection_lost"), (503, "no_region_reached")]);

/// What a client may see of `kind` while nobody knows of it.
fn at_first(kind: &str, broken: &[&str], is_get: bool, somebody_works: bool) -> &'static [Sight] {
    match (kind, is_get, somebody_works) {
        // It reached nobody, so it goes on, whatever it is.
        ("refuse" | "blackhole" | "tls", _, true) => &[GoodElsewhere],
        ("refuse" | "blackhole" | "tls", _, false) => &[UNREACHED],
        // It may have been processed: only what is safe goes on. (The node may know already by the second request.)
        ("hang", true, true) => &[GoodElsewhere],
        // Three regions that failed are enough of one request: so many may have processed it.
        ("error", true, true) if broken.len() > 3 => &[GoodElsewhere, TheirError],
        ("error", true, true) => &[GoodElsewhere],
        ("error", false, true) => &[TheirError, GoodElsewhere],
        ("error", _, false) => &[TheirError],
        ("hang", false, true) => &[NO_ANSWER, GoodElsewhere],
        ("hang", _, false) => &[NO_ANSWER],
        ("slow", ..) => &[Good],
        ("cut", ..) => &[Broken],
        ("flap", true, true) => &[Good],
        ("flap", false, true) => &[Good, LOST_OR_UNREACHED],
        ("flap", _, false) => &[Good, LOST_OR_UNREACHED],
        _ => unreachable!("the matrix below has no such fault"),
    }
}

/// And when the node knows.
fn at_last(kind: &str, broken: &[&str], is_get: bool, somebody_works: bool) -> &'static [Sight] {
    match (kind, somebody_works) {
        ("refuse" | "blackhole" | "tls" | "error" | "slow" | "hang", true) => &[GoodElsewhere],
        _ => at_first(kind, broken, is_get, somebody_works),
    }
}

/// A case that the outage does not concern.
fn is_bystander(case: &Case) -> bool {
    case.then == Some(case.first)
}

fn fits(sight: Sight, seen: &Seen, case: &Case) -> bool {
    match sight {
        GoodElsewhere => seen.is_good() && Some(seen.region()) == case.then,
        Good => seen.is_good(),
        TheirError => seen.status == Some(503) && !seen.region().is_empty() && !seen.is_broken(),
        OurError(kinds) => {
            !seen.is_broken()
                && kinds.iter().any(|(status, code)| seen.status == Some(*status) && seen.own_error() == *code)
        }
        Broken => seen.is_broken(),
    }
}

/// Asks everything at once and holds it to what may be seen.
async fn all_see(
    fleet: &Fleet,
    cases: &[Case],
    sights: impl Fn(bool, bool) -> &'static [Sight],
    when: &str,
    is_steady: bool,
) {
    let asked = cases.iter().flat_map(|case| [(case, get(case.host)), (case, post(case.host))]);
    let looks = asked.map(|(case, ask)| async move { (case, fleet.ask(ask.clone(), from(case.city)).await, ask) });
    let mut wrong = Vec::new();
    let before = fleet.snapshot();
    for (case, seen, ask) in join_all(looks).await {
        let allowed = if is_bystander(case) { &[GoodElsewhere] } else { sights(ask.is_get(), case.then.is_some()) };
        if !allowed.iter().any(|sight| fits(*sight, &seen, case)) {
            wrong.push(format!("{}: should be one of {allowed:?}", told(&ask, case, &seen)));
        }
        if is_bystander(case) && seen.attempts() != [case.first] {
            wrong.push(format!("{}: a bystander was touched", told(&ask, case, &seen)));
        }
        // A regional name is for testing its region: it never goes elsewhere.
        if case.host == case.first && seen.attempts().iter().any(|region| *region != case.first) {
            wrong.push(format!("{}: went elsewhere", told(&ask, case, &seen)));
        }
        // Whoever is nearest is tried first, even when everything is down; among equals, that is.
        let is_still = is_steady && fleet.snapshot().generation == before.generation;
        if is_still
            && are_equals(&before, case.host)
            && case.then.is_none()
            && seen.status.is_some()
            && seen.attempts().first() != Some(&case.first)
        {
            wrong.push(format!("{}: {} should be tried first", told(&ask, case, &seen), case.first));
        }
    }
    assert!(wrong.is_empty(), "{when}:\n{}\n{}", wrong.join("\n"), fleet.beliefs());
}

/// Whether the regions of a hostname all stand alike.
fn are_equals(snapshot: &Snapshot, host: &str) -> bool {
    let hostname = hostname(host);
    let routes = snapshot.topology.routes.iter().filter(|route| route.hostname.as_str() == hostname);
    let mut standings = routes
        .flat_map(|route| &route.members)
        .map(|member| snapshot.region(member.region).standing)
        .collect::<Vec<_>>();
    standings.dedup();
    standings.len() <= 1
}

fn told(ask: &Ask, case: &Case, seen: &Seen) -> String {
    let body = seen.body.as_ref().map(|body| String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned());
    format!(
        "{} {:?} from {}: {:?} by {:?} after {:?} in {:?}, {body:?}",
        ask.method,
        case.host,
        case.city,
        seen.status,
        seen.region(),
        seen.attempts(),
        seen.elapsed
    )
}

impl Ask {
    fn is_get(&self) -> bool {
        self.method == http::Method::GET
    }
}

/// One cell of the table.
async fn outage(kind: &str, breadth: &Breadth) {
    let settings = match kind {
        "tls" => quick_and_secure(),
        "blackhole" | "hang" => quick_to_hear_silence(),
        _ => quick(),
    };
    let fleet = Fleet::start(settings).await;
    if kind == "slow" {
        // What is slow is known only by what was usual.
        fleet.until_probed(8).await;
    }
    let broke = fleet.clock.now();
    for whom in breadth.broken {
        fleet.suffer(whom, fault(kind));
    }
    let broken = breadth.broken;
    let everything = breadth.broken == ["all"];
    all_see(&fleet, breadth.cases, |is_get, works| at_first(kind, broken, is_get, works), "at first", true).await;
    match kind {
        // What flaps is now this, now that; what is cut passes its probes, which look at the head of an answer.
        "flap" | "cut" => {}
        "slow" if everything => {
            fleet.until_all(Standing::Strained, SOON).await;
        }
        // When all fails at once the node suspects itself, and keeps the order it had.
        _ if everything => {
            fleet.until("suspects itself", SOON, |snapshot| snapshot.is_suspect).await;
            fleet.until_all(Standing::Unknown, SOON).await;
        }
        _ => {
            let wanted = if kind == "slow" { Standing::Strained } else { Standing::Down };
            for whom in breadth.broken {
                fleet.until_standing(whom, wanted, SOON).await;
            }
        }
    }
    println!("{kind}: known {:?} after it began", fleet.clock.now().since(broke));
    all_see(
        &fleet,
        breadth.cases,
        |is_get, works| at_last(kind, broken, is_get, works),
        "when it is known",
        kind != "flap",
    )
    .await;
    assert_eq!(fleet.posts_processed_twice(), []);
}

macro_rules! matrix {
    ($($kind:ident)*) => {$(
        mod $kind {
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn of_one_primary() {
                super::outage(stringify!($kind), &super::ONE_PRIMARY).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn of_all_primaries() {
                super::outage(stringify!($kind), &super::ALL_PRIMARIES).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn of_primaries_and_fallback() {
                super::outage(stringify!($kind), &super::PRIMARIES_AND_FALLBACK).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn of_everything() {
                super::outage(stringify!($kind), &super::EVERYTHING).await;
            }
        }
    )*};
}

matrix!(refuse blackhole error slow cut tls flap hang);
