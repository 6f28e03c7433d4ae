//! Everything that tells people, around a report that the test writes: without a fleet, with real servers.

use crate::common::{first_snapshot, topology_at};
use crate::tls::Authority;
use anyfront::history::store::Store;
use anyfront::history::story::{Impact, Incident, Phase, Report, Subject, Update};
use anyfront::moment::Clock;
use anyfront::snapshot::Published;
use anyfront::subscriptions::call::Caller;
use anyfront::subscriptions::desk::{Desk, Form, Subscribed, Tested};
use anyfront::subscriptions::{self, Parts, table};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Who asks, where it does not matter.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// The fleet that everything here is about.
const FLEET: &str = "[fleet]\nname = \"test\"\nzone = \"z.example\"\n\
    [[site]]\nname = \"here\"\nlatitude = 51.5\nlongitude = -0.1\n\
    [[region]]\nname = \"a\"\nprovider = \"p\"\ncountry = \"GB\"\nlatitude = 51.5\nlongitude = -0.1\n\
    endpoints = [\"http://192.0.2.1\"]\n\
    [[region]]\nname = \"b\"\nprovider = \"q\"\ncountry = \"DE\"\nlatitude = 52\nlongitude = 13\n\
    endpoints = [\"http://192.0.2.2\"]\n\
    [[hostname]]\nname = \"www.z.example\"\nregions = [\"a\"]\nfallback = [\"b\"]\n";

/// What the file says of the page: webhooks at loopback, believed if `authority` signed them, and these lines besides.
pub fn page(more: &str) -> String {
    format!(
        "[status]\nurl = \"https://status.z.example\"\ntitle = \"How it goes\"\nwebhook_private = [\"127.0.0.0/8\", \"::1/128\"]\n\
         webhook_trust = [\"authority.pem\"]\n{more}"
    )
}

/// The lines that make mails go to this server.
pub fn mail(server: SocketAddr, more: &str) -> String {
    format!("[status.mail]\nserver = \"{server}\"\nfrom = \"status@z.example\"\n{more}")
}

/// A desk, an outbox and couriers that run.
pub struct Stand {
    pub clock: Clock,
    pub desk: Desk,
    pub parts: Arc<Parts>,
    pub runtime: Runtime,
    reports: watch::Sender<Arc<Report>>,
    report: Report,
    end: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Stand {
    /// In `folder`, which may be that of an earlier one; `tables` are added to the fleet's file.
    pub fn start(folder: &TempDir, authority: &Authority, tables: &str) -> Self {
        Self::with(folder.path(), &authority.pem, tables, subscriptions::caller)
    }

    pub fn with(folder: &Path, authority: &str, tables: &str, caller: impl FnOnce(Clock) -> Caller) -> Self {
        std::fs::write(folder.join("authority.pem"), authority).expect("written");
        let topology = topology_at(&format!("{FLEET}{tables}"), &folder.join("regions.toml"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one");
        let inside = runtime.enter();
        let clock = Clock::start();
        let store = Store::start(folder, &[table::MODULE], clock).expect("a thread");
        let published = Published::new(Arc::new(first_snapshot(topology)));
        let parts = Arc::new(Parts::new(store, published, clock, 7, folder.to_owned()));
        let caller = Arc::new(caller(clock));
        let desk = Desk::new(Arc::clone(&parts), caller);
        let (reports, follow) = watch::channel(Arc::default());
        let (end, ending) = watch::channel(false);
        let task = runtime.spawn(subscriptions::run(desk.clone(), follow, ending));
        drop(inside);
        Self { clock, desk, parts, runtime, reports, report: Report::default(), end, task: Some(task) }
    }

    /// Ends it in order.
    pub fn stop(mut self) {
        self.end.send_replace(true);
        if let Some(task) = self.task.take() {
            self.runtime.block_on(task).expect("it ends");
        }
        self.runtime.block_on(self.parts.store.close());
    }

    pub fn wall(&self) -> Duration {
        self.clock.wall()
    }

    /// Asks to be told of `scopes` by mail.
    pub fn subscribe_mail(&self, to: &str, scopes: &[&str]) -> Subscribed {
        self.subscribe("mail", to, scopes)
    }

    pub fn subscribe(&self, kind: &str, to: &str, scopes: &[&str]) -> Subscribed {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let form = Form { kind: kind.to_owned(), to: to.to_owned(), scopes };
        self.runtime.block_on(self.desk.subscribe(&form, CLIENT))
    }

    /// A webhook that has proven itself: its token and secret.
    pub fn webhook(&self, url: &str, scopes: &[&str]) -> (String, String) {
        let Subscribed::Noted { token, secret } = self.subscribe("webhook", url, scopes) else { panic!("not noted") };
        let tested = self.runtime.block_on(self.desk.test(&token, CLIENT));
        assert!(matches!(tested, Tested::Passed(_)), "{tested:?}");
        (token, secret)
    }

    /// Adds an update to an incident about region `a`, which begins with its first.
    pub fn tell(&mut self, incident: &str, update: &str, phase: Phase, text: &str) {
        self.tell_of(incident, update, phase, text, "a", self.wall());
    }

    pub fn tell_of(&mut self, incident: &str, update: &str, phase: Phase, text: &str, region: &str, at: Duration) {
        let update = Update { id: update.to_owned(), at, phase, text: text.to_owned(), by_operator: true };
        match self.report.incidents.iter_mut().find(|known| known.id == incident) {
            Some(known) => {
                known.updates.push(update);
                known.phase = phase;
                known.closed_at = phase.is_over().then_some(at);
            }
            None => self.report.incidents.push(Incident {
                id: incident.to_owned(),
                title: format!("Trouble {incident}"),
                phase,
                impact: Impact::Major,
                subjects: vec![Subject::Region(region.to_owned())],
                opened_at: at,
                closed_at: None,
                window: None,
                is_automatic: false,
                updates: vec![update],
                post_mortem: None,
            }),
        }
    }

    /// Gives the incident another title.
    pub fn entitle(&mut self, incident: &str, title: &str) {
        let known = self.report.incidents.iter_mut().find(|known| known.id == incident).expect("it is there");
        title.clone_into(&mut known.title);
    }

    /// Publishes what was told.
    pub fn publish(&self) {
        self.reports.send_replace(Arc::new(self.report.clone()));
    }
}
