//! How the terminal view is set: what is selected, opened, sorted; and what keys do to it.

use super::model::Model;
use crate::status::view::RegionView;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What the regions are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// As in the file.
    #[default]
    Written,
    /// Worst first.
    Standing,
    /// Busiest first.
    Requests,
    /// Nearest first.
    RoundTrip,
}

impl Sort {
    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Written => "as written",
            Self::Standing => "worst first",
            Self::Requests => "busiest first",
            Self::RoundTrip => "nearest first",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Written => Self::Standing,
            Self::Standing => Self::Requests,
            Self::Requests => Self::RoundTrip,
            Self::RoundTrip => Self::Written,
        }
    }
}

/// What the lower part shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    /// The last requests.
    #[default]
    Decisions,
    /// Everything about the selected region.
    Details,
    /// What is wrong with the refused configuration.
    Problem,
    /// The keys.
    Help,
}

/// How the view is set.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The selected region, by name, so that sorting does not move the choice.
    pub selected: Option<String>,
    /// Regions whose endpoints are shown.
    pub opened: BTreeSet<String>,
    /// What the regions are sorted by.
    pub sort: Sort,
    /// What the lower part shows.
    pub panel: Panel,
    /// Whether new samples wait.
    pub is_paused: bool,
    /// Whether colours may be used; words say the same.
    pub is_colored: bool,
    /// Whether this is printed once and not watched: no keys, no selection.
    pub is_page: bool,
}

impl View {
    /// The regions in the chosen order.
    #[must_use]
    pub fn sorted<'a>(&self, model: &'a Model) -> Vec<&'a RegionView> {
        let mut regions: Vec<&RegionView> = model.node().map(|node| node.regions.iter().collect()).unwrap_or_default();
        match self.sort {
            Sort::Written => {}
            Sort::Standing => regions.sort_by_key(|region| Reverse((region.drained.is_some(), badness(region)))),
            Sort::Requests => regions.sort_by(|a, b| model.per_second(b).total_cmp(&model.per_second(a))),
            Sort::RoundTrip => regions.sort_by(|a, b| {
                let far = |region: &RegionView| region.round_trip_ms.unwrap_or(f64::INFINITY);
                far(a).total_cmp(&far(b))
            }),
        }
        regions
    }

    /// Where the selected region is among the sorted ones.
    #[must_use]
    pub fn selected_at(&self, regions: &[&RegionView]) -> usize {
        regions.iter().position(|region| Some(&region.name) == self.selected.as_ref()).unwrap_or(0)
    }

    /// Does what a key says. False: to quit.
    pub fn press(&mut self, key: KeyEvent, model: &Model) -> bool {
        if key.kind == KeyEventKind::Release {
            return true;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return false,
            KeyCode::Char('q') => return false,
            KeyCode::Esc if self.panel == Panel::Decisions => return false,
            KeyCode::Esc => self.panel = Panel::Decisions,
            KeyCode::Down | KeyCode::Char('j') => self.step(model, 1),
            KeyCode::Up | KeyCode::Char('k') => self.step(model, -1),
            KeyCode::PageDown => self.step(model, 10),
            KeyCode::PageUp => self.step(model, -10),
            KeyCode::Home | KeyCode::Char('g') => self.step(model, isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(model, isize::MAX),
            KeyCode::Enter | KeyCode::Char('e') => self.open(model),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('d') => self.toggle(Panel::Details),
            KeyCode::Char('c') => self.toggle(Panel::Problem),
            KeyCode::Char('?' | 'h') => self.toggle(Panel::Help),
            _ => {}
        }
        true
    }

    fn toggle(&mut self, panel: Panel) {
        self.panel = if self.panel == panel { Panel::Decisions } else { panel };
    }

    fn step(&mut self, model: &Model, by: isize) {
        let regions = self.sorted(model);
        let last = regions.len().saturating_sub(1);
        let at = self.selected_at(&regions).saturating_add_signed(by).min(last);
        self.selected = regions.get(at).map(|region| region.name.clone());
    }

    fn open(&mut self, model: &Model) {
        let regions = self.sorted(model);
        if let Some(region) = regions.get(self.selected_at(&regions)) {
            let name = region.name.clone();
            if !self.opened.remove(&name) {
                self.opened.insert(name);
            }
        }
    }
}

fn badness(region: &RegionView) -> usize {
    ["up", "strained", "unknown", "ejected", "down"]
        .iter()
        .position(|standing| *standing == region.standing)
        .unwrap_or(5)
}
