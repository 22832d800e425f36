//! The private certificate authority that `init` makes, and the certificates it issues. Verifies nothing; `server::tls` does.

mod revoke;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

pub use self::revoke::{CRL_DAYS_MAX, CRL_FILE, Serial, SignedList};
use super::files::{check_private, create_private_dir, write_private, write_public};
use crate::model::principal::Principal;

/// Days that the authority's certificate is valid.
const CA_DAYS: i64 = 20 * 365;
/// Days that a server's certificate is valid.
pub const SERVER_DAYS: u32 = 825;
/// Most days that a client's certificate may be valid.
pub const CLIENT_DAYS_MAX: u32 = 825;

/// Why a certificate could not be made.
#[derive(Debug, Error)]
pub enum PkiError {
    /// From the certificate library.
    #[error("can't make the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file could not be read or written.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Days out of range.
    #[error("days: {0} is not from 1 to {CLIENT_DAYS_MAX}")]
    Days(u32),
    /// A text that is no serial number.
    #[error("{0:?} is neither a file nor a serial number of 1 to 20 bytes as hexadecimal digits")]
    Serial(String),
    /// A file that should hold a certificate.
    #[error("it holds no certificate")]
    NoCertificate,
    /// A certificate of somebody else.
    #[error("it is not a certificate of this authority")]
    Foreign,
    /// A revocation list that can't be gone on with.
    #[error("the revocation list can't be gone on with: {0}")]
    List(String),
    /// A SPIFFE id or name that no certificate can hold.
    #[error("{0:?} can't stand in a certificate")]
    Name(String),
}

/// A certificate and its key, as PEM.
pub struct IssuedCert {
    /// The certificate.
    pub cert_pem: String,
    /// PKCS #8. Wiped when dropped.
    pub key_pem: Zeroizing<String>,
}

impl IssuedCert {
    /// Its serial number.
    pub fn serial(&self) -> Result<Serial, PkiError> {
        Serial::of_pem(self.cert_pem.as_bytes())
    }

    /// Writes `NAME.pem` and `NAME.key` (0600) into a directory, which is made where it is missing.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(), PkiError> {
        create_private_dir(dir).map_err(|source| io("create", dir, source))?;
        let cert = dir.join(format!("{name}.pem"));
        let key = dir.join(format!("{name}.key"));
        write_private(&key, self.key_pem.as_bytes()).map_err(|source| io("write", &key, source))?;
        write_public(&cert, self.cert_pem.as_bytes()).map_err(|source| io("write", &cert, source))
    }
}

/// A node of a deployment, as its certificate names it: `spiffe://<trust domain>/node/<kind>/<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A front: let into match nodes.
    Front,
    /// A match node.
    Match,
}

impl NodeKind {
    /// As it stands in the SPIFFE id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Match => "match",
        }
    }
}

/// The file in the directory of an authority that says for which trust domain it was made.
const TRUST_DOMAIN_FILE: &str = "trust-domain";

/// The trust domain of the authority in `dir`.
pub fn trust_domain(dir: &Path) -> Result<String, PkiError> {
    let path = dir.join(TRUST_DOMAIN_FILE);
    let text = fs::read_to_string(&path).map_err(|source| io("read", &path, source))?;
    Ok(text.trim().to_owned())
}

/// The authority of one deployment.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    trust_domain: String,
}

