//! The forms: who may ask how often, what may be asked for, and what strangers learn by asking.

use crate::stand::{CLIENT, Stand, mail, page};
use crate::tls::{Authority, until};
use crate::webhooks::Receiver;
use anyfront::history::seal;
use anyfront::history::story::{Phase, Subject};
use anyfront::limits::{
    CONFIRMATION_PERIODS, CONFIRMATIONS_MAX, SUBSCRIBERS_MAX, SUBSCRIBERS_PENDING_MAX, SUBSCRIBING_PER_PREFIX_MAX,
    SUBSCRIPTION_SCOPES_MAX,
};
use anyfront::subscriptions::desk::{Form, Refusal, Subscribed, Tested};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// A mail server that nobody answers at.
fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("bound")
}

fn stand(folder: &tempfile::TempDir) -> Stand {
    Stand::start(folder, &Authority::new("ours"), &page(&mail(nobody(), "security = \"none\"\n")))
}

/// Counts what a query counts.
fn count(stand: &Stand, sql: &'static str) -> usize {
    let read = stand.parts.store.read(move |tx| tx.query_row(sql, [], |row| row.get::<_, i64>(0)));
    usize::try_from(stand.runtime.block_on(read).expect("read")).expect("a count")
}

fn execute(stand: &Stand, sql: &'static str, value: i64) {
    let done = stand.parts.store.run(move |tx| tx.execute(sql, [value]));
    stand.runtime.block_on(done).expect("done");
}

#[test]
fn what_is_not_right_in_a_form_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = stand(&folder);
    let many: Vec<String> = (0..=SUBSCRIPTION_SCOPES_MAX).map(|_| "region:a".to_owned()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (kind, to, scopes, field) in [
        ("", "a@b.example", &[][..], "kind"),
        ("pigeon", "a@b.example", &[], "kind"),
        ("mail", "", &[], "to"),
        ("mail", "https://a.example/", &[], "to"),
        ("webhook", "a@b.example", &[], "to"),
        ("webhook", "http://a.example/", &[], "to"),
        ("mail", "a@b.example", &["region:nowhere"], "scope"),
        ("mail", "a@b.example", &["a"], "scope"),
        ("mail", "a@b.example", &["hostname:other.example"], "scope"),
        ("mail", "a@b.example", &many, "scope"),
    ] {
        match stand.subscribe(kind, to, scopes) {
            Subscribed::Refused(Refusal::Wrong { field: told, problem }) => {
                assert_eq!(told, field, "{kind} {to} {scopes:?}: {problem}");
                assert!(!problem.contains("nowhere"), "what strangers write is not told again: {problem}");
            }
            other => panic!("{kind} {to} {scopes:?}: {other:?}"),
        }
    }
    assert_eq!(stand.subscribe("mail", "a@b.example", &many[1..]), Subscribed::Mailed);
    assert_eq!(count(&stand, "SELECT count(*) FROM subscriber"), 1);
    let form = Form::of([("kind", "mail"), ("to", " a@b.example "), ("scope", "x"), ("scope", "y"), ("other", "z")]);
    assert_eq!((&*form.to, form.scopes), ("a@b.example", vec!["x".to_owned(), "y".to_owned()]));
    stand.stop();
}

#[test]
fn what_the_file_does_not_offer_is_not_offered() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = Stand::start(&folder, &Authority::new("ours"), "[status]\nwebhooks = false\n");
    let offers = stand.desk.offers();
    assert!(!offers.mail && !offers.webhooks);
    for (kind, to) in [("mail", "a@b.example"), ("webhook", "https://a.example/")] {
        assert_eq!(stand.subscribe(kind, to, &[]), Subscribed::Refused(Refusal::NotOffered));
    }
    stand.stop();
}

