//! WHAT HAS HAPPENED: how regions and hostnames did, minute by minute and day by day, and the incidents that came of it.
//!
//! [`story`] is what is told of it, as plain values: the page, the feeds, the interfaces and the messages all render the same
//! [`Report`](story::Report). It comes from the snapshots that requests were steered by and from nothing else, so the page
//! and the routing cannot disagree. [`levels`] says how everything does, [`recorder`] for how long, [`records`] writes it down,
//! [`incidents`] says when something has to be told and what operators have to say, [`ledger`] writes that down,
//! [`report`] puts it together, and [`desk`] is where others see and ask. [`store`] keeps it in one file that any operator can open; routing never waits for it, and
//! what cannot be kept is told. [`seal`] keeps what is nobody's business unreadable in that file.

pub mod story;
pub mod store;
pub mod seal;
pub mod sketch;
pub mod levels;
pub mod recorder;
pub mod records;
pub mod incidents;
pub mod ledger;
pub mod report;
pub mod desk;
