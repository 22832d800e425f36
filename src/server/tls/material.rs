//! The files of TLS, read and checked as one set, and what either side makes of them. Watches nothing; `server::tls::rotation` does.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tonic::transport::Identity;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::super::files::check_private;
use super::crl::{Lists, Numbers};
use crate::front::revocation::{CertificateId, Revoked};
use crate::model::timestamp::Timestamp;

/// Largest file that is read, in bytes: a list of a million certificates has 40 MB in PEM.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Why TLS could not be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read, or does not fit the others.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The files don't make a sound configuration.
    #[error("TLS can't be set up: {0}")]
    Config(String),
}

pub(super) fn file_error(path: &Path, reason: impl Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn config_error(error: impl Display) -> TlsError {
    TlsError::Config(error.to_string())
}

/// Where certificates are.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// What the certificate is for, as metrics say it: `server` or `node`.
    pub which: &'static str,
    /// The authority that peers' certificates must come from.
    pub ca: PathBuf,
    /// The certificate shown, with its chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// What the authority took back.
    pub crl: PathBuf,
    /// Whether there has to be such a list.
    pub crl_required: bool,
}

impl TlsFiles {
    /// All of them.
    pub fn all(&self) -> [&Path; 4] {
        [&self.ca, &self.cert, &self.key, &self.crl]
    }
}

/// From when until when something of a file holds.
#[derive(Debug, Clone)]
pub struct End {
    /// What, as metrics say it.
    pub which: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The first moment.
    pub from: Timestamp,
    /// The last moment.
    pub until: Timestamp,
}

/// A point in time from seconds since 1970.
pub(super) fn seconds(since_1970: i64) -> Timestamp {
    Timestamp(since_1970.saturating_mul(1_000_000))
}

/// One set of files that fit together.
pub struct Material {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: (Vec<u8>, Zeroizing<Vec<u8>>),
    lists: Lists,
    crl: PathBuf,
    ends: Vec<End>,
}

impl Material {
    /// Reads them all. A certificate that has ended is no fault here; a list that has is.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let ca = certificates(&files.ca, &read(&files.ca)?)?;
        let mut roots = RootCertStore::empty();
        for authority in &ca {
            roots
                .add(authority.clone())
                .map_err(|error| file_error(&files.ca, error))?;
        }
        let pem = (read(&files.cert)?, Zeroizing::new(read(&files.key)?));
        check_private(&files.key).map_err(|error| file_error(&files.key, error))?;
        let chain = certificates(&files.cert, &pem.0)?;
        let key = PrivateKeyDer::from_pem_slice(&pem.1).map_err(|error| file_error(&files.key, error))?;
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(|error| {
            file_error(
                &files.key,
                format!("it is not the key of {}: {error}", files.cert.display()),
            )
        })?;
        let lists = lists(files, &ca)?;
        for authority in &ca {
            // TLS looks for those above the first certificate that it trusts no further.
            if lists
                .revoked
                .contains(&CertificateId::of(authority).map_err(|error| file_error(&files.ca, error))?)
            {
                return Err(file_error(
                    &files.ca,
                    "it holds an authority that was taken back; leave it out",
                ));
            }
        }
        let mut ends = vec![end("ca", &files.ca, &ca)?, end(files.which, &files.cert, &chain)?];
        ends.extend(lists.end.clone());
        Ok(Self {
            roots: Arc::new(roots),
            chain,
            key,
            pem,
            lists,
            crl: files.crl.clone(),
            ends,
        })
    }

    /// Who was taken back.
    pub fn revoked(&self) -> Revoked {
        self.lists.revoked.clone()
    }

    /// When the certificate, the authority and the list end.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// Whether there is a list of this issuer (DER of its name).
    pub fn has_list_of(&self, issuer: &[u8]) -> bool {
        self.lists.numbers.contains_key(issuer)
    }

    /// The numbers of the lists.
    pub fn numbers(&self) -> &Numbers {
        &self.lists.numbers
    }

    /// Refuses older lists than those `known`.
    pub fn check_numbers(&self, known: &Numbers) -> Result<(), TlsError> {
        self.lists.check_numbers(&self.crl, known)
    }

    /// Whether there is a list.
    pub fn has_list(&self) -> bool {
        !self.lists.ders.is_empty()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The server's side: TLS 1.3 alone, a client certificate of the authority required that was not taken back. An
/// authority without a list takes nobody back; with a list that has ended nobody is let in.
pub fn server_side(material: &Material) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&material.roots), provider())
        .with_crls(material.lists.ders.iter().cloned())
        .allow_unknown_revocation_status()
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| file_error(&material.crl, error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(config_error)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(material.chain.clone(), material.key.clone_key())
        .map_err(config_error)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the check of the client's certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// What a front shows to match nodes and asks of them.
#[derive(Clone)]
pub struct ClientSide {
    /// The front's certificate and key.
    pub identity: Identity,
    /// Looks at the node's certificate, and whether it was taken back.
    pub verifier: Arc<dyn ServerCertVerifier>,
}

/// The client's side, under the same rules.
pub fn client_side(material: &Material) -> Result<ClientSide, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&material.roots), provider())
        .with_crls(material.lists.ders.iter().cloned())
        .allow_unknown_revocation_status()
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| file_error(&material.crl, error))?;
    Ok(ClientSide {
        identity: Identity::from_pem(&material.pem.0, &material.pem.1),
        verifier,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_regular(path).map_err(|error| file_error(path, format!("can't be read: {error}")))
}

/// Reads a regular file and waits for nobody: a pipe would hold up this exchange of files and all later ones, and a device may have no end.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2) is an int");
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has more than {FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(bytes)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| file_error(path, error))?;
    if found.is_empty() {
        return Err(file_error(path, "it holds no certificate"));
    }
    Ok(found)
}

fn lists(files: &TlsFiles, authorities: &[CertificateDer<'_>]) -> Result<Lists, TlsError> {
    match read_regular(&files.crl) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !files.crl_required => Ok(Lists::default()),
        Err(error) => Err(file_error(&files.crl, format!("can't be read: {error}"))),
        Ok(pem) => {
            let lists = Lists::read(&files.crl, &pem, authorities)?;
            lists.check_end(Timestamp::now())?;
            Ok(lists)
        }
    }
}

/// The end of the one that ends first.
fn end(which: &'static str, path: &Path, chain: &[CertificateDer<'_>]) -> Result<End, TlsError> {
    let mut first: Option<End> = None;
    for der in chain {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| file_error(path, error))?;
        let validity = certificate.validity();
        let until = seconds(validity.not_after.timestamp());
        if first.as_ref().is_none_or(|first| until < first.until) {
            first = Some(End {
                which,
                path: path.to_owned(),
                from: seconds(validity.not_before.timestamp()),
                until,
            });
        }
    }
    first.ok_or_else(|| file_error(path, "it holds no certificate"))
}

#[cfg(test)]
#[path = "material_tests.rs"]
mod tests;