#[test]
fn nobody_is_asked_twice_within_an_hour_and_nobody_learns_who_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = stand(&folder);
    for to in ["anna@b.example", "Anna@B.example", "ANNA@b.EXAMPLE"] {
        assert_eq!(stand.subscribe_mail(to, &[]), Subscribed::Mailed);
    }
    assert_eq!(count(&stand, "SELECT count(*) FROM delivery"), 1);
    // An hour later, and while the first link waits, another mail may go; the first link leads nowhere from then on.
    let [first, second, _] = CONFIRMATION_PERIODS.map(|period| i64::try_from(period.as_millis()).expect("short"));
    execute(&stand, "UPDATE asked SET at = at - ?1", first);
    assert_eq!(stand.subscribe_mail("anna@b.example", &["region:a"]), Subscribed::Mailed);
    assert_eq!(count(&stand, "SELECT count(*) FROM delivery"), 1);
    assert_eq!(count(&stand, "SELECT count(*) FROM subscriber"), 1);
    // Who is told already gets a mail that says so, and nothing changes by it.
    execute(&stand, "UPDATE subscriber SET state = 'confirmed', confirmed = ?1", 1);
    execute(&stand, "UPDATE asked SET at = at - ?1", second);
    for _ in 0..3 {
        assert_eq!(stand.subscribe_mail("anna@b.example", &[]), Subscribed::Mailed);
    }
    assert_eq!(count(&stand, "SELECT count(*) FROM delivery WHERE what = 'known'"), 1);
    assert_eq!(count(&stand, "SELECT count(*) FROM subscriber WHERE state = 'confirmed'"), 1);
    stand.stop();
}

#[test]
fn one_person_is_asked_ever_more_rarely_under_whatever_tag() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = stand(&folder);
    let mut asked = 0;
    let mut ask = |is_asked: bool| {
        asked += usize::from(is_asked);
        let to = format!("anna+{}@b.example", count(&stand, "SELECT count(*) FROM subscriber"));
        assert_eq!(stand.subscribe_mail(&to, &[]), Subscribed::Mailed);
        assert_eq!(count(&stand, "SELECT count(*) FROM delivery"), asked);
    };
    ask(true);
    ask(false);
    for period in CONFIRMATION_PERIODS.into_iter().chain(CONFIRMATION_PERIODS.last().copied()) {
        let period = i64::try_from(period.as_millis()).expect("short");
        // A minute is left for a busy machine.
        execute(&stand, "UPDATE asked SET at = at - ?1", period - 60_000);
        ask(false);
        execute(&stand, "UPDATE asked SET at = at - ?1", 60_000);
        ask(true);
        ask(false);
    }
    stand.stop();
}

#[test]
fn so_many_are_asked_in_an_hour_and_not_one_more_and_nobody_learns_who() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = stand(&folder);
    assert_eq!(stand.subscribe_mail("anna@b.example", &[]), Subscribed::Mailed);
    let wall = i64::try_from(stand.wall().as_millis()).expect("short");
    let filled = stand.parts.store.run(move |tx| {
        for at in 0..CONFIRMATIONS_MAX - 2 {
            tx.execute("INSERT INTO asked (slot, at) VALUES (?1, ?2)", (format!("{at}"), wall))?;
        }
        Ok(())
    });
    stand.runtime.block_on(filled).expect("filled");
    assert_eq!(stand.subscribe_mail("berta@b.example", &[]), Subscribed::Mailed);
    for to in ["anna@b.example", "clara@b.example"] {
        let refused = stand.subscribe_mail(to, &[]);
        assert!(matches!(refused, Subscribed::Refused(Refusal::TooOften { .. })), "{to}: {refused:?}");
    }
    execute(&stand, "UPDATE asked SET at = at - ?1", 3_600_000);
    assert_eq!(stand.subscribe_mail("clara@b.example", &[]), Subscribed::Mailed);
    stand.stop();
}

#[test]
fn a_webhook_at_an_address_behind_the_wall_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = Stand::start(&folder, &Authority::new("ours"), "[status]\nurl = \"https://status.z.example\"\n");
    for url in ["https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "https://8.8.8.8:8443/"] {
        let refused = stand.subscribe("webhook", url, &[]);
        assert!(matches!(refused, Subscribed::Refused(Refusal::Wrong { field: "to", .. })), "{url}: {refused:?}");
    }
    assert_eq!(count(&stand, "SELECT count(*) FROM subscriber"), 0);
    stand.stop();
}

