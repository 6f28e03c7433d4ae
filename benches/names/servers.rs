//! The servers compared: how each is configured, started and asked whether it works.

use super::shared::machine;
use super::shared::process::{Core, Running, command, wait_until};
use super::world::{self, Database, GEO, STATIC, STATIC_ADDRESS, ZONE};
use anyfront::dnssec::change::Change;
use anyfront::dnssec::life::Step;
use anyfront::dnssec::timing::PARENT_TTL;
use anyfront::moment::Clock;
use anyhow::{Context, bail, ensure};
use hickory_proto::dnssec::Algorithm;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData};
use ipnet::IpNet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The program that is a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Knot DNS with mod-geoip.
    Knot,
    /// gdnsd with its geoip plugin.
    Gdnsd,
    /// NSD, which knows nothing of places.
    Nsd,
    /// A build of anyfront.
    Anyfront(PathBuf),
}

/// What a server is given: a workload runs on one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// An unsigned zone.
    Plain,
    /// An unsigned zone and the large database.
    Large,
    /// A signed zone (ECDSA P-256, one key).
    Signed,
}

/// What every server is given.
#[derive(Debug)]
pub struct Surroundings {
    /// Where configurations and logs go.
    pub dir: PathBuf,
    /// The database of most settings.
    pub database: Database,
    /// That of [`Setting::Large`].
    pub large: Database,
    /// Where a region's health is asked.
    pub endpoint: u16,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// As in the report.
    pub name: String,
    /// UDP.
    pub port: u16,
    process: Running,
}

impl Surroundings {
    /// The database of a setting.
    pub fn database(&self, setting: Setting) -> &Database {
        if setting == Setting::Large { &self.large } else { &self.database }
    }

    /// Where [`Self::database`] is written.
    pub fn file(&self, setting: Setting) -> PathBuf {
        self.dir.join(if setting == Setting::Large { "large.mmdb" } else { "cities.mmdb" })
    }
}

impl Kind {
    /// Where its program is; nowhere if it is not installed.
    pub fn program(&self) -> Option<PathBuf> {
        match self {
            Self::Knot => machine::program("knotd"),
            Self::Gdnsd => machine::program("gdnsd"),
            Self::Nsd => machine::program("nsd"),
            Self::Anyfront(file) => Some(file.clone()).filter(|file| file.is_file()),
        }
    }

    /// Whether it is one of those to be compared with.
    pub fn is_peer(&self) -> bool {
        !matches!(self, Self::Anyfront(_))
    }

    /// Whether its answers depend on the client.
    pub fn is_geo(&self) -> bool {
        *self != Self::Nsd
    }

    /// Whether it can serve a signed zone.
    pub fn signs(&self) -> bool {
        *self != Self::Gdnsd
    }
}

impl Server {
    /// Starts it on the core of the servers and waits until it answers as it should.
    pub fn open(name: &str, kind: &Kind, setting: Setting, around: &Surroundings) -> anyhow::Result<Self> {
        let dir = around.dir.join(format!("{name}-{setting:?}").to_lowercase());
        // What an earlier run left (keys, journals, sockets) must not change this one.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let program = kind.program().with_context(|| format!("{name} is not installed"))?;
        let (port, held) = free_port()?;
        let configured = Configured { dir: &dir, port, setting, around };
        let command = match kind {
            Kind::Knot => configured.knot(program)?,
            Kind::Gdnsd => configured.gdnsd(program)?,
            Kind::Nsd => configured.nsd(program)?,
            Kind::Anyfront(_) => configured.anyfront(program)?,
        };
        drop(held);
        let log = dir.join("log");
        let mut server = Self { name: name.to_owned(), port, process: Running::logged(command, &log)? };
        let mut last = String::new();
        let works = wait_until(Duration::from_secs(30), || {
            if let Some(status) = server.process.ended()? {
                bail!("it ended with {status}");
            }
            let works = server.works(kind, setting, around.database(setting));
            last = works.as_ref().err().map(ToString::to_string).unwrap_or_default();
            Ok(works.is_ok())
        });
        works.with_context(|| {
            format!("{name} does not answer: {last}; its log: {}", fs::read_to_string(&log).unwrap_or_default())
        })?;
        Ok(server)
    }

    /// The id of its first process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks for all that is measured: an answer that is wrong would be cheap.
    fn works(&self, kind: &Kind, setting: Setting, database: &Database) -> anyhow::Result<()> {
        let signed = setting == Setting::Signed;
        let answer = self.ask(STATIC, None)?;
        ensure!(addresses(&answer) == [STATIC_ADDRESS], "{answer}");
        let answer = self.ask(&format!("no.{ZONE}"), Some((None, signed)))?;
        ensure!(answer.response_code == ResponseCode::NXDomain || signed, "{answer}");
        ensure!(!answer.authorities.is_empty(), "{answer}");
        ensure!(!signed || signatures(&answer) > 0, "no signatures: {answer}");
        ensure!(!addresses(&self.ask(GEO, None)?).is_empty(), "no default");
        if kind.is_geo() {
            for (subnet, address) in world::samples(database) {
                let answer = self.ask(GEO, Some((Some(subnet), signed)))?;
                ensure!(addresses(&answer) == [address], "{subnet} should have {address}: {answer}");
                ensure!(!signed || signatures(&answer) > 0, "no signatures: {answer}");
                ensure!(scope(&answer).is_some_and(|scope| scope > 0), "no scope: {answer}");
            }
        }
        Ok(())
    }

    fn ask(&self, name: &str, extension: Option<(Option<IpNet>, bool)>) -> anyhow::Result<Message> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, self.port))?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.send(&world::question(name, extension)?)?;
        let mut buffer = [0; 4_096];
        let length = socket.recv(&mut buffer)?;
        Ok(Message::from_vec(&buffer[..length])?)
    }
}

