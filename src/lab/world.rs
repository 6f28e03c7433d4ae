//! All stand-ins of a fleet, their certificates, and the file with which a node finds them.
//!
//! A world has threads of its own, so that it can be used from anywhere; it ends when it is dropped.

use super::certificates::{Authority, MakeError, Pair};
use super::command;
use super::fault::{Aim, Fault};
use super::files::{Folder, Model};
use super::logbook::{Counts, Logged};
use super::plan::{self, AUTHORITY_FILE, CONFIG_FILE, Changes, PlanError};
use super::standin::{About, Manner, Standin, Unopened};
use crate::limits::ENDPOINTS_PER_REGION_MAX;
use crate::moment::{Clock, mix};
use crate::names::Label;
use crate::node::Options;
use crate::tls::{ALPN_HTTP1, ALPN_HTTP2};
use crate::topology::{Region, Site, Topology};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How fast light goes in glass, kilometres per second.
const LIGHT_IN_GLASS_KM_PER_SECOND: f64 = 200_000.0;
/// What a round trip takes besides: the last mile and the machines.
const ROUND_TRIP_BESIDES: Duration = Duration::from_millis(2);
/// The first address of stand-ins; clients are below.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([127, 128, 0, 1]);
/// How many addresses are looked through.
const ADDRESSES_MAX: u32 = 100_000;
/// The port of stand-ins with TLS and without. Below the ports that the kernel gives to clients.
const PORTS: (u16, u16) = (7_443, 7_080);

/// The node's own certificate and its key.
const FRONT_CERTIFICATE_FILE: &str = "front.pem";
const FRONT_KEY_FILE: &str = "front.key";

/// What a world shall be like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The fleet; `None` is the one in the box.
    pub fleet: Option<PathBuf>,
    /// Where the node's files go; `None` is a folder of its own that goes when the world goes.
    pub folder: Option<PathBuf>,
    /// Which site the node is; `None` is the first.
    pub site: Option<Label>,
    /// Stand-ins in each region, 1 to 32.
    pub endpoints_per_region: usize,
    /// Whether they speak TLS.
    pub is_tls: bool,
    /// Whether they speak HTTP/2 by TLS, besides HTTP/1.1.
    pub speaks_http2: bool,
    /// Whether the node shall believe `X-Forwarded-For` from loopback.
    pub trusts_loopback: bool,
    /// 1 is the true distance of regions, 0 none.
    pub latency_scale: f64,
    /// Between the tokens of a streamed completion.
    pub token_pace: Duration,
    /// How many requests each stand-in remembers.
    pub log_entries_max: usize,
    /// TOML merged over the node's file: tables key by key, everything else replaced.
    pub extra: String,
    /// Threads of the stand-ins.
    pub threads: usize,
    /// Decides which requests injected errors hit.
    pub seed: u64,
}

impl Default for Settings {
    /// For tests: no distance, tokens 5 ms apart, TLS, one stand-in for each region.
    fn default() -> Self {
        Self {
            fleet: None,
            folder: None,
            site: None,
            endpoints_per_region: 1,
            is_tls: true,
            speaks_http2: true,
            trusts_loopback: false,
            latency_scale: 0.0,
            token_pace: Duration::from_millis(5),
            log_entries_max: 10_000,
            extra: String::new(),
            threads: 2,
            seed: 1,
        }
    }
}

/// Why there is no world, or no such fault in it.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file or folder.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The fleet, or what would be made of it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Certificates.
    #[error(transparent)]
    Certificates(#[from] MakeError),
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// No loopback address is to be had.
    #[error("no loopback address for a stand-in, from {from} on (all of 127.0.0.0/8 is needed, as Linux has it)")]
    Address {
        /// The first one tried.
        from: Ipv4Addr,
        /// Why the last one could not be had.
        source: io::Error,
    },
    /// Something a stand-in or the control listener needs.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Nobody is meant.
    #[error("{0}")]
    Nobody(String),
}

/// What the control listener and the world share.
#[derive(Debug)]
pub struct Inhabitants {
    /// What the node is told.
    pub topology: Topology,
    /// The stand-ins, by [`EndpointIndex`](crate::topology::EndpointIndex).
    pub standins: Vec<Standin>,
}

