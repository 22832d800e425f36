//! The composition root: builds every layer, listens, reports health, drains. Holds no rule of its own.

mod audit;
mod backup;
mod build;
mod catalog;
mod cluster;
mod collector;
pub mod config;
mod counted;
mod descriptors;
mod doors;
mod dump;
mod files;
mod frames;
mod health;
mod init;
mod journal;
mod kek;
mod listen;
mod nodes;
pub mod pki;
mod probes;
mod receipt;
mod relocate;
mod restore;
mod retention;
pub mod tls;
mod verify;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::audit::{Audited, audit};
pub use self::backup::{BackedUp, BackupError, Manifest, Side, backup};
pub use self::catalog::{Migrated, migrate};
use self::config::{Config, LimitError};
pub use self::descriptors::raise_open_files;
pub use self::dump::forbid_core_dumps;
pub use self::init::init;
pub use self::journal::{Counts, export_journal};
pub use self::kek::{rotate_kek, rotate_shared_keks};
pub use self::receipt::{CheckedReceipt, Verdict, check_receipt, check_receipt_of};
pub use self::relocate::{Relocated, RelocationStep, Sides, discard_local, relocate};
pub use self::restore::{Journal, Restored, restore};
use self::tls::material::{TlsError, client_side, server_side};
use self::tls::rotation::Rotation;
pub use self::verify::{Verified, VerifiedJournal, verify};
use crate::engine::EngineError;
use crate::front::error::FrontError;
use crate::front::route::RouteError;
use crate::keys::error::KeyError;
use crate::keys::receipt::ReceiptError;
use crate::matcher::node::NodeError;
use crate::storage::data_dir::DataDir;
use crate::storage::error::StorageError;
use crate::telemetry::traces::Exporter;

/// Which tiers a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Both, joined in the process.
    Serve,
    /// The front alone; galleries are on the nodes of `routes`.
    Front,
    /// A match node alone.
    Match,
}

