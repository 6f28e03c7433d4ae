//! A whole world on loopback: starts it with a real node in front, and switches its faults.

use super::serve::{LogFormat, start_logging};
use super::{parse_duration, status};
use crate::lab::command::{Break, Heal};
use crate::lab::fault::{Aim, Fault, Hint};
use crate::lab::world::{Settings, World};
use crate::names::Label;
use crate::node::{Node, Options};
use anyhow::{Context, bail};
use clap::{Subcommand, ValueHint};
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Where the lab is controlled, unless something else is said.
const CONTROL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9_901);
/// How long the lab may take to answer: making a world of black holes takes a moment.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer of the lab, octets: 1 024 regions with 32 endpoints need about 8 MiB.
const CONTROL_BYTES_MAX: u64 = 32 << 20;
/// Clients in the printed examples: where they are, and from which address they come.
const CLIENTS: [(&str, &str); 3] = [("London", "127.44.0.1"), ("Sydney", "127.61.0.1"), ("São Paulo", "127.55.0.1")];

const AFTER: &str = "\
Targets:  orf (or region:orf), provider:aws, endpoint:orf/a (or orf/a), all
Faults:   refuse     nobody listens, open connections are reset
          blackhole  connecting hangs, open connections fall silent
          error      a share of the requests is answered with a server error
          unserved   a share of the requests is declined, with the word that nothing was done
          slow       answers take longer
          cut        answers die in the middle
          tls        a bad certificate on new connections
          flap       refuses and works in turn
          hang       takes requests and never answers

Try:      anyfront lab
          anyfront lab break orf refuse
          anyfront lab break provider:aws error --share 0.3 --for 30s
          anyfront lab heal";

/// Run a whole world on loopback: stand-in regions with faults to switch, and the real router in front
///
/// Every region of the fleet gets a stand-in gateway with real sockets, as far away as the region is. Clients are placed
/// by the loopback address they come from: 127.61.0.1 is in Sydney. Ready curl lines are printed at the start. Needs
/// Linux, where all of 127.0.0.0/8 is there without asking.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = AFTER)]
pub struct Args {
    #[command(subcommand)]
    order: Option<Order>,
    #[command(flatten)]
    start: Box<Start>,
}