#[test]
fn who_cannot_be_read_any_more_is_not_taken_for_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = stand(&folder);
    for at in 0..3 {
        assert_eq!(first.subscribe_mail(&format!("a{at}@b.example"), &["region:a"]), Subscribed::Mailed);
    }
    first.stop();
    std::fs::remove_file(folder.path().join(seal::FILE)).expect("lost");
    let second = stand(&folder);
    let all = second.runtime.block_on(second.desk.everybody()).expect("listed");
    let whys: Vec<&str> = all.iter().filter_map(|(_, seen)| seen.stopped.as_deref()).collect();
    assert_eq!(whys, ["cannot be read: it was sealed with another history.key"; 3]);
    assert_eq!(all[0].1.scopes, [Subject::Region("a".to_owned())]);
    assert_eq!(second.runtime.block_on(second.desk.remove(all[0].0)), Ok(true));
    second.stop();
}

#[test]
fn whoever_has_a_token_is_not_kept_out_by_strangers_of_the_same_network() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let receiver = Receiver::willing(&authority);
    let stand = Stand::start(&folder, &authority, &page(&mail(nobody(), "security = \"none\"\n")));
    let (token, _) = stand.webhook(&receiver.url, &[]);
    for at in 0..=SUBSCRIBING_PER_PREFIX_MAX {
        let _ = stand.subscribe_mail(&format!("a{at}@b.example"), &[]);
    }
    let block = |token: &str| stand.runtime.block_on(stand.desk.confirm(token, CLIENT));
    assert!(matches!(block(&"0".repeat(32)), Err(Refusal::TooOften { .. })), "strangers are counted");
    assert!(block(&token).is_ok());
    let test = || stand.runtime.block_on(stand.desk.test(&token, CLIENT));
    // The first one was the stand's own.
    for _ in 1..SUBSCRIBING_PER_PREFIX_MAX {
        assert!(matches!(test(), Tested::Passed(_)));
    }
    assert!(matches!(test(), Tested::Refused(Refusal::TooOften { .. })), "tests have a bound of their own");
    stand.stop();
}

#[test]
fn the_file_tells_nobody_who_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = stand(&folder);
    assert_eq!(stand.subscribe_mail("anna.secret@b.example", &[]), Subscribed::Mailed);
    let Subscribed::Noted { token, secret } = stand.subscribe("webhook", "https://hidden.example/path", &[]) else {
        panic!("not noted")
    };
    stand.stop();
    let secret = secret.trim_start_matches("whsec_").to_owned();
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let octets = std::fs::read(entry.expect("a file").path()).unwrap_or_default();
        for word in ["anna.secret", "hidden.example", &token, &secret] {
            assert!(!octets.windows(word.len()).any(|window| window == word.as_bytes()), "{word} is in the file");
        }
    }
}

#[test]
fn a_network_may_ask_so_often_and_not_once_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = stand(&folder);
    let ask = |at: u32, client: IpAddr| {
        let form = Form::of([("kind", "mail"), ("to", &*format!("a{at}@b.example"))]);
        stand.runtime.block_on(stand.desk.subscribe(&form, client))
    };
    for at in 0..SUBSCRIBING_PER_PREFIX_MAX {
        assert_eq!(ask(at, CLIENT), Subscribed::Mailed);
    }
    let refused = ask(1_000, CLIENT);
    assert!(matches!(refused, Subscribed::Refused(Refusal::TooOften { .. })), "{refused:?}");
    assert_eq!(ask(1_001, "2001:db8::1".parse().expect("an address")), Subscribed::Mailed);
    stand.stop();
}

