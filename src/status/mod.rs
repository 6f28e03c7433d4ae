//! SHOWS ALL OF IT: the admin address, where operators look, ask and drain; and the status page, for everybody.
//!
//! [`admin`] is the door for operators: a small HTTP/1.1 server of its own, apart from the data plane, and [`answer`] what
//! it says. [`view`] is what it shows, as types that the command line reads back; [`metrics`] is the same for Prometheus.
//! [`dns`] asks those who know DNS. [`subscribers`] shows who is told of incidents. [`drains`] keeps what operators said
//! over restarts, and `audit` who said it; [`keeper`] puts it in force. [`incidents`] is what they write for everybody.
//! [`guard`] decides who may ask.
//!
//! What everybody may see is a rendering of the history's report and of nothing else: [`page`], [`feed`]s, the documents of
//! [`api`] and [`badge`]s, made into files by [`rendering`]. [`board`] has what is shown and answers
//! whoever asks; [`public`] is its door, beside the front's own; [`export`] writes it into a folder. Nothing here decides where a request goes.

pub mod totals;
pub mod sites;
pub mod findings;
pub mod dns;
pub mod history;
pub mod subscribers;
pub mod view;
pub mod metrics;
mod ending;
pub mod guard;
mod audit;
pub mod drains;
pub mod keeper;
mod query;
pub mod answer;
pub mod incidents;
pub mod explain;
pub mod replay;
pub mod admin;
pub mod page;
pub mod feed;
pub mod api;
pub mod badge;
pub mod rendering;
pub mod export;
pub mod seats;
pub mod board;
pub mod forms;
pub mod public;
