//! A file of tables from its text: syntax first, then its keys.

use super::mistake::Mistake;
use super::read::{Written, quoted};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads the text of a whole file that is one table, [`the file`](super::file::File) or another: syntax first, then its keys.
pub fn read<T: Written>(source: &str, bytes_max: usize, mistakes: &mut Vec<Mistake>) -> Option<T> {
    if source.len() > bytes_max {
        let title = format!("the file has {} octets", source.len());
        mistakes.push(Mistake::error(0..0, title, "too long", format!("at most {bytes_max} are read")));
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let is_duplicate = error.message() == "duplicate key";
        let (title, help) = if is_duplicate {
            let key = source.get(span.clone()).unwrap_or_default();
            (format!("{} is written twice", quoted(key)), "keep one of the two".to_owned())
        } else {
            ("the text is no TOML".to_owned(), "see https://toml.io for how it is written".to_owned())
        };
        mistakes.push(Mistake::error(span, title, error.message(), help));
    }
    if errors.iter().any(|error| error.message() != "duplicate key") {
        return None;
    }
    let span = document.span();
    let root = Spanned::new(span.start..span.start, DeValue::Table(document.into_inner()));
    T::read("the file", &root, mistakes)
}
