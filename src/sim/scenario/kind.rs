//! The kinds of faults by their words: what each is, and which keys say more of it.

use super::What;
use crate::topology::read::{Word, Wrong};
use crate::topology::words::words;
use serde_json::{Value as Json, json};

/// Whose misfortune it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Regions.
    Regions,
    /// Ways between sites and regions.
    Ways,
    /// Nodes, by their sites.
    Nodes,
    /// Operators' or clients': no place in the world has it.
    Nobody,
    /// What an operator takes out: a region, a provider or an endpoint.
    Target,
}

macro_rules! kinds {
    ($($(#[doc = $about:literal])* $kind:ident $word:literal $pattern:pat => $of:ident, $keys:expr;)*) => {
        /// What happens, by its word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $about])* $kind,)*
        }

        impl Kind {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// Its word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }

            /// What it is, in a sentence.
            #[must_use]
            pub fn about(self) -> String {
                let lines: &[&str] = match self { $(Self::$kind => &[$($about),*],)* };
                lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
            }

            /// Whose it is.
            #[must_use]
            pub fn of_whom(self) -> Of {
                match self { $(Self::$kind => Of::$of,)* }
            }

            /// The keys that say more of it, beside `at`, `lasts` and those that say whose it is.
            #[must_use]
            pub fn own_keys(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &$keys,)* }
            }
        }

        impl What {
            /// Of which kind it is.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $($pattern => Kind::$kind,)* }
            }
        }

        words!("a kind of fault in quotes, such as \"refuse\"": Kind { $($word => Self::$kind,)* });
    };
}

kinds! {
    /// Nobody listens at the regions; what is open is reset.
    Refuse "refuse" What::Refuse(_) => Regions, [];
    /// Not a packet comes back from the regions; what is open hangs.
    BlackHole "black_hole" What::BlackHole(_) => Regions, [];
    /// The regions stand still: connections open, and nothing is answered until it is over.
    Pause "pause" What::Pause(_) => Regions, [];
    /// Everything takes `times` as long in the regions.
    Slow "slow" What::Slow(..) => Regions, ["times"];
    /// A `share` (1) of requests and probes is answered with `status` (503).
    Errors "errors" What::Errors(..) => Regions, ["share", "status"];
    /// The regions turn requests away with the word that nothing was done.
    Unserved "unserved" What::Unserved(_) => Regions, [];
    /// Requests fail with 500 while all probes pass.
    ProbesLie "probes_lie" What::ProbesLie(_) => Regions, [];
    /// All probes fail while requests are served.
    ProbesFail "probes_fail" What::ProbesFail(_) => Regions, [];
    /// A `share` (0.5) of the regions' slots is left.
    Shrink "shrink" What::Shrink(..) => Regions, ["share"];
    /// The regions refuse for `down` (10s), work for `up` (10s), and again.
    Flap "flap" What::Flap { .. } => Regions, ["up", "down"];
    /// A `share` of packets is lost on the ways between sites and regions, `there`, `back` or `both` (`direction`).
    Loss "loss" What::Loss { .. } => Ways, ["share", "direction"];
    /// Nothing comes through on those ways.
    Cut "cut" What::Cut { .. } => Ways, ["direction"];
    /// One way after the other is cut in a random order, `every` (10s), and mended in another.
    Swizzle "swizzle" What::Swizzle { .. } => Nodes, ["every"];
    /// The nodes' processes are gone; they start again when it is over.
    Crash "crash" What::Crash(_) => Nodes, [];
    /// The nodes are gone for `down` (10s), there for `up` (10s), and again.
    CrashLoop "crash_loop" What::CrashLoop { .. } => Nodes, ["up", "down"];
    /// The nodes stand still, and do everything late.
    Freeze "freeze" What::Freeze(_) => Nodes, [];
    /// Nobody reaches the sites, and they reach nobody.
    Isolate "isolate" What::Isolate(_) => Nodes, [];
    /// The nodes' probes take `times` as long.
    SlowProber "slow_prober" What::SlowProber(..) => Nodes, ["times"];
    /// All probes of the nodes fail, whatever is asked.
    BlindProber "blind_prober" What::BlindProber(_) => Nodes, [];
    /// The nodes' wall clocks are off by so many `seconds`, perhaps negative.
    ClockStep "clock_step" What::ClockStep(..) => Nodes, ["seconds"];
    /// The nodes' clocks run fast by so many `millionths`, slow if negative.
    ClockDrift "clock_drift" What::ClockDrift(..) => Nodes, ["millionths"];
    /// What the nodes keep on disk is gone when they start next.
    DiskLost "disk_lost" What::DiskLost(_) => Nodes, [];
    /// An operator drains a region, a provider or an endpoint; it is lifted when it is over. `hard`: from its own hostname
    /// too.
    Drain "drain" What::Drain { .. } => Target, ["hard"];
    /// The configuration in `file` (or written out as `config`) is rolled out to all nodes, and not rolled back. It may have
    /// fewer regions than the one that all begin with, and none that this has not.
    Rollout "rollout" What::Rollout(_) => Nobody, ["file", "config"];
    /// A configuration with a mistake is rolled out to all nodes.
    BadRollout "bad_rollout" What::BadRollout => Nobody, [];
    /// Operators' words reach the nodes up to `by` later, each at random, and may overtake each other.
    ChannelLate "channel_late" What::ChannelLate(..) => Nodes, ["by"];
    /// Operators' words reach the nodes only when it is over.
    ChannelGone "channel_gone" What::ChannelGone(_) => Nodes, [];
    /// Operators' words reach the nodes twice.
    ChannelTwice "channel_twice" What::ChannelTwice(_) => Nodes, [];
    /// A `share` of clients is taken to be somewhere else.
    GeoShift "geo_shift" What::GeoShift(_) => Nobody, ["share"];
    /// `times` as many requests.
    Traffic "traffic" What::Traffic(_) => Nobody, ["times"];
    /// All that is asked while it lasts is asked at its end, at once.
    Herd "herd" What::Herd => Nobody, [];
}

impl Kind {
    /// The keys that say whose it is.
    #[must_use]
    pub fn whose_keys(self) -> &'static [&'static str] {
        match self.of_whom() {
            Of::Regions => &["region", "regions", "provider", "all"],
            Of::Ways => &["region", "regions", "provider", "all", "site", "sites"],
            Of::Nodes => &["site", "sites", "all"],
            Of::Target => &["region", "provider", "endpoint"],
            Of::Nobody => &[],
        }
    }

    /// Whether it is over in the moment in which it begins, so that it has no length.
    #[must_use]
    pub fn is_momentary(self) -> bool {
        matches!(self, Self::DiskLost | Self::Rollout | Self::BadRollout)
    }
}
