//! What the machines cost: steering, geography, world_map, publishing, and a tick of control.
//!
//! `cargo bench --bench machines`, or `make bench-machines` for a quick look.

#[path = "../tests/common/mod.rs"]
mod common;

use anyfront::control::{Control, Event, TICK};
use anyfront::geo::database::Locator;
use anyfront::geo::map::GeoMap;
use anyfront::moment::{Dice, Moment, mix};
use anyfront::probe::schedule::{Launch, Learnt, Schedule};
use anyfront::snapshot::{Published, Snapshot};
use anyfront::steering::{Client, Query, steer};
use common::worlds::{Plan, RegionPlan, World};
use criterion::{Criterion, criterion_group, criterion_main};
use ipnet::IpNet;
use mmdb_writer::{Value as Entry, Writer};
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// So many regions all over the world, all up, asked for by a client somewhere else.
fn world(regions: usize) -> World {
    let mut dice = Dice::seeded(1);
    let mut region = || RegionPlan {
        latitude: (dice.roll() % 120) as i8 - 60,
        longitude: (dice.roll() % 360) as i16 - 180,
        country: 0,
        weight: 100,
        level: Some(0),
        standing: 0,
        share_percent: 100,
        round_trip_ms: Some((dice.roll() % 300) as u16),
        drained: 0,
    };
    let regions = (0..regions).map(|_| region()).collect();
    let plan = Plan {
        regions,
        steering: 0,
        refuses: false,
        residency: 0,
        regional: None,
        client: 0x5102_458e << 1,
        latitude: 51,
        longitude: 0,
        tried: 0,
        full: 0,
        wish: [None; 3],
        goes_on: false,
        spread: None,
    };
    plan.build()
}

fn steering(criterion: &mut Criterion) {
    for regions in [14, 1_000] {
        let world = world(regions);
        criterion.bench_function(&format!("steer, {regions} regions"), |bench| {
            bench.iter(|| steer(&world.snapshot, &black_box(world.query())));
        });
    }
}

fn geography(criterion: &mut Criterion) {
    let world = world(14);
    let mut dice = Dice::seeded(2);
    criterion.bench_function("place a client by its address", |bench| {
        bench.iter(|| Client::locate(&world.snapshot, IpAddr::V4(Ipv4Addr::from(dice.roll() as u32))));
    });
}

/// The world as DNS needs it: the database in the box, and one of a million networks.
fn world_map(criterion: &mut Criterion) {
    let large = large_database();
    for (name, database) in [("the box", None), ("a million networks", Some(large.path()))] {
        let locator = Locator::open(Vec::new(), database).expect("a good database");
        let map = GeoMap::compile(&locator);
        let answers: Vec<u16> = (0..map.places().len()).map(|place| (mix(place as u64) % 14) as u16).collect();
        let merged = map.merge(&answers);
        println!(
            "{name}: {:?} ranges, {} octets; merged {:?}, {}",
            map.len(),
            map.bytes(),
            merged.len(),
            merged.bytes()
        );
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        group.bench_function("compile the world", |bench| bench.iter(|| GeoMap::compile(&locator)));
        group.bench_function("merge 14 answers", |bench| bench.iter(|| map.merge(black_box(&answers))));
        let mut dice = Dice::seeded(4);
        group.bench_function("find, IPv4", |bench| {
            bench.iter(|| merged.find(IpAddr::V4(Ipv4Addr::from(dice.roll() as u32))));
        });
        group.bench_function("find, IPv6", |bench| {
            bench.iter(|| merged.find(IpAddr::V6(Ipv6Addr::from(u128::from(dice.roll() >> 3 | 1 << 61) << 64))));
        });
        group.finish();
    }
}

/// 700 000 networks of IPv4 and 300 000 of IPv6, in 20 000 cities.
fn large_database() -> tempfile::NamedTempFile {
    let mut writer = Writer::new("Example-City");
    for at in 0..1_000_000_u64 {
        let network = match u32::try_from(at) {
            Ok(at) if at < 700_000 => IpAddr::V4(Ipv4Addr::from((1 << 24) + at * 4_096)),
            _ => IpAddr::V6(Ipv6Addr::from(u128::from(0x2A00_0000_0000_0000 + (at << 28)) << 64)),
        };
        let network = IpNet::new(network, if network.is_ipv4() { 21 } else { 40 }).expect("a network");
        let city = mix(at) % 20_000;
        let entry = Entry::map([
            ("city", Entry::map([("names", Entry::map([("en", Entry::from(format!("City {city}")))]))])),
            ("country", Entry::map([("iso_code", Entry::from("GB"))])),
            (
                "location",
                Entry::map([
                    ("latitude", Entry::from((city % 160) as f64 - 80.0)),
                    ("longitude", Entry::from((city / 160) as f64)),
                ]),
            ),
        ]);
        writer.insert_value(network, entry).expect("inserted");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), writer.to_bytes().expect("a database")).expect("written");
    file
}

