//! Two schedules live through the same: one looks at every probe whenever it is asked, the other only at those whose time
//! has come. They must send the same probes, roll the same dice and learn the same.

use super::*;
use crate::control::Control;
use crate::geo::database::Locator;
use crate::topology::check::check;
use std::path::Path;

const FLEET: &str = r#"
fleet = { name = "f", zone = "z.example" }
site = [{ name = "here", latitude = 51.5, longitude = -0.1 }]
region = [
    { name = "lhr", provider = "a", country = "GB", latitude = 51.5, longitude = -0.1, endpoints = ["https://l1.example", "https://l2.example"] },
    { name = "mad", provider = "b", country = "ES", latitude = 40.4, longitude = -3.7, endpoints = ["https://m.example"], probe = { interval = "3s", also = [{ kind = "mcp" }] } },
    { name = "syd", provider = "b", country = "AU", latitude = -33.9, longitude = 151.2, endpoints = ["https://y.example"] },
]
hostname = [{ name = "www.z.example", regions = ["*"] }]
"#;

fn first_snapshot() -> Snapshot {
    let checked = check(FLEET, Path::new("regions.toml")).map_err(|mistakes| mistakes.render(false));
    let topology = Arc::new(checked.expect("it is right").topology);
    let locator = Arc::new(Locator::open(Vec::new(), None).expect("the database in the box"));
    let here = topology.sites[0].clone();
    let mut control = Control::new(Moment::ZERO, topology, locator, here, Arc::default());
    let (first, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is new");
    Snapshot::clone(&first)
}

impl Schedule {
    /// Forgets what it need not look at.
    fn doubt_everything(&mut self) {
        (self.followed, self.wakes_at, self.is_stirred) = (None, Some(Moment::ZERO), true);
        self.watched.iter_mut().for_each(|watched| watched.wakes_at = Some(Moment::ZERO));
    }
}

/// A schedule, and whether it looks at everything.
struct Side {
    schedule: Schedule,
    doubts: bool,
}

impl Side {
    fn awake(&mut self) -> &mut Schedule {
        if self.doubts {
            self.schedule.doubt_everything();
        }
        &mut self.schedule
    }
}

#[test]
fn one_that_looks_only_at_what_is_due_does_what_one_does_that_looks_at_all() {
    for seed in 0..20 {
        let mut dice = Dice::seeded(seed);
        let mut snapshot = first_snapshot();
        let mut sides = [true, false].map(|doubts| Side { schedule: Schedule::new(Dice::seeded(seed)), doubts });
        let (mut now, mut flights, mut launched, mut given_up) = (Moment::ZERO, Vec::new(), 0, 0);
        for _ in 0..8_000 {
            if dice.roll().is_multiple_of(20) {
                change(&mut snapshot, &mut dice);
            }
            let is_hasty = dice.roll().is_multiple_of(10);
            let [(due, overdue), other] = sides.each_mut().map(|side| {
                side.awake().follow(now, &snapshot);
                let early = if is_hasty { side.awake().due(now) } else { Vec::new() };
                let overdue = side.awake().overdue(now);
                ([early, side.awake().due(now)].concat(), overdue)
            });
            assert_eq!((&due, &overdue), (&other.0, &other.1), "seed {seed} at {now:?}");
            (launched, given_up) = (launched + due.len(), given_up + overdue.len());
            flights.extend(due);
            if !flights.is_empty() && dice.roll() % 5 < 2 {
                let at = usize::try_from(dice.roll()).expect("64 bits") % flights.len();
                let Launch { id, serial, .. } = flights.swap_remove(at);
                let result = match dice.roll() % 4 {
                    0 => Err(Fault::Silent),
                    1 => Err(Fault::Refused),
                    _ => Ok(Duration::from_millis(5)),
                };
                let [one, other] =
                    sides.each_mut().map(|side| side.schedule.finished(now, id, serial, result).collect::<Vec<_>>());
                assert_eq!(one, other, "seed {seed} at {now:?}");
            }
            let [one, other] = sides.each_ref().map(|side| side.schedule.wake_at(now));
            assert_eq!(one, other, "seed {seed} at {now:?}");
            let sleep = Duration::from_nanos(dice.roll() % 200_000_000);
            now = if dice.roll().is_multiple_of(2) { now + sleep } else { one.max(now).min(now + sleep * 10) };
        }
        assert!(launched > 1_000 && given_up > 10, "seed {seed}: {launched} launched, {given_up} given up");
    }
}

/// The next generation: another pace somewhere, or an endpoint that is another, or two that changed places.
fn change(snapshot: &mut Snapshot, dice: &mut Dice) {
    snapshot.generation += 1;
    let count = snapshot.endpoints.len();
    let mut at = || usize::try_from(dice.roll()).expect("64 bits") % count;
    let (one, other, what) = (at(), at(), at());
    match what {
        0 => snapshot.endpoints[one].id = EndpointId(1_000 + snapshot.generation),
        1 => {
            let (a, b) = (snapshot.endpoints[one].id, snapshot.endpoints[other].id);
            (snapshot.endpoints[one].id, snapshot.endpoints[other].id) = (b, a);
        }
        _ => {
            for shown in &mut snapshot.endpoints[one].probes {
                shown.pace = [Pace::Steady, Pace::Fast, Pace::Down][other % 3];
            }
        }
    }
}

/// Nothing comes back, and the node takes that for its own fault: it goes on asking at the fast pace, but no faster.
#[test]
fn silence_costs_no_more_than_the_fast_pace_however_long_it_lasts() {
    let mut snapshot = first_snapshot();
    for endpoint in &mut snapshot.endpoints {
        endpoint.probes.iter_mut().for_each(|probe| probe.pace = Pace::Fast);
    }
    let mut schedule = Schedule::new(Dice::seeded(1));
    schedule.follow(Moment::ZERO, &snapshot);
    let (mut flights, mut lately): (Vec<(Moment, Launch)>, Vec<usize>) = (Vec::new(), vec![0]);
    for ms in 0..60_000 {
        let now = Moment::at(Duration::from_millis(ms));
        if ms % 1_000 == 0 {
            lately.push(0);
        }
        let timeout = Duration::from_millis(1_500);
        for (_, launch) in flights.extract_if(.., |(began, _)| now.since(*began) >= timeout) {
            schedule.finished(now, launch.id, launch.serial, Err(Fault::Silent)).for_each(drop);
        }
        schedule.overdue(now);
        let due = schedule.due(now);
        *lately.last_mut().expect("there is one") += due.len();
        flights.extend(due.into_iter().map(|launch| (now, launch)));
    }
    // Five probes, each four times a second and a tenth more; those that are late first start one more each.
    let most = lately.iter().copied().max().expect("many");
    assert!(most <= 5 * 6, "{lately:?}");
}
