//! The loop that accepts connections of TLS 1.3, each with the configuration of its moment. Knows no names in certificates, nor what callers may do.

pub mod crl;
pub mod material;
pub mod rotation;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// Connections that are past their handshake and not yet taken over.
const HANDED_OVER_MAX: usize = 64;
/// Pause after the operating system refused a connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Longest silence of a caller after its first byte. Callers that are there answer pings far more often.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once, those in their handshake included.
    pub connections_max: usize,
    /// Longest handshake; as long again may the first byte take that follows it.
    pub handshake_max: Duration,
}

/// A connection and its place among the allowed ones.
pub type Connection = CountedStream<TlsStream<TcpStream>>;

/// Accepts until `stop` is cancelled and yields connections that finished their handshake. What `config` holds when one arrives is what it gets.
pub fn accept(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    limits: Limits,
    stop: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(HANDED_OVER_MAX);
    tokio::spawn(accept_loop(listener, config, limits, stop, sender));
    ReceiverStream::new(receiver)
}

async fn accept_loop(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
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
        let acceptor = TlsAcceptor::from(Arc::clone(&config.borrow()));
        let sender = sender.clone();
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
                    let stream = CountedStream::new(stream, place, limits.handshake_max, SILENCE_MAX);
                    let _ = sender.send(Ok(stream)).await;
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
