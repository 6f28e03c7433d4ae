//! The same static zone from NSD, Knot DNS and this server, and the same questions to each: every difference is explained
//! by name, or it is a mistake.
//!
//! `ANYFRONT_DNS_QUESTIONS` asks more of them.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "dns_differential/compare.rs"]
mod compare;
#[path = "common/dns/mod.rs"]
mod dns;
#[path = "dns_differential/exceptions.rs"]
mod exceptions;
#[path = "dns_differential/questions.rs"]
mod questions;

use compare::{Case, Field};
use dns::message::{Question, Reply, kind, shown};
use dns::servers::{Server, all_installed};
use dns::talk::Asker;
use dns::zone::{ZONE, master, regions};
use exceptions::EXCEPTIONS;
use questions::Asked;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Questions unless more are wanted.
const QUESTIONS: usize = 4_000;
/// Kinds of unexplained differences that a failure shows.
const SHOWN: usize = 12;

/// What this server makes by itself, for the others' master files.
fn made(ours: &mut Asker) -> String {
    let mut text = String::new();
    let soa = ours.udp(&Question::new(ZONE, kind::SOA)).expect("an answer");
    let [soa] = soa.answers() else { panic!("no SOA: {soa:?}") };
    let (names, numbers) = soa.data.split_at(soa.data.len() - 20);
    let (first, second) = names.split_at(dns::message::read_name(names, 0).expect("a name").1);
    let numbers: Vec<String> =
        numbers.chunks_exact(4).map(|four| u32::from_be_bytes(four.try_into().expect("four")).to_string()).collect();
    _ = writeln!(text, "@ {} IN SOA {} {} {}", soa.ttl, shown(first), shown(second), numbers.join(" "));
    let servers = ours.udp(&Question::new(ZONE, kind::NS)).expect("an answer");
    for server in servers.answers() {
        _ = writeln!(text, "@ {} IN NS {}", server.ttl, shown(&server.data));
    }
    text + "only 60 IN A 192.0.2.99\n"
}

fn ask(asker: &mut Asker, asked: &Asked) -> Option<Reply> {
    if asked.over_tcp { asker.tcp(&asked.question) } else { asker.udp(&asked.question) }
}

#[test]
fn every_difference_from_nsd_and_knot_is_meant_to_be() {
    if !all_installed(&["nsd", "knotd"]) {
        return;
    }
    let ours = Server::anyfront(ZONE, &regions("answers_per_second = 0"), &[]);
    let mut ours = Asker::of(ours.address);
    let zone = master(&made(&mut ours));
    let (nsd, knot) = (Server::nsd(ZONE, &zone), Server::knot(ZONE, &zone, None));
    let (mut nsd, mut knot) = (Asker::of(nsd.address), Asker::of(knot.address));

    let count = std::env::var("ANYFRONT_DNS_QUESTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(QUESTIONS);
    let mut unexplained: BTreeMap<(Field, u16, u16), (usize, String)> = BTreeMap::new();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for asked in questions::all(7, count) {
        let replies = [ask(&mut ours, &asked), ask(&mut nsd, &asked), ask(&mut knot, &asked)];
        let [Some(ours), Some(nsd), Some(knot)] = replies else {
            panic!("silence of {:?} to {}", replies.map(|reply| reply.is_none()), asked.question)
        };
        let case = Case { asked, ours, nsd, knot };
        for field in case.differences() {
            let mut all = EXCEPTIONS.iter().filter(|one| one.fields.contains(&field) && (one.explains)(&case, field));
            if let Some(exception) = all.next() {
                *used.entry(exception.name).or_default() += 1;
                continue;
            }
            let question = &case.asked.question;
            let group = (field, question.kind, question.class);
            unexplained.entry(group).or_insert_with(|| (0, case.to_string())).0 += 1;
        }
    }
    println!("{count} questions; meant to be different:");
    for exception in EXCEPTIONS {
        println!("{:6} {}: {}", used.get(exception.name).copied().unwrap_or(0), exception.name, exception.why);
    }
    let shown = unexplained.iter().take(SHOWN).map(|((field, kind, class), (count, example))| {
        format!("{field:?} of type {kind} class {class}, {count} times, first {example}")
    });
    assert!(unexplained.is_empty(), "{} kinds of differences:\n{}", unexplained.len(), shown.collect::<String>());
    let idle: BTreeSet<&str> = EXCEPTIONS.iter().map(|one| one.name).filter(|name| !used.contains_key(name)).collect();
    assert!(idle.is_empty(), "explain nothing any more: {idle:?}");
}
