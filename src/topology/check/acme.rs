//! Certificates by ACME: for which names, from whom, and who may ask.

use super::zone::few;
use super::{At, Proof};
use crate::limits::CERTIFICATE_NAMES_MAX;
use crate::topology::Topology;
use crate::topology::file::dns;
use crate::topology::mistake::Mistake;
use crate::topology::read::quoted;
use crate::topology::zone::words::CertificateName;
use crate::topology::zone::{Acme, ExternalAccount, master, name_of};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Below which label a name's challenges are answered (RFC 8555 §8.4).
const CHALLENGE: &str = "_acme-challenge";

impl Proof<'_> {
    pub(super) fn acme(&mut self, topology: &Topology) -> Option<Acme> {
        let At { value: written, span } = self.file.acme.as_ref()?;
        if self.file.zone.is_none() {
            let help = "add [zone]: certificates are proven by records that nodes answer themselves";
            self.error(span, "[acme] without [zone]", "nobody would answer for it", help);
        }
        let names = self.certificate_names(written, topology);
        self.challenges(&names, topology);
        if let Some(list) = &written.contact {
            self.repeated("contact", Some(list), |contact| contact.0.clone());
        }
        let authority = written.authority.as_ref().map_or_else(Vec::new, |file| self.authorities("authority", file));
        let external_account = written.external_account.as_ref().and_then(|account| self.account(&account.value));
        Some(Acme {
            directory: written.directory.as_ref().map_or("", |directory| &directory.value.0).into(),
            contact: written
                .contact
                .iter()
                .flat_map(|list| &list.value)
                .map(|contact| contact.value.0.clone())
                .collect(),
            names,
            profile: written.profile.as_ref().map(|profile| profile.value.0.as_str().into()),
            authority,
            external_account,
        })
    }

    /// What the certificate is for: names of the zone, none covered by another.
    fn certificate_names(&mut self, written: &dns::Acme, topology: &Topology) -> Vec<CertificateName> {
        let zone = &topology.zone;
        let whole = [false, true].map(|is_wildcard| CertificateName { base: zone.clone(), is_wildcard });
        let Some(list) = &written.names else { return whole.to_vec() };
        if list.value.is_empty() && !self.is_told_within(&list.span) {
            let help =
                "name hostnames of the zone, or remove this key: the zone itself and whatever is directly below it";
            self.error(&list.span, "names of [acme] is empty", "nothing in it", help);
        }
        if let Some(over) = list.value.get(CERTIFICATE_NAMES_MAX) {
            let title = format!("{} names of a certificate", list.value.len());
            self.error(&over.span, title, "one too many", format!("there may be at most {CERTIFICATE_NAMES_MAX}"));
        }
        for (at, At { value: name, span }) in list.value.iter().take(CERTIFICATE_NAMES_MAX).enumerate() {
            if !name.base.is_within(zone) {
                let title = format!("the certificate's name {name} is outside the zone {zone}");
                let help = "only names of the zone can be proven here: others have certificates from files";
                self.error(span, title, "not in the zone", help);
            }
            let is_again = |other: usize, known: &CertificateName| match known.is_wildcard && !name.is_wildcard {
                true => known.covers(&name.base),
                false => other < at && known == name,
            };
            let other = list.value.iter().enumerate().find(|(other, known)| is_again(*other, &known.value));
            if let Some((_, other)) = other {
                let title = format!("the certificate's name {name} is covered by {}", other.value);
                let help = "authorities refuse what is said twice: remove it";
                self.mistakes
                    .push(Mistake::error(span.clone(), title, "again here", help).and(other.span.clone(), "here"));
            }
        }
        let names: Vec<CertificateName> =
            list.value.iter().take(CERTIFICATE_NAMES_MAX).map(|name| name.value.clone()).collect();
        let is_open = |hostname: &&crate::names::Hostname| {
            hostname.is_within(zone) && !names.iter().any(|name| name.covers(hostname))
        };
        let hostnames = topology.routes.iter().map(|route| &route.hostname).chain(topology.own_hostnames());
        let open: Vec<String> = hostnames.filter(is_open).map(ToString::to_string).collect();
        if !open.is_empty() {
            let title = format!("the certificate of [acme] is not for {}", few(&open));
            let help = "add them to names, unless they have certificates from files";
            self.mistakes.push(Mistake::warning(list.span.clone(), title, "some are missing", help));
        }
        names
    }

    /// The names below which challenges are answered must be free, and not too long.
    fn challenges(&mut self, names: &[CertificateName], topology: &Topology) {
        let file = self.file;
        let records = file.zone.iter().flat_map(|zone| &zone.value.record).flat_map(|list| &list.value);
        let apex = name_of(&topology.zone);
        let mut challenges = Vec::new();
        for name in names {
            match name_of(&name.base).prepend_label(CHALLENGE.as_bytes()) {
                Ok(challenge) => challenges.push(challenge),
                Err(_) => {
                    let span = file.acme.as_ref().map_or(0..0, |acme| acme.span.clone());
                    let title = format!("the certificate's name {name} is too long");
                    self.error(&span, title, "no room", format!("{CHALLENGE} before it has to fit into 255 octets"));
                }
            }
        }
        for At { value: record, .. } in records {
            let Some(At { value: name, span }) = &*record.name else { continue };
            let Ok(owner) = master::owner(name, &apex) else { continue };
            if challenges.contains(&owner) {
                let title = format!("a record at {}, where [acme] answers", quoted(&master::shown(&owner)));
                self.error(
                    span,
                    title,
                    "taken",
                    "remove it: nodes answer the authority's challenges there by themselves",
                );
            }
        }
    }

    fn account(&mut self, written: &dns::ExternalAccount) -> Option<ExternalAccount> {
        let (id, file) = (written.id.as_ref()?, written.key_file.as_ref()?);
        let text = self.secret("key_file", file)?;
        let digits = text.trim_ascii().split(|octet| *octet == b'=').next().unwrap_or_default();
        let key = URL_SAFE_NO_PAD.decode(digits).ok().map(Zeroizing::new);
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            let title = format!("key_file {} has no key", quoted(&file.value));
            let help = "write the key into it as the authority gave it: one line in base64url";
            self.error(&file.span, title, "not in base64url", help);
            return None;
        };
        Some(ExternalAccount { id: id.value.0.as_str().into(), key: Arc::new(key) })
    }
}
