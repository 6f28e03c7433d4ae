//! Says who would answer a client, and why.

use super::admin::{AdminArgs, DEFAULT_ADDRESS, encoded, printable};
use super::plan;
use crate::status::explain::Question;
use crate::topology::check::check;
use crate::topology::link::PrivateLink;
use anyhow::bail;
use serde_json::Value;
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What is asked if no node runs and no file is named.
const DEFAULT_FILE: &str = "regions.toml";
/// How long a node on this machine is looked for.
const LOOK_FOR: Duration = Duration::from_millis(300);

const EXAMPLES: &str = "\
Examples:
  anyfront explain --host eu.gateway.example --client 81.2.69.142
      asks the node on this machine what it would do now; if none runs, regions.toml in this folder
  anyfront explain --host eu.gateway.example --client 81.2.69.142 --config regions.toml
      asks a configuration, without a node: every region is taken to be up
  anyfront explain --host eu.gateway.example --client 81.2.69.142 --config regions.toml --down lhr
      what if London were down?";

/// Say who would answer a client, and why
///
/// Shows every region of the hostname in the order in which it would be tried, with its standing, its distance from the
/// client, and the reason; and the regions that must not be used. This is the decision itself, not a retelling: the same
/// code steers requests. With --admin a running node is asked, with --config a file; with neither the node on this machine,
/// and if none runs there, regions.toml in this folder.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The hostname that is asked for
    #[arg(long, value_name = "NAME")]
    host: String,
    /// The client's address
    #[arg(long, value_name = "IP")]
    client: IpAddr,
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
    let snapshot = plan::assume(topology, args.site.as_deref(), &args.down)?;
    let question = Question {
        host: args.host.clone(),
        client: args.client,
        link: args.private_link.clone(),
        bound: args.bound.clone(),
        prefers: args.prefers.clone(),
    };
    let answer = question.answer(&snapshot).map_err(|(_, text)| anyhow::anyhow!(text))?;
    if args.json {
        return Ok(format!("{:#}\n", answer.to_json()));
    }
    let mut text = answer.to_text();
    text.push_str(&format!("\n  asked of {}, without a node: ", config.display()));
    text.push_str(&match args.down.as_slice() {
        [] => "every region is taken to be up (--down REGION for what if)\n".to_owned(),
        down => format!("every region is taken to be up but {}\n", down.join(", ")),
    });
    Ok(text)
}

fn live(args: Args) -> anyhow::Result<String> {
    let node = AdminArgs {
        admin: args.admin.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
        admin_token_file: args.admin_token_file,
    }
    .client()?;
    let mut path = format!("/explain?host={}&client={}", encoded(&args.host), encoded(&args.client.to_string()));
    if let Some(link) = &args.private_link {
        path.push_str(&format!("&private_link={}", encoded(&link.to_string())));
    }
    for (name, region) in [("bound", args.bound), ("prefers", args.prefers)] {
        if let Some(region) = region {
            path.push_str(&format!("&{name}={}", encoded(&region)));
        }
    }
    if args.json {
        return Ok(format!("{:#}\n", node.get::<Value>(&path)?));
    }
    let text = node.get_text(&format!("{path}&format=text"), "text/plain")?;
    Ok(format!("{}\n  asked of the node at {}\n", printable(&text), node.address()))
}
