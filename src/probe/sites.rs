//! Asks the other sites whether they answer, as a client would come to them: by their own addresses and by TLS, at a path
//! that every node answers itself.

use super::rounds::Rounds;
use crate::control::Event;
use crate::health::Fault;
use crate::health::sites::DRAINING;
use crate::limits::PROBE_BODY_BYTES_MAX;
use crate::moment::{Clock, Dice};
use crate::names::{Hostname, Label};
use crate::shutdown::requested;
use crate::snapshot::{Published, Snapshot};
use crate::tls::trust::Trust;
use crate::upstream::body::Outgoing;
use crate::upstream::dial::{Dialled, Way, dial};
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Limited};
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Where a node says at which site it is.
pub const PATH: &str = "/.well-known/anyfront/site";
/// From the first packet to the last octet.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Who we say we are.
const USER_AGENT: &str = concat!("anyfront-site/", env!("CARGO_PKG_VERSION"));

/// Asks until `shutdown`, and sends what it learns. Without a zone nobody needs to know, and nobody is asked.
pub async fn run(
    published: Published,
    events: mpsc::Sender<Event>,
    clock: Clock,
    dice: Dice,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut rounds = Rounds::new(dice);
    let mut bell = published.subscribe();
    let mut believed = published.load_full().topology.forward.trust.clone();
    let mut trust = Trust::new(&believed);
    let mut asked: JoinSet<(Label, Result<(), Fault>)> = JoinSet::new();
    loop {
        let snapshot = published.load_full();
        let hostname = snapshot.topology.site_hostname();
        if snapshot.topology.forward.trust != believed {
            believed.clone_from(&snapshot.topology.forward.trust);
            trust = Trust::new(&believed);
        }
        let sites = snapshot.topology.sites.iter().zip(&snapshot.sites);
        let judged = sites.filter_map(|(site, state)| Some((site.name.clone(), state.pace?)));
        rounds.follow(clock.now(), judged.filter(|_| hostname.is_some()));
        for site in rounds.due(clock.now()) {
            let about = |hostname| Question::about(&snapshot, &site, hostname, &trust);
            if let Some(question) = hostname.as_ref().and_then(about) {
                asked.spawn(async move { (site, question.ask().await) });
            }
        }
        tokio::select! {
            () = requested(&mut shutdown) => return,
            changed = bell.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(clock.instant(rounds.wake_at(clock.now()))) => {}
            Some(Ok((site, result))) = asked.join_next() => {
                if rounds.finished(&site) && events.send(Event::SiteAsked { site, result }).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What is asked of which site.
struct Question {
    site: Label,
    hostname: Hostname,
    way: Way,
    addresses: Vec<SocketAddr>,
}

impl Question {
    fn about(snapshot: &Snapshot, site: &Label, hostname: &Hostname, trust: &Trust) -> Option<Self> {
        let topology = &snapshot.topology;
        let at = topology.sites.iter().position(|known| known.name == *site)?;
        let name = ServerName::try_from(hostname.as_str().to_owned()).ok()?;
        let way = Way::Tls { trust: trust.clone(), name };
        Some(Self { site: site.clone(), hostname: hostname.clone(), way, addresses: topology.own_addresses(at) })
    }

    async fn ask(&self) -> Result<(), Fault> {
        tokio::time::timeout(TIMEOUT, self.answer()).await.unwrap_or(Err(Fault::Silent))
    }

    async fn answer(&self) -> Result<(), Fault> {
        let Dialled::Http1(mut sender, _) = dial(&self.way, &self.addresses, true, TIMEOUT).await? else {
            return Err(Fault::Protocol);
        };
        let request = Request::get(PATH)
            .header(header::HOST, self.hostname.as_str())
            .header(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))
            .body(Outgoing::Empty)
            .map_err(|_| Fault::Protocol)?;
        let answer = sender.send_request(request).await.map_err(|_| Fault::Reset)?;
        match answer.status().as_u16() {
            200 => {}
            status if Fault::Status(status) == DRAINING => return Err(DRAINING),
            status => return Err(Fault::Status(status)),
        }
        let body = Limited::new(answer.into_body(), PROBE_BODY_BYTES_MAX).collect().await.map_err(|_| Fault::Cut)?;
        // Whoever else answers there, its clients are not served by whom we mean.
        (body.to_bytes() == self.site.as_str().as_bytes()).then_some(()).ok_or(Fault::Body)
    }
}
