//! From an address to a connection: who is spoken to, and how it is made sure that it is them. Sends no statement.

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use futures::future::poll_fn;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::{JoinHandle, spawn};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{DatabaseConfig, unreachable};
use crate::storage::error::StorageError;

/// How long a peer that does not acknowledge what was sent counts as there. A COMMIT that waits for a peer that is there waits as long as that takes.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a peer that sends nothing is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// The server's function that waits for standbys: its warning says that the wait was cut off, with which COMMIT returns as if it were done.
const WAIT_FOR_STANDBY: &str = "SyncRepWaitForLSN";

/// Of an address.
const NOT_UNDERSTOOD: &str =
    "it is neither a URL (postgres://user@host/database) nor a list of keys and values that libpq would take";

/// An address that was understood.
pub(super) struct Target {
    /// What it is called in errors: hosts, ports and the database.
    pub(super) server: String,
    pub(super) config: Config,
    /// `None` for what never leaves this machine.
    pub(super) tls: Option<MakeRustlsConnect>,
}

impl Target {
    pub(super) fn of(from: &DatabaseConfig) -> Result<Self, StorageError> {
        // What is wrong with it is not repeated: a password may be what was not understood.
        let mut config: Config = from
            .address
            .parse()
            .map_err(|_| unreachable("of the configuration", &format!("its address: {NOT_UNDERSTOOD}")))?;
        let server = name(&config);
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(unreachable(&server, "its address names no host"));
        }
        if let Some(password) = &from.password {
            config.password(password.as_bytes());
        }
        config
            .application_name("thenar")
            .connect_timeout(from.connect_timeout)
            .tcp_user_timeout(PEER_TIMEOUT)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE)
            // Of several hosts the primary, not a standby with an older state.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let tls = match &from.roots {
            Some(roots) => {
                config.ssl_mode(SslMode::Require);
                Some(tls(roots, &server)?)
            }
            None if is_here(&config) => {
                config.ssl_mode(SslMode::Disable);
                None
            }
            None => {
                return Err(unreachable(
                    &server,
                    "it is on another machine, and no root certificates are given to know it by",
                ));
            }
        };
        Ok(Self { server, config, tls })
    }
}

/// What is wrong with an address that a configuration gives, which has its password elsewhere.
pub(super) fn check_address(address: &str) -> Result<(), &'static str> {
    let config: Config = address.parse().map_err(|_| NOT_UNDERSTOOD)?;
    if config.get_password().is_some() {
        return Err(
            "it has a password in it, which configurations are shown with: set catalog.password instead",
        );
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("it names no host");
    }
    Ok(())
}

/// Hosts, ports and database.
fn name(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let mut hosts: Vec<String> = hosts.collect();
    if hosts.is_empty() {
        hosts.extend(config.get_hostaddrs().iter().map(ToString::to_string));
    }
    let hosts = hosts
        .iter()
        .enumerate()
        .map(|(at, host)| format!("{host}:{}", port(at)));
    let hosts = hosts.collect::<Vec<_>>().join(",");
    match config.get_dbname() {
        Some(database) => format!("{hosts}/{database}"),
        None => hosts,
    }
}

/// Whether nothing of what is said leaves this machine.
fn is_here(config: &Config) -> bool {
    let hosts_here = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    });
    hosts_here && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// TLS by which the server must have a certificate of the host's name that leads to one of these.
fn tls(roots: &Path, server: &str) -> Result<MakeRustlsConnect, StorageError> {
    let bad = |problem: String| {
        unreachable(
            server,
            &format!("root certificates {}: {problem}", roots.display()),
        )
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).map_err(|e| bad(e.to_string()))? {
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        store.add(certificate).map_err(|e| bad(e.to_string()))?;
    }
    if store.is_empty() {
        return Err(bad("none is in the file".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| bad(e.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Makes connections for the pool.
pub(super) struct Connector {
    pub(super) tls: Option<MakeRustlsConnect>,
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let (config, tls) = (config.clone(), self.tls.clone());
        Box::pin(async move {
            if let Some(tls) = tls {
                let (client, connection) = config.connect(tls).await?;
                Ok((client, spawn(attend(connection))))
            } else {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, spawn(attend(connection))))
            }
        })
    }
}

/// Carries what is said until one side ends it. Whoever waits for an answer then learns that there is none; also when a COMMIT is about to be answered that
/// no standby has: its outcome is as unknown as if the connection had been lost.
async fn attend<T>(mut connection: Connection<Socket, T>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message
            && *notice.code() == SqlState::WARNING
            && notice.routine() == Some(WAIT_FOR_STANDBY)
        {
            return;
        }
    }
}
