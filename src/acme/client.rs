//! HTTP to the directory: the trust, the bounds and the time limits are ours.
//!
//! An order is some twenty requests in two months. "Too many" and "not now" are errors here and
//! not answers, because what matters of them is when to come again, which the answer's reader would not tell.

use crate::fetch::{FetchError, Terms, fetch};
use crate::limits::ACME_ANSWER_BYTES_MAX;
use crate::moment::Clock;
use crate::tls::trust::Trust;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A request and its answer take no longer than this.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// An address that does not answer within this leaves time for the next.
const CONNECT_MAX: Duration = Duration::from_secs(8);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered as it should be.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It wants to be left alone.
    #[error("the directory says {status}: {detail}")]
    Refused {
        /// 429 or 503.
        status: StatusCode,
        /// In its words.
        detail: String,
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
}

/// Asks over HTTPS.
#[derive(Clone, Debug)]
pub struct Client {
    /// Whom it believes to be the directory.
    pub trust: Trust,
    /// To understand dates.
    pub clock: Clock,
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move { client.ask(request).await.map_err(|error| Error::Other(error.into())) })
    }
}

impl Client {
    async fn ask(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, ClientError> {
        let is_read = request.method() == Method::GET;
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let terms = Terms {
            trust: self.trust.clone(),
            may_be_plain: false,
            time_max: REQUEST_MAX,
            connect_max: CONNECT_MAX,
            answer_bytes_max: ACME_ANSWER_BYTES_MAX,
            addresses: None,
        };
        let (mut parts, body) = fetch(Request::from_parts(parts, body), &terms).await?.into_parts();
        let retry_after = retry_after(&parts.headers, self.clock.wall());
        if matches!(parts.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return Err(ClientError::Refused { status: parts.status, detail: detail(&body), retry_after });
        }
        if is_read && retry_after.is_none() {
            // Without it a suggested window would not be believed; it is only recommended (RFC 9773 §4.3).
            parts.headers.insert(RETRY_AFTER, HeaderValue::from(super::schedule::ASK_AGAIN.as_secs()));
        }
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

/// How long until we may come again (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, wall: Duration) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(wall))
}

/// What the directory says is wrong (RFC 7807 §3.1), if anything.
fn detail(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    serde_json::from_slice(body).map_or_else(|_| "no reason given".to_owned(), |problem: Problem| problem.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wall = Duration::from_secs(784_111_777); // 1994-11-06 08:49:37
        for (text, meant) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(retry_after(&headers, wall), meant.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), wall), None);
    }
}
