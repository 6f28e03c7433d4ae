//! What stands behind the `?` of a request, and in a form (`application/x-www-form-urlencoded`, WHATWG URL §5.1). Pure.

/// A parameter of a query, decoded.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    parameters(query, name).into_iter().next()
}

/// The same of one that may be there several times.
pub(super) fn parameters(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().filter(|(key, _)| *key == name).map(|(_, value)| decoded(value.as_bytes())).collect()
}

/// A name or a value as it was before it was encoded.
pub(super) fn decoded(text: &[u8]) -> String {
    let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        octets.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = "host=eu.gateway.example&client=2001%3adb8%3A%3a7&x=a+b%zz%&y=%+1";
        assert_eq!(parameter(query, "host").as_deref(), Some("eu.gateway.example"));
        assert_eq!(parameter(query, "client").as_deref(), Some("2001:db8::7"));
        assert_eq!(parameter(query, "x").as_deref(), Some("a b%zz%"));
        assert_eq!(parameter(query, "y").as_deref(), Some("% 1"), "a sign is no digit");
        assert_eq!(parameter(query, "absent"), None);
    }
}