fn publishing(criterion: &mut Criterion) {
    let world = world(14);
    let route = world.route;
    let client = world.client.clone();
    let published = Published::new(Arc::new(world.snapshot));
    let next = published.load_full();
    criterion.bench_function("load the snapshot", |bench| bench.iter(|| published.load().generation));
    criterion.bench_function("load the snapshot and steer, 14 regions", |bench| {
        bench.iter(|| steer(&published.load(), &Query::first(route, &client)));
    });
    criterion.bench_function("store a snapshot", |bench| bench.iter(|| published.store(Arc::clone(&next))));
}

/// `control` after every endpoint has passed probes.
fn settled(world: &World) -> (Control, Vec<anyfront::snapshot::EndpointId>) {
    let here = world.snapshot.here.clone();
    let topology = Arc::clone(&world.snapshot.topology);
    let mut control = Control::new(Moment::ZERO, topology, common::locator(), here, Arc::from([]));
    let (snapshot, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is always new");
    let ids: Vec<_> = snapshot.endpoints.iter().map(|state| state.id).collect();
    for id in &ids {
        control.apply(Moment::ZERO, Event::Probed { endpoint: *id, probe: 0, result: Ok(Duration::from_millis(20)) });
    }
    drop(control.advance(Moment::ZERO, Duration::ZERO));
    (control, ids)
}

fn control(criterion: &mut Criterion) {
    for endpoints in [14, 1_000] {
        let (mut control, ids) = settled(&world(endpoints));
        let mut now = Moment::ZERO;
        let mut at = 0;
        criterion.bench_function(&format!("a probe and a tick of control, {endpoints} endpoints"), |bench| {
            bench.iter(|| {
                now = now + Duration::from_millis(1);
                at = (at + 1) % ids.len();
                control
                    .apply(now, Event::Probed { endpoint: ids[at], probe: 0, result: Ok(Duration::from_millis(20)) });
                control.advance(now, Duration::ZERO)
            });
        });
    }
}

/// A node in virtual time whose probes all pass after the same time: nothing ever changes.
struct Steady {
    control: Control,
    schedule: Schedule,
    snapshot: Arc<Snapshot>,
    flights: VecDeque<(Moment, Launch)>,
    now: Moment,
    next_tick: Moment,
}

impl Steady {
    const ROUND_TRIP: Duration = Duration::from_millis(20);

    fn new(world: &World) -> Self {
        let here = world.snapshot.here.clone();
        let topology = Arc::clone(&world.snapshot.topology);
        let mut control = Control::new(Moment::ZERO, topology, common::locator(), here, Arc::from([]));
        let (snapshot, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is always new");
        let (schedule, now) = (Schedule::new(Dice::seeded(5)), Moment::ZERO);
        let mut node = Self { control, schedule, snapshot, flights: VecDeque::new(), now, next_tick: now };
        (0..10).for_each(|_| node.run_for_a_second());
        node
    }

    /// What the shells do, with every tick.
    fn run_for_a_second(&mut self) {
        let until = self.now + Duration::from_secs(1);
        while self.now < until {
            while let Some((_, launch)) = self.flights.pop_front_if(|(due, _)| *due <= self.now) {
                let result = Ok(Self::ROUND_TRIP);
                for Learnt { endpoint, probe, result } in
                    self.schedule.finished(self.now, launch.id, launch.serial, result)
                {
                    self.control.apply(self.now, Event::Probed { endpoint, probe, result });
                }
            }
            if let Some((snapshot, _)) = self.control.advance(self.now, self.now.since(Moment::ZERO)) {
                self.snapshot = snapshot;
            }
            self.schedule.follow(self.now, &self.snapshot);
            for Learnt { endpoint, probe, result } in self.schedule.overdue(self.now) {
                self.control.apply(self.now, Event::Probed { endpoint, probe, result });
            }
            for launch in self.schedule.due(self.now) {
                self.flights.push_back((self.now + Self::ROUND_TRIP, launch));
            }
            if self.now >= self.next_tick {
                self.next_tick = self.now + TICK;
            }
            let landing = self.flights.front().map_or(until, |(due, _)| *due);
            self.now = self.schedule.wake_at(self.now).min(self.next_tick).min(landing).min(until);
        }
    }
}

fn steady(criterion: &mut Criterion) {
    let mut node = Steady::new(&world(14));
    criterion.bench_function("a steady second of probes and ticks, 14 endpoints", |bench| {
        bench.iter(|| node.run_for_a_second());
    });
    let (mut control, ids) = settled(&world(14));
    let mut now = Moment::ZERO;
    criterion.bench_function("a tick of control with nothing new, 14 endpoints", |bench| {
        bench.iter(|| {
            now = now + TICK;
            control.advance(now, Duration::ZERO)
        });
    });
    let mut at = 0;
    criterion.bench_function("a probe that passes, applied, 14 endpoints", |bench| {
        bench.iter(|| {
            now = now + Duration::from_millis(1);
            at = (at + 1) % ids.len();
            control.apply(now, Event::Probed { endpoint: ids[at], probe: 0, result: Ok(Duration::from_millis(20)) });
        });
    });
}

criterion_group!(benches, steering, geography, world_map, publishing, control, steady);
criterion_main!(benches);