/// Why a server did not start or stop well.
#[derive(Debug, Error)]
pub enum ServerError {
    /// From the configuration.
    #[error(transparent)]
    Config(#[from] LimitError),
    /// From the data directory.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// From a backup or its restoration.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// From the keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// From a receipt.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A checkpoint that was kept and does not stand.
    #[error("{name}: {source}")]
    Checkpoint {
        /// What it is called.
        name: String,
        /// What is wrong.
        source: ReceiptError,
    },
    /// From the certificates.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// From TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// From the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// From the match tier.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// From the front tier.
    #[error(transparent)]
    Front(#[from] FrontError),
    /// From the table of routes.
    #[error("configuration: routes: {0}")]
    Routes(#[from] RouteError),
    /// An address can't be listened on.
    #[error("can't listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// From gRPC.
    #[error("the listener failed: {0}")]
    Transport(String),
    /// Logging can't be set up.
    #[error("{0}")]
    Log(String),
}

/// Longest wait for the data directory to be let go of once all is drained.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// A server that runs.
pub struct Server {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    node: Option<build::Here>,
    /// Held to the end.
    directory: Option<DataDir>,
    released: CancellationToken,
    health: health::Health,
    stop: CancellationToken,
    reload: watch::Sender<()>,
    is_ready: watch::Sender<bool>,
    database: Option<catalog::Watch>,
    probes: DropGuard,
    listener: JoinHandle<Result<(), ServerError>>,
    retention: Option<JoinHandle<()>>,
    exporter: Option<Exporter>,
    drain_max: Duration,
}

impl Server {
    /// Builds every layer from the bottom up, loads all tenants, then listens. Returns once it is ready.
    pub async fn start(config: Config, mode: Mode) -> Result<Self, ServerError> {
        config.check()?;
        let bound = listens_at(&config, mode);
        // Bound first, so that a port in use is told before minutes of loading.
        let socket = TcpListener::bind(bound)
            .await
            .map_err(|error| listen_error(bound, &error))?;
        let address = socket.local_addr().map_err(|error| listen_error(bound, &error))?;
        descriptors::raise_for(config.listen.connections_max);
        let (is_ready, ready) = watch::channel(false);
        let probes = CancellationToken::new();
        let metrics_address = probes::spawn(&config, ready, probes.clone()).await?;
        let probes = probes.drop_guard();
        let (traces, exporter) = collector::start(&config, mode)?;
        let shown = match mode {
            Mode::Serve | Mode::Front => Rotation::load(build::public_tls(&config), server_side)?,
            Mode::Match => Rotation::load(build::node_tls(&config), server_side)?,
        };
        let shown_to_nodes = match mode {
            Mode::Front => Some(Rotation::load(build::node_tls(&config), client_side)?),
            Mode::Serve | Mode::Match => None,
        };
        let tiers = build::tiers(
            &config,
            mode,
            address,
            shown_to_nodes.as_ref().map(Rotation::made),
        )
        .await?;
        let health = health::Health::new(mode).await;
        if let Some(devices) = tiers.devices.clone() {
            tokio::spawn(health.clone().follow(devices));
        }
        let stop = CancellationToken::new();
        let retention = retention_of(&config, &tiers.served, &stop);
        let backend = tiers.backend();
        let listener = listen::spawn(&config, socket, &tiers, &health, &shown, traces, &stop)?;
        let reload = watch::Sender::new(());
        tokio::spawn(shown.run(reload.subscribe(), stop.clone()));
        if let Some(shown) = shown_to_nodes {
            tokio::spawn(shown.run(reload.subscribe(), stop.clone()));
        }
        if (tiers.may_serve)() {
            health.ready().await;
            is_ready.send_replace(true);
        }
        let may_serve = tiers.may_serve;
        let watched = tiers.database;
        let database = watched
            .map(|database| catalog::Watch::start(database, may_serve, health.clone(), is_ready.clone()));
        tracing::info!(%address, ?mode, backend, "ready");
        Ok(Self {
            address,
            metrics_address,
            node: tiers.here,
            directory: tiers.directory,
            released: tiers.released,
            health,
            stop,
            reload,
            is_ready,
            database,
            probes,
            listener,
            retention,
            exporter,
            drain_max: Duration::from_secs(config.drain_seconds_max),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it tells its metrics, if it does.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Reads the TLS files again now; otherwise a change is noticed within some seconds.
    pub fn reload(&self) {
        self.reload.send_replace(());
    }

    /// Drains: reports not serving, hands over what other nodes are to have, accepts nobody new, lets requests in flight finish for as long as
    /// the configuration allows, then ends the upkeep and lets go of the data directory.
    pub async fn stop(self) -> Result<(), ServerError> {
        if let Some(database) = self.database {
            database.end().await;
        }
        self.health.not_ready().await;
        self.is_ready.send_replace(false);
        let until = tokio::time::Instant::now() + self.drain_max;
        if let Some(node) = &self.node {
            node.hand_over(self.drain_max * 3 / 4).await;
        }
        self.stop.cancel();
        let mut listener = self.listener;
        let outcome = if let Ok(ended) = tokio::time::timeout_at(until, &mut listener).await {
            ended.unwrap_or_else(|error| Err(ServerError::Transport(error.to_string())))
        } else {
            tracing::warn!(
                "requests in flight outlasted drain_seconds_max ({:?})",
                self.drain_max
            );
            listener.abort();
            // Its abortion is the expected error here.
            let _ = listener.await;
            Ok(())
        };
        if let Some(retention) = self.retention
            && let Err(error) = retention.await
        {
            tracing::error!(%error, "the retention ended early");
        }
        if let Some(node) = self.node {
            node.end().await;
        }
        if let Some(exporter) = self.exporter {
            exporter.flush().await;
        }
        drop(self.directory);
        // Whoever hung up may have left a task that ends just now.
        if tokio::time::timeout(RELEASE_MAX, self.released.cancelled())
            .await
            .is_err()
        {
            tracing::warn!("a request that does not end holds the data directory until the process ends");
        }
        drop(self.probes);
        tracing::info!("stopped");
        outcome
    }
}

fn listens_at(config: &Config, mode: Mode) -> SocketAddr {
    match mode {
        Mode::Serve | Mode::Front => config.listen.address,
        Mode::Match => config.matching.address,
    }
}

/// What erases who is due, of a front.
fn retention_of(config: &Config, served: &build::Served, stop: &CancellationToken) -> Option<JoinHandle<()>> {
    match served {
        build::Served::Front(front) => {
            let every = Duration::from_secs(config.front.retention_seconds);
            Some(retention::spawn(Arc::clone(front), every, stop.clone()))
        }
        build::Served::Match { .. } => None,
    }
}

fn listen_error(address: SocketAddr, error: &std::io::Error) -> ServerError {
    ServerError::Listen {
        address,
        reason: error.to_string(),
    }
}
