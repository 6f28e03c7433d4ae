//! Who hears of every request as it ends: each on a thread of its own, which nobody waits for.

use super::{LAST_WORDS, Options, StartError};
use crate::access_log::{self, Writer};
use crate::counters::{Counters, Listeners};
use crate::moment::Clock;
use crate::names::Label;
use crate::spans::{self, Exporter};
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc, watch};

/// Those who will hear.
pub(super) struct Witnesses {
    access_log: Option<Writer>,
    spans: Option<Exporter>,
    counters: Counters,
}

/// Those who hear.
#[derive(Debug)]
pub(super) struct Hearing {
    reopen: Arc<Notify>,
    /// Closed when the last of them has had its last words.
    over: mpsc::Receiver<()>,
}

impl Witnesses {
    /// What is counted at the node of `site`, and who hears of it.
    ///
    /// # Errors
    /// If the access log cannot be opened.
    pub(super) fn new(options: &Options, site: &Label, clock: Clock) -> Result<(Counters, Self), StartError> {
        let log = options.access_log.clone().map(|sink| {
            let failed = |source| StartError::AccessLog { sink: format!("{sink:?}"), source };
            access_log::writer(sink.clone(), site.as_str(), clock).map_err(failed)
        });
        let (sender, access_log) = log.transpose()?.unzip();
        let spans = options.traces.clone().map(|settings| {
            let sampler = settings.sampler;
            let (sender, exporter) = spans::exporter(settings, clock);
            ((sender, sampler), exporter)
        });
        let (spans_to, spans) = spans.unzip();
        let listeners = Listeners { access_log: sender, spans: spans_to };
        let counters = Counters::heard_by(options.workers, listeners);
        Ok((counters.clone(), Self { access_log, spans, counters }))
    }

    /// Has them hear until `ending`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(self, ending: &watch::Receiver<bool>) -> Result<Hearing, StartError> {
        let (alive, over) = mpsc::channel(1);
        let reopen = Arc::<Notify>::default();
        if let Some(writer) = self.access_log {
            let (delivery, reopen) = (Arc::clone(self.counters.access_log()), Arc::clone(&reopen));
            start("access-log", writer.run(delivery, reopen, ending.clone()), alive.clone())?;
        }
        if let Some(exporter) = self.spans {
            let delivery = Arc::clone(self.counters.spans());
            start("spans", exporter.run(delivery, ending.clone()), alive.clone())?;
        }
        drop(alive);
        Ok(Hearing { reopen, over })
    }
}

fn start(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
    alive: mpsc::Sender<()>,
) -> Result<(), StartError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::System)?;
    let run = move || {
        runtime.block_on(work);
        drop(alive);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(StartError::System)
}

impl Hearing {
    /// Files are opened anew.
    pub(super) fn reopen(&self) {
        self.reopen.notify_one();
    }

    /// Waits for their last words, as long as they may take.
    pub(super) async fn last_words(mut self) {
        let _ = tokio::time::timeout(LAST_WORDS, self.over.recv()).await;
    }
}
