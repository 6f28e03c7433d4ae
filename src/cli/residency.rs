//! `anyfront residency`: what a node has counted of where requests were processed, and whether a summary of it is genuine.

use super::admin::{AdminArgs, printable};
use super::plan;
use crate::residency::seal::{Attested, DOCUMENT_BYTES_MAX, PublicKey, verify};
use crate::residency::shelf::{Index, Keys};
use anyhow::{Context, bail};
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Largest file of keys that is read, octets.
const KEYS_BYTES_MAX: u64 = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  anyfront residency show
  anyfront residency show --day 2026-11-27 --host eu.gateway.example > summary.json
  anyfront residency key > fleet.keys
  anyfront residency verify 2026-11-27.eu.gateway.example.json --key fleet.keys";

/// Show where requests were processed, and verify signed summaries of it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Show(Show),
    Key(Key),
    Verify(Verify),
}

/// Show what a node has counted, day by day
///
/// With --day and --host the signed summary of that hostname and day is printed as it is, to be kept.
#[derive(Debug, clap::Args)]
struct Show {
    /// Of this day only, in UTC: 2026-11-27
    #[arg(long, value_name = "DAY", requires = "host")]
    day: Option<String>,
    /// Of this hostname only
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: AdminArgs,
}

/// Print the keys that summaries of a node are verified by
#[derive(Debug, clap::Args)]
struct Key {
    #[command(flatten)]
    node: AdminArgs,
}

/// Verify signed summaries
///
/// Says in a sentence what each of them attests, and by which key. Without --key the key is the file's own: then only the
/// key's name, compared with one that you have from somewhere else, says who signed. The exit code is 1 if any file does
/// not attest anything.
#[derive(Debug, clap::Args)]
struct Verify {
    /// The summaries; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The key that must have signed: in base64, or a file that `residency key` wrote (or with one in each line)
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// Does it.
///
/// # Errors
/// If the node cannot be asked, or the key is none.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Show(args) => show(args),
        What::Key(args) => {
            let keys: Keys = args.node.client()?.get("/residency/key")?;
            plan::print(&format!("{:#}\n", serde_json::to_value(&keys)?))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Verify(args) => verify_all(&args),
    }
}

