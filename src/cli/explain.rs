//! Says who would answer a client, and why.

use super::admin::{AdminArgs, Client, DEFAULT_ADDRESS, encoded, printable};
use super::plan;
use crate::dns::explain::Ask;
use crate::dns::prepare::{Challenges, Inputs, Preparer};
use crate::moment::Moment;
use crate::secret::Secret;
use crate::snapshot::Snapshot;
use crate::status::dns::NO_ZONE;
use crate::status::explain::Question;
use crate::topology::check::check;
use crate::topology::link::PrivateLink;
use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use serde_json::Value;
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What is asked if no node runs and no file is named.
const DEFAULT_FILE: &str = "regions.toml";
/// How long a node on this machine is looked for.
const LOOK_FOR: Duration = Duration::from_millis(300);
/// How long everything has stood as it stands where a file is asked: longer than any answer is believed.
const SETTLED_AFTER: Duration = Duration::from_secs(7 * 86_400);

const EXAMPLES: &str = "\
Examples:
  anyfront explain --host eu.gateway.example --client 81.2.69.142
      asks the node on this machine what it would do now; if none runs, regions.toml in this folder
  anyfront explain --host eu.gateway.example --client 81.2.69.142 --config regions.toml
      asks a configuration, without a node: every region is taken to be up
  anyfront explain --host eu.gateway.example --client 81.2.69.142 --config regions.toml --down lhr
      what if London were down?
  anyfront explain --dns --host gateway.example --client 81.2.69.142
      what DNS answers the resolver of that client, for how long, for whom else, and why
  anyfront explain --dns --host gateway.example --resolver 9.9.9.9
      the same for a resolver that says nothing of its clients
  anyfront explain 5c0a93f1e27b84d6
      why an answer came from where it came: what its x-anyfront-decision stands for";

/// Say who would answer a client, and why
///
/// Shows every region of the hostname in the order in which it would be tried, with its standing, its distance from the
/// client, and the reason; and the regions that must not be used. With the ID that an answer carries in
/// x-anyfront-decision it is the decision that was made for that answer, every attempt, and how it ended. This is the decision itself, not a retelling: the same
/// code steers requests. With --dns it is what DNS answers: addresses, whose they are, how long and for whom they hold. With --admin a running node is asked, with --config a file; with neither the node on this machine,
/// and if none runs there, regions.toml in this folder.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A decision that was made: what x-anyfront-decision of an answer says. The node that gave the answer replays it
    #[arg(value_name = "ID", conflicts_with_all = ["host", "client", "dns", "private_link", "bound", "prefers", "config", "site", "down"])]
    decision: Option<String>,
    /// The hostname that is asked for
    #[arg(long, value_name = "NAME", required_unless_present = "decision")]
    host: Option<String>,
    /// The client's address; with --dns its network comes along as the client subnet (RFC 7871)
    #[arg(long, value_name = "IP", required_unless_present_any = ["resolver", "decision"])]
    client: Option<IpAddr>,
    /// What DNS answers, instead of who serves a request; any name of the zone can be asked
    #[arg(long, conflicts_with_all = ["private_link", "bound", "prefers"])]
    dns: bool,
    /// Of DNS: the resolver that asks; without --client one that says nothing of its clients
    #[arg(long, value_name = "IP", requires = "dns")]
    resolver: Option<IpAddr>,
    /// As if the client came by this private link: aws:vpce-ID, gcp:ID or azure:ID
    #[arg(long, value_name = "CLOUD:ID", value_parser = PrivateLink::parse)]
    private_link: Option<PrivateLink>,
    /// Ask this configuration, without a node (- is standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["admin", "admin_token_file"])]
    config: Option<PathBuf>,
    /// Of a file: as a node at this site; needed if there are several
    #[arg(long, value_name = "NAME", conflicts_with_all = ["admin", "admin_token_file"])]
    site: Option<String>,
    /// Of a file: take this region to be down (repeatable)
    #[arg(long, value_name = "REGION", conflicts_with_all = ["admin", "admin_token_file"])]
    down: Vec<String>,
    /// Of a request whose session began in this region: nobody else will do
    #[arg(long, value_name = "REGION")]
    bound: Option<String>,
    /// Of a request that is pinned to this region: it comes first among its equals
    #[arg(long, value_name = "REGION")]
    prefers: Option<String>,
    /// Print the decision as JSON
    #[arg(long)]
    json: bool,
    /// The running node's admin address
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// File with the node's admin token
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

