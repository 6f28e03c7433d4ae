//! Makes and rolls the keys that sign the zone, and says where they are in their lives.

mod parent;
mod shown;

use super::drain::who;
use super::plan;
use crate::dnssec::change::Change;
use crate::dnssec::folder::Folder;
use crate::dnssec::key;
use crate::dnssec::life::Step;
use crate::dnssec::record::Record;
use crate::dnssec::roles::Wanted;
use crate::dnssec::timing::PARENT_TTL;
use crate::moment::Clock;
use crate::names::Hostname;
use crate::topology::check::check;
use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::rr::Name;
use parent::Parent;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
A zone is signed in four steps; `status` says at any time which is next and from when on it is allowed:
  anyfront dnssec generate           makes a key; copy the folder to every node within the hour
  anyfront dnssec ds                 a day later: what the parent is to publish
  anyfront dnssec roll --ds-seen TAG when all servers of the parent have it
  anyfront dnssec status

Every change is a step in keys.json, which all nodes must have within the hour. Steps that could make anything in any \
cache fail are refused, with the time from which they are allowed.";

const ROLL_EXAMPLES: &str = "\
Examples:
  anyfront dnssec roll                               begin: a new key beside the one in force
  anyfront dnssec roll --ds-seen 4711 --ds-gone 815  the parent has the new DS in place of the old one
  anyfront dnssec roll --ds-seen 4711 --parent 192.0.2.53 --parent 198.51.100.53
                                                     the same, after asking these servers of the parent
  anyfront dnssec roll --algorithm ed25519           begin a roll to another algorithm (takes two days more)
  anyfront dnssec roll --to-unsigned                 begin to go unsigned: then the DS, at last the signatures
  anyfront dnssec roll --cancel                      take back what was begun last";

/// Make, roll and watch the keys that sign the zone
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the first key of an unsigned zone
    Generate(GenerateArgs),
    /// Print what the parent is to publish
    Ds(DsArgs),
    /// Begin to replace the key, or say what has happened at the parent
    Roll(RollArgs),
    /// Say where every key is in its life, what comes next, and what is to be done
    Status(StatusArgs),
}

#[derive(Debug, ClapArgs)]
struct Place {
    /// The folder with the keys; without it what [zone.dnssec] of the configuration names
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// The zone; without it that of the configuration
    #[arg(long, value_name = "NAME", value_parser = parse_zone)]
    zone: Option<Hostname>,
    /// The configuration, if it is needed
    #[arg(long, value_name = "FILE", default_value = "regions.toml")]
    config: PathBuf,
    /// The node's state directory, to which the configuration's folder is relative
    #[arg(long, value_name = "DIR", default_value = ".anyfront")]
    state_dir: PathBuf,
}

#[derive(Debug, ClapArgs)]
struct GenerateArgs {
    #[command(flatten)]
    place: Place,
    /// What it signs with
    #[arg(long, value_enum, default_value = "ecdsap256sha256")]
    algorithm: Word,
    /// The TTL that the parent gives its DS records, such as 1h or 2d
    #[arg(long, value_name = "TIME", value_parser = parse_ttl, default_value = "1d")]
    parent_ttl: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, ClapArgs)]
struct DsArgs {
    #[command(flatten)]
    place: Place,
    /// Of this key; without it of the key that the parent should vouch for now
    #[arg(long, value_name = "TAG")]
    key: Option<u16>,
    /// SHA-384 as well as SHA-256
    #[arg(long)]
    sha384: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = ROLL_EXAMPLES)]
struct RollArgs {
    #[command(flatten)]
    place: Place,
    /// What the new key signs with; without it as the one in force
    #[arg(long, value_enum, conflicts_with = "said")]
    algorithm: Option<Word>,
    /// The TTL that the parent gives its DS records; without it as before
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    parent_ttl: Option<Duration>,
    #[command(flatten)]
    said: Said,
    /// Ask this server of the parent first whether it is so; repeatable, all have to agree
    #[arg(long, value_name = "ADDR", value_parser = parent::parse)]
    parent: Vec<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, ClapArgs)]