fn show(args: Show) -> anyhow::Result<ExitCode> {
    let node = args.node.client()?;
    if let (Some(day), Some(host)) = (&args.day, &args.host) {
        let is_plain = |text: &str| text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.".contains(&octet));
        if !(is_plain(day) && is_plain(host)) {
            bail!("a day reads 2026-11-27, and a hostname has letters, digits, dots and hyphens");
        }
        plan::print(&node.get_text(&format!("/residency/{day}/{host}"), "application/json")?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut index: Index = node.get("/residency")?;
    if let Some(host) = &args.host {
        index.days.iter_mut().for_each(|day| day.hostnames.retain(|hostname| hostname.name == *host));
        index.days.retain(|day| !day.hostnames.is_empty());
    }
    if args.json {
        plan::print(&format!("{:#}\n", serde_json::to_value(&index)?))?;
    } else {
        plan::print(&printable(&table(&index)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(index: &Index) -> String {
    let mut text = format!("residency of {}, counted at {}, signed by {}\n", index.fleet, index.vantage, index.key_id);
    if let Some(trouble) = &index.trouble {
        let _ = writeln!(text, "  not kept: {trouble}");
    }
    for day in &index.days {
        let _ = writeln!(text, "\n{}", day.day);
        for hostname in &day.hostnames {
            let Some(counts) = &hostname.counts else {
                let _ = writeln!(text, "  {}: in its signed summary", hostname.name);
                continue;
            };
            let fence = if counts.residency.is_empty() { "anywhere".to_owned() } else { counts.residency.join(", ") };
            let _ = writeln!(
                text,
                "  {} ({fence}): {}, refused {}",
                hostname.name,
                violations(counts.violations),
                counts.refused
            );
            for one in &counts.processed {
                let (country, outside) = (one.country.as_deref().unwrap_or("--"), one.outside);
                let mark = if outside > 0 { format!("  OUTSIDE: {outside}") } else { String::new() };
                let _ = writeln!(text, "    {:<16} {country}  {:>12} answers{mark}", one.region, one.answers);
            }
        }
    }
    text
}

fn violations(count: u64) -> String {
    match count {
        0 => "no violation".to_owned(),
        1 => "1 VIOLATION".to_owned(),
        many => format!("{many} VIOLATIONS"),
    }
}

fn verify_all(args: &Verify) -> anyhow::Result<ExitCode> {
    let keys = args.key.as_deref().map(keys).transpose().context("--key")?;
    let mut is_good = true;
    for path in &args.files {
        let shown = line(&path.display().to_string());
        let verified = read(path, DOCUMENT_BYTES_MAX as u64).map(|text| verify(&text, keys.as_deref()));
        match verified {
            Ok(Ok(attested)) => plan::print(&sentence(&shown, &attested, keys.is_some()))?,
            Ok(Err(why)) => {
                is_good = false;
                eprintln!("{shown}: NOT GENUINE: {}", line(&why.to_string()));
            }
            Err(error) => {
                is_good = false;
                eprintln!("{shown}: cannot be read: {error}");
            }
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One octet more than may be, so that it is seen that there are too many.
fn read(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(bytes_max + 1).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn keys(given: &str) -> anyhow::Result<Vec<PublicKey>> {
    if let Some(key) = PublicKey::parse(given) {
        return Ok(vec![key]);
    }
    let bytes = read(Path::new(given), KEYS_BYTES_MAX)
        .with_context(|| format!("{given:?} is no Ed25519 key in base64, and no file that can be read"))?;
    if bytes.len() as u64 > KEYS_BYTES_MAX {
        bail!("{given:?} is too long for keys");
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{given:?} holds no text"))?;
    let written: Vec<String> = match serde_json::from_str::<Keys>(&text) {
        Ok(keys) => keys.keys.into_iter().map(|key| key.key).collect(),
        Err(_) => text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect(),
    };
    if written.is_empty() {
        bail!("{given:?} holds no key");
    }
    let parse = |key: &String| PublicKey::parse(key).with_context(|| format!("{key:?} is no Ed25519 key in base64"));
    written.iter().map(parse).collect()
}

/// What came from elsewhere, as part of one line.
fn line(text: &str) -> String {
    printable(text).replace('\n', "\u{fffd}")
}

/// What is attested, for people.
fn sentence(file: &str, attested: &Attested, is_trusted: bool) -> String {
    let Attested { summary, key } = attested;
    let so_far = if summary.is_final { "" } else { " so far" };
    let written = summary.residency.iter().map(|written| match written.countries.as_slice() {
        [] => "anywhere".to_owned(),
        countries => countries.join(", "),
    });
    let written: Vec<String> = written.collect();
    let regions = summary.processed.iter().filter(|one| one.answers > 0);
    let regions: Vec<String> = regions
        .map(|one| format!("{} ({}) {}", one.region, one.country.as_deref().unwrap_or("unknown"), one.answers))
        .collect();
    let regions = if regions.is_empty() { "no region".to_owned() } else { regions.join(", ") };
    let mut text = format!(
        "{file}: genuine: on {}{so_far}, the site {} of {} passed on {} answers for {} processed in {regions}; \
         residency: {}; {}; refused rather than sent outside: {}; {}; issued {}\n",
        summary.day,
        summary.vantage,
        summary.fleet,
        summary.answers,
        summary.hostname,
        if written.is_empty() { "not known".to_owned() } else { written.join(", then ") },
        violations(summary.violations),
        summary.refused,
        summary.watched_text(),
        summary.issued,
    );
    if is_trusted {
        let _ = writeln!(text, "  signed by {}, which is the key given", key.id());
    } else {
        let _ = writeln!(
            text,
            "  signed by {}, the key in the file itself: whoever made the file chose it. Compare it with the fleet's \
             key, or give that with --key",
            key.id()
        );
    }
    text
}
