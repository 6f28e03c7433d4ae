//! Thousands of answers cut at random places, and not one that looks whole.
//!
//! 2,000 unless `ANYFRONT_CUT_STREAMS` says otherwise; `make load` cuts 10,000.

use crate::harness::{BOUND, Fleet, quick, quick_and_secure};
use crate::program::{Program, node, python};
use crate::wire::{Caller, Leg, full, read};
use anyfront::lab::world::Settings;
use anyfront::moment::Dice;
use http::Request;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Connections at once, each with one answer under way.
const CALLERS: u64 = 24;
/// Tokens of each completion; events of each stream.
const EVENTS: u64 = 12;
/// Octets of each plain answer.
const PLAIN_BYTES: usize = 5_000;

fn streams() -> u64 {
    std::env::var("ANYFRONT_CUT_STREAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000)
}

/// What is asked for; each knows when it has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A streamed completion: a class with the dialect of OpenAI.
    Completion,
    /// A stream of events that no class knows: framed by chunks alone.
    Events,
    /// Octets of a length that is said before.
    Plain,
}

impl What {
    const ALL: [Self; 3] = [Self::Completion, Self::Events, Self::Plain];

    /// About how long it is, octets.
    fn length(self) -> f64 {
        match self {
            Self::Completion => 205.0 * (EVENTS + 3) as f64,
            Self::Events => 32.0 * EVENTS as f64,
            Self::Plain => PLAIN_BYTES as f64,
        }
    }

    fn is_whole(self, body: &[u8]) -> bool {
        match self {
            Self::Completion => body.ends_with(b"data: [DONE]\n\n"),
            Self::Events => {
                String::from_utf8_lossy(body).contains(&format!("id: {EVENTS}\n")) && body.ends_with(b"\n\n")
            }
            Self::Plain => body.len() == PLAIN_BYTES,
        }
    }

    /// Whether who reads events, and is deaf to the framing, knows as well that it has not come whole.
    fn says_so_in_words(self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
        self != Self::Completion || last.contains("stream_interrupted") || last == "data: [DONE]"
    }
}

/// How answers ended, by what a strict client concludes.
#[derive(Debug, Default)]
struct Ends {
    whole: u64,
    /// Broken off, and told so by the framing.
    told: u64,
    /// No answer of a region's: an error of the node's own.
    refused: u64,
    /// A clean end that was none: there must not be one.
    silent: Vec<String>,
}

/// One caller, asking again and again; `count` answers.
async fn ask(fleet: &Fleet, leg: Leg, count: u64, mut dice: Dice) -> BTreeMap<What, Ends> {
    let mut ends: BTreeMap<What, Ends> = BTreeMap::new();
    let mut caller = None;
    for number in 0..count {
        let what = What::ALL[(number % 3) as usize];
        // One in ten is cut behind its end, which is not at all.
        let at = (dice.fraction() * 1.1 * what.length()) as u64;
        let request = Request::builder().header("x-lab-cut-at", at);
        let mut taken = match caller.take() {
            Some(caller) => caller,
            None => Caller::connect(fleet, leg, "us").await,
        };
        let answer = match what {
            What::Completion => {
                let body =
                    json!({"messages": [{"role": "user", "content": "hi"}], "stream": true, "max_tokens": EVENTS});
                let request = request.method("POST").header("content-type", "application/json");
                taken.send(request, "/v1/chat/completions", full(body.to_string())).await
            }
            What::Events => taken.send(request, &format!("/events?n={EVENTS}&ms=1"), full("")).await,
            What::Plain => taken.send(request, &format!("/bytes/{PLAIN_BYTES}"), full("")).await,
        };
        let ends = ends.entry(what).or_default();
        match answer {
            Ok(mut answer) => {
                let status = answer.status();
                let (body, end) = read(&mut answer).await;
                match end {
                    Ok(()) if status.is_server_error() => ends.refused += 1,
                    Ok(()) if what.is_whole(&body) => ends.whole += 1,
                    Ok(()) => ends.silent.push(format!(
                        "{leg} {what:?} cut at {at}: {status}, {} octets: {:?}",
                        body.len(),
                        String::from_utf8_lossy(&body[body.len().saturating_sub(100)..])
                    )),
                    Err(why) => {
                        assert_ne!(why, "silence", "{leg} {what:?} cut at {at} never ends");
                        let text = String::from_utf8_lossy(&body);
                        assert!(what.says_so_in_words(&body), "{leg} {what:?} cut at {at}, {why}: {text:?}");
                        ends.told += 1;
                    }
                }
            }
            Err(why) => {
                assert!(!why.contains("bound"), "{leg} {what:?} cut at {at}: {why}");
                ends.told += 1;
            }
        }
        caller = Some(taken).filter(Caller::may_go_on);
    }
    ends
}

