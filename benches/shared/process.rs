//! Processes pinned to a core, which end with us however we end.
//!
//! The kernel kills each as soon as we are gone (`setpriv --pdeathsig`), so nothing is left behind even if we are
//! killed; util-linux, which has the programs for it, is on every Debian.

use anyhow::{Context, bail};
use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The core a process runs on: proxies have one for themselves, load and endpoint share the other.
#[derive(Clone, Copy, Debug)]
pub enum Core {
    /// The proxy's.
    Door,
    /// The load's and the endpoint's.
    Load,
}

/// A program pinned to `core`, in a process group of its own, that gets `SIGTERM` or, if it may take its time over
/// that, `SIGKILL` when we are gone.
pub fn command(core: Core, at_our_end: &str, program: impl AsRef<OsStr>) -> Command {
    let files = super::machine::files_max().min(FILES_WANTED);
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--pdeathsig={at_our_end}"))
        .arg("prlimit")
        .arg(format!("--nofile={files}:{files}"))
        .args(["taskset", "-c", if matches!(core, Core::Door) { "0" } else { "1" }])
        .arg(program)
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Files that a proxy with 5,000 idle connections may want open, generously.
const FILES_WANTED: usize = 20_000;

/// A process of ours. Dropping it ends it and all it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it with its output in a file.
    pub fn logged(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        Self::start(command)
    }

    /// Starts it.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("{command:?} does not start"))?;
        Ok(Self { child })
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    fn signal(&self, signal: &str) {
        let group = format!("kill -s {signal} -- -{} 2>/dev/null", self.child.id());
        let _ = Command::new("sh").args(["-c", &group]).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("TERM");
            let _ = wait_until(Duration::from_secs(1), || Ok(self.child.try_wait()?.is_some()));
        }
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

/// Waits until a thing is so.
pub fn wait_until(patience: Duration, mut so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let until = Instant::now() + patience;
    while !so()? {
        if Instant::now() > until {
            bail!("not so after {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Ports that nobody has, all different. Never fixed ones: SO_REUSEPORT would let a forgotten proxy share them.
pub fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let mut held = Vec::with_capacity(COUNT);
    let mut ports = [0; COUNT];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
