//! Who calls: the SPIFFE id in a client certificate. The chain and the key were checked by TLS before; dates and revocation are looked at again with every request, for a connection may outlive a certificate.

use std::time::Duration;

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::error::FrontError;
use super::revocation::{Revocations, Standing};
use crate::model::principal::Principal;
use crate::model::timestamp::Timestamp;

/// Longest time between two looks at the clock while a certificate's end is awaited: the clock may be set.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Somebody authenticated by a certificate.
#[derive(Debug, Clone)]
pub struct Certified<P> {
    /// Who it is.
    pub principal: P,
    /// When its certificate ends.
    pub valid_until: Timestamp,
    /// Whether it was taken back.
    pub standing: Standing,
}

/// A caller of the public API.
pub type Caller = Certified<Principal>;

impl<P> Certified<P> {
    /// Refuses once the certificate has ended or was taken back: a stream outlives it.
    pub fn check(&self) -> Result<(), FrontError> {
        if Timestamp::now() > self.valid_until {
            return Err(FrontError::Unauthenticated("it has expired".to_owned()));
        }
        self.standing.check()
    }

    /// Waits until [`Certified::check`] refuses.
    pub async fn ended(&self) -> FrontError {
        let mut standing = self.standing.clone();
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            let left = u64::try_from(self.valid_until.0.saturating_sub(Timestamp::now().0)).unwrap_or(0);
            let left = Duration::from_micros(left.saturating_add(1)).min(LOOK_EVERY);
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = standing.changed() => {}
            }
        }
    }

    /// Reads the principal from the first of a chain of DER-encoded certificates: exactly one URI among its subject
    /// alternative names, a SPIFFE id (X.509-SVID, section 2) of this trust domain, of whose path `parse` makes one. Refuses a chain of which a
    /// certificate was taken back.
    pub fn read(
        chain: &[impl AsRef<[u8]>],
        trust_domain: &str,
        revocations: &Revocations,
        parse: impl FnOnce(&str) -> Result<P, FrontError>,
    ) -> Result<Self, FrontError> {
        let Some(leaf) = chain.first() else {
            return Err(FrontError::Unauthenticated("there is none".to_owned()));
        };
        let standing = Standing::of(chain, revocations)?;
        standing.check()?;
        let (_, certificate) = X509Certificate::from_der(leaf.as_ref())
            .map_err(|_| FrontError::Unauthenticated("it is not an X.509 certificate".to_owned()))?;
        if !certificate.validity().is_valid() {
            return Err(FrontError::Unauthenticated("it has expired".to_owned()));
        }
        Ok(Self {
            principal: parse(path(only_uri(&certificate)?, trust_domain)?)?,
            valid_until: first_end(chain)?,
            standing,
        })
    }
}

impl Caller {
    /// Reads a caller of the public API; see [`Certified::read`].
    pub fn from_certificates(
        chain: &[impl AsRef<[u8]>],
        trust_domain: &str,
        revocations: &Revocations,
    ) -> Result<Self, FrontError> {
        Self::read(chain, trust_domain, revocations, |path| {
            Principal::from_path(path).map_err(|refusal| FrontError::Unauthenticated(refusal.to_string()))
        })
    }
}

/// The only URI among the subject alternative names of a certificate (DER), whatever it says. For counting; [`Certified::read`] says who it is.
pub fn spiffe_id(leaf: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    only_uri(&certificate).ok().map(str::to_owned)
}

fn only_uri<'a>(certificate: &X509Certificate<'a>) -> Result<&'a str, FrontError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| FrontError::Unauthenticated("its subject alternative names can't be read".to_owned()))?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris.as_slice() {
        [uri] => Ok(uri),
        uris => Err(FrontError::Unauthenticated(format!(
            "it holds {} URIs; exactly one SPIFFE id is expected among its subject alternative names",
            uris.len()
        ))),
    }
}

/// When the first of a chain of certificates ends.
fn first_end(chain: &[impl AsRef<[u8]>]) -> Result<Timestamp, FrontError> {
    let mut first = i64::MAX;
    for der in chain {
        let (_, certificate) = X509Certificate::from_der(der.as_ref())
            .map_err(|_| FrontError::Unauthenticated("it is not an X.509 certificate".to_owned()))?;
        first = first.min(certificate.validity().not_after.timestamp());
    }
    Ok(Timestamp(first.saturating_mul(1_000_000)))
}

/// The path of a SPIFFE id of this trust domain.
fn path<'a>(uri: &'a str, trust_domain: &str) -> Result<&'a str, FrontError> {
    let rest = uri
        .strip_prefix("spiffe://")
        .ok_or_else(|| FrontError::Unauthenticated(format!("{uri:?} is not a SPIFFE id (spiffe://…)")))?;
    let path_at = rest.find('/').unwrap_or(rest.len());
    let (domain, path) = rest.split_at(path_at);
    if domain != trust_domain {
        return Err(FrontError::Unauthenticated(format!(
            "it is of trust domain {domain:?}; this server's is {trust_domain:?}"
        )));
    }
    Ok(path)
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
