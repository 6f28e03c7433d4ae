//! A run as text: one line for each fact, and one number for all of them.

use super::fact::Fact;
use super::world::World;
use crate::moment::{Moment, mix};
use crate::topology::{EndpointIndex, RegionIndex, RouteIndex};
use std::fmt::Write;

/// A rolling hash of the lines of a run: two runs are the same if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hash {
    /// One more line.
    pub fn add(&mut self, line: &str) {
        let mut chunks = line.as_bytes().chunks_exact(8);
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        }
        let rest = chunks.remainder().iter().fold(line.len() as u64, |word, octet| word << 8 | u64::from(*octet));
        self.word(rest);
    }

    /// What it comes to.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }

    fn word(&mut self, word: u64) {
        self.0 = mix(self.0.rotate_left(5) ^ word);
    }
}

/// Writes the facts of the last step of `world` to the end of `out`, one a line.
pub fn write(world: &World, out: &mut String) {
    for fact in &world.facts {
        moment(world.now, out);
        line(world, fact, out);
        out.push('\n');
    }
}

fn moment(now: Moment, out: &mut String) {
    let nanos = now.as_nanos();
    let _ = write!(out, "{:>6}.{:09} ", nanos / 1_000_000_000, nanos % 1_000_000_000);
}

fn line(world: &World, fact: &Fact, out: &mut String) {
    let topology = &world.topology;
    let node = |node: u16| topology.sites[usize::from(node)].name.as_str();
    let region = |region: RegionIndex| topology.region(region).name.as_str();
    let hostname = |route: RouteIndex| topology.route(route).hostname.as_str();
    let at = |by: u16, endpoint: EndpointIndex| {
        let endpoint = world.file_of(by).topology.endpoints.get(endpoint.at());
        endpoint.map_or_else(|| "nothing".to_owned(), |endpoint| endpoint.name.to_string())
    };
    let fault = |number: u16| world.scenario.faults[usize::from(number)].what.kind().as_str();
    // Writing to a string does not fail.
    let _ = match *fact {
        Fact::Begins(number) => write!(out, "fault {number} begins: {}", fault(number)),
        Fact::Ends(number) => write!(out, "fault {number} ends: {}", fault(number)),
        Fact::Starts(at) => write!(out, "{} starts", node(at)),
        Fact::Stops(at) => write!(out, "{} stops", node(at)),
        Fact::Obeys(at, word) => write!(out, "{} obeys word {word}", node(at)),
        Fact::Refuses(at, word) => write!(out, "{} refuses word {word}", node(at)),
        Fact::Publishes(at) => {
            let generation = world.nodes[usize::from(at)].as_ref().map_or(0, |node| node.snapshot.generation);
            write!(out, "{} publishes {generation}", node(at))
        }
        Fact::Stands { node: by, region: of, before, standing } => {
            write!(out, "{} calls {} {standing} after {before}", node(by), region(of))
        }
        Fact::Probed { node: by, endpoint, result } => match result {
            Ok(took) => write!(out, "{} probed {} in {} ns", node(by), at(by, endpoint), took.as_nanos()),
            Err(fault) => write!(out, "{} probed {}: {fault}", node(by), at(by, endpoint)),
        },
        Fact::Resolved { node: by, route, answer, told, ttl } => {
            let (by, hostname) = (node(by), hostname(route));
            write!(out, "{by} answers {hostname} with {told}: {answer:?} for {} ns", ttl.as_nanos())
        }
        Fact::Wishes(slot) => {
            let asked = world.request(slot);
            let (client, hostname) = (asked.client, hostname(asked.route));
            let (takes, flows) = (asked.takes.as_nanos(), asked.flows.as_nanos());
            write!(
                out,
                "request {slot}: client {client} asks {hostname} for work {} of {takes} + {flows} ns",
                asked.work
            )
        }
        Fact::Arrives(slot, at) => write!(out, "request {slot} arrives at {}", node(at)),
        Fact::Dials { request, region: of } => write!(out, "request {request} dials {}", region(of)),
        Fact::Tries { request, node: by, region: of, endpoint, number } => {
            write!(
                out,
                "request {request}: {} tries {} at {}, attempt {number}",
                node(by),
                region(of),
                at(by, endpoint)
            )
        }
        Fact::Processes(slot, of) => write!(out, "request {slot}: {} works", region(of)),
        Fact::Fails { request, node: by, region: of, fault, progress } => {
            write!(out, "request {request}: {} fails at {}: {fault}, {progress:?}", node(by), region(of))
        }
        Fact::Answers { request, node: by, region: of, status } => {
            write!(out, "request {request}: {} answers {status} from {}", node(by), region(of))
        }
        Fact::Ended(slot, outcome) => write!(out, "request {slot} ended {}", outcome.as_str()),
        Fact::Finished(slot, outcome) => write!(out, "request {slot} finished {}", outcome.as_str()),
    };
}
