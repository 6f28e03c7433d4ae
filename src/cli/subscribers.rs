//! Who is told of incidents, and an end to it.

use super::admin::{AdminArgs, printable};
use super::drain::who;
use super::plan;
use crate::status::subscribers::{PATH, RemoveAnswer, RemoveBody, SubscriberView, SubscribersView};
use anyhow::bail;
use clap::Subcommand;
use std::fmt::Write;
use std::process::ExitCode;

/// List who is told of incidents, or end a subscription
///
/// Addresses and URLs are shown in part: enough to recognise one that somebody complains about.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  anyfront subscribers
  anyfront subscribers --json | jq '.subscribers | length'
  anyfront subscribers remove 17")]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Print the node's answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    node: AdminArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// End the subscription with this number: it is told no more, and forgotten
    Remove {
        /// The number in the list
        #[arg(value_name = "NUMBER")]
        id: i64,
    },
}

/// Does it.
///
/// # Errors
/// If the node cannot be asked, or has no such subscription.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let node = args.node.client()?;
    let text = match args.what {
        Some(What::Remove { id }) => {
            let answer: RemoveAnswer = node.post(PATH, &RemoveBody { remove: id, who: who() })?;
            match (args.json, answer.removed) {
                (true, _) => format!("{}\n", serde_json::to_string_pretty(&answer)?),
                (false, true) => format!("subscription {id} has ended\n"),
                (false, false) => bail!("there is no subscription {id}"),
            }
        }
        None => {
            let all: SubscribersView = node.get(PATH)?;
            if args.json { format!("{}\n", serde_json::to_string_pretty(&all)?) } else { table(&all.subscribers) }
        }
    };
    plan::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn table(all: &[SubscriberView]) -> String {
    if all.is_empty() {
        return "nobody has asked to be told\n".to_owned();
    }
    let counted = |kind: &str| all.iter().filter(|one| one.kind == kind && one.state == "confirmed").count();
    let mut text = format!("{} told by mail, {} by webhook\n\n", counted("mail"), counted("webhook"));
    let wide = all.iter().map(|one| one.to.chars().count()).max().unwrap_or(0);
    for one in all {
        let scopes = if one.scopes.is_empty() { "everything".to_owned() } else { one.scopes.join(", ") };
        let why = one.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let line = format!("{:>6}  {:<7}  {:<9}  {:<wide$}  {scopes}{why}", one.id, one.kind, one.state, one.to);
        let _ = writeln!(text, "{}", printable(&line));
    }
    text
}
