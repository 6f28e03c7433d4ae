//! What can be wrong with a stand-in, and what of the world is meant.

use crate::snapshot::Target;
use crate::topology::{EndpointIndex, Topology};
use std::fmt;
use std::time::Duration;

/// How long `flap` is broken, and then whole, unless it is said.
pub const FLAP_PERIOD: Duration = Duration::from_secs(5);
/// How long `lump` keeps a complete stream back: longer than anybody waits for a first word.
pub const LUMP_HOLDS: Duration = Duration::from_secs(5);
/// How much longer `slow` takes unless it is said.
pub const SLOW_BY: Duration = Duration::from_secs(1);
/// Longest time that a fault may be given: a day.
const TIME_MAX: Duration = Duration::from_secs(86_400);

/// What is wrong with a stand-in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Nobody listens: new connections are refused, open ones were reset.
    Refuse,
    /// Nothing comes back: connecting hangs, open connections fall silent both ways without an end.
    Blackhole,
    /// A share of the requests is answered with this status, at once.
    Error {
        /// Of all requests, 0 to 1.
        share: f64,
        /// 500 to 599.
        status: u16,
    },
    /// A share of the requests is declined at once, unread, with the word that nothing was done. Who asks for its health is
    /// told that all is well: it is busy, not sick.
    Unserved {
        /// Of all requests, 0 to 1.
        share: f64,
        /// What is said of it: whom to ask instead, or when.
        hint: Hint,
    },
    /// Every answer takes longer.
    Slow {
        /// By this much.
        by: Duration,
        /// And the way there and the pace of tokens this many times, 1 to 1 000.
        times: f64,
    },
    /// Answers die in the middle: the connection is reset after the head and a part of the body.
    Cut,
    /// As `Cut`, after exactly so much of the body.
    CutAfter {
        /// Octets of the body; 0 is the head alone.
        bytes: u64,
    },
    /// The certificate is somebody else's, self-signed and expired. Without TLS: what answers does not speak HTTP.
    /// Open connections are left alone, as an expired certificate leaves them.
    Tls,
    /// `Refuse` for this long, then nothing for as long, and again.
    Flap {
        /// Half of the whole.
        period: Duration,
    },
    /// Takes connections, shakes hands, reads requests, and never says a word. What waits when it is healed is reset.
    Hang,
    /// Everything works but streams: their heads come, and no event more, until it is healed.
    Wedge,
    /// Streams come all at once, when they are complete and `LUMP_HOLDS` over: somebody on the way gathers them.
    Lump,
}

impl Fault {
    /// The kinds, as people call them.
    pub const KINDS: [&str; 11] =
        ["refuse", "blackhole", "error", "unserved", "slow", "cut", "tls", "flap", "hang", "wedge", "lump"];

    /// What people call it; `none` if nothing is wrong.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Refuse => "refuse",
            Self::Blackhole => "blackhole",
            Self::Error { .. } => "error",
            Self::Unserved { .. } => "unserved",
            Self::Slow { .. } => "slow",
            Self::Cut | Self::CutAfter { .. } => "cut",
            Self::Tls => "tls",
            Self::Flap { .. } => "flap",
            Self::Hang => "hang",
            Self::Wedge => "wedge",
            Self::Lump => "lump",
        }
    }
}

/// What a stand-in says of a request that it has not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// Somebody else should be asked.
    #[default]
    Elsewhere,
    /// It should be asked again later.
    Later,
}

