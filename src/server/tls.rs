//! The loop that accepts connections of TLS 1.3, each with the configuration of its moment. Knows not what callers may do.

pub mod crl;
pub mod material;
pub mod rotation;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::doors::Doors;
use crate::front::identity;
use crate::telemetry;

/// Connections that are past their handshake and not yet taken over.
const HANDED_OVER_MAX: usize = 64;
/// Pause after the operating system refused a connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Longest silence of a caller after its first byte. Callers that are there answer pings far more often.
const SILENCE_MAX: Duration = Duration::from_mins(1);

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
    let doors = Arc::new(Doors::new(&limits));
    // The system refuses connections now. Told when it begins and when it ends.
    let mut is_refused = false;
    loop {
        let next = async {
            let handshake = doors.handshake().await;
            (listener.accept().await, handshake)
        };
        let (accepted, handshake) = tokio::select! {
            () = stop.cancelled() => return,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => {
                if std::mem::take(&mut is_refused) {
                    tracing::info!("connections are accepted again");
                }
                accepted
            }
            Err(error) => {
                metrics::counter!(telemetry::ACCEPTS_FAILED).increment(1);
                if !std::mem::replace(&mut is_refused, true) {
                    tracing::warn!(%error, "connections can't be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(knock) = doors.knock(peer.ip(), handshake) else {
            continue;
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&config.borrow()));
        let (doors, sender) = (Arc::clone(&doors), sender.clone());
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
                    let Some(place) = doors.enter(knock, who(&stream)) else {
                        return;
                    };
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

/// The name in the certificate of whoever is at the other end. Those without one, whom every call refuses, are one.
fn who(stream: &TlsStream<TcpStream>) -> String {
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    leaf.and_then(|leaf| identity::spiffe_id(leaf))
        .unwrap_or_default()
}

pub use super::counted::CountedStream;
pub use super::doors::Limits;

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
