//! What is read of an access log, line by line.

use super::*;
use crate::geo::place::{Coordinates, Country};
use crate::sim::scenario::Whom;

const FROM: &str = "2026-11-30T09:00:00.000Z";

fn cities() -> Cities {
    Cities::of_the_world()
}

/// 203.0.113.0/24 is in Mumbai, 198.51.100.0/24 near London, and nobody knows of others.
fn locate(address: IpAddr) -> Option<Place> {
    let place = |latitude, longitude, country: &str| Place {
        at: Coordinates::new(latitude, longitude).expect("on earth"),
        country: Country::parse(country),
        city: None,
    };
    match address.to_string().as_str() {
        "203.0.113.0" => Some(place(19.0, 72.9, "IN")),
        "198.51.100.0" => Some(place(51.4, -0.3, "GB")),
        _ => None,
    }
}

fn line(minute: u64, client: &str, path: &str, failed: &str) -> String {
    format!(
        r#"{{"time":"2026-11-30T09:{minute:02}:30.000Z","node":"n","decision":"d","request_id":"r","client":"{client}",
        "hostname":"us.gateway.example","method":"POST","path":"{path}","protocol":"HTTP/1.1","status":200,
        "outcome":"complete","region":"orf","residency":false,"generation":1,"attempt":1,"failed":[{failed}],
        "elapsed_ms":900.5,"head_ms":100.25,"bytes_up":1,"bytes":2}}"#
    )
    .replace('\n', "")
}

fn window(minutes: u64) -> Window {
    let from = since_epoch(FROM).expect("a time");
    Window { from, to: from + Duration::from_secs(60 * minutes) }
}

#[test]
fn who_asked_for_what_from_where_is_what_is_played() {
    let (cities, mut log) = (cities(), Log::new(window(30)));
    for minute in 0..20 {
        log.take(&line(minute, "203.0.113.0/24", "/v1/chat/completions", ""), &cities, &locate);
    }
    for minute in 0..10 {
        log.take(&line(minute, "198.51.100.0/24", "/v1/embeddings", ""), &cities, &locate);
    }
    log.take(&line(40, "203.0.113.0/24", "/later", ""), &cities, &locate);
    log.take("{\"time\":\"2026-11-30T09:01:00.000Z\",\"node\":\"n\",\"dropped\":7,\"failed\":0}", &cities, &locate);
    log.take("nonsense", &cities, &locate);
    let Recorded { scenario, notes } = log.scenario();
    let crowd = &scenario.crowd;
    let places: Vec<(&str, u32)> =
        crowd.places.iter().map(|(city, weight)| (cities.all()[*city].name, *weight)).collect();
    assert_eq!(places.iter().find(|(name, _)| *name == "Mumbai"), Some(&("Mumbai", 20)));
    assert_eq!(places.iter().find(|(name, _)| *name == "London"), Some(&("London", 10)));
    assert!((f64::from(crowd.clients) * crowd.per_minute - 1.0).abs() < 0.01, "thirty requests in thirty minutes");
    let work: Vec<(&str, Duration, Duration, u32)> =
        crowd.work.iter().map(|(work, weight)| (&*work.path, work.takes, work.flows, *weight)).collect();
    let (takes, flows) = (Duration::from_millis(100), Duration::from_millis(800));
    assert_eq!(work, [("/v1/chat/completions", takes, flows, 20), ("/v1/embeddings", takes, flows, 10)]);
    assert_eq!(crowd.hostnames.len(), 1);
    assert!(scenario.faults.is_empty());
    let head = notes.head.join("\n");
    for told in [
        "30 requests",
        "1 lines are of other times",
        "1 lines could not be read",
        "7 requests of this time have no line",
    ] {
        assert!(head.contains(told), "{told} is not in\n{head}");
    }
}

#[test]
fn minutes_in_which_a_region_failed_are_an_outage_of_its_kind() {
    let (cities, mut log) = (cities(), Log::new(window(30)));
    let failed = r#"{"region":"bom","endpoint":"bom/a","reason":"connect_timeout","generation":1,"elapsed_ms":1000.0}"#;
    for minute in 0..20 {
        for _ in 0..4 {
            log.take(
                &line(minute, "203.0.113.0/24", "/mcp", if (5..8).contains(&minute) { failed } else { "" }),
                &cities,
                &locate,
            );
        }
    }
    // One failure is no outage.
    log.take(&line(15, "203.0.113.0/24", "/mcp", failed), &cities, &locate);
    let Recorded { scenario, notes } = log.scenario();
    let bom = Whom::Regions(vec![Label::parse("bom").expect("a name")]);
    let outage =
        Fault { at: Duration::from_secs(300), lasts: Some(Duration::from_secs(180)), what: What::BlackHole(bom) };
    assert_eq!(scenario.faults, [outage]);
    assert_eq!(notes.faults, ["4 of 4 attempts at bom failed in a minute: connect_timeout"]);
}

#[test]
fn hours_unlike_others_are_played_as_more_or_fewer_requests() {
    let (cities, mut log) = (cities(), Log::new(window(120)));
    for (hour, count) in [("09", 10), ("10", 30)] {
        for _ in 0..count {
            log.take(&line(5, "203.0.113.0/24", "/mcp", "").replace("T09:", &format!("T{hour}:")), &cities, &locate);
        }
    }
    let times: Vec<_> =
        log.scenario().scenario.faults.into_iter().map(|fault| (fault.at.as_secs(), fault.what)).collect();
    assert_eq!(times, [(0, What::Traffic(0.5)), (3_600, What::Traffic(1.5))]);
}
