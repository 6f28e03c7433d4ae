//! TELLS TRACES: every sampled request as spans, to a collector that speaks OTLP over HTTP.
//!
//! Off unless the environment names a collector (`OTEL_*`, [`settings`]). Whoever serves requests never waits for it: records
//! come by a bounded queue and leave in batches; what finds no room is dropped and counted, and so is what the collector
//! does not take.

pub mod message;
pub mod settings;

use crate::counters::record::Record;
use crate::counters::records::Delivery;
use crate::fetch::{Terms, fetch};
use crate::limits::SPANS_QUEUE_MAX;
use crate::moment::Clock;
use crate::shutdown::requested;
use crate::tls::trust::Trust;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use serde_json::Value;
use settings::Settings;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Requests told in one message.
const BATCH_MAX: usize = 256;
/// How long the first of a batch waits for others.
const BATCH_WAITS: Duration = Duration::from_secs(1);
/// How long one address of the collector has for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// What is read of the collector's answer, octets.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A collector that is busy or away is asked once more after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long the last batch may take when the node stops.
const LAST_BATCH: Duration = Duration::from_millis(800);

/// Tells spans: to be [`run`](Self::run) by one thread.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    clock: Clock,
    terms: Terms,
    records: mpsc::Receiver<Arc<Record>>,
    /// Whether the collector fails and that was said.
    is_failing: bool,
}

/// Where records go that are to be told as `settings` say, and who tells them.
#[must_use]
pub fn exporter(settings: Settings, clock: Clock) -> (mpsc::Sender<Arc<Record>>, Exporter) {
    let (sender, records) = mpsc::channel(SPANS_QUEUE_MAX);
    let terms = Terms {
        trust: Trust::new(&[]),
        may_be_plain: true,
        time_max: settings.timeout,
        connect_max: CONNECT_MAX,
        answer_bytes_max: ANSWER_BYTES_MAX,
        addresses: None,
    };
    (sender, Exporter { settings, clock, terms, records, is_failing: false })
}

impl Exporter {
    /// Tells until `shutdown`, and then what is left, for a moment.
    pub async fn run(mut self, delivery: Arc<Delivery>, mut shutdown: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased;
                () = requested(&mut shutdown) => break,
                count = self.records.recv_many(&mut batch, BATCH_MAX) => if count == 0 {
                    return requested(&mut shutdown).await;
                },
            }
            // More of them may come together.
            let more = async {
                while batch.len() < BATCH_MAX {
                    let room = BATCH_MAX - batch.len();
                    if self.records.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            tokio::select! {
                () = requested(&mut shutdown) => {}
                _ = tokio::time::timeout(BATCH_WAITS, more) => {}
            }
            tokio::select! {
                () = requested(&mut shutdown) => break,
                () = self.tell(&batch, &delivery, true) => {}
            }
            batch.clear();
        }
        self.records.close();
        while let Ok(record) = self.records.try_recv() {
            batch.push(record);
        }
        let last = async {
            for batch in batch.chunks(BATCH_MAX) {
                self.tell(batch, &delivery, false).await;
            }
        };
        let _ = tokio::time::timeout(LAST_BATCH, last).await;
    }

    async fn tell(&mut self, batch: &[Arc<Record>], delivery: &Delivery, may_try_again: bool) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let spans = batch.iter().filter_map(|record| {
            let trace = record.trace.filter(|trace| trace.is_sampled)?;
            Some((1, message::spans(record, trace, wall.saturating_sub(now.since(record.began)))))
        });
        let (count, spans) = spans.fold((0_u64, Vec::<Value>::new()), |(count, mut all), (one, spans)| {
            all.extend(spans);
            (count + one, all)
        });
        if count == 0 {
            return;
        }
        let body = Bytes::from(message::message(&self.settings.resource, &spans).to_string());
        let mut told = self.post(body.clone()).await;
        if matches!(told, Err(Refusal { is_passing: true, .. })) && may_try_again {
            tokio::time::sleep(AGAIN_AFTER).await;
            told = self.post(body).await;
        }
        match told {
            Ok(()) => {
                delivery.delivered.fetch_add(count, Relaxed);
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("traces are told again");
                }
            }
            Err(Refusal { why, .. }) => {
                delivery.failed.fetch_add(count, Relaxed);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(error = %why, "traces cannot be told: they are counted and forgotten");
                }
            }
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), Refusal> {
        let mut request = Request::post(self.settings.endpoint.clone()).body(body).expect("the URL is one");
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &self.settings.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let answer = fetch(request, &self.terms).await;
        let answer = answer.map_err(|error| Refusal { why: error.to_string(), is_passing: true })?;
        if answer.status().is_success() {
            return Ok(());
        }
        // What the specification of OTLP calls retryable.
        let is_passing = matches!(answer.status().as_u16(), 429 | 502..=504);
        Err(Refusal { why: format!("the collector answers {}", answer.status()), is_passing })
    }
}

/// Why the collector has not taken a batch.
struct Refusal {
    why: String,
    /// Whether it may take it a little later.
    is_passing: bool,
}
