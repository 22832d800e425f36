//! A gRPC client of the public API with a client certificate, for the command line and the demo. Adds no retry of its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

use api::admin_client::AdminClient;
use api::enrollment_client::EnrollmentClient;
use api::identity_client::IdentityClient;

/// The messages of the public API.
pub use crate::proto::{code_name, v1 as api};

pub mod explain;
pub mod import;
pub mod throttle;

/// Largest message that is sent or taken, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between pings on a connection, so that a dead server is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Where a server is and which files prove who asks.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `https://host:port`.
    pub server: String,
    /// Name the server's certificate must carry; `None` is the host of `server`.
    pub server_name: Option<String>,
    /// PEM file of the authority that signed the server's certificate.
    pub ca: PathBuf,
    /// PEM file of the client's certificate.
    pub cert: PathBuf,
    /// PEM file of the client's key.
    pub key: PathBuf,
}

/// Certificates in PEM. `Debug` shows nothing.
#[derive(Clone)]
pub struct Credentials {
    /// The authority that signed the server's certificate.
    pub ca_pem: String,
    /// The client's certificate.
    pub cert_pem: String,
    /// The client's key; wiped when dropped.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    /// Reads the three files of a configuration.
    pub fn read(config: &ClientConfig) -> Result<Self, ClientError> {
        Ok(Self {
            ca_pem: read(&config.ca, "--ca")?,
            cert_pem: read(&config.cert, "--cert")?,
            key_pem: Zeroizing::new(read(&config.key, "--key")?),
        })
    }
}

/// A connection to a server. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects with certificates from files.
    pub async fn connect(config: &ClientConfig) -> Result<Self, ClientError> {
        let credentials = Credentials::read(config)?;
        Self::connect_with(&config.server, config.server_name.as_deref(), &credentials).await
    }

    /// Connects with certificates in memory.
    pub async fn connect_with(
        server: &str,
        server_name: Option<&str>,
        credentials: &Credentials,
    ) -> Result<Self, ClientError> {
        let channel = endpoint(server, server_name, credentials)?
            .connect()
            .await
            .map_err(|source| ClientError::Unreachable {
                server: server.to_owned(),
                reason: explain::chain(&source),
            })?;
        Ok(Self { channel })
    }

    /// Identify and Verify.
    pub fn identity(&self) -> IdentityClient<Channel> {
        IdentityClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Enroll, Import, Erase, subjects and history.
    pub fn enrollment(&self) -> EnrollmentClient<Channel> {
        EnrollmentClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Tenants and their figures.
    pub fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

fn endpoint(
    server: &str,
    server_name: Option<&str>,
    credentials: &Credentials,
) -> Result<Endpoint, ClientError> {
    let refused = |reason: String| ClientError::Server {
        server: server.to_owned(),
        reason,
    };
    if !server.starts_with("https://") {
        return Err(refused(
            "https://host:port is expected; the server speaks TLS alone".to_owned(),
        ));
    }
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&credentials.ca_pem))
        .identity(Identity::from_pem(
            &credentials.cert_pem,
            credentials.key_pem.as_bytes(),
        ));
    if let Some(name) = server_name {
        tls = tls.domain_name(name);
    }
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|e| refused(explain::chain(&e)))?;
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        // An import is one long stream: a window of 64 KiB would make it wait for every round trip.
        .http2_adaptive_window(true)
        .tls_config(tls)
        .map_err(|e| ClientError::Credentials(explain::chain(&e)))
}

fn read(path: &Path, option: &'static str) -> Result<String, ClientError> {
    std::fs::read_to_string(path).map_err(|source| ClientError::File {
        option,
        path: path.to_owned(),
        source,
    })
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A certificate or key can't be read.
    #[error("{option} {path}: {source}; `thenar cert issue` makes client certificates")]
    File {
        /// Option that names the file.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address is no `https` URL.
    #[error("--server {server}: {reason}")]
    Server {
        /// What came.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The PEM files hold no usable certificate or key.
    #[error("certificates: {0}")]
    Credentials(String),
    /// Nobody answers there, or TLS failed.
    #[error("{server} can't be reached: {reason}")]
    Unreachable {
        /// Where.
        server: String,
        /// All causes, outermost first.
        reason: String,
    },
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
