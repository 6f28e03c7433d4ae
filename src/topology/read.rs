//! From TOML to values that know their place.
//!
//! [`Written`] is what a key may hold; [`table`] makes a table out of keys, together with its JSON schema, so that what
//! is read and what editors are told can never differ. Reading goes on after a mistake: all of them are wanted.

use super::mistake::Mistake;
use crate::limits::{GEO_PLACES_MAX, LIST_MAX};
use serde_json::{Value as Json, json};
use std::ops::{Deref, Range};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value, and where it is written.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// What is written.
    pub value: T,
    /// Where, in octets of the text.
    pub span: Range<usize>,
}

/// A key that may be absent.
pub type May<T> = Option<At<T>>;

/// A key that must be there. Empty only if a mistake was told.
#[derive(Clone, Debug)]
pub struct Must<T>(Option<At<T>>);

impl<T> Deref for Must<T> {
    type Target = Option<At<T>>;
    fn deref(&self) -> &Option<At<T>> {
        &self.0
    }
}

impl<T> Default for Must<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// What a key may hold.
pub trait Written: Sized {
    /// Reads the value of `key`; tells what is wrong with it and gives nothing if it cannot be used.
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self>;

    /// What editors are told about it.
    fn schema() -> Json;
}

/// A value written as text.
pub trait Word: Sized {
    /// What it is, with an example: completes "should be …".
    const WHAT: &'static str;

    /// Parses the text.
    ///
    /// # Errors
    /// What is wrong with it: completes "KEY "TEXT" …", and what would be right.
    fn parse(text: &str) -> Result<Self, Wrong>;

    /// What editors are told about it.
    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

/// Why a text is not what it should be.
#[derive(Debug)]
pub struct Wrong {
    /// Completes "KEY "TEXT" …".
    pub problem: String,
    /// What would be right.
    pub help: String,
}

impl Wrong {
    /// Both parts.
    pub fn new(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { problem: problem.into(), help: help.into() }
    }
}

impl<T: Word> Written for T {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let Some(text) = value.get_ref().as_str() else {
            mistakes.push(wrong_type(key, value, T::WHAT));
            return None;
        };
        match T::parse(text) {
            Ok(parsed) => Some(parsed),
            Err(Wrong { problem, help }) => {
                let title = format!("{key} {} {problem}", quoted(text));
                mistakes.push(Mistake::error(value.span(), title, problem, help));
                None
            }
        }
    }

    fn schema() -> Json {
        <T as Word>::schema()
    }
}

impl Word for String {
    const WHAT: &'static str = "text in quotes";
    fn parse(text: &str) -> Result<Self, Wrong> {
        Ok(text.to_owned())
    }
}

impl Written for bool {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            mistakes.push(wrong_type(key, value, "true or false"));
        }
        flag
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Whole<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Written for Whole<MIN, MAX> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let Some(digits) = value.get_ref().as_integer() else {
            mistakes.push(wrong_type(key, value, &format!("a whole number from {MIN} to {MAX}, without quotes")));
            return None;
        };
        match u32::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) if (MIN..=MAX).contains(&number) => Some(Self(number)),
            _ => {
                let title = format!("{key} {digits} is out of range");
                let help = format!("{key} is a whole number from {MIN} to {MAX}");
                mistakes.push(Mistake::error(value.span(), title, format!("not from {MIN} to {MAX}"), help));
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// Degrees, at most `MAX` to either side of zero.
#[derive(Clone, Copy, Debug)]
pub struct Degrees<const MAX: u32>(pub f64);

impl<const MAX: u32> Written for Degrees<MAX> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let degrees = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse().unwrap_or(f64::NAN),
            DeValue::Integer(whole) if whole.radix() == 10 => whole.as_str().parse().unwrap_or(f64::NAN),
            _ => {
                mistakes.push(wrong_type(
                    key,
                    value,
                    &format!("a number of degrees from -{MAX} to {MAX}, without quotes"),
                ));
                return None;
            }
        };
        if (-f64::from(MAX)..=f64::from(MAX)).contains(&degrees) {
            return Some(Self(degrees));
        }
        let swapped = if MAX == 90 { ": are latitude and longitude swapped?" } else { "" };
        let title = format!("{key} {degrees} is not on the earth");
        let help = format!("{key} is in degrees from -{MAX} to {MAX}, north and east positive{swapped}");
        mistakes.push(Mistake::error(value.span(), title, format!("not from -{MAX} to {MAX}"), help));
        None
    }

    fn schema() -> Json {
        json!({ "type": "number", "minimum": -f64::from(MAX), "maximum": MAX })
    }
}

