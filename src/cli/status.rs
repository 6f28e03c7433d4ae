//! Shows a node live in the terminal.
//!
//! [`draw`] is a pure function of a [`model`] and a [`view`]; this file is the loop around it. A thread of its own asks the
//! node, so a node that hangs never hangs the keys.

pub mod draw;
pub mod export;
pub mod figures;
pub mod model;
pub mod sites;
pub mod view;

use super::admin::{AdminArgs, Client};
use super::plan;
use crate::moment::Clock;
use crate::status::guard::Token;
use model::{Model, Sample};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event};
use ratatui::layout::Rect;
use serde_json::Value;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;
use view::View;

/// Between two looks at the node.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between the two looks of a page that is printed once, which has rates only because of the second.
const PAGE_LOOKS_APART: Duration = Duration::from_millis(500);
/// How long a key may wait for the screen.
const FRAME: Duration = Duration::from_millis(100);
/// Requests that are asked for.
const DECISIONS: usize = 100;
/// Requests on a page that is printed once.
const PAGE_DECISIONS: usize = 20;

const EXAMPLES: &str = "\
Examples:
  anyfront status
  anyfront status --once
  anyfront status --json | jq '.regions[] | select(.standing != \"up\")'
  anyfront status export /srv/status     the status page as files

Keys: arrows or j k select a region, Enter its endpoints, d details, s sort, p pause, ? all keys, \
q quit.";

/// Show a node live in the terminal
///
/// Regions with their standing and why, traffic and its trend, and the last requests: who asked, who answered, and which
/// regions failed before. If standard output is no terminal, one page is printed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    node: AdminArgs,
    /// Print one page and end
    #[arg(long)]
    once: bool,
    /// Print everything the node believes as JSON and end
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Export(export::Args),
}

/// Does it.
///
/// # Errors
/// If the node cannot be asked, or the terminal not be used.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(Command::Export(args)) = args.command {
        return export::run(args);
    }
    let node = args.node.client()?;
    if args.json {
        plan::print(&format!("{:#}\n", node.get::<Value>("/regions")?))?;
    } else if args.once || !std::io::stdout().is_terminal() {
        plan::print(&page(&node)?)?;
    } else {
        watch_with(node)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Watches the node whose admin address is `address` until the user quits. Needs a terminal.
///
/// # Errors
/// If the address is none or the terminal cannot be used. A node that is not there is shown as such.
pub fn watch(address: &str, token: Option<Token>) -> anyhow::Result<()> {
    watch_with(Client::new(address, token)?)
}

fn look(node: &Client) -> anyhow::Result<Sample> {
    Ok(Sample { node: node.get("/regions")?, decisions: node.get(&format!("/decisions?count={DECISIONS}"))? })
}

/// One page of plain text.
fn page(node: &Client) -> anyhow::Result<String> {
    let mut model = Model::of(node.address());
    model.saw(look(node)?);
    let (_never, wait) = sync_channel::<()>(1);
    let _ = wait.recv_timeout(PAGE_LOOKS_APART);
    let mut second = look(node)?;
    second.decisions.truncate(PAGE_DECISIONS);
    let endpoints: usize = second.node.regions.iter().map(|region| region.endpoints.len() + 1).sum();
    model.saw(second);
    let height = u16::try_from(endpoints + PAGE_DECISIONS + 16).unwrap_or(u16::MAX);
    let width = u16::try_from(plan::columns()).unwrap_or(100);
    let view = View { is_page: true, ..View::default() };
    Ok(text(&model, &view, Rect::new(0, 0, width, height)))
}

/// The view as plain text, without the empty lines below it.
fn text(model: &Model, view: &View, area: Rect) -> String {
    let mut buffer = Buffer::empty(area);
    draw::draw(model, view, Clock::start().now(), area, &mut buffer);
    let line = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    let lines: Vec<String> = (0..area.height).map(line).collect();
    format!("{}\n", lines.join("\n").trim_end())
}

fn watch_with(node: Client) -> anyhow::Result<()> {
    let mut model = Model::of(node.address());
    let (found, looks) = sync_channel(1);
    let (_stop, stopped) = sync_channel::<()>(1);
    std::thread::spawn(move || keep_looking(&node, &found, &stopped));
    let view = View { is_colored: plan::may_color(), ..View::default() };
    let mut terminal = ratatui::try_init()?;
    let ended = show(&mut terminal, &mut model, view, &looks);
    ratatui::restore();
    ended
}

/// Looks again and again until nobody wants to know.
fn keep_looking(node: &Client, found: &SyncSender<Result<Sample, String>>, stopped: &Receiver<()>) {
    loop {
        let seen = look(node).map_err(|error| format!("{error:#}"));
        if found.send(seen).is_err() || stopped.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    model: &mut Model,
    mut view: View,
    looks: &Receiver<Result<Sample, String>>,
) -> anyhow::Result<()> {
    let clock = Clock::start();
    loop {
        match looks.try_recv() {
            Ok(Ok(sample)) if !view.is_paused => model.saw(sample),
            Ok(Err(why)) => model.lost(clock.now(), why),
            Ok(Ok(_)) | Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => anyhow::bail!("the thread that asks the node ended"),
        }
        terminal.draw(|frame| {
            let area = frame.area();
            draw::draw(model, &view, clock.now(), area, frame.buffer_mut());
        })?;
        if event::poll(FRAME)? {
            // A resize is seen by the next drawing.
            if let Event::Key(key) = event::read()?
                && !view.press(key, model)
            {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
