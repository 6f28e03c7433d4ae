//! MCP over streamable HTTP, as far as a front door has to know it: which era a request is of, which methods only read,
//! and by which id a call is answered.
//!
//! Up to 2025-11-25 a session ties requests to the server that began it, and only the body of a POST says which method it
//! calls. From 2026-07-28 on there are no sessions, and the method stands in a header that servers must compare with the
//! body. Nothing here is validated for the server's sake; what cannot be understood is not safe, and that is all.

use crate::limits::{MCP_CALL_BYTES_MAX, MCP_CALL_ID_BYTES_MAX};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// Which session a request belongs to, up to 2025-11-25.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Which version of the protocol is spoken.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Which method is called, from 2026-07-28 on.
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");

/// The first version without sessions.
const STATELESS_SINCE: &[u8] = b"2026-07-28";

/// Whether the request is of the era without sessions. Versions are dates; what is no date is taken to be old, which
/// promises less.
#[must_use]
pub fn is_stateless(headers: &HeaderMap) -> bool {
    only(headers, &PROTOCOL_VERSION).is_some_and(|version| {
        let version = version.as_bytes();
        let is_date = version.len() == STATELESS_SINCE.len()
            && version.iter().zip(b"dddd-dd-dd").all(|(byte, shape)| match shape {
                b'd' => byte.is_ascii_digit(),
                dash => byte == dash,
            });
        is_date && version >= STATELESS_SINCE
    })
}

/// Whether a header says that the call only reads. Believed only in the era in which servers compare it with the body.
#[must_use]
pub fn is_safe_by_head(headers: &HeaderMap) -> bool {
    is_stateless(headers)
        && only(headers, &METHOD)
            .and_then(|method| method.to_str().ok())
            .is_some_and(|method| only_reads(method, false))
}

/// Whether all that a body calls only reads. `has_session`: an `initialize` would not begin one.
#[must_use]
pub fn is_safe_call(body: &[u8], has_session: bool) -> bool {
    let is_safe = |call: &Call<'_>| call.method.as_ref().is_some_and(|method| only_reads(method, has_session));
    match parsed(body) {
        Some(Calls::One(call)) => is_safe(&call),
        Some(Calls::Batch(calls)) => !calls.is_empty() && calls.iter().all(is_safe),
        None => false,
    }
}

/// The id of the one call in a body: what an answer of ours has to repeat (JSON-RPC 2.0 §5).
#[must_use]
pub fn call_id(body: &[u8]) -> Option<Value> {
    let Some(Calls::One(Call { id: Some(id), .. })) = parsed(body) else { return None };
    let is_id = match &id {
        Value::String(text) => text.len() <= MCP_CALL_ID_BYTES_MAX,
        Value::Number(_) => true,
        _ => false,
    };
    is_id.then_some(id)
}

/// Whether a method changes nothing: it may be called again although it may have been answered.
fn only_reads(method: &str, has_session: bool) -> bool {
    match method {
        "initialize" => !has_session,
        "ping" | "prompts/get" | "resources/read" | "server/discover" => true,
        _ => method.ends_with("/list"),
    }
}

/// What matters of a call.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    id: Option<Value>,
}

enum Calls<'a> {
    One(Call<'a>),
    Batch(Vec<Call<'a>>),
}

/// The calls in a body; `None` if it is too long to look into, or no JSON, or a key that matters is there twice.
fn parsed(body: &[u8]) -> Option<Calls<'_>> {
    if body.len() > MCP_CALL_BYTES_MAX {
        return None;
    }
    if body.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(body).ok().map(Calls::Batch);
    }
    serde_json::from_slice(body).ok().map(Calls::One)
}

