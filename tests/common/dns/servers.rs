//! Name servers on loopback: those of others, and this one. Each ends when its test does, however that ends.

use super::message::{Question, RD, kind};
use super::talk::Asker;
use anyfront::moment::{Clock, Moment};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Nothing here takes this long unless it hangs.
pub const BOUND: Duration = Duration::from_secs(20);

/// A running name server.
#[derive(Debug)]
pub struct Server {
    /// Where it answers, UDP and TCP.
    pub address: SocketAddr,
    /// Its configuration, state and log.
    pub folder: TempDir,
    child: Child,
}

impl Server {
    /// NSD with this zone.
    pub fn nsd(zone: &str, master: &str) -> Self {
        Self::start("nsd", master, |dir, port| {
            let config = format!(
                "server:\n ip-address: 127.0.0.1@{port}\n port: {port}\n server-count: 1\n username: \"\"\n chroot: \"\"\n \
                 zonesdir: \"{dir}\"\n database: \"\"\n zonelistfile: \"{dir}/zone.list\"\n xfrdfile: \"{dir}/xfrd.state\"\n \
                 xfrdir: \"{dir}\"\n pidfile: \"{dir}/nsd.pid\"\n minimal-responses: yes\n rrl-ratelimit: 0\n \
                 refuse-any: no\nremote-control:\n control-enable: no\nzone:\n name: {zone}\n zonefile: zone\n",
                dir = dir.display()
            );
            write(dir, "nsd.conf", &config);
            let mut command = program("nsd");
            command.arg("-d").arg("-c").arg(dir.join("nsd.conf"));
            command
        })
        .ready(zone)
    }

    /// Knot DNS with this zone. `geo`: what its mod-geoip is told, and the database it asks.
    pub fn knot(zone: &str, master: &str, geo: Option<(&str, &Path)>) -> Self {
        Self::start("knotd", master, |dir, port| {
            let mut config = format!(
                "server:\n  rundir: {dir}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
                 background-workers: 1\n  edns-client-subnet: on\nlog:\n  - target: stderr\n    any: warning\n\
                 database:\n  storage: {dir}/db\n",
                dir = dir.display()
            );
            if let Some((map, database)) = geo {
                write(dir, "geo.conf", map);
                config += &format!(
                    "mod-geoip:\n  - id: geo\n    config-file: {dir}/geo.conf\n    ttl: 60\n    mode: geodb\n    \
                     geodb-file: {}\n    geodb-key: country/iso_code\n",
                    database.display(),
                    dir = dir.display()
                );
            }
            let module = if geo.is_some() { "    module: mod-geoip/geo\n" } else { "" };
            config += &format!(
                "zone:\n  - domain: {zone}.\n    storage: {}\n    file: zone\n    zonefile-sync: -1\n    \
                 journal-content: none\n{module}",
                dir.display()
            );
            write(dir, "knot.conf", &config);
            let mut command = program("knotd");
            command.arg("-c").arg(dir.join("knot.conf"));
            command
        })
        .ready(zone)
    }

    /// gdnsd with this zone, and its plugins as `plugins` says.
    pub fn gdnsd(zone: &str, master: &str, plugins: &str) -> Self {
        Self::start("gdnsd", master, |dir, port| {
            for folder in ["etc/zones", "run", "state"] {
                fs::create_dir_all(dir.join(folder)).expect("a folder");
            }
            let config = format!(
                "options => {{\n listen => [ 127.0.0.1:{port} ],\n udp_threads => 1,\n tcp_threads => 1,\n \
                 run_dir => {dir}/run,\n state_dir => {dir}/state,\n disable_cookies => true,\n}}\n{plugins}",
                dir = dir.display()
            );
            write(dir, "etc/config", &config);
            fs::copy(dir.join("zone"), dir.join("etc/zones").join(zone)).expect("copied");
            let mut command = program("gdnsd");
            command.arg("-c").arg(dir.join("etc")).arg("start");
            command
        })
        .ready(zone)
    }

    /// This one, as a node with this file.
    pub fn anyfront(zone: &str, regions: &str, more: &[&str]) -> Self {
        Self::prepared(zone, regions, more, |_| ())
    }

    /// The same, after something has been done in its folder, where `regions.toml` is and `state` will be.
    pub fn prepared(zone: &str, regions: &str, more: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        Self::start("anyfront", regions, |dir, port| {
            fs::rename(dir.join("zone"), dir.join("regions.toml")).expect("renamed");
            prepare(dir);
            let mut command = under_us(env!("CARGO_BIN_EXE_anyfront"));
            command
                .arg("serve")
                .arg("--config")
                .arg(dir.join("regions.toml"))
                .arg("--state-dir")
                .arg(dir.join("state"));
            command.args(["--dns", &format!("127.0.0.1:{port}"), "--admin", "127.0.0.1:0", "--workers", "1"]);
            command.args(more);
            command
        })
        .ready(zone)
    }