#[test]
fn so_many_may_wait_and_be_told_and_not_one_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let stand = stand(&folder);
    let fill = |state: &'static str, most: usize| {
        let wall = i64::try_from(stand.wall().as_millis()).expect("short");
        let filled = stand.parts.store.run(move |tx| {
            let missing =
                most as i64 - tx.query_row("SELECT count(*) FROM subscriber", [], |row| row.get::<_, i64>(0))?;
            for at in 0..missing {
                tx.execute(
                    "INSERT INTO subscriber (kind, slot, scopes, state, token_hash, address, token, created)
                     VALUES ('mail', ?1, '[]', ?2, ?1, x'', x'', ?3)",
                    (format!("{state}{at}"), state, wall),
                )?;
            }
            Ok(())
        });
        stand.runtime.block_on(filled).expect("filled");
    };
    let ask = |at: usize| {
        let form = Form::of([("kind", "mail"), ("to", &*format!("b{at}@b.example"))]);
        stand
            .runtime
            .block_on(stand.desk.subscribe(&form, IpAddr::V4(Ipv4Addr::from(u32::try_from(at << 8).expect("few")))))
    };
    fill("pending", SUBSCRIBERS_PENDING_MAX - 1);
    assert_eq!(ask(1), Subscribed::Mailed);
    // Who waited longest makes room.
    execute(&stand, "UPDATE subscriber SET created = created - ?1 WHERE token <> x''", 1_000);
    assert_eq!(ask(2), Subscribed::Mailed);
    assert_eq!(count(&stand, "SELECT count(*) FROM subscriber"), SUBSCRIBERS_PENDING_MAX);
    assert_eq!(count(&stand, "SELECT count(*) FROM subscriber WHERE token <> x''"), 1);
    assert_eq!(count(&stand, "SELECT count(*) FROM delivery"), 1);
    // Those who waited for a day wait no more.
    execute(&stand, "UPDATE subscriber SET created = created - ?1 WHERE state = 'pending'", 86_400_001);
    assert_eq!(ask(3), Subscribed::Mailed);
    assert_eq!(count(&stand, "SELECT count(*) FROM subscriber"), 1);
    fill("confirmed", SUBSCRIBERS_MAX - 1);
    assert_eq!(ask(4), Subscribed::Mailed);
    assert_eq!(count(&stand, "SELECT count(*) FROM subscriber"), SUBSCRIBERS_MAX);
    execute(&stand, "UPDATE subscriber SET state = 'confirmed', confirmed = ?1", 1);
    assert_eq!(ask(5), Subscribed::Refused(Refusal::Full));
    stand.stop();
}

#[test]
fn a_subscription_is_managed_by_its_token_and_by_nothing_else() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let receiver = Receiver::willing(&authority);
    let mut stand = Stand::start(&folder, &authority, &page(""));
    let (token, _) = stand.webhook(&receiver.url, &["region:a"]);
    let (desk, handle) = (stand.desk.clone(), stand.runtime.handle().clone());
    let block = |token: &str| handle.block_on(desk.look(token));
    assert_eq!(block(&token).map(|seen| seen.scopes), Ok(vec![Subject::Region("a".to_owned())]));
    for wrong in ["", "x", &token.to_uppercase(), &"0".repeat(32), &format!("{token}0"), "ä".repeat(16).as_str()] {
        assert_eq!(block(wrong), Err(Refusal::Unknown), "{wrong}");
        let other = stand.runtime.block_on(stand.desk.rotate(wrong));
        assert_eq!(other, Err(Refusal::Unknown), "{wrong}");
    }
    assert_eq!(stand.subscribe("webhook", &receiver.url, &["region:a"]), Subscribed::Refused(Refusal::Known));
    let changed = stand.runtime.block_on(stand.desk.change(&token, &["region:b".to_owned()]));
    assert_eq!(changed.map(|seen| seen.scopes), Ok(vec![Subject::Region("b".to_owned())]));
    stand.tell_of("i1", "u1", Phase::Investigating, "x", "a", stand.wall());
    stand.tell_of("i2", "u2", Phase::Investigating, "x", "b", stand.wall());
    stand.publish();
    until("it is told of b", || !receiver.updates().is_empty());
    let everybody = stand.runtime.block_on(stand.desk.everybody()).expect("listed");
    let (row, seen) = &everybody[0];
    assert!(seen.to.starts_with("https://localhost:") && seen.to.ends_with("/…"), "{}", seen.to);
    assert_eq!(stand.runtime.block_on(stand.desk.remove(*row)), Ok(true));
    assert_eq!(stand.runtime.block_on(stand.desk.remove(*row)), Ok(false));
    assert_eq!(block(&token), Err(Refusal::Unknown));
    assert_eq!(receiver.updates(), ["u2"]);
    stand.stop();
}
