//! Signed summaries in the hands of strangers: by the command, and octet by octet.

use super::{FENCED, answers, document, fleet, keys, residency, said, today, until_counted};
use crate::harness::{from, get, hostname};
use anyfront::residency::day::Day;
use anyfront::residency::ledger::Processed;
use anyfront::residency::seal::{DOCUMENT_BYTES_MAX, PublicKey, Signer, Unattested, verify};
use anyfront::residency::summary::{KIND, Summary, VERSION, Watched, Written};
use serde_json::Value as Json;

fn a_summary() -> Summary {
    let one = |region: &str, country: &str, count, outside| Processed {
        region: region.to_owned(),
        country: Some(country.to_owned()),
        sent: count + 1,
        answers: count,
        outside,
    };
    Summary {
        kind: KIND.to_owned(),
        version: VERSION,
        fleet: "f".to_owned(),
        vantage: "lon-1".to_owned(),
        hostname: "eu.gateway.example".to_owned(),
        day: Day::parse("2026-11-27").expect("a day"),
        issued: "2026-11-28T00:00:01.004Z".to_owned(),
        is_final: true,
        watched: vec![
            Watched { from: "2026-11-27T00:00:00Z".to_owned(), until: "2026-11-27T11:59:00Z".to_owned() },
            Watched { from: "2026-11-27T12:00:00Z".to_owned(), until: "2026-11-28T00:00:00Z".to_owned() },
        ],
        watched_s: 86_340,
        residency: vec![Written { from: "2026-11-27T00:00:00Z".to_owned(), countries: vec!["EU".to_owned()] }],
        processed: vec![one("gvx", "SE", 3, 0), one("mad", "ES", 40, 0)],
        answers: 43,
        sent: 45,
        refused: 2,
        violations: 0,
    }
}

fn signer() -> Signer {
    Signer::of_seed(&[7; 32])
}

#[test]
fn a_summary_is_understood_and_no_octet_of_it_can_be_changed() {
    let text = signer().sign(&a_summary());
    let attested = verify(text.as_bytes(), Some(&[signer().key()])).expect("genuine");
    assert_eq!((attested.summary, attested.key), (a_summary(), signer().key()));
    let octets = text.as_bytes();
    for at in 0..octets.len() {
        for change in [1, 0x20, 0x80, 0xFF] {
            let mut changed = octets.to_vec();
            changed[at] ^= change;
            assert!(verify(&changed, None).is_err(), "octet {at} became {:?}", changed[at] as char);
        }
        let mut shorter = octets.to_vec();
        shorter.remove(at);
        assert!(verify(&shorter, None).is_err(), "octet {at} is missing");
        let mut longer = octets.to_vec();
        longer.insert(at, b' ');
        assert!(verify(&longer, None).is_err(), "a space at {at}");
    }
    assert!(verify(&[octets, b"\n"].concat(), None).is_err());
}

#[test]
fn the_same_in_other_words_is_refused() {
    let text = signer().sign(&a_summary());
    let json: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(verify(json.to_string().as_bytes(), None), Err(Unattested::Spelling));
    // Another signature by the same key over another text, and a stranger's over this one.
    let other = signer().sign(&Summary { refused: 3, ..a_summary() });
    let field = |text: &str, name: &str| {
        serde_json::from_str::<Json>(text).expect("JSON")[name].as_str().expect("text").to_owned()
    };
    let mixed = text.replace(&field(&text, "signature"), &field(&other, "signature"));
    assert_eq!(verify(mixed.as_bytes(), None), Err(Unattested::Signature));
    let stranger = Signer::of_seed(&[8; 32]);
    let theirs = stranger.sign(&a_summary());
    assert!(verify(theirs.as_bytes(), None).is_ok(), "by its own key");
    assert_eq!(verify(theirs.as_bytes(), Some(&[signer().key()])), Err(Unattested::Stranger(stranger.key().id())));
    let renamed = theirs.replace(&stranger.key().to_string(), &signer().key().to_string());
    assert_eq!(verify(renamed.as_bytes(), None), Err(Unattested::Key));
    let renamed = renamed.replace(&stranger.key().id(), &signer().key().id());
    assert_eq!(verify(renamed.as_bytes(), None), Err(Unattested::Signature));
}

