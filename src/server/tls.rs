//! TLS 1.3 with client certificates, on both sides: configurations and the loop that accepts. Knows chains and names of certificates, not what callers may do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// Connections that are past their handshake and not yet taken over.
const HANDED_OVER_MAX: usize = 64;
/// Pause after the operating system refused a connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why TLS could not be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A PEM file could not be read.
    #[error("can't read {}: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The files don't make a sound configuration.
    #[error("TLS can't be set up: {0}")]
    Config(String),
}

/// Where certificates are.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The authority that callers' certificates must come from.
    pub ca: PathBuf,
    /// The certificate shown, with its chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The server's side: TLS 1.3 alone, a client certificate of the authority required.
pub fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(config_error)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(config_error)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| pem_error(&files.key, &error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(config_error)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&files.cert)?, key)
        .map_err(config_error)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the check of the client's certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| pem_error(path, &error))?;
    if found.is_empty() {
        return Err(TlsError::Pem {
            path: path.to_owned(),
            reason: "it holds no certificate".to_owned(),
        });
    }
    Ok(found)
}

fn pem_error(path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::Pem {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn config_error(error: impl std::fmt::Display) -> TlsError {
    TlsError::Config(error.to_string())
}

/// Limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once, those in their handshake included.
    pub connections_max: usize,
    /// Longest handshake.
    pub handshake_max: Duration,
}

/// A connection and its place among the allowed ones.
pub type Connection = CountedStream<TlsStream<TcpStream>>;

/// Accepts until `stop` is cancelled and yields connections that finished their handshake.
pub fn accept(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    limits: Limits,
    stop: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(HANDED_OVER_MAX);
    tokio::spawn(accept_loop(
        listener,
        TlsAcceptor::from(config),
        limits,
        stop,
        sender,
    ));
    ReceiverStream::new(receiver)
}

async fn accept_loop(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    limits: Limits,
    stop: CancellationToken,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let next = async {
            let place = Arc::clone(&places)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = stop.cancelled() => return,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        tokio::spawn(async move {
            let handshake = async {
                stream.set_nodelay(true)?;
                acceptor.accept(stream).await
            };
            let outcome = tokio::time::timeout(limits.handshake_max, handshake)
                .await
                .unwrap_or_else(|_| {
                    Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the handshake took too long",
                    ))
                });
            match outcome {
                Ok(stream) => {
                    // The receiver is gone only while the server stops.
                    let _ = sender.send(Ok(CountedStream::new(stream, place))).await;
                }
                Err(error) => {
                    metrics::counter!(telemetry::HANDSHAKES_REFUSED).increment(1);
                    tracing::debug!(%peer, %error, "handshake refused");
                }
            }
        });
    }
}

pub use super::counted::CountedStream;

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
