//! All settings of a server and what they must be, each and together. Reads nothing; `config` does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::engine::{BackendChoice, EngineConfig, Kernel, LockMemory};
use crate::front::guard::GuardConfig;
use crate::front::quota::QuotaConfig;
use crate::front::recent::RecentConfig;
use crate::front::sealed::SealedConfig;
use crate::keys::provider::KekSource;
use crate::model::id::TenantId;
use crate::storage::journal::JOURNAL_FILE;

mod check;
mod keks;

pub use check::check_trust_domain;

/// A value out of its range, or two that don't go together.
#[derive(Debug, Error)]
#[error("configuration: {setting}: {problem}")]
pub struct LimitError {
    /// The setting, with its section.
    pub setting: &'static str,
    /// Value and limit.
    pub problem: String,
}

/// All settings of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Longest drain, in seconds: how long requests in flight may take once the server is asked to stop.
    pub drain_seconds_max: u64,
    /// The public API.
    pub listen: Listen,
    /// The internal API of a match node.
    pub matching: Matching,
    /// Certificates.
    pub tls: Tls,
    /// The key that opens the keyring; `None` takes `DATA/kek`.
    pub kek: Option<KekSource>,
    /// The key that backups are sealed with; `None` takes that of the keyring.
    pub backup_kek: Option<KekSource>,
    /// What is on disk.
    pub storage: Storage,
    /// The database that has the tenants' catalogs; none keeps them in the data directory.
    pub catalog: Catalog,
    /// Nodes and fronts that share catalogs and segments.
    pub cluster: Cluster,
    /// Search.
    pub engine: Engine,
    /// Upkeep of galleries.
    pub matcher: Matcher,
    /// The front tier.
    pub front: Front,
    /// How much scanners and tenants may ask of the front tier.
    pub quotas: QuotaConfig,
    /// When the front tier holds up a scanner that comes nearer to somebody's palm.
    pub guard: GuardConfig,
    /// How fresh sealed probes must be for the front tier.
    pub sealed_probes: SealedConfig,
    /// What the front tier remembers of recent matches.
    pub recent_matches: RecentConfig,
    /// Which node has which tenant, for `thenar front`.
    pub routes: Routes,
    /// Prometheus.
    pub metrics: Metrics,
    /// Traces of calls.
    pub traces: Traces,
    /// Logging.
    pub log: Log,
}

/// The public API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Connections at once, those in their handshake included.
    pub connections_max: usize,
    /// Connections at once of one SPIFFE id.
    pub connections_per_caller_max: usize,
    /// Handshakes at once.
    pub handshakes_max: usize,
    /// Handshakes at once of one IPv4 address or IPv6 network of 64 bits.
    pub handshakes_per_address_max: usize,
    /// Largest message of an import, in bytes; other requests have a fixed limit (256 KiB) besides.
    pub message_bytes_max: usize,
    /// Longest TLS handshake, in seconds.
    pub handshake_seconds_max: u64,
    /// Streams at once on one connection.
    pub streams_per_connection_max: u32,
    /// Calls of one SPIFFE id that are open at once, until their answers end.
    pub calls_per_caller_max: usize,
}

/// The internal API of a match node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matching {
    /// Address and port for `thenar match`.
    pub address: SocketAddr,
}

/// Certificates. A path that is not set is the file that `thenar init` made in `DATA/tls`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Trust domain of all SPIFFE ids; as `thenar init` was told when it is not set.
    pub trust_domain: Option<String>,
    /// Authority of callers' certificates.
    pub ca: Option<PathBuf>,
    /// Certificate shown to callers.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Certificate between front and match.
    pub node_cert: Option<PathBuf>,
    /// Its key.
    pub node_key: Option<PathBuf>,
    /// Certificates that the authority took back; the file in `DATA/tls` need not be there.
    pub crl: Option<PathBuf>,
}

/// What is on disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// The erasure journal; `None` keeps it in the data directory.
    pub journal: Option<PathBuf>,
    /// The object store that has the segments of tenants whose catalogs are in a database; none keeps them in the data directory.
    pub objects: Objects,
}

