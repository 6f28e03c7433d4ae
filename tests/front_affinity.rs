//! Affinity through real nodes: by cookie, header and credential; while regions are out and drained; never where it was not
//! asked for.

mod common {
    pub mod front;
}
mod harness;

use anyfront::health::Standing;
use common::front::{Door, Origin};
use harness::{Ask, Fleet, SOON, Seen, from, get, get_path, quick};
use std::collections::{BTreeMap, BTreeSet};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A fleet whose class `/v1/` has this affinity.
async fn fleet(affinity: &str) -> Fleet {
    let mut settings = quick();
    settings.extra.push_str(&format!("[[class]]\nprefix = \"/v1/\"\ndialect = \"openai\"\naffinity = {affinity}\n"));
    Fleet::start(settings).await
}

/// The cookie that an answer sets, name and value.
fn cookie(seen: &Seen) -> Option<String> {
    let set = seen.header("set-cookie").split(';').next().unwrap_or_default();
    (!set.is_empty()).then(|| set.to_owned())
}

fn with_cookie(cookie: &str) -> Ask {
    get("").with("cookie", format!("a=1; {cookie}; b=2"))
}

/// What the region was sent as `Cookie`.
fn cookies_seen(seen: &Seen) -> Vec<String> {
    let headers = seen.json()["headers"].as_array().cloned().unwrap_or_default();
    headers
        .iter()
        .filter(|pair| pair[0] == "cookie")
        .map(|pair| pair[1].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_brings_a_client_back_from_anywhere_and_others_serve_while_its_region_is_out() {
    let fleet = fleet("{ by = \"cookie\" }").await;
    let first = fleet.ask(get(""), from("Sydney")).await;
    assert_eq!(first.region(), "syd");
    let pin = cookie(&first).expect("the first answer pins");
    let again = fleet.ask(with_cookie(&pin), from("London")).await;
    assert_eq!((again.region(), cookie(&again)), ("syd", None), "nearness does not matter to it");
    assert_eq!(cookies_seen(&again), ["a=1; b=2"], "the region sees the others' only");

    fleet.kill("syd");
    let elsewhere = fleet.ask(with_cookie(&pin), from("London")).await;
    assert_eq!((elsewhere.status, elsewhere.region(), cookie(&elsewhere)), (Some(200), "lhr", None), "the pin stays");
    fleet.until_out("syd", SOON).await;
    assert_eq!(fleet.ask(with_cookie(&pin), from("London")).await.region(), "lhr");
    fleet.heal("syd");
    // A recovering region gets its share back client by client; the pin is honoured as soon as this one is let in.
    fleet.until_standing("syd", Standing::Up, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sticky_pin_moves_to_who_served() {
    let fleet = fleet("{ by = \"cookie\", style = \"sticky\", cookie = \"where\" }").await;
    let pin = cookie(&fleet.ask(get(""), from("Sydney")).await).expect("a pin");
    assert!(pin.starts_with("where="), "{pin}");
    fleet.kill("syd");
    let moved = fleet.ask(with_cookie(&pin), from("London")).await;
    let next = cookie(&moved).expect("the one that served becomes the pin");
    assert_eq!(moved.region(), "lhr");
    assert_eq!(fleet.ask(with_cookie(&next), from("Sydney")).await.region(), "lhr");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_refuses_lets_nobody_else_serve() {
    let fleet = fleet("{ by = \"cookie\", lost = \"refuse\" }").await;
    let pin = cookie(&fleet.ask(get(""), from("Sydney")).await).expect("a pin");
    fleet.kill("syd");
    let refused = fleet.ask(with_cookie(&pin), from("London")).await;
    assert_eq!((refused.status, refused.region()), (Some(503), ""));
    assert_eq!(refused.own_error(), "no_region_reached", "in the dialect of the class");
    assert_eq!(fleet.ask(get(""), from("London")).await.region(), "lhr", "who has no pin is not concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_drain_honours_pins_and_a_hard_one_does_not() {
    let fleet = fleet("{ by = \"cookie\" }").await;
    let pin = cookie(&fleet.ask(get(""), from("Sydney")).await).expect("a pin");
    fleet.drain("region:syd", false).await;
    assert_eq!(fleet.ask(with_cookie(&pin), from("London")).await.region(), "syd");
    assert_eq!(fleet.ask(get(""), from("Sydney")).await.region(), "mel", "no new ones");
    fleet.undrain("region:syd").await;
    fleet.drain("region:syd", true).await;
    assert_eq!(fleet.ask(with_cookie(&pin), from("London")).await.region(), "lhr");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_is_forged_or_of_another_hostname_is_none() {
    let fleet = fleet("{ by = \"cookie\" }").await;
    let pin = cookie(&fleet.ask(get(""), from("Sydney")).await).expect("a pin");
    for bad in [format!("{pin}x"), pin[..pin.len() - 4].to_owned(), "anyfront-affinity=syd".to_owned()] {
        let seen = fleet.ask(with_cookie(&bad), from("London")).await;
        assert_eq!((seen.region(), cookie(&seen).is_some()), ("lhr", true), "{bad}: pinned anew");
        assert_eq!(cookies_seen(&seen), ["a=1; b=2"]);
    }
    let elsewhere = Ask { host: harness::hostname("au"), ..with_cookie(&pin) };
    assert!(cookie(&fleet.ask(elsewhere, from("London")).await).is_some());
}

/// Which region each of `who` gets, asked from `city`.
async fn regions_of(fleet: &Fleet, who: &[String], name: &'static str, city: &str) -> BTreeMap<String, String> {
    let mut regions = BTreeMap::new();
    for who in who {
        let seen = fleet.ask(get("us").with(name, who), from(city)).await;
        assert!(seen.is_good(), "{seen:?}");
        regions.insert(who.clone(), seen.region().to_owned());
    }
    regions
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_the_same_header_gets_the_same_region_from_everywhere_and_a_loss_moves_only_its_own() {
    let fleet = fleet("{ by = \"header\", header = \"x-user\" }").await;
    let users: Vec<String> = (0..40).map(|user| format!("user-{user}")).collect();
    let before = regions_of(&fleet, &users, "x-user", "London").await;
    assert_eq!(before, regions_of(&fleet, &users, "x-user", "Sydney").await, "nearness does not matter within a level");
    let used: BTreeSet<&str> = before.values().map(String::as_str).collect();
    assert_eq!(used, BTreeSet::from(["orf", "sfo", "dfw"]), "spread over the primaries, and only them");
    fleet.kill("orf");
    fleet.until_out("orf", SOON).await;
    for (user, after) in regions_of(&fleet, &users, "x-user", "London").await {
        let had = &before[&user];
        assert!(after != "orf" && (*had == "orf" || *had == after), "{user} went from {had} to {after}");
    }
    fleet.drain("region:sfo", false).await;
    let drained = regions_of(&fleet, &users, "x-user", "London").await;
    assert!(drained.values().all(|region| region == "dfw"), "{drained:?}");
    let seen = fleet.ask(get_path("us", "/v1/whoami"), from("Sydney")).await;
    assert_eq!(cookie(&seen), None, "nothing is remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_keeps_together_and_its_absence_does_not_matter() {
    let fleet = fleet("{ by = \"credential\" }").await;
    let keys: Vec<String> = (0..12).map(|key| format!("Bearer {key}")).collect();
    let before = regions_of(&fleet, &keys, "authorization", "London").await;
    assert_eq!(before, regions_of(&fleet, &keys, "authorization", "Sydney").await);
    assert!(before.values().collect::<BTreeSet<_>>().len() > 1, "{before:?}");
    assert_eq!(fleet.ask(get(""), from("London")).await.region(), "lhr");
    assert_eq!(fleet.ask(get(""), from("Sydney")).await.region(), "syd");
}

#[test]
fn where_no_affinity_is_asked_for_cookies_pass_and_none_is_set() {
    let origin = Origin::polite();
    let door = Door::with(&[&origin], "[[class]]\nprefix = \"/pinned\"\naffinity = { by = \"cookie\" }\n");
    let ask = |path: &str| {
        door.ask(format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\nCookie: anyfront-affinity=x; a=1\r\n\r\n"))
    };
    let plain = ask("/");
    assert_eq!((plain.status(), plain.field("set-cookie")), (200, None));
    assert_eq!(origin.seen()[0].field("cookie"), Some("anyfront-affinity=x; a=1"));
    let pinned = ask("/pinned");
    assert!(pinned.field("set-cookie").is_some_and(|set| !set.contains("Secure")), "{pinned:?}");
    assert_eq!(origin.seen()[1].field("cookie"), Some("a=1"));
}

#[test]
fn nodes_with_one_secret_honour_each_others_pins() {
    let (near, far) = (Origin::polite(), Origin::polite());
    let class = "[[class]]\nprefix = \"/pinned\"\naffinity = { by = \"cookie\" }\n";
    let pinned_by = |door: &Door, cookie: &str| {
        let answer = door.ask(format!("GET /pinned HTTP/1.1\r\nHost: gw.test\r\nCookie: {cookie}\r\n\r\n"));
        let set = answer.field("set-cookie").and_then(|set| set.split(';').next()).map(str::to_owned);
        (answer.field("x-anyfront-region").unwrap_or_default().to_owned(), set)
    };
    // To the second node region `a` is what region `b` is to the first: the pin names a region, not an address.
    let one = Door::sharing(&[&near, &far], class, SECRET);
    let (region, pin) = pinned_by(&one, "x=1");
    assert_eq!(region, "a");
    let pin = pin.expect("a pin");
    assert_eq!(pinned_by(&Door::sharing(&[&far, &near], class, SECRET), &pin), ("a".to_owned(), None));
    let stranger = Door::with(&[&near, &far], class);
    assert!(pinned_by(&stranger, &pin).1.is_some(), "another secret, another pin");
}
