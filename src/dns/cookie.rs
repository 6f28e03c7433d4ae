//! Cookies: who sends one back that we made is where it says it is (RFC 7873), whichever node made it (RFC 9018).
//!
//! A machine. The server's part of a cookie is a version, a time and a hash over these, the client's part and its address,
//! with a key that comes from the fleet's secret. So nothing is kept for a client, all nodes of a fleet agree, and after a
//! new secret was put first into the file, cookies of the old one are good until they are an hour old or it is removed.

use crate::secret::Secret;
use siphasher::sip::SipHasher24;
use std::fmt;
use std::net::IpAddr;

/// Octets of the client's part.
pub const CLIENT_BYTES: usize = 8;
/// Octets of a whole cookie as we make it.
pub const COOKIE_BYTES: usize = 24;
/// Octets that the server's part may have, whoever made it (RFC 7873 §4).
const SERVER_BYTES: std::ops::RangeInclusive<usize> = 8..=32;
/// The only version there is (RFC 9018 §4.1), and what is reserved behind it.
const VERSION: [u8; 4] = [1, 0, 0, 0];
/// Oldest cookie that is good, seconds (RFC 9018 §4.3).
const AGE_S_MAX: i32 = 3_600;
/// How far ahead a node's clock may be whose cookie is good, seconds (RFC 9018 §4.3).
const AHEAD_S_MAX: i32 = 300;
/// Oldest cookie that is sent back as it is, seconds: one that is older is made anew (RFC 9018 §4.3).
const FRESH_S_MAX: i32 = 1_800;
/// What the keys are derived for.
const PURPOSE: &str = "dns cookies";

/// Makes cookies and knows its own. Immutable: made anew when the secret is read anew.
pub struct Cookies {
    /// One for each secret, the first one makes.
    keyed: Vec<SipHasher24>,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookies({} keys)", self.keyed.len())
    }
}

/// What a cookie option turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// None: to be answered with FORMERR (RFC 7873 §5.2.2).
    Malformed,
    /// Ours, made for this client at this address not long ago.
    Good {
        /// What to answer with: the same, or a new one if it is old or the secret is new.
        answer: [u8; COOKIE_BYTES],
    },
    /// The client's part alone, or with a server's part that is not ours or too old: such a client may be anybody, and
    /// gets its answer as if it had sent none (RFC 7873 §5.2.3, §5.2.4).
    Bad {
        /// A new one, to answer with.
        answer: [u8; COOKIE_BYTES],
    },
}

impl Cookies {
    /// For those who know `secret`.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let keyed = |key: [u8; 32]| {
            let (key, _) = key.split_first_chunk().expect("32 octets begin with 16");
            SipHasher24::new_with_key(key)
        };
        Self { keyed: secret.keys(PURPOSE).into_iter().map(keyed).collect() }
    }

    /// What `option`, the data of a cookie option, is when it comes from `source` at `wall_s`: seconds since the Unix
    /// epoch, of which the lower 32 bits count. Allocates nothing.
    #[must_use]
    pub fn judge(&self, option: &[u8], source: IpAddr, wall_s: u32) -> Cookie {
        let Some((client, server)) = option.split_first_chunk::<CLIENT_BYTES>() else { return Cookie::Malformed };
        if !server.is_empty() && !SERVER_BYTES.contains(&server.len()) {
            return Cookie::Malformed;
        }
        let good = <[u8; COOKIE_BYTES]>::try_from(option).ok().and_then(|cookie| {
            let [.., a, b, c, d, _, _, _, _, _, _, _, _] = cookie;
            // Times are serial numbers (RFC 1982).
            let age_s = wall_s.wrapping_sub(u32::from_be_bytes([a, b, c, d])).cast_signed();
            let is_in_time = cookie[CLIENT_BYTES] == VERSION[0] && (-AHEAD_S_MAX..=AGE_S_MAX).contains(&age_s);
            let by =
                is_in_time.then(|| self.keyed.iter().position(|keyed| hashed(keyed, &cookie, source) == cookie))??;
            let is_kept = by == 0 && age_s <= FRESH_S_MAX && cookie[CLIENT_BYTES..].starts_with(&VERSION);
            Some(is_kept.then_some(cookie))
        });
        match good {
            Some(kept) => Cookie::Good { answer: kept.unwrap_or_else(|| self.answer(*client, source, wall_s)) },
            None => Cookie::Bad { answer: self.answer(*client, source, wall_s) },
        }
    }

    /// The whole cookie for a client at `source`, made at `wall_s`.
    #[must_use]
    pub fn answer(&self, client: [u8; CLIENT_BYTES], source: IpAddr, wall_s: u32) -> [u8; COOKIE_BYTES] {
        let mut cookie = [0; COOKIE_BYTES];
        cookie[..8].copy_from_slice(&client);
        cookie[8..12].copy_from_slice(&VERSION);
        cookie[12..16].copy_from_slice(&wall_s.to_be_bytes());
        hashed(&self.keyed[0], &cookie, source)
    }
}

