//! WHAT WORKS: machines that turn probes and live traffic into standings.
//!
//! Facts in, conclusions out; no sockets, no clock. [`endpoint::EndpointHealth`] is the whole of what a node believes
//! of one endpoint; the other machines are its parts.

pub mod ejection;
pub mod endpoint;
pub mod evidence;
pub mod latency;
pub mod opinion;
pub mod ramp;
pub mod sites;
pub mod suspicion;
pub mod verdict;

use std::fmt;

/// What a node concludes of an endpoint, and from its endpoints of a region. Best first: the order is the rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Works.
    Up,
    /// Works, but is slow, full, or still getting its share back after an outage.
    Strained,
    /// Not yet probed, or the failures look like our own.
    Unknown,
    /// Shortly refused, because live traffic failed there.
    Ejected,
    /// Does not work.
    Down,
}

impl Standing {
    /// The name in logs, metrics and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Strained => "strained",
            Self::Unknown => "unknown",
            Self::Ejected => "ejected",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What went wrong between this node and an endpoint, for probes and requests alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// This node has run out of sockets: no fault of the endpoint's.
    Local,
    /// Its name has no address we may use.
    Unresolved,
    /// The connection was refused.
    Refused,
    /// No way there.
    Unreachable,
    /// No connection within the time for one.
    ConnectTimeout,
    /// TLS failed: the certificate or the protocol.
    Tls,
    /// The connection ended before an answer.
    Reset,
    /// The connection ended inside an answer.
    Cut,
    /// What came was no HTTP, or broke its rules.
    Protocol,
    /// Connected, but no answer in time.
    Silent,
    /// A stream began, or should have, and its next event did not come in time.
    Stalled,
    /// No answer within the client's own patience, which is shorter than ours.
    Late,
    /// An answer whose status means failure.
    Status(u16),
    /// An answer whose body is not what a probe expects.
    Body,
    /// The endpoint said, before doing anything, that it will not.
    Unserved,
    /// It does not speak what the request needs: no HTTP/2 for gRPC, no WebSocket on its HTTP/2.
    Unsuited,
}

impl Fault {
    /// Whether it certainly happened before the endpoint saw a request.
    #[must_use]
    pub fn is_before_request(self) -> bool {
        matches!(
            self,
            Self::Local
                | Self::Unresolved
                | Self::Refused
                | Self::Unreachable
                | Self::ConnectTimeout
                | Self::Tls
                | Self::Unserved
                | Self::Unsuited
        )
    }

    /// Whether it means that nobody answered, as against a wrong answer.
    #[must_use]
    pub fn is_silence(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::Silent | Self::Stalled)
    }

    /// All names of [`as_str`](Self::as_str), in the order of [`number`](Self::number).
    pub const NAMES: [&str; 16] = [
        "local",
        "unresolved",
        "refused",
        "unreachable",
        "connect_timeout",
        "tls",
        "reset",
        "cut",
        "protocol",
        "silent",
        "stalled",
        "late",
        "status",
        "body",
        "unserved",
        "unsuited",
    ];

    /// Its place in [`NAMES`](Self::NAMES).
    #[must_use]
    pub fn number(self) -> usize {
        match self {
            Self::Local => 0,
            Self::Unresolved => 1,
            Self::Refused => 2,
            Self::Unreachable => 3,
            Self::ConnectTimeout => 4,
            Self::Tls => 5,
            Self::Reset => 6,
            Self::Cut => 7,
            Self::Protocol => 8,
            Self::Silent => 9,
            Self::Stalled => 10,
            Self::Late => 11,
            Self::Status(_) => 12,
            Self::Body => 13,
            Self::Unserved => 14,
            Self::Unsuited => 15,
        }
    }

    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self.number()]
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("this node has no socket left"),
            Self::Unresolved => f.write_str("its name has no usable address"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::ConnectTimeout => f.write_str("no connection in time"),
            Self::Tls => f.write_str("TLS failed"),
            Self::Reset => f.write_str("connection ended before an answer"),
            Self::Cut => f.write_str("connection ended inside an answer"),
            Self::Protocol => f.write_str("answer is not valid HTTP"),
            Self::Silent => f.write_str("no answer in time"),
            Self::Stalled => f.write_str("the stream stalls"),
            Self::Late => f.write_str("no answer within the client's patience"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => f.write_str("body is not as expected"),
            Self::Unserved => f.write_str("declined before doing anything"),
            Self::Unsuited => f.write_str("does not speak what the request needs"),
        }
    }
}

impl std::error::Error for Fault {}

/// Why a standing is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No probe has come back yet.
    NotProbed,
    /// Probes pass.
    ProbesPass,
    /// Probes failed often enough; this was the last failure.
    ProbesFail(Fault),
    /// Its first probe passes, but a further one, of this kind, failed often enough; this was the last failure.
    FurtherFails(&'static str, Fault),
    /// Ejected because of this, seen by live traffic.
    Traffic(Fault),
    /// Ejected because too many of its answers were failures.
    ErrorRate,
    /// It recovered, but flapped before: held back for a while.
    HeldBack,
    /// Getting its share back after an outage.
    RampingUp,
    /// Answers far slower than it used to.
    Slow,
    /// It fails, but so does nearly everything: the fault is probably ours.
    SelfSuspicion,
    /// Nobody asked it: a question about a configuration, without a node, takes it to be so.
    Assumed,
}

impl Reason {
    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotProbed => "not_probed",
            Self::ProbesPass => "probes_pass",
            Self::ProbesFail(_) | Self::FurtherFails(..) => "probes_fail",
            Self::Traffic(_) => "traffic",
            Self::ErrorRate => "error_rate",
            Self::HeldBack => "held_back",
            Self::RampingUp => "ramping_up",
            Self::Slow => "slow",
            Self::SelfSuspicion => "self_suspicion",
            Self::Assumed => "assumed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotProbed => f.write_str("not probed yet"),
            Self::ProbesPass => f.write_str("probes pass"),
            Self::ProbesFail(fault) => write!(f, "probes fail: {fault}"),
            Self::FurtherFails(kind, fault) => write!(f, "{kind} probes fail: {fault}"),
            Self::Traffic(fault) => write!(f, "live traffic: {fault}"),
            Self::ErrorRate => f.write_str("too many failed answers"),
            Self::HeldBack => f.write_str("recovered, held back because it flapped"),
            Self::RampingUp => f.write_str("recovered, getting its share back"),
            Self::Slow => f.write_str("far slower than usual"),
            Self::SelfSuspicion => f.write_str("nearly everything fails at once: suspecting this node"),
            Self::Assumed => f.write_str("assumed, not measured"),
        }
    }
}
