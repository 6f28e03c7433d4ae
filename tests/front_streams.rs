//! Bodies of any size in bounded memory, both ways; loops that end; many at once.

#[path = "common/front.rs"]
mod front;

use anyfront::moment::{Clock, Moment};
use front::{BOUND, Client, Door, Origin, Papers};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// What this process has in memory, octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

const MIB: u64 = 1 << 20;

#[test]
fn a_gibibyte_each_way_takes_a_few_mebibytes() {
    let length = 1_024 * MIB;
    let origin = Origin::start(move |talk| {
        if talk.request.target() == "/down" {
            talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"))?;
            let piece = vec![b'x'; 1 << 18];
            for _ in 0..length / piece.len() as u64 {
                talk.say(&piece)?;
            }
            return Ok(true);
        }
        let mut piece = vec![0; 1 << 18];
        let mut left = length - talk.buffered() as u64;
        while left > 0 {
            let read = talk.stream.read(&mut piece)? as u64;
            assert!(read > 0 && read <= left, "cut, or more than was said");
            left -= read;
        }
        talk.answer("all")
    });
    let door = Door::before(&[&origin]);
    let before = resident();
    let mut client = door.client();
    client.say("GET /down HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let mut piece = vec![0; 1 << 18];
    let (mut read, mut most) = (0, before);
    while read < length {
        let got = client.stream.read(&mut piece).expect("more") as u64;
        assert!(got > 0);
        read += got;
        if read % 64 == 0 {
            most = most.max(resident());
        }
    }
    let mut client = door.client();
    client.say(format!("POST /up HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {length}\r\n\r\n"));
    for at in 0..length >> 18 {
        client.stream.write_all(&piece).expect("taken");
        if at % 64 == 0 {
            most = most.max(resident());
        }
    }
    assert_eq!(client.answer().text(), "all");
    let grown = most.saturating_sub(before) / MIB;
    println!("grown by {grown} MiB");
    assert!(grown < 16, "grown by {grown} MiB");
}

#[test]
fn clients_that_do_not_read_stop_the_regions_that_send() {
    let clients = 200_u64;
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let origin = Origin::start(move |talk| {
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        let piece = [b'x'; 1 << 14];
        loop {
            talk.say(piece)?;
            counted.fetch_add(piece.len() as u64, SeqCst);
        }
    });
    let door = Door::before(&[&origin]);
    let before = resident();
    let asked: Vec<Client> = (0..clients)
        .map(|_| {
            let client = door.client();
            // What the kernel keeps for a client is not ours to bound; little makes the point sooner.
            let _ = socket2::SockRef::from(&client.stream).set_recv_buffer_size(4_096);
            let mut client = client;
            client.say("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
            client
        })
        .collect();
    origin.until("all are being served", |seen, _| seen.len() as u64 == clients);
    // It has come to rest when nothing more is sent between two looks.
    let clock = Clock::start();
    let mut last = (sent.load(SeqCst), clock.now());
    while clock.now().since(last.1) < Duration::from_millis(500) {
        let now = sent.load(SeqCst);
        if now != last.0 {
            last = (now, clock.now());
        }
        assert!(clock.now() < Moment::at(BOUND * 2), "it never comes to rest: {now}");
        std::thread::yield_now();
    }
    let grown = resident().saturating_sub(before);
    println!("{} KiB in memory for each of {clients}", (grown / clients) >> 10);
    // 64 KiB toward the client, 64 KiB from the region, twice at most while they move, and what this test itself takes.
    assert!(grown / clients < 512 << 10, "{} KiB each", (grown / clients) >> 10);
    drop(asked);
    origin.until("all regions are released", |_, ended| ended.len() as u64 == clients);
}

#[test]
fn a_region_that_does_not_read_stops_the_client_that_sends() {
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(0);
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::start(move |talk| {
        let _ = gone.lock().expect("no panic").recv();
        talk.read_body()?;
        talk.answer("all")
    });
    let door = Door::before(&[&origin]);
    let before = resident();
    let length = 64 * MIB;
    let mut client = door.client();
    client.say(format!("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {length}\r\n\r\n"));
    client.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a bound");
    let piece = [b'x'; 1 << 16];
    let mut written = 0_u64;
    while let Ok(taken) = client.stream.write(&piece) {
        written += taken as u64;
        assert!(written < length, "it took everything though nobody reads");
    }
    let grown = resident().saturating_sub(before) / MIB;
    assert!(grown < 8, "grown by {grown} MiB");
    client.stream.set_write_timeout(Some(BOUND)).expect("a bound");
    drop(go);
    while written < length {
        let most = usize::try_from((length - written).min(piece.len() as u64)).expect("small");
        written += client.stream.write(&piece[..most]).expect("it is read now") as u64;
    }
    assert_eq!(client.answer().text(), "all");
}

#[test]
fn pieces_of_one_octet_cost_no_hundredfold_memory() {
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(0);
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::start(move |talk| {
        talk.read_body()?;
        let _ = gone.lock().expect("no panic").recv();
        talk.answer("all")
    });
    let door = Door::before(&[&origin]);
    let before = resident();
    let clients: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = door.client();
            client.say("POST /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n");
            client.say("1\r\nx\r\n".repeat(40_000));
            client.say("0\r\n\r\n");
            client
        })
        .collect();
    origin.until("all have arrived", |seen, _| seen.iter().filter(|seen| seen.is_whole).count() == 2);
    let kept = door.node.as_ref().expect("it runs").counters.total(|door| &door.replay_bytes);
    let grown = resident().saturating_sub(before) / MIB;
    println!("{kept} octets kept, grown by {grown} MiB");
    assert!(kept <= (2 * 512) << 10 && grown < 16, "{kept} octets kept, grown by {grown} MiB");
    drop(go);
    for mut client in clients {
        assert_eq!(client.answer().text(), "all");
    }
    let kept = || door.node.as_ref().expect("it runs").counters.total(|door| &door.replay_bytes);
    let clock = Clock::start();
    while kept() > 0 {
        assert!(clock.now() < Moment::at(BOUND), "what was kept is never given back");
        std::thread::yield_now();
    }
}

#[test]
fn a_body_too_large_to_keep_arrives_and_is_not_repeated() {
    let lost = Origin::start(|talk| {
        talk.read_body()?;
        Ok(false)
    });
    let second = Origin::polite();
    let door = Door::before(&[&lost, &second]);
    for (length, status) in [(256 << 10, 200), (300 << 10, 502)] {
        let mut client = door.client();
        client.say(format!("GET /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {length}\r\n\r\n"));
        client.say(vec![b'x'; length]);
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{length}: {answer:?}");
    }
    assert_eq!(second.only().body.len(), 256 << 10);
}

#[test]
fn two_nodes_pointed_at_each_other_end_at_once_and_blame_nobody() {
    // Node A's only region is node B; B's only region would be A again.
    let hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    let unused: SocketAddr = hole.local_addr().expect("bound");
    let papers = Papers::new();
    let far = Door::start(&[("http", unused)], "", &papers);
    let near = Door::at(&[("http", far.http, "gw.test")], &papers);
    let clock = Clock::start();
    for _ in 0..50 {
        let answer = near.get("/x");
        assert_eq!((answer.status(), answer.field("x-anyfront-region")), (508, Some("a")), "{answer:?}");
    }
    assert!(clock.now() < Moment::at(Duration::from_secs(5)));
    let snapshot = near.node.as_ref().expect("it runs").published.load_full();
    let standing = snapshot.endpoints[0].standing;
    assert!(standing <= anyfront::health::Standing::Unknown, "{standing:?}");
}