/// `cookie` with the hash that belongs at its end (RFC 9018 §4.4). What is reserved counts as it stands there.
fn hashed(keyed: &SipHasher24, cookie: &[u8; COOKIE_BYTES], source: IpAddr) -> [u8; COOKIE_BYTES] {
    let (mut input, mut hashed) = ([0; 32], *cookie);
    input[..16].copy_from_slice(&cookie[..16]);
    let input = match source.to_canonical() {
        IpAddr::V4(v4) => {
            input[16..20].copy_from_slice(&v4.octets());
            &input[..20]
        }
        IpAddr::V6(v6) => {
            input[16..].copy_from_slice(&v6.octets());
            &input
        }
    };
    hashed[16..].copy_from_slice(&keyed.hash(input).to_le_bytes());
    hashed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 9018, appendix A.
    const CLIENT: &str = "198.51.100.100";
    const OTHER: &str = "203.0.113.203";
    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const LEARNT: &str = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    const LEARNT_AT: u32 = 1_559_731_985;

    fn octets<const N: usize>(text: &str) -> [u8; N] {
        assert_eq!(text.len(), 2 * N);
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
    }

    fn keyed(keys: &[&str]) -> Cookies {
        Cookies { keyed: keys.iter().map(|key| SipHasher24::new_with_key(&octets(key))).collect() }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_client_learns_a_cookie_and_a_renewed_one() {
        let cookies = keyed(&[SECRET]);
        let learnt = octets(LEARNT);
        let asked = octets::<8>("2464c4abcf10c957");
        assert_eq!(cookies.answer(asked, address(CLIENT), LEARNT_AT), learnt);
        assert_eq!(cookies.judge(&asked, address(CLIENT), LEARNT_AT), Cookie::Bad { answer: learnt });
        let renewed = octets("2464c4abcf10c957010000005cf7a871d4a564a1442aca77");
        assert_eq!(cookies.judge(&learnt, address(CLIENT), 1_559_734_385), Cookie::Good { answer: renewed });
        let mapped = "::ffff:198.51.100.100";
        assert_eq!(cookies.judge(&learnt, address(mapped), LEARNT_AT), Cookie::Good { answer: learnt });
    }

    #[test]
    fn what_is_reserved_counts_as_it_came_and_is_not_sent_back() {
        let cookies = keyed(&[SECRET]);
        let sent: [u8; 24] = octets("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let made_at = 1_559_727_985;
        let Cookie::Good { answer } = cookies.judge(&sent, address(OTHER), made_at + 60) else { panic!("it is good") };
        assert_eq!(answer, cookies.answer(octets("fc93fc62807ddb86"), address(OTHER), made_at + 60));
        let renewed = octets("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
        // In the example it is nearly two hours old.
        assert_eq!(cookies.judge(&sent, address(OTHER), 1_559_734_700), Cookie::Bad { answer: renewed });
    }

    #[test]
    fn after_the_secret_has_changed_the_old_cookie_is_good_and_answered_by_a_new_one() {
        let client = address("2001:db8:220:1:59de:d0f4:8769:82b8");
        let [old, new] = ["dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"];
        let sent: [u8; 24] = octets("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let renewed = octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a");
        assert_eq!(keyed(&[new, old]).judge(&sent, client, 1_559_741_961), Cookie::Good { answer: renewed });
        assert_eq!(keyed(&[old]).judge(&sent, client, 1_559_741_961), Cookie::Good { answer: sent });
        assert_eq!(keyed(&[new]).judge(&sent, client, 1_559_741_961), Cookie::Bad { answer: renewed });
    }

    #[test]
    fn a_cookie_is_good_from_five_minutes_ahead_until_it_is_an_hour_old() {
        let cookies = keyed(&[SECRET]);
        for made_at in [LEARNT_AT, 100, u32::MAX - 100] {
            let cookie = cookies.answer([7; 8], address(CLIENT), made_at);
            let judged = |age_s: u32| cookies.judge(&cookie, address(CLIENT), made_at.wrapping_add(age_s));
            let new = |age_s| cookies.answer([7; 8], address(CLIENT), made_at.wrapping_add(age_s));
            for (age_s, expected) in [
                (0, Cookie::Good { answer: cookie }),
                (1_800, Cookie::Good { answer: cookie }),
                (1_801, Cookie::Good { answer: new(1_801) }),
                (3_600, Cookie::Good { answer: new(3_600) }),
                (3_601, Cookie::Bad { answer: new(3_601) }),
                (300_u32.wrapping_neg(), Cookie::Good { answer: cookie }),
                (301_u32.wrapping_neg(), Cookie::Bad { answer: new(301_u32.wrapping_neg()) }),
                (1 << 31, Cookie::Bad { answer: new(1 << 31) }),
            ] {
                assert_eq!(judged(age_s), expected, "made at {made_at}, {age_s} s old");
            }
        }
    }

    #[test]
    fn a_cookie_is_good_for_nobody_else_and_not_if_any_bit_of_it_differs() {
        let cookies = keyed(&[SECRET]);
        let cookie: [u8; 24] = octets(LEARNT);
        assert!(matches!(cookies.judge(&cookie, address(OTHER), LEARNT_AT), Cookie::Bad { .. }));
        for bit in 0..24 * 8 {
            let mut forged = cookie;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(cookies.judge(&forged, address(CLIENT), LEARNT_AT), Cookie::Bad { .. }), "bit {bit}");
        }
    }

    #[test]
    fn a_cookie_of_a_length_that_none_has_is_malformed() {
        let cookies = keyed(&[SECRET]);
        for bytes in 0..64 {
            let judged = cookies.judge(&vec![1; bytes], address(CLIENT), LEARNT_AT);
            let is_malformed = !(bytes == 8 || (16..=40).contains(&bytes));
            assert_eq!(judged == Cookie::Malformed, is_malformed, "{bytes} octets: {judged:?}");
        }
    }

    #[test]
    fn nodes_with_the_same_secret_agree_also_while_it_is_changed() {
        let [old, new] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
        let read = |text: &str| Cookies::new(&Secret::parse(text).expect("a secret"));
        let nodes = [read(old), read(&format!("{old}\n{new}")), read(&format!("{new}\n{old}"))];
        let is_good = |made: &Cookies, judged: &Cookies| {
            let cookie = made.answer([3; 8], address(CLIENT), LEARNT_AT);
            matches!(judged.judge(&cookie, address(CLIENT), LEARNT_AT), Cookie::Good { .. })
        };
        assert!(is_good(&nodes[0], &read(old)));
        // First every node learns the new secret, then they make cookies with it, then they forget the old one.
        for pair in [[0, 1], [1, 0], [1, 2], [2, 1]] {
            assert!(is_good(&nodes[pair[0]], &nodes[pair[1]]), "{pair:?}");
        }
        assert!(is_good(&nodes[2], &read(new)));
        assert!(!is_good(&read(new), &read(old)));
        assert_eq!(format!("{:?}", nodes[1]), "Cookies(2 keys)");
    }
}
