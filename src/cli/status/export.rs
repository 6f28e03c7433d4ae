//! Writes the status page as files, from what a node tells now.

use crate::cli::admin::AdminArgs;
use crate::status::export::{Folder, Told};
use crate::topology::read::Word;
use crate::topology::status::words::PageUrl;
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  anyfront status export /srv/status
  anyfront status export site --admin 10.0.0.7:9900 --admin-token-file token && aws s3 sync site s3://status

`anyfront serve --status-export DIR` does the same whenever something changes.";

/// Write the status page as files, so that it can be served from elsewhere
///
/// Pages, feeds, JSON and badges, with links that work below any path and without a server. Only what changed is written, and
/// each file is replaced in one step.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to write; made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    node: AdminArgs,
    /// Where the node's own page is, for the links in feeds, if its [status] does not say it
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Option<String>,
}

/// What `[status] url` takes, too.
fn url(text: &str) -> Result<String, String> {
    PageUrl::parse(text).map(|url| url.0).map_err(|wrong| format!("it {}: {}", wrong.problem, wrong.help))
}

/// Does it.
///
/// # Errors
/// If the node cannot be asked, or a file not be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut told: Told = args.node.client()?.get("/report")?;
    if let Some(url) = args.url {
        told.url = url;
    }
    let rendering = told.rendered();
    let written = Folder::new(&args.folder).try_write(&rendering);
    let written = written.with_context(|| format!("{}: cannot be written", args.folder.display()))?;
    println!("{} of {} files written to {}", written, rendering.files.len() + 1, args.folder.display());
    Ok(ExitCode::SUCCESS)
}
