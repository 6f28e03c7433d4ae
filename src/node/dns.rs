//! Joins DNS to what knows nothing of it: the node's start, and the admin address.

use super::{Options, StartError};
use crate::dns::explain::Ask;
use crate::dns::prepare::{Answers, Challenges, Inputs, Preparer};
use crate::dns::prepared::Prepared;
use crate::dnssec::Duty;
use crate::moment::Clock;
use crate::secret::Secret;
use crate::snapshot::Published;
use crate::status::dns::{Asked, Dns, NO_ZONE, Told, ZoneKeyView, ZoneView};
use crate::topology::Topology;
use crate::topology::zone::master::shown;
use arc_swap::ArcSwap;
use hickory_proto::dnssec::PublicKey;
use std::sync::Arc;
use std::time::Duration;

/// Whoever listens for questions has a zone, and whoever has one is told if nobody listens.
pub(super) fn answers_for_something(options: &Options, topology: &Topology) -> Result<(), StartError> {
    let dns = options.dns.iter().map(|address| ("--dns", *address));
    let dot = options.dot.iter().map(|address| ("--dot", *address));
    match (dns.chain(dot).next(), &topology.dns) {
        (Some((flag, address)), None) => return Err(StartError::NoZone { flag, address }),
        (None, Some(zone)) => {
            tracing::warn!(
                "the configuration has a [zone], {}, and this node answers no DNS: --dns ADDR does",
                zone.apex
            );
        }
        _ => {}
    }
    Ok(())
}

/// What DNS answers at first, and who prepares what it answers next.
pub(super) fn first_answers(
    options: &Options,
    secret: &Arc<ArcSwap<Secret>>,
    published: &Published,
    clock: Clock,
) -> (Preparer, Answers, Challenges) {
    let (answers, challenges) = (Answers::default(), Challenges::default());
    let shown = Arc::clone(&challenges);
    let inputs = Inputs { state_dir: options.state_dir.clone(), secret: Arc::clone(secret), challenges };
    let mut preparer = Preparer::new(inputs);
    match preparer.prepare(&published.load(), clock.now(), clock.wall()) {
        Ok(prepared) => answers.store(prepared.flatten().map(Arc::new)),
        // Other nodes answer meanwhile, and what HTTP carries has nothing to do with it.
        Err(error) => {
            tracing::error!(%error, "the zone's keys cannot be used: nothing is answered by DNS until they can");
        }
    }
    (preparer, answers, shown)
}

/// What the admin address may ask about the answers in `answers`.
pub(super) fn desk(answers: &Answers, clock: Clock) -> Dns {
    let (explained, zone) = (Arc::clone(answers), Arc::clone(answers));
    let explain = move |asked: &Asked| {
        let prepared = explained.load_full().ok_or_else(|| (404, NO_ZONE.to_owned()))?;
        let Asked { name, client, resolver } = asked.clone();
        let explanation = Ask { name, client, resolver }.answer(&prepared, clock.now()).map_err(|text| (400, text))?;
        Ok(Told { json: explanation.to_json(), text: explanation.to_text() })
    };
    Dns::new(explain, move |wall| zone.load_full().map(|prepared| view(&prepared, wall)))
}

fn view(prepared: &Prepared, wall: Duration) -> ZoneView {
    let duty = prepared.duty.as_ref();
    let left = |until: Duration| until.as_secs_f64() - wall.as_secs_f64();
    ZoneView {
        apex: shown(&prepared.zone.apex),
        generation: prepared.snapshot.generation,
        names: prepared.contents.nodes.len(),
        signed: prepared.contents.is_signed(),
        signatures_left_s: prepared.signed_until().map(|until| until_serial(until, wall)),
        keys: duty.map(keys).unwrap_or_default(),
        keys_change_in_s: duty.and_then(|duty| duty.until).map(left),
    }
}

/// Seconds from `wall` until a time of RRSIG, which wraps (RFC 4034 §3.1.5).
fn until_serial(until: u32, wall: Duration) -> f64 {
    let now = u32::try_from(wall.as_secs() & u64::from(u32::MAX)).expect("masked");
    f64::from(until.wrapping_sub(now).cast_signed())
}

/// Every key that is published or signs.
fn keys(duty: &Duty) -> Vec<ZoneKeyView> {
    let published =
        duty.dnskeys.iter().filter_map(|key| Some((key.calculate_key_tag().ok()?, key.public_key().algorithm())));
    let signing = duty.signs_keys.iter().chain(&duty.signs_zone).map(|key| (key.tag, key.algorithm));
    let mut all: Vec<ZoneKeyView> = Vec::new();
    for (tag, algorithm) in published.clone().chain(signing) {
        if all.iter().any(|key| key.tag == tag) {
            continue;
        }
        all.push(ZoneKeyView {
            tag,
            algorithm: algorithm.to_string(),
            published: published.clone().any(|(other, _)| other == tag),
            signs_keys: duty.signs_keys.iter().any(|key| key.tag == tag),
            signs_zone: duty.signs_zone.iter().any(|key| key.tag == tag),
        });
    }
    all
}
