//! Promises that this world cannot break, and where they are held.

/// A promise that is held elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its name.
    pub name: &'static str,
    /// Why it cannot be broken here.
    pub why: &'static str,
    /// The test that holds it, if there is one yet.
    pub held_by: Option<&'static str>,
}

/// All of them.
pub const ELSEWHERE: &[Elsewhere] = &[
    Elsewhere {
        name: "i06_no_false_success",
        why: "whether a stream that broke off ends cleanly is a matter of octets, and here are none",
        held_by: Some("tests/front_streams.rs"),
    },
    Elsewhere {
        name: "i07_loop_freedom",
        why: "no node forwards to another here",
        held_by: Some("tests/front_requests.rs"),
    },
    Elsewhere {
        name: "i08_isolation",
        why: "nodes know no tenants, and requests here have no content that could be mixed up",
        held_by: Some("tests/front_http2.rs"),
    },
    Elsewhere { name: "i10_dnssec", why: "answers here are not signed", held_by: Some("tests/dnssec_year.rs") },
    Elsewhere { name: "i14_stale_writer", why: "there is no engine that several writers share yet", held_by: None },
    Elsewhere {
        name: "i15_stage_containment",
        why: "a file is rolled out to all nodes at once: there are no stages yet",
        held_by: None,
    },
    Elsewhere { name: "i19_signed", why: "nodes send each other no messages that could be forged", held_by: None },
    Elsewhere { name: "i24_rollback", why: "nothing is rolled back by itself yet", held_by: None },
    Elsewhere {
        name: "i28_fairness",
        why: "nodes know no tenants, and turn nobody away to spare others",
        held_by: None,
    },
];
