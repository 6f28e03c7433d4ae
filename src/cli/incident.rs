//! Writes and reads incidents and maintenance at a node's admin address.

use super::admin::{AdminArgs, Client, encoded, printable};
use super::drain::{time, who};
use super::plan;
use crate::history::story::{Impact, Phase, Subject};
use crate::moment::since_epoch;
use crate::status::incidents::{IncidentBody, IncidentView, IncidentsView, WrittenView};
use anyhow::{Context, bail};
use std::fmt::Write;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  anyfront incident list
  anyfront incident open 'Slow completions in Europe' --text 'We look into it.' --subject region:lhr
  anyfront incident update 01930b… --phase identified --text 'A provider throttles us; we move traffic.'
  anyfront incident resolve 01930b… --text 'The provider has lifted its limit.'
  anyfront incident post-mortem 01930b… --text - < post-mortem.txt
  anyfront incident maintain 'Database upgrade' --text 'Some requests may fail.' --subject region:orf \\
      --from 2027-01-31T22:00:00Z --for 2h
  anyfront incident cancel 01930b… --text 'Not needed any more.'

Incidents open and close by themselves. What you write to is yours from then on: nothing is written to it by itself, and it \
stays open until you resolve it. Texts are plain, and public; your name is in the node's audit log only.";

