//! How good steering is for the published fleet, and that what measures it measures it right.

use anyfront::sim::cities::Cities;
use anyfront::sim::distance::round_trip;
use anyfront::sim::quality::{Knows, OfCase, OfHostname, Quality, measure};
use anyfront::sim::stage::Stage;
use anyfront::topology::Steering::{self, Latency, Nearest, Weighted};
use common::{locator, real_fleet, topology};
use std::fmt::Write;
use std::sync::Arc;

mod common;

fn quality(text: &str) -> Quality {
    measure(&Stage::of(Arc::new(topology(text)), locator()))
}

fn case(hostname: &OfHostname, steering: Steering, place: Knows) -> &OfCase {
    let is_wanted =
        |case: &&OfCase| case.case.steering == steering && case.case.place == place && case.case.is_measured;
    hostname.cases.iter().find(is_wanted).expect("a case that is always there")
}

/// Two regions on either side of an ocean and a site at one of them.
fn two_regions(hostname: &str) -> String {
    let mut text = "[fleet]\nname = \"t\"\nzone = \"t.example\"\n".to_owned();
    for (table, name, country, latitude, longitude) in [
        ("site", "here", "GB", 51.51, -0.13),
        ("region", "lhr", "GB", 51.51, -0.13),
        ("region", "syd", "AU", -33.87, 151.21),
    ] {
        let _ = writeln!(text, "[[{table}]]\nname = \"{name}\"\ncountry = \"{country}\"");
        let _ = writeln!(text, "latitude = {latitude}\nlongitude = {longitude}\ncity = \"somewhere\"");
        if table == "region" {
            let _ = writeln!(text, "provider = \"p\"\nendpoints = [\"https://{name}.t.example\"]");
        }
    }
    text + "[[hostname]]\nname = \"app.example\"\n" + hostname
}

#[test]
fn the_published_fleet_is_steered_well() {
    let quality = quality(&real_fleet());
    println!("{quality}");
    let names: Vec<&str> = quality.hostnames.iter().map(|hostname| &*hostname.hostname).collect();
    let zone = "gateway.truefoundry.ai";
    assert_eq!(names, [zone.to_owned(), format!("us.{zone}"), format!("eu.{zone}"), format!("au.{zone}")]);
    for hostname in &quality.hostnames {
        let name = &hostname.hostname;
        // Who knows where clients are loses no more than near ties cost: a tenth of a round trip.
        let known = &case(hostname, Nearest, Knows::Truth).straight;
        assert!(known.all_up.mean_us < 1_500 && known.all_up.best_percent > 60, "{name}: {known:?}");
        assert!(known.all_up.median_us == 0 && known.one_gone_mean_us < 2_000, "{name}: {known:?}");
        let written = &case(hostname, Nearest, Knows::Database);
        assert!(written.case.is_as_written, "{name}");
        assert!(written.straight.all_up.mean_us < 3_000, "{name}: {:?}", written.straight);
        // From one door, times alone are the best there is.
        assert_eq!(case(hostname, Latency, Knows::Database).door.all_up.best_percent, 100, "{name}");
        assert!(hostname.best_mean_us > 20_000 && hostname.detour_mean_us > 5_000, "{name}: {hostname:?}");
    }
    let world = &case(&quality.hostnames[0], Nearest, Knows::Database).straight;
    let worst = world.all_up.worst.as_ref().expect("a country has one middle");
    assert_eq!((worst.city.as_str(), &*worst.gets, &*worst.best), ("San Francisco, US", "dfw", "sfo"));
    assert!(world.one_gone_worst.as_ref().is_some_and(|gone| gone.extra.mean_us < 5_000), "{world:?}");
}

#[test]
fn with_a_site_beside_every_region_the_door_is_as_good_as_none() {
    let text = real_fleet();
    let topology = topology(&text);
    let mut sites = String::new();
    for region in topology.regions.iter().filter(|region| region.name.as_str() != "lhr") {
        let (name, at) = (&region.name, region.place.at);
        let country = region.place.country.expect("regions of the file say it");
        let _ = writeln!(sites, "[[site]]\nname = \"{name}-1\"\ncity = \"x\"\ncountry = \"{country}\"");
        let _ = writeln!(sites, "latitude = {}\nlongitude = {}", at.latitude(), at.longitude());
    }
    let quality = quality(&format!("{text}\n{sites}"));
    println!("{quality}");
    let world = &quality.hostnames[0];
    assert!(world.detour_mean_us < 1_000, "{world:?}");
    let known = case(world, Nearest, Knows::Truth);
    assert!(known.door.all_up.mean_us < 1_000, "{known:?}");
    // And then times need no geography, neither for the door nor for DNS.
    let timed = case(world, Latency, Knows::Database);
    assert!(timed.straight.all_up.mean_us < 100 && timed.door.all_up.mean_us == 0, "{timed:?}");
}