impl Hint {
    /// The hints, as people and headers call them.
    pub const WORDS: [&str; 2] = ["elsewhere", "later"];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elsewhere => "elsewhere",
            Self::Later => "later",
        }
    }

    fn parse(word: &str) -> Result<Self, String> {
        let known = [Self::Elsewhere, Self::Later].into_iter().find(|hint| hint.as_str() == word);
        known.ok_or_else(|| format!("hint {word:?} is none: there are {}", Self::WORDS.join(", ")))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { share, status } => write!(f, "error ({:.0} % are {status})", share * 100.0),
            Self::Unserved { share, hint } => {
                write!(f, "unserved ({:.0} %, {})", share * 100.0, hint.as_str())
            }
            Self::Slow { by, times: 1.0 } => write!(f, "slow ({by:?} longer)"),
            Self::Slow { by, times } => write!(f, "slow ({by:?} longer, {times} times as far)"),
            Self::CutAfter { bytes } => write!(f, "cut (after {bytes} octets)"),
            Self::Flap { period } => write!(f, "flap (every {period:?})"),
            _ => f.write_str(self.kind()),
        }
    }
}

/// A fault as it is asked for: the kind, and what else was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// One of [`Fault::KINDS`].
    pub kind: String,
    /// For `error` and `unserved`: of all requests, 0 to 1.
    pub share: Option<f64>,
    /// For `error`: 500 to 599.
    pub status: Option<u16>,
    /// For `slow`: how much longer; for `flap`: how long each half is; milliseconds.
    pub ms: Option<u64>,
    /// For `slow`: how many times as far away.
    pub times: Option<f64>,
    /// For `cut`: after how many octets of the body.
    pub bytes: Option<u64>,
    /// For `unserved`: one of [`Hint::WORDS`].
    pub hint: Option<String>,
}

impl Wanted {
    /// The fault that is meant.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what would be right.
    pub fn fault(&self) -> Result<Fault, String> {
        let fault = match self.kind.as_str() {
            "refuse" => Fault::Refuse,
            "blackhole" => Fault::Blackhole,
            "error" => Fault::Error { share: self.share.unwrap_or(1.0), status: self.status.unwrap_or(503) },
            "unserved" => {
                let hint = self.hint.as_deref().map_or(Ok(Hint::Elsewhere), Hint::parse)?;
                Fault::Unserved { share: self.share.unwrap_or(1.0), hint }
            }
            "slow" => {
                let by =
                    self.ms.map_or(if self.times.is_some() { Duration::ZERO } else { SLOW_BY }, Duration::from_millis);
                Fault::Slow { by, times: self.times.unwrap_or(1.0) }
            }
            "cut" => self.bytes.map_or(Fault::Cut, |bytes| Fault::CutAfter { bytes }),
            "tls" => Fault::Tls,
            "flap" => Fault::Flap { period: self.ms.map_or(FLAP_PERIOD, Duration::from_millis) },
            "hang" => Fault::Hang,
            "wedge" => Fault::Wedge,
            "lump" => Fault::Lump,
            other => return Err(format!("{other:?} is no kind of fault: there are {}", Fault::KINDS.join(", "))),
        };
        self.has_only_what(fault)?;
        match fault {
            Fault::Error { share, .. } | Fault::Unserved { share, .. } if !(0.0..=1.0).contains(&share) => {
                Err(format!("a share of {share} is not between 0 and 1: 0.3 is three requests in ten"))
            }
            Fault::Error { status, .. } if !(500..=599).contains(&status) => {
                Err(format!("status {status} is no server error: it should be between 500 and 599"))
            }
            Fault::Slow { times, .. } if !(1.0..=1_000.0).contains(&times) => {
                Err(format!("times {times} is not between 1 and 1000: 3 is three times as far away"))
            }
            Fault::Slow { by: time, .. } | Fault::Flap { period: time } if time > TIME_MAX => {
                Err(format!("{} ms is longer than a day", time.as_millis()))
            }
            Fault::Flap { period } if period < Duration::from_millis(10) => {
                Err(format!("flapping every {period:?} is too fast: at least 10 ms"))
            }
            fault => Ok(fault),
        }
    }

