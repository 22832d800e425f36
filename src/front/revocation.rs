//! Certificates that their authority took back, as they are known now. Reads no list; the server does.

use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::FrontError;

/// A certificate: the name of its issuer as it stands in it (DER), and its serial number (big-endian, no leading zeros).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateId {
    issuer: Box<[u8]>,
    serial: Box<[u8]>,
}

impl CertificateId {
    /// From the DER of an issuer's name and the content of a serial number.
    pub fn new(issuer: &[u8], serial: &[u8]) -> Self {
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        Self {
            issuer: issuer.into(),
            serial: serial.get(zeros..).unwrap_or_default().into(),
        }
    }

    /// The issuer's name, DER.
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// Of a certificate, DER.
    pub fn of(der: &[u8]) -> Result<Self, FrontError> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|_| FrontError::Unauthenticated("it is not an X.509 certificate".to_owned()))?;
        Ok(Self::new(certificate.issuer().as_raw(), certificate.raw_serial()))
    }
}

/// All that were taken back.
pub type Revoked = HashSet<CertificateId>;

/// What was taken back, now and as it changes.
#[derive(Debug, Clone)]
pub struct Revocations(watch::Receiver<Arc<Revoked>>);

impl Revocations {
    /// Follows what whoever reads the lists tells.
    pub fn new(told: watch::Receiver<Arc<Revoked>>) -> Self {
        Self(told)
    }

    /// Returns when something changed; never once nobody reads the lists any more.
    async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// How the certificates that somebody showed stand with their authority, now and later.
#[derive(Debug, Clone)]
pub struct Standing {
    certificates: Vec<CertificateId>,
    revocations: Revocations,
}

impl Standing {
    /// Of a chain of DER-encoded certificates.
    pub fn of(chain: &[impl AsRef<[u8]>], revocations: &Revocations) -> Result<Self, FrontError> {
        let ids = chain.iter().map(|der| CertificateId::of(der.as_ref()));
        Ok(Self {
            certificates: ids.collect::<Result<_, _>>()?,
            revocations: revocations.clone(),
        })
    }

    /// Refuses once one of them was taken back.
    pub fn check(&self) -> Result<(), FrontError> {
        let revoked = self.revocations.0.borrow();
        if self.certificates.iter().any(|id| revoked.contains(id)) {
            return Err(FrontError::Unauthenticated("it was revoked".to_owned()));
        }
        Ok(())
    }

    /// Returns when that may have changed.
    pub(super) async fn changed(&mut self) {
        self.revocations.changed().await;
    }
}

/// Never taken back.
#[cfg(test)]
impl Default for Standing {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            revocations: Revocations(watch::channel(Arc::default()).1),
        }
    }
}

#[cfg(test)]
#[path = "revocation_tests.rs"]
mod tests;
