//! One scenario twice: on real sockets, by the real node in front of the lab's stand-ins, and in the simulated world.
//!
//! Both have the same file, the same round trips and comparable traffic, and both are told the same: three regions refuse,
//! three fall silent, one comes and goes, one is drained. Every region must stand the same way in the same order, take
//! as long to be found out and to come back, and everybody must be served by the same region meanwhile.
//!
//! A probe falls due at any moment of its interval, so "as long" cannot be one number. The simulated world is played with
//! fifty seeds; what was real has to lie where those lie, give or take 20 %.

#![allow(clippy::panic, reason = "what never happens fails the test, and says what")]

mod common;
mod harness;

use anyfront::geo::database::Locator;
use anyfront::geo::place::{Coordinates, Country, Place};
use anyfront::health::Standing;
use anyfront::lab::fault::Fault as Suffered;
use anyfront::lab::plan::CLIENTS;
use anyfront::lab::world::Settings;
use anyfront::moment::{Clock, Moment};
use anyfront::names::{Hostname, Label};
use anyfront::sim::fact::Fact;
use anyfront::sim::scenario::{Fault, Program, RegionTruth, Scenario, Ways, What, Whom, Work};
use anyfront::sim::stage::Stage;
use anyfront::sim::world::World;
use anyfront::snapshot::{Published, Snapshot, Target};
use anyfront::topology::{RegionIndex, Topology};
use harness::{Fleet, from, get};
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The simulated world is warm for so long before anything happens; the real one until it stands still.
const WARM: f64 = 12.0;
/// When what was broken is mended, and when it is over, seconds after it broke.
const MENDED: f64 = 8.0;
const OVER: f64 = 16.0;
/// When it is asked who is served by whom: everything that breaks is found out by then.
const ASKED: RangeInclusive<f64> = 4.5..=7.5;
const REFUSED: [&str; 3] = ["orf", "sfo", "mad"];
const SILENT: [&str; 3] = ["lhr", "syd", "dia"];
const FLAPPING: &str = "gru";
const DRAINED: &str = "sin";
const PERIOD: Duration = Duration::from_secs(3);
const CITIES: [&str; 4] = ["New York", "London", "Sydney", "Singapore"];
const SEEDS: u64 = 50;
/// Requests a second, of all cities together.
const RATE: f64 = 8.0;
/// A machine on which timers are later than this, one in twenty times, is not measured by.
const LATENESS_MAX: Duration = Duration::from_millis(40);

/// What came of it.
#[derive(Debug, Default)]
struct Seen {
    /// For each region what it was held to be, in order, and when: seconds after it broke.
    minds: BTreeMap<String, Vec<(f64, Standing)>>,
    /// For each city who served it meanwhile.
    served: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    fn order(&self, region: &str) -> Vec<Standing> {
        self.minds.get(region).into_iter().flatten().map(|(_, standing)| *standing).collect()
    }

    /// When it got no traffic any more.
    fn found_out(&self, region: &str) -> Option<f64> {
        let mut minds = self.minds.get(region).into_iter().flatten();
        minds.find(|(_, standing)| *standing > Standing::Strained).map(|(at, _)| *at)
    }

    /// When it got traffic again, after it was mended.
    fn came_back(&self, region: &str) -> Option<f64> {
        let mut minds = self.minds.get(region).into_iter().flatten();
        minds.find(|(at, standing)| *at > MENDED && *standing <= Standing::Strained).map(|(at, _)| *at - MENDED)
    }
}

fn label(name: &str) -> Label {
    Label::parse(name).expect("a name")
}

/// The clients of the lab, where it puts them.
fn locator() -> Arc<Locator> {
    let place = |(prefix, city, country, latitude, longitude): &(&str, &str, &str, f64, f64)| {
        let at = Coordinates::new(*latitude, *longitude).expect("on earth");
        let place = Place { at, country: Country::parse(country), city: Some((*city).into()) };
        (prefix.parse().expect("a prefix"), place)
    };
    let built = common::geography::quick_database();
    Arc::new(Locator::open(CLIENTS.iter().map(place).collect(), Some(&built.path())).expect("a good database"))
}