#[test]
fn what_does_not_hold_together_attests_nothing_however_well_it_is_signed() {
    let good = a_summary;
    let mut outside = good();
    outside.processed[0].country = Some("GB".to_owned());
    let mut hidden = good();
    hidden.processed[0].outside = 3;
    let mut order = good();
    order.processed.reverse();
    let mut overlapping = good();
    overlapping.watched[1].from = "2026-11-27T11:58:00Z".to_owned();
    let mut tomorrow = good();
    tomorrow.watched[1].until = "2026-11-28T00:00:01Z".to_owned();
    let mut spelled = good();
    spelled.watched[0].from = "2026-11-27T00:00:00.000Z".to_owned();
    for bad in [
        Summary { kind: "x".to_owned(), ..good() },
        Summary { version: 2, ..good() },
        Summary { hostname: String::new(), ..good() },
        Summary { hostname: "x\n  signed by the fleet".to_owned(), ..good() },
        Summary { hostname: "EU.gateway.example".to_owned(), ..good() },
        Summary { vantage: "lon-1\u{1b}[2J".to_owned(), ..good() },
        Summary { fleet: "f\r\nsummary.json: genuine".to_owned(), ..good() },
        Summary {
            residency: vec![Written { from: "2026-11-27T00:00:00Z".to_owned(), countries: vec!["EU\n".to_owned()] }],
            ..good()
        },
        Summary { is_final: false, ..good() },
        Summary { issued: "soon".to_owned(), ..good() },
        Summary { watched_s: 86_400, ..good() },
        Summary { answers: 42, ..good() },
        Summary { sent: 44, ..good() },
        Summary { violations: 1, ..good() },
        outside,
        hidden,
        order,
        overlapping,
        tomorrow,
        spelled,
    ] {
        let told = verify(signer().sign(&bad).as_bytes(), None);
        assert!(matches!(told, Err(Unattested::Nonsense(_))), "{told:?}");
    }
}

#[test]
fn violations_are_told_where_they_are() {
    let mut summary = a_summary();
    summary.processed[0].country = Some("GB".to_owned());
    summary.processed[0].outside = 4;
    summary.violations = 4;
    assert_eq!(verify(signer().sign(&summary).as_bytes(), None).expect("genuine").summary.violations, 4);
}

