//! A customer's program that runs beside the test: told what to do line by line, and heard line by line.

use crate::harness::{BOUND, Fleet, hostname};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A browser on a machine that is busy with everything else.
const STARTING: Duration = Duration::from_secs(60);
/// Lines that wait to be heard.
const LINES_MAX: usize = 4_096;

/// Where `make test` puts the clients.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// One client as it is started: how people call it, and the command.
pub struct Kind {
    pub name: &'static str,
    language: Language,
    script: &'static str,
    arguments: &'static [&'static str],
    needs_browser: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    Node,
}

/// `script` in `tests/clients/python`.
pub const fn python(name: &'static str, script: &'static str, arguments: &'static [&'static str]) -> Kind {
    Kind { name, language: Language::Python, script, arguments, needs_browser: false }
}

/// `script` in `tests/clients/node`.
pub const fn node(name: &'static str, script: &'static str, arguments: &'static [&'static str]) -> Kind {
    Kind { name, language: Language::Node, script, arguments, needs_browser: false }
}

impl Kind {
    /// One that needs Debian's Chromium besides.
    pub const fn with_browser(self) -> Self {
        Self { needs_browser: true, ..self }
    }

    /// Its command, or `None` where it is not installed: `make test` installs it, or says what is skipped.
    fn command(&self) -> Option<Command> {
        let mut command = match self.language {
            Language::Python => {
                let python = installed().join("python/bin/python");
                let mut command = Command::new(python);
                command.arg(script("python").join(self.script)).env("PYTHONPATH", script("python"));
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            Language::Node => {
                let mut command = Command::new("node");
                let text = std::fs::read_to_string(script("node").join(self.script)).expect("the script");
                // As text, so that it finds what is installed there and not beside it.
                command.current_dir(installed().join("node")).arg("--require").arg(script("node").join("names.cjs"));
                command.arg("--require").arg(script("node").join("orders.cjs"));
                command.args(["--input-type=module", "--eval", &text, "--"]);
                command
            }
        };
        command.args(self.arguments);
        let folder = if self.language == Language::Python { "python" } else { "node" };
        let is_there = installed().join(folder).join("stamp").is_file()
            && (!self.needs_browser || Path::new("/usr/bin/chromium").is_file());
        if !is_there {
            eprintln!("SKIPPED: {} is not installed: `make test` does it", self.name);
        }
        is_there.then_some(command)
    }
}

/// A running program; it is killed when it is dropped.
pub struct Program {
    pub name: &'static str,
    child: Child,
    orders: ChildStdin,
    lines: mpsc::Receiver<String>,
    /// The last lines, for whoever is surprised.
    heard: VecDeque<String>,
}

impl Program {
    /// Starts one whose requests go to `host` at the fleet's door, and waits until it wants orders.
    pub async fn start(fleet: &Fleet, host: &str, kind: &Kind) -> Option<Self> {
        let mut command = kind.command()?;
        let authority = fleet.world.ca_path();
        let https = fleet.node().https[0].port();
        command
            .envs([("OPENAI_API_KEY", "lab-key"), ("NODE_NO_WARNINGS", "1")])
            .env("OPENAI_BASE_URL", format!("https://{}:{https}/v1", hostname(host)))
            .env("FRONT", format!("{}:{https}", hostname(host)))
            .env("FRONT_CLEAR", format!("{}:{}", hostname(host), fleet.http().port()))
            .env("FRONT_CERTIFICATE", fleet.world.front_pair().0)
            .env("SSL_CERT_FILE", &authority)
            .env("NODE_EXTRA_CA_CERTS", &authority)
            .env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", &authority)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        let orders = child.stdin.take().expect("it was asked for");
        let output = child.stdout.take().expect("it was asked for");
        let (heard, lines) = mpsc::channel(LINES_MAX);
        // Ends with the program.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if heard.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let mut program = Self { name: kind.name, child, orders, lines, heard: VecDeque::new() };
        assert_eq!(program.line_within(STARTING).await, "ready", "{}", kind.name);
        Some(program)
    }

    /// Starts those of `kinds` that are installed, all at once.
    pub async fn start_all(fleet: &Fleet, host: &str, kinds: &[Kind]) -> Vec<Self> {
        let started = kinds.iter().map(|kind| Self::start(fleet, host, kind));
        futures_util::future::join_all(started).await.into_iter().flatten().collect()
    }

    /// Gives it an order.
    pub fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// The next line.
    pub async fn line(&mut self) -> String {
        self.line_within(BOUND).await
    }

    async fn line_within(&mut self, bound: Duration) -> String {
        let line = timeout(bound, self.lines.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("{} says nothing; it said {:?}", self.name, self.heard));
        let line = line.unwrap_or_else(|| panic!("{} is gone; it said {:?}", self.name, self.heard));
        self.heard.push_back(line.clone());
        if self.heard.len() > 20 {
            self.heard.pop_front();
        }
        line
    }

    /// Waits for `line`, and for no other end before it.
    pub async fn hear(&mut self, line: &str) {
        loop {
            let heard = self.line().await;
            if heard == line {
                return;
            }
            let is_over = heard.starts_with("end") || heard.starts_with("raised");
            assert!(!is_over, "{} should have said {line:?} and said {:?}", self.name, self.heard);
        }
    }

    /// How the order ended.
    pub async fn outcome(&mut self) -> Outcome {
        let mut events = 0;
        loop {
            let line = self.line().await;
            match line.split_once(' ').unwrap_or((&line, "")) {
                ("end", what) => return Outcome { events, end: Ok(what.to_owned()) },
                ("raised", why) => return Outcome { events, end: Err(why.to_owned()) },
                _ => events += 1,
            }
        }
    }

    /// Gives it an order and waits for the end.
    pub async fn does(&mut self, order: &str) -> Outcome {
        self.tell(order);
        self.outcome().await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program saw of one order.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Events since the last that was waited for.
    pub events: usize,
    /// What it got, or what it was thrown.
    pub end: Result<String, String>,
}

/// Gives all of them an order and waits for all ends.
pub async fn all_do(programs: &mut [Program], order: &str) -> Vec<(&'static str, Outcome)> {
    let ends = programs.iter_mut().map(|program| async move { (program.name, program.does(order).await) });
    futures_util::future::join_all(ends).await
}