#[derive(Debug, clap::Args)]
struct Start {
    /// The fleet; without it the one in the box
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Which site the router is; without it the first of the file
    #[arg(long, value_name = "NAME", value_parser = label)]
    site: Option<Label>,
    /// Where the router takes HTTP; without it 127.0.0.1:8080, or a free port if that is taken
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where the router takes HTTPS; without it 127.0.0.1:8443, or a free port
    #[arg(long, value_name = "ADDR")]
    https: Option<SocketAddr>,
    /// Where the router answers DNS, over UDP and TCP; without it 127.0.0.1:5300, or a free port
    #[arg(long, value_name = "ADDR")]
    dns: Option<SocketAddr>,
    /// Where the router serves operators; without it 127.0.0.1:9900, or a free port
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Where the router shows its status page; without it 127.0.0.1:8090, or a free port
    #[arg(long, value_name = "ADDR")]
    status: Option<SocketAddr>,
    /// Where the lab is controlled; without it 127.0.0.1:9901, or a free port
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// Where the router's file, certificates and state go
    #[arg(long, value_name = "DIR", default_value = ".anyfront/lab", value_hint = ValueHint::DirPath)]
    state_dir: PathBuf,
    /// Threads of the router's data plane
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// How far away regions are: 1 as in the world, 0 next door
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    latency_scale: f64,
    /// Time between the tokens of a streamed completion
    #[arg(long, value_name = "TIME", default_value = "40ms", value_parser = parse_duration)]
    token_pace: Duration,
    /// Stand-ins in each region
    #[arg(long, value_name = "N", default_value_t = 1)]
    endpoints: usize,
    /// Let the stand-ins speak HTTP in the clear instead of TLS
    #[arg(long)]
    plain: bool,
    /// Decides which requests an injected error hits
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Show the terminal view; the log goes to lab.log in the state folder
    #[arg(long)]
    view: bool,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Break a region, a provider's regions, an endpoint or everything
    Break(Box<BreakArgs>),
    /// Take faults away; the same addresses answer again
    Heal {
        /// Whom: orf, region:orf, provider:aws, endpoint:orf/a or all
        #[arg(default_value = "all", value_parser = target)]
        target: String,
        /// Where the running lab is controlled
        #[arg(long, value_name = "ADDR", default_value_t = CONTROL)]
        control: SocketAddr,
    },
    /// Show every stand-in, its fault and how much it was asked
    Show {
        /// Where the running lab is controlled
        #[arg(long, value_name = "ADDR", default_value_t = CONTROL)]
        control: SocketAddr,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
struct BreakArgs {
    /// Whom: orf, region:orf, provider:aws, endpoint:orf/a or all
    #[arg(value_parser = target)]
    target: String,
    /// How
    #[arg(value_parser = Fault::KINDS)]
    kind: String,
    /// error, unserved: how many of all requests, 0 to 1 [default: 1]
    #[arg(long, value_name = "SHARE")]
    share: Option<f64>,
    /// error: with which status [default: 503]
    #[arg(long, value_name = "CODE")]
    status: Option<u16>,
    /// slow: how much longer [default: 1000]; flap: how long each turn is [default: 5000]
    #[arg(long, value_name = "MS")]
    ms: Option<u64>,
    /// slow: how many times as far away
    #[arg(long, value_name = "X")]
    times: Option<f64>,
    /// cut: after how many octets of the body [default: half of it]
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,
    /// unserved: what the region wants, asking elsewhere or later [default: elsewhere]
    #[arg(long, value_name = "HINT", value_parser = Hint::WORDS)]
    hint: Option<String>,
    /// Heal by itself after this time, such as 30s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    lasts: Option<Duration>,
    /// Where the running lab is controlled
    #[arg(long, value_name = "ADDR", default_value_t = CONTROL)]
    control: SocketAddr,
}

/// Does it.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.order {
        None => start(*args.start)?,
        Some(Order::Break(args)) => {
            let order = Break {
                target: args.target,
                kind: args.kind,
                share: args.share,
                status: args.status,
                ms: args.ms,
                times: args.times,
                bytes: args.bytes,
                hint: args.hint,
                for_s: args.lasts.map(|lasts| lasts.as_secs_f64()),
            };
            let done = ask(args.control, "POST", "/break", &serde_json::to_string(&order)?)?;
            println!("{}: {}", text(&done, "target"), text(&done, "fault"));
        }
        Some(Order::Heal { target, control }) => {
            let done = ask(control, "POST", "/heal", &serde_json::to_string(&Heal { target })?)?;
            println!("{}: healed", text(&done, "target"));
        }
        Some(Order::Show { control }) => print!("{}", table(&ask(control, "GET", "/", "")?)),
    }
    Ok(ExitCode::SUCCESS)
}

fn start(args: Start) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.state_dir).with_context(|| args.state_dir.display().to_string())?;
    let log_file = args.view.then(|| args.state_dir.join("lab.log"));
    let settings = Settings {
        fleet: args.config,
        folder: Some(args.state_dir),
        site: args.site,
        endpoints_per_region: args.endpoints,
        is_tls: !args.plain,
        latency_scale: args.latency_scale,
        token_pace: args.token_pace,
        seed: args.seed,
        ..Settings::default()
    };
    // A lab that runs there already goes on writing its log: only then is there one of ours.
    let world = World::start(settings).context("the lab cannot start")?;
    log(log_file.as_deref())?;
    let control = world.serve_control(free(args.control, CONTROL.port())).context("the lab cannot start")?;
    let options = Options {
        http: vec![free(args.http, 8_080).into()],
        https: vec![free(args.https, 8_443).into()],
        dns: vec![free(args.dns, 5_300)],
        admin: vec![free(args.admin, 9_900)],
        status: vec![free(args.status, 8_090)],
        workers: usize::from(args.workers),
        ..world.node_options()
    };
    let asked =
        format!("http {}, https {}, admin {}", options.http[0].address, options.https[0].address, options.admin[0]);
    let node = Node::start(options).with_context(|| format!("the router cannot start ({asked})"))?;
    let first = |bound: &[SocketAddr]| bound.first().copied().context("the router has no addresses");
    let addresses = Addresses {
        http: first(&node.http)?,
        https: first(&node.https)?,
        dns: first(&node.dns)?,
        admin: first(&node.admin)?,
        status: first(&node.status)?,
        control,
    };
    let program = std::env::args_os().next().map_or_else(|| "anyfront".to_owned(), |name| name.display().to_string());
    print!("{}", greeting(&world, &program, &addresses));
    // Whoever closed the pipe does not want to read it.
    let _ = std::io::stdout().flush();
    if args.view {
        let outcome = status::watch(&addresses.admin.to_string(), None);
        node.stop();
        return outcome;
    }
    // Until Ctrl-C or SIGTERM. The world is dropped after the node, so that what still runs is answered.
    node.run()?;
    Ok(())
}

