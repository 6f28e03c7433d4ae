//! Names of endpoints to addresses, again and again, in the control plane: no request ever asks a resolver.

use crate::control::Event;
use crate::moment::{Clock, Moment};
use crate::names::Hostname;
use crate::shutdown::requested;
use crate::snapshot::{EndpointId, Published, Snapshot};
use crate::topology::Host;
use hickory_resolver::TokioResolver;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// A name is asked again no sooner than this, whatever its TTL.
pub const RESOLVE_EVERY_MIN: Duration = Duration::from_secs(5);
/// And no later than this.
pub const RESOLVE_EVERY_MAX: Duration = Duration::from_secs(60);
/// A question without answer is given up after this.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether an address that a *name* resolved to may be dialled. What the file itself says may be anything; a resolver
/// may not lead us into our own house: loopback, link-local (and with it the clouds' metadata), private and unique
/// local networks, mapped and unspecified addresses, multicast.
#[must_use]
pub fn may_be_dialled(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64;
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_private()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
                || shared)
        }
        IpAddr::V6(v6) => {
            let embeds_v4 = v6.to_ipv4_mapped().is_some()
                || v6.segments()[..6] == [0; 6]
                || v6.segments()[..6] == [0x64, 0xFF9B, 0, 0, 0, 0];
            !(embeds_v4
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6.is_unique_local())
        }
    }
}

#[derive(Debug)]
struct Asked {
    next: Moment,
    answer: Arc<[SocketAddr]>,
}

/// Keeps the addresses of every endpoint whose name has to be resolved, until `shutdown`. A name that does not resolve
/// keeps the addresses it had.
pub async fn run(published: Published, events: mpsc::Sender<Event>, clock: Clock, mut shutdown: watch::Receiver<bool>) {
    let resolver = match TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build) {
        Ok(resolver) => resolver,
        Err(error) => {
            tracing::error!(%error, "the system's resolver cannot be used: endpoints need `connect` addresses");
            requested(&mut shutdown).await;
            return;
        }
    };
    let mut bell = published.subscribe();
    let mut names: HashMap<EndpointId, Asked> = HashMap::new();
    let mut questions = JoinSet::new();
    loop {
        let now = clock.now();
        let wanted = to_resolve(&published.load());
        names.retain(|id, _| wanted.iter().any(|(wanted, ..)| wanted == id));
        for (id, name, port) in wanted {
            let asked = names.entry(id).or_insert_with(|| Asked { next: Moment::ZERO, answer: Arc::from([]) });
            if asked.next <= now {
                asked.next = now + RESOLVE_EVERY_MAX;
                let resolver = resolver.clone();
                questions.spawn(async move { (id, name.clone(), ask(&resolver, &name, port).await) });
            }
        }
        let next = names.values().map(|asked| asked.next).min().unwrap_or(now + RESOLVE_EVERY_MAX);
        tokio::select! {
            () = requested(&mut shutdown) => return,
            changed = bell.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(clock.instant(next)) => {}
            Some(Ok((id, name, answer))) = questions.join_next() => {
                let Some(asked) = names.get_mut(&id) else { continue };
                match answer {
                    Ok((addresses, ttl)) => {
                        asked.next = clock.now() + ttl;
                        if asked.answer != addresses {
                            asked.answer = Arc::clone(&addresses);
                            if events.send(Event::Resolved { endpoint: id, addresses }).await.is_err() {
                                return;
                            }
                        }
                    }
                    Err(error) => {
                        asked.next = clock.now() + RESOLVE_EVERY_MIN;
                        tracing::warn!(%error, "{name} does not resolve; its last addresses stay");
                    }
                }
            }
        }
    }
}

fn to_resolve(snapshot: &Snapshot) -> Vec<(EndpointId, Hostname, u16)> {
    let endpoints = snapshot.topology.endpoints.iter().zip(&snapshot.endpoints);
    endpoints
        .filter(|(endpoint, _)| endpoint.connect.is_empty())
        .filter_map(|(endpoint, state)| match &endpoint.host {
            Host::Name(name) => Some((state.id, name.clone(), endpoint.port)),
            Host::Address(_) => None,
        })
        .collect()
}

async fn ask(resolver: &TokioResolver, name: &Hostname, port: u16) -> Result<(Arc<[SocketAddr]>, Duration), String> {
    // The final dot keeps the machine's search list out of it.
    let question = tokio::time::timeout(RESOLVE_TIMEOUT, resolver.lookup_ip(format!("{name}.")));
    let answer = question.await.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
    let (good, bad): (Vec<IpAddr>, Vec<IpAddr>) = answer.iter().partition(|address| may_be_dialled(*address));
    if good.is_empty() {
        return Err(format!("none of its addresses may be dialled: {bad:?}"));
    }
    let mut addresses: Vec<SocketAddr> = good.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    addresses.sort_unstable();
    Ok((addresses.into(), RESOLVE_EVERY_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_into_our_own_house() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "::127.0.0.1",
        ] {
            assert!(!may_be_dialled(address.parse().expect("an address")), "{address} was let through");
        }
        for address in ["198.51.100.7", "8.8.8.8", "2001:db8::1", "2a00:1450::1"] {
            assert!(may_be_dialled(address.parse().expect("an address")), "{address} was refused");
        }
    }
}
