//! The client of a node's admin address.

use crate::status::guard::Token;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Where a node's admin address is, unless something else is said.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:9900";
/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long an answer may take: longer than a node waits for a drain to be in force.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest answer that is read, octets: a node with 1 024 regions of 32 endpoints needs about 12 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Which node to talk to.
#[derive(Clone, Debug, clap::Args)]
pub struct AdminArgs {
    /// The node's admin address (what `serve --admin` printed)
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADDRESS)]
    pub admin: String,
    /// File with the token that the node was given with its own --admin-token-file
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

impl AdminArgs {
    /// The node at `admin`, or where a node would be on this machine.
    #[must_use]
    pub fn of(admin: Option<String>, admin_token_file: Option<PathBuf>) -> Self {
        Self { admin: admin.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()), admin_token_file }
    }

    /// The client these arguments ask for.
    ///
    /// # Errors
    /// If the token cannot be read or the address is none.
    pub fn client(self) -> anyhow::Result<Client> {
        let token = self.admin_token_file.as_deref().map(Token::read).transpose().context("--admin-token-file")?;
        Client::new(&self.admin, token)
    }
}

/// Asks one node. Every question is a connection of its own, so a node that was restarted is found again.
#[derive(Debug)]
pub struct Client {
    address: String,
    token: Option<Token>,
    runtime: Runtime,
}

/// What a node said.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

impl Client {
    /// A client of the node at `address`: `HOST:PORT`, perhaps with `http://` before it.
    ///
    /// # Errors
    /// If the address has no port.
    pub fn new(address: &str, token: Option<Token>) -> anyhow::Result<Self> {
        let plain = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
        let port = plain.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        let is_authority = http::uri::Authority::try_from(plain).is_ok() && !plain.contains('@');
        if !is_authority || !matches!(port, Some(Ok(_))) {
            bail!("{address:?} is no admin address: it should read ADDRESS:PORT, such as {DEFAULT_ADDRESS}");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        Ok(Self { address: plain.to_owned(), token, runtime })
    }

    /// The node's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks for what is at `path`.
    ///
    /// # Errors
    /// If the node cannot be reached or refuses, with its own words.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let reply = self.ask(Method::GET, path, "application/json", None)?;
        serde_json::from_slice(&reply.body).with_context(|| self.no_node())
    }

    /// Asks for what is at `path`, as it is.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_text(&self, path: &str, accept: &str) -> anyhow::Result<String> {
        let reply = self.ask(Method::GET, path, accept, None)?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> anyhow::Result<T> {
        let body = serde_json::to_string(body).context("the question is no JSON")?;
        let reply = self.ask(Method::POST, path, "application/json", Some(body))?;
        serde_json::from_slice(&reply.body).with_context(|| self.no_node())
    }

    fn no_node(&self) -> String {
        format!("what answers at {} is no anyfront node of this version", self.address)
    }

    fn ask(&self, method: Method, path: &str, accept: &str, body: Option<String>) -> anyhow::Result<Reply> {
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, &self.address).header(ACCEPT, accept);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        let request =
            request.body(Full::new(Bytes::from(body.unwrap_or_default()))).context("the question is no HTTP")?;
        let reply = self.runtime.block_on(self.exchange(request))?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        let said: Option<serde_json::Value> = serde_json::from_slice(&reply.body).ok();
        let said = said.as_ref().and_then(|said| said["error"].as_str());
        match (reply.status, said) {
            (StatusCode::UNAUTHORIZED, _) => bail!(
                "the node at {} wants its admin token: give it with --admin-token-file FILE{}",
                self.address,
                if self.token.is_some() { " (the one given is not its own)" } else { "" }
            ),
            (_, Some(said)) => bail!("{}", printable(said)),
            (status, None) => bail!("{} answered {status}: is it the admin address of a node?", self.address),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
        let address = &self.address;
        let stream = match tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address.as_str())).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => bail!("no node answers at {address}: {error}; is one running, and is this its --admin?"),
            Err(_) => bail!("no node answers at {address}: no connection within {} s", CONNECT_WITHIN.as_secs()),
        };
        let talk = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| anyhow::anyhow!(error))?;
            anyhow::Ok(Reply { status: parts.status, body: body.to_bytes() })
        };
        match tokio::time::timeout(ANSWER_WITHIN, talk).await {
            Ok(talked) => talked.with_context(|| format!("{address} does not answer as a node's admin address does")),
            Err(_) => bail!("the node at {address} was asked and said nothing for {} s", ANSWER_WITHIN.as_secs()),
        }
    }
}

/// A value of a query, escaped.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What came from elsewhere, without what could command a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
