//! What clients' programs do when a request of theirs fails: the habits of the real ones.

use super::chance::below;
use super::fact::Outcome;
use super::scenario::Program;
use crate::moment::Dice;
use std::time::Duration;

/// Before the OpenAI SDKs try again the first time; it doubles.
const OPENAI_FIRST: Duration = Duration::from_millis(500);
/// They never wait longer than this by themselves.
const OPENAI_LONGEST: Duration = Duration::from_secs(8);
/// Nor for longer than this because they are told to.
const OPENAI_TOLD_MAX: Duration = Duration::from_secs(60);

impl Program {
    /// How long it waits for the whole of a request: what the SDKs have as default.
    #[must_use]
    pub fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::OpenAi => 600,
            Self::Mcp => 60,
            Self::Browser => 300,
            Self::Curl => 3_600,
            Self::Hammer => 10,
        })
    }

    /// Whether it says that a request is another try, as the OpenAI SDKs do.
    #[must_use]
    pub fn says_retry_count(self) -> bool {
        self == Self::OpenAi
    }

    /// How long its connections are kept when nothing is under way.
    #[must_use]
    pub fn keeps_connection(self) -> Duration {
        Duration::from_secs(match self {
            Self::OpenAi => 5,
            Self::Mcp | Self::Browser => 60,
            Self::Curl | Self::Hammer => 0,
        })
    }

    /// After how long it asks again, after `tries` that ended so; `None`: it tells its user. `told`: what `retry-after-ms`
    /// of the last answer said; `None` in it says that a repetition cannot help.
    pub fn tries_again(
        self,
        dice: &mut Dice,
        tries: u32,
        outcome: Outcome,
        is_get: bool,
        told: Option<Duration>,
    ) -> Option<Duration> {
        let is_lost = matches!(outcome, Outcome::Unreached | Outcome::Lost | Outcome::Unresolved);
        match self {
            Self::OpenAi => {
                let is_worth_it = match outcome {
                    Outcome::Failure(_, status) | Outcome::Unanswered(status) => {
                        matches!(status, 408 | 409 | 429) || status >= 500
                    }
                    Outcome::Abandoned => true,
                    _ => is_lost,
                };
                (is_worth_it && tries <= 2).then(|| match told.filter(|told| *told <= OPENAI_TOLD_MAX) {
                    Some(told) => told,
                    None => {
                        let wait = OPENAI_LONGEST.min(OPENAI_FIRST * 2_u32.saturating_pow(tries - 1));
                        wait.mul_f64(1.0 - 0.25 * dice.fraction())
                    }
                })
            }
            Self::Mcp => (is_lost && tries <= 1).then(|| Duration::from_millis(1_000 + below(dice, 500))),
            Self::Browser => (is_get && outcome == Outcome::Lost && tries <= 1).then_some(Duration::ZERO),
            Self::Curl => None,
            Self::Hammer => (tries < 5).then_some(Duration::ZERO),
        }
    }
}
