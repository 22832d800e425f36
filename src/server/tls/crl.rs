//! Lists of certificates that their authority took back (CRLs, RFC 5280 section 5): read, and held against the authorities. Fetches none.

use std::collections::BTreeMap;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::material::{End, TlsError, file_error, seconds};
use crate::front::revocation::{CertificateId, Revoked};
use crate::model::timestamp::Timestamp;

/// The number of the newest list of each issuer (DER of its name), big-endian without leading zeros.
pub type Numbers = BTreeMap<Vec<u8>, Vec<u8>>;

/// All lists of one file, each signed by one of the authorities.
#[derive(Debug, Default)]
pub struct Lists {
    /// As they came.
    pub ders: Vec<CertificateRevocationListDer<'static>>,
    /// Everybody on them.
    pub revoked: Revoked,
    /// When the first of them began and ends.
    pub end: Option<End>,
    /// Their numbers; 0 for a list without one.
    pub numbers: Numbers,
}

impl Lists {
    /// Reads PEM. Refuses a list that none of `authorities` signed, or that may not be the whole truth about its authority: then nobody could tell who was taken back.
    pub fn read(path: &Path, pem: &[u8], authorities: &[CertificateDer<'_>]) -> Result<Self, TlsError> {
        let ders: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| file_error(path, error))?;
        if ders.is_empty() {
            return Err(file_error(path, "it holds no revocation list"));
        }
        let mut lists = Self::default();
        for der in &ders {
            let (_, list) =
                CertificateRevocationList::from_der(der).map_err(|error| file_error(path, error))?;
            let issuer = list.issuer();
            let raw = issuer.as_raw().to_vec();
            let number = list.crl_number().map(BigUint::to_bytes_be);
            if lists.numbers.insert(raw, number.unwrap_or_default()).is_some() {
                return Err(file_error(path, format!("it holds two lists of {issuer}")));
            }
            verify(path, &list, authorities)?;
            lists.add(path, &list)?;
        }
        lists.ders = ders;
        Ok(lists)
    }

    fn add(&mut self, path: &Path, list: &CertificateRevocationList<'_>) -> Result<(), TlsError> {
        let issuer = list.issuer().as_raw();
        self.revoked.extend(
            list.iter_revoked_certificates()
                .map(|revoked| CertificateId::new(issuer, revoked.raw_serial())),
        );
        let until = list
            .next_update()
            .ok_or_else(|| file_error(path, "it does not say until when it holds (nextUpdate)"))?;
        let end = End {
            which: "crl",
            path: path.to_owned(),
            from: seconds(list.last_update().timestamp()),
            until: seconds(until.timestamp()),
        };
        if self.end.as_ref().is_none_or(|first| end.until < first.until) {
            self.end = Some(end);
        }
        Ok(())
    }

    /// Refuses a list that is older than the one that was `known` of its issuer: it would let in who was taken back since.
    pub fn check_numbers(&self, path: &Path, known: &Numbers) -> Result<(), TlsError> {
        for (issuer, number) in &self.numbers {
            let newest = known.get(issuer);
            if newest.is_some_and(|newest| (number.len(), number) < (newest.len(), newest)) {
                return Err(file_error(
                    path,
                    "it holds an older list than the one that is in use (crlNumber)",
                ));
            }
        }
        Ok(())
    }

    /// Refuses lists one of which has ended.
    pub fn check_end(&self, now: Timestamp) -> Result<(), TlsError> {
        match &self.end {
            Some(end) if end.until < now => Err(file_error(
                &end.path,
                format!("the revocation list ended on {}", end.until),
            )),
            _ => Ok(()),
        }
    }
}

/// The one authority with the list's issuer as its name signed it.
fn verify(
    path: &Path,
    list: &CertificateRevocationList<'_>,
    authorities: &[CertificateDer<'_>],
) -> Result<(), TlsError> {
    let issuer = list.issuer();
    let parsed: Vec<_> = authorities
        .iter()
        .filter_map(|der| X509Certificate::from_der(der).ok())
        .map(|(_, certificate)| certificate)
        .filter(|certificate| certificate.subject().as_raw() == issuer.as_raw())
        .collect();
    match parsed.as_slice() {
        [] => Err(file_error(
            path,
            format!("the list is {issuer}'s, and none of the authorities has that name"),
        )),
        [authority] => list.verify_signature(authority.public_key()).map_err(|_| {
            file_error(
                path,
                format!("the list has not the signature of the authority {issuer}"),
            )
        }),
        _ => Err(file_error(
            path,
            format!(
                "two authorities are named {issuer}, so that a list of one would bar the other's certificates"
            ),
        )),
    }
}

#[cfg(test)]
#[path = "crl_tests.rs"]
mod tests;