/// The value of a field that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn an_era_is_a_date_and_what_is_none_is_old() {
        for (version, is_new) in [
            ("2026-07-28", true),
            ("2026-07-29", true),
            ("2027-01-01", true),
            ("2026-07-27", false),
            ("2025-11-25", false),
            ("2024-11-05", false),
            ("DRAFT-2027", false),
            ("9999", false),
            ("2026-07-28x", false),
            ("2026/07/28", false),
            ("", false),
        ] {
            assert_eq!(is_stateless(&headers(&[("mcp-protocol-version", version)])), is_new, "{version}");
        }
        assert!(!is_stateless(&headers(&[])));
        let twice = [("mcp-protocol-version", "2026-07-28"), ("mcp-protocol-version", "2025-11-25")];
        assert!(!is_stateless(&headers(&twice)));
    }

    #[test]
    fn a_header_is_believed_only_where_servers_compare_it() {
        let of = |version: &str, method: &str| {
            is_safe_by_head(&headers(&[("mcp-protocol-version", version), ("mcp-method", method)]))
        };
        assert!(of("2026-07-28", "tools/list") && of("2026-07-28", "server/discover"));
        assert!(!of("2026-07-28", "tools/call") && !of("2025-11-25", "tools/list"));
        let two = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "ping"), ("mcp-method", "tools/call")];
        assert!(!is_safe_by_head(&headers(&two)));
    }

    #[test]
    fn a_body_is_safe_if_all_it_calls_only_reads() {
        let call = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"method": "x"}});
        for method in ["ping", "tools/list", "resources/templates/list", "prompts/get", "resources/read", "initialize"]
        {
            assert!(is_safe_call(call(method).to_string().as_bytes(), false), "{method}");
        }
        for method in ["tools/call", "logging/setLevel", "notifications/initialized", "list", ""] {
            assert!(!is_safe_call(call(method).to_string().as_bytes(), false), "{method}");
        }
        assert!(!is_safe_call(call("initialize").to_string().as_bytes(), true));
        let batch = |methods: &[&str]| json!(methods.iter().map(|method| call(method)).collect::<Vec<_>>()).to_string();
        assert!(is_safe_call(batch(&["ping", "tools/list"]).as_bytes(), true));
        assert!(!is_safe_call(batch(&["ping", "tools/call"]).as_bytes(), true));
        for nonsense in
            ["", "[]", "{}", "[1]", "{\"method\":1}", "{\"method\":\"ping\"", "{\"jsonrpc\":\"2.0\",\"result\":{}}"]
        {
            assert!(!is_safe_call(nonsense.as_bytes(), false), "{nonsense}");
        }
        assert!(!is_safe_call(br#"{"method":"ping","method":"tools/call"}"#, false), "whoever reads it last acts");
    }

    #[test]
    fn a_body_past_the_bound_is_not_looked_into() {
        let padded = |bytes: usize| {
            let call = r#"{"id":"x","method":"ping"}"#;
            format!("{call}{}", " ".repeat(bytes - call.len()))
        };
        assert!(is_safe_call(padded(MCP_CALL_BYTES_MAX).as_bytes(), false));
        assert!(!is_safe_call(padded(MCP_CALL_BYTES_MAX + 1).as_bytes(), false));
        assert_eq!(call_id(padded(MCP_CALL_BYTES_MAX + 1).as_bytes()), None);
        let deep = format!("{{\"method\":\"ping\",\"params\":{}", "[".repeat(30_000));
        assert!(!is_safe_call(deep.as_bytes(), false));
    }

    #[test]
    fn an_id_is_repeated_as_it_came() {
        for id in [json!(1), json!("a"), json!(-2.5), json!("x".repeat(MCP_CALL_ID_BYTES_MAX))] {
            assert_eq!(call_id(json!({"method": "ping", "id": id}).to_string().as_bytes()), Some(id));
        }
        for id in [json!(null), json!({}), json!([1]), json!(true), json!("x".repeat(MCP_CALL_ID_BYTES_MAX + 1))] {
            assert_eq!(call_id(json!({"method": "ping", "id": id}).to_string().as_bytes()), None, "{id}");
        }
        assert_eq!(call_id(br#"[{"method":"ping","id":1}]"#), None);
    }
}