impl Inhabitants {
    /// Gives `aim` a fault from when this returns; [`Fault::None`] heals. How many stand-ins were meant.
    ///
    /// # Errors
    /// If `aim` is nobody, or a listener cannot be had back.
    pub async fn suffer(&self, aim: &Aim, fault: Fault, lasts: Option<Duration>) -> Result<usize, LabError> {
        let meant = aim.endpoints(&self.topology);
        if meant.is_empty() {
            return Err(LabError::Nobody(plan::nobody(aim, &self.topology)));
        }
        // All at once: jamming a listener takes a moment.
        let orders: Vec<_> = meant
            .iter()
            .map(|endpoint| {
                let standin = self.standins[endpoint.at()].clone();
                tokio::spawn(async move { (standin.suffer(fault, lasts).await, standin) })
            })
            .collect();
        for order in orders {
            let (outcome, standin) = order.await.map_err(|error| LabError::Setting(error.to_string()))?;
            outcome.map_err(|source| LabError::Io { what: format!("{fault} of {standin:?}"), source })?;
        }
        tracing::info!("{aim}: {}", if fault == Fault::None { "healed".to_owned() } else { fault.to_string() });
        Ok(meant.len())
    }
}

/// A running world.
#[derive(Debug)]
pub struct World {
    runtime: Option<Runtime>,
    inhabitants: Arc<Inhabitants>,
    clock: Clock,
    folder: Folder,
    site: Label,
    model: Model,
    changes: Changes,
}

impl World {
    /// Starts every stand-in and writes the node's files.
    ///
    /// # Errors
    /// What stands in the way, with its name and place.
    pub fn start(mut settings: Settings) -> Result<Self, LabError> {
        proven(&settings)?;
        let model = Model::read(settings.fleet.as_ref())?;
        let site = site(&model.topology, settings.site.as_ref())?.clone();
        let doors = reserve(&model.topology, settings.endpoints_per_region, settings.is_tls)?;
        let folder = Folder::make(settings.folder.as_ref())?;
        let authority = Authority::new()?;
        folder.put(AUTHORITY_FILE, &authority.pem())?;
        let front = authority.sign(plan::front_names(&model.topology))?;
        folder.put(FRONT_CERTIFICATE_FILE, front.certificate_pem())?;
        folder.put(FRONT_KEY_FILE, &front.key_pem())?;
        let extra = std::mem::take(&mut settings.extra);
        let changes = Changes { is_tls: settings.is_tls, trusts_loopback: settings.trusts_loopback, extra };
        let addresses: Vec<Vec<SocketAddr>> =
            doors.iter().map(|doors| doors.iter().map(Unopened::address).collect()).collect();
        let topology = model.write(&addresses, &changes, &folder)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads.max(1))
            .thread_name("lab")
            .enable_all()
            .build()
            .map_err(|source| LabError::Io { what: "threads of the lab".to_owned(), source })?;
        let clock = Clock::start();
        let opened = {
            let _inside = runtime.enter();
            open(&model.topology, doors, &settings, &site, &authority, clock)
        };
        let standins = match opened {
            Ok(standins) => standins,
            Err(error) => {
                // In the background: this may be inside another runtime.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let inhabitants = Arc::new(Inhabitants { topology, standins });
        Ok(Self { runtime: Some(runtime), inhabitants, clock, folder, site: site.name, model, changes })
    }

    /// The node's `regions.toml`.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.folder.path.join(CONFIG_FILE)
    }

