//! The values of a scenario's file that no configuration has: times longer than a day, shares, seeds, names of one's own.

use crate::sim::scenario::{Day, Direction, Program};
use crate::topology::mistake::Mistake;
use crate::topology::read::{At, Word, Written, Wrong, at, quoted, table_of, wrong_type};
use crate::topology::words::words;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Longest time of a scenario: a leap year.
pub const TIME_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Most names in one table of weights: the table of cities is shorter.
const NAMES_MAX: usize = 20_000;

/// A time, of one part or several: "90m", "1h30m", "2d".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

impl Word for Time {
    const WHAT: &'static str = "a time with its units in quotes, such as \"90s\", \"1h30m\" or \"2d\"";
    fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "a time is whole numbers, each with one of ms, s, m, h, d: \"250ms\", \"90s\", \"1h30m\", \"2d\"";
        let long = || Wrong::new("is longer than a year", "use at most \"366d\"");
        let (mut rest, mut sum) = (text, Duration::ZERO);
        while !rest.is_empty() {
            let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
            let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
            let unit_ms = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "" => return Err(Wrong::new("has no unit", format!("{help}; perhaps \"{text}s\""))),
                _ => return Err(Wrong::new("is no time", help)),
            };
            if digits.is_empty() {
                return Err(Wrong::new("is no time", help));
            }
            let part = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_ms)).ok_or_else(long)?;
            sum = sum.saturating_add(Duration::from_millis(part));
            rest = after;
        }
        match sum {
            _ if text.is_empty() => Err(Wrong::new("is no time", help)),
            sum if sum > TIME_MAX => Err(long()),
            sum => Ok(Self(sum)),
        }
    }
    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$", "examples": ["30m"] })
    }
}

/// A number from `MIN` to `MAX`, with or without decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Real<const MIN: u32, const MAX: u32>(pub f64);

impl<const MIN: u32, const MAX: u32> Written for Real<MIN, MAX> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse().unwrap_or(f64::NAN),
            DeValue::Integer(whole) if whole.radix() == 10 => whole.as_str().parse().unwrap_or(f64::NAN),
            _ => {
                mistakes.push(wrong_type(key, value, &format!("a number from {MIN} to {MAX}, without quotes")));
                return None;
            }
        };
        if (f64::from(MIN)..=f64::from(MAX)).contains(&number) {
            return Some(Self(number));
        }
        let percent = if (MIN, MAX) == (0, 1) && number > 1.0 && number <= 100.0 {
            format!("; {number} percent is {}", number / 100.0)
        } else {
            String::new()
        };
        let help = format!("{key} is a number from {MIN} to {MAX}{percent}");
        let title = format!("{key} {number} is out of range");
        mistakes.push(Mistake::error(value.span(), title, format!("not from {MIN} to {MAX}"), help));
        None
    }

    fn schema() -> Json {
        json!({ "type": "number", "minimum": MIN, "maximum": MAX })
    }
}

/// A whole number, at most `MAX` to either side of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<const MAX: u32>(pub i64);

impl<const MAX: u32> Written for Signed<MAX> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let Some(digits) = value.get_ref().as_integer() else {
            mistakes.push(wrong_type(key, value, &format!("a whole number from -{MAX} to {MAX}, without quotes")));
            return None;
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
        let number = number.filter(|number| number.unsigned_abs() <= u64::from(MAX));
        if number.is_none() {
            let title = format!("{key} {digits} is out of range");
            let help = format!("{key} is a whole number from -{MAX} to {MAX}");
            mistakes.push(Mistake::error(value.span(), title, format!("not from -{MAX} to {MAX}"), help));
        }
        number.map(Self)
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": -i64::from(MAX), "maximum": MAX })
    }
}

/// A seed: any whole number of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Written for Seed {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let what = "a whole number from 0 to 18446744073709551615, without quotes";
        let digits = value.get_ref().as_integer();
        let seed = digits.and_then(|digits| u64::from_str_radix(digits.as_str(), digits.radix()).ok());
        if seed.is_none() {
            mistakes.push(match digits {
                None => wrong_type(key, value, what),
                Some(digits) => {
                    let title = format!("{key} {digits} is out of range");
                    Mistake::error(value.span(), title, "not of 64 bits", format!("{key} is {what}"))
                }
            });
        }
        seed.map(Self)
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 0 })
    }
}

/// A table whose keys are names, in the order in which they are written.
#[derive(Clone, Debug)]
pub struct Named<T>(pub Vec<(At<String>, At<T>)>);

