//! What was noted as delivered is never sent again, and what was not is sent again under the same id: over restarts, kills in
//! the middle, dead servers and floods.

use crate::directory::status;
use crate::stand::{Stand, mail, page};
use crate::tls::{Authority, until};
use crate::webhooks::{Receiver, id, json};
use anyfront::history::story::Phase;
use anyfront::limits::{MESSAGES_PER_SUBSCRIPTION_MAX, MESSAGES_PERIOD};
use anyfront::subscriptions::desk::{Kind, Subscribed};
use anyfront::subscriptions::outbox::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often the process is killed.
const KILLS: usize = 12;
/// Updates that are told while it is.
const UPDATES: usize = 120;
/// What tells the child that it is one.
const CHILD: &str = "ANYFRONT_TEST_SUBSCRIPTIONS";

#[test]
fn a_restart_repeats_nothing_and_tells_newcomers_nothing_old() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let (early, late) = (Receiver::willing(&authority), Receiver::willing(&authority));
    let mut stand = Stand::start(&folder, &authority, &page(""));
    stand.webhook(&early.url, &[]);
    stand.tell("i1", "u1", Phase::Investigating, "x");
    stand.publish();
    until("it is told", || early.count() == 1);
    until("and noted", || stand.parts.counts.outcome(Kind::Webhook, Verdict::Delivered) == 1);
    stand.stop();

    let mut stand = Stand::start(&folder, &authority, &page(""));
    stand.tell("i1", "u1", Phase::Investigating, "x");
    stand.publish();
    stand.webhook(&late.url, &[]);
    // An update that came while nobody ran is news; one of last week is history.
    let old = stand.wall().saturating_sub(Duration::from_secs(7 * 86_400));
    stand.tell_of("i0", "o1", Phase::Investigating, "x", "a", old);
    stand.tell("i1", "u2", Phase::Resolved, "x");
    stand.publish();
    until("both are told", || early.count() >= 2 && late.count() >= 1);
    assert_eq!((early.updates(), late.updates()), (vec!["u1".to_owned(), "u2".to_owned()], vec!["u2".to_owned()]));
    stand.stop();
}

/// A node's part that is killed: it begins where the one before ended, and tells what is new.
#[test]
fn the_one_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let folder = Path::new(&folder);
    let authority = std::fs::read_to_string(folder.join("authority.pem")).expect("it is there");
    let mut stand = Stand::with(folder, &authority, &page(""), anyfront::subscriptions::caller);
    let at = stand.wall();
    for number in 0..UPDATES {
        stand.tell_of(&format!("i{}", number % 7), &format!("u{number:03}"), Phase::Monitoring, "x", "a", at);
        stand.publish();
    }
    println!("told");
    // Until it is killed, or its parent is gone.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn over_kills_in_the_middle_everything_arrives_in_order_and_what_was_noted_never_again() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let receiver = Receiver::willing(&authority);
    let stand = Stand::start(&folder, &authority, &page(""));
    stand.webhook(&receiver.url, &[]);
    // Thirty an hour would make this a test of patience.
    stand.stop();
    let rounds: Arc<Mutex<Vec<usize>>> = Arc::default();
    for round in 0..KILLS {
        let before = receiver.count();
        let mut child = Command::new(std::env::current_exe().expect("we are one"))
            .args(["--exact", "outages::the_one_that_is_killed", "--nocapture"])
            .env(CHILD, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let enough = before + 1 + round % 3;
        until("some came", || receiver.count() >= enough || noted(folder.path()).1 == 0 && round > 0);
        child.kill().expect("killed");
        let _ = child.wait();
        rounds.lock().expect("whole").push(receiver.count());
        let (delivered, _) = noted(folder.path());
        // What the file says was delivered had arrived before.
        let arrived: BTreeSet<String> = receiver.asked().iter().map(id).collect();
        assert!(delivered.iter().all(|id| arrived.contains(id)), "noted before it arrived");
        widen(folder.path());
    }
    let stand = Stand::start(&folder, &authority, &page(""));
    until("everything is delivered", || {
        widen_in(&stand);
        let read = stand.parts.store.read(|tx| {
            tx.query_row("SELECT count(*) FROM delivery WHERE state <> 'delivered'", [], |row| row.get::<_, i64>(0))
        });
        stand.runtime.block_on(read).expect("read") == 0
    });
    stand.stop();
    let asked = receiver.asked();
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut order: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in &asked {
        let told = json(one);
        let update = told["data"]["update"]["id"].as_str().expect("one").to_owned();
        let seen = order.entry(told["data"]["incident"]["id"].as_str().expect("one").to_owned()).or_default();
        if seen.last() != Some(&update) {
            seen.push(update.clone());
        }
        ids.entry(update).or_default().insert(id(one));
    }
    assert_eq!(ids.len(), UPDATES, "some never arrived");
    assert!(ids.values().all(|ids| ids.len() == 1), "one came under two ids");
    assert!(order.values().all(|seen| seen.is_sorted()), "out of order: {order:?}");
    let again = asked.len() - UPDATES;
    println!("{KILLS} kills, {UPDATES} updates, {again} sent again under their ids");
    assert!(again <= KILLS, "at a kill at most one to a subscriber was under way, and {again} came again");
}

