//! Connections as an attacker makes them: from addresses of its choice, with any certificate or none, as far as it likes. Speaks no gRPC by itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use thenar::client::Credentials;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;

/// The name in the server's certificate.
const SERVER_NAME: &str = "localhost";
/// The first 24 bytes of HTTP/2 and an empty SETTINGS frame (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What one attacker shows.
#[derive(Clone)]
pub struct Mask {
    config: Arc<ClientConfig>,
}

impl Mask {
    /// A certificate, or none.
    pub fn new(ca_pem: &str, shown: Option<&Credentials>) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(authority?)?;
        }
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let chain =
                    CertificateDer::pem_slice_iter(shown.cert_pem.as_bytes()).collect::<Result<_, _>>()?;
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(shown.key_pem.as_bytes())?)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The first flight of a handshake.
    pub fn hello(&self) -> Result<Vec<u8>, Failure> {
        let mut session =
            ClientConnection::new(Arc::clone(&self.config), ServerName::try_from(SERVER_NAME)?)?;
        let mut bytes = Vec::new();
        session.write_tls(&mut bytes)?;
        Ok(bytes)
    }

    /// A whole handshake, as this side sees it.
    pub async fn shake_hands(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        Ok(connector
            .connect(ServerName::try_from(SERVER_NAME)?, stream)
            .await?)
    }
}

/// Where attackers come from.
pub struct Sources {
    network: u8,
    addresses: u8,
    used: AtomicU8,
}

impl Sources {
    /// So many addresses of `127.NETWORK.0.0/16`, all of which are this machine.
    pub fn new(network: u8, addresses: u8) -> Self {
        Self {
            network,
            addresses,
            used: AtomicU8::new(0),
        }
    }

    /// A connection from the next of them.
    pub async fn connect(&self, to: SocketAddr) -> std::io::Result<TcpStream> {
        let number = self.used.fetch_add(1, Ordering::Relaxed) % self.addresses;
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, self.network, 0, number + 1), 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// HTTP/2 on a connection; it answers pings by itself for as long as the process runs or the server allows.
pub async fn speak(stream: TlsStream<TcpStream>) -> Result<SendRequest<Bytes>, Failure> {
    let (sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender.ready().await?)
}
