//! Whether a stream flows as it should: a machine. Events in with their time, a verdict out at its end.

use crate::health::Fault;
use crate::health::opinion::Flowed;
use crate::moment::Moment;
use crate::sse::Event;
use std::time::Duration;

/// What a stream must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// At least so many events, the end's mark apart.
    pub events: u32,
    /// The first must come within this of the request.
    pub first_event: Duration,
    /// Each further one within this of the one before, the end's mark too.
    pub gap: Duration,
}

/// One stream that is watched.
#[derive(Debug)]
pub struct Flow {
    wanted: Wanted,
    last: Moment,
    events: u32,
    flowed: Flowed,
}

impl Flow {
    /// A stream that was asked for at `asked`.
    #[must_use]
    pub fn new(wanted: Wanted, asked: Moment) -> Self {
        Self { wanted, last: asked, events: 0, flowed: Flowed::default() }
    }

    /// Until when the next event must have come.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.last + if self.events == 0 { self.wanted.first_event } else { self.wanted.gap }
    }

    /// How it flowed so far.
    #[must_use]
    pub fn flowed(&self) -> Flowed {
        self.flowed
    }

    /// An event came. Whether it was the mark that ends the stream as it should.
    ///
    /// # Errors
    /// It came too late, or it tells of an error, or the stream ended with too few events.
    pub fn event(&mut self, now: Moment, event: &Event) -> Result<bool, Fault> {
        let took = now.since(self.last);
        let is_late = now > self.deadline();
        if self.events == 0 {
            self.flowed.first_event = Some(took);
        } else {
            self.flowed.gap = Some(self.flowed.gap.map_or(took, |largest| largest.max(took)));
        }
        self.last = now;
        if is_late {
            return Err(Fault::Stalled);
        }
        if event.data.as_bytes() == crate::sse::DONE {
            return if self.events >= self.wanted.events { Ok(true) } else { Err(Fault::Body) };
        }
        if event.name == "error" || tells_error(&event.data) {
            return Err(Fault::Body);
        }
        self.events = self.events.saturating_add(1);
        Ok(false)
    }
}

/// Whether an event is an error in OpenAI's shape, which gateways send where an answer has begun already.
fn tells_error(data: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(data)
        .is_ok_and(|json| json.get("error").is_some_and(|error| !error.is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted =
        Wanted { events: 2, first_event: Duration::from_millis(2_000), gap: Duration::from_millis(1_000) };

    /// Feeds events at these milliseconds; how it ended, and how it flowed.
    fn run(events: &[(u64, &str)]) -> (Result<bool, Fault>, Flowed) {
        let mut flow = Flow::new(WANTED, Moment::ZERO);
        let mut last = Ok(false);
        for (ms, data) in events {
            let event = Event { name: "message".to_owned(), data: (*data).to_owned() };
            last = flow.event(Moment::at(Duration::from_millis(*ms)), &event);
            if last != Ok(false) {
                break;
            }
        }
        (last, flow.flowed())
    }

    #[test]
    fn a_stream_passes_that_keeps_every_time_to_the_millisecond() {
        let (end, flowed) = run(&[(2_000, "{}"), (3_000, "{}"), (4_000, "[DONE]")]);
        assert_eq!(end, Ok(true));
        assert_eq!(flowed.first_event, Some(Duration::from_secs(2)));
        assert_eq!(flowed.gap, Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_late_first_event_a_long_gap_and_a_late_end_stall_it() {
        assert_eq!(run(&[(2_001, "{}")]).0, Err(Fault::Stalled));
        assert_eq!(run(&[(10, "{}"), (1_011, "{}")]).0, Err(Fault::Stalled));
        assert_eq!(run(&[(10, "{}"), (20, "{}"), (1_021, "[DONE]")]).0, Err(Fault::Stalled));
        assert_eq!(
            run(&[(10, "{}"), (1_011, "{}")]).1.gap,
            Some(Duration::from_millis(1_001)),
            "it is told all the same"
        );
    }

    #[test]
    fn too_few_events_and_errors_inside_are_a_bad_body() {
        assert_eq!(run(&[(10, "{}"), (20, "[DONE]")]).0, Err(Fault::Body));
        assert_eq!(run(&[(10, "{\"error\":{\"message\":\"no model\"}}")]).0, Err(Fault::Body));
        assert_eq!(run(&[(10, "{\"error\":null}"), (20, "{}"), (30, "[DONE]")]).0, Ok(true));
    }
}