    /// The certificate of the authority that signed the stand-ins' certificates and the node's own.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path.join(AUTHORITY_FILE)
    }

    /// The node's own certificate, for every hostname of the fleet, and its key.
    #[must_use]
    pub fn front_pair(&self) -> (PathBuf, PathBuf) {
        (self.folder.path.join(FRONT_CERTIFICATE_FILE), self.folder.path.join(FRONT_KEY_FILE))
    }

    /// The folder of the node's files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// The world's clock, by which its log counts.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What the node is told: the fleet with the stand-ins' addresses, as it was at the start.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.inhabitants.topology
    }

    /// The codes of the regions, as written.
    #[must_use]
    pub fn regions(&self) -> Vec<Label> {
        self.topology().regions.iter().map(|region| region.name.clone()).collect()
    }

    /// The stand-ins of a region; none if there is no such region.
    #[must_use]
    pub fn standins(&self, region: &str) -> Vec<&Standin> {
        self.inhabitants.standins.iter().filter(|standin| standin.about().region.as_str() == region).collect()
    }

    /// What a region was asked, endpoint by endpoint, oldest first.
    #[must_use]
    pub fn log(&self, region: &str) -> Vec<Logged> {
        self.standins(region).iter().flat_map(|standin| standin.log().read()).collect()
    }

    /// What all regions were asked.
    #[must_use]
    pub fn log_of_all(&self) -> Vec<Logged> {
        self.inhabitants.standins.iter().flat_map(|standin| standin.log().read()).collect()
    }

    /// How much a region was asked, ever.
    #[must_use]
    pub fn counts(&self, region: &str) -> Counts {
        self.standins(region).iter().map(|standin| standin.log().counts()).fold(Counts::default(), |sum, counts| {
            Counts {
                begun: sum.begun + counts.begun,
                finished: sum.finished + counts.finished,
                injected: sum.injected + counts.injected,
                connections: sum.connections + counts.connections,
            }
        })
    }

    /// Forgets every log.
    pub fn clear_logs(&self) {
        self.inhabitants.standins.iter().for_each(|standin| standin.log().clear());
    }

    /// Gives `aim` a fault, from when this returns.
    ///
    /// # Errors
    /// If `aim` is nobody, or a stand-in cannot do it.
    pub fn fault(&self, aim: &Aim, fault: Fault) -> Result<(), LabError> {
        let (inhabitants, aim) = (Arc::clone(&self.inhabitants), aim.clone());
        self.inside(async move { inhabitants.suffer(&aim, fault, None).await.map(drop) })
    }

    /// Takes every fault away from `aim`. It answers at the same address again when this returns.
    ///
    /// # Errors
    /// If `aim` is nobody, or an address cannot be had back.
    pub fn heal(&self, aim: &Aim) -> Result<(), LabError> {
        self.fault(aim, Fault::None)
    }

    /// Writes the node's file anew, with `extra` in the place of what was merged before. The node has to be told.
    ///
    /// # Errors
    /// If the file would have mistakes; it is left as it was.
    pub fn rewrite(&mut self, extra: &str) -> Result<(), LabError> {
        let changes = Changes { extra: extra.to_owned(), ..self.changes.clone() };
        let regions = self.model.topology.regions.iter();
        let addresses: Vec<Vec<SocketAddr>> = regions
            .map(|region| self.standins(region.name.as_str()).iter().map(|standin| standin.address()).collect())
            .collect();
        self.model.write(&addresses, &changes, &self.folder)?;
        self.changes = changes;
        Ok(())
    }

    /// How to start a node in front of this world: on free ports, with its state in the world's folder.
    #[must_use]
    pub fn node_options(&self) -> Options {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Options {
            config: self.config_path(),
            site: Some(self.site.clone()),
            http: vec![any.into()],
            https: vec![any.into()],
            dns: vec![any],
            dot: Vec::new(),
            dnstap: None,
            access_log: None,
            traces: None,
            admin: vec![any],
            status: Vec::new(),
            status_export: None,
            state_dir: self.folder.path.join("state"),
            workers: 2,
            certificates: vec![self.front_pair()],
            certificate_folders: Vec::new(),
            admin_token_file: None,
            secret_file: None,
            drain_time: Duration::ZERO,
            grace: Duration::from_secs(1),
        }
    }

    /// Lets faults be switched by HTTP at a loopback address (port 0: any); says where.
    ///
    /// # Errors
    /// If the address is not loopback's, or taken.
    pub fn serve_control(&self, address: SocketAddr) -> Result<SocketAddr, LabError> {
        if !address.ip().is_loopback() {
            return Err(LabError::Setting(format!(
                "the lab is controlled from this machine only: {address} is no loopback address"
            )));
        }
        let inhabitants = Arc::clone(&self.inhabitants);
        let what = format!("control address {address}");
        self.inside(async move {
            let listener = tokio::net::TcpListener::bind(address).await?;
            let bound = listener.local_addr()?;
            tokio::spawn(command::serve(listener, inhabitants));
            Ok(bound)
        })
        .map_err(|source| LabError::Io { what, source })
    }

    /// Runs `work` on the world's threads and waits; from anywhere, other runtimes too.
    fn inside<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (done, outcome) = std::sync::mpsc::sync_channel(1);
        self.runtime.as_ref().expect("it runs until it is dropped").spawn(async move {
            let _ = done.send(work.await);
        });
        outcome.recv().expect("the work does not panic")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // In the background: a world may be dropped inside another runtime.
            runtime.shutdown_background();
        }
    }
}