/// Does it.
///
/// # Errors
/// If the hostname is not served, or the configuration or node cannot be asked.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(id) = &args.decision {
        let path = format!("/explain/{}", encoded(id));
        let node = AdminArgs::of(args.admin, args.admin_token_file).client()?;
        plan::print(&told(&node, &path, '?', args.json)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let here = Path::new(DEFAULT_FILE);
    let answer = match &args.config {
        Some(config) => offline(&args, config)?,
        None if asks_of_file(&args) && here.exists() => offline(&args, here)?,
        None => live(args)?,
    };
    plan::print(&answer)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether nothing that was said speaks of a node, and none listens where one would.
fn asks_of_file(args: &Args) -> bool {
    let speaks_of_node = args.admin.is_some() || args.admin_token_file.is_some();
    let speaks_of_file = args.site.is_some() || !args.down.is_empty();
    let default = DEFAULT_ADDRESS.parse().expect("it is an address");
    !speaks_of_node && (speaks_of_file || TcpStream::connect_timeout(&default, LOOK_FOR).is_err())
}

fn offline(args: &Args, config: &Path) -> anyhow::Result<String> {
    let source = plan::read(config)?;
    let topology = match check(&source, config) {
        Ok(checked) => checked.topology,
        Err(mistakes) => {
            bail!(
                "{} cannot be asked: {} mistakes in it; `anyfront check` draws them",
                config.display(),
                mistakes.len()
            )
        }
    };
    if args.site.is_none() && topology.sites.len() > 1 {
        let known: Vec<&str> = topology.sites.iter().map(|site| site.name.as_str()).collect();
        bail!("there is more than one site: say --site with one of {}", known.join(", "));
    }
    let mut topology = topology;
    // Keys are in a node's state directory, so answers are told without their signatures.
    let keys = topology.dns.as_mut().and_then(|zone| Arc::make_mut(zone).keys.take());
    let snapshot = plan::assume(topology, args.site.as_deref(), &args.down)?;
    let (json, text) = if args.dns { by_dns(args, snapshot, keys.is_some())? } else { by_request(args, &snapshot)? };
    if args.json {
        return Ok(format!("{json:#}\n"));
    }
    let assumed = match args.down.as_slice() {
        [] => "every region is taken to be up (--down REGION for what if)".to_owned(),
        down => format!("every region is taken to be up but {}", down.join(", ")),
    };
    Ok(format!("{text}\n  asked of {}, without a node: {assumed}\n", config.display()))
}

/// Who would serve a request, as JSON and as text.
fn by_request(args: &Args, snapshot: &Snapshot) -> anyhow::Result<(Value, String)> {
    let question = Question {
        host: args.host.clone().context("--host is missing")?,
        client: args.client.context("--client is missing")?,
        link: args.private_link.clone(),
        bound: args.bound.clone(),
        prefers: args.prefers.clone(),
    };
    let answer = question.answer(snapshot).map_err(|(_, text)| anyhow::anyhow!(text))?;
    Ok((answer.to_json(), answer.to_text()))
}

/// What DNS would answer, as JSON and as text.
fn by_dns(args: &Args, snapshot: Snapshot, has_keys: bool) -> anyhow::Result<(Value, String)> {
    let inputs = Inputs {
        state_dir: PathBuf::new(),
        secret: Arc::new(ArcSwap::from_pointee(Secret::random())),
        challenges: Challenges::default(),
    };
    // Nothing is young in a plan.
    let now = Moment::ZERO + SETTLED_AFTER;
    let prepared = Preparer::new(inputs).prepare(&Arc::new(snapshot), now, Duration::ZERO)?.flatten();
    let prepared = prepared.context(NO_ZONE)?;
    let name = args.host.clone().context("--host is missing")?;
    let ask = Ask { name, client: args.client, resolver: args.resolver };
    let answer = ask.answer(&prepared, now).map_err(|text| anyhow::anyhow!(text))?;
    let (mut json, mut text) = (answer.to_json(), answer.to_text());
    if has_keys {
        json["signed"] = Value::Null;
        text = text.replace("  not signed\n", "  signed by nodes, which have the keys\n");
    }
    Ok((json, text))
}

fn live(args: Args) -> anyhow::Result<String> {
    let node = AdminArgs::of(args.admin, args.admin_token_file).client()?;
    let mut path = format!("/explain?host={}", encoded(&args.host.context("--host is missing")?));
    for (name, address) in [("client", args.client), ("resolver", args.resolver)] {
        if let Some(address) = address {
            path.push_str(&format!("&{name}={}", encoded(&address.to_string())));
        }
    }
    if args.dns {
        path.push_str("&dns=1");
    }
    if let Some(link) = &args.private_link {
        path.push_str(&format!("&private_link={}", encoded(&link.to_string())));
    }
    for (name, region) in [("bound", args.bound), ("prefers", args.prefers)] {
        if let Some(region) = region {
            path.push_str(&format!("&{name}={}", encoded(&region)));
        }
    }
    told(&node, &path, '&', args.json)
}

/// What the node says of `path`, for people unless as JSON; `mark` comes before one more parameter.
fn told(node: &Client, path: &str, mark: char, is_json: bool) -> anyhow::Result<String> {
    if is_json {
        return Ok(format!("{:#}\n", node.get::<Value>(path)?));
    }
    let text = node.get_text(&format!("{path}{mark}format=text"), "text/plain")?;
    Ok(format!("{}\n  asked of the node at {}\n", printable(&text), node.address()))
}
