//! Signatures of what is prepared: made once, and kept while what they sign and the keys stay the same.

use super::contents::{Role, Sign};
use crate::dnssec::Duty;
use crate::dnssec::key::Key;
use crate::dnssec::timing::{Window, ZONE_TTL_MAX, window_at};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::rr::{Name, RData};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What was signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Signed {
    role: Role,
    owner: Name,
    ttl: u32,
    data: Vec<RData>,
}

/// The signatures of the last generations. A machine.
#[derive(Debug, Default)]
pub struct Signatures {
    kept: HashMap<Signed, (Vec<RData>, bool)>,
    window: Option<Window>,
    tags: [Vec<u16>; 2],
}

impl Signatures {
    /// Signs by `duty` at `wall` (since the Unix epoch); `made` is called with what [`Sign`] does, and may ask it for
    /// anything. What it did not ask for is forgotten.
    pub fn signing<T>(&mut self, zone: &Name, duty: &Duty, wall: Duration, made: impl FnOnce(&mut Sign<'_>) -> T) -> T {
        let window = window_at(wall);
        let tags = [&duty.signs_keys, &duty.signs_zone].map(|keys| keys.iter().map(|key| key.tag).collect());
        if self.window != Some(window) || self.tags != tags {
            *self = Self { kept: HashMap::new(), window: Some(window), tags };
        }
        for (_, is_used) in self.kept.values_mut() {
            *is_used = false;
        }
        let kept = &mut self.kept;
        let outcome = made(&mut |role, owner, ttl, data| {
            let signed = Signed { role, owner: owner.clone(), ttl, data: data.to_vec() };
            let keys = if role == Role::Keys { &duty.signs_keys } else { &duty.signs_zone };
            let fresh = || (sign(keys, owner, ttl, data, window, zone), true);
            let (signatures, is_used) = kept.entry(signed).or_insert_with(fresh);
            *is_used = true;
            signatures.clone()
        });
        self.kept.retain(|_, (_, is_used)| *is_used);
        outcome
    }
}

/// The signatures of all `keys`. A key that cannot sign is told; the others' are enough.
#[must_use]
pub fn sign(keys: &[Arc<Key>], owner: &Name, ttl: u32, data: &[RData], window: Window, zone: &Name) -> Vec<RData> {
    debug_assert!(u64::from(ttl) <= ZONE_TTL_MAX.as_secs());
    let signed = keys.iter().filter_map(|key| match key.sign(owner, ttl, data, window, zone) {
        Ok(signature) => Some(RData::DNSSEC(DNSSECRData::RRSIG(signature))),
        Err(error) => {
            tracing::error!(%owner, tag = key.tag, %error, "a record set cannot be signed");
            None
        }
    });
    signed.collect()
}
