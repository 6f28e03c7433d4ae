//! HTTP to the directory, on connections of our own: the trust, the bounds and the time limits are ours.
//!
//! A connection for each request: an order is some twenty of them in two months. "Too many" and "not now" are errors here and
//! not answers, because what matters of them is when to come again, which the answer's reader would not tell.

use crate::limits::ACME_ANSWER_BYTES_MAX;
use crate::moment::Clock;
use crate::tls::trust::Trust;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls_pki_types::ServerName;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A request and its answer take no longer than this.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// An address that does not answer within this leaves time for the next.
const CONNECT_MAX: Duration = Duration::from_secs(8);
/// Who we say we are (RFC 8555 §6.1).
const AGENT: HeaderValue = HeaderValue::from_static(concat!("anyfront/", env!("CARGO_PKG_VERSION")));

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Where we are sent is no place that can be asked in private.
    #[error("{0} is no https URL")]
    Url(String),
    /// It cannot be reached.
    #[error("{authority} cannot be reached: {why}")]
    Unreachable {
        /// Which host and port.
        authority: String,
        /// What stood in the way at the last address.
        why: String,
    },
    /// It is not who it should be, or speaks no TLS.
    #[error("{authority} is not trusted: {why}")]
    Untrusted {
        /// Which host and port.
        authority: String,
        /// Why.
        why: String,
    },
    /// It broke off, or said what nobody understands.
    #[error("{authority} broke off: {why}")]
    Broken {
        /// Which host and port.
        authority: String,
        /// How.
        why: String,
    },
    /// It took too long.
    #[error("{0} did not answer within {REQUEST_MAX:?}")]
    Late(String),
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
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let asked = tokio::time::timeout(REQUEST_MAX, self.ask_patiently(request, &authority));
        asked.await.unwrap_or_else(|_| Err(ClientError::Late(authority.clone())))
    }

    async fn ask_patiently(
        &self,
        request: Request<BodyWrapper<Bytes>>,
        authority: &str,
    ) -> Result<BytesResponse, ClientError> {
        let broken = |why: String| ClientError::Broken { authority: authority.to_owned(), why };
        let is_read = request.method() == Method::GET;
        let stream = self.connect(request.uri(), authority).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.to_string()))?;
        let request = readdressed(request, authority).await?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| broken(error.to_string()))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ACME_ANSWER_BYTES_MAX).collect().await;
            Ok((parts, body.map_err(|error| broken(error.to_string()))?.to_bytes()))
        };
        let (mut parts, body) = tokio::select! {
            exchanged = exchange => exchanged?,
            // Until the exchange is over only a mistake ends it.
            Err(error) = connection => return Err(broken(error.to_string())),
        };
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

    async fn connect(&self, uri: &Uri, authority: &str) -> Result<TlsStream<TcpStream>, ClientError> {
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
        let host = host.ok_or_else(|| ClientError::Url(uri.to_string()))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| ClientError::Url(uri.to_string()))?;
        let unreachable = |why: String| ClientError::Unreachable { authority: authority.to_owned(), why };
        let addresses = lookup_host((bare, uri.port_u16().unwrap_or(443)));
        let mut why = "its name has no address".to_owned();
        for address in addresses.await.map_err(|error| unreachable(error.to_string()))? {
            match tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let secured = TlsConnector::from(self.trust.http1.clone()).connect(name, stream).await;
                    let authority = authority.to_owned();
                    return secured.map_err(|error| ClientError::Untrusted { authority, why: error.to_string() });
                }
                Ok(Err(error)) => why = format!("{address}: {error}"),
                Err(_) => why = format!("{address} does not answer"),
            }
        }
        Err(unreachable(why))
    }
}

/// The request as it is written on a connection to its host.
async fn readdressed(
    request: Request<BodyWrapper<Bytes>>,
    authority: &str,
) -> Result<Request<Full<Bytes>>, ClientError> {
    let bad = || ClientError::Url(authority.to_owned());
    let (mut parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse().map_err(|_| bad())?;
    parts.headers.insert(HOST, HeaderValue::from_str(authority).map_err(|_| bad())?);
    parts.headers.insert(USER_AGENT, AGENT);
    if !body.is_empty() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(Request::from_parts(parts, Full::new(body)))
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
