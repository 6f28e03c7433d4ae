//! WHERE ANSWERS WERE PROCESSED, and the proof of it: counts by hostname, region and day, and summaries that are signed.
//!
//! [`tally`] counts where a request is sent and where its answer is passed on, [`ledger`] keeps the days, [`summary`] says
//! of one hostname and one day what was seen, [`seal`] signs and verifies that, and [`shelf`] is all of it, to be shown.
//! Nothing here decides where a request goes, and nothing asks [`steer`](crate::steering::steer) whether that was right:
//! what is outside a fence is judged anew, from the words in the file and the country of the region.

pub mod day;
pub mod tally;
pub mod ledger;
pub mod summary;
pub mod seal;
pub mod shelf;
