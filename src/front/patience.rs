//! How long a client waits, as its request says it. A machine: what was said in, moments out.
//!
//! | Field | Unit | Says |
//! | --- | --- | --- |
//! | `x-stainless-read-timeout` | seconds, fractions too | longest wait for the first byte, and longest silence after it |
//! | `x-tfy-ttft-timeout-ms` | milliseconds | longest wait for the first byte |
//! | `x-tfy-request-timeout` | milliseconds | what the gateway may take for one call of a model: never less for the first byte |
//!
//! Whoever waits less long than `[forward]` allows is *impatient*. It gets our own error a little before it would give up by
//! itself, and one that is safe to repeat leaves a region that has used up half of the time that was left.

use crate::limits::{PATIENCE_MARGIN_MAX, PATIENCE_MAX, PATIENCE_MIN};
use crate::moment::Moment;
use crate::topology::Forward;
use http::HeaderMap;
use std::time::Duration;

/// What the fields of a request say of its client's patience. Of several wishes the shortest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    first_byte: Option<Duration>,
    silence: Option<Duration>,
    first_byte_min: Option<Duration>,
}

/// The patience of a client that waits less long than the file allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the end of the request to the first byte of the answer, all attempts together, if that is limited.
    first_byte: Option<Duration>,
    /// Longest silence inside the answer, if that is limited.
    pub silence: Option<Duration>,
}

impl Said {
    /// What all `headers` say.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for name in ["x-stainless-read-timeout", "x-tfy-ttft-timeout-ms", "x-tfy-request-timeout"] {
            headers.get_all(name).iter().for_each(|value| said.hear(name, value.as_bytes()));
        }
        said
    }

    /// Takes one field in; `name` is in lower case. What is no sensible time says nothing.
    pub fn hear(&mut self, name: &str, value: &[u8]) {
        match name {
            "x-stainless-read-timeout" => {
                let time = seconds(value);
                self.first_byte = shorter(self.first_byte, time);
                self.silence = shorter(self.silence, time);
            }
            "x-tfy-ttft-timeout-ms" => self.first_byte = shorter(self.first_byte, milliseconds(value)),
            "x-tfy-request-timeout" => self.first_byte_min = self.first_byte_min.max(milliseconds(value)),
            _ => {}
        }
    }

    /// The patience that comes of it; `None` if it is no shorter than `forward` allows.
    #[must_use]
    pub fn against(self, forward: &Forward) -> Option<Patience> {
        let wait = self.first_byte.map(|wait| self.first_byte_min.map_or(wait, |least| wait.max(least)));
        let first_byte = wait.filter(|wait| *wait < forward.first_byte_timeout).map(with_margin);
        let silence = self.silence.filter(|silence| *silence < forward.stream_idle_timeout).map(with_margin);
        (first_byte.is_some() || silence.is_some()).then_some(Patience { first_byte, silence })
    }
}

impl Patience {
    /// When it is over, for a request whose end was read at `start`.
    #[must_use]
    pub fn ends(self, start: Moment) -> Option<Moment> {
        self.first_byte.map(|wait| start + wait)
    }

    /// Until when an attempt that began at `begun` may take; `may_move`: another region could be asked after it.
    #[must_use]
    pub fn attempt_ends(self, begun: Moment, start: Moment, may_move: bool) -> Option<Moment> {
        let from = begun.max(start);
        let left = self.ends(start)?.since(from);
        Some(from + if may_move { left / 2 } else { left })
    }

    /// Whether another attempt `now` can still be answered in time, by an endpoint whose answers take `round_trip` at best.
    #[must_use]
    pub fn suffices(self, now: Moment, start: Moment, round_trip: Option<Duration>) -> bool {
        self.ends(start).is_none_or(|end| end.since(now) > round_trip.unwrap_or_default())
    }
}

/// A little less: our answer has to arrive before the client gives up.
fn with_margin(wait: Duration) -> Duration {
    wait - (wait / 20).min(PATIENCE_MARGIN_MAX)
}

fn shorter(known: Option<Duration>, said: Option<Duration>) -> Option<Duration> {
    match (known, said) {
        (Some(known), Some(said)) => Some(known.min(said)),
        (known, said) => known.or(said),
    }
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    // Plain digits with a point in them: Rust would read `inf`, `1e3` and `+1` too.
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then_some(())?;
    sensible(Duration::try_from_secs_f64(text.parse().ok()?).ok()?)
}

fn milliseconds(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    sensible(Duration::from_millis(text.parse().ok()?))
}