async fn cut(settings: Settings, legs: [Leg; 2], count: u64) {
    let settings = Settings { token_pace: Duration::from_millis(1), ..settings };
    let fleet = Fleet::start(settings).await;
    let callers = (0..CALLERS).map(|at| {
        let leg = legs[(at % 2) as usize];
        ask(&fleet, leg, count.div_ceil(CALLERS), Dice::seeded(at))
    });
    let all = futures_util::future::join_all(callers).await;
    for what in What::ALL {
        let mut sum = Ends::default();
        for ends in all.iter().filter_map(|ends| ends.get(&what)) {
            sum.whole += ends.whole;
            sum.told += ends.told;
            sum.refused += ends.refused;
            sum.silent.extend(ends.silent.iter().cloned());
        }
        println!("{what:?}: {} whole, {} told, {} refused", sum.whole, sum.told, sum.refused);
        assert!(sum.silent.is_empty(), "{} silent truncations:\n{}", sum.silent.len(), sum.silent.join("\n"));
        assert!(sum.whole > 0 && sum.told > count / 10, "nothing was proven: {sum:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_answer_cut_at_a_random_place_looks_whole_from_regions_in_the_clear() {
    cut(quick(), [Leg::Http1Clear, Leg::Http2Tls], streams() / 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_answer_cut_at_a_random_place_looks_whole_from_regions_with_http2() {
    cut(quick_and_secure(), [Leg::Http1Clear, Leg::Http2Tls], streams() / 2).await;
}

/// As many as a customer's program would see in a year of bad luck.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_completion_cut_at_a_random_place_looks_whole_to_the_sdks() {
    let settings = Settings { token_pace: Duration::from_millis(1), ..quick_and_secure() };
    let fleet = Fleet::start(settings).await;
    let kinds = [
        python("openai for Python, HTTP/1.1", "openai_sdk.py", &["h1"]),
        python("openai for Python, HTTP/2", "openai_sdk.py", &["h2"]),
        node("openai for Node", "openai_sdk.mjs", &[]),
    ];
    let sdks = Program::start_all(&fleet, "us", &kinds).await;
    let ends = sdks.into_iter().enumerate().map(|(seed, mut sdk)| async move {
        let mut dice = Dice::seeded(seed as u64);
        let (mut whole, mut told) = (0, 0);
        for _ in 0..100 {
            // Not before the first event is whole: until then the SDK asks again, and waits in between.
            let at = 250 + (dice.fraction() * 1.1 * What::Completion.length()) as u64;
            let outcome = sdk.does(&format!("cut_stream {EVENTS} {at}")).await;
            match &outcome.end {
                Ok(_) if outcome.events as u64 == EVENTS + 2 => whole += 1,
                Ok(_) => panic!("{} took a completion cut at {at} for whole: {outcome:?}", sdk.name),
                Err(_) => told += 1,
            }
        }
        println!("{}: {whole} whole, {told} told", sdk.name);
        assert!(told > 50 && whole > 0, "nothing was proven: {whole} whole, {told} told");
    });
    tokio::time::timeout(BOUND * 6, futures_util::future::join_all(ends)).await.expect("an end");
}