/// Log lines to standard error, or to a file while the terminal view has the screen.
fn log(file: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = file else { return start_logging("info", LogFormat::Text) };
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_target(false).with_ansi(false);
    log.with_writer(std::sync::Mutex::new(file)).init();
    Ok(())
}

/// The address that was asked for; otherwise the usual port on loopback if it is free, and any if it is not.
fn free(asked: Option<SocketAddr>, port: u16) -> SocketAddr {
    asked.unwrap_or_else(|| {
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match TcpListener::bind(usual) {
            Ok(_) => usual,
            Err(error) => {
                eprintln!("{usual} cannot be had ({error}): taking a free port instead");
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
            }
        }
    })
}

struct Addresses {
    http: SocketAddr,
    https: SocketAddr,
    dns: SocketAddr,
    admin: SocketAddr,
    status: SocketAddr,
    control: SocketAddr,
}

/// What is printed at the start: where everything is, what to try, how to break it.
fn greeting(
    world: &World,
    program: &str,
    Addresses { http, https, dns, admin, status, control }: &Addresses,
) -> String {
    let topology = world.topology();
    let authority = world.ca_path();
    let authority = authority.display();
    let file = world.config_path();
    let written: Vec<_> =
        topology.routes.iter().filter(|route| !route.is_regional).map(|route| &route.hostname).collect();
    let regional = topology.routes.iter().find(|route| route.is_regional).map(|route| &route.hostname);
    let first = topology.regions.first().map_or("all", |region| region.name.as_str());
    let with_admin = if admin.port() == 9_900 { String::new() } else { format!(" --admin {admin}") };
    let with_control = if *control == CONTROL { String::new() } else { format!(" --control {control}") };
    let mut told = format!(
        "\nA world of {} regions and the router in front of it\n\n  HTTP     {http}\n  HTTPS    {https}\n  DNS      {dns}\n  status   http://{status}\n  admin    http://{admin}\n  control  http://{control}\n  file     {}\n\n",
        topology.regions.len(),
        file.display(),
    );
    let mut line = |about: &str, from: &str, url: &str| {
        let is_secure = url.starts_with("https");
        let door = if is_secure { https } else { http };
        let trust = if is_secure { format!("--cacert {authority} ") } else { String::new() };
        let _ = writeln!(told, "  # {about}\n  curl {trust}--interface {from} --connect-to ::{door} {url}");
    };
    if let Some(global) = written.first().copied().or(regional) {
        for (city, from) in CLIENTS {
            line(&format!("a client in {city}"), from, &format!("http://{global}/whoami"));
        }
        for hostname in written.iter().skip(1).take(3) {
            line(&format!("{hostname} from London, by TLS"), CLIENTS[0].1, &format!("https://{hostname}/whoami"));
        }
    }
    if let Some(regional) = regional {
        line("a region by its own name: never fails over", CLIENTS[0].1, &format!("https://{regional}/whoami"));
    }
    if let Some(global) = written.first().copied().or(regional) {
        let question = r#"{"stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
        let url = format!("https://{global}/v1/chat/completions -H content-type:application/json -d '{question}'");
        line("a completion, token by token", &format!("{} -N", CLIENTS[1].1), &url);
    }
    if let Some(global) = written.first().copied().or(regional) {
        let (ip, port) = (dns.ip(), dns.port());
        let _ = writeln!(told, "  # DNS, for a client in Sydney\n  dig @{ip} -p {port} {global} +subnet=127.61.0.0/24");
    }
    let _ = writeln!(
        told,
        "\nBreak something, and ask again:\n\n  {program} lab break {first} refuse{with_control}\n  {program} lab break provider:{} blackhole --for 30s{with_control}\n  {program} lab show{with_control}\n  {program} lab heal{with_control}\n  {program} status{with_admin}\n\nCtrl-C stops everything.\n",
        topology.providers.first().map_or("aws", |provider| provider.as_str()),
    );
    told
}

