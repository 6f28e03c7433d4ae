//! Years of history: how large the file becomes, and that telling of them needs no disk.

use anyfront::health::{Fault, Standing};
use anyfront::history::recorder::{Counts, Recorder};
use anyfront::history::report::Told;
use anyfront::history::sketch::Sketch;
use anyfront::history::store::Store;
use anyfront::history::story::{DAYS_SHOWN, Level, Subject};
use anyfront::history::{ledger, records};
use anyfront::moment::{Clock, Dice, Moment};
use common::real_fleet;
use common::virtual_time::{Behaviour, Node};
use std::sync::Arc;
use std::time::Duration;

mod common;

const HOURS: u64 = 2 * 365 * 24;
/// 2027-01-15, at noon.
const NOW: Duration = Duration::from_secs(1_800_014_400);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// What a probe a second leaves behind in an hour: some two dozen buckets.
fn an_hour(dice: &mut Dice) -> Counts {
    let mut times = Sketch::default();
    (0..26).for_each(|bucket| times.add_to_bucket(40 + bucket, 1 + dice.roll() % 300));
    Counts {
        milliseconds: [3_540_000, 0, 0, 20_000, 0, 40_000],
        times,
        requests: dice.roll() % 1_000_000,
        failures: 20,
    }
}

#[tokio::test]
async fn two_years_of_the_real_fleet_are_small_and_told_from_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::start(folder.path(), &[ledger::MODULE, records::MODULE], Clock::start()).expect("a thread");
    let node = Node::warm(1, &real_fleet(), 60);
    let mut recorder = Recorder::default();
    recorder.observe(node.now, NOW, &node.snapshot);
    let subjects: Vec<Subject> = recorder.all().map(|(subject, _)| subject.clone()).collect();
    assert!(subjects.len() >= 18, "{subjects:?}");

    // Hours as they are kept, and the minutes of the last two days.
    let made = subjects.clone();
    let write = move |tx: &rusqlite::Transaction<'_>| {
        tx.execute("INSERT INTO vantage (id, name) VALUES (1, 'lon-1')", ())?;
        let mut dice = Dice::seeded(1);
        let now = NOW.as_secs() / 3_600;
        for (at, subject) in made.iter().enumerate() {
            tx.execute("INSERT INTO series (id, vantage, subject) VALUES (?1, 1, ?2)", (at + 1, subject.to_string()))?;
        }
        for (table, from, until, grain) in [("hour", now - HOURS, now, 1), ("minute", (now - 48) * 60, now * 60, 60)] {
            let insert = format!("INSERT INTO {table} VALUES (?1, ?2, 0, 0, ?3, 0, ?4, ?5, ?6, ?7)");
            let mut insert = tx.prepare(&insert)?;
            for slot in from..until {
                for at in 0..made.len() {
                    let counts = an_hour(&mut dice);
                    let [operational, _, _, degraded, _, major] = counts.milliseconds.map(|spent| spent / grain);
                    let id = (slot << 16) + at as u64 + 1;
                    let (requests, failures) = (counts.requests / grain, counts.failures / grain);
                    let times = counts.times.to_bytes();
                    insert.execute((id, operational, degraded, major, requests, failures, times))?;
                }
            }
        }
        tx.execute("INSERT INTO progress VALUES ('hour', ?1), ('day', ?2)", (now, (now - HOURS) / 24))?;
        tx.execute("INSERT INTO level SELECT id, 'operational', 0, 0 FROM series", ())
    };
    store.run(write).await.expect("written");
    // The days are made by the program itself, a hundred at a time.
    for _ in 0..9 {
        store.run(|tx| records::keep(tx, "lon-1", &Default::default(), NOW, true)).await.expect("kept");
    }
    let days: i64 =
        store.read(|tx| tx.query_row("SELECT count(*) FROM day", (), |row| row.get(0))).await.expect("read");
    assert_eq!(days, (HOURS / 24) as i64 * subjects.len() as i64);

    let asked = subjects.clone();
    let pasts = store.read(move |tx| records::recall(tx, "lon-1", &asked, NOW)).await.expect("read");
    for (subject, past) in pasts {
        assert_eq!((past.days.len(), past.slots.len()), (DAYS_SHOWN, 96), "{subject}");
        recorder.recall(&subject, past, NOW);
    }
    let clock = Clock::start();
    let mut times = Vec::new();
    for _ in 0..20 {
        let begun = clock.now();
        let told = Told {
            snapshot: &node.snapshot,
            recorder: &recorder,
            incidents: Vec::new(),
            flows: Vec::new(),
            trouble: None,
        };
        let report = told.report(NOW);
        times.push(clock.now().since(begun));
        let region = &report.regions[0];
        assert!(region.days.iter().take(89).all(|day| day.judged_s() == 86_400), "{:?}", region.days);
        assert!(region.uptime.is_some_and(|uptime| (0.98..0.99).contains(&uptime)), "{:?}", region.uptime);
        assert!(region.days[50].p50_ms.is_some() && region.recent.len() >= 95);
    }
    times.sort();
    store.close().await;
    let bytes = std::fs::metadata(folder.path().join("history.db")).expect("a file").len();
    println!("{} MiB, a report in {:?}", bytes >> 20, times[10]);
    assert!(bytes < 200 << 20, "{} MiB", bytes >> 20);
    // Alone it takes less than a millisecond; the machine may be busy.
    assert!(times[10] < Duration::from_millis(20), "{times:?}");
}

