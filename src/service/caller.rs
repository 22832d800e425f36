//! Who calls: the certificates that the TLS layer verified, from a request's extensions. Trusts no header.

use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use tonic::{Extensions, Status};

use super::status;
use crate::front::error::FrontError;
use crate::front::identity::{Caller, Certified};
use crate::front::revocation::Revocations;
use crate::model::id::PrincipalName;

/// What the other end of a connection showed; each request has it among its extensions. It is read once a connection.
#[derive(Clone)]
pub struct Peer(Arc<Shown>);

struct Shown {
    chain: Vec<CertificateDer<'static>>,
    caller: OnceLock<Arc<Caller>>,
    front: OnceLock<Arc<Certified<PrincipalName>>>,
}

impl Peer {
    /// From the chain that TLS verified, the peer's own certificate first.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Shown {
            chain,
            caller: OnceLock::new(),
            front: OnceLock::new(),
        }))
    }
}

/// What to wait for until the certificate that a request came with ends or is taken back, and what is told then. A stream outlives its certificate otherwise.
pub type Ends = Arc<dyn Fn(&Extensions) -> Result<BoxFuture<'static, Status>, Status> + Send + Sync>;

/// The ends of certificates of callers of the public API.
pub fn ends(trust_domain: Arc<str>, revocations: Revocations) -> Ends {
    Arc::new(move |extensions| waiting(of(extensions, &trust_domain, &revocations)))
}

/// The ends of certificates of fronts.
pub fn ends_of_fronts(trust_domain: Arc<str>, revocations: Revocations) -> Ends {
    Arc::new(move |extensions| waiting(front_node(extensions, &trust_domain, &revocations)))
}

fn waiting<P: Send + Sync + 'static>(
    certified: Result<Arc<Certified<P>>, FrontError>,
) -> Result<BoxFuture<'static, Status>, Status> {
    let told = |error| status::from_front(&error, "");
    let certified = certified.map_err(told)?;
    Ok(async move { told(certified.ended().await) }.boxed())
}

/// The caller of the public API.
pub fn of(
    extensions: &Extensions,
    trust_domain: &str,
    revocations: &Revocations,
) -> Result<Arc<Caller>, FrontError> {
    let shown = shown(extensions)?;
    once(&shown.caller, || {
        Caller::from_certificates(&shown.chain, trust_domain, revocations)
    })
}

/// The front that calls the internal service: `spiffe://<trust domain>/node/front/<name>`.
pub fn front_node(
    extensions: &Extensions,
    trust_domain: &str,
    revocations: &Revocations,
) -> Result<Arc<Certified<PrincipalName>>, FrontError> {
    let shown = shown(extensions)?;
    once(&shown.front, || {
        Certified::read(&shown.chain, trust_domain, revocations, front_name)
    })
}

/// Who was read before is looked at again: a connection may outlive a certificate.
fn once<P>(
    known: &OnceLock<Arc<Certified<P>>>,
    read: impl FnOnce() -> Result<Certified<P>, FrontError>,
) -> Result<Arc<Certified<P>>, FrontError> {
    if let Some(known) = known.get() {
        known.check()?;
        return Ok(Arc::clone(known));
    }
    let new = Arc::new(read()?);
    Ok(Arc::clone(known.get_or_init(|| new)))
}

fn shown(extensions: &Extensions) -> Result<&Shown, FrontError> {
    match extensions.get::<Peer>() {
        Some(peer) => Ok(&peer.0),
        None => Err(refused("the connection has no client certificate")),
    }
}

fn front_name(path: &str) -> Result<PrincipalName, FrontError> {
    path.strip_prefix("/node/front/")
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| refused(&format!("{path:?} is not /node/front/<name>")))
}

fn refused(problem: &str) -> FrontError {
    FrontError::Unauthenticated(problem.to_owned())
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
