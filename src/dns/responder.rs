//! One question in, one answer out, whichever way it came.

use super::asker::{Asker, Transport};
use super::bare::{self, Opt};
use super::cookie::Cookie;
use super::limit::SigningBudget;
use super::prepare::Answers;
use super::prepared::Prepared;
use super::question::{Question, Rcode, Unanswerable};
use super::tap::Tap;
use super::tap::frame::Kind;
use super::{answer, wire};
use crate::counters::{DoorCounters, WorkerCounters};
use crate::moment::Clock;
use arc_swap::{ArcSwapOption, Cache};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is an answer.
    Answer {
        /// How it went.
        rcode: Rcode,
        /// Header and question, octets.
        question_end: usize,
        /// Whether the asker has shown that it is where it says (RFC 7873).
        is_proven: bool,
        /// What its OPT gets back.
        opt: Option<Opt>,
    },
    /// There is none: it was no question.
    Silence,
}

/// Who answers. Cheap to clone; every connection has its own.
#[derive(Clone)]
pub struct Responder {
    answers: Cache<Arc<ArcSwapOption<Prepared>>, Option<Arc<Prepared>>>,
    clock: Clock,
    counters: Arc<WorkerCounters>,
    /// Of one worker. Locked for names that do not exist in a signed zone alone, and by nobody else at that time.
    budget: Arc<Mutex<SigningBudget>>,
    scratch: Vec<u8>,
    /// Where questions and answers are logged.
    tap: Option<Tap>,
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

impl Responder {
    /// One that answers by what is prepared at the moment.
    #[must_use]
    pub fn new(answers: &Answers, clock: Clock, counters: Arc<WorkerCounters>) -> Self {
        Self {
            answers: Cache::new(Arc::clone(answers)),
            clock,
            counters,
            budget: Arc::default(),
            scratch: Vec::new(),
            tap: None,
        }
    }

    /// The same, which logs by `tap` what it answers.
    #[must_use]
    pub fn tapped(self, tap: Option<Tap>) -> Self {
        Self { tap, ..self }
    }

    /// Logs a message between `ends`, the other one first, where messages are logged.
    #[inline]
    pub fn log(&self, kind: Kind, transport: Transport, ends: (SocketAddr, SocketAddr), message: &[u8]) {
        let Some(tap) = &self.tap else { return };
        if !tap.try_log(kind, transport, ends, self.clock.wall(), message) {
            DoorCounters::count(&self.counters.dns.untapped);
        }
    }

    /// Answers `question`, which `peer` sent to `local`. The answer is added at the end of `out`; what is there already stays as it is.
    pub fn answer(
        &mut self,
        transport: Transport,
        (peer, local): (SocketAddr, SocketAddr),
        question: &[u8],
        out: &mut Vec<u8>,
    ) -> Outcome {
        let start = out.len();
        self.log(Kind::Query, transport, (peer, local), question);
        let outcome = self.outcome(transport, peer, question, out);
        // Of a datagram it is not known yet whether it goes out, and as what.
        if transport != Transport::Udp && out.len() > start {
            self.log(Kind::Response, transport, (peer, local), &out[start..]);
        }
        let which = match outcome {
            Outcome::Answer { rcode, .. } => rcode as usize,
            Outcome::Silence => Rcode::BadCookie as usize + 1,
        };
        DoorCounters::count(&self.counters.dns.outcomes[transport as usize][which]);
        outcome
    }

    fn outcome(&mut self, transport: Transport, peer: SocketAddr, message: &[u8], out: &mut Vec<u8>) -> Outcome {
        let refuse = |rcode, question_end, opt, out: &mut Vec<u8>| {
            bare::write(message, question_end, rcode, false, opt, out);
            Outcome::Answer { rcode, question_end, is_proven: false, opt }
        };
        let question = match Question::parse(message) {
            Ok(question) => question,
            Err(Unanswerable::Silence) => return Outcome::Silence,
            Err(Unanswerable::Code { rcode, question_end, dnssec_ok }) => {
                let opt = dnssec_ok.map(|dnssec_ok| Opt { dnssec_ok, cookie: None });
                return refuse(rcode, question_end, opt, out);
            }
        };
        let Some(prepared) = self.answers.load().as_deref() else {
            let opt = question.edns.map(|edns| Opt { dnssec_ok: edns.dnssec_ok, cookie: None });
            return refuse(Rcode::Refused, question.end(), opt, out);
        };
        let mut asker = Asker { address: peer.ip().to_canonical(), transport, cookie: None };
        let mut is_proven = false;
        if let Some(edns) = question.edns {
            if edns.subnet.is_some() {
                DoorCounters::count(&self.counters.dns.subnets);
            }
            if let Some(option) = edns.cookie {
                let wall = u32::try_from(self.clock.wall().as_secs() & u64::from(u32::MAX)).expect("masked");
                match prepared.cookies.judge(option, asker.address, wall) {
                    Cookie::Malformed => {
                        let opt = Opt { dnssec_ok: edns.dnssec_ok, cookie: None };
                        return refuse(Rcode::FormErr, question.end(), Some(opt), out);
                    }
                    Cookie::Good { answer } => (asker.cookie, is_proven) = (Some(answer), true),
                    Cookie::Bad { answer } => asker.cookie = Some(answer),
                }
            }
        }
        let (budget, clock, counters) = (&self.budget, self.clock, &self.counters.dns);
        // Asked once for each question, by whichever way needs it first.
        let mut may = None;
        let mut may_sign = || {
            *may.get_or_insert_with(|| {
                let may = budget.lock().unwrap_or_else(PoisonError::into_inner).take(clock.now());
                DoorCounters::count(if may { &counters.signatures } else { &counters.unsigned });
                may
            })
        };
        let rcode = match wire::answer(prepared, &question, &asker, &mut may_sign, out) {
            Some(rcode) => {
                DoorCounters::count(&counters.prepared);
                rcode
            }
            None => {
                let rcode = answer::answer(prepared, &question, &asker, &mut may_sign, &mut self.scratch);
                if self.scratch.get(2).is_some_and(|flags| flags & bare::TRUNCATED != 0) {
                    DoorCounters::count(&counters.truncated);
                }
                out.extend_from_slice(&self.scratch);
                rcode
            }
        };
        let opt = question.edns.map(|edns| Opt { dnssec_ok: edns.dnssec_ok, cookie: asker.cookie });
        Outcome::Answer { rcode, question_end: question.end(), is_proven, opt }
    }

    /// Makes `out` an answer that says to ask again over TCP.
    pub fn truncate(message: &[u8], question_end: usize, opt: Option<Opt>, out: &mut Vec<u8>) {
        out.clear();
        bare::write(message, question_end, Rcode::NoError, true, opt, out);
    }
}