impl Pki {
    /// Makes an authority in `dir` (`ca.pem`, `ca.key`, `trust-domain`).
    pub fn init(dir: &Path, trust_domain: &str) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        // A name of its own, so that a later authority of the same trust domain is told from it by its lists.
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.public_key_raw());
        let id = digest.as_ref().first_chunk().expect("a digest has 32 bytes");
        let id = format!("{:08x}", u32::from_be_bytes(*id));
        params.distinguished_name = name(&format!("thenar authority {id} of {trust_domain}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for(&mut params, CA_DAYS);
        let ca = IssuedCert {
            cert_pem: params.self_signed(&key)?.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        };
        ca.write(dir, "ca")?;
        let path = dir.join(TRUST_DOMAIN_FILE);
        write_public(&path, trust_domain.as_bytes()).map_err(|source| io("write", &path, source))?;
        Self::open(dir)
    }

    /// Opens the authority in `dir`.
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        let read = |file: &str| {
            let path = dir.join(file);
            fs::read_to_string(&path).map_err(|source| io("read", &path, source))
        };
        let key = Zeroizing::new(read("ca.key")?);
        let path = dir.join("ca.key");
        check_private(&path).map_err(|source| io("use", &path, source))?;
        let issuer = Issuer::from_ca_cert_pem(&read("ca.pem")?, KeyPair::from_pem(&key)?)?;
        Ok(Self {
            issuer,
            trust_domain: trust_domain(dir)?,
        })
    }

    /// A client certificate that names this principal and nothing else.
    pub fn issue(&self, principal: &Principal, days: u32) -> Result<IssuedCert, PkiError> {
        if !(1..=CLIENT_DAYS_MAX).contains(&days) {
            return Err(PkiError::Days(days));
        }
        let mut params = CertificateParams::default();
        valid_for(&mut params, i64::from(days));
        self.client(params, &principal.path())
    }

    /// A client certificate for the time that `params` say.
    pub(super) fn client(&self, mut params: CertificateParams, path: &str) -> Result<IssuedCert, PkiError> {
        params.distinguished_name = name(path.trim_start_matches('/'));
        params.subject_alt_names = vec![self.spiffe(path)?];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// A server's certificate for these names, and for loopback.
    pub fn issue_server(&self, dns_names: &[String]) -> Result<IssuedCert, PkiError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = server_names(dns_names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.server(params, "thenar")
    }

    /// A node's certificate, for both ends of the connection between front and match.
    pub fn issue_node(
        &self,
        kind: NodeKind,
        node: &str,
        dns_names: &[String],
    ) -> Result<IssuedCert, PkiError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = server_names(dns_names)?;
        params
            .subject_alt_names
            .push(self.spiffe(&format!("/node/{}/{node}", kind.as_str()))?);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.server(params, node)
    }

    fn server(&self, mut params: CertificateParams, common_name: &str) -> Result<IssuedCert, PkiError> {
        params.distinguished_name = name(common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        valid_for(&mut params, i64::from(SERVER_DAYS));
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<IssuedCert, PkiError> {
        let key = KeyPair::generate()?;
        Ok(IssuedCert {
            cert_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
    }

    fn spiffe(&self, path: &str) -> Result<SanType, PkiError> {
        let id = format!("spiffe://{}{path}", self.trust_domain);
        let text = id.as_str().try_into().map_err(|_| PkiError::Name(id.clone()))?;
        Ok(SanType::URI(text))
    }
}

fn server_names(dns_names: &[String]) -> Result<Vec<SanType>, PkiError> {
    let mut names = vec![
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    for dns_name in std::iter::once("localhost").chain(dns_names.iter().map(String::as_str)) {
        names.push(match dns_name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                dns_name
                    .try_into()
                    .map_err(|_| PkiError::Name(dns_name.to_owned()))?,
            ),
        });
    }
    Ok(names)
}

fn name(common_name: &str) -> DistinguishedName {
    // The common name has at most 64 bytes (RFC 5280); it is for people, the SPIFFE id counts.
    let mut distinguished = DistinguishedName::new();
    distinguished.push(
        DnType::CommonName,
        common_name.chars().take(64).collect::<String>(),
    );
    distinguished
}

fn valid_for(params: &mut CertificateParams, days: i64) {
    // An hour of slack for clocks that run late.
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(days);
    params.use_authority_key_identifier_extension = true;
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> PkiError {
    PkiError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
#[path = "pki_tests.rs"]
mod tests;
