//! Runs a node until it is told to stop.

use crate::access_log::Sink;
use crate::dns::tap;
use crate::names::Label;
use crate::node::listen::Listen;
use crate::node::{Node, Options};
use crate::spans::settings::Settings;
use anyhow::{Context, bail};
use clap::ValueEnum;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Run a node: take HTTP and HTTPS for the fleet's hostnames and forward to the nearest healthy region, and answer DNS for
/// the fleet's zone.
///
/// Stops on SIGTERM or Ctrl-C: first not ready, then no new connections, then the requests under way get their time. SIGHUP
/// reads the configuration again and opens the access log anew; a changed file is read by itself. A file with mistakes changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  anyfront serve --config regions.toml --http 0.0.0.0:80 --https 0.0.0.0:443 --tls-dir /etc/anyfront/tls
  anyfront serve --config regions.toml --site lon-1 --http 127.0.0.1:8080 --admin 127.0.0.1:9900
  anyfront serve --https 0.0.0.0:8443,proxy=10.0.0.0/8 --tls-dir /etc/anyfront/tls
      behind a network load balancer that says by the PROXY protocol who the client is")]
pub struct Args {
    /// The fleet: the same file on every node
    #[arg(long, value_name = "FILE", default_value = "regions.toml")]
    config: PathBuf,
    /// Which [[site]] of the file this node is; not needed when there is one
    #[arg(long, value_name = "NAME", value_parser = parse_label)]
    site: Option<Label>,
    /// Take HTTP/1.1 here; repeatable, port 0 is any. With proxy=NETWORK each connection must come from a balancer in one of
    /// these networks and begin with a PROXY header (version 1 or 2) that says whose it is
    #[arg(long, value_name = "ADDR[,proxy=NETWORK...]", value_parser = Listen::parse)]
    http: Vec<Listen>,
    /// Take HTTPS here: HTTP/2 and HTTP/1.1; repeatable. With proxy=NETWORK as above
    #[arg(long, value_name = "ADDR[,proxy=NETWORK...]", value_parser = Listen::parse)]
    https: Vec<Listen>,
    /// Answer DNS for the file's [zone] here, over UDP and TCP; repeatable
    #[arg(long, value_name = "ADDR")]
    dns: Vec<SocketAddr>,
    /// Answer DNS over TLS here (RFC 7858, port 853); repeatable
    #[arg(long, value_name = "ADDR")]
    dot: Vec<SocketAddr>,
    /// Log questions to DNS and their answers by dnstap to a reader that listens at this Unix socket
    #[arg(long, value_name = "SOCKET")]
    dnstap: Option<PathBuf>,
    /// Log them into this file, at most 1 GiB, only its owner may read it; what was in it is lost
    #[arg(long, value_name = "FILE", conflicts_with = "dnstap")]
    dnstap_file: Option<PathBuf>,
    /// Write a line of JSON about every request into this file (- is standard output): appended, opened anew on SIGHUP, at
    /// most 4 KiB each, without queries, fields or addresses. What cannot be written in time is dropped and counted
    #[arg(long, value_name = "FILE")]
    access_log: Option<String>,
    /// Serve operators here; repeatable. Loopback only, unless --admin-token-file is given
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9900")]
    admin: Vec<SocketAddr>,
    /// Admin requests must carry the token in this file
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Show the status page to everybody here, by HTTP in the clear; repeatable. At the hostname in [status] it is shown on the
    /// HTTPS listeners, to which requests in the clear are sent; with --listen alone, in the clear
    #[arg(long, value_name = "ADDR")]
    status: Vec<SocketAddr>,
    /// Write the status page as files into this folder, whenever it changes, so that it can be served from elsewhere
    #[arg(long, value_name = "DIR")]
    status_export: Option<PathBuf>,
    /// Where drains, the audit log, the history of NAT addresses and ordered certificates with their keys are kept
    #[arg(long, value_name = "DIR", default_value = ".anyfront")]
    state_dir: PathBuf,
    /// A certificate chain in PEM form; the n-th goes with the n-th --tls-key. It, its key and an OCSP response beside it
    /// (NAME.ocsp, DER) are read again when they change
    #[arg(long, value_name = "FILE")]
    tls_cert: Vec<PathBuf>,
    /// The key of a --tls-cert
    #[arg(long, value_name = "FILE")]
    tls_key: Vec<PathBuf>,
    /// A folder of pairs NAME.pem (or .crt) and NAME.key, perhaps with NAME.ocsp, chosen by SNI; repeatable. Pairs that
    /// come, change or go are noticed
    #[arg(long, value_name = "DIR")]
    tls_dir: Vec<PathBuf>,
    /// The fleet's secret, the same on every node, newest line first: TLS tickets and sealed sessions of one node are
    /// understood by all. Without it a node understands only its own. Read again when it changes
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Threads that carry requests [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// From "not ready" to the end of accepting, so that others learn of it first
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = super::parse_duration)]
    drain_time: Duration,
    /// How long requests under way may take after that
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::parse_duration)]
    grace: Duration,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or a filter such as info,anyfront::front=debug
    #[arg(long, value_name = "FILTER", env = "ANYFRONT_LOG", default_value = "info")]
    log: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Runs the node.
///
/// # Errors
/// What stands in the way of starting, or what ended by itself.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    start_logging(&args.log, args.log_format)?;
    let options = options(args)?;
    // Memory holds private keys: no core dump, and no look into it by others of the same user. Root may still debug.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the memory of this process is not protected from core dumps");
    }
    let node = Node::start(options)?;
    let bound = [
        ("http", &node.http),
        ("https", &node.https),
        ("dns", &node.dns),
        ("dot", &node.dot),
        ("admin", &node.admin),
        ("status", &node.status),
    ];
    for (kind, addresses) in bound {
        for address in addresses {
            println!("{kind} {address}");
            tracing::info!("listening for {kind} on {address}");
        }
    }
    node.run()?;
    Ok(ExitCode::SUCCESS)
}

fn options(args: Args) -> anyhow::Result<Options> {
    if args.http.is_empty() && args.https.is_empty() && args.dns.is_empty() && args.dot.is_empty() {
        bail!("nothing to serve: give --http ADDR, --https ADDR, --dns ADDR or several of them");
    }
    if args.tls_cert.len() != args.tls_key.len() {
        let (certs, keys) = (args.tls_cert.len(), args.tls_key.len());
        bail!("{certs} of --tls-cert and {keys} of --tls-key: each certificate needs its key");
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Options {
        config: args.config,
        site: args.site,
        http: args.http,
        https: args.https,
        dns: args.dns,
        dot: args.dot,
        dnstap: args.dnstap.map(tap::Sink::Socket).or(args.dnstap_file.map(tap::Sink::File)),
        traces: Settings::of(|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?,
        access_log: args.access_log.as_deref().map(Sink::parse),
        admin: args.admin,
        status: args.status,
        status_export: args.status_export,
        state_dir: args.state_dir,
        workers: args.workers.map_or(cores, usize::from),
        certificates: args.tls_cert.into_iter().zip(args.tls_key).collect(),
        certificate_folders: args.tls_dir,
        admin_token_file: args.admin_token_file,
        secret_file: args.secret_file,
        drain_time: args.drain_time,
        grace: args.grace,
    })
}

/// Writes what is logged to standard error.
///
/// # Errors
/// If `filter` is none.
pub fn start_logging(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("--log {filter:?} is no filter"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            log.with_target(false).with_ansi(is_terminal).init();
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn parse_label(text: &str) -> Result<Label, String> {
    Label::parse(text).map_err(|error| format!("{text:?} {error}"))
}
