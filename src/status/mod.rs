//! SHOWS ALL OF IT: the admin address, where operators look, ask and drain.
//!
//! [`admin`] is the door: a small HTTP/1.1 server of its own, apart from the data plane, and [`answer`] what it says.
//! [`view`] is what it shows, as types that the command line reads back; [`metrics`] is the same for Prometheus.
//! [`dns`] asks those who know DNS. [`drains`] keeps what operators said over restarts, and `audit` who said it; [`keeper`] puts it in force. [`incidents`]
//! is what they write for everybody. [`guard`] decides who
//! may ask. Nothing here decides where a request goes.

pub mod totals;
pub mod sites;
pub mod dns;
pub mod view;
pub mod metrics;
pub mod guard;
mod audit;
pub mod drains;
pub mod keeper;
pub mod answer;
pub mod incidents;
pub mod explain;
pub mod admin;