/// Write and read the incidents and maintenance that everybody is told of
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct IncidentArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// What is open, planned, and over
    List(ListArgs),
    /// Everything that was told of one
    Show(ShowArgs),
    /// Open an incident
    Open(OpenArgs),
    /// Add an update; an incident that opened by itself is yours from then on
    Update(UpdateArgs),
    /// Say that an incident is over
    Resolve(SayArgs),
    /// Say what was learnt, once it is over
    PostMortem(SayArgs),
    /// Announce a maintenance; it begins and ends by itself
    Maintain(MaintainArgs),
    /// Give a maintenance another time
    Move(MoveArgs),
    /// End a maintenance before its time, or before it begins
    Cancel(SayArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Print the node's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Which
    id: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct OpenArgs {
    /// One line, at most 120 characters
    title: String,
    /// What customers should know; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// How bad it is for customers
    #[arg(long, value_name = "IMPACT", value_parser = impact, default_value = "minor")]
    impact: Impact,
    /// How far it is understood
    #[arg(long, value_name = "PHASE", value_parser = phase, default_value = "investigating")]
    phase: Phase,
    /// What it is about: region:NAME or hostname:NAME; may be given several times
    #[arg(long = "subject", value_name = "SUBJECT", value_parser = subject)]
    subjects: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct UpdateArgs {
    /// Which
    id: String,
    /// What is new; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// How far it is understood: investigating, identified or monitoring
    #[arg(long, value_name = "PHASE", value_parser = phase)]
    phase: Option<Phase>,
    /// How bad it is at its worst: none, minor, major or critical
    #[arg(long, value_name = "IMPACT", value_parser = impact)]
    impact: Option<Impact>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct SayArgs {
    /// Which
    id: String,
    /// What customers should know; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    text: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct MaintainArgs {
    /// One line, at most 120 characters
    title: String,
    /// What will be done, and what customers will notice; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// What it is about: region:NAME or hostname:NAME; may be given several times
    #[arg(long = "subject", value_name = "SUBJECT", value_parser = subject)]
    subjects: Vec<String>,
    /// From when, such as 2027-01-31T22:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Duration,
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct End {
    /// Until when, such as 2027-02-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Duration>,
    /// How long, such as 90m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasts: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct MoveArgs {
    /// Which
    id: String,
    /// Why; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// From when; not once it has begun
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Duration>,
    /// Until when
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

fn subject(text: &str) -> Result<String, String> {
    Subject::parse(text).map(|subject| subject.to_string())
}

fn moment(text: &str) -> Result<Duration, String> {
    since_epoch(text).filter(|_| text.len() > 10).ok_or_else(|| "a time reads 2027-01-31T22:00:00Z".to_owned())
}

/// A word as interfaces write it.
fn word<T: serde::de::DeserializeOwned>(text: &str, allowed: &[&str]) -> Result<T, String> {
    let known = allowed.contains(&text).then(|| serde_json::from_value(text.into()).ok()).flatten();
    known.ok_or_else(|| format!("it is one of {}", allowed.join(", ")))
}

fn impact(text: &str) -> Result<Impact, String> {
    word(text, &["none", "minor", "major", "critical"])
}

fn phase(text: &str) -> Result<Phase, String> {
    word(text, &["investigating", "identified", "monitoring"])
}

/// Does what is asked.
///
/// # Errors
/// Why it was not done.
pub fn run(args: IncidentArgs) -> anyhow::Result<ExitCode> {
    let body = |text: String| -> anyhow::Result<IncidentBody> {
        Ok(IncidentBody { text: whole(text)?, who: who(), ..IncidentBody::default() })
    };
    match args.what {
        What::List(ListArgs { common }) => list(common),
        What::Show(ShowArgs { id, common }) => show(&id, common),
        What::Open(OpenArgs { title, text, impact, phase, subjects, common }) => {
            let body =
                IncidentBody { title: Some(title), impact: Some(impact), phase: Some(phase), subjects, ..body(text)? };
            post("/incidents", &body, common)
        }
        What::Update(UpdateArgs { id, text, phase, impact, common }) => post(
            &format!("/incidents/{}/updates", encoded(&id)),
            &IncidentBody { phase, impact, ..body(text)? },
            common,
        ),
        What::Resolve(SayArgs { id, text, common }) => {
            post(&format!("/incidents/{}/resolve", encoded(&id)), &body(text)?, common)
        }
        What::PostMortem(SayArgs { id, text, common }) => {
            post(&format!("/incidents/{}/post-mortem", encoded(&id)), &body(text)?, common)
        }
        What::Maintain(MaintainArgs { title, text, subjects, from, end, common }) => {
            let until = end.until.or_else(|| end.lasts.map(|lasts| from + lasts));
            let body = IncidentBody { title: Some(title), subjects, ..window(body(text)?, Some(from), until) };
            post("/maintenance", &body, common)
        }
        What::Move(MoveArgs { id, text, from, until, common }) => {
            if from.is_none() && until.is_none() {
                bail!("where to? give --from, --until, or both");
            }
            post(&format!("/maintenance/{}", encoded(&id)), &window(body(text)?, from, until), common)
        }
        What::Cancel(SayArgs { id, text, common }) => {
            post(&format!("/maintenance/{}/cancel", encoded(&id)), &body(text)?, common)
        }
    }
}

fn window(body: IncidentBody, from: Option<Duration>, until: Option<Duration>) -> IncidentBody {
    IncidentBody { from: from.map(crate::moment::rfc3339), until: until.map(crate::moment::rfc3339), ..body }
}

/// The text, which may stand on standard input; line ends of other systems become ours.
fn whole(text: String) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text);
    }
    let mut read = String::new();
    let most = crate::history::incidents::operator::TEXT_BYTES_MAX as u64 + 1;
    std::io::stdin().take(most * 2).read_to_string(&mut read).context("standard input is no text")?;
    Ok(read.replace("\r\n", "\n").trim_end_matches('\n').to_owned())
}

fn post(path: &str, body: &IncidentBody, common: Common) -> anyhow::Result<ExitCode> {
    let node: Client = common.node.client()?;
    let answer: WrittenView = node.post(path, body)?;
    if common.json {
        plan::print(&format!("{}\n", serde_json::to_string_pretty(&answer)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = shown(&answer.incident);
    if let Some(why) = &answer.unkept {
        let _ = writeln!(text, "\nIt is told, but not kept yet, so a restart of the node would lose it: {why}");
    }
    plan::print(&printable(&text))?;
    Ok(ExitCode::SUCCESS)
}

fn list(common: Common) -> anyhow::Result<ExitCode> {
    let all: IncidentsView = common.node.client()?.get("/incidents")?;
    if common.json {
        plan::print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for (title, incidents) in [("incidents", &all.incidents), ("maintenance", &all.maintenance)] {
        if incidents.is_empty() {
            let _ = writeln!(text, "no {title}");
        }
        for incident in incidents {
            let when = incident.from.as_ref().unwrap_or(&incident.opened_at);
            let _ = writeln!(text, "{}  {}  {:<13} {}", incident.id, when, incident.phase.as_str(), incident.title);
        }
    }
    if let Some(trouble) = &all.trouble {
        let _ = writeln!(text, "\nThe history is in trouble: {trouble}");
    }
    plan::print(&printable(&text))?;
    Ok(ExitCode::SUCCESS)
}

fn show(id: &str, common: Common) -> anyhow::Result<ExitCode> {
    let incident: IncidentView = common.node.client()?.get(&format!("/incidents/{}", encoded(id)))?;
    let text = if common.json { serde_json::to_string_pretty(&incident)? + "\n" } else { printable(&shown(&incident)) };
    plan::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(incident: &IncidentView) -> String {
    let mut text = format!("{}\n{}: {}\n", incident.title, incident.id, incident.phase.as_str());
    if let (Some(from), Some(until)) = (&incident.from, &incident.until) {
        let _ = writeln!(text, "from {from} until {until}");
    } else {
        let _ = writeln!(text, "impact: {}", incident.impact.as_str());
    }
    if !incident.subjects.is_empty() {
        let _ = writeln!(text, "about: {}", incident.subjects.join(", "));
    }
    for update in &incident.updates {
        let by = if update.by_operator { "" } else { " (by itself)" };
        let _ = write!(text, "\n{} {}{by}\n", update.at, update.phase.as_str());
        for line in update.text.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    if let Some(learnt) = &incident.post_mortem {
        text.push_str("\npost-mortem\n");
        for line in learnt.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}