#[test]
fn what_people_lose_is_what_pen_and_paper_say() {
    let text = two_regions("regions = [\"lhr\", \"syd\"]\nsteering = \"latency\"\n");
    let (fleet, cities) = (topology(&text), Cities::of_the_world());
    // Everybody goes to London, because the node stands there.
    let (mut lost, mut best, mut happy) = (0, 0, 0);
    for city in cities.all() {
        let [london, sydney] = [0, 1].map(|at| round_trip(&city.at, &fleet.regions[at].place.at));
        lost += london.saturating_sub(sydney).as_micros() * u128::from(city.people);
        best += london.min(sydney).as_micros() * u128::from(city.people);
        happy += if london <= sydney { city.people } else { 0 };
    }
    let people = u128::from(cities.people());
    let hostname = &quality(&text).hostnames[0];
    let timed = case(hostname, Latency, Knows::Database);
    assert!(timed.case.is_as_written);
    assert_eq!(u128::from(timed.straight.all_up.mean_us), lost / people);
    assert_eq!(timed.straight.all_up.best_percent, happy * 100 / cities.people());
    assert_eq!(timed.straight.all_up.worst.as_ref().map(|worst| worst.city.as_str()), Some("Sydney, AU"));
    // The last mile, 2 to 14 ms, belongs to the way but not to what is lost.
    let last_mile_us = u128::from(hostname.best_mean_us) - best / people;
    assert!((2_000..14_000).contains(&last_mile_us), "{last_mile_us}");
    // Without one of two regions nobody has a choice.
    assert_eq!(timed.straight.one_gone_worst.as_ref().map(|gone| gone.extra.mean_us), Some(0));
}

#[test]
fn what_the_file_wants_is_not_held_against_steering() {
    // Sydney serves nobody until London is gone; and behind a fence it serves nobody at all.
    for (hostname, regions) in [
        ("regions = [\"lhr\"]\nfallback = [\"syd\"]\n", 2),
        ("regions = [\"lhr\", \"syd\"]\nresidency = [\"GB\"]\n", 1),
    ] {
        let quality = quality(&two_regions(hostname));
        let hostname = &quality.hostnames[0];
        assert_eq!(hostname.regions, regions);
        for case in &hostname.cases {
            for way in [&case.straight, &case.door] {
                assert_eq!((way.all_up.best_percent, way.all_up.worst.as_ref()), (100, None), "{case:?}");
                let gone = way.one_gone_worst.as_ref().map(|gone| (gone.extra.best_percent, gone.extra.mean_us));
                assert_eq!(gone, (regions == 2).then_some((100, 0)), "{case:?}");
            }
        }
    }
}

#[test]
fn where_weights_decide_they_split_every_city() {
    let quality = quality(&two_regions("regions = [\"lhr\", \"syd\"]\nsteering = \"weighted\"\n"));
    let split = case(&quality.hostnames[0], Weighted, Knows::Database);
    assert!(split.case.is_as_written);
    assert!((40..=60).contains(&split.straight.all_up.best_percent), "{split:?}");
    assert_eq!(quality.people, Cities::of_the_world().people());
}

#[test]
fn figures_are_told_to_people_and_to_programs_and_are_always_the_same() {
    let text = two_regions("regions = [\"lhr\", \"syd\"]\n");
    let [first, second] = [quality(&text), quality(&text)];
    assert_eq!(first, second);
    let shown = first.to_string();
    for line in shown.lines() {
        assert!(line.chars().count() <= 120 && line.trim_end() == line, "{line:?}");
    }
    for needed in
        ["app.example, 2 regions", "straight to a region", "through the door (here)", "  * nearest   database yes"]
    {
        assert!(shown.contains(needed), "no {needed:?} in\n{shown}");
    }
    let json = serde_json::to_value(&first).expect("plain data");
    let case = &json["hostnames"][0]["cases"][2];
    assert_eq!((&case["steering"], &case["place"]), (&"nearest".into(), &"database".into()));
    assert_eq!((&case["is_measured"], &case["is_as_written"]), (&true.into(), &true.into()));
    assert!(case["straight"]["all_up"]["mean_us"].is_u64(), "{case}");
}
