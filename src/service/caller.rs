//! Who calls: the certificate that the TLS layer verified, from a request's extensions. Trusts no header.

use rustls::pki_types::CertificateDer;
use tonic::Extensions;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::front::error::FrontError;
use crate::front::identity::Caller;
use crate::front::revocation::{Revocations, Standing};
use crate::model::id::PrincipalName;

/// The caller of the public API.
pub fn of(
    extensions: &Extensions,
    trust_domain: &str,
    revocations: &Revocations,
) -> Result<Caller, FrontError> {
    with_chain(extensions, |chain| {
        Caller::from_certificates(chain, trust_domain, revocations)
    })
}

/// The front that calls the internal service: `spiffe://<trust domain>/node/front/<name>`.
pub fn front_node(
    extensions: &Extensions,
    trust_domain: &str,
    revocations: &Revocations,
) -> Result<PrincipalName, FrontError> {
    with_chain(extensions, |chain| {
        Standing::of(chain, revocations)?.check()?;
        front_name(chain.first().ok_or_else(no_certificate)?, trust_domain)
    })
}

fn with_chain<T>(
    extensions: &Extensions,
    read: impl FnOnce(&[CertificateDer<'static>]) -> Result<T, FrontError>,
) -> Result<T, FrontError> {
    let info = extensions.get::<TlsConnectInfo<TcpConnectInfo>>();
    let certificates = info.and_then(TlsConnectInfo::peer_certs);
    read(&certificates.ok_or_else(no_certificate)?)
}

fn no_certificate() -> FrontError {
    refused("the connection has no client certificate")
}

fn front_name(der: &[u8], trust_domain: &str) -> Result<PrincipalName, FrontError> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| refused("the certificate can't be parsed"))?;
    if !certificate.validity().is_valid() {
        return Err(refused("the certificate has expired"));
    }
    let names = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(refused("the certificate has not exactly one SPIFFE id"));
    };
    uri.strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(trust_domain))
        .and_then(|path| path.strip_prefix("/node/front/"))
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| {
            refused(&format!(
                "{uri:?} is not spiffe://{trust_domain}/node/front/<name>"
            ))
        })
}

fn refused(problem: &str) -> FrontError {
    FrontError::Unauthenticated(problem.to_owned())
}