/// The ids that the file says were delivered, and how many are not.
fn noted(folder: &Path) -> (Vec<String>, usize) {
    let connection = rusqlite::Connection::open(folder.join("history.db")).expect("it opens");
    let _ = connection.busy_timeout(Duration::from_secs(10));
    let mut statement = connection.prepare("SELECT id, state FROM delivery").expect("SQL");
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).expect("rows");
    let (done, open): (Vec<_>, Vec<_>) = rows.flatten().partition(|(_, state)| state == "delivered");
    (done.into_iter().map(|(id, _)| id).collect(), open.len())
}

/// Makes it look as if what was delivered had been delivered long ago, so that the flood guard lets more pass.
const WIDEN: &str = "UPDATE delivery SET done = done - 7200000 WHERE state = 'delivered' AND done > 1700000000000";

fn widen(folder: &Path) {
    let connection = rusqlite::Connection::open(folder.join("history.db")).expect("it opens");
    let _ = connection.busy_timeout(Duration::from_secs(10));
    connection.execute(WIDEN, []).expect("done");
}

fn widen_in(stand: &Stand) {
    let widened = stand.parts.store.run(|tx| tx.execute(WIDEN, []));
    stand.runtime.block_on(widened).expect("done");
}

#[test]
fn a_flood_comes_as_so_many_messages_and_then_as_one() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let receiver = Receiver::willing(&authority);
    let mut stand = Stand::start(&folder, &authority, &page(""));
    stand.webhook(&receiver.url, &[]);
    let flood = MESSAGES_PER_SUBSCRIPTION_MAX + 25;
    for number in 0..flood {
        stand.tell(&format!("i{}", number % 10), &format!("u{number:03}"), Phase::Monitoring, "x");
    }
    stand.publish();
    until("as many came as may", || receiver.count() == MESSAGES_PER_SUBSCRIPTION_MAX);
    let held = || {
        let sql = "SELECT count(*) FROM delivery WHERE state = 'waiting' AND is_held = 1";
        let read = stand.parts.store.read(move |tx| tx.query_row(sql, [], |row| row.get::<_, i64>(0)));
        stand.runtime.block_on(read).expect("read")
    };
    until("the others wait", || held() == 25);
    assert_eq!(receiver.count(), MESSAGES_PER_SUBSCRIPTION_MAX);
    // An hour later.
    let hour = i64::try_from(MESSAGES_PERIOD.as_millis()).expect("short");
    let later = stand.parts.store.run(move |tx| {
        tx.execute("UPDATE delivery SET done = done - ?1, next = next - ?1, started = started - ?1", [hour])
    });
    stand.runtime.block_on(later).expect("done");
    until("the others come", || receiver.count() > MESSAGES_PER_SUBSCRIPTION_MAX);
    let last = json(receiver.asked().last().expect("one"));
    assert_eq!(last["type"], "updates.gathered");
    assert_eq!(last["data"]["events"].as_array().map(Vec::len), Some(25));
    until("and are noted", || {
        stand.parts.counts.outcome(Kind::Webhook, Verdict::Delivered) == MESSAGES_PER_SUBSCRIPTION_MAX as u64 + 1
    });
    assert_eq!(receiver.count(), MESSAGES_PER_SUBSCRIPTION_MAX + 1);
    stand.stop();
}

/// A server that takes connections and never says anything.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    address
}

#[test]
fn a_mail_server_that_says_nothing_and_a_webhook_that_hangs_hold_up_nobody() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let is_hung = Arc::new(AtomicBool::new(false));
    let hangs = Arc::clone(&is_hung);
    let hanging = Receiver::start(&authority, move |_| {
        while hangs.load(SeqCst) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        status(200, "")
    });
    let receiver = Receiver::willing(&authority);
    let mut stand = Stand::start(&folder, &authority, &page(&mail(silent(), "security = \"none\"\n")));
    for at in 0..8 {
        assert_eq!(stand.subscribe_mail(&format!("a{at}@mail.test"), &[]), Subscribed::Mailed);
    }
    stand.webhook(&hanging.url, &[]);
    stand.webhook(&receiver.url, &[]);
    is_hung.store(true, SeqCst);
    let start = stand.wall();
    stand.tell("i1", "u1", Phase::Investigating, "x");
    stand.publish();
    until("it is told", || receiver.count() == 1);
    let took = stand.wall().saturating_sub(start);
    println!("from the incident to the webhook, beside others that hang: {took:.2?}");
    assert!(took < Duration::from_secs(4), "it waited for others: {took:?}");
    until("the other is tried again", || stand.parts.counts.outcome(Kind::Webhook, Verdict::Retried) > 0);
    is_hung.store(false, SeqCst);
    stand.stop();
}
