//! Keeps new work away from regions, and lets it back.

use super::admin::{AdminArgs, Client, printable};
use super::plan;
use crate::snapshot::Target;
use crate::status::answer::{DrainAnswer, DrainBody, Effect};
use crate::topology::read::Word;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::Duration;

const DRAIN_EXAMPLES: &str = "\
Examples:
  anyfront drain region:orf --reason 'database upgrade' --for 30m
  anyfront drain provider:gcp --reason 'incident 4711' --hard
  anyfront drain endpoint:orf/orf-b.gateway.example --reason 'bad disk'

A drained region gets no new requests; those under way are finished. Its own hostname (CODE.zone) \
still reaches it, for testing, unless --hard. Nothing overrules a drain, not even an outage of everything else.";

const UNDRAIN_EXAMPLES: &str = "\
Examples:
  anyfront undrain region:orf
  anyfront undrain provider:gcp --reason 'incident 4711 is over'";

/// Keep new work away from a region, a provider's regions, or an endpoint
///
/// Returns when it is in force. It survives a restart of the node, ends by itself after --for or with `undrain`, and is
/// kept in the node's audit log with the reason and your name. Draining the same target again replaces the earlier drain.
#[derive(Debug, clap::Args)]
#[command(after_help = DRAIN_EXAMPLES)]
pub struct DrainArgs {
    /// What to drain: region:NAME, provider:NAME or endpoint:REGION/NAME
    #[arg(value_name = "TARGET", value_parser = target)]
    target: String,
    /// Why; others will want to know
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long, such as 90s, 30m or 2h; without it until `undrain`
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasts: Option<Duration>,
    /// From the region's own hostname too
    #[arg(long)]
    hard: bool,
    /// Print the node's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: AdminArgs,
}

/// Let work back where a drain keeps it away
///
/// Returns when it is in force. It gets its full share at once, if it is well: its health was watched all the time.
#[derive(Debug, clap::Args)]
#[command(after_help = UNDRAIN_EXAMPLES)]
pub struct UndrainArgs {
    /// What to let back, as it was drained: region:NAME, provider:NAME or endpoint:REGION/NAME
    #[arg(value_name = "TARGET", value_parser = target)]
    target: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Print the node's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: AdminArgs,
}

fn target(text: &str) -> Result<String, String> {
    Target::parse(text).map(|target| target.to_string())
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()).filter(|days| *days <= 366) {
        return Ok(Duration::from_secs(days * 86_400));
    }
    let time = <Duration as Word>::parse(text)
        .map_err(|_| "a time is a whole number and a unit: 90s, 30m, 2h (at most 24h) or 3d".to_owned())?;
    if time < Duration::from_secs(1) { Err("shorter than a second".to_owned()) } else { Ok(time) }
}

/// Drains.
///
/// # Errors
/// Why it is not in force.
pub fn drain(args: DrainArgs) -> anyhow::Result<ExitCode> {
    let body = DrainBody {
        target: args.target,
        reason: args.reason,
        for_s: args.lasts.map(|lasts| lasts.as_secs()),
        hard: args.hard,
        who: who(),
    };
    tell(&args.node.client()?, "/drain", &body, args.json)
}

/// Lifts a drain.
///
/// # Errors
/// Why it is still in force.
pub fn undrain(args: UndrainArgs) -> anyhow::Result<ExitCode> {
    let body = DrainBody { target: args.target, reason: args.reason, who: who(), ..DrainBody::default() };
    tell(&args.node.client()?, "/undrain", &body, args.json)
}

fn tell(node: &Client, path: &str, body: &DrainBody, json: bool) -> anyhow::Result<ExitCode> {
    let answer: DrainAnswer = node.post(path, body)?;
    let text =
        if json { format!("{}\n", serde_json::to_string_pretty(&answer)?) } else { printable(&in_words(&answer)) };
    plan::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Who sits here, for the audit log.
pub(super) fn who() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let owner = || std::fs::metadata("/proc/self").map(|about| format!("uid-{}", about.uid())).ok();
    let user = variable("SUDO_USER").or_else(|| variable("USER")).or_else(|| variable("LOGNAME")).or_else(owner);
    let user = user.unwrap_or_else(|| "somebody".to_owned());
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let machine = machine.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let machine = machine.or_else(|| variable("HOSTNAME")).unwrap_or_else(|| "unknown machine".to_owned());
    format!("{user}@{machine}").chars().filter(|c| !c.is_control()).take(200).collect()
}

fn in_words(answer: &DrainAnswer) -> String {
    let mut text = String::new();
    match &answer.drain {
        Some(drain) => {
            let until = drain.until.as_ref().map_or("until it is lifted".to_owned(), |until| format!("until {until}"));
            let hard = if drain.hard { ", from its own hostname too" } else { "" };
            let _ = writeln!(text, "{} is drained{hard}, {until}: {}", answer.target, drain.reason);
        }
        None => {
            let _ = writeln!(text, "{} is drained no more", answer.target);
        }
    }
    let (regional, shared): (Vec<&Effect>, Vec<&Effect>) = answer.hostnames.iter().partition(|effect| effect.regional);
    for effect in &shared {
        let mut what = Vec::new();
        if !effect.loses.is_empty() {
            what.push(format!("loses {}", effect.loses.join(", ")));
        }
        if !effect.gains.is_empty() {
            what.push(format!("gets {} back", effect.gains.join(", ")));
        }
        let left = match effect.left.len() {
            0 => "NOBODY is left: its requests are refused".to_owned(),
            1 => format!("{} is left alone", effect.left[0]),
            _ => format!("left: {}", effect.left.join(", ")),
        };
        let _ = writeln!(text, "  {} {}; {left}", effect.name, what.join(" and "));
    }
    for effect in &regional {
        let how = if effect.left.is_empty() { "has nobody left: its requests are refused" } else { "is served again" };
        let _ = writeln!(text, "  {} {how}", effect.name);
    }
    if answer.hostnames.is_empty() {
        text.push_str(match &answer.drain {
            Some(_) => "  no hostname loses a region by this: others serve there still, or it was drained already\n",
            None => "  no hostname gets a region back by this: another drain covers it still, or its siblings served\n",
        });
    }
    text
}