impl<T: Written> Written for Named<T> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            mistakes.push(wrong_type(key, value, "a table, such as { NAME = … }"));
            return None;
        };
        if table.len() > NAMES_MAX {
            let title = format!("{key} has {} names", table.len());
            mistakes.push(Mistake::error(value.span(), title, "too many", format!("there may be at most {NAMES_MAX}")));
            return None;
        }
        let named = table.iter().filter_map(|(name, value)| {
            let text = name.get_ref().to_string();
            let value = at(&format!("{key}.{text}"), value, mistakes)?;
            Some((At { value: text, span: name.span() }, value))
        });
        let mut named: Vec<_> = named.collect();
        named.sort_by_key(|(name, _)| name.span.start);
        Some(Self(named))
    }

    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

/// A table whose keys are words that are known here.
#[derive(Clone, Debug)]
pub struct ByWord<K, T>(pub Vec<(K, At<T>)>);

/// A word that can be a key: all of them are known.
pub trait KeyWord: Copy + 'static {
    /// What the table is called in a mistake.
    const HEADER: &'static str;
    /// All of them, with the words.
    const ALL: &'static [(&'static str, Self)];
}

impl<K: KeyWord, T: Written> Written for ByWord<K, T> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let known: Vec<&str> = K::ALL.iter().map(|(word, _)| *word).collect();
        let table = table_of(key, value, &known, K::HEADER, mistakes)?;
        let mut found: Vec<_> = table
            .iter()
            .filter_map(|(name, value)| {
                let (_, known) = K::ALL.iter().find(|(word, _)| word == name.get_ref())?;
                let value = at(&format!("{key}.{}", name.get_ref()), value, mistakes)?;
                Some((name.span().start, *known, value))
            })
            .collect();
        found.sort_by_key(|(start, ..)| *start);
        Some(Self(found.into_iter().map(|(_, known, value)| (known, value)).collect()))
    }

    fn schema() -> Json {
        let properties = K::ALL.iter().map(|(word, _)| ((*word).to_owned(), T::schema()));
        let properties: serde_json::Map<_, _> = properties.collect();
        json!({ "type": "object", "additionalProperties": false, "properties": properties })
    }
}

impl KeyWord for Program {
    const HEADER: &'static str = "clients.programs";
    const ALL: &'static [(&'static str, Self)] = &[
        ("openai", Self::OpenAi),
        ("mcp", Self::Mcp),
        ("browser", Self::Browser),
        ("curl", Self::Curl),
        ("hammer", Self::Hammer),
    ];
}

/// The word of a known value.
pub fn word_of<K: KeyWord + PartialEq>(value: K) -> &'static str {
    K::ALL.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

words!("\"flat\", \"office\" or \"evening\"": Day {
    "flat" => Self::Flat,
    "office" => Self::Office,
    "evening" => Self::Evening,
});
words!("\"there\", \"back\" or \"both\"": Direction {
    "there" => Self::There,
    "back" => Self::Back,
    "both" => Self::Both,
});

impl Day {
    /// As a file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Office => "office",
            Self::Evening => "evening",
        }
    }
}

impl Direction {
    /// As a file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Back => "back",
            Self::Both => "both",
        }
    }
}

/// What a resolver does with a TTL, by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HabitWord {
    /// `keeps`.
    Keeps,
    /// `shortens`, to a time.
    Shortens,
    /// `stretches`, to a time.
    Stretches,
    /// `never` resolves again.
    Never,
    /// `serves_stale`, for a time.
    ServesStale,
}

words!("\"keeps\", \"shortens\", \"stretches\", \"never\" or \"serves_stale\"": HabitWord {
    "keeps" => Self::Keeps,
    "shortens" => Self::Shortens,
    "stretches" => Self::Stretches,
    "never" => Self::Never,
    "serves_stale" => Self::ServesStale,
});

/// Names that are there twice: their places, with that of the first.
pub fn twice<'a, T>(names: impl Iterator<Item = &'a At<T>>, text: impl Fn(&T) -> String) -> Vec<(&'a At<T>, String)> {
    let mut seen = HashSet::new();
    names.filter_map(|name| Some((name, text(&name.value))).filter(|(_, text)| !seen.insert(text.clone()))).collect()
}

/// `text` as a file writes it: in quotes, whatever is in it.
#[must_use]
pub fn in_quotes(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The words in a mistake for a name that is not known: what is near, or all there are.
#[must_use]
pub fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match crate::topology::read::nearest(name, known.clone()) {
        Some(meant) => format!("did you mean {}?", quoted(meant)),
        None => {
            let shown: Vec<&str> = known.clone().take(20).collect();
            let more = known.count() - shown.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("there are {}{more}", shown.join(", "))
        }
    }
}
