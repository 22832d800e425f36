//! A server as one of a cluster: what it shares with the others is reached, a node joins them, a front follows them. Holds no rule of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::build::{DeviceWatch, Here, Served, Tiers, engine_config, front_config};
use super::config::{Config, LimitError};
use super::nodes::Dialler;
use super::tls::material::ClientSide;
use super::{Mode, ServerError, catalog};
use crate::cluster::members::Life;
use crate::cluster::placement::NodeId;
use crate::cluster::weight::weigh;
use crate::engine::{Engine, trial};
use crate::front::Front;
use crate::front::route::Routes;
use crate::keys::keyring::{Keks, Keyring};
use crate::matcher::cluster_home::{CatalogSecrets, ClusterHome};
use crate::matcher::member::{MemberNode, MemberParts};
use crate::matcher::on_cluster::{ClusterHeads, ClusterRegister};
use crate::matcher::parts::on_cluster::OnCluster;
use crate::matcher::parts::{PartsConfig, PartsNode};
use crate::matcher::placed::node::PlacedNode;
use crate::storage::cluster::Cluster;
use crate::storage::cluster::segments::Segments;
use crate::storage::data_dir::DataDir;
use crate::storage::database::Database;
use crate::storage::objects::ObjectStore;
use crate::storage::objects::text::{CATALOG_KEYRING, FRONT_KEYRING, MATCH_KEYRING, open_keyring};

/// How long the start of a front waits for nodes that are there already. It is ready once there is one.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(5);

/// Builds a node that joins, or a front that follows the nodes. A node is joined once it serves.
pub(super) async fn tiers(
    config: &Config,
    mode: Mode,
    bound: SocketAddr,
    shown: Option<watch::Receiver<ClientSide>>,
) -> Result<Tiers, ServerError> {
    let opened = config.clone();
    match (mode, shown) {
        (Mode::Match, _) => {
            let address = address_of(config, bound)?;
            joined(blocking(move || join(&opened, address)).await?).await
        }
        (Mode::Front, Some(shown)) => {
            following(config, blocking(move || follow(&opened)).await?, shown).await
        }
        _ => Err(LimitError {
            setting: "cluster.enabled",
            problem:
                "is set, and `thenar serve` is one server by itself: run `thenar match` and `thenar front`"
                    .to_owned(),
        }
        .into()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
) -> Result<T, ServerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ServerError::Transport(error.to_string()))?
}

/// Where fronts reach a node that listens there.
fn address_of(config: &Config, bound: SocketAddr) -> Result<String, LimitError> {
    match &config.cluster.address {
        Some(address) => Ok(address.clone()),
        None if bound.ip().is_unspecified() => Err(LimitError {
            setting: "cluster.address",
            problem: format!("is not set, and nobody can reach this node by where it listens ({bound})"),
        }),
        None => Ok(bound.to_string()),
    }
}

/// What a server shares with the others, and a data directory of its own.
struct Shared {
    directory: DataDir,
    released: CancellationToken,
    database: Database,
    cluster: Arc<Cluster>,
    /// Of this tier.
    keyring: Arc<Keyring>,
    /// Has the catalogs' secrets.
    catalogs: Arc<Keyring>,
}

impl Shared {
    /// A directory with tenants of its own is refused.
    fn open(
        config: &Config,
        database: Database,
        store: &ObjectStore,
        keyring: &str,
    ) -> Result<Self, ServerError> {
        let mut directory = DataDir::open(&config.data)?;
        directory.keep_catalogs_in_database()?;
        if let Some(tenant) = directory.tenants()?.into_iter().next() {
            return Err(LimitError {
                setting: "cluster.enabled",
                problem: format!(
                    "is set, and {} has tenant {tenant} of a server by itself: a server of a cluster has a directory without tenants",
                    config.data.display()
                ),
            }
            .into());
        }
        config.kek_source().clear_leftovers()?;
        let has_tenants = !database.tenants()?.is_empty();
        if !database.has_synchronous_standby()? {
            tracing::warn!(
                database = database.server(),
                "synchronous_standby_names is empty there: where a standby takes over without having all acknowledged commits, these are lost; to be ignored where there is no standby, or where something else keeps its copy as new"
            );
        }
        let open = |name, keks: Keks| open_keyring(store, name, keks, has_tenants);
        Ok(Self {
            released: directory.released(),
            cluster: Arc::new(Cluster::new(&database, config.cluster.replicas)?),
            keyring: Arc::new(open(keyring, config.keks()?)?),
            catalogs: Arc::new(open(CATALOG_KEYRING, config.catalog_keks()?)?),
            directory,
            database,
        })
    }
}

/// A node that has registered, or is about to.
struct Joining {
    member: Arc<MemberNode>,
    devices: DeviceWatch,
    shared: Shared,
}

