//! What stands behind the `?` of a request to the admin address. Pure.

/// A parameter of a query, decoded (`application/x-www-form-urlencoded`).
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    parameters(query, name).into_iter().next()
}

/// The same of one that may be there several times.
pub(super) fn parameters(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = escaped.filter(|_| first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(if first == b'+' { b' ' } else { first }));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = "host=eu.gateway.example&client=2001%3adb8%3A%3a7&x=a+b%zz%";
        assert_eq!(parameter(query, "host").as_deref(), Some("eu.gateway.example"));
        assert_eq!(parameter(query, "client").as_deref(), Some("2001:db8::7"));
        assert_eq!(parameter(query, "x").as_deref(), Some("a b%zz%"));
        assert_eq!(parameter(query, "absent"), None);
    }
}
