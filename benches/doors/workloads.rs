//! What the doors are made to do, and the one way of measuring it.

use super::clients::Client;
use super::doors::{Door, Surroundings};
use super::shared::machine;
use super::shared::measured::{Measured, Stopwatch, Title};
use super::shared::process::{Core, Running, command};
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

/// Idle connections whose memory is measured.
pub const IDLE: usize = 5_000;

/// One kind of work.
#[derive(Debug)]
pub struct Workload {
    /// What it is called, and what of it is counted.
    pub title: Title,
    load: Load,
}

/// Who makes the load, and over what.
#[derive(Clone, Copy, Debug)]
enum Load {
    Wrk { tls: bool, post: bool },
    H2load { grpc: bool },
    Own { client: Client, name: &'static str, tls: bool },
}

/// All there are, in the order of the report.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        title: title("get", "us/request", "HTTP/1.1, 64 connections kept, GET of 1 KiB"),
        load: Load::Wrk { tls: false, post: false },
    },
    Workload { title: title("tls", "us/request", "the same over TLS 1.3"), load: Load::Wrk { tls: true, post: false } },
    Workload {
        title: title(
            "h2",
            "us/request",
            "HTTP/2 over TLS, 8 connections of 16 streams, GET of 1 KiB, HTTP/1.1 to the endpoint",
        ),
        load: Load::H2load { grpc: false },
    },
    Workload {
        title: title("post", "us/request", "HTTP/1.1, 64 connections kept, POST of 16 KiB answered by 1 KiB"),
        load: Load::Wrk { tls: false, post: true },
    },
    Workload {
        title: title("sse", "us/event", "200 streams of 20 events a second each"),
        load: own(Client::Sse, "sse", false),
    },
    Workload { title: title("sse-tls", "us/event", "the same over TLS 1.3"), load: own(Client::Sse, "sse", true) },
    Workload {
        title: title(
            "sse-openai",
            "us/event",
            "the streams in the clear, of a class whose streams are followed from event to event",
        ),
        load: own(Client::SseOpenai, "sse-openai", false),
    },
    Workload {
        title: title(
            "ws",
            "us/message",
            "64 WebSockets, messages of 100 octets echoed one by one; there and back is one",
        ),
        load: own(Client::WebSocket, "web-socket", false),
    },
    Workload {
        title: title("ws-tls", "us/message", "the same over TLS 1.3"),
        load: own(Client::WebSocket, "web-socket", true),
    },
    Workload {
        title: title(
            "grpc",
            "us/call",
            "unary gRPC over TLS, 8 connections of 16 streams, HTTP/2 in the clear to the endpoint",
        ),
        load: Load::H2load { grpc: true },
    },
    Workload {
        title: title(
            "handshakes",
            "us/connection",
            "new TLS 1.3 connection, GET of 1 KiB, close; 16 at once, no resumption",
        ),
        load: own(Client::Handshakes, "handshakes", true),
    },
    Workload {
        title: title("download", "us/MiB", "64 MiB answers on 4 connections"),
        load: own(Client::Download, "download", false),
    },
    Workload {
        title: title("download-tls", "us/MiB", "the same over TLS 1.3"),
        load: own(Client::Download, "download", true),
    },
    Workload {
        title: title("idle", "KiB/connection", "5,000 connections kept after one request each"),
        load: own(Client::Idle, "idle", false),
    },
    Workload {
        title: title("idle-tls", "KiB/connection", "the same over TLS 1.3"),
        load: own(Client::Idle, "idle", true),
    },
];

const fn title(name: &'static str, unit: &'static str, what: &'static str) -> Title {
    Title { name, unit, what }
}

const fn own(client: Client, name: &'static str, tls: bool) -> Load {
    Load::Own { client, name, tls }
}

/// What a load tells of itself.
#[derive(Debug, Default, Deserialize)]
struct Told {
    count: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

/// What a measurement needs to know.
#[derive(Debug)]
pub struct Course<'a> {
    /// The surroundings of all doors.
    pub around: &'a Surroundings,
    /// The endpoint's process.
    pub endpoint: u32,
    /// How long each workload runs.
    pub secs: u64,
}

impl Workload {
    /// The workload of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        WORKLOADS.iter().find(|workload| workload.title.name == name)
    }

    /// Whether it measures memory: once is enough, of a fresh process.
    pub fn is_memory(&self) -> bool {
        matches!(self.load, Load::Own { client: Client::Idle, .. })
    }

    /// The program that makes the load, if it is not ours.
    pub fn needs(&self) -> Option<&'static str> {
        match self.load {
            Load::Wrk { .. } => Some("wrk"),
            Load::H2load { .. } => Some("h2load"),
            Load::Own { .. } => None,
        }
    }

    /// Puts the load on a door and measures what it costs.
    pub fn run(&self, course: &Course<'_>, door: &Door) -> anyhow::Result<Measured> {
        let mut measured = match self.load {
            Load::Wrk { tls, post } => course.wrk(door, tls, post),
            Load::H2load { grpc } => course.h2load(door, grpc),
            Load::Own { client: Client::Idle, tls, .. } => course.idle(door, tls),
            Load::Own { name, tls, .. } => course.own(door, name, tls),
        }?;
        self.title.unit.clone_into(&mut measured.unit);
        self.title.name.clone_into(&mut measured.workload);
        Ok(measured)
    }
}

