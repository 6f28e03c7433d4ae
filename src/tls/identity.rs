//! What the node is to TLS clients: which certificate it shows, whose it asks for, which tickets it takes.
//!
//! The defaults are the whole of it: TLS 1.2 and 1.3; the AEAD suites of the provider with ephemeral keys; X25519MLKEM768
//! first among the key exchanges (draft-ietf-tls-ecdhe-mlkem); HTTP/2 and HTTP/1.1 by ALPN, or DNS where that is spoken; no
//! session kept on the node (tickets hold it), no early data (anybody could replay it, RFC 8446 §8), no renegotiation, no
//! compression.
//!
//! A hostname that asks for client certificates is a domain of its own: its sessions are never resumed, so that every
//! connection is proven against the authorities in force, and no ticket of another hostname opens it. Between hostnames
//! without, TLS itself binds a ticket to the name it was given for.

use super::certificates::Certificates;
use super::pair::Certificate;
use super::tickets::{Ticketer, Tickets};
use super::{ALPN_DNS, ALPN_HTTP1, ALPN_HTTP2, provider};
use crate::moment::Clock;
use crate::names::Hostname;
use crate::secret::Secret;
use crate::topology::{ClientAuth, Topology};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::collections::HashMap;
use std::sync::Arc;

/// How TLS is spoken to clients, at one version of certificates, secret and file.
#[derive(Debug)]
pub struct Identity {
    certificates: Arc<Certificates>,
    /// For everybody who is not asked for a certificate.
    open: Arc<ServerConfig>,
    /// `None`: nobody can be proven there, so nobody is let in.
    guarded: HashMap<Hostname, (Arc<ClientAuth>, Option<Arc<ServerConfig>>)>,
    /// For those who ask DNS: what it answers is no secret, so nobody has to prove anything.
    dns: Arc<ServerConfig>,
}

/// What is spoken on connections once they are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/2 or HTTP/1.1.
    Http,
    /// DNS messages with their lengths (RFC 7858 §3.3).
    Dns,
}

/// How one connection is to be spoken to.
#[derive(Debug)]
pub struct Chosen {
    /// How.
    pub config: Arc<ServerConfig>,
    /// What it is shown.
    pub certificate: Arc<Certificate>,
    /// Whom it named, if that is a name.
    pub server_name: Option<Hostname>,
    /// Whose certificates it is asked for.
    pub client_auth: Option<Arc<ClientAuth>>,
}

impl Identity {
    /// The identity with these certificates, tickets under `secret`, and client certificates as `topology` says.
    ///
    /// # Panics
    /// If the provider has no protocol version in common with itself.
    #[must_use]
    pub fn new(certificates: &Arc<Certificates>, secret: &Secret, topology: &Topology, clock: Clock) -> Self {
        let builder = || {
            ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .expect("the provider speaks TLS 1.2 and 1.3")
        };
        let shown = Arc::new(Shown(Arc::clone(certificates)));
        let finished = |mut config: ServerConfig| {
            config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.max_early_data_size = 0;
            config
        };
        let mut open = finished(builder().with_no_client_auth().with_cert_resolver(shown.clone()));
        open.ticketer = Arc::new(Ticketer { tickets: Tickets::new(secret), clock });
        let mut dns = open.clone();
        dns.alpn_protocols = vec![ALPN_DNS.to_vec()];
        let guarded = topology.routes.iter().filter_map(|route| {
            let asked = route.client_auth.as_ref()?;
            let config = verifier(asked).ok().map(|verifier| {
                let config = builder().with_client_cert_verifier(verifier).with_cert_resolver(shown.clone());
                let mut config = finished(config);
                config.send_tls13_tickets = 0;
                Arc::new(config)
            });
            Some((route.hostname.clone(), (Arc::clone(asked), config)))
        });
        let (guarded, open, dns) = (guarded.collect(), Arc::new(open), Arc::new(dns));
        Self { certificates: Arc::clone(certificates), open, guarded, dns }
    }

    /// How a client is spoken to that names this name. `None`: not at all, for nobody could be proven there, or we could not.
    #[must_use]
    pub fn choose(&self, speech: Speech, name: Option<&str>) -> Option<Chosen> {
        let server_name = name.and_then(|name| Hostname::parse(name).ok());
        let guarded = server_name.as_ref().and_then(|name| self.guarded.get(name));
        let (config, client_auth) = match (speech, guarded) {
            (Speech::Dns, _) => (&self.dns, None),
            (Speech::Http, Some((asked, config))) => (config.as_ref()?, Some(Arc::clone(asked))),
            (Speech::Http, None) => (&self.open, None),
        };
        let certificate = self.certificates.choose(server_name.as_ref().map(Hostname::as_str))?;
        Some(Chosen { config: Arc::clone(config), certificate: Arc::clone(certificate), server_name, client_auth })
    }

    /// The hostnames whose authorities are none that a certificate could be proven by: nobody is let in there.
    pub fn closed(&self) -> impl Iterator<Item = &Hostname> {
        self.guarded.iter().filter(|(_, (_, config))| config.is_none()).map(|(hostname, _)| hostname)
    }
}

fn verifier(asked: &ClientAuth) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, VerifierBuilderError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(asked.authorities.iter().cloned());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = if asked.is_required { verifier } else { verifier.allow_unauthenticated() };
    verifier.build()
}

/// Certificates, as TLS asks for them.
#[derive(Debug)]
struct Shown(Arc<Certificates>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| Hostname::parse(name).ok());
        Some(Arc::clone(&self.0.choose(name.as_ref().map(Hostname::as_str))?.key))
    }
}
