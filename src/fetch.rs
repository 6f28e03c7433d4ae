//! Our own requests to others over HTTP: bounded in time and in octets, each on a connection of its own.
//!
//! For what is asked rarely: certificate authorities, webhooks, collectors of traces. Redirects are answers like any other:
//! nobody is led elsewhere. What is forwarded for clients goes by `upstream`, which keeps connections.

use crate::tls::trust::Trust;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// Who we say we are (RFC 9110 §10.1.5), unless the request says so.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("anyfront/", env!("CARGO_PKG_VERSION")));

/// What a request may cost.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Whom we believe to be who they say they are.
    pub trust: Trust,
    /// Whether it may also go by `http:`, where everybody between can read it.
    pub may_be_plain: bool,
    /// From the first look at its name to the answer's last octet.
    pub time_max: Duration,
    /// For one address to take a connection; then the next is tried.
    pub connect_max: Duration,
    /// Octets of the answer's body.
    pub answer_bytes_max: usize,
    /// Where to dial, in this order; the URL says only who must answer there. `None`: a resolver is asked.
    pub addresses: Option<Vec<SocketAddr>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Where we are sent cannot be asked, or not in private.
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
    /// It answered, and at greater length than anybody wants to read.
    #[error("{authority} answered {status} with more than {bytes_max} octets")]
    Long {
        /// Which host and port.
        authority: String,
        /// What it said before.
        status: StatusCode,
        /// Where reading ended.
        bytes_max: usize,
    },
    /// It took too long.
    #[error("{authority} did not answer within {time_max:?}")]
    Late {
        /// Which host and port.
        authority: String,
        /// How long it had.
        time_max: Duration,
    },
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Asks, and reads the whole answer, whatever its status. `request` has a whole URL.
///
/// # Errors
/// Why there is no answer.
pub async fn fetch(request: Request<Bytes>, terms: &Terms) -> Result<Response<Bytes>, FetchError> {
    let authority = host_and_port(request.uri());
    let asked = tokio::time::timeout(terms.time_max, exchange(request, terms, &authority));
    asked.await.unwrap_or_else(|_| Err(FetchError::Late { authority: authority.clone(), time_max: terms.time_max }))
}

/// Whom a URL leads to. What stands before an `@` is a secret: no sentence and no `Host` repeats it (RFC 9110 §4.2.4).
fn host_and_port(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    authority.rsplit_once('@').map_or(authority, |(_, bare)| bare).to_owned()
}

async fn exchange(request: Request<Bytes>, terms: &Terms, authority: &str) -> Result<Response<Bytes>, FetchError> {
    let broken = |why: String| FetchError::Broken { authority: authority.to_owned(), why };
    let stream = connect(request.uri(), terms, authority).await?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| broken(error.to_string()))?;
    let request = readdressed(request, authority)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| broken(error.to_string()))?;
        let (parts, body) = answer.into_parts();
        match Limited::new(body, terms.answer_bytes_max).collect().await {
            Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::Long {
                authority: authority.to_owned(),
                status: parts.status,
                bytes_max: terms.answer_bytes_max,
            }),
            Err(error) => Err(broken(error.to_string())),
        }
    };
    tokio::select! {
        exchanged = exchange => exchanged,
        // Until the exchange is over only a mistake ends it.
        Err(error) = connection => Err(broken(error.to_string())),
    }
}

async fn connect(uri: &Uri, terms: &Terms, authority: &str) -> Result<Box<dyn Stream>, FetchError> {
    let refused = || FetchError::Url(format!("{}://{authority}", uri.scheme_str().unwrap_or_default()));
    let is_tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if terms.may_be_plain => false,
        _ => return Err(refused()),
    };
    let host = uri.host().ok_or_else(refused)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| refused())?;
    let unreachable = |why: String| FetchError::Unreachable { authority: authority.to_owned(), why };
    let addresses = match &terms.addresses {
        Some(addresses) => addresses.clone(),
        None => {
            let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
            lookup_host((bare, port)).await.map_err(|error| unreachable(error.to_string()))?.collect()
        }
    };
    let mut why = "its name has no address".to_owned();
    for address in addresses {
        match tokio::time::timeout(terms.connect_max, TcpStream::connect(address)).await {
            Ok(Ok(stream)) if !is_tls => return Ok(Box::new(stream)),
            Ok(Ok(stream)) => {
                let untrusted = |error: std::io::Error| {
                    let authority = authority.to_owned();
                    FetchError::Untrusted { authority, why: error.to_string() }
                };
                let secured = TlsConnector::from(terms.trust.http1.clone()).connect(name, stream).await;
                return Ok(Box::new(secured.map_err(untrusted)?));
            }
            Ok(Err(error)) => why = format!("{address}: {error}"),
            Err(_) => why = format!("{address} does not answer"),
        }
    }
    Err(unreachable(why))
}

/// The request as it is written on a connection to its host.
fn readdressed(request: Request<Bytes>, authority: &str) -> Result<Request<Full<Bytes>>, FetchError> {
    let bad = || FetchError::Url(authority.to_owned());
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse().map_err(|_| bad())?;
    parts.headers.insert(HOST, HeaderValue::from_str(authority).map_err(|_| bad())?);
    parts.headers.entry(USER_AGENT).or_insert(AGENT);
    if !body.is_empty() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(Request::from_parts(parts, Full::new(body)))
}
