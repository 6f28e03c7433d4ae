//! What a stand-in was asked: a bounded log, with which a test proves that nothing was processed twice.

use crate::moment::Moment;
use crate::names::{EndpointName, Label};
use http::Method;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// Longest path kept, octets.
const PATH_BYTES_MAX: usize = 256;

/// One request, from the moment its processing began.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Counts up by one, from 0, at each stand-in.
    pub number: u64,
    /// In which region.
    pub region: Label,
    /// By which endpoint.
    pub endpoint: EndpointName,
    /// Its `x-request-id`, if it had one.
    pub request_id: Option<Arc<str>>,
    /// Its method.
    pub method: Method,
    /// Its path, cut at 256 octets.
    pub path: Box<str>,
    /// When its processing began, by the world's clock.
    pub began: Moment,
    /// What it was answered with, once the head was made.
    pub status: Option<u16>,
    /// When the last octet of the answer was handed over; `None` if it never was.
    pub finished: Option<Moment>,
}

/// How much was asked, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Requests whose processing began.
    pub begun: u64,
    /// Those that were answered to the end.
    pub finished: u64,
    /// Those answered with an injected error.
    pub injected: u64,
    /// Connections taken.
    pub connections: u64,
}

#[derive(Debug, Default)]
struct Pages {
    entries: VecDeque<Logged>,
    counts: Counts,
}

/// The last requests of one stand-in, at most so many. Shared by its connections; the lock is held for a few moves.
#[derive(Debug)]
pub struct Logbook {
    entries_max: usize,
    pages: Mutex<Pages>,
}

impl Logbook {
    /// An empty one that keeps the last `entries_max` requests.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { entries_max, pages: Mutex::default() }
    }

    /// Everything that is still kept, oldest first.
    #[must_use]
    pub fn read(&self) -> Vec<Logged> {
        self.pages().entries.iter().cloned().collect()
    }

    /// How much was asked, ever.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.pages().counts
    }

    /// Forgets the requests, not the counts.
    pub fn clear(&self) {
        self.pages().entries.clear();
    }

    pub(super) fn connected(&self) {
        self.pages().counts.connections += 1;
    }

    /// Notes that processing began, and gives the entry its number.
    pub(super) fn begin(&self, mut entry: Logged) -> u64 {
        let mut pages = self.pages();
        let number = pages.counts.begun;
        pages.counts.begun += 1;
        if self.entries_max == 0 {
            return number;
        }
        if pages.entries.len() == self.entries_max {
            pages.entries.pop_front();
        }
        entry.number = number;
        entry.path = shortened(&entry.path);
        pages.entries.push_back(entry);
        number
    }

    pub(super) fn answer(&self, number: u64, status: u16, is_injected: bool) {
        let mut pages = self.pages();
        pages.counts.injected += u64::from(is_injected);
        if let Some(entry) = pages.entry(number) {
            entry.status = Some(status);
        }
    }

    pub(super) fn finish(&self, number: u64, now: Moment) {
        let mut pages = self.pages();
        pages.counts.finished += 1;
        if let Some(entry) = pages.entry(number) {
            entry.finished = Some(now);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().expect("nobody panics while writing")
    }
}

impl Pages {
    fn entry(&mut self, number: u64) -> Option<&mut Logged> {
        let first = self.entries.front()?.number;
        self.entries.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }
}

fn shortened(path: &str) -> Box<str> {
    path.get(..PATH_BYTES_MAX).unwrap_or(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Logged {
        let region = Label::parse("orf").expect("a label");
        Logged {
            number: 0,
            endpoint: EndpointName::new(&region, "a"),
            region,
            request_id: None,
            method: Method::GET,
            path: path.into(),
            began: Moment::ZERO,
            status: None,
            finished: None,
        }
    }

    #[test]
    fn only_the_last_are_kept_and_all_are_counted() {
        let log = Logbook::new(2);
        let numbers: Vec<u64> = (0..3).map(|at| log.begin(entry(&format!("/{at}")))).collect();
        assert_eq!(numbers, [0, 1, 2]);
        log.finish(0, Moment::ZERO);
        log.answer(2, 200, false);
        log.finish(2, Moment::ZERO);
        let kept = log.read();
        assert_eq!(kept.iter().map(|entry| &*entry.path).collect::<Vec<_>>(), ["/1", "/2"]);
        assert_eq!((kept[0].finished, kept[1].status), (None, Some(200)));
        assert!(kept[1].finished.is_some());
        assert_eq!(log.counts(), Counts { begun: 3, finished: 2, injected: 0, connections: 0 });
    }
}
