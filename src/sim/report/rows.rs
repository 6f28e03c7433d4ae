//! The finest that was counted, as a table for spreadsheets: by slot, hostname, place of the client and region.

use super::super::tally::Tally;
use crate::moment::rfc3339;
use crate::topology::Topology;
use std::fmt::Write;
use std::time::Duration;

/// The first line.
const HEAD: &str = "begin,hostname,place,region,wishes,failed,added_mean_ms,added_longest_ms\n";

/// The rows as comma-separated values (RFC 4180), with a line of names. `starts` is the wall clock at the begin.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
pub fn csv(tally: &Tally, topology: &Topology, starts: Duration) -> String {
    let ground = &tally.ground;
    let mut text = String::with_capacity(HEAD.len() + tally.wishes.cells().len() * 72);
    text += HEAD;
    let mut of_slot = (usize::MAX, String::new());
    for cell in tally.wishes.cells() {
        if of_slot.0 != cell.slot() {
            let slot = u32::try_from(cell.slot()).unwrap_or(u32::MAX);
            of_slot = (cell.slot(), rfc3339(starts + ground.slot * slot));
        }
        let served = cell.wishes - cell.failed;
        let mean = if served > 0 { cell.added_us as f64 / f64::from(served) / 1_000.0 } else { 0.0 };
        let region = cell.region().map_or("", |region| topology.region(region).name.as_str());
        // A place's name may have a comma, and no quotes.
        let _ = writeln!(
            text,
            "{},{},\"{}\",{region},{},{},{mean:.3},{:.3}",
            of_slot.1,
            topology.route(cell.route()).hostname,
            ground.groups[cell.group()].name.replace('"', ""),
            cell.wishes,
            cell.failed,
            cell.added_most_us as f64 / 1_000.0
        );
    }
    text
}