    /// unbound, which asks `authority` for `zone` and nobody for anything else. It tells everybody's subnet, believes what
    /// `anchor` says of keys, and checks.
    pub fn unbound(zone: &str, authority: SocketAddr, anchor: Option<&Path>) -> Self {
        Self::unbound_for(zone, authority, anchor).ready(zone)
    }

    /// The same, not known to have an answer to anything.
    pub fn unbound_for(zone: &str, authority: SocketAddr, anchor: Option<&Path>) -> Self {
        let server = Self::start("unbound", "", |dir, port| {
            let anchor = anchor.map(|file| format!(" trust-anchor-file: \"{}\"\n", file.display())).unwrap_or_default();
            let config = format!(
                "server:\n interface: 127.0.0.1@{port}\n port: {port}\n access-control: 127.0.0.0/8 allow\n username: \"\"\n \
                 chroot: \"\"\n directory: \"{dir}\"\n pidfile: \"\"\n use-syslog: no\n verbosity: 1\n val-log-level: 2\n \
                 num-threads: 1\n do-not-query-localhost: no\n local-zone: \"test.\" nodefault\n module-config: \"subnetcache validator iterator\"\n \
                 send-client-subnet: 127.0.0.0/8\n client-subnet-always-forward: yes\n use-caps-for-id: yes\n \
                 max-client-subnet-ipv4: 24\n max-client-subnet-ipv6: 56\n{anchor}\
                 remote-control:\n control-enable: no\nstub-zone:\n name: \"{zone}\"\n stub-addr: {}@{}\n",
                authority.ip(),
                authority.port(),
                dir = dir.display()
            );
            write(dir, "unbound.conf", &config);
            let mut command = program("unbound");
            command.arg("-d").arg("-p").arg("-c").arg(dir.join("unbound.conf"));
            command
        });
        let clock = Clock::start();
        while std::net::TcpStream::connect(server.address).is_err() {
            assert!(clock.now() < Moment::at(BOUND), "unbound does not listen: {}", server.log());
        }
        server
    }

    fn start(name: &str, zone: &str, configured: impl FnOnce(&Path, u16) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "zone", zone);
        let (port, held) = free_port();
        let mut command = configured(folder.path(), port);
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the same")).stderr(log);
        drop(held);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), folder, child }
    }

    /// Waits until it knows its zone.
    fn ready(mut self, zone: &str) -> Self {
        let clock = Clock::start();
        let mut asker = Asker::of(self.address);
        asker.patience(Duration::from_millis(100));
        loop {
            // With RD: a resolver answers nobody else.
            if asker
                .udp(&Question { flags: RD, ..Question::new(zone, kind::SOA) })
                .is_some_and(|reply| reply.data_of(kind::SOA).len() == 1)
            {
                return self;
            }
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("it ended with {status}: {}", self.log());
            }
            assert!(clock.now() < Moment::at(BOUND), "it does not know {zone}: {}", self.log());
        }
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What all its threads have used so far. `setpriv` becomes the server, so that the child is it.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let used = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(used.sum())
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let clock = Clock::start();
        while matches!(self.child.try_wait(), Ok(None)) && clock.now() < Moment::at(Duration::from_secs(2)) {
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(dir: &Path, file: &str, text: &str) {
    let file = dir.join(file);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(file, text).expect("written");
}

/// A program of the system: its folders need not be in PATH.
pub fn program(name: &str) -> Command {
    under_us(found(name).unwrap_or_else(|| PathBuf::from(name)))
}

/// Where a program is, if it is installed.
pub fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').chain(["/usr/sbin", "/usr/bin"]);
    folders.find_map(|folder| Some(Path::new(folder).join(name)).filter(|file| file.is_file()))
}

/// Ends as soon as we are gone. A server left behind would share its port with the next one that gets it.
fn under_us(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=TERM").arg(program);
    command
}

/// Whether all these programs are here. If not it says so loudly; `make test` installs what it can and reports the rest.
pub fn all_installed(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| found(name).is_none()).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: not installed: {}", missing.join(", "));
    }
    missing.is_empty()
}

/// Ports for TCP that nobody has, all different.
pub fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let held: [_; COUNT] = std::array::from_fn(|_| free_port());
    held.map(|(port, _)| port)
}

/// A port free for UDP and TCP, held.
fn free_port() -> (u16, (TcpListener, UdpSocket)) {
    loop {
        let stream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = stream.local_addr().expect("bound").port();
        if let Ok(datagrams) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return (port, (stream, datagrams));
        }
    }
}
