//! Days and times as the file writes them.

use super::mistake::Mistake;
use super::read::{Written, quoted, wrong_type};
use crate::moment::since_epoch;
use serde_json::{Value as Json, json};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A moment by the wall clock, since the Unix epoch: a day (its begin in UTC) or a time with its offset (RFC 3339), in
/// quotes or as TOML's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When(pub Duration);

impl Written for When {
    fn read(key: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let help = "write a day such as 2027-01-31, or a time such as \"2027-01-31T06:00:00Z\", with its offset";
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(datetime) => datetime.to_string(),
            _ => {
                mistakes.push(wrong_type(key, value, "a day or a time"));
                return None;
            }
        };
        let when = since_epoch(&text).map(Self);
        if when.is_none() {
            let title = format!("{key} {} is no day and no time", quoted(&text));
            mistakes.push(Mistake::error(value.span(), title, "not as in RFC 3339", help));
        }
        when
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}", "examples": ["2027-01-31"] })
    }
}
