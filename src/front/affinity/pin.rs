//! Pins: which region served a client first, sealed into a cookie of ours.
//!
//! Regions never see the cookie, and other cookies pass byte for byte.

use super::Here;
use super::seal::{Opened, Purpose};
use crate::limits::PINS_OPENED_MAX;
use crate::names::Label;
use http::header::{COOKIE, HeaderMap, HeaderValue};
use std::time::Duration;

/// Takes the cookie `name` out of a request's head; the region that it names, if it is good and not too old.
pub fn take(headers: &mut HeaderMap, name: &str, here: &Here<'_>) -> Option<Label> {
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    if !lines.iter().any(|line| pieces(line.as_bytes()).any(|piece| value_of(piece, name).is_some())) {
        return None;
    }
    headers.remove(COOKIE);
    for line in &lines {
        if let Some(left) = without(line.as_bytes(), name) {
            headers.append(COOKIE, HeaderValue::from_bytes(&left).expect("a part of a value is one"));
        }
    }
    let all = lines.iter().flat_map(|line| pieces(line.as_bytes()));
    let mut tokens = all.filter_map(|piece| value_of(piece, name)).take(PINS_OPENED_MAX);
    tokens.find_map(|token| opened(token, here))
}

/// The `Set-Cookie` that pins a client to `region` (RFC 6265 §4.1).
#[must_use]
pub fn set(name: &str, region: &Label, ttl: Duration, here: &Here<'_>) -> HeaderValue {
    let mut content = (here.wall + ttl).as_secs().to_be_bytes().to_vec();
    content.extend_from_slice(region.as_str().as_bytes());
    let token = here.seal(Purpose::Pin).seal(&content);
    let secure = if here.is_https { "; Secure" } else { "" };
    let age = ttl.as_secs();
    let text = format!("{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).expect("names of cookies and tokens are visible ASCII")
}

fn opened(token: &[u8], here: &Here<'_>) -> Option<Label> {
    let Opened::Content(content) = here.seal(Purpose::Pin).open(token) else { return None };
    let (until, region) = content.split_first_chunk::<8>()?;
    let is_fresh = here.wall.as_secs() < u64::from_be_bytes(*until);
    is_fresh.then(|| Label::parse(std::str::from_utf8(region).ok()?).ok()).flatten()
}

fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';')
}

/// What the cookie `name` is set to, if `piece` sets it.
fn value_of<'a>(piece: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let piece = piece.trim_ascii();
    let at = piece.iter().position(|byte| *byte == b'=')?;
    (piece[..at].trim_ascii_end() == name.as_bytes()).then(|| piece[at + 1..].trim_ascii())
}

/// The line without the cookie `name`; `None` if nothing is left.
fn without(line: &[u8], name: &str) -> Option<Vec<u8>> {
    let kept: Vec<&[u8]> = pieces(line).filter(|piece| value_of(piece, name).is_none()).collect();
    let is_first_gone = pieces(line).next().is_some_and(|first| value_of(first, name).is_some());
    let left = kept.join(&b';');
    let left = if is_first_gone { left.trim_ascii_start().to_vec() } else { left };
    (!left.trim_ascii().is_empty()).then_some(left)
}