    fn has_only_what(&self, fault: Fault) -> Result<(), String> {
        let is_slow = matches!(fault, Fault::Slow { .. });
        let is_error = matches!(fault, Fault::Error { .. });
        let is_unserved = matches!(fault, Fault::Unserved { .. });
        for (said, key, fits, whose) in [
            (self.share.is_some(), "share", is_error || is_unserved, "error and unserved"),
            (self.hint.is_some(), "hint", is_unserved, "unserved"),
            (self.status.is_some(), "status", is_error, "error"),
            (self.times.is_some(), "times", is_slow, "slow"),
            (self.bytes.is_some(), "bytes", fault.kind() == "cut", "cut"),
            (self.ms.is_some(), "ms", is_slow || matches!(fault, Fault::Flap { .. }), "slow and flap"),
        ] {
            if said && !fits {
                return Err(format!("{key} means nothing for {}: it belongs to {whose}", fault.kind()));
            }
        }
        Ok(())
    }
}

/// Which part of the world is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Everything.
    All,
    /// A provider's regions, a region, an endpoint.
    At(Target),
}

impl Aim {
    /// Parses `all`, `provider:NAME`, `region:NAME` (or NAME alone) or `endpoint:REGION/NAME` (or `REGION/NAME`).
    ///
    /// # Errors
    /// A sentence that says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "" => {
                Err("a target is missing: it should read orf, region:orf, provider:aws, endpoint:orf/a or all"
                    .to_owned())
            }
            _ if text.contains(':') => Target::parse(text).map(Self::At),
            _ if text.contains('/') => Target::parse(&format!("endpoint:{text}")).map(Self::At),
            _ => Target::parse(&format!("region:{text}")).map(Self::At),
        }
    }

    /// The endpoints of `topology` that are meant; none if it names nothing there.
    #[must_use]
    pub fn endpoints(&self, topology: &Topology) -> Vec<EndpointIndex> {
        let all = (0..topology.endpoints.len()).map(EndpointIndex::of);
        match self {
            Self::All => all.collect(),
            Self::At(target) => all.filter(|endpoint| target.covers(topology, *endpoint)).collect(),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::At(target) => target.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(kind: &str) -> Wanted {
        Wanted { kind: kind.to_owned(), ..Wanted::default() }
    }

    #[test]
    fn every_kind_needs_no_more_than_its_name() {
        for kind in Fault::KINDS {
            assert_eq!(wanted(kind).fault().expect("a kind").kind(), kind);
        }
        assert!(wanted("explode").fault().expect_err("no kind").contains("refuse, blackhole"));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        assert!(Wanted { share: Some(0.5), ..wanted("cut") }.fault().is_err());
        assert!(Wanted { share: Some(1.5), ..wanted("error") }.fault().is_err());
        assert!(Wanted { share: Some(1.5), ..wanted("unserved") }.fault().is_err());
        assert!(Wanted { hint: Some("later".to_owned()), ..wanted("error") }.fault().is_err());
        assert!(Wanted { hint: Some("never".to_owned()), ..wanted("unserved") }.fault().is_err());
        assert!(Wanted { share: Some(f64::NAN), ..wanted("error") }.fault().is_err());
        assert!(Wanted { status: Some(404), ..wanted("error") }.fault().is_err());
        assert!(Wanted { times: Some(0.5), ..wanted("slow") }.fault().is_err());
        assert!(Wanted { ms: Some(u64::MAX), ..wanted("flap") }.fault().is_err());
        assert!(Wanted { bytes: Some(1), ..wanted("hang") }.fault().is_err());
        let cut = Wanted { bytes: Some(0), ..wanted("cut") }.fault();
        assert_eq!(cut, Ok(Fault::CutAfter { bytes: 0 }));
        let slow = Wanted { times: Some(3.0), ..wanted("slow") }.fault();
        assert_eq!(slow, Ok(Fault::Slow { by: Duration::ZERO, times: 3.0 }));
    }

    #[test]
    fn a_target_may_be_short() {
        assert_eq!(Aim::parse("orf"), Aim::parse("region:orf"));
        assert_eq!(Aim::parse("orf/a"), Aim::parse("endpoint:orf/a"));
        assert_eq!(Aim::parse("all"), Ok(Aim::All));
        assert!(Aim::parse("").is_err());
        assert!(Aim::parse("planet:mars").is_err());
    }
}
