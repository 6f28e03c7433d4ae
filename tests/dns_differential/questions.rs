//! Questions, made up the same way each time from the names that the zone has.

use crate::dns::message::{DNSSEC_OK, Edns, Question, option, wire_name};
use crate::dns::zone::{ZONE, owners};
use anyfront::moment::Dice;

/// A question and how it is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// It.
    pub question: Question,
    /// Over TCP instead of UDP.
    pub over_tcp: bool,
}

/// Types: those of the zone several times, then whatever else there is, to the last number.
const KINDS: [u16; 74] = [
    1, 1, 1, 1, 28, 28, 2, 5, 6, 15, 16, 16, 33, 35, 44, 52, 64, 65, 257, 255, 1, 1, 28, 2, 5, 6, 15, 16, 65, 255, 12,
    43, 46, 47, 48, 50, 51, 59, 60, 39, 13, 0, 3, 10, 25, 29, 41, 42, 49, 53, 55, 61, 62, 63, 99, 108, 128, 200, 249,
    250, 251, 252, 253, 254, 256, 258, 261, 32768, 32769, 4096, 65280, 65534, 65535, 1,
];
const CLASSES: [u16; 8] = [3, 4, 254, 255, 0, 2, 65280, 65535];
const SIZES: [u16; 8] = [0, 100, 511, 512, 513, 1_232, 4_096, 65_535];
const OUTSIDE: [&str; 10] = [
    ".",
    "example",
    "other.example",
    "xdiff.example",
    "diff.example.test",
    "www.other.example",
    "elsewhere.test",
    "www.elsewhere.test",
    "diff",
    "*.example",
];

/// `count` questions.
pub fn all(seed: u64, count: usize) -> Vec<Asked> {
    let mut dice = Dice::seeded(seed);
    (0..count).map(|_| one(&mut dice)).collect()
}

fn pick<T: Copy>(dice: &mut Dice, from: &[T]) -> T {
    from[usize::try_from(dice.roll()).unwrap_or(usize::MAX) % from.len()]
}

fn one_in(dice: &mut Dice, of: u64) -> bool {
    dice.roll().is_multiple_of(of)
}

fn one(dice: &mut Dice) -> Asked {
    let mut name = name(dice);
    if one_in(dice, 3) {
        for byte in &mut name {
            if byte.is_ascii_alphabetic() && one_in(dice, 2) {
                *byte ^= 0x20;
            }
        }
    }
    let class = if one_in(dice, 40) { pick(dice, &CLASSES) } else { 1 };
    // RD, CD and AD as they come, and now and then what a question should not have: Z, RA, TC, AA.
    let usual = [0, 0x0100, 0x0110, 0x0010, 0x0020, 0x0120];
    let flags =
        if one_in(dice, 20) { pick(dice, &[0x0040, 0x0080, 0x0200, 0x0400, 0x06F0]) } else { pick(dice, &usual) };
    let kind = pick(dice, &KINDS);
    let question = Question { name, kind, class, flags, edns: edns(dice) };
    Asked { question, over_tcp: one_in(dice, 5) }
}

/// A name that is there, beside, above, or below one that is.
fn name(dice: &mut Dice) -> Vec<u8> {
    if one_in(dice, 16) {
        return wire_name(pick(dice, &OUTSIDE));
    }
    let owner = pick(dice, &owners());
    let whole = if owner == "@" { ZONE.to_owned() } else { format!("{owner}.{ZONE}") };
    let made = match dice.roll() % 12 {
        0 => format!("no.{whole}"),
        1 => format!("www.no.{whole}"),
        2 => format!("*.{whole}"),
        3 => format!("x{whole}"),
        4 => format!("{:x}.{whole}", dice.roll() & 0xFFFF),
        // above: what exists only because of the names below it, and the zone itself
        5 | 6 => whole.split_once('.').map_or(whole.clone(), |(_, above)| above.to_owned()),
        7 => whole.split_once('.').map_or(whole.clone(), |(_, above)| format!("beside.{above}")),
        8 => whole.replace('*', "covered"),
        _ => whole.clone(),
    };
    let fits = made.len() + 2 <= 255 && made.split('.').all(|label| (1..=63).contains(&label.len()));
    wire_name(if fits { &made } else { &whole })
}

fn edns(dice: &mut Dice) -> Option<Edns> {
    if one_in(dice, 2) {
        return None;
    }
    let size = if one_in(dice, 2) { 1_232 } else { pick(dice, &SIZES) };
    let version = if one_in(dice, 30) { pick(dice, &[1, 2, 255]) } else { 0 };
    let mut flags = if one_in(dice, 3) { DNSSEC_OK } else { 0 };
    if one_in(dice, 30) {
        flags |= 0x2AAA;
    }
    let mut options = Vec::new();
    if one_in(dice, 8) {
        options.push((pick(dice, &[65_001, 0, 1, 14, 65_535]), vec![7; usize::try_from(dice.roll() % 9).unwrap_or(0)]));
    }
    if one_in(dice, 10) {
        options.push((option::NSID, Vec::new()));
    }
    Some(Edns { size, version, flags, options })
}