#[group(id = "said", multiple = true)]
struct Said {
    /// All servers of the parent have the DS of this key
    #[arg(long, value_name = "TAG")]
    ds_seen: Option<u16>,
    /// No server of the parent has the DS of this key any more
    #[arg(long, value_name = "TAG")]
    ds_gone: Option<u16>,
    /// Begin to go unsigned
    #[arg(long, conflicts_with_all = ["ds_seen", "ds_gone"])]
    to_unsigned: bool,
    /// Take back the newest key, or going unsigned
    #[arg(long, conflicts_with_all = ["ds_seen", "ds_gone", "to_unsigned"])]
    cancel: bool,
    /// Destroy the private half of a removed key
    #[arg(long, value_name = "TAG", conflicts_with_all = ["ds_seen", "ds_gone", "to_unsigned", "cancel"])]
    forget: Option<u16>,
}

#[derive(Debug, ClapArgs)]
struct StatusArgs {
    #[command(flatten)]
    place: Place,
    /// Ask this server of the parent which DS it has; repeatable
    #[arg(long, value_name = "ADDR", value_parser = parent::parse)]
    parent: Vec<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An algorithm, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Word {
    /// ECDSA P-256 with SHA-256, number 13: what every validator knows
    #[value(alias = "13")]
    Ecdsap256sha256,
    /// Ed25519, number 15: smaller work for resolvers; see that the parent takes it
    #[value(alias = "15")]
    Ed25519,
}

impl From<Word> for Algorithm {
    fn from(word: Word) -> Self {
        match word {
            Word::Ecdsap256sha256 => Self::ECDSAP256SHA256,
            Word::Ed25519 => Self::ED25519,
        }
    }
}

/// Does it.
///
/// # Errors
/// What went wrong or is not allowed, for people.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let wall = Clock::start().wall();
    match args.command {
        Command::Generate(args) => generate(&args, wall),
        Command::Ds(args) => ds(&args, wall),
        Command::Roll(args) => roll(&args, wall),
        Command::Status(args) => status(&args, wall),
    }
}

fn parse_zone(text: &str) -> Result<Hostname, String> {
    Hostname::parse(text).map_err(|error| format!("{text:?} {error}"))
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()).filter(|days| *days <= 366);
    days.map_or_else(|| super::parse_duration(text), |days| Ok(Duration::from_secs(days * 86_400)))
}

impl Place {
    /// The folder and the zone.
    fn find(&self) -> anyhow::Result<(PathBuf, Name)> {
        if let (Some(keys), Some(zone)) = (&self.keys, &self.zone) {
            return Ok((keys.clone(), name_of(zone)));
        }
        let source =
            plan::read(&self.config).context("without both --keys and --zone the configuration says the rest")?;
        let topology = match check(&source, &self.config) {
            Ok(checked) => checked.topology,
            Err(mistakes) => bail!("{} is refused; `anyfront check` draws it\n{mistakes}", self.config.display()),
        };
        let zone = self.zone.as_ref().unwrap_or(&topology.zone);
        let named = || topology.dns.as_ref().and_then(|dns| dns.keys.as_ref());
        let keys = match &self.keys {
            Some(keys) => keys.clone(),
            None => self.state_dir.join(named().with_context(|| {
                format!("{} has no [zone.dnssec], which names the folder: say --keys DIR", self.config.display())
            })?),
        };
        Ok((keys, name_of(zone)))
    }

    fn change(&self, is_new: bool) -> anyhow::Result<(Change, PathBuf)> {
        let (folder, zone) = self.find()?;
        Ok((Change::begin(&folder, &zone, is_new)?, folder))
    }
}

fn name_of(zone: &Hostname) -> Name {
    Name::from_ascii(format!("{zone}.")).expect("a hostname is a name")
}

fn generate(args: &GenerateArgs, wall: Duration) -> anyhow::Result<ExitCode> {
    let (mut change, folder) = args.place.change(true)?;
    let by = who();
    let tag = change.make(Step::Generate, args.algorithm.into(), args.parent_ttl, wall, &by)?;
    shown::changed(change.record(), &folder, &format!("made the key {tag}"), wall, args.json)
}

