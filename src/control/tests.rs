//! Two writers are told the same: one doubts everything at every tick, the other sleeps until a fact comes or until the
//! moment it named. They must publish the same, to the letter and to the moment.

use super::*;
use crate::moment::Dice;
use crate::snapshot::Target;
use crate::topology::check::check;
use std::path::Path;

/// By the wall clock, the start of time.
const EPOCH: Duration = Duration::from_secs(1_000_000);
const ENDPOINTS: u64 = 7;

/// Two providers, two levels, a region of two endpoints, one with a second probe, and sites that know each other.
fn fleet(slow_start: &str, last_url: &str, has_second_gvx: bool) -> String {
    let gvx = if has_second_gvx { r#", "https://g2.example""# } else { "" };
    format!(
        r#"
fleet = {{ name = "f", zone = "z.example" }}
forward = {{ slow_start = "{slow_start}" }}
site = [
    {{ name = "here", latitude = 51.5, longitude = -0.1, addresses = ["192.0.2.1"] }},
    {{ name = "east", latitude = 1.0, longitude = 104.0, addresses = ["192.0.2.2"] }},
    {{ name = "west", latitude = 37.0, longitude = -122.0, addresses = ["192.0.2.3"] }},
    {{ name = "south", latitude = -33.0, longitude = 151.0, addresses = ["192.0.2.4"] }},
]
region = [
    {{ name = "lhr", provider = "a", country = "GB", latitude = 51.5, longitude = -0.1, endpoints = ["https://l.example"] }},
    {{ name = "mad", provider = "b", country = "ES", latitude = 40.4, longitude = -3.7, endpoints = ["https://m.example"], probe = {{ also = [{{ kind = "mcp" }}] }} }},
    {{ name = "gvx", provider = "a", country = "SE", latitude = 60.7, longitude = 17.1, endpoints = ["https://g1.example"{gvx}] }},
    {{ name = "sin", provider = "b", country = "SG", latitude = 1.3, longitude = 103.8, endpoints = ["https://s.example"] }},
    {{ name = "bom", provider = "a", country = "IN", latitude = 19.0, longitude = 72.8, endpoints = ["https://b.example"] }},
    {{ name = "syd", provider = "b", country = "AU", latitude = -33.9, longitude = 151.2, endpoints = ["{last_url}"] }},
]
hostname = [{{ name = "www.z.example", regions = ["lhr", "mad", "gvx", "sin", "bom"], fallback = ["syd"] }}]
"#
    )
}

fn files() -> Vec<Arc<Topology>> {
    [("60s", "https://y.example", true), ("20s", "https://y.example", true), ("60s", "https://moved.example", false)]
        .map(|(slow_start, last, has_second)| {
            let text = fleet(slow_start, last, has_second);
            let checked = check(&text, Path::new("regions.toml")).map_err(|mistakes| mistakes.render(false));
            Arc::new(checked.expect("it is right").topology)
        })
        .into()
}

/// What both are told: places instead of ids, which either gives for itself.
#[derive(Clone, Debug)]
enum Fact {
    Probed(usize, usize, Result<Duration, Fault>),
    Flowed(usize, Duration),
    /// To clients of so many prefixes, one each.
    Failed(usize, Fault, u64),
    Answered(usize, u64),
    Connected(usize),
    Resolved(usize, u8),
    SiteAsked(&'static str, Result<(), Fault>),
    Drained(Vec<(&'static str, Option<Duration>)>),
    Reloaded(Arc<Topology>),
}

struct Writer {
    control: Control,
    locator: Arc<Locator>,
    snapshot: Arc<Snapshot>,
    doubts: bool,
    next_tick: Moment,
    ticks: usize,
    /// What it published, when, and what it called a change.
    said: Vec<String>,
}

impl Writer {
    fn new(topology: &Arc<Topology>, locator: &Arc<Locator>, doubts: bool) -> Self {
        let here = topology.sites[0].clone();
        let mut control = Control::new(Moment::ZERO, Arc::clone(topology), Arc::clone(locator), here, Arc::default());
        let (snapshot, _) = control.advance(Moment::ZERO, EPOCH).expect("the first is new");
        let (locator, next_tick) = (Arc::clone(locator), Moment::ZERO + TICK);
        Self { control, locator, snapshot, doubts, next_tick, ticks: 0, said: Vec::new() }
    }

    fn advance(&mut self, now: Moment) {
        if self.doubts {
            self.control.doubt_everything();
        }
        let Some((snapshot, changes)) = self.control.advance(now, EPOCH + now.since(Moment::ZERO)) else {
            return self.nothing_differs(now);
        };
        let endpoints: Vec<String> = snapshot.endpoints.iter().map(told).collect();
        let Snapshot { generation, regions, sites, is_suspect, overrides, .. } = &*snapshot;
        self.said.push(format!(
            "{now:?} {generation} {endpoints:#?} {regions:?} {sites:?} {is_suspect} {overrides:?} {changes:?}"
        ));
        self.snapshot = snapshot;
    }

    /// What was not published says the same as what was.
    fn nothing_differs(&self, now: Moment) {
        for (at, before) in self.snapshot.endpoints.iter().enumerate() {
            let state = self.control.endpoint_state(now, EndpointIndex::of(at));
            assert!(same(&state, before), "at {now:?}: {}\n{}", told(&state), told(before));
        }
    }

    /// The ticks before `until`: all of them, or those that matter.
    fn pass_time(&mut self, mut now: Moment, until: Moment) {
        loop {
            let mut tick = self.next_tick;
            if !self.doubts {
                let Some(wakes_at) = self.control.wakes_at(now, EPOCH + now.since(Moment::ZERO)) else { break };
                let ticks = wakes_at.as_nanos().div_ceil(u64::try_from(TICK.as_nanos()).expect("short"));
                tick = tick.max(Moment::ZERO + TICK * u32::try_from(ticks).expect("few"));
            }
            if tick >= until {
                break;
            }
            (now, self.next_tick) = (tick, tick + TICK);
            self.ticks += 1;
            self.advance(tick);
        }
        // Those that passed in sleep.
        while self.next_tick < until {
            self.next_tick = self.next_tick + TICK;
        }
    }

    fn tell(&mut self, now: Moment, fact: Fact) {
        let state = |at: usize| &self.snapshot.endpoints[at % self.snapshot.endpoints.len()];
        let event = match fact {
            Fact::Answered(at, requests) => return (0..requests).for_each(|_| state(at).load.answered()),
            Fact::Connected(at) => return state(at).load.connected(),
            Fact::Probed(at, probe, result) => Event::Probed { endpoint: state(at).id, probe, result },
            Fact::Flowed(at, first) => {
                let flowed = Flowed { first_event: Some(first), gap: None };
                Event::Flowed { endpoint: state(at).id, probe: 0, flowed }
            }
            Fact::Failed(at, fault, prefixes) => {
                let endpoint = state(at).id;
                (1..prefixes).for_each(|prefix| self.control.apply(now, Event::Failed { endpoint, fault, prefix }));
                Event::Failed { endpoint, fault, prefix: 0 }
            }
            Fact::Resolved(at, last) => {
                let addresses = [SocketAddr::from(([192, 0, 2, last], 443))].into();
                Event::Resolved { endpoint: state(at).id, addresses }
            }
            Fact::SiteAsked(site, result) => Event::SiteAsked { site: Label::parse(site).expect("a name"), result },
            Fact::Drained(drains) => {
                let drain = |(target, until): &(&str, Option<Duration>)| Override {
                    target: Target::parse(target).expect("a target"),
                    is_hard: until.is_none(),
                    reason: "work".into(),
                    who: "somebody".into(),
                    since: EPOCH,
                    until: *until,
                };
                Event::Overridden { overrides: drains.iter().map(drain).collect() }
            }
            Fact::Reloaded(topology) => Event::Reloaded { topology, locator: Arc::clone(&self.locator) },
        };
        self.control.apply(now, event);
        self.advance(now);
    }
}

/// All that is told of an endpoint but what it carries.
fn told(state: &EndpointState) -> String {
    let EndpointState { id, standing, reason, since, probes, share_percent, .. } = state;
    let EndpointState { round_trip, addresses, drained, .. } = state;
    format!(
        "{id:?} {standing} {reason:?} {since:?} {probes:?} {share_percent} {round_trip:?} {addresses:?} {drained:?}"
    )
}

fn same(one: &EndpointState, other: &EndpointState) -> bool {
    let concluded = |state: &EndpointState| (state.id, state.standing, state.reason, state.since, state.drained);
    let measured = |state: &EndpointState| (state.share_percent, state.round_trip);
    concluded(one) == concluded(other)
        && measured(one) == measured(other)
        && one.probes == other.probes
        && one.addresses == other.addresses
}

/// What the world is like for a while.
#[derive(Clone, Copy)]
struct Mood {
    /// Percent of probes that fail, for each endpoint.
    failing: [u64; ENDPOINTS as usize],
    /// Whether live traffic flows, and who has most of its failures.
    traffic: Option<usize>,
    slow: Option<usize>,
    is_busy: bool,
}

struct World {
    dice: Dice,
    mood: Mood,
    files: Vec<Arc<Topology>>,
}

impl World {
    fn below(&mut self, count: u64) -> u64 {
        self.dice.roll() % count
    }

    fn at(&mut self) -> usize {
        usize::try_from(self.below(ENDPOINTS)).expect("few")
    }

    fn new_mood(&mut self) {
        let kind = self.below(6);
        let mut failing = [0; ENDPOINTS as usize];
        match kind {
            0 | 1 => {}
            2 => failing.fill(100),
            3 => failing.iter_mut().for_each(|share| *share = self.dice.roll() % 120),
            _ => failing[self.at()] = 30 + 70 * self.below(2),
        }
        let traffic = (self.below(2) == 0).then(|| self.at());
        let slow = (self.below(4) == 0).then(|| self.at());
        self.mood = Mood { failing, traffic, slow, is_busy: self.below(3) > 0 };
    }

    fn fault(&mut self) -> Fault {
        [Fault::Refused, Fault::Silent, Fault::Status(503), Fault::Reset, Fault::ConnectTimeout, Fault::Unserved]
            [usize::try_from(self.below(6)).expect("few")]
    }

    /// The next fact, and how long after the one before.
    fn next(&mut self, now: Moment) -> (Duration, Fact) {
        let pause = if self.mood.is_busy { 40 } else { 2_000 };
        let after = Duration::from_nanos(self.below(2 * pause * 1_000_000));
        // Some come at a tick, to the nanosecond.
        let into_tick = Duration::from_nanos((now + after).as_nanos() % 100_000_000);
        let after = if self.below(8) == 0 { after.saturating_sub(into_tick) } else { after };
        let (at, fault, mood) = (self.at(), self.fault(), self.mood);
        let fact = match self.below(100) {
            0..60 => {
                let probe = usize::from(self.below(5) == 0);
                let fails = self.below(100) < mood.failing[at];
                let usual = Duration::from_micros(20_000 + self.below(9_000));
                let elapsed = if mood.slow == Some(at) { usual * 12 } else { usual };
                Fact::Probed(at, probe, if fails { Err(fault) } else { Ok(elapsed) })
            }
            60..92 => match mood.traffic {
                Some(bad) if self.below(3) == 0 => Fact::Failed(bad, fault, 1 + self.below(6)),
                Some(_) => Fact::Answered(at, 1 + self.below(40)),
                None => Fact::Connected(at),
            },
            92 => Fact::Flowed(at, Duration::from_millis(self.below(3))),
            93 => Fact::Resolved(at, u8::try_from(self.below(2)).expect("few")),
            94..97 => {
                let site = ["east", "west", "south"][usize::try_from(self.below(3)).expect("few")];
                Fact::SiteAsked(site, if self.below(100) < mood.failing[0] { Err(fault) } else { Ok(()) })
            }
            97 if self.below(10) == 0 => {
                let file = usize::try_from(self.below(3)).expect("few");
                Fact::Reloaded(Arc::clone(&self.files[file]))
            }
            98 if self.below(3) == 0 => {
                let until = EPOCH + now.since(Moment::ZERO) + Duration::from_millis(self.below(90_000));
                let drains = [("region:gvx", Some(until)), ("provider:a", None), ("region:syd", Some(until * 2))];
                Fact::Drained(drains.into_iter().filter(|_| self.dice.roll().is_multiple_of(2)).collect())
            }
            _ => Fact::Connected(at),
        };
        (after, fact)
    }
}

#[test]
fn a_writer_that_sleeps_until_it_must_look_publishes_what_one_does_that_looks_all_the_time() {
    let locator = Arc::new(Locator::open(Vec::new(), None).expect("the database in the box"));
    let files = files();
    let mut saved = 0;
    for seed in 0..2 {
        let mood = Mood { failing: [0; ENDPOINTS as usize], traffic: None, slow: None, is_busy: true };
        let mut world = World { dice: Dice::seeded(seed), mood, files: files.clone() };
        let mut awake = Writer::new(&files[0], &locator, true);
        let mut asleep = Writer::new(&files[0], &locator, false);
        let (mut now, mut next_mood) = (Moment::ZERO, Moment::ZERO);
        while now < Moment::at(Duration::from_secs(3_600)) {
            if now >= next_mood {
                world.new_mood();
                next_mood = now + Duration::from_secs(5 + world.below(120));
            }
            let (after, fact) = world.next(now);
            for writer in [&mut awake, &mut asleep] {
                writer.pass_time(now, now + after);
                writer.tell(now + after, fact.clone());
            }
            now = now + after;
            let (one, other) = (std::mem::take(&mut awake.said), std::mem::take(&mut asleep.said));
            assert!(one == other, "seed {seed}, before {now:?} and {fact:?}: {one:#?}\n{other:#?}");
        }
        saved += awake.ticks - asleep.ticks;
    }
    assert!(saved > 2 * 36_000 / 4, "{saved} ticks saved: it never slept");
}

#[test]
fn one_that_has_nothing_to_wait_for_sleeps_for_ever() {
    let locator = Arc::new(Locator::open(Vec::new(), None).expect("the database in the box"));
    let mut writer = Writer::new(&files()[0], &locator, false);
    let now = Moment::at(Duration::from_secs(1));
    for at in 0..writer.snapshot.endpoints.len() {
        writer.tell(now, Fact::Probed(at, 0, Ok(Duration::from_millis(20))));
        writer.tell(now, Fact::Probed(at, 1, Ok(Duration::from_millis(20))));
    }
    let wall = EPOCH + now.since(Moment::ZERO);
    assert_eq!(writer.control.wakes_at(now, wall), None);
    writer.tell(now, Fact::Answered(3, 1));
    assert_eq!(writer.control.wakes_at(now, wall), Some(now), "a success is a fact as well");
    writer.advance(now);
    assert_eq!(writer.control.wakes_at(now, wall), None);
    writer.tell(now, Fact::Drained(vec![("region:gvx", Some(wall + TICK * 9))]));
    assert_eq!(writer.control.wakes_at(now, wall), Some(now + TICK * 9));
    writer.tell(now, Fact::Failed(0, Fault::Reset, 1));
    assert_eq!(writer.control.wakes_at(now, wall + TICK * 8), Some(now + TICK), "the first of several");
    assert_eq!(writer.control.wakes_at(now, wall), Some(now + TICK * 9), "it was in no hurry: the alarm is longer");
}