fn scenario(stage: &Stage, warm: f64) -> Scenario {
    let regions = |names: &[&str]| Whom::Regions(names.iter().map(|name| label(name)).collect());
    let fault = |at: f64, until: f64, what| Fault {
        at: Duration::from_secs_f64(warm + at),
        lasts: Some(Duration::from_secs_f64(until - at)),
        what,
    };
    let work = Work {
        name: "whoami".into(),
        method: Method::GET,
        path: "/v1/whoami".into(),
        takes: Duration::from_millis(1),
        flows: Duration::ZERO,
        patience: None,
    };
    let mut scenario = Scenario {
        lasts: Duration::from_secs_f64(warm + OVER),
        ways: Ways { loss: 0.0, jitter: 0.0, withdrawal: Duration::from_secs(10), channel: Duration::ZERO },
        usual: RegionTruth { slots: None, ..RegionTruth::default() },
        faults: vec![
            fault(0.0, MENDED, What::Refuse(regions(&REFUSED))),
            fault(0.0, MENDED, What::BlackHole(regions(&SILENT))),
            fault(0.0, OVER, What::Flap { whom: regions(&[FLAPPING]), up: PERIOD, down: PERIOD }),
            fault(1.0, MENDED, What::Drain { target: Target::Region(label(DRAINED)), is_hard: false }),
        ],
        ..Scenario::default()
    };
    let crowd = &mut scenario.crowd;
    (crowd.clients, crowd.per_minute) = (40, RATE * 60.0 / 40.0);
    crowd.places = CITIES.iter().map(|city| (stage.cities.named(city).expect("a city"), 1)).collect();
    crowd.hostnames = vec![(Hostname::parse("gateway.truefoundry.ai").expect("a name"), 1)];
    crowd.programs = vec![(Program::Curl, 1)];
    crowd.work = vec![(work, 1)];
    scenario
}

fn simulated(stage: &Stage, round_trips: &[Duration], seed: u64) -> Seen {
    // Probes go almost in step for a while after a start: so that every moment of their interval has its turn, worlds differ
    // in how long they are warm.
    let warm = WARM + seed as f64 / SEEDS as f64;
    let mut world = World::new(stage, &Arc::new(scenario(stage, warm)), &[], seed).expect("it fits");
    for (at, round_trip) in round_trips.iter().enumerate() {
        world.measured(0, RegionIndex::of(at), *round_trip);
    }
    let mut seen = Seen::default();
    while world.step() {
        let now = world.now.since(Moment::ZERO).as_secs_f64() - warm;
        for fact in &world.facts {
            match *fact {
                Fact::Stands { region, standing, .. } if now >= 0.0 => {
                    let name = world.topology.region(region).name.to_string();
                    seen.minds.entry(name).or_default().push((now, standing));
                }
                Fact::Finished(slot, outcome) if outcome.is_served() && ASKED.contains(&now) => {
                    let place = world.clients[world.request(slot).client as usize].city;
                    let city = CITIES.iter().find(|city| stage.cities.named(city) == Some(place)).expect("one of them");
                    let region = outcome.region().expect("somebody served it");
                    let by = seen.served.entry((*city).to_owned()).or_default();
                    by.insert(world.topology.region(region).name.to_string());
                }
                _ => {}
            }
        }
    }
    seen
}

/// Writes down what a node makes of every region from now on, until it is told to stop.
fn watch(published: Published, clock: Clock) -> JoinHandle<Vec<(Moment, String, Standing)>> {
    let standings =
        |snapshot: &Snapshot| -> Vec<Standing> { snapshot.regions.iter().map(|state| state.standing).collect() };
    let mut bell = published.subscribe();
    let mut known = standings(&published.load_full());
    tokio::spawn(async move {
        let mut changes = Vec::new();
        let over = clock.now() + Duration::from_secs_f64(OVER + 1.0);
        while clock.now() < over {
            let _ = tokio::time::timeout_at(clock.instant(over), bell.changed()).await;
            let snapshot = published.load_full();
            let new = standings(&snapshot);
            for (at, (new, _)) in new.iter().zip(&known).enumerate().filter(|(_, (new, old))| new != old) {
                changes.push((clock.now(), snapshot.topology.regions[at].name.to_string(), *new));
            }
            known = new;
        }
        changes
    })
}

/// How late timers are on this machine while the test runs: the 95th of a hundred.
fn lateness(clock: Clock, lasts: Duration) -> JoinHandle<Duration> {
    const EVERY: Duration = Duration::from_millis(20);
    tokio::spawn(async move {
        let (began, mut late) = (clock.now(), Vec::new());
        while clock.now().since(began) < lasts {
            let due = clock.now() + EVERY;
            tokio::time::sleep_until(clock.instant(due)).await;
            late.push(clock.now().since(due));
        }
        late.sort_unstable();
        late[late.len() * 95 / 100]
    })
}

/// Requests of all cities at a steady rate, whatever comes of them.
fn traffic(fleet: &Arc<Fleet>, lasts: Duration) -> JoinHandle<()> {
    let fleet = Arc::clone(fleet);
    tokio::spawn(async move {
        let mut asked = tokio::task::JoinSet::new();
        let began = fleet.clock.now();
        for number in 0.. {
            let due = began + Duration::from_secs_f64(f64::from(number) / RATE);
            if due.since(began) > lasts {
                break;
            }
            tokio::time::sleep_until(fleet.clock.instant(due)).await;
            let (fleet, city) = (Arc::clone(&fleet), CITIES[number as usize % CITIES.len()]);
            asked.spawn(async move { fleet.ask(get(""), from(city)).await });
        }
        asked.join_all().await;
    })
}