fn addresses(answer: &Message) -> Vec<Ipv4Addr> {
    let address = |data: &RData| if let RData::A(address) = data { Some(address.0) } else { None };
    answer.answers.iter().filter_map(|record| address(&record.data)).collect()
}

fn signatures(answer: &Message) -> usize {
    let all = answer.answers.iter().chain(&answer.authorities);
    all.filter(|record| record.record_type() == hickory_proto::rr::RecordType::RRSIG).count()
}

fn scope(answer: &Message) -> Option<u8> {
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    match answer.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
        _ => None,
    }
}

/// A port free on UDP and TCP, held until the server may have it: SO_REUSEPORT would let a forgotten server share one.
fn free_port() -> anyhow::Result<(u16, (TcpListener, UdpSocket))> {
    loop {
        let stream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = stream.local_addr()?.port();
        if let Ok(datagrams) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok((port, (stream, datagrams)));
        }
    }
}

/// A configuration being written.
struct Configured<'a> {
    dir: &'a Path,
    port: u16,
    setting: Setting,
    around: &'a Surroundings,
}

impl Configured<'_> {
    fn write(&self, file: &str, template: &str) -> anyhow::Result<PathBuf> {
        let text = template
            .replace("@DIR@", &self.dir.display().to_string())
            .replace("@PORT@", &self.port.to_string())
            .replace("@ENDPOINT@", &self.around.endpoint.to_string())
            .replace("@DATABASE@", &self.around.file(self.setting).display().to_string())
            .replace("@ZONE@", ZONE);
        let file = self.dir.join(file);
        fs::create_dir_all(file.parent().context("a folder")?)?;
        fs::write(&file, text)?;
        Ok(file)
    }

    fn knot(&self, program: PathBuf) -> anyhow::Result<Command> {
        self.write("zone", &world::zone("A 192.0.2.100"))?;
        self.write("geo.conf", &world::knot_map())?;
        let signed = self.setting == Setting::Signed;
        let file =
            self.write("knot.conf", &include_str!("knot.conf").replace("@SIGNED@", if signed { "on" } else { "off" }))?;
        fs::create_dir_all(self.dir.join("db"))?;
        if signed {
            let mut keymgr = Command::new(machine::program("keymgr").context("keymgr is not installed")?);
            keymgr.arg("-c").arg(&file).args([&format!("{ZONE}."), "generate", "algorithm=ECDSAP256SHA256"]);
            done(keymgr.args(["ksk=yes", "zsk=yes"]))?;
        }
        let mut command = command(Core::Door, "TERM", program);
        command.arg("-c").arg(file);
        Ok(command)
    }

    fn gdnsd(&self, program: PathBuf) -> anyhow::Result<Command> {
        self.write(&format!("etc/zones/{ZONE}"), &world::zone("DYNA geoip!geo"))?;
        let [centres, points, addresses] = world::gdnsd_map();
        let template = include_str!("gdnsd.conf");
        let text =
            template.replace("@CENTRES@", &centres).replace("@POINTS@", &points).replace("@ADDRESSES@", &addresses);
        self.write("etc/config", &text)?;
        for folder in ["run", "state"] {
            fs::create_dir_all(self.dir.join(folder))?;
        }
        let mut command = command(Core::Door, "TERM", program);
        command.arg("-c").arg(self.dir.join("etc")).arg("start");
        Ok(command)
    }

    fn nsd(&self, program: PathBuf) -> anyhow::Result<Command> {
        self.write("zone", &world::zone("A 192.0.2.100"))?;
        let signed = self.setting == Setting::Signed;
        if signed {
            let tool = |name: &str| machine::program(name).with_context(|| format!("{name} is not installed"));
            let mut keygen = Command::new(tool("ldns-keygen")?);
            let key = done(keygen.args(["-a", "ECDSAP256SHA256", "-k", ZONE]).current_dir(self.dir))?;
            done(Command::new(tool("ldns-signzone")?).args(["zone", key.trim()]).current_dir(self.dir))?;
        }
        let file = if signed { "zone.signed" } else { "zone" };
        let file = self.write("nsd.conf", &include_str!("nsd.conf").replace("@FILE@", file))?;
        let mut command = command(Core::Door, "TERM", program);
        command.arg("-d").arg("-c").arg(file);
        Ok(command)
    }

    fn anyfront(&self, program: PathBuf) -> anyhow::Result<Command> {
        let (signed, state) = (self.setting == Setting::Signed, self.dir.join("state"));
        if signed {
            // Two days old, so that it signs; its folder is named in the file.
            let (zone, now) = (Name::from_ascii(format!("{ZONE}."))?, Clock::start().wall());
            fs::create_dir_all(&state)?;
            let mut change = Change::begin(&state.join("dnssec"), &zone, true)?;
            let long_ago = now - Duration::from_secs(2 * 86_400);
            change.make(Step::Generate, Algorithm::ECDSAP256SHA256, PARENT_TTL, long_ago, "benchmark")?;
        }
        let text = world::regions().replace("@SIGNED@", if signed { "[zone.dnssec]" } else { "" });
        let file = self.write("regions.toml", &text)?;
        let mut command = command(Core::Door, "KILL", program);
        command.arg("serve").arg("--config").arg(file).arg("--state-dir").arg(state);
        command.args(["--dns", &format!("127.0.0.1:{}", self.port), "--admin", "127.0.0.1:0", "--workers", "1"]);
        Ok(command)
    }
}

/// Runs a tool to its end and gives what it printed.
fn done(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}
