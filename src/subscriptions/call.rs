//! Calls of webhooks: the name is resolved once, what it leads to is looked at, and just that is dialled.

use super::address::{HookHost, HookUrl};
use super::fence;
use super::hook;
use super::outbox::Outcome;
use crate::fetch::{FetchError, Terms, fetch};
use crate::limits::{WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_TIME_MAX};
use crate::moment::Clock;
use crate::tls::trust::Trust;
use crate::topology::status::Webhooks;
use bytes::Bytes;
use hickory_resolver::TokioResolver;
use http::{Request, StatusCode};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// For one address to take a connection: time is left for another.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Who calls webhooks.
#[derive(Debug)]
pub struct Caller {
    clock: Clock,
    resolver: Option<TokioResolver>,
    /// Whom to believe under the terms it was made for. Locked for a moment only: making it reads some hundred certificates.
    trust: Mutex<Option<(Arc<Webhooks>, Trust)>>,
}

impl Caller {
    /// One who asks `resolver`; without it only addresses can be called.
    #[must_use]
    pub fn new(clock: Clock, resolver: Option<TokioResolver>) -> Self {
        Self { clock, resolver, trust: Mutex::default() }
    }

    /// Sends a signed message.
    pub async fn call(
        &self,
        url: &HookUrl,
        id: &str,
        body: Vec<u8>,
        secrets: &[Vec<u8>],
        terms: &Arc<Webhooks>,
    ) -> Outcome {
        let wall = self.clock.wall();
        let calling = async {
            let addresses = self.resolve(url, terms).await?;
            let mut request = Request::post(url.uri.clone());
            if let Some(fields) = request.headers_mut() {
                *fields = hook::signed(id, wall, &body, secrets);
            }
            let request = request.body(Bytes::from(body)).map_err(|error| error.to_string())?;
            let terms = Terms {
                trust: self.trust(terms),
                may_be_plain: false,
                time_max: WEBHOOK_TIME_MAX,
                connect_max: CONNECT_MAX,
                answer_bytes_max: WEBHOOK_ANSWER_BYTES_MAX,
                addresses: Some(addresses),
            };
            match fetch(request, &terms).await {
                Ok(answer) => Ok(answer.status()),
                // It was taken, and there is more to read than anybody wants.
                Err(FetchError::Long { status, .. }) => Ok(status),
                // What stands behind a name is not told to whoever gave us the name.
                Err(FetchError::Unreachable { .. }) => Err("it cannot be reached".to_owned()),
                Err(FetchError::Untrusted { .. }) => {
                    Err("its certificate is not trusted, or it speaks no TLS".to_owned())
                }
                Err(FetchError::Late { .. }) => Err(late()),
                Err(FetchError::Broken { .. } | FetchError::Url(_)) => Err("it broke off".to_owned()),
            }
        };
        let called = tokio::time::timeout(WEBHOOK_TIME_MAX, calling).await.unwrap_or_else(|_| Err(late()));
        match called {
            Ok(status) if status.is_success() => Outcome::Delivered,
            Ok(status) => {
                let is_gone = status == StatusCode::GONE;
                Outcome::Failed { why: format!("it answered {}", status.as_u16()), is_final: is_gone, is_gone }
            }
            Err(why) => Outcome::Failed { why, is_final: false, is_gone: false },
        }
    }

    async fn resolve(&self, url: &HookUrl, terms: &Webhooks) -> Result<Vec<SocketAddr>, String> {
        let addresses: Vec<IpAddr> = match (&url.host, &self.resolver) {
            (HookHost::Address(address), _) => vec![*address],
            (HookHost::Name(_), None) => return Err("names cannot be resolved at the moment".to_owned()),
            (HookHost::Name(name), Some(resolver)) => {
                // The final dot keeps the machine's search list out of it.
                let found = resolver.lookup_ip(format!("{name}.")).await;
                found.map_err(|_| "its name does not resolve".to_owned())?.iter().collect()
            }
        };
        fence::allowed(&addresses, url.port, &terms.private).map_err(str::to_owned)
    }

    fn trust(&self, terms: &Arc<Webhooks>) -> Trust {
        let mut kept = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((known, trust)) if known == terms => trust.clone(),
            _ => {
                let trust = Trust::new(&terms.trust);
                *kept = Some((Arc::clone(terms), trust.clone()));
                trust
            }
        }
    }
}

fn late() -> String {
    format!("it did not answer within {WEBHOOK_TIME_MAX:?}")
}