/// The same on real sockets, and how late timers were.
async fn real() -> (Seen, Duration, Topology, Vec<Duration>) {
    let fleet = Fleet::start(Settings { is_tls: false, latency_scale: 1.0, threads: 1, ..Settings::default() }).await;
    let fleet = Arc::new(fleet);
    let topology = fleet.snapshot().topology.as_ref().clone();
    let round_trip = |name: &Label| fleet.world.standins(name.as_str())[0].about().round_trip;
    let round_trips = topology.regions.iter().map(|region| round_trip(&region.name)).collect();
    let (clock, lasts) = (fleet.clock, Duration::from_secs_f64(OVER + 4.0));
    let asking = traffic(&fleet, lasts);
    // Every endpoint has been asked often enough that what it usually takes is known.
    fleet.until_probed(4).await;
    let late = lateness(clock, Duration::from_secs_f64(OVER));
    let changes = watch(fleet.node().published.clone(), clock);
    let broken_at = clock.now();
    let at = |seconds: f64| tokio::time::sleep_until(clock.instant(broken_at + Duration::from_secs_f64(seconds)));
    fleet.suffer(FLAPPING, Suffered::Flap { period: PERIOD });
    REFUSED.iter().for_each(|region| fleet.suffer(region, Suffered::Refuse));
    SILENT.iter().for_each(|region| fleet.suffer(region, Suffered::Blackhole));
    at(1.0).await;
    fleet.drain(&format!("region:{DRAINED}"), false).await;
    at(*ASKED.start()).await;
    let mut seen = Seen::default();
    for city in CITIES {
        let answer = fleet.ask(get(""), from(city)).await;
        assert!(answer.is_good(), "{city}: {answer:?}");
        seen.served.entry(city.to_owned()).or_default().insert(answer.region().to_owned());
    }
    at(MENDED).await;
    REFUSED.iter().chain(&SILENT).for_each(|region| fleet.heal(region));
    fleet.undrain(&format!("region:{DRAINED}")).await;
    let lateness = late.await.expect("it does not panic");
    for (when, region, standing) in changes.await.expect("it does not panic") {
        let since = when.since(broken_at).as_secs_f64();
        if since < OVER {
            seen.minds.entry(region).or_default().push((since, standing));
        }
    }
    asking.abort();
    (seen, lateness, topology, round_trips)
}

/// The least and the most of the simulated ones, a fifth wider on both sides.
fn wide(all: impl Iterator<Item = f64>) -> RangeInclusive<f64> {
    let (least, most) = all.fold((f64::INFINITY, 0.0_f64), |(least, most), one| (least.min(one), most.max(one)));
    least * 0.8..=most * 1.2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_world_and_the_real_one_come_to_the_same() {
    let (real, late, topology, round_trips) = real().await;
    let stage = Stage::of(Arc::new(topology), locator());
    let all: Vec<Seen> = std::thread::scope(|scope| {
        let play = |seeds: Range<u64>| seeds.map(|seed| simulated(&stage, &round_trips, seed)).collect::<Vec<_>>();
        let half = scope.spawn(move || play(0..SEEDS / 2));
        let mut all = play(SEEDS / 2..SEEDS);
        all.extend(half.join().expect("it does not panic"));
        all
    });
    let orders = |region: &str| all.iter().map(|seen| seen.order(region)).collect::<BTreeSet<_>>();
    let is_busy = late > LATENESS_MAX;
    // What comes and goes every three seconds is another story on a machine that is late by parts of one.
    let flapping = (!is_busy).then_some(&FLAPPING);
    for region in REFUSED.iter().chain(&SILENT).chain(flapping) {
        let (order, known) = (real.order(region), orders(region));
        println!("{region}: really {:?}; simulated {known:?}", real.minds.get(*region));
        assert!(known.contains(&order), "{region} really stood {order:?}; simulated: {known:?}");
    }
    let undisturbed = |seen: &Seen| {
        ["yyz", "dfw", "gvx", "cpt", "bom", "mel", DRAINED].iter().all(|name| seen.order(name).is_empty())
    };
    assert!(all.iter().all(undisturbed), "nobody minds those with which nothing is wrong");
    assert!(undisturbed(&real), "{:?}", real.minds);
    for city in CITIES {
        let simulated: BTreeSet<&String> = all.iter().filter_map(|seen| seen.served.get(city)).flatten().collect();
        assert_eq!(real.served[city].iter().collect::<BTreeSet<_>>(), simulated, "{city}");
    }
    if is_busy {
        println!("!! THIS MACHINE WAS TOO BUSY TO MEASURE BY: timers were {late:?} late; only the order was judged");
        return;
    }
    for region in REFUSED.iter().chain(&SILENT) {
        let times = [("found out", Seen::found_out as fn(&Seen, &str) -> Option<f64>), ("back", Seen::came_back)];
        for (what, time) in times {
            let really = time(&real, region).unwrap_or_else(|| panic!("{region} was never {what}: {:?}", real.minds));
            let simulated = wide(all.iter().map(|seen| time(seen, region).unwrap_or_else(|| panic!("never {what}"))));
            println!("{region} {what}: really {really:.2} s, simulated {simulated:.2?}; timers {late:?} late");
            assert!(simulated.contains(&really), "{region} {what} after {really:.2} s, simulated {simulated:.2?}");
        }
    }
}
