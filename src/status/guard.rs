//! Who may use the admin address: the token, and what keeps a browser from being used against an operator.
//!
//! Without a token the address must be loopback (`serve` sees to it), where the danger is a web page in the operator's
//! own browser. So a request must name an address or `localhost` as its host, which DNS rebinding cannot, and nothing
//! that changes anything may come from a page, which `Origin` (RFC 6454 §7) tells.

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Shortest token, characters: below it somebody could try them all.
pub const TOKEN_CHARACTERS_MIN: usize = 16;
/// Longest file that is read for a token, octets.
const TOKEN_BYTES_MAX: u64 = 4_096;

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{}: {problem}", path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What every admin request must carry.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads a token from a file: what is in it, without the white space around it. A file that others may read is
    /// taken, with a warning in the log.
    ///
    /// # Errors
    /// If it cannot be read, is too short, or has characters that no header can carry.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Read { path: path.to_owned(), source };
        let unfit = |problem| TokenError::Unfit { path: path.to_owned(), problem };
        let file = std::fs::File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let mut text = String::new();
        file.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > TOKEN_BYTES_MAX {
            return Err(unfit("is longer than 4096 octets, which no token is"));
        }
        let token = text.trim();
        if token.len() < TOKEN_CHARACTERS_MIN {
            return Err(unfit("the token is shorter than 16 characters; `openssl rand -hex 32` makes a good one"));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unfit("the token must be one word of visible ASCII characters"));
        }
        if about.permissions().mode() & 0o077 != 0 {
            tracing::warn!("{}: others than its owner may read the admin token; chmod 600 mends it", path.display());
        }
        Ok(Self(token.to_owned()))
    }

    /// What goes into `Authorization` (RFC 6750 §2.1).
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether `headers` carry it. Takes as long for a nearly right one as for a wrong one.
    fn is_carried_by(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(AUTHORIZATION) else { return false };
        let Some((scheme, given)) = value.as_bytes().split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ")
            && aws_lc_rs::constant_time::verify_slices_are_equal(given, self.0.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Why a request is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// What it says.
    pub text: &'static str,
}

/// Whether a request may go on, whatever it wants.
///
/// # Errors
/// 401 without the token, 403 for what a web page may have sent, 400 without a host.
pub fn admit(request: &Parts, token: Option<&Token>) -> Result<(), Refusal> {
    let refused = |status, text| Err(Refusal { status, text });
    if request.method != Method::GET && request.method != Method::HEAD && request.headers.contains_key(ORIGIN) {
        return refused(StatusCode::FORBIDDEN, "web pages may not change anything here (the request has an Origin)");
    }
    let is_health = matches!(request.uri.path(), "/ready" | "/live");
    match token {
        Some(token) if !is_health && !token.is_carried_by(&request.headers) => {
            refused(StatusCode::UNAUTHORIZED, "the admin token is missing or wrong (Authorization: Bearer TOKEN)")
        }
        Some(_) => Ok(()),
        None => match request.headers.get(HOST).map(|host| host.to_str()) {
            Some(Ok(host)) if is_address_or_localhost(host) => Ok(()),
            Some(_) => refused(
                StatusCode::FORBIDDEN,
                "without an admin token the host must be an address or localhost, as protection from DNS rebinding",
            ),
            None => refused(StatusCode::BAD_REQUEST, "the request has no Host"),
        },
    }
}

fn is_address_or_localhost(host: &str) -> bool {
    if host.parse::<std::net::SocketAddr>().is_ok() || host.parse::<std::net::Ipv4Addr>().is_ok() {
        return true;
    }
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()));
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("valid").into_parts().0
    }

    fn status(request: &Parts, token: Option<&Token>) -> u16 {
        admit(request, token).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn a_web_page_cannot_use_an_operators_browser() {
        for (host, expected) in [
            ("127.0.0.1:9900", 200),
            ("[::1]:9900", 200),
            ("[::1]", 200),
            ("localhost:9900", 200),
            ("LOCALHOST", 200),
            ("evil.example", 403),
            ("localhost.evil.example:9900", 403),
            ("127.0.0.1.evil.example", 403),
            ("[evil]", 403),
            ("", 403),
        ] {
            assert_eq!(status(&request("GET", "/regions", &[("host", host)]), None), expected, "{host:?}");
        }
        assert_eq!(status(&request("GET", "/regions", &[]), None), 400);
        let posted = request("POST", "/drain", &[("host", "127.0.0.1"), ("origin", "http://127.0.0.1:9900")]);
        assert_eq!(status(&posted, None), 403);
    }

    #[test]
    fn the_token_opens_everything_but_health() {
        let token = Token("0123456789abcdef".to_owned());
        for (given, expected) in [
            (Some("Bearer 0123456789abcdef"), 200),
            (Some("bearer 0123456789abcdef"), 200),
            (Some("Bearer 0123456789abcdeF"), 401),
            (Some("Bearer 0123456789abcde"), 401),
            (Some("0123456789abcdef"), 401),
            (Some("Bearer "), 401),
            (Some("x"), 401),
            (None, 401),
        ] {
            let headers: Vec<_> =
                [("host", "node.example")].into_iter().chain(given.map(|given| ("authorization", given))).collect();
            assert_eq!(status(&request("GET", "/regions", &headers), Some(&token)), expected, "{given:?}");
            assert_eq!(status(&request("GET", "/ready", &headers), Some(&token)), 200);
        }
    }

    #[test]
    fn a_token_is_one_long_word() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        for (text, is_good) in [
            ("0123456789abcdef", true),
            ("  0123456789abcdef\n", true),
            ("0123456789abcde", false),
            ("", false),
            ("01234567 89abcdef", false),
            ("0123456789abcdef\nmore", false),
        ] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(Token::read(&path).is_ok(), is_good, "{text:?}");
        }
        std::fs::write(&path, "x".repeat(5_000)).expect("written");
        assert!(Token::read(&path).is_err());
        assert!(Token::read(&folder.path().join("absent")).expect_err("absent").to_string().contains("absent"));
    }
}