impl<T: Written> Written for Vec<At<T>> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let array = match value.get_ref() {
            DeValue::Array(array) => array,
            DeValue::Table(_) => {
                let title = format!("[{key}] is one table, and there may be several");
                let help = format!("write [[{key}]], with two brackets, once for each");
                mistakes.push(Mistake::error(value.span(), title, "one table", help));
                return None;
            }
            _ => {
                mistakes.push(wrong_type(key, value, "a list in square brackets"));
                return None;
            }
        };
        // Tables have limits of their own, below that of the longest.
        let has_tables = array.iter().any(|element| element.get_ref().is_table());
        let most = if has_tables { GEO_PLACES_MAX } else { LIST_MAX };
        if array.len() > most {
            let title = format!("{key} has {} elements", array.len());
            mistakes.push(Mistake::error(value.span(), title, "too many", format!("there may be at most {most}")));
            return None;
        }
        Some(array.iter().filter_map(|element| at(key, element, mistakes)).collect())
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// A value that is there, though what is wrong with it may have been told: for keys of which one must be there.
#[derive(Clone, Debug)]
pub struct Told<T>(pub Option<T>);

impl<T: Written> Written for Told<T> {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        Some(Self(T::read(key, value, mistakes)))
    }

    fn schema() -> Json {
        T::schema()
    }
}

/// Any value, as JSON.
#[derive(Clone, Debug)]
pub struct Any(pub Json);

impl Written for Any {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let json = match value.get_ref() {
            DeValue::String(text) => Json::from(&**text),
            DeValue::Boolean(flag) => Json::from(*flag),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Json::from(number),
                Err(_) => Json::Null,
            },
            DeValue::Float(float) => float.as_str().parse::<f64>().map_or(Json::Null, Json::from),
            DeValue::Datetime(datetime) => Json::from(datetime.to_string()),
            DeValue::Array(array) => array
                .iter()
                .map(|element| Some(Self::read(key, element, mistakes)?.0))
                .collect::<Option<Vec<_>>>()?
                .into(),
            DeValue::Table(table) => {
                let member = |(name, value): (&Spanned<_>, &_)| {
                    let name: &std::borrow::Cow<'_, str> = name.get_ref();
                    Some((name.to_string(), Self::read(key, value, mistakes)?.0))
                };
                Json::Object(table.iter().map(member).collect::<Option<_>>()?)
            }
        };
        if json.is_null() {
            let title = format!("{key} is a number that JSON cannot have");
            mistakes.push(Mistake::error(value.span(), title, "not in JSON", "use a finite number of at most 64 bits"));
            return None;
        }
        Some(Self(json))
    }

    fn schema() -> Json {
        json!({})
    }
}

/// The value with its place.
pub fn at<T: Written>(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> May<T> {
    Some(At { value: T::read(key, value, mistakes)?, span: value.span() })
}

/// A key of a table: one that may be absent or one that must be there.
pub trait Field: Sized {
    /// Whether it must be there.
    const IS_REQUIRED: bool;
    /// Reads it from its table.
    fn from_table(
        key: &str,
        span: &Range<usize>,
        table: &DeTable<'_>,
        header: &str,
        mistakes: &mut Vec<Mistake>,
    ) -> Self;
    /// What editors are told about it.
    fn schema() -> Json;
}

impl<T: Written> Field for May<T> {
    const IS_REQUIRED: bool = false;
    fn from_table(key: &str, _: &Range<usize>, table: &DeTable<'_>, _: &str, mistakes: &mut Vec<Mistake>) -> Self {
        at(key, table.get(key)?, mistakes)
    }
    fn schema() -> Json {
        T::schema()
    }
}

impl<T: Written> Field for Must<T> {
    const IS_REQUIRED: bool = true;
    fn from_table(
        key: &str,
        span: &Range<usize>,
        table: &DeTable<'_>,
        header: &str,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        if !table.contains_key(key) {
            // An absent table of several is an absent list.
            let shape = <Self as Field>::schema();
            let is_table = shape["type"] == "array" && shape["items"]["type"] == "object";
            let title = if is_table { format!("no [[{key}]]") } else { format!("{header} without {key}") };
            let help = match shape["examples"][0].as_str() {
                _ if is_table => format!("add at least one [[{key}]]"),
                _ if shape["type"] == "object" => format!("add [{key}]"),
                Some(example) => format!("add a line such as {key} = {example:?}"),
                None => format!("add a line {key} = …"),
            };
            mistakes.push(Mistake::error(span.clone(), title, format!("{key} is missing"), help));
        }
        Self(<May<T>>::from_table(key, span, table, header, mistakes))
    }
    fn schema() -> Json {
        T::schema()
    }
}

/// The table in `value`, whose only keys are `known`.
pub fn table_of<'a, 'i>(
    key: &str,
    value: &'a Spanned<DeValue<'i>>,
    known: &[&str],
    header: &str,
    mistakes: &mut Vec<Mistake>,
) -> Option<&'a DeTable<'i>> {
    let Some(table) = value.get_ref().as_table() else {
        let several = value.get_ref().as_array().is_some_and(|array| array.iter().any(|one| one.get_ref().is_table()));
        let what = if several { "one table with single brackets, and only one" } else { "a table" };
        mistakes.push(wrong_type(key, value, what));
        return None;
    };
    refuse_unknown(table, known, header, mistakes);
    Some(table)
}

/// Tells every key of `table` that is not `known`.
pub fn refuse_unknown(table: &DeTable<'_>, known: &[&str], header: &str, mistakes: &mut Vec<Mistake>) {
    for key in table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
        let name = key.get_ref();
        let (label, help) = super::file::instead_of(name, known);
        mistakes.push(Mistake::error(key.span(), format!("unknown key {} in {header}", quoted(name)), label, help));
    }
}