fn sensible(time: Duration) -> Option<Duration> {
    (PATIENCE_MIN..=PATIENCE_MAX).contains(&time).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(after: u64) -> Moment {
        Moment::at(ms(after))
    }

    fn forward() -> Forward {
        Forward {
            attempts: 3,
            retry_percent: 10,
            retry_floor: 3,
            failover_timeout: ms(5_000),
            connect_timeout: ms(1_000),
            first_byte_timeout: ms(600_000),
            stream_idle_timeout: ms(600_000),
            connection_max_age: None,
            slow_start: ms(0),
            trusted_proxies: Vec::new(),
            trust: Vec::new(),
        }
    }

    fn heard(fields: &[(&str, &str)]) -> Option<Patience> {
        let mut said = Said::default();
        fields.iter().for_each(|(name, value)| said.hear(name, value.as_bytes()));
        said.against(&forward())
    }

    #[test]
    fn what_the_common_clients_say_anyway_is_no_impatience() {
        assert_eq!(heard(&[]), None);
        assert_eq!(heard(&[("x-stainless-read-timeout", "600")]), None);
        assert_eq!(heard(&[("x-stainless-read-timeout", "900.5")]), None);
        assert_eq!(heard(&[("x-tfy-request-timeout", "5000")]), None, "it only ever lengthens");
        assert!(heard(&[("x-stainless-read-timeout", "599.9")]).is_some());
    }

    #[test]
    fn each_field_limits_what_it_speaks_of_and_we_are_a_little_earlier() {
        let both = |first_byte, silence| Some(Patience { first_byte, silence });
        assert_eq!(heard(&[("x-stainless-read-timeout", "10")]), both(Some(ms(9_500)), Some(ms(9_500))));
        assert_eq!(heard(&[("x-stainless-read-timeout", "100")]), both(Some(ms(99_000)), Some(ms(99_000))));
        assert_eq!(heard(&[("x-tfy-ttft-timeout-ms", "2000")]), both(Some(ms(1_900)), None));
        let shortest = [("x-stainless-read-timeout", "10"), ("x-tfy-ttft-timeout-ms", "2000")];
        assert_eq!(heard(&shortest), both(Some(ms(1_900)), Some(ms(9_500))));
        let least = [("x-tfy-ttft-timeout-ms", "2000"), ("x-tfy-request-timeout", "4000")];
        assert_eq!(heard(&least), both(Some(ms(3_800)), None), "a gateway may take that for each model");
        let beyond = [("x-tfy-ttft-timeout-ms", "2000"), ("x-tfy-request-timeout", "700000")];
        assert_eq!(heard(&beyond), None);
    }

    #[test]
    fn nonsense_is_no_patience() {
        for value in
            ["", "-1", "0", "0.0", "0.009", "nan", "inf", "1e1", "+5", "5s", " 5", "5,5", "1.2.3", "86401", "9e99"]
        {
            assert_eq!(heard(&[("x-stainless-read-timeout", value)]), None, "{value}");
        }
        for value in ["", "-1", "0", "9", "1.5", "86400001", "99999999999999999999999"] {
            assert_eq!(heard(&[("x-tfy-ttft-timeout-ms", value)]), None, "{value}");
        }
        // One within the bounds.
        assert!(heard(&[("x-stainless-read-timeout", "0.010")]).is_some());
        assert!(heard(&[("x-tfy-ttft-timeout-ms", "10")]).is_some());
    }

    #[test]
    fn all_attempts_together_fit_and_one_that_may_move_takes_half_of_what_is_left() {
        let patience = heard(&[("x-tfy-ttft-timeout-ms", "1000")]).expect("impatient");
        assert_eq!(patience.ends(at(100)), Some(at(1_050)));
        assert_eq!(patience.attempt_ends(at(100), at(100), true), Some(at(575)));
        assert_eq!(patience.attempt_ends(at(575), at(100), true), Some(Moment::at(Duration::from_micros(812_500))));
        assert_eq!(patience.attempt_ends(at(575), at(100), false), Some(at(1_050)));
        // The client is still sending: its patience has not begun.
        assert_eq!(patience.attempt_ends(at(100), at(5_000), true), Some(at(5_475)));
        assert!(patience.suffices(at(1_000), at(100), Some(ms(49))));
        assert!(!patience.suffices(at(1_000), at(100), Some(ms(50))));
        assert!(!patience.suffices(at(1_050), at(100), None));
    }
}
