//! When to suspect ourselves.
//!
//! If more than half of all endpoints, spanning every provider, begin to fail within two seconds, the likelier cause is
//! this node's own network. What fails then is unknown, not down: it keeps its place before everything that was already
//! known to be bad, and nothing has to recover when our network does.

use crate::moment::Moment;
use std::time::Duration;

/// Failures that begin within this time of each other may have one cause.
pub const SUSPICION_WINDOW: Duration = Duration::from_secs(2);
/// How long suspicion outlives its grounds: until every endpoint has had a probe that could pass again.
pub const SUSPICION_LINGERS: Duration = Duration::from_secs(4);

/// What is known of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    /// Its provider, any numbering.
    pub provider: u16,
    /// Since when its probes have failed without a pass, if they do.
    pub failing_since: Option<Moment>,
}

/// Since when the failures of these endpoints look like our own, if they do. What began to fail before that is not
/// excused by it.
///
/// They do when there are two providers or more, every one of them has a failing endpoint, and more than half of all
/// endpoints began to fail within one [`SUSPICION_WINDOW`].
#[must_use]
pub fn since(witnesses: &[Witness]) -> Option<Moment> {
    let mut began: Vec<(Moment, u16)> =
        witnesses.iter().filter_map(|witness| Some((witness.failing_since?, witness.provider))).collect();
    if began.len() * 2 <= witnesses.len() {
        return None;
    }
    began.sort_unstable();
    let mut providers: Vec<u16> = witnesses.iter().map(|witness| witness.provider).collect();
    providers.sort_unstable();
    providers.dedup();
    if providers.len() < 2 {
        return None;
    }
    let mut starts = began.iter().enumerate();
    let first_of_many = starts.find(|(first, (start, _))| {
        let together = began[*first..].iter().take_while(|(moment, _)| moment.since(*start) <= SUSPICION_WINDOW);
        let mut hit: Vec<u16> = together.map(|(_, provider)| *provider).collect();
        let many = hit.len() * 2 > witnesses.len();
        hit.sort_unstable();
        hit.dedup();
        many && hit.len() == providers.len()
    });
    first_of_many.map(|(_, (start, _))| *start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witnesses(text: &str) -> Vec<Witness> {
        // "a0 a- b15": provider and tenths of a second at which it began to fail.
        text.split(' ')
            .map(|word| Witness {
                provider: u16::from(word.as_bytes()[0]),
                failing_since: word[1..]
                    .parse()
                    .ok()
                    .map(|tenths: u64| Moment::at(Duration::from_millis(tenths * 100))),
            })
            .collect()
    }

    #[test]
    fn nearly_everything_at_once_is_our_own_fault() {
        let tenths = |tenths: u64| Some(Moment::at(Duration::from_millis(tenths * 100)));
        assert_eq!(since(&witnesses("a0 a5 b10 b15 c19 c-")), tenths(0));
        assert_eq!(since(&witnesses("a900 a905 b910 b915 c3 c905")), tenths(900), "an old failure hides no new one");
    }

    #[test]
    fn an_outage_is_not() {
        for outage in [
            "a0 a0 a0 b- b- c-",     // half, one provider
            "a0 a0 a0 a0 b- c-",     // one provider, however large
            "a0 b0 c0 a- b- c-",     // exactly half
            "a0 a0 b0 b0 c- c-",     // two of three providers
            "a0 a0 b30 b30 c60 c60", // one after the other
            "a0 a0 a0",              // one provider in all
            "a- b- c-",
        ] {
            assert_eq!(since(&witnesses(outage)), None, "{outage}");
        }
        assert_eq!(since(&[]), None);
    }
}
