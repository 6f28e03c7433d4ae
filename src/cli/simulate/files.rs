//! Reports as files.

use crate::sim::play::Played;
use crate::sim::report::{page, rows};
use anyhow::Context;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Makes the folder of the reports, before anything is played for them.
pub(super) fn make_folder(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// Writes what came of a run, and of that which it is compared with.
pub(super) fn write_reports(folder: &Path, played: &Played, compared: Option<&Played>) -> anyhow::Result<()> {
    for (played, suffix) in std::iter::once((played, "")).chain(compared.map(|other| (other, "-other"))) {
        let slots = rows::csv(&played.tally, &played.topology, played.starts);
        write(folder, &format!("report{suffix}.json"), &(played.report.to_json()? + "\n"))?;
        write(folder, &format!("report{suffix}.html"), &page::page(&played.report))?;
        write(folder, &format!("slots{suffix}.csv"), &slots)?;
    }
    Ok(())
}

/// Writes a file whole or not at all: beside it first, then over it. A link of that name is replaced and not followed.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&beside).and_then(|mut file| {
        let written = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&beside, &path));
        if written.is_err() {
            // The first problem is the one to tell.
            let _ = std::fs::remove_file(&beside);
        }
        written
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}