/// `value` has the wrong type; it should be `what`.
pub fn wrong_type(key: &str, value: &Spanned<DeValue<'_>>, what: &str) -> Mistake {
    let kind = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Mistake::error(value.span(), format!("{key} is {kind}"), kind, format!("{key} should be {what}"))
}

/// `text` in quotes, shortened if it is long.
#[must_use]
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// The one of `known` nearest to `text`, if one is near enough to be meant.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 64 {
        return None;
    }
    let length = text.chars().count();
    let tolerated = (length / 3).clamp(1, 3);
    let known = known.into_iter().filter(|name| name.chars().count().abs_diff(length) <= tolerated);
    let near = known.map(|name| (edits(text, name), name)).filter(|(distance, _)| *distance <= tolerated);
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// How many letters must be put in, taken out, replaced or swapped with the next to get from `a` to `b`, in any case.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (row[j + 1] + 1).min(next[j] + 1).min(row[j] + usize::from(x != y));
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

/// How a key is written whose field has this name: `r#type` is `type`.
#[must_use]
pub const fn key(field: &str) -> &str {
    match field.as_bytes() {
        [b'r', b'#', rest @ ..] => match std::str::from_utf8(rest) {
            Ok(name) => name,
            Err(_) => field, // never: two whole characters were taken away
        },
        _ => field,
    }
}

/// A table of the file: its keys with their documentation, and the default if there is one that can be written.
macro_rules! table {
    ($(#[doc = $about:literal])* $name:ident $header:literal {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty $(= $default:tt)?,)*
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $name {
            /// How its header is written.
            pub const HEADER: &'static str = $header;
            /// The keys it may have.
            pub const KEYS: &'static [&'static str] = &[$($crate::topology::read::key(stringify!($field))),*];
        }

        impl $crate::topology::read::Written for $name {
            fn read(
                name: &str,
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                mistakes: &mut Vec<$crate::topology::mistake::Mistake>,
            ) -> Option<Self> {
                use $crate::topology::read::{Field, key, table_of};
                let table = table_of(name, value, Self::KEYS, $header, mistakes)?;
                let span = value.span();
                Some(Self { $($field: Field::from_table(key(stringify!($field)), &span, table, $header, mistakes)),* })
            }

            fn schema() -> serde_json::Value {
                use $crate::topology::read::{Field, described, key};
                let mut properties = serde_json::Map::new();
                let mut required: Vec<&str> = Vec::new();
                $(
                    let default: Option<serde_json::Value> = None $(.or(Some(serde_json::json!($default))))?;
                    let schema = described(<$type as Field>::schema(), &[$($doc),*], default);
                    properties.insert(key(stringify!($field)).to_owned(), schema);
                    if <$type as Field>::IS_REQUIRED {
                        required.push(key(stringify!($field)));
                    }
                )*
                let schema = serde_json::json!({
                    "type": "object", "additionalProperties": false, "properties": properties, "required": required,
                });
                described(schema, &[$($about),*], None)
            }
        }
    };
}
pub(crate) use table;

/// `schema` with its documentation and its default.
#[must_use]
pub fn described(mut schema: Json, about: &[&str], default: Option<Json>) -> Json {
    let about = about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    if !about.is_empty() {
        schema["description"] = about.into();
    }
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}