#[test]
fn hostile_files_are_refused_and_cost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_inside = signer().sign(&a_summary()).replace("\"Ed25519\"", &"[".repeat(50_000));
    let nul = "\0".repeat(100);
    let huge = "x".repeat(DOCUMENT_BYTES_MAX + 1);
    for (name, octets) in [
        ("empty", b"".as_slice()),
        ("deep", deep.as_bytes()),
        ("deep_inside", deep_inside.as_bytes()),
        ("nul", nul.as_bytes()),
        ("no text", b"\xff\xfe\x00{"),
        ("null", b"null"),
        ("number", b"1e999999"),
        ("types", br#"{"algorithm":1,"key_id":[],"key":{},"signature":null,"payload":true}"#),
        ("fields", br#"{"algorithm":"Ed25519","key_id":"","key":"","signature":"","payload":"","more":1}"#),
        ("twice", br#"{"algorithm":"Ed25519","algorithm":"Ed25519","key_id":"","key":"","signature":"","payload":""}"#),
        ("a line of its own", b"{\"summary.json: genuine\\nsummary.json: genuine: on\":1}"),
        ("escape\x1b[31m", b"{\"algorithm\":\"\x1b[2J\"}"),
        ("huge", huge.as_bytes()),
    ] {
        let path = folder.path().join("summary.json");
        std::fs::write(&path, octets).expect("written");
        let output = residency(&["verify", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(said(&output).contains("NOT GENUINE"), "{name}: {}", said(&output));
        assert!(!said(&output).contains('\x1b'), "{name}: nothing commands the terminal");
        assert_eq!(said(&output).trim_end().lines().count(), 1, "{name}: nor has it a line of its own");
    }
    let output = residency(&["verify", &folder.path().display().to_string(), "/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output).matches("cannot be read").count(), 2, "{}", said(&output));
}

#[test]
fn the_keys_may_be_given_in_any_way_that_we_write_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| {
        std::fs::write(path(name), text).expect("written");
        path(name)
    };
    let summary = write("summary.json", &signer().sign(&a_summary()));
    let (key, other) = (signer().key().to_string(), Signer::of_seed(&[8; 32]).key().to_string());
    let json = format!(r#"{{"fleet":"f","keys":[{{"key_id":"x","algorithm":"Ed25519","key":"{key}"}}]}}"#);
    for given in [
        key.clone(),
        write("line", &format!("{key}\n")),
        write("two", &format!("{other}\n{key}\n")),
        write("json", &json),
    ] {
        let output = residency(&["verify", &summary, "--key", &given]);
        assert!(output.status.success(), "{given}: {}", said(&output));
        assert!(said(&output).contains(&signer().key().id()) && said(&output).contains("which is the key given"));
    }
    for given in [other.clone(), write("other", &other)] {
        let output = residency(&["verify", &summary, "--key", &given]);
        assert_eq!(output.status.code(), Some(1), "{given}");
        assert!(said(&output).contains("none of those given"), "{}", said(&output));
    }
    for given in
        ["x".to_owned(), write("bad", "x\n"), write("none", "\n"), write("nested", &"[".repeat(9_000)), path("nowhere")]
    {
        let output = residency(&["verify", &summary, "--key", &given]);
        assert_eq!(output.status.code(), Some(1), "{given}: {}", said(&output));
        assert!(!said(&output).contains("genuine: on"), "{}", said(&output));
    }
    let output = residency(&["verify", &summary]);
    assert!(output.status.success() && said(&output).contains("the key in the file itself"), "{}", said(&output));
    let output = residency(&["verify", &summary, &path("line")]);
    assert_eq!(output.status.code(), Some(1), "one bad file is enough");
    assert!(PublicKey::parse(&key).is_some() && PublicKey::parse(&key.replace('=', "")).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_signs_the_command_verifies_and_shows() {
    let fleet = fleet().await;
    for _ in 0..4 {
        assert!(fleet.ask(get(FENCED), from("Paris")).await.is_good());
    }
    until_counted(&fleet, FENCED, |counts| answers(counts) >= 4).await;
    let (day, admin) = (today(), fleet.node().admin[0].to_string());
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("summary.json"), document(&fleet, day, FENCED).await).expect("written");
    std::fs::write(path("keys"), residency(&["key", "--admin", &admin]).stdout).expect("written");
    let output = residency(&["verify", &path("summary.json"), "--key", &path("keys")]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for part in [&format!("on {day} so far"), "passed on 4 answers", &hostname(FENCED), "residency: EU", "no violation"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains(&keys(&fleet).await.keys[0].key_id));
    let shown = said(&residency(&["show", "--admin", &admin, "--host", &hostname(FENCED)]));
    assert!(shown.contains("(EU): no violation, refused 0"), "{shown}");
    let printed = residency(&["show", "--admin", &admin, "--day", &day.to_string(), "--host", &hostname(FENCED)]);
    assert!(verify(&printed.stdout, None).is_ok(), "{}", said(&printed));
    for (path, status) in [
        (format!("/residency/{day}/nobody.example"), 404),
        ("/residency/2026-13-01/x".to_owned(), 400),
        ("/residency/..%2f..%2fetc/passwd".to_owned(), 400),
        (format!("/residency/{day}/../../state"), 404),
        ("/residency/".to_owned(), 200),
        ("/residencyx".to_owned(), 404),
    ] {
        let mut client = crate::harness::Client::connect(fleet.node().admin[0], std::net::Ipv4Addr::LOCALHOST.into())
            .await
            .expect("admin");
        let ask = crate::harness::Ask { host: admin.clone(), path: path.clone(), ..get("") };
        assert_eq!(client.send(&ask).await.status, Some(status), "{path}");
    }
}
