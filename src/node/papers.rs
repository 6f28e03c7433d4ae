//! What a node needs that is secret: certificates and keys, the fleet's secret, the operators' token.

use super::{Options, StartError};
use crate::acme::store::Store;
use crate::moment::Clock;
use crate::reload::tls::Papers;
use crate::status::guard::Token;
use crate::tls::certificates::Sources;
use crate::topology::Topology;

/// What admin requests must carry; they must carry something if others could make them.
pub(super) fn token(options: &Options) -> Result<Option<Token>, StartError> {
    let token = options.admin_token_file.as_deref().map(Token::read).transpose()?;
    match options.admin.iter().find(|admin| token.is_none() && !admin.ip().is_loopback()) {
        Some(open) => Err(StartError::OpenAdmin(*open)),
        None => Ok(token),
    }
}

/// Certificates, keys and the fleet's secret.
pub(super) fn papers(options: &Options, topology: &Topology, clock: Clock) -> Result<Papers, StartError> {
    if topology.acme.is_some() {
        Store::in_state(&options.state_dir).make_ready(clock.wall())?;
    }
    let mut sources = Sources::default();
    let https = options.https.iter().map(|listen| ("--https", listen.address));
    let dot = options.dot.iter().map(|address| ("--dot", *address));
    if let Some((flag, address)) = https.chain(dot).next() {
        sources = Sources {
            pairs: options.certificates.clone(),
            folders: options.certificate_folders.clone(),
            ordered: Some(Store::in_state(&options.state_dir).certificate()),
        };
        if sources.are_only_ordered() && topology.acme.is_none() {
            return Err(StartError::NoCertificate { flag, address });
        }
    }
    Ok(Papers::read(sources, options.secret_file.clone(), topology, clock)?)
}
