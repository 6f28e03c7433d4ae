//! Files that the file names.

use super::{At, Proof};
use crate::geo::database::facts_of;
use crate::limits::{AUTHORIZATION_FILE_BYTES_MAX, GEO_DATABASE_BYTES_MAX, TRUST_FILE_BYTES_MAX};
use crate::topology::read::quoted;
use crate::topology::{ClientAuth, ClientCertificate};
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

impl Proof<'_> {
    /// The database's path. It must be readable and in MaxMind's format.
    pub(super) fn database(&mut self, written: &At<String>) -> PathBuf {
        let path = self.folder.join(&written.value);
        if let Some(bytes) = self.bytes("database", written, GEO_DATABASE_BYTES_MAX)
            && let Err(error) = facts_of(bytes, &path)
        {
            let title = format!("database {} cannot be used", quoted(&written.value));
            let help = "name a country or city .mmdb; without this key the database in the box is used";
            self.error(&written.span, title, error.to_string(), help);
        }
        path
    }

    /// Whose certificates the clients of a region's own hostname are asked for.
    pub(super) fn regional_client_auth(&mut self, at: usize) -> Option<Arc<ClientAuth>> {
        let region = &self.file.region.as_ref()?.value.get(at)?.value;
        self.client_auth(region.client_ca.as_ref(), region.client_certificate.as_ref())
    }

    /// Whose certificates clients are asked for.
    pub(super) fn client_auth(
        &mut self,
        authorities: Option<&At<Vec<At<String>>>>,
        whether: Option<&At<ClientCertificate>>,
    ) -> Option<Arc<ClientAuth>> {
        let Some(written) = authorities else {
            if let Some(At { span, .. }) = whether {
                let help = "add client_ca with PEM files of the authorities that sign them, or remove this key";
                self.error(span, "client_certificate without client_ca", "nobody signs them", help);
            }
            return None;
        };
        if written.value.is_empty() {
            let help = "name a PEM file with the authorities that sign clients' certificates, or remove this key";
            self.error(&written.span, "client_ca names no file", "nobody signs them", help);
        }
        let authorities = written.value.iter().flat_map(|file| self.authorities("client_ca", file)).collect();
        let is_required = whether.is_none_or(|whether| whether.value == ClientCertificate::Required);
        Some(Arc::new(ClientAuth { authorities, is_required }))
    }

    /// The certificates in a PEM file that `key` names; at least one.
    pub(super) fn authorities(&mut self, key: &str, written: &At<String>) -> Vec<CertificateDer<'static>> {
        let Some(bytes) = self.bytes(key, written, TRUST_FILE_BYTES_MAX) else { return Vec::new() };
        let named = quoted(&written.value);
        let help = "name a PEM file with one or more CERTIFICATE sections";
        let certificates: Vec<_> = match CertificateDer::pem_slice_iter(&bytes).collect() {
            Ok(certificates) => certificates,
            Err(error) => {
                self.error(&written.span, format!("{key} {named} is no PEM file"), error.to_string(), help);
                return Vec::new();
            }
        };
        if certificates.is_empty() {
            self.error(&written.span, format!("{key} {named} has no certificate"), "nobody in it", help);
        }
        for (at, certificate) in certificates.iter().enumerate() {
            if let Err(error) = x509_parser::parse_x509_certificate(certificate) {
                let title = format!("{key} {named} has a certificate that cannot be read, number {}", at + 1);
                self.error(&written.span, title, error.to_string(), help);
            }
        }
        certificates
    }

    /// The value of `Authorization` in a file; its mistakes are told if `is_told`.
    pub(super) fn authorization(&mut self, written: &At<String>, is_told: bool) -> Option<HeaderValue> {
        let before = self.mistakes.len();
        let bytes = self.bytes("authorization_file", written, AUTHORIZATION_FILE_BYTES_MAX);
        let text = bytes.as_deref().map(<[u8]>::trim_ascii);
        let mut value = text.filter(|text| !text.is_empty()).and_then(|text| HeaderValue::from_bytes(text).ok());
        match &mut value {
            Some(value) => value.set_sensitive(true),
            None if text.is_some() => {
                let title = format!("authorization_file {} has no value for a header", quoted(&written.value));
                let help = "write one line into it, such as \"Bearer …\"";
                self.error(&written.span, title, "empty, or with characters that no header may have", help);
            }
            None => {}
        }
        if !is_told {
            self.mistakes.truncate(before);
        }
        value
    }

    /// What is in a short file that nobody shall see.
    pub(super) fn secret(&mut self, key: &str, written: &At<String>) -> Option<Zeroizing<Vec<u8>>> {
        self.bytes(key, written, AUTHORIZATION_FILE_BYTES_MAX).map(Zeroizing::new)
    }

    /// What is in a file; a plain one, no longer than `bytes_max`, so that no pipe or device holds us up.
    fn bytes(&mut self, key: &str, written: &At<String>, bytes_max: u64) -> Option<Vec<u8>> {
        let path = self.folder.join(&written.value);
        let named = format!("{key} {}", quoted(&written.value));
        let help = format!("the path is relative to this file: {}", quoted(&path.display().to_string()));
        let problem = match std::fs::metadata(&path) {
            Err(error) => error.to_string(),
            Ok(about) if !about.is_file() => "not a plain file".to_owned(),
            Ok(about) if about.len() > bytes_max => format!("longer than {bytes_max} octets"),
            Ok(_) => match std::fs::read(&path) {
                Ok(bytes) => {
                    let digest = digest(&SHA256, &bytes).as_ref().to_vec();
                    self.files.push((path, digest));
                    return Some(bytes);
                }
                Err(error) => error.to_string(),
            },
        };
        self.error(&written.span, format!("{named} cannot be read"), problem, help);
        None
    }
}
