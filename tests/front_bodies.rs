//! Large bodies and regions that fail: served elsewhere whenever nothing was lost, and never an error of our own making,
//! a truncated body, or memory without a bound.

#[path = "common/front.rs"]
mod front;

use front::{Answer, BOUND, Client, Door, Origin, Papers};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

const BODY_BYTES: usize = 16 << 20;
/// What one request may cost: its octets and how they are kept.
const KEPT_MAX: u64 = 2 * (256 << 10);

/// Watches how much a node keeps for repetition, until it is asked.
struct Watch(Arc<AtomicBool>, JoinHandle<u64>);

impl Watch {
    fn over(door: &Door) -> Self {
        let counters = door.node.as_ref().expect("it runs").counters.clone();
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let most = AtomicU64::new(0);
        let watcher = std::thread::spawn(move || {
            while !stop.load(SeqCst) {
                most.fetch_max(counters.total(|door| &door.replay_bytes), SeqCst);
                std::thread::yield_now();
            }
            most.load(SeqCst)
        });
        Self(is_over, watcher)
    }

    fn most(self) -> u64 {
        self.0.store(true, SeqCst);
        self.1.join().expect("no panic")
    }
}

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| u8::try_from(at % 251).expect("small")).collect()
}

/// Sends the body while it reads the answer: a region may answer before it has everything.
fn post(door: &Door, body: &[u8]) -> Answer {
    let mut client = door.client();
    client.say(format!("POST /v1/files HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {}\r\n\r\n", body.len()));
    let mut writer = Client::connect(door.http);
    writer.stream = client.stream.try_clone().expect("a second hand on it");
    std::thread::scope(|scope| {
        scope.spawn(move || writer.say(body));
        client.answer()
    })
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound")
}

#[test]
fn a_large_body_is_served_elsewhere_when_the_first_region_cannot_be_reached() {
    let body = body();
    let papers = Papers::new();
    let no_tls = Origin::polite();
    for (scheme, first) in [("http", nobody()), ("https", no_tls.address)] {
        let second = Origin::polite();
        let door = Door::start(&[(scheme, first), ("http", second.address)], "", &papers);
        let watch = Watch::over(&door);
        let answer = post(&door, &body);
        let kept = watch.most();
        println!("{scheme}: at most {kept} octets kept");
        assert_eq!((answer.status(), answer.field("x-anyfront-region")), (200, Some("b")), "{answer:?}");
        assert!(second.only().body == body, "octet by octet");
        assert!(kept <= KEPT_MAX, "{kept} octets kept");
    }
}

#[test]
fn a_region_that_declines_a_large_body_unread_is_passed_on_or_asked_around_but_never_broken() {
    let body = body();
    for bytes in [200 << 10, BODY_BYTES] {
        let first = Origin::start(|talk| {
            talk.say("HTTP/1.1 503 Full\r\nedge-unserved: 1; reason=full\r\nContent-Length: 4\r\n\r\nfull")?;
            // As a gateway that lingers: it reads what is under way, and thinks nothing of it.
            let _ = talk.stream.set_read_timeout(Some(Duration::from_millis(200)));
            let mut piece = [0; 65_536];
            while matches!(talk.stream.read(&mut piece), Ok(read) if read > 0) {}
            Ok(false)
        });
        let second = Origin::polite();
        let door = Door::before(&[&first, &second]);
        let watch = Watch::over(&door);
        let answer = post(&door, &body[..bytes]);
        let kept = watch.most();
        println!("{bytes} octets: {} by {:?}, at most {kept} kept", answer.status(), answer.field("x-anyfront-region"));
        match answer.status() {
            200 => assert!(second.only().body == body[..bytes], "octet by octet"),
            503 => {
                assert_eq!((answer.text().as_str(), answer.field("edge-unserved")), ("full", None), "{answer:?}");
                assert_eq!(second.seen().len(), 0);
                assert_ne!(bytes, 200 << 10, "nothing of it was lost");
            }
            _ => panic!("{answer:?}"),
        }
        assert!(kept <= KEPT_MAX, "{kept} octets kept");
    }
}

#[test]
fn many_large_bodies_at_once_keep_no_more_than_each_may() {
    const CLIENTS: u64 = 8;
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(0);
    let gone = std::sync::Mutex::new(gone);
    let slow = Origin::start(move |talk| {
        let _ = gone.lock().expect("no panic").recv_timeout(BOUND);
        talk.read_body()?;
        talk.answer("all")
    });
    let door = Door::start(&[("http", nobody()), ("http", slow.address)], "", &Papers::new());
    let body = body();
    let watch = Watch::over(&door);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| post(&door, &body[..4 << 20]))).collect();
        slow.until("all have begun", |seen, _| seen.len() as u64 == CLIENTS);
        drop(go);
        for client in clients {
            assert_eq!(client.join().expect("no panic").text(), "all");
        }
    });
    let kept = watch.most();
    println!("at most {kept} octets kept by {CLIENTS} requests");
    assert!(kept <= CLIENTS * KEPT_MAX, "{kept}");
    assert!(slow.seen().iter().all(|seen| seen.body == body[..4 << 20]));
}