fn join(config: &Config, address: String) -> Result<Joining, ServerError> {
    let (database, objects) = catalog::shared_engines(config)?;
    let shared = Shared::open(config, database, objects.store(), MATCH_KEYRING)?;
    let segments = Segments::open(&objects, config.data.join("staging"))?;
    let home = Arc::new(ClusterHome::new(
        Arc::clone(&shared.keyring),
        Arc::clone(&shared.catalogs),
        Arc::clone(&shared.cluster),
        &shared.database,
        &objects,
    ));
    let id = NodeId(shared.directory.node()?.0);
    // Before the engine is there: its trial opens the same devices.
    let weight = weight(config, &shared.cluster, id)?;
    let engine = Engine::start(engine_config(config))?;
    let devices = engine.watch_devices();
    let (cluster, segments) = (Arc::clone(&shared.cluster), Arc::new(segments));
    let cluster = OnCluster::new(cluster, segments, Arc::clone(&home) as _, address);
    let parts = PartsNode::start(
        id,
        Arc::new(cluster.clone()),
        engine.clone(),
        parts_config(config, weight),
    )?;
    let member = MemberNode::new(MemberParts {
        id,
        parts: Arc::new(parts),
        cluster,
        home,
        engine,
    });
    Ok(Joining {
        member: Arc::new(member),
        devices,
        shared,
    })
}

/// By what the node gets its share: as it is set, or by its memory and by how fast it scans. Blocks.
fn weight(config: &Config, cluster: &Cluster, id: NodeId) -> Result<u32, ServerError> {
    let set = config.cluster.weight_mib;
    if set > 0 {
        return Ok(set);
    }
    let mib = |bytes: u64| u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    let engine = engine_config(config);
    let per_second = trial::bytes_per_second(&engine)?;
    let scanned = (per_second / 1_000).saturating_mul(config.cluster.scan_ms_max);
    let memory = engine.resident_bytes_max;
    let former = cluster.nodes()?.members.nodes().get(&id).map(|node| node.weight);
    let weight = weigh(mib(memory), mib(scanned), former);
    tracing::info!(
        weight_mib = weight,
        memory_mib = mib(memory),
        scanned_mib = mib(scanned),
        "by what this node gets its share of all galleries"
    );
    Ok(weight)
}

fn parts_config(config: &Config, weight: u32) -> PartsConfig {
    PartsConfig {
        weight,
        replicas: config.cluster.replicas,
        flush_rows: config.matcher.flush_rows,
        merge_segments: config.cluster.merge_segments,
        // Many erasures share one rewriting, and the rest of the time is for that.
        purge_after: Duration::from_secs(config.matcher.purge_seconds_max) / 6,
        ..PartsConfig::default()
    }
}

async fn joined(joining: Joining) -> Result<Tiers, ServerError> {
    let Joining {
        member,
        devices,
        shared,
    } = joining;
    let mut life = member.parts().life();
    tracing::info!("joining the cluster: what this node is to have is loaded");
    // The sender is there as long as the node.
    let is_decided = |life: &Life| matches!(life, Life::Serving | Life::Gone);
    let has_left = life
        .wait_for(is_decided)
        .await
        .is_ok_and(|life| *life == Life::Gone);
    if has_left {
        return Err(LimitError {
            setting: "cluster.next_kek",
            problem: "does not name the key that the keyring was wrapped by while this node joined"
                .to_owned(),
        }
        .into());
    }
    let is_serving = life.clone();
    Ok(Tiers {
        served: Served::Match {
            node: Arc::clone(&member) as _,
            holder: Some(Arc::clone(&member) as _),
        },
        here: Some(Here::Member(member)),
        devices: Some(devices),
        database: Some(shared.database),
        // Without its rounds, which end by a defect alone, a node is taken for gone soon.
        may_serve: Box::new(move || {
            is_serving.has_changed().is_ok() && *is_serving.borrow() == Life::Serving
        }),
        directory: Some(shared.directory),
        released: shared.released,
    })
}

fn follow(config: &Config) -> Result<Shared, ServerError> {
    let (database, store) = catalog::shared_store(config)?;
    Shared::open(config, database, &store, FRONT_KEYRING)
}

async fn following(
    config: &Config,
    shared: Shared,
    shown: watch::Receiver<ClientSide>,
) -> Result<Tiers, ServerError> {
    let keys = Arc::new(CatalogSecrets::new(shared.catalogs));
    let node = PlacedNode::new(
        ClusterHeads::new(Arc::clone(&shared.cluster), keys),
        ClusterRegister::new(shared.cluster),
        Dialler::new(shown),
        config.cluster.replicas,
    );
    let is_placed = node.is_placed();
    let mut first = is_placed.clone();
    if timeout(FIRST_LOOK_MAX, first.wait_for(|is_placed| *is_placed))
        .await
        .is_err()
    {
        tracing::warn!("no match node of the cluster serves yet; this front is ready once one does");
    }
    let front = Front::new(
        front_config(config),
        shared.keyring,
        Routes::single(Arc::new(node)),
    );
    front.warm().await?;
    Ok(Tiers {
        here: None,
        served: Served::Front(front),
        devices: None,
        database: Some(shared.database),
        may_serve: Box::new(move || *is_placed.borrow()),
        directory: Some(shared.directory),
        released: shared.released,
    })
}