/// What is recorded of an outage, from the probes that see it: to the second, and in nobody else's record.
#[test]
fn levels_are_counted_to_the_second_and_clocks_that_are_set_make_no_time() {
    let mut node = Node::warm(1, &real_fleet(), 60);
    let (mut recorder, mut wall) = (Recorder::default(), NOW);
    let run = |node: &mut Node, recorder: &mut Recorder, wall: &mut Duration, time: u64| {
        for _ in 0..time * 2 {
            node.run_for(Duration::from_millis(500));
            *wall += Duration::from_millis(500);
            recorder.observe(node.now, *wall, &node.snapshot);
        }
    };
    run(&mut node, &mut recorder, &mut wall, 120);
    node.break_regions(&["orf"], Behaviour::Refuses);
    let broken = node.now;
    run(&mut node, &mut recorder, &mut wall, 300);
    assert_eq!(node.region("orf").standing, Standing::Down);
    node.break_regions(&["orf"], Behaviour::Works);
    run(&mut node, &mut recorder, &mut wall, 300);
    let spent = |recorder: &Recorder, name: &str, wall: Duration| {
        let series = recorder.series(&Subject::Region(name.to_owned())).expect("it is recorded");
        let day = series.days(wall)[DAYS_SHOWN - 1].clone();
        (day.seconds, day.p50_ms)
    };
    let (orf, p50) = spent(&recorder, "orf", wall);
    assert!((719..=721).contains(&orf.iter().sum::<u32>()), "all of the time: {orf:?}");
    let down = f64::from(orf[Level::Major as usize] + orf[Level::Partial as usize]);
    assert!((295.0..330.0).contains(&down), "{orf:?}");
    assert!(p50.is_some_and(|p50| p50 > 1.0), "{p50:?}");
    let (other, _) = spent(&recorder, "syd", wall);
    assert!(other[Level::Operational as usize] >= 719, "{other:?}");
    let batch = recorder.hand_out();
    let down = batch.changes.iter().find(|change| change.name == "orf").expect("a change");
    assert_eq!((down.is.as_str(), down.reason.contains(&Fault::Refused.to_string())), ("down", true), "{down:?}");
    assert!(down.at >= NOW + node_time(broken, &node) && batch.changes.iter().all(|change| change.was != "unknown"));
    assert!(batch.minutes.iter().all(|minute| minute.counts.milliseconds.iter().sum::<u64>() <= 60_000));

    // The clock is set a month ahead and back; then the process stands still for an hour.
    let before = spent(&recorder, "syd", wall).0.iter().sum::<u32>();
    wall += seconds(30 * 86_400);
    run(&mut node, &mut recorder, &mut wall, 5);
    wall -= seconds(30 * 86_400);
    run(&mut node, &mut recorder, &mut wall, 5);
    node.run_for(seconds(3_600));
    wall += seconds(3_600);
    run(&mut node, &mut recorder, &mut wall, 5);
    let after = spent(&recorder, "syd", wall).0.iter().sum::<u32>();
    assert!((before..=before + 16).contains(&after), "{before} {after}");
    drop(Arc::clone(&node.snapshot));
}

fn node_time(moment: Moment, node: &Node) -> Duration {
    // The node was warm for a minute when the recorder first looked.
    moment.since(Moment::at(seconds(60))).min(node.now.since(Moment::ZERO))
}
