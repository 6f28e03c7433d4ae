//! Who reads the status page: `tests/clients/node/status.mjs` in a process of its own, told what to do line by line.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Longest wait for an order's end: a browser on a machine that is busy with everything else.
const BOUND: Duration = Duration::from_secs(240);

/// The program, ended when it is dropped.
pub struct Reader {
    child: Child,
    orders: ChildStdin,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Reader {
    /// Starts one, with a port for Lighthouse; `None` where it is not installed, which is said.
    pub fn start(debugging_port: u16) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = root.join("target/clients/node");
        let script = |name: &str| -> PathBuf { root.join("tests/clients/node").join(name) };
        if !installed.join("node_modules/axe-core").is_dir() || !Path::new("/usr/bin/chromium").is_file() {
            eprintln!("SKIPPED: Chromium, axe and Lighthouse are not installed: `make test` does it");
            return None;
        }
        let text = std::fs::read_to_string(script("status.mjs")).expect("the script");
        let mut child = Command::new("node")
            .current_dir(&installed)
            .arg("--require")
            .arg(script("orders.cjs"))
            .args(["--input-type=module", "--eval", &text, "--"])
            .env("NODE_NO_WARNINGS", "1")
            .env("DEBUGGING_PORT", debugging_port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let orders = child.stdin.take().expect("it was asked for");
        let lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let mut reader = Self { child, orders, lines: Some(lines) };
        let first = reader.lines.as_mut().and_then(Iterator::next);
        assert_eq!(first.expect("a line").expect("text"), "ready");
        Some(reader)
    }

    /// Gives it an order and waits for what comes of it.
    pub async fn does(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("it runs");
        let mut lines = self.lines.take().expect("one order at a time");
        let reading = tokio::task::spawn_blocking(move || {
            let ended =
                lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("end") || line.starts_with("raised"));
            (lines, ended)
        });
        let (lines, ended) = tokio::time::timeout(BOUND, reading).await.expect("in time").expect("no panic");
        self.lines = Some(lines);
        let ended = ended.expect("it runs");
        ended.strip_prefix("end ").unwrap_or_else(|| panic!("{order}: {ended}")).to_owned()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