impl Course<'_> {
    fn wrk(&self, door: &Door, tls: bool, post: bool) -> anyhow::Result<Measured> {
        let mut wrk = command(Core::Load, "KILL", "wrk");
        wrk.args(["-t1", "-c64", &format!("-d{}s", self.secs)]);
        if post {
            let script = self.around.dir.join("post.lua");
            std::fs::write(&script, include_str!("post.lua"))?;
            wrk.arg("-s").arg(script);
        }
        let path = if post { "post" } else { "1k" };
        wrk.arg(match tls {
            true => format!("https://localhost:{}/{path}", door.https),
            false => format!("http://localhost:{}/{path}", door.http),
        });
        let watch = self.begin(door, &[]);
        let text = output(wrk)?;
        ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
        let count = number_before(&text, " requests in").context("wrk tells no count")?;
        Ok(Self::end(&watch, door, &Told { count, ..Told::default() }))
    }

    fn h2load(&self, door: &Door, grpc: bool) -> anyhow::Result<Measured> {
        let mut h2load = command(Core::Load, "KILL", "h2load");
        h2load.args(["-t1", "-c8", "-m16", "-D", &self.secs.to_string()]);
        h2load.arg(format!("--connect-to=127.0.0.1:{}", door.https));
        if grpc {
            let message = self.around.dir.join("message.bin");
            std::fs::write(&message, b"\0\0\0\0\x05hello")?;
            h2load.arg("-d").arg(message).args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
            h2load.arg(format!("https://grpc.localhost:{}/bench.Echo/Say", door.https));
        } else {
            h2load.arg(format!("https://localhost:{}/1k", door.https));
        }
        let watch = self.begin(door, &[]);
        let text = output(h2load)?;
        ensure!(text.contains("Application protocol: h2"), "{text}");
        let count = number_before(&text, " succeeded").context("h2load tells no count")?;
        let failed = number_before(&text, " failed").unwrap_or(0.0);
        ensure!(count > 0.0 && failed == 0.0, "{text}");
        Ok(Self::end(&watch, door, &Told { count, ..Told::default() }))
    }

    fn own(&self, door: &Door, client: &str, tls: bool) -> anyhow::Result<Measured> {
        let mut client = self.client(door, client, tls)?;
        client.line()?;
        let watch = self.begin(door, &[client.process.pid()]);
        let told = client.told()?;
        Ok(Self::end(&watch, door, &told))
    }

    fn idle(&self, door: &Door, tls: bool) -> anyhow::Result<Measured> {
        ensure!(machine::files_max() > 2 * IDLE + 100, "needs a limit of {} open files", 2 * IDLE + 100);
        let before = machine::memory(door.pid());
        let watch = self.begin(door, &[]);
        let mut client = self.client(door, "idle", tls)?;
        client.line()?;
        // What a proxy gives back when a connection is idle, it gives back soon.
        std::thread::sleep(Duration::from_secs(2));
        let with = machine::memory(door.pid());
        drop(client.process.child().stdin.take());
        let told = client.told()?;
        let cost = (with.anonymous_kib - before.anonymous_kib) / told.count;
        let measured = Self::end(&watch, door, &told);
        Ok(Measured { cost, resident_mib: Some(with.resident_kib / 1_024.0), others_share: None, ..measured })
    }

    fn client(&self, door: &Door, client: &str, tls: bool) -> anyhow::Result<OwnClient> {
        let mut command = command(Core::Load, "KILL", std::env::current_exe()?);
        command.args(["client", client, "--secs", &self.secs.to_string(), "--count", &IDLE.to_string()]);
        if tls {
            command.arg("--trust").arg(&self.around.certificate);
        }
        command.args(["--port", &if tls { door.https } else { door.http }.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Running::start(command)?;
        let output = process.child().stdout.take().context("a client without output")?;
        Ok(OwnClient { process, output: BufReader::new(output) })
    }

    /// Starts the clock. `clients` are processes of the load that will still run when it stops.
    fn begin(&self, door: &Door, clients: &[u32]) -> Stopwatch {
        Stopwatch::start(door.pid(), clients.iter().copied().chain([self.endpoint]).collect())
    }

    fn end(watch: &Stopwatch, door: &Door, told: &Told) -> Measured {
        let measured = watch.stop(&door.name, told.count);
        Measured { p50_us: told.p50_us, p99_us: told.p99_us, ..measured }
    }
}

/// Runs a load to its end and gives what it wrote.
fn output(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?} ended with {}: {text}", output.status);
    Ok(text)
}

/// The number right before a word in a load's report.
fn number_before(text: &str, word: &str) -> Option<f64> {
    let (before, _) = text.split_once(word)?;
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A client of ours.
#[derive(Debug)]
struct OwnClient {
    process: Running,
    output: BufReader<ChildStdout>,
}

impl OwnClient {
    /// Its next line; if there is none, what it says of its failure is the error.
    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let mut failure = String::new();
            if let Some(stderr) = &mut self.process.child().stderr {
                stderr.read_to_string(&mut failure)?;
            }
            bail!("the load failed: {}", failure.trim());
        }
        Ok(line)
    }

    fn told(&mut self) -> anyhow::Result<Told> {
        Ok(serde_json::from_str(&self.line()?)?)
    }
}
