//! Taking certificates back: serial numbers, and the list that the authority signs. Tells no server; a running one sees the file.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{Pki, PkiError, io};
use crate::server::files::replace_public;
use crate::server::tls::crl::Lists;

/// The file in the directory of an authority that lists what it took back.
pub const CRL_FILE: &str = "crl.pem";
/// Most days that a list may hold.
pub const CRL_DAYS_MAX: u32 = 825;
/// Most bytes of a serial number (RFC 5280, section 4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// A certificate's serial number, without leading zeros. As text: hexadecimal digits; colons and leading zeros are read too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serial(Vec<u8>);

impl Serial {
    fn new(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes.iter().skip(zeros).copied().collect())
    }

    /// Of the first certificate of a PEM file.
    pub fn of_pem(pem: &[u8]) -> Result<Self, PkiError> {
        Ok(of(&first(pem)?)?.0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Serial {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let refused = || PkiError::Serial(text.to_owned());
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let padded = format!(
            "{}{digits}",
            if digits.len().is_multiple_of(2) { "" } else { "0" }
        );
        let pairs: Option<Vec<&str>> = (0..padded.len())
            .step_by(2)
            .map(|at| padded.get(at..at + 2))
            .collect();
        let bytes = pairs.ok_or_else(refused)?;
        let bytes: Result<Vec<u8>, _> = bytes.iter().map(|pair| u8::from_str_radix(pair, 16)).collect();
        let serial = Self::new(&bytes.map_err(|_| refused())?);
        if serial.0.is_empty() || serial.0.len() > SERIAL_BYTES_MAX || digits.contains('+') {
            return Err(refused());
        }
        Ok(serial)
    }
}

/// A list that was signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedList {
    /// Certificates on it.
    pub certificates: usize,
    /// When it ends.
    pub until: OffsetDateTime,
}

impl Pki {
    /// The serial number of a certificate (PEM) of this authority.
    pub fn serial_of(&self, dir: &Path, pem: &[u8]) -> Result<Serial, PkiError> {
        let (serial, issuer) = of(&first(pem)?)?;
        let authority = authority(dir)?;
        let (_, authority) = X509Certificate::from_der(&authority).map_err(|_| PkiError::NoCertificate)?;
        if issuer != authority.subject().as_raw() {
            return Err(PkiError::Foreign);
        }
        Ok(serial)
    }

    /// Adds to the list in `dir`, which is made where it is missing, and signs it for so many days from now.
    pub fn revoke(&self, dir: &Path, serials: &[Serial], days: u32) -> Result<SignedList, PkiError> {
        if !(1..=CRL_DAYS_MAX).contains(&days) {
            return Err(PkiError::Days(days));
        }
        let path = dir.join(CRL_FILE);
        // Whoever else adds to the list waits, and adds to this one.
        let alone = fs::File::open(dir).map_err(|source| io("open", dir, source))?;
        alone.lock().map_err(|source| io("lock", dir, source))?;
        let (mut revoked, known) = match fs::read(&path) {
            Ok(pem) => listed(&path, &pem, &authority(dir)?)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => <_>::default(),
            Err(source) => return Err(io("read", &path, source)),
        };
        let now = OffsetDateTime::now_utc();
        for serial in serials {
            let number = SerialNumber::from_slice(&serial.0);
            if revoked.iter().all(|entry| entry.serial_number != number) {
                revoked.push(RevokedCertParams {
                    serial_number: number,
                    revocation_time: now,
                    reason_code: None,
                    invalidity_date: None,
                });
            }
        }
        let certificates = revoked.len();
        let until = now + Duration::days(i64::from(days));
        // Servers take none with a lower number than they have had, also where the clock was ahead then.
        let micros = u64::try_from(now.unix_timestamp_nanos() / 1_000).unwrap_or(0);
        let number = BigUint::from(micros).max(known + 1_u32);
        let list = CertificateRevocationListParams {
            // An hour of slack for clocks that run late.
            this_update: now - Duration::hours(1),
            next_update: until,
            crl_number: SerialNumber::from_slice(&number.to_bytes_be()),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&self.issuer)?.pem()?;
        replace_public(&path, pem.as_bytes()).map_err(|source| io("write", &path, source))?;
        Ok(SignedList { certificates, until })
    }
}

/// What is on the list already, which has to be the authority's own, and its number.
fn listed(
    path: &Path,
    pem: &[u8],
    authority: &CertificateDer<'_>,
) -> Result<(Vec<RevokedCertParams>, BigUint), PkiError> {
    let refused = |reason: String| PkiError::List(reason);
    let lists = Lists::read(path, pem, std::slice::from_ref(authority))
        .map_err(|error| refused(error.to_string()))?;
    let number = lists
        .numbers
        .values()
        .map(|bytes| BigUint::from_bytes_be(bytes))
        .max();
    let mut entries = Vec::new();
    for der in &lists.ders {
        let (_, list) = CertificateRevocationList::from_der(der)
            .map_err(|error| refused(format!("{}: {error}", path.display())))?;
        entries.extend(list.iter_revoked_certificates().map(|entry| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&Serial::new(entry.raw_serial()).0),
            revocation_time: entry.revocation_date.to_datetime(),
            reason_code: None,
            invalidity_date: None,
        }));
    }
    Ok((entries, number.unwrap_or_default()))
}

fn authority(dir: &Path) -> Result<CertificateDer<'static>, PkiError> {
    let path = dir.join("ca.pem");
    first(&fs::read(&path).map_err(|source| io("read", &path, source))?)
}

fn first(pem: &[u8]) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem).map_err(|_| PkiError::NoCertificate)
}

/// Serial number and issuer (DER).
fn of(der: &CertificateDer<'_>) -> Result<(Serial, Vec<u8>), PkiError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| PkiError::NoCertificate)?;
    Ok((
        Serial::new(certificate.raw_serial()),
        certificate.issuer().as_raw().to_vec(),
    ))
}

#[cfg(test)]
#[path = "revoke_tests.rs"]
mod tests;