/// An object store and what of it is kept here. Credentials come from the environment, as the provider's own tools find them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `file:///directory`; none keeps segments in the data directory.
    pub url: Option<String>,
    /// The region of an S3 bucket; as the environment says it when it is not set.
    pub region: Option<String>,
    /// The service's address, where it is not the provider's.
    pub endpoint: Option<String>,
    /// Whether an endpoint without TLS is taken.
    pub allow_http: bool,
    /// The directory of copies, nothing else's; `None` takes `DATA/cache`.
    pub cache: Option<PathBuf>,
    /// Most bytes of copies.
    pub cache_bytes_max: u64,
    /// Segments fetched at once.
    pub fetches_max: usize,
}

/// The database that has the tenants' catalogs (PostgreSQL).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Catalog {
    /// A URL (`postgres://user@host:port/database`) or a list of keys and values, without a password; none keeps catalogs in the data directory.
    pub address: Option<String>,
    /// Where the password comes from.
    pub password: Option<KekSource>,
    /// PEM of the authorities that the server's certificate must lead to. Only a server on this machine needs none.
    pub root_certificates: Option<PathBuf>,
    /// Most connections.
    pub connections_max: usize,
    /// Longest time to a connection, in seconds.
    pub connect_seconds_max: u64,
    /// Longest wait for a connection while all are in use, in seconds.
    pub wait_seconds_max: u64,
    /// Longest time of a statement, in seconds; a COMMIT has none.
    pub statement_seconds_max: u64,
}

/// Nodes and fronts that share catalogs and segments. What has no note on it is of `thenar match` and `thenar front` alike, and the same on all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Whether this server is one of a cluster.
    pub enabled: bool,
    /// Nodes that have each part of a gallery.
    pub replicas: usize,
    /// The key of the keyring that has the secrets of catalogs, which nodes and fronts open; `None` takes that of the server's own keyring.
    pub catalog_kek: Option<KekSource>,
    /// The key that is to take the place of `kek`: the keyring is opened by either, so that servers run while `thenar keys rotate kek` wraps it by this one.
    pub next_kek: Option<KekSource>,
    /// The key that is to take the place of `catalog_kek`; only where that is set.
    pub next_catalog_kek: Option<KekSource>,
    /// Host and port where fronts reach this node; `None` takes where it listens. Of a node.
    pub address: Option<String>,
    /// Codes that this node may hold, in MiB, by which it gets its share of all galleries; 0 takes `engine.resident_bytes_max`, or what it scans within `scan_ms_max` where that is less. Of a node.
    pub weight_mib: u32,
    /// Longest time that a scan of this node's share may take for one probe, in milliseconds, where the share is not set. Of a node.
    pub scan_ms_max: u64,
    /// From so many small segments of a gallery on this node writes them into one, where it owns the gallery's fresh part first; 0 never does. Of a node.
    pub merge_segments: usize,
}

/// Search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Which processor searches.
    pub backend: BackendChoice,
    /// Threads of a scan; 0 takes one a core.
    pub threads: usize,
    /// Instruction set of a CPU scan; none takes the best that the machine has.
    pub kernel: Option<Kernel>,
    /// Probes of one batch.
    pub batch_max: usize,
    /// Probes that wait or run.
    pub queue_max: usize,
    /// Longest time that a probe is let wait, in milliseconds; a full batch may always wait.
    pub wait_ms_max: u64,
    /// Bytes of codes in memory; 0 takes half of the machine's memory.
    pub resident_bytes_max: u64,
    /// Whether codes may be swapped out.
    pub lock_memory: LockMemory,
    /// Probability with which a scan may miss a reference at or above the threshold, for tenants that allow it.
    pub miss_probability: f64,
    /// Whether the CPU keeps the signs of the codes a second time, in the order in which the first stage reads them.
    pub sign_plane: bool,
}

/// Upkeep of galleries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matcher {
    /// Enrolled references that make a new segment.
    pub flush_rows: usize,
    /// Longest time, in seconds, that an erased row stays in a file while the disk works.
    pub purge_seconds_max: u64,
}

/// The front tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Front {
    /// Answers remembered for repeated requests.
    pub answers_max: u64,
    /// How long an answer is remembered, in seconds.
    pub answers_seconds_max: u64,
    /// Bytes of rotations in memory; those of further tenants are derived again when needed.
    pub rotations_bytes_max: u64,
    /// How often subjects are looked for who are due by their tenant's retention, in seconds.
    pub retention_seconds: u64,
}

