//! What the servers are asked, and the one way of measuring it.

use super::generator::Told;
use super::servers::{Kind, Server, Setting, Surroundings};
use super::shared::measured::{Measured, Stopwatch, Title};
use super::shared::process::{Core, Running, command};
use super::world::{Asked, GEO, STATIC, questions};
use anyhow::{Context, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;

/// One kind of questions.
#[derive(Debug)]
pub struct Mix {
    /// What it is called.
    pub title: Title,
    /// On which setting it runs.
    pub setting: Setting,
    asked: Asked,
}

/// All there are, in the order of the report.
pub const MIXES: &[Mix] = &[
    mix("static", "one name that has the same address for all, without EDNS", Setting::Plain, Asked::One(STATIC)),
    mix("plain", "one name answered by where the client is, without EDNS", Setting::Plain, Asked::One(GEO)),
    mix("ecs", "the same for 20,000 client subnets", Setting::Plain, Asked::Subnets { signed: false }),
    mix("ecs-large", "the same, of a database of 160,000 networks", Setting::Large, Asked::Subnets { signed: false }),
    mix("negative", "20,000 names that do not exist", Setting::Plain, Asked::Nobody { signed: false }),
    mix("signed", "20,000 client subnets and DO", Setting::Signed, Asked::Subnets { signed: true }),
    mix("signed-negative", "20,000 names that do not exist and DO", Setting::Signed, Asked::Nobody { signed: true }),
];

const fn mix(name: &'static str, what: &'static str, setting: Setting, asked: Asked) -> Mix {
    Mix { title: Title { name, unit: "us/answer", what }, setting, asked }
}

/// Most of the questions that may be lost or refused in a measurement that counts.
const LOST_SHARE_MAX: f64 = 0.001;

impl Mix {
    /// The mix of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MIXES.iter().find(|mix| mix.title.name == name)
    }

    /// Whether a server can answer it.
    pub fn is_for(&self, kind: &Kind) -> bool {
        let geo = matches!(self.asked, Asked::Subnets { .. } | Asked::One(GEO));
        (kind.is_geo() || !geo) && (kind.signs() || self.setting != Setting::Signed)
    }

    /// Where its questions are, written there if they are not yet.
    fn file(&self, around: &Surroundings) -> anyhow::Result<PathBuf> {
        let file = around.dir.join(format!("{}.questions", self.title.name));
        if !file.exists() {
            std::fs::write(&file, questions(self.asked, around.database(self.setting))?)?;
        }
        Ok(file)
    }

    /// Puts the questions to a server and measures what they cost.
    pub fn run(&self, server: &Server, around: &Surroundings, secs: u64) -> anyhow::Result<Measured> {
        let mut load = command(Core::Load, "KILL", std::env::current_exe()?);
        load.args(["ask", "--port", &server.port.to_string(), "--secs", &secs.to_string(), "--questions"]);
        load.arg(self.file(around)?).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut load = Running::start(load)?;
        let mut said = BufReader::new(load.child().stdout.take().context("a load without output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let watch = Stopwatch::start(server.pid(), vec![load.pid()]);
        if let Some(stdin) = &mut load.child().stdin {
            // If the load has ended, what it says of that is the better error.
            let _ = stdin.write_all(b"go\n");
        }
        line.clear();
        if said.read_line(&mut line)? == 0 {
            let mut failure = String::new();
            if let Some(stderr) = &mut load.child().stderr {
                stderr.read_to_string(&mut failure)?;
            }
            bail!("the load failed: {}", failure.trim());
        }
        let told: Told = serde_json::from_str(&line)?;
        let answered = told.answered as f64;
        let mut measured = watch.stop(&server.name, answered);
        let bad = (told.lost + told.refused) as f64;
        ensure!(answered > 0.0 && bad <= answered * LOST_SHARE_MAX, "{told:?}");
        self.title.unit.clone_into(&mut measured.unit);
        self.title.name.clone_into(&mut measured.workload);
        Ok(measured)
    }
}
