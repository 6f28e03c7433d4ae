//! Where a request stands in a trace (W3C Trace Context): what its client says, what is said on, and whether it is sampled.
//! A machine.

use crate::moment::mix;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The parent's place.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What others have to say of the trace.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// One request's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Which trace.
    pub id: u128,
    /// The span that caused the request, if its client has said so.
    pub parent: Option<u64>,
    /// The span of the request here.
    pub span: u64,
    /// Whether its spans are told.
    pub is_sampled: bool,
}

/// Which traces are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether a client that says so decides.
    pub follows_parent: bool,
    /// The part of the others, from 0 to 1.
    pub ratio: f64,
}

impl Sampler {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    fn takes(self, trace: u128) -> bool {
        // By the trace's own last bits, so that everybody who has the same ratio takes the same.
        let fraction = ((trace as u64 & ((1 << 56) - 1)) >> 3) as f64 / (1_u64 << 53) as f64;
        fraction < self.ratio
    }
}

impl Trace {
    /// The trace that the request with these fields belongs to. `chance` makes what is new.
    #[must_use]
    pub fn begin(headers: &HeaderMap, sampler: Sampler, chance: [u64; 3]) -> Self {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let parent = match (given.next(), given.next()) {
            (Some(value), None) => parse(value.as_bytes()),
            _ => None,
        };
        let span = chance[2].max(1);
        match parent {
            Some((id, parent, is_sampled)) => {
                let is_sampled = if sampler.follows_parent { is_sampled } else { sampler.takes(id) };
                Self { id, parent: Some(parent), span, is_sampled }
            }
            None => {
                let id = (u128::from(chance[0]) << 64 | u128::from(chance[1])).max(1);
                Self { id, parent: None, span, is_sampled: sampler.takes(id) }
            }
        }
    }

    /// The span of an attempt, counted from 1.
    #[must_use]
    pub fn attempt(self, number: u32) -> u64 {
        mix(self.span ^ u64::from(number).rotate_left(32)).max(1)
    }

    /// What a region hears in `traceparent` of an attempt.
    ///
    /// # Panics
    /// Never: hexadecimal digits are visible.
    #[must_use]
    pub fn to_region(self, number: u32) -> HeaderValue {
        let text = format!("00-{:032x}-{:016x}-{:02x}", self.id, self.attempt(number), u8::from(self.is_sampled));
        HeaderValue::from_str(&text).expect("hexadecimal digits are visible")
    }
}

/// Trace, parent and whether it is sampled (W3C Trace Context §3.2.2); a version above ours may say more behind.
fn parse(value: &[u8]) -> Option<(u128, u64, bool)> {
    let text = std::str::from_utf8(value).ok()?;
    let (version, rest) = (text.get(..2)?, text.get(55..)?);
    let dashes = [2, 35, 52].iter().all(|at| text.as_bytes()[*at] == b'-');
    let is_hex = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    let ends_well = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let (trace, parent, flags) = (text.get(3..35)?, text.get(36..52)?, text.get(53..55)?);
    if !dashes || !ends_well || version == "ff" || ![version, trace, parent, flags].into_iter().all(is_hex) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace > 0)?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent > 0)?;
    Some((trace, parent, u8::from_str_radix(flags, 16).ok()? & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Sampler = Sampler { follows_parent: true, ratio: 1.0 };

    fn begun(lines: &[&str], sampler: Sampler) -> Trace {
        let lines = lines.iter().map(|line| (TRACEPARENT, HeaderValue::from_str(line).expect("a value")));
        let mut headers = HeaderMap::new();
        lines.for_each(|(name, value)| {
            headers.append(name, value);
        });
        Trace::begin(&headers, sampler, [1, 2, 3])
    }

    #[test]
    fn a_good_parent_is_gone_on_with_and_any_other_is_none() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = begun(&[good], ALWAYS);
        assert_eq!((trace.id, trace.parent), (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, Some(0x00f0_67aa_0ba9_02b7)));
        assert!(trace.is_sampled && !begun(&[&good.replace("-01", "-00")], ALWAYS).is_sampled);
        assert_eq!(begun(&["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"], ALWAYS).id, trace.id);
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7-01---",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        ] {
            let trace = begun(&[bad], ALWAYS);
            assert_eq!((trace.id, trace.parent), (1 << 64 | 2, None), "{bad:?}");
        }
        assert_eq!(begun(&[good, good], ALWAYS).parent, None, "which of two?");
    }

    #[test]
    fn a_region_hears_of_its_own_attempt() {
        let trace = begun(&[], ALWAYS);
        let said = [1, 2].map(|number| trace.to_region(number));
        assert_ne!(said[0], said[1]);
        let again = begun(&[said[0].to_str().expect("text")], ALWAYS);
        assert_eq!((again.id, again.parent, again.is_sampled), (trace.id, Some(trace.attempt(1)), true));
    }

    #[test]
    fn a_ratio_takes_its_part_and_everybody_the_same() {
        let sampler = Sampler { follows_parent: false, ratio: 0.25 };
        let taken = (0..4_000_u64).filter(|seed| {
            let chance = [mix(*seed), mix(!*seed), 3];
            Trace::begin(&HeaderMap::new(), sampler, chance).is_sampled
        });
        let count = taken.count();
        assert!((850..1_150).contains(&count), "{count}");
        let never = Sampler { follows_parent: false, ratio: 0.0 };
        assert!(!begun(&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], never).is_sampled);
    }
}