/// A match node as a front reaches it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteNode {
    /// Host and port.
    pub address: String,
    /// The name its certificate must have; the host of `address` when it is not set.
    pub server_name: Option<String>,
}

/// Which node has which tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Routes {
    /// Match nodes by name.
    pub nodes: BTreeMap<String, RemoteNode>,
    /// The node of each tenant.
    pub tenants: BTreeMap<TenantId, String>,
    /// The node of tenants that are not named; none refuses them.
    pub default: Option<String>,
}

/// Prometheus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Whether metrics are served.
    pub enabled: bool,
    /// Where.
    pub address: SocketAddr,
}

/// Traces of calls, for an OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traces {
    /// Where the collector takes OTLP over gRPC: `http://HOST:PORT` or `https://HOST:PORT`; none records nothing.
    pub endpoint: Option<String>,
    /// PEM of the authority of the collector's certificate; the machine's authorities when it is not set.
    pub ca: Option<PathBuf>,
    /// Share of the calls that are recorded, from 0 to 1. A match node records what its fronts do.
    pub share: f64,
    /// Spans that wait for the collector; further ones are dropped.
    pub queue_max: usize,
    /// Longest wait for the collector's answer, in seconds; what it was sent is dropped then.
    pub answer_seconds_max: u64,
}

/// Logging, to standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A filter such as `info` or `thenar=debug`; the variable `THENAR_LOG` overrides it.
    pub filter: String,
    /// One JSON object a line.
    pub json: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("thenar-data"),
            drain_seconds_max: 30,
            listen: Listen::default(),
            matching: Matching::default(),
            tls: Tls::default(),
            kek: None,
            backup_kek: None,
            storage: Storage::default(),
            catalog: Catalog::default(),
            cluster: Cluster::default(),
            engine: Engine::default(),
            matcher: Matcher::default(),
            front: Front::default(),
            quotas: QuotaConfig::default(),
            guard: GuardConfig::default(),
            sealed_probes: SealedConfig::default(),
            recent_matches: RecentConfig::default(),
            routes: Routes::default(),
            metrics: Metrics::default(),
            traces: Traces::default(),
            log: Log::default(),
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: loopback(7443),
            connections_max: 16_384,
            connections_per_caller_max: 128,
            handshakes_max: 1_024,
            handshakes_per_address_max: 128,
            message_bytes_max: 4 << 20,
            handshake_seconds_max: 10,
            streams_per_connection_max: 256,
            calls_per_caller_max: 1_024,
        }
    }
}

impl Default for Matching {
    fn default() -> Self {
        Self {
            address: loopback(7444),
        }
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            address: None,
            password: None,
            root_certificates: None,
            connections_max: 8,
            connect_seconds_max: 5,
            wait_seconds_max: 10,
            statement_seconds_max: 30,
        }
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            url: None,
            region: None,
            endpoint: None,
            allow_http: false,
            cache: None,
            cache_bytes_max: 64 << 30,
            fetches_max: 4,
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            enabled: false,
            replicas: 2,
            catalog_kek: None,
            next_kek: None,
            next_catalog_kek: None,
            address: None,
            weight_mib: 0,
            scan_ms_max: 1_000,
            merge_segments: 8,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            backend: BackendChoice::Auto,
            threads: 0,
            kernel: None,
            batch_max: 256,
            queue_max: 16_384,
            wait_ms_max: engine.wait_ms_max,
            resident_bytes_max: 0,
            lock_memory: LockMemory::Prefer,
            miss_probability: engine.miss_probability,
            sign_plane: engine.sign_plane,
        }
    }
}

impl Default for Matcher {
    fn default() -> Self {
        Self {
            flush_rows: 4_096,
            purge_seconds_max: 60,
        }
    }
}

impl Default for Front {
    fn default() -> Self {
        Self {
            answers_max: 100_000,
            answers_seconds_max: 300,
            rotations_bytes_max: 1 << 30,
            retention_seconds: 60,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enabled: true,
            address: loopback(9464),
        }
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            ca: None,
            share: 0.01,
            queue_max: 4_096,
            answer_seconds_max: 5,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            json: false,
        }
    }
}

impl Config {
    /// Where the erasure journal is.
    pub fn journal_path(&self) -> PathBuf {
        let path = self.storage.journal.clone();
        path.unwrap_or_else(|| self.data.join(JOURNAL_FILE))
    }
}
