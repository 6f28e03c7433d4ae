//! What a certificate's authority says of it, to be handed to clients with it (OCSP stapling, RFC 6960, RFC 6066 §8).
//!
//! Reads only what decides whether a response is worth handing on. Its signature is the client's to check: we trust the
//! file as we trust the key beside it.

use std::time::Duration;
use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::time::ASN1Time;

/// Why a response is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// It is none, or of a kind nobody uses.
    #[error("is no OCSP response in DER form")]
    Malformed,
    /// The responder had nothing to say.
    #[error("says that the responder could not answer")]
    Unsuccessful,
    /// It is about others.
    #[error("is about another certificate")]
    Other,
    /// It is not good.
    #[error("does not say that the certificate is good")]
    NotGood,
    /// Its time has not come.
    #[error("is not valid yet")]
    Early,
    /// It is over, or nobody says when it will be.
    #[error("is out of date")]
    Stale,
}

/// Until when this response for the certificate with this serial number is good: `nextUpdate`, since the Unix epoch.
///
/// # Errors
/// Why it should not be handed to anybody now.
pub fn good_until(response: &[u8], serial: &[u8], wall: Duration) -> Result<Duration, OcspError> {
    use OcspError::{Early, Malformed, NotGood, Other, Stale, Unsuccessful};
    let (rest, response) = Any::from_der(response).map_err(|_| Malformed)?;
    if !rest.is_empty() || response.tag() != Tag::Sequence {
        return Err(Malformed);
    }
    let parts = inside(&response).ok_or(Malformed)?;
    let status = parts.first().filter(|status| status.tag() == Tag::Enumerated).ok_or(Malformed)?;
    if status.data != [0] {
        return Err(Unsuccessful);
    }
    let singles = singles(parts.get(1).ok_or(Malformed)?).ok_or(Malformed)?;
    let mut known =
        singles.iter().map(|single| Single::read(single).ok_or(Malformed)).collect::<Result<Vec<_>, _>>()?;
    known.retain(|single| without_zeros(single.serial) == without_zeros(serial));
    let single = known.first().ok_or(Other)?;
    if !single.is_good {
        return Err(NotGood);
    }
    if single.this_update > wall {
        return Err(Early);
    }
    single.next_update.filter(|next| *next > wall).ok_or(Stale)
}

/// One certificate's part of a response (RFC 6960 §4.2.1, `SingleResponse`).
struct Single<'a> {
    serial: &'a [u8],
    is_good: bool,
    this_update: Duration,
    next_update: Option<Duration>,
}

impl<'a> Single<'a> {
    fn read(any: &Any<'a>) -> Option<Self> {
        let parts = inside(any)?;
        let [id, status, this_update, optional @ ..] = parts.as_slice() else { return None };
        let serial = inside(id)?.get(3).filter(|serial| serial.tag() == Tag::Integer)?.data;
        let next_update = match optional.iter().find(|part| is_context(part, 0)) {
            Some(next) => Some(time(inside(next)?.first()?)?),
            None => None,
        };
        Some(Self { serial, is_good: is_context(status, 0), this_update: time(this_update)?, next_update })
    }
}

/// The `responses` in `[0] ResponseBytes`.
fn singles<'a>(explicit: &Any<'a>) -> Option<Vec<Any<'a>>> {
    let bytes = inside(explicit)?;
    let [_, octets] = inside(bytes.first()?)?.try_into().ok()?;
    let (_, basic) = Any::from_der(octets.data).ok()?;
    let data = inside(&basic)?;
    // Before it come the version, if it is not the first, who responds, and when.
    let responses = inside(data.first()?)?.into_iter().find(|part| part.tag() == Tag::Sequence)?;
    inside(&responses)
}

fn is_context(any: &Any<'_>, number: u32) -> bool {
    any.class() == Class::ContextSpecific && any.tag() == Tag(number)
}

/// The values in a constructed one.
fn inside<'a>(any: &Any<'a>) -> Option<Vec<Any<'a>>> {
    let mut values = Vec::new();
    let mut rest: &'a [u8] = any.data;
    while !rest.is_empty() {
        let (after, value) = Any::from_der(rest).ok()?;
        values.push(value);
        rest = after;
    }
    Some(values)
}

/// A `GeneralizedTime`, since the Unix epoch.
fn time(any: &Any<'_>) -> Option<Duration> {
    let length = u8::try_from(any.data.len()).ok().filter(|length| *length < 0x80)?;
    let der = [&[0x18, length], any.data].concat();
    let (_, time) = ASN1Time::from_der(&der).ok().filter(|_| any.tag() == Tag::GeneralizedTime)?;
    u64::try_from(time.timestamp()).ok().map(Duration::from_secs)
}

fn without_zeros(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}