fn ds(args: &DsArgs, wall: Duration) -> anyhow::Result<ExitCode> {
    let (folder, zone) = args.place.find()?;
    let record = Folder::open(&folder)?.record(&zone)?;
    let lives = &record.lives;
    let at = match args.key {
        Some(tag) => {
            lives.may_be_vouched_for(tag, wall)?;
            lives.all().iter().position(|life| life.tag == tag)
        }
        None => match lives.roles(wall).wanted {
            Wanted::Only(at) => Some(at),
            Wanted::Delete => bail!("the zone is on its way to being unsigned: the parent is to remove its DS"),
            Wanted::Nothing => {
                if let Some(newest) = lives.living(wall).last() {
                    lives.may_be_vouched_for(lives.all()[*newest].tag, wall)?;
                }
                bail!("the zone is unsigned: the parent needs no DS")
            }
        },
    };
    let dnskey = &record.dnskeys[at.context("the key is among the keys")?];
    let digests = if args.sha384 { &[DigestType::SHA256, DigestType::SHA384][..] } else { &[DigestType::SHA256] };
    let records = digests.iter().map(|digest| key::ds(dnskey, &zone, *digest));
    let text = if args.json {
        let rows = records.map(|ds| {
            json!({
                "key_tag": ds.key_tag(),
                "algorithm": u8::from(ds.algorithm()),
                "digest_type": u8::from(ds.digest_type()),
                "digest": shown::hex(ds.digest()),
            })
        });
        format!("{:#}\n", json!({ "zone": zone.to_ascii(), "ds": rows.collect::<Vec<_>>() }))
    } else {
        records.map(|ds| format!("{zone} IN DS {}\n", shown::presented(&ds))).collect()
    };
    plan::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn roll(args: &RollArgs, wall: Duration) -> anyhow::Result<ExitCode> {
    let (mut change, folder) = args.place.change(false)?;
    let Said { ds_seen, ds_gone, to_unsigned, cancel, forget } = args.said;
    let mut steps = Vec::new();
    steps.extend(ds_seen.map(|tag| Step::DsSeen { tag, parent_ttl: args.parent_ttl }));
    steps.extend(ds_gone.map(|tag| Step::DsGone { tag }));
    steps.extend(to_unsigned.then_some(Step::ToUnsigned));
    steps.extend(cancel.then_some(Step::Cancel));
    steps.extend(forget.map(|tag| Step::Forget { tag }));
    if args.parent_ttl.is_some() && ds_seen.is_none() && !steps.is_empty() {
        bail!("--parent-ttl goes with a new key or with --ds-seen");
    }
    if !args.parent.is_empty() && ds_seen.is_none() && ds_gone.is_none() {
        bail!("--parent goes with --ds-seen and --ds-gone: nothing else depends on what the parent has");
    }
    // Whether time allows it comes first: there is nothing to ask the parent before.
    let mut planned = change.record().lives.clone();
    for step in &steps {
        planned = planned.after(step, Duration::from_secs(wall.as_secs()))?;
    }
    let asked = Parent::ask_all(&args.parent, &change.record().zone)?;
    parent::confirm(&asked, change.record(), ds_seen, ds_gone, args.parent_ttl)?;
    let what = if steps.is_empty() {
        let (algorithm, parent_ttl) = as_before(change.record(), wall);
        let algorithm = args.algorithm.map_or(algorithm, Algorithm::from);
        let parent_ttl = args.parent_ttl.unwrap_or(parent_ttl);
        let tag = change.make(Step::Roll, algorithm, parent_ttl, wall, &who())?;
        format!("began a roll to the new key {tag}")
    } else {
        change.take(&steps, wall, &who())?;
        "noted".to_owned()
    };
    shown::changed(change.record(), &folder, &what, wall, args.json)
}

/// How the key in force is.
fn as_before(record: &Record, wall: Duration) -> (Algorithm, Duration) {
    let lives = &record.lives;
    let newest = lives.living(wall).last().map(|at| &lives.all()[*at]);
    newest.map_or((Algorithm::ECDSAP256SHA256, PARENT_TTL), |life| (life.algorithm, life.parent_ttl))
}

fn status(args: &StatusArgs, wall: Duration) -> anyhow::Result<ExitCode> {
    let (folder, zone) = args.place.find()?;
    let record = Folder::open(&folder)?.record(&zone)?;
    // What is written is shown even if a node could not use it.
    let opened = crate::dnssec::Keyring::open(&folder, &zone);
    let asked = Parent::ask_all(&args.parent, &zone)?;
    let problem = opened.as_ref().err().map(ToString::to_string);
    let remarks = opened.map(|keyring| keyring.remarks).unwrap_or_default();
    let page = shown::Page { record: &record, folder: &folder, wall, problem, remarks, asked: &asked };
    plan::print(&if args.json { format!("{:#}\n", page.json()) } else { page.text() })?;
    Ok(if page.problem.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
