//! A small world that is told fact by fact: three regions in two countries, two nodes, clients in two cities.

use super::topology;
use anyfront::geo::place::{Coordinates, Country};
use anyfront::health::{Fault as Why, Standing};
use anyfront::moment::Moment;
use anyfront::names::Label;
use anyfront::sim::fact::{Fact, Outcome};
use anyfront::sim::report::Report;
use anyfront::sim::report::make::Told;
use anyfront::sim::request::{PROCESSED_MAX, Request};
use anyfront::sim::scenario::{
    Crowd, Day, Demands, Fault, Habit, Program, RegionTruth, Scenario, Ways, What, Whom, Work,
};
use anyfront::sim::stage::fitted;
use anyfront::sim::tally::Tally;
use anyfront::sim::tally::ground::Spot;
use anyfront::topology::{EndpointIndex, RegionIndex, RouteIndex, Topology};
use anyfront::upstream::Progress;
use std::time::Duration;

/// The configuration: `lon` and `man` in Great Britain, `par` in France; `uk` must stay in Great Britain.
pub const FILE: &str = r#"
[fleet]
name = "small"
zone = "small.example"
[[site]]
name = "one"
city = "London"
country = "GB"
latitude = 51.5
longitude = -0.1
addresses = ["192.0.2.1"]
[[site]]
name = "two"
city = "Paris"
country = "FR"
latitude = 48.9
longitude = 2.4
addresses = ["192.0.2.2"]
[[region]]
name = "lon"
provider = "north"
city = "London"
country = "GB"
latitude = 51.5
longitude = -0.1
capacity = 40
endpoints = ["https://lon.small.example"]
[[region]]
name = "man"
provider = "south"
city = "Manchester"
country = "GB"
latitude = 53.5
longitude = -2.2
endpoints = ["https://man.small.example"]
[[region]]
name = "par"
provider = "south"
city = "Paris"
country = "FR"
latitude = 48.9
longitude = 2.4
endpoints = ["https://par.small.example"]
[[hostname]]
name = "any.small.example"
regions = ["*"]
[[hostname]]
name = "uk.small.example"
regions = ["lon", "man"]
residency = ["GB"]
"#;

/// `lon`, `man`, `par`.
pub const LON: RegionIndex = RegionIndex(0);
pub const MAN: RegionIndex = RegionIndex(1);
pub const PAR: RegionIndex = RegionIndex(2);
/// The hostnames.
pub const ANY: RouteIndex = RouteIndex(0);
pub const UK: RouteIndex = RouteIndex(1);

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A scenario of that length, in which nothing happens but these.
pub fn scenario(lasts: Duration, faults: Vec<Fault>) -> Scenario {
    let usual = RegionTruth { slots: None, queue: 1.0, slowness: 1.0, says_unserved: false };
    let work = Work {
        name: "models".into(),
        method: "GET".parse().expect("a method"),
        path: "/v1/models".into(),
        takes: ms(5),
        flows: Duration::ZERO,
        patience: None,
    };
    Scenario {
        name: "monday".to_owned(),
        starts: anyfront::moment::since_epoch("2026-11-30T09:00:00Z").expect("a time"),
        lasts,
        seed: 7,
        sites: Vec::new(),
        ways: Ways { loss: 0.0, jitter: 0.0, withdrawal: seconds(30), channel: seconds(1) },
        regions: Vec::new(),
        usual,
        crowd: Crowd {
            clients: 10,
            per_minute: 6.0,
            stands_for: 4,
            day: Day::Flat,
            places: Vec::new(),
            hostnames: Vec::new(),
            programs: vec![(Program::Curl, 1)],
            work: vec![(work, 1)],
            resolvers: vec![(Habit::Keeps, 1)],
        },
        faults,
        demands: Demands::default(),
    }
}

/// `lon` refuses for so long.
pub fn lon_refuses(at: Duration, lasts: Duration) -> Fault {
    let lon = Label::parse("lon").expect("a name");
    Fault { at, lasts: Some(lasts), what: What::Refuse(Whom::Regions(vec![lon])) }
}

/// A run that a test tells.
pub struct Run {
    pub topology: Topology,
    pub scenario: Scenario,
    pub tally: Tally,
}

impl Run {
    /// Clients 0 to 4 are in London, 5 to 9 in Paris.
    pub fn new(scenario: Scenario) -> Self {
        let topology = fitted(&topology(FILE), &scenario);
        let spot = |name: &str, country: &str, latitude, longitude| Spot {
            name: name.to_owned(),
            country: Country::parse(country),
            at: Coordinates::new(latitude, longitude).expect("on earth"),
        };
        let spots = vec![spot("London", "GB", 51.5, -0.1), spot("Paris", "FR", 48.9, 2.4)];
        let tally = Tally::new(&scenario, &topology, spots, vec![0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
        Self { topology, scenario, tally }
    }

    /// Something that is about no request.
    pub fn tell(&mut self, at: Duration, fact: &Fact) {
        self.tally.note(Moment::at(at), fact, None, None);
    }

    /// A node changes its mind.
    pub fn stands(&mut self, at: Duration, node: u16, region: RegionIndex, standing: Standing) {
        self.tell(at, &Fact::Stands { node, region, before: Standing::Unknown, standing });
    }

    /// A wish of `client` from begin to end: tried at these regions in their order, the last of which has `outcome`.
    /// Each attempt takes 10 ms; the best possible time is 10 ms.
    pub fn wish(&mut self, at: Duration, client: u32, route: RouteIndex, regions: &[RegionIndex], outcome: Outcome) {
        let begun = Moment::at(at);
        let mut request = request(begun, client, route);
        let best = Some(ms(10));
        self.tally.note(begun, &Fact::Wishes(client), Some(&request), best);
        self.tally.note(begun, &Fact::Arrives(client, 0), Some(&request), best);
        let mut now = begun;
        for (number, region) in (1..).zip(regions) {
            let endpoint = EndpointIndex(region.0);
            let fact = Fact::Tries { request: client, node: 0, region: *region, endpoint, number };
            self.tally.note(now, &fact, Some(&request), best);
            now = now + ms(10);
            if number as usize == regions.len() {
                request.is_processed_by(*region);
                self.tally.note(now, &Fact::Processes(client, *region), Some(&request), best);
            } else {
                let fault = Why::Refused;
                let fact = Fact::Fails { request: client, node: 0, region: *region, fault, progress: Progress::Unsent };
                self.tally.note(now, &fact, Some(&request), best);
            }
        }
        request.first_byte = outcome.is_served().then_some(now);
        self.tally.note(now, &Fact::Ended(client, outcome), Some(&request), best);
        self.tally.note(now, &Fact::Finished(client, outcome), Some(&request), best);
    }

    /// What it came to.
    pub fn report(&mut self) -> Report {
        self.tally.close(Moment::at(self.scenario.lasts));
        let told = Told { configuration: "regions.toml".to_owned(), seed: 7, ..Told::default() };
        Report::of(&self.tally, &self.scenario, &self.topology, told)
    }
}

/// The first try of a wish.
pub fn request(now: Moment, client: u32, route: RouteIndex) -> Request {
    Request {
        client,
        route,
        work: 0,
        program: Program::Curl,
        is_safe: true,
        wished_at: now,
        asked_at: now,
        tries: 1,
        attempts: 0,
        node: Some(0),
        first_byte: None,
        takes: ms(5),
        flows: Duration::ZERO,
        processed: [None; PROCESSED_MAX],
    }
}