fn proven(settings: &Settings) -> Result<(), LabError> {
    let count = settings.endpoints_per_region;
    if count == 0 || count > ENDPOINTS_PER_REGION_MAX {
        return Err(LabError::Setting(format!(
            "{count} endpoints per region: it should be 1 to {ENDPOINTS_PER_REGION_MAX}"
        )));
    }
    if !(0.0..=100.0).contains(&settings.latency_scale) {
        return Err(LabError::Setting(format!("latency scale {}: it should be 0 to 100", settings.latency_scale)));
    }
    Ok(())
}

fn site<'a>(fleet: &'a Topology, name: Option<&Label>) -> Result<&'a Site, LabError> {
    let first = fleet.sites.first().expect("check wants a site");
    let Some(name) = name else { return Ok(first) };
    let sites: Vec<&str> = fleet.sites.iter().map(|site| site.name.as_str()).collect();
    let found = fleet.sites.iter().find(|site| site.name == *name);
    found.ok_or_else(|| LabError::Setting(format!("there is no site {name}: there are {}", sites.join(", "))))
}

/// An address for every stand-in, region by region: the first that nobody has, so that worlds stand side by side.
fn reserve(fleet: &Topology, count: usize, is_tls: bool) -> Result<Vec<Vec<Unopened>>, LabError> {
    let port = if is_tls { PORTS.0 } else { PORTS.1 };
    let mut candidates = (FIRST_ADDRESS..FIRST_ADDRESS + ADDRESSES_MAX).map(Ipv4Addr::from);
    let mut next = || {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for address in candidates.by_ref() {
            match Unopened::reserve(SocketAddr::from((address, port))) {
                Ok(door) => return Ok(door),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(source) => return Err(LabError::Address { from: address, source }),
            }
        }
        Err(LabError::Address { from: Ipv4Addr::from(FIRST_ADDRESS), source: last })
    };
    fleet.regions.iter().map(|_| (0..count).map(|_| next()).collect()).collect()
}

/// Opens every door.
fn open(
    fleet: &Topology,
    doors: Vec<Vec<Unopened>>,
    settings: &Settings,
    site: &Site,
    authority: &Authority,
    clock: Clock,
) -> Result<Vec<Standin>, LabError> {
    let tls = if settings.is_tls {
        let spoken = if settings.speaks_http2 { &[ALPN_HTTP2, ALPN_HTTP1][..] } else { &[ALPN_HTTP1] };
        let right = authority.sign(plan::endpoint_names(fleet))?.server_of(spoken)?;
        Some((right, Pair::wrong()?.server_of(spoken)?))
    } else {
        None
    };
    let mut standins = Vec::new();
    for (region, doors) in fleet.regions.iter().zip(doors) {
        for (at, door) in doors.into_iter().enumerate() {
            let about = about(fleet, region, at, site, settings.latency_scale);
            let manner = Manner {
                tls: tls.clone(),
                token_pace: settings.token_pace,
                log_entries_max: settings.log_entries_max,
                seed: mix(settings.seed ^ mix(standins.len() as u64)),
            };
            let what = format!("stand-in {} at {}", about.endpoint, door.address());
            let standin = door.open(about, manner, clock);
            standins.push(standin.map_err(|source| LabError::Io { what, source })?);
        }
    }
    Ok(standins)
}

fn about(fleet: &Topology, region: &Region, at: usize, site: &Site, latency_scale: f64) -> About {
    let km = site.place.at.distance_km(&region.place.at);
    let round_trip = Duration::from_secs_f64(2.0 * km / LIGHT_IN_GLASS_KM_PER_SECOND) + ROUND_TRIP_BESIDES;
    About {
        region: region.name.clone(),
        provider: fleet.providers[region.provider.at()].clone(),
        endpoint: crate::names::EndpointName::new(&region.name, &plan::letter(at)),
        place: region.place.city.as_deref().unwrap_or(region.name.as_str()).to_owned(),
        round_trip: round_trip.mul_f64(latency_scale),
    }
}
