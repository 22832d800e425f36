//! Builds the tiers that a process runs, from the data directory up. Listens to nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::tls::material::{ClientSide, TlsFiles};
use super::{Mode, ServerError, catalog, cluster, nodes, pki};
use crate::engine::{DeviceStatus, Engine, EngineConfig};
use crate::front::route::Routes;
use crate::front::{Front, FrontConfig};
use crate::keys::keyring::Keyring;
use crate::matcher::home::Home;
use crate::matcher::local::{LocalNode, MatcherConfig};
use crate::matcher::member::MemberNode;
use crate::matcher::node::Node;
use crate::matcher::placed::holder::Holder;
use crate::storage::data_dir::DataDir;
use crate::storage::database::Database;
use crate::storage::journal::Journal;

/// Longest wait for what a node does by itself, once nothing is asked of it any more.
const END_MAX: Duration = Duration::from_secs(10);

/// What a process runs.
pub(super) struct Tiers {
    /// The match node of this process.
    pub(super) here: Option<Here>,
    /// What the listener serves.
    pub(super) served: Served,
    /// The GPUs of this process.
    pub(super) devices: Option<DeviceWatch>,
    /// What has its catalogs, where that is no file.
    pub(super) database: Option<Database>,
    /// Whether it may be ready while its database answers.
    pub(super) may_serve: Box<dyn Fn() -> bool + Send + Sync>,
    /// Keeps others from the directory of a front alone; a node holds its own.
    pub(super) directory: Option<DataDir>,
    /// Cancelled once nothing of this process holds the data directory.
    pub(super) released: CancellationToken,
}

/// Status of the GPUs, now and as it changes.
pub(super) type DeviceWatch = watch::Receiver<Arc<[DeviceStatus]>>;

/// The tier behind the listener.
pub(super) enum Served {
    /// The public API.
    Front(Arc<Front>),
    /// The internal API.
    Match {
        /// For all but parts of galleries.
        node: Arc<dyn Node>,
        /// For these, of a node that has such.
        holder: Option<Arc<dyn Holder>>,
    },
}

/// A match node in this process.
pub(super) enum Here {
    /// All tenants of its data directory.
    Local(Arc<LocalNode>),
    /// Parts of galleries that the nodes of a cluster share.
    Member(Arc<MemberNode>),
}

impl Here {
    fn backend(&self) -> String {
        match self {
            Self::Local(node) => node.backend(),
            Self::Member(node) => node.backend(),
        }
    }

    /// Hands over what others are to have, while requests are still answered; in the end what takes as long as that may.
    pub(super) async fn hand_over(&self, longest: Duration) {
        let Self::Member(node) = self else { return };
        if tokio::time::timeout(longest, node.parts().drain()).await.is_err() {
            tracing::warn!(
                seconds = longest.as_secs(),
                "the other nodes have not taken over all parts in time"
            );
        }
        // Who waits for other nodes is told.
        node.stop();
    }

    /// Ends what goes on by itself, once nothing is asked any more.
    pub(super) async fn end(&self) {
        match self {
            Self::Local(node) => node.drain().await,
            Self::Member(node) => {
                let ended = async { tokio::join!(node.parts().stop(), node.rotations_ended()) };
                if tokio::time::timeout(END_MAX, ended).await.is_err() {
                    tracing::warn!(
                        "a load, a purge or a rotation that does not end goes on until the process ends"
                    );
                }
            }
        }
    }
}

impl Tiers {
    /// Name of the backend that searches in this process.
    pub(super) fn backend(&self) -> String {
        self.here
            .as_ref()
            .map_or_else(|| "remote".to_owned(), Here::backend)
    }
}

/// Builds and loads, for what listens at `bound`. `shown` is what a front shows to the match nodes; only a front has it.
pub(super) async fn tiers(
    config: &Config,
    mode: Mode,
    bound: SocketAddr,
    shown: Option<watch::Receiver<ClientSide>>,
) -> Result<Tiers, ServerError> {
    if config.cluster.enabled {
        return cluster::tiers(config, mode, bound, shown).await;
    }
    let opened = config.clone();
    let Opened {
        keyring,
        local,
        devices,
        database,
        directory,
        released,
    } = tokio::task::spawn_blocking(move || open(&opened, mode))
        .await
        .map_err(|error| ServerError::Transport(error.to_string()))??;
    let node: Option<Arc<dyn Node>> = local.clone().map(|local| Arc::new(local) as Arc<dyn Node>);
    if node.is_some() && !config.routes.nodes.is_empty() {
        tracing::warn!(
            "[routes] is for `thenar front`; this server asks the node of its own data directory alone"
        );
    }
    let served = match (mode, node) {
        (Mode::Match, Some(node)) => Served::Match { node, holder: None },
        (_, node) => {
            let routes = match (node, shown) {
                (Some(node), _) => Routes::single(node),
                (None, Some(shown)) => nodes::routes(config, &shown)?,
                (None, None) => Err(ServerError::Transport(
                    "no certificate for match nodes".to_owned(),
                ))?,
            };
            let front = Front::new(front_config(config), keyring, routes);
            front.warm().await?;
            Served::Front(front)
        }
    };
    Ok(Tiers {
        here: local.map(Here::Local),
        served,
        devices,
        database,
        may_serve: Box::new(|| true),
        directory,
        released,
    })
}

