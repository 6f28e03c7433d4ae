//! How long caches remember, and how long signatures hold: every delay of DNSSEC in one place, with its reason.
//!
//! The moments of a key's life follow from what its file says *and* from these numbers, on every node alike. So changing one
//! changes the past too: it needs a new format of the file ([`record`](super::record)).

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long DNSKEY may be believed: short enough to roll within a day, long enough that validators ask rarely.
pub const DNSKEY_TTL: Duration = HOUR;
/// The longest that anything in the zone may be believed, signatures and denials too: what name servers' records need, and
/// so long must a key stay after its last signature. Nothing is signed with a longer one.
pub const ZONE_TTL_MAX: Duration = DAY;
/// How long the parent's DS may be believed, unless the operator says otherwise: what most registries give, or more.
pub const PARENT_TTL: Duration = DAY;
/// The shortest that is taken for a parent's TTL.
pub const PARENT_TTL_MIN: Duration = MINUTE;
/// The longest that is taken for a parent's TTL: two days are the most that registries give.
pub const PARENT_TTL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What was written on one node is on all of them within this, their clocks differ by less, and the parent's servers agree
/// within it. The keys' folder is copied by a person or their automation, so an hour rather than minutes; it is waited for
/// a few times in a roll that takes days.
pub const PROPAGATION: Duration = HOUR;

/// Signatures begin so long before they are made, for validators whose clocks are behind.
pub const SIGNATURE_LEAD: Duration = HOUR;
/// Signatures are made anew after so long: half of their life.
pub const SIGNATURE_REFRESH: Duration = Duration::from_secs(4 * 24 * 60 * 60);
/// Signatures are good for so long. With [`SIGNATURE_REFRESH`] and [`ZONE_TTL_MAX`] the oldest in any cache has three days
/// left, which is the time to repair a signer that stopped.
pub const SIGNATURE_VALIDITY: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// From when to when a signature is good, in seconds since the Unix epoch (RFC 4034 §3.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Not before.
    pub inception: u32,
    /// Not after.
    pub expiration: u32,
}

/// The window of signatures that are made at `wall` (since the Unix epoch): the same for all of a slot of
/// [`SIGNATURE_REFRESH`], so that all nodes, whenever they started, sign the same.
#[must_use]
pub fn window_at(wall: Duration) -> Window {
    let slot = slot_of(wall);
    Window { inception: seconds(slot.saturating_sub(SIGNATURE_LEAD)), expiration: seconds(slot + SIGNATURE_VALIDITY) }
}

/// When what is signed at `wall` is to be signed anew: [`window_at`] gives another window from then on.
#[must_use]
pub fn refresh_after(wall: Duration) -> Duration {
    slot_of(wall) + SIGNATURE_REFRESH
}

fn slot_of(wall: Duration) -> Duration {
    let refresh = SIGNATURE_REFRESH.as_secs();
    Duration::from_secs(wall.as_secs() / refresh * refresh)
}

/// Times in signatures are serial numbers: past 2106 they wrap, and are compared so that this does not matter (RFC 4034
/// §3.1.5).
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs() & u64::from(u32::MAX)).expect("the rest is masked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_in_any_cache_have_three_days_left() {
        let start = 1_795_305_599;
        for minutes in 0..20_000 {
            let wall = Duration::from_secs(start + minutes * 60);
            let Window { inception, expiration } = window_at(wall);
            assert!(u64::from(inception) + 3_600 <= wall.as_secs(), "it begins an hour before");
            let last_cached = refresh_after(wall) + ZONE_TTL_MAX;
            assert!(u64::from(expiration) >= (last_cached + 3 * DAY).as_secs(), "three days are left at the end");
            assert_eq!((inception % 3_600, expiration % 3_600), (0, 0));
        }
    }

    #[test]
    fn a_window_lasts_until_it_is_refreshed() {
        let wall = Duration::from_secs(1_795_305_599);
        let next = refresh_after(wall);
        assert_eq!(window_at(wall), window_at(next - Duration::from_secs(1)));
        assert_ne!(window_at(wall), window_at(next));
        assert!(next > wall && next - wall <= SIGNATURE_REFRESH);
    }
}
