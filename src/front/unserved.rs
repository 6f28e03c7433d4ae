//! A region's word that a request had no effect, whatever its status: `edge-unserved`.
//!
//! ```text
//! edge-unserved: 1; reason=draining; hint=elsewhere
//! ```
//! An item of a structured field (RFC 9651 §3.3): the integer 1 or the boolean true. `hint=elsewhere`, or none: somebody
//! else should be asked, whatever the method. `hint=later`: it is the same everywhere, so that nobody else is. What is not
//! exactly this is no such word, because a request would be repeated on the strength of it.

use crate::limits::UNSERVED_REASON_BYTES_MAX;
use std::borrow::Cow;

/// What a region says of a request that it has not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// What should be done about it.
    pub hint: Hint,
    /// Why: visible ASCII and spaces, at most [`UNSERVED_REASON_BYTES_MAX`]; what is longer is cut.
    pub reason: Option<Box<str>>,
}

/// What should be done about a request that was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Somebody else should be asked.
    Elsewhere,
    /// It should be asked again later: somebody else would say the same.
    Later,
}

impl Unserved {
    /// Reads the lines of `edge-unserved` in one answer. Two lines are a list, which is no item.
    #[must_use]
    pub fn of<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        match (lines.next(), lines.next()) {
            (Some(line), None) => Self::read(line),
            _ => None,
        }
    }

    /// Reads the field's value (RFC 9651 §4.2.3). Unknown parameters mean nothing, but they must be written as such.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_matches(' ');
        let mut rest = text.strip_prefix("?1").or_else(|| text.strip_prefix('1'))?;
        let mut read = Self { hint: Hint::Elsewhere, reason: None };
        while !rest.is_empty() {
            rest = rest.strip_prefix(';')?.trim_start_matches(' ');
            let (key, after) = split_key(rest)?;
            let (word, after) = match after.strip_prefix('=') {
                Some(value) => split_item(value)?,
                None => (None, after),
            };
            rest = after;
            // Of a parameter that is given twice the last counts.
            match (key, word) {
                ("hint", word) => {
                    read.hint = if word.as_deref() == Some("later") { Hint::Later } else { Hint::Elsewhere }
                }
                ("reason", word) => {
                    read.reason = word.filter(|word| !word.is_empty()).map(|mut word| {
                        let bytes = word.len().min(UNSERVED_REASON_BYTES_MAX);
                        word.to_mut().truncate(bytes);
                        word.into()
                    });
                }
                _ => {}
            }
        }
        Some(read)
    }
}

/// A parameter's name and what follows it.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c);
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '*').then_some(())?;
    Some(text.split_at(text.find(|c| !is_inner(c)).unwrap_or(text.len())))
}

/// A bare item (RFC 9651 §4.2.3.1) and what follows it; its text, if it is a token or a string.
fn split_item(text: &str) -> Option<(Option<Cow<'_, str>>, &str)> {
    match text.chars().next()? {
        '"' => split_string(&text[1..]).map(|(word, rest)| (Some(Cow::Owned(word)), rest)),
        'A'..='Z' | 'a'..='z' | '*' => {
            let is_inner = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
            let (word, rest) = text.split_at(text.find(|c| !is_inner(c)).unwrap_or(text.len()));
            Some((Some(Cow::Borrowed(word)), rest))
        }
        '-' | '0'..='9' => split_number(text).map(|rest| (None, rest)),
        '@' => split_number(&text[1..]).map(|rest| (None, rest)),
        '?' => text[1..].strip_prefix(['0', '1']).map(|rest| (None, rest)),
        ':' => {
            let (octets, rest) = text[1..].split_once(':')?;
            octets.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c)).then_some((None, rest))
        }
        '%' => {
            let (word, rest) = text[1..].strip_prefix('"')?.split_once('"')?;
            word.chars().all(|c| (' '..='~').contains(&c)).then_some((None, rest))
        }
        _ => None,
    }
}

/// A string behind its first quote, without its escapes, and what follows it.
fn split_string(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((word, &text[at + 1..])),
            '\\' => word.push(chars.next().map(|(_, c)| c).filter(|c| matches!(c, '"' | '\\'))?),
            ' '..='~' => word.push(c),
            _ => return None,
        }
    }
    None
}

/// What follows an integer or a decimal.
fn split_number(text: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    let rest = (1..=15).contains(&whole).then(|| &text[whole..])?;
    match rest.strip_prefix('.') {
        Some(decimals) => {
            let count = digits(decimals);
            (whole <= 12 && (1..=3).contains(&count)).then(|| &decimals[count..])
        }
        None => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(Hint, Option<String>)> {
        Unserved::read(value.as_bytes()).map(|read| (read.hint, read.reason.map(String::from)))
    }

    #[test]
    fn the_contract_is_exactly_one_item_with_whatever_parameters() {
        let said = |hint, reason: &str| Some((hint, (!reason.is_empty()).then(|| reason.to_owned())));
        for (value, expected) in [
            ("1", said(Hint::Elsewhere, "")),
            ("?1", said(Hint::Elsewhere, "")),
            (" 1 ", said(Hint::Elsewhere, "")),
            ("1; reason=draining; hint=elsewhere", said(Hint::Elsewhere, "draining")),
            ("1;reason=\"no \\\"room\\\"\";hint=\"later\"", said(Hint::Later, "no \"room\"")),
            ("1;hint=later;hint=elsewhere", said(Hint::Elsewhere, "")),
            ("1;hint=tomorrow", said(Hint::Elsewhere, "")),
            ("1;hint", said(Hint::Elsewhere, "")),
            (
                "1;x;y=?0;z=-1.5;when=@1700000000;raw=:aGk=:;shown=%\"f%c3%bc\";*k=*t/a:b;hint=later",
                said(Hint::Later, ""),
            ),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
    }

    #[test]
    fn anything_else_promises_nothing() {
        for value in [
            "",
            "0",
            "?0",
            "10",
            "1.0",
            "01",
            "true",
            "yes",
            "\"1\"",
            "1, 1",
            "1;",
            "1 ;hint=later",
            "1;Hint=later",
            "1;hint=",
            "1;hint=later x",
            "1;reason=\"open",
            "1;reason=\"\\n\"",
            "1;a=@x",
            "1;a=:*:",
            "1;a=?2",
            "1;a=1.",
            "1;a=1.2345",
            "1;a=1234567890123456",
            "1\t;a",
            "1;reason=\"\u{fc}\"",
            "-1",
            "+1",
            "(1)",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
        let lines = |lines: &'static [&'static str]| Unserved::of(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(lines(&[]), None);
        assert!(lines(&["1"]).is_some());
        assert_eq!(lines(&["1", "1"]), None, "two lines are a list");
    }

    #[test]
    fn a_reason_is_cut_where_it_gets_too_long() {
        let reason = |bytes| read(&format!("1;reason={}", "a".repeat(bytes))).and_then(|(_, reason)| reason);
        for (bytes, kept) in [(UNSERVED_REASON_BYTES_MAX, 64), (UNSERVED_REASON_BYTES_MAX + 1, 64), (5_000, 64)] {
            assert_eq!(reason(bytes).map(|reason| reason.len()), Some(kept));
        }
    }
}
