//! WHAT MUST HOLD: the promises of this router, each one function, asked at every event of a simulated world.
//!
//! [`Oracle::judge`] is told the facts of a step. It knows how everything really is ([`World::truth`]), works out by itself
//! who may serve what and what is drained, and never takes a node's view of health for the truth. [`INVARIANTS`] are those
//! that can be broken here; [`ELSEWHERE`] says of the others where they are held. A number is a promise's for ever.

mod answers;
pub mod books;
mod elsewhere;
mod fence;
pub mod ground;
mod health;
mod safety;
mod serving;
mod stability;

pub use elsewhere::{ELSEWHERE, Elsewhere};

use super::fact::Fact;
use super::world::World;
use crate::moment::Moment;
use books::Books;
use ground::Ground;
use std::time::Duration;

/// Violations of one invariant that are kept with their sentences; the others are counted.
pub const KEPT_MAX: usize = 4;
/// How often what time alone can break is asked for.
const CLOCK: Duration = Duration::from_secs(1);

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Anything may break.
    Safety,
    /// A core stays healthy, and whoever it can serve must be served.
    Liveness,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// When.
    pub at: Moment,
    /// What happened, in a sentence.
    pub what: String,
}

/// A promise.
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub sentence: &'static str,
    judge: Judge,
}

/// When it can be broken, and by what one sees that: the sentence says what happened.
enum Judge {
    /// At a fact.
    Fact(fn(&Seen<'_>, &Fact) -> Option<String>),
    /// By time going on.
    Clock(fn(&Seen<'_>) -> Option<String>),
}

/// All that there is to see when it is asked.
pub struct Seen<'a> {
    /// The world after the step.
    pub world: &'a World,
    /// What happened before the fact.
    pub books: &'a Books,
    /// How things really are, and since when.
    pub ground: &'a Ground,
    /// What is played.
    pub mode: Mode,
}

macro_rules! invariants {
    ($($module:ident::$name:ident $when:ident $sentence:literal;)*) => {
        /// Every promise that can be broken here.
        pub const INVARIANTS: &[Invariant] = &[
            $(Invariant { name: stringify!($name), sentence: $sentence, judge: Judge::$when($module::$name) },)*
        ];
    };
}

invariants! {
    safety::i01_allowed_set Fact "Every attempt, every work and every answer of DNS is inside of the hostname's fence, whatever fails.";
    safety::i02_precedence Fact "Nobody is sent to a region while a better one may be asked: by standing first, then by level.";
    safety::i03_known_targets Fact "Attempts go to regions and endpoints of the file that the node has in force.";
    safety::i04_drain Fact "No new attempt goes where the node has applied a drain; a hard one counts for a region's own name too.";
    safety::i05_no_duplicate_effect Fact "What is not safe to repeat is worked on once for each try of its client, and nothing is tried again once an answer has begun.";
    answers::i09_answer_shape Fact "A live name has an answer, and its TTL is as written.";
    answers::i11_mass_withdrawal Fact "DNS leaves out sites only as long as half of them, and two, are left.";
    answers::i11_false_withdrawal Clock "DNS leaves out nobody who has been reachable for a minute.";
    safety::i12_empty_guard Fact "Nothing but a fence or an operator leaves a request without a single attempt.";
    safety::i13_monotone Fact "Generations only rise while a node lives.";
    safety::i16_good_means_good Fact "A file that is refused changes nothing.";
    health::i17_convergence Clock "Once everything is well, all nodes have the same file and the same drains.";
    health::i18_unknown_is_not_down Fact "When only the channel of operators fails, no standing gets worse.";
    serving::i20_availability Fact "Whoever could have been served all the time is served.";
    health::i21_detection Clock "What refuses, fails or is silent is left within the bound of its kind.";
    health::i21_return Clock "What is well again is used again.";
    health::i22_boot Clock "A node that starts soon knows what is well.";
    stability::i23_bounded_steps Fact "No event comes to more than the world holds, and time goes on.";
    stability::i25_flaps Fact "A region's standing does not change more often than its outages can explain.";
    stability::i26_velocity Fact "By error rate at most a quarter of a level is left within 30 seconds, but always one region may be.";
    stability::i27_capacity Fact "Nobody is sent to a region that is full while an equal one has room.";
    stability::i29_amplification Fact "What may have been worked on is repeated within the budget: three a second and a tenth of what succeeds.";
    serving::i30_recovery Fact "Ten seconds after everything is well again, everybody is served.";
    stability::i31_minimal_movement Fact "One region's change moves only those who come from it or go to it.";
    serving::i32_proximity Fact "When all is well, clients go to the nearest region that may serve them.";
    stability::i33_bounded_resources Clock "What is under way at nodes and in the world stays within bounds.";
    stability::i33_every_wish_ends Fact "Every wish ends within the patience of its program.";
    health::i34_honest_blindness Clock "A node whose own eyes fail calls nothing down because of that.";
}

/// The oracle of one world.
pub struct Oracle {
    mode: Mode,
    books: Books,
    ground: Ground,
    next_clock: Moment,
    /// By invariant: how often it was broken.
    counts: Vec<u64>,
    violations: Vec<Violation>,
}

impl Oracle {
    /// One that has seen nothing yet of `world`, of which no step was made.
    #[must_use]
    pub fn new(world: &World, mode: Mode) -> Self {
        let mut oracle = Self {
            mode,
            books: Books::new(world),
            ground: Ground::new(world),
            next_clock: world.now + CLOCK,
            counts: vec![0; INVARIANTS.len()],
            violations: Vec::new(),
        };
        // A new world has the facts of its beginning.
        oracle.books.begin(world);
        oracle
    }

    /// Looks at what the last step of `world` came to.
    pub fn judge(&mut self, world: &World) {
        self.ground.follow(world);
        for fact in &world.facts {
            self.judge_fact(world, fact);
        }
        self.books.step(world);
        if world.now >= self.next_clock {
            self.next_clock = world.now + CLOCK;
            self.judge_time(world);
        }
    }

    /// Looks at one fact.
    pub fn judge_fact(&mut self, world: &World, fact: &Fact) {
        if let Fact::Probed { node, endpoint, result } = *fact {
            // Most facts are of these, and they say nothing but what was lost on the way.
            return self.ground.probed(world, node, endpoint, result.is_ok());
        }
        self.ask(world, |judge, seen| match judge {
            Judge::Fact(judge) => judge(seen, fact),
            Judge::Clock(_) => None,
        });
        self.ground.heard(world, fact);
        self.books.note(world, fact);
    }

    /// Looks at what time alone can break.
    pub fn judge_time(&mut self, world: &World) {
        self.ask(world, |judge, seen| match judge {
            Judge::Clock(judge) => judge(seen),
            Judge::Fact(_) => None,
        });
    }

    /// The promises that were broken, the first [`KEPT_MAX`] times of each, in the order in which it happened.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How often each of [`INVARIANTS`] was broken.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// What has happened, as it has noted it.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    fn ask(&mut self, world: &World, ask: impl Fn(&Judge, &Seen<'_>) -> Option<String>) {
        let seen = Seen { world, books: &self.books, ground: &self.ground, mode: self.mode };
        for (invariant, count) in INVARIANTS.iter().zip(&mut self.counts) {
            let Some(what) = ask(&invariant.judge, &seen) else { continue };
            *count += 1;
            if *count <= KEPT_MAX as u64 {
                self.violations.push(Violation { invariant: invariant.name, at: world.now, what });
            }
        }
    }
}

impl std::fmt::Debug for Oracle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oracle").field("violations", &self.violations).finish_non_exhaustive()
    }
}