/// Asks the running lab.
fn ask(control: SocketAddr, method: &str, path: &str, body: &str) -> anyhow::Result<Json> {
    let nobody = |error: std::io::Error| match error.kind() {
        ErrorKind::ConnectionRefused => anyhow::anyhow!(
            "no lab is running at {control}: start one with `anyfront lab`, or say where it is with --control"
        ),
        _ => anyhow::anyhow!("the lab at {control} does not answer: {error}"),
    };
    let mut stream = TcpStream::connect_timeout(&control, CONTROL_TIMEOUT).map_err(nobody)?;
    stream.set_read_timeout(Some(CONTROL_TIMEOUT))?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {control}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).map_err(nobody)?;
    let mut answer = String::new();
    stream.take(CONTROL_BYTES_MAX).read_to_string(&mut answer).map_err(nobody)?;
    let no_lab = || format!("what answers at {control} is no lab");
    let (head, body) = answer.split_once("\r\n\r\n").with_context(no_lab)?;
    let answer: Json = serde_json::from_str(body).with_context(no_lab)?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("{}", text(&answer, "error"));
    }
    Ok(answer)
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or("?")
}

/// Every stand-in in a row of its own.
fn table(shown: &Json) -> String {
    let mut table = format!(
        "{:<10} {:<8} {:<24} {:>9}  {:<21} {:>9}  {}\n",
        "ENDPOINT", "PROVIDER", "PLACE", "DISTANCE", "ADDRESS", "REQUESTS", "FAULT"
    );
    for region in shown["regions"].as_array().into_iter().flatten() {
        for endpoint in region["endpoints"].as_array().into_iter().flatten() {
            let fault = Some(text(endpoint, "fault")).filter(|fault| *fault != "none").unwrap_or("-");
            let _ = writeln!(
                table,
                "{:<10} {:<8} {:<24} {:>6} ms  {:<21} {:>9}  {fault}",
                text(endpoint, "endpoint"),
                text(region, "provider"),
                text(region, "place"),
                region["round_trip_ms"].to_string(),
                text(endpoint, "address"),
                endpoint["counts"]["begun"].to_string(),
            );
        }
    }
    table
}

fn label(text: &str) -> Result<Label, String> {
    Label::parse(text).map_err(|error| format!("it {error}"))
}

/// A target that can be one; whether it is there, the lab knows.
fn target(text: &str) -> Result<String, String> {
    Aim::parse(text).map(|aim| aim.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_can_be_pasted() {
        let world = World::start(Settings::default()).expect("a world");
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let told = greeting(
            &world,
            "./anyfront",
            &Addresses {
                http: at(8_080),
                https: at(1_443),
                dns: at(5_300),
                admin: at(9_900),
                status: at(8_090),
                control: at(7),
            },
        );
        assert!(told.contains(
            "curl --interface 127.61.0.1 --connect-to ::127.0.0.1:8080 http://gateway.truefoundry.ai/whoami\n"
        ));
        assert!(told.contains("--connect-to ::127.0.0.1:1443 https://eu.gateway.truefoundry.ai/whoami\n"));
        assert!(told.contains("https://orf.gateway.truefoundry.ai/whoami\n"));
        assert!(told.contains("dig @127.0.0.1 -p 5300 gateway.truefoundry.ai +subnet=127.61.0.0/24\n"));
        assert!(told.contains("  ./anyfront lab break orf refuse --control 127.0.0.1:7\n"));
        assert!(told.contains("  ./anyfront status\n"));
    }
}