/// What is opened of a data directory.
struct Opened {
    keyring: Arc<Keyring>,
    local: Option<Arc<LocalNode>>,
    devices: Option<DeviceWatch>,
    database: Option<Database>,
    directory: Option<DataDir>,
    released: CancellationToken,
}

fn open(config: &Config, mode: Mode) -> Result<Opened, ServerError> {
    let dir = DataDir::open(&config.data)?;
    let released = dir.released();
    config.kek_source().clear_leftovers()?;
    let keyring = Arc::new(Keyring::open(&config.data.join("keyring"), config.keks()?)?);
    if mode == Mode::Front {
        return Ok(Opened {
            keyring,
            local: None,
            devices: None,
            database: None,
            directory: Some(dir),
            released,
        });
    }
    let engines = catalog::engines(config)?;
    let database = engines.as_ref().map(|engines| engines.database.clone());
    let home = Home::new(dir, Arc::clone(&keyring), engines)?;
    let journal = Journal::open(&config.journal_path(), keyring.signer())?;
    let engine = Engine::start(engine_config(config))?;
    let devices = engine.watch_devices();
    let node = LocalNode::open(home, journal, engine, matcher_config(config))?;
    Ok(Opened {
        keyring,
        local: Some(node),
        devices: Some(devices),
        database,
        directory: None,
        released,
    })
}

pub(super) fn engine_config(config: &Config) -> EngineConfig {
    let engine = &config.engine;
    let defaults = EngineConfig::default();
    EngineConfig {
        backend: engine.backend,
        threads: if engine.threads == 0 {
            defaults.threads
        } else {
            engine.threads
        },
        kernel: engine.kernel,
        batch_max: engine.batch_max,
        queue_max: engine.queue_max,
        wait_ms_max: engine.wait_ms_max,
        resident_bytes_max: match engine.resident_bytes_max {
            0 => memory_bytes().map_or(defaults.resident_bytes_max, |bytes| bytes / 2),
            bytes => bytes,
        },
        lock_memory: engine.lock_memory,
        miss_probability: engine.miss_probability,
        sign_plane: engine.sign_plane,
    }
}

/// The memory that this process may use: the machine's, or what its control group or one above it allows.
fn memory_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = control_groups(&groups).filter_map(|group| {
        let limit = std::fs::read_to_string(group.join("memory.max")).ok()?;
        limit.trim().parse().ok()
    });
    machine_bytes().into_iter().chain(limits).min()
}

/// Folders of the control group that `/proc/self/cgroup` names, and of all above it. Version 2 alone.
fn control_groups(text: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let folder = group.map(|group| Path::new("/sys/fs/cgroup").join(group));
    std::iter::successors(folder, |folder| folder.parent().map(Path::to_owned))
        .take_while(|folder| folder.starts_with("/sys/fs/cgroup"))
}

/// The machine's memory as Linux states it.
fn machine_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn matcher_config(config: &Config) -> MatcherConfig {
    // Looked at many times within the bound, so that a purge has time for its work.
    let interval = Duration::from_secs(config.matcher.purge_seconds_max) / 30;
    MatcherConfig {
        flush_rows: config.matcher.flush_rows,
        upkeep_interval: interval,
    }
}

/// As configured, or as `thenar init` was told.
pub(super) fn trust_domain(config: &Config) -> Result<String, ServerError> {
    match &config.tls.trust_domain {
        Some(domain) => Ok(domain.clone()),
        None => Ok(pki::trust_domain(&config.data.join("tls"))?),
    }
}

pub(super) fn front_config(config: &Config) -> FrontConfig {
    FrontConfig {
        answers_max: config.front.answers_max,
        answers_ttl: Duration::from_secs(config.front.answers_seconds_max),
        rotations_bytes_max: config.front.rotations_bytes_max,
        quotas: config.quotas.clone(),
        recent: config.recent_matches.clone(),
        guard: config.guard,
        sealed: config.sealed_probes,
    }
}

/// The files that callers of the public API see.
pub(super) fn public_tls(config: &Config) -> TlsFiles {
    let dir = config.data.join("tls");
    let cert = config.tls.cert.clone().unwrap_or_else(|| dir.join("server.pem"));
    let key = config.tls.key.clone().unwrap_or_else(|| dir.join("server.key"));
    tls_files(config, &dir, "server", cert, key)
}

/// The files between front and match.
pub(super) fn node_tls(config: &Config) -> TlsFiles {
    let dir = config.data.join("tls");
    let cert = config
        .tls
        .node_cert
        .clone()
        .unwrap_or_else(|| dir.join("node.pem"));
    let key = config
        .tls
        .node_key
        .clone()
        .unwrap_or_else(|| dir.join("node.key"));
    tls_files(config, &dir, "node", cert, key)
}

fn tls_files(config: &Config, dir: &Path, which: &'static str, cert: PathBuf, key: PathBuf) -> TlsFiles {
    let tls = &config.tls;
    TlsFiles {
        which,
        ca: tls.ca.clone().unwrap_or_else(|| dir.join("ca.pem")),
        cert,
        key,
        crl: tls.crl.clone().unwrap_or_else(|| dir.join(pki::CRL_FILE)),
        crl_required: tls.crl.is_some(),
    }
}
