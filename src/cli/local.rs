//! The seam to the server on this machine: data directory, certificates, configuration, start and stop.
//! Every call from the command line into `server`, `config` and `telemetry` stands here.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::client::Credentials;
use crate::config::{self, ConfigError};
use crate::engine::{BackendChoice, Kernel};
use crate::keys::provider::KekSource;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::erasure::SignedReceipt;
use crate::model::id::{PrincipalName, TenantId};
use crate::model::principal::Principal;
use crate::server::config::Config;
use crate::server::pki::{CRL_FILE, IssuedCert, NodeKind, Pki, PkiError, Serial, SignedList};
use crate::server::{self, Mode, Server, ServerError};
pub use crate::server::{
    Audited, BackedUp, CheckedReceipt, Counts, Journal, Migrated, Relocated, RelocationStep, Restored, Side,
    Verdict, Verified, VerifiedJournal,
};
use crate::telemetry;

/// Data directory when none is named.
pub const DATA_DEFAULT: &str = "thenar-data";
/// Trust domain when none is named.
pub const TRUST_DOMAIN_DEFAULT: &str = "thenar.local";
/// Certificates in a data directory.
pub const TLS_DIR: &str = "tls";
/// The authority's certificate in `DATA/tls`.
pub const CA_FILE: &str = "ca.pem";
/// The administrator's certificate in `DATA/tls`.
pub const ADMIN_CERT_FILE: &str = "admin.pem";
/// The administrator's key in `DATA/tls`.
pub const ADMIN_KEY_FILE: &str = "admin.key";
/// How long the demo lets an erased row stay in a file: the least that a configuration may say.
const DEMO_PURGE_SECONDS: u64 = 2;
/// How many the gate of the demo remembers: its regulars come back.
const DEMO_RECENT_MAX: usize = 256;

/// Which data directory.
#[derive(Debug, clap::Args)]
pub struct DataOptions {
    /// Data directory; without it the one that the configuration names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file, TOML; says where the keys come from
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DataOptions {
    fn load(&self) -> Result<Config, LocalError> {
        config_of(self.config.as_deref(), self.data.as_deref())
    }

    /// Whether the configuration is of a server of a cluster.
    pub fn is_in_cluster(&self) -> Result<bool, LocalError> {
        Ok(self.load()?.cluster.enabled)
    }
}

/// What searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendOption {
    /// A GPU where there is a real one, otherwise the CPU
    Auto,
    /// The CPU
    Cpu,
    /// Any adapter, a software one too
    Gpu,
}

impl BackendOption {
    fn choice(self) -> BackendChoice {
        match self {
            Self::Auto => BackendChoice::Auto,
            Self::Cpu => BackendChoice::Cpu,
            Self::Gpu => BackendChoice::Gpu,
        }
    }
}

/// The kernel of this name.
pub fn kernel(name: &str) -> Result<Kernel, String> {
    let names: Vec<&str> = Kernel::ALL.iter().map(|kernel| kernel.name()).collect();
    let found = Kernel::ALL.into_iter().find(|kernel| kernel.name() == name);
    found.ok_or_else(|| format!("none of {}", names.join(", ")))
}

/// Which tier a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum NodeKindOption {
    /// A front
    Front,
    /// A match node
    Match,
}

impl NodeKindOption {
    fn kind(self) -> NodeKind {
        match self {
            Self::Front => NodeKind::Front,
            Self::Match => NodeKind::Match,
        }
    }
}

/// Settings given on the command line; they win over environment and file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The data directory.
    pub data: Option<PathBuf>,
    /// Where the chosen tier listens.
    pub listen: Option<SocketAddr>,
    /// What searches.
    pub backend: Option<BackendOption>,
    /// Instruction set of a CPU scan.
    pub kernel: Option<Kernel>,
}

impl Overrides {
    fn apply(&self, config: &mut Config, mode: Mode) {
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        match (self.listen, mode) {
            (Some(address), Mode::Match) => config.matching.address = address,
            (Some(address), Mode::Serve | Mode::Front) => config.listen.address = address,
            (None, _) => {}
        }
        if let Some(backend) = self.backend {
            config.engine.backend = backend.choice();
        }
        if self.kernel.is_some() {
            config.engine.kernel = self.kernel;
        }
    }
}

/// Makes a data directory with keys, authority and certificates.
pub fn init(
    data: &Path,
    trust_domain: &str,
    names: &[String],
    kek: Option<&KekSource>,
) -> Result<(), LocalError> {
    Ok(server::init(data, trust_domain, names, kek)?)
}

/// The certificate authority of a data directory.
pub struct Authority {
    pki: Pki,
    dir: PathBuf,
    ca_pem: String,
}

impl Authority {
    /// Opens it.
    pub fn open(data: &Path) -> Result<Self, LocalError> {
        let dir = data.join(TLS_DIR);
        let path = dir.join(CA_FILE);
        let ca_pem = std::fs::read_to_string(&path).map_err(|source| LocalError::File { path, source })?;
        Ok(Self {
            pki: Pki::open(&dir)?,
            dir,
            ca_pem,
        })
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Issues a client certificate.
    pub fn issue(&self, principal: &Principal, days: u32) -> Result<IssuedCert, LocalError> {
        Ok(self.pki.issue(principal, days)?)
    }

    /// Issues a server's certificate as `server.pem` and `server.key` in `out`.
    pub fn issue_server(&self, dns_names: &[String], out: &Path) -> Result<Serial, LocalError> {
        let issued = self.pki.issue_server(dns_names)?;
        issued.write(out, "server")?;
        Ok(issued.serial()?)
    }

    /// The serial number that a text is, or that the certificate in the file of that name has.
    pub fn serial(&self, text: &str) -> Result<Serial, LocalError> {
        let path = Path::new(text);
        if !path.exists() {
            return Ok(text.parse()?);
        }
        let pem = std::fs::read(path).map_err(|source| LocalError::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(self.pki.serial_of(&self.dir, &pem)?)
    }

    /// Takes certificates back: adds them to the list, which is signed for so many days. Gives the file too.
    pub fn revoke(&self, serials: &[Serial], days: u32) -> Result<(SignedList, PathBuf), LocalError> {
        let list = self.pki.revoke(&self.dir, serials, days)?;
        Ok((list, self.dir.join(CRL_FILE)))
    }

    /// Issues a node's certificate as `node.pem` and `node.key` in `out`.
    pub fn issue_node(
        &self,
        kind: NodeKindOption,
        name: &PrincipalName,
        dns_names: &[String],
        out: &Path,
    ) -> Result<Serial, LocalError> {
        let issued = self.pki.issue_node(kind.kind(), name.as_str(), dns_names)?;
        issued.write(out, "node")?;
        Ok(issued.serial()?)
    }

    /// Issues a client certificate for use in this process.
    pub fn credentials(&self, principal: &Principal, days: u32) -> Result<Credentials, LocalError> {
        let issued = self.issue(principal, days)?;
        Ok(Credentials {
            ca_pem: self.ca_pem.clone(),
            cert_pem: issued.cert_pem,
            key_pem: issued.key_pem,
        })
    }
}

/// Loads and checks a configuration as a server would.
pub fn check(file: Option<&Path>) -> Result<Config, LocalError> {
    Ok(config::load(file)?)
}

/// A configuration, with the data directory that was named.
fn config_of(file: Option<&Path>, data: Option<&Path>) -> Result<Config, LocalError> {
    let mut config = config::load(file)?;
    if let Some(data) = data {
        data.clone_into(&mut config.data);
    }
    Ok(config)
}

/// Makes the tables of the database that a configuration names, or brings them up to date.
pub fn migrate(file: Option<&Path>) -> Result<Migrated, LocalError> {
    Ok(server::migrate(&config::load(file)?)?)
}

/// A data directory that tenants leave for a cluster.
#[derive(Debug, clap::Args)]
pub struct LeavingOptions {
    /// Data directory of the server that has the tenants; without it the one that its configuration names
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Configuration of that server; says where its keys come from
    #[arg(long, value_name = "FILE")]
    from_config: Option<PathBuf>,
    /// Configuration of its front, where that was a server of its own (`thenar front`)
    #[arg(long, value_name = "FILE")]
    from_front_config: Option<PathBuf>,
    /// Configuration of a match node of the cluster
    #[arg(long, value_name = "FILE")]
    node_config: PathBuf,
}

impl LeavingOptions {
    /// The server's configuration, and its front's.
    fn load(&self) -> Result<(Config, Option<Config>), LocalError> {
        let from = config_of(self.from_config.as_deref(), self.from.as_deref())?;
        let front = self.from_front_config.as_deref();
        let front = front.map(|file| config::load(Some(file))).transpose()?;
        Ok((from, front))
    }

    fn node(&self) -> Result<Config, LocalError> {
        Ok(config::load(Some(&self.node_config))?)
    }
}

/// Moves tenants into a cluster, of which this is a front's configuration. Tells how far it is, and which ones are there.
pub fn relocate(
    leaving: &LeavingOptions,
    front_config: &Path,
    tenants: &[TenantId],
    watch: &mut dyn FnMut(&TenantId, RelocationStep),
    done: &mut dyn FnMut(&TenantId, &Relocated),
) -> Result<(), LocalError> {
    let (from, from_front) = leaving.load()?;
    let sides = server::Sides {
        from: &from,
        from_front: from_front.as_ref(),
        node: &leaving.node()?,
        front: &config::load(Some(front_config))?,
    };
    Ok(server::relocate(&sides, tenants, watch, done)?)
}

/// Destroys what a data directory has of tenants that were moved.
pub fn discard_local(leaving: &LeavingOptions, tenants: &[TenantId]) -> Result<Vec<TenantId>, LocalError> {
    let (from, from_front) = leaving.load()?;
    let from = (&from, from_front.as_ref());
    Ok(server::discard_local(from, &leaving.node()?, tenants)?)
}

/// Wraps the keyring by another key-encryption key. Gives where that comes from.
pub fn rotate_kek(
    of: &DataOptions,
    to: Option<&KekSource>,
    former_key_is_kept: bool,
) -> Result<KekSource, LocalError> {
    Ok(server::rotate_kek(&of.load()?, to, former_key_is_kept)?)
}

/// Wraps the keyrings of one side of a cluster by their next keys.
pub fn rotate_shared_keks(of: &DataOptions, side: Side) -> Result<Vec<&'static str>, LocalError> {
    Ok(server::rotate_shared_keks(&of.load()?, side)?)
}

/// Backs up some tenants of a data directory or of a cluster, or all of them.
pub fn backup(
    of: &DataOptions,
    side: Side,
    tenants: &[TenantId],
    to: &mut dyn Write,
) -> Result<BackedUp, LocalError> {
    Ok(server::backup(&of.load()?, side, tenants, to)?)
}

/// Writes the erasure journal to a new file.
pub fn export_journal(of: &DataOptions, to: &Path) -> Result<Counts, LocalError> {
    Ok(server::export_journal(&of.load()?, to)?)
}

/// Makes a data directory out of a backup.
pub fn restore(
    file: Option<&Path>,
    data: &Path,
    journal: Option<Journal<'_>>,
    from: &mut dyn Read,
) -> Result<Restored, LocalError> {
    Ok(server::restore(&config_of(file, Some(data))?, journal, from)?)
}

/// What `verify` found.
pub struct DataVerified {
    /// Tenants.
    pub tenants: Vec<Verified>,
    /// The erasure journal, where there is one.
    pub journal: Option<VerifiedJournal>,
    /// Whether backups have a key of their own.
    pub has_backup_key: bool,
}

/// Verifies a tenant of a data directory, or all of them, and the erasure journal.
pub fn verify(of: &DataOptions, tenant: Option<&TenantId>) -> Result<DataVerified, LocalError> {
    let config = of.load()?;
    let (tenants, journal) = server::verify(&config, tenant)?;
    Ok(DataVerified {
        tenants,
        journal,
        has_backup_key: config.backup_kek.is_some(),
    })
}

/// Checks a receipt: with the keyring of a data directory, or with a public key and without one.
pub fn check_receipt(
    of: &DataOptions,
    public_key: Option<&[u8]>,
    signed: &SignedReceipt,
) -> Result<CheckedReceipt, LocalError> {
    if let Some(public_key) = public_key {
        return Ok(server::check_receipt_of(public_key, of.data.as_deref(), signed)?);
    }
    Ok(server::check_receipt(&of.load()?, signed)?)
}

/// Audits the history of a tenant of a data directory, or of all of them.
pub fn audit(
    of: &DataOptions,
    tenant: Option<&TenantId>,
    public_keys: &[&[u8]],
    against: &[(String, SignedCheckpoint)],
) -> Result<Vec<Audited>, LocalError> {
    Ok(server::audit(&of.load()?, tenant, public_keys, against)?)
}

/// The data directory of a configuration, and where its server listens for callers.
pub fn listens(of: &DataOptions) -> Result<(PathBuf, SocketAddr), LocalError> {
    let config = of.load()?;
    Ok((config.data, config.listen.address))
}

/// Raises the limit on open files to what is allowed, and gives it.
pub fn raise_open_files() -> u64 {
    server::raise_open_files()
}

/// Loads a configuration, sets up logging and starts a server. Returns when it is ready.
pub async fn start(file: Option<&Path>, overrides: &Overrides, mode: Mode) -> Result<Server, LocalError> {
    let mut config = config::load(file)?;
    overrides.apply(&mut config, mode);
    telemetry::init_logging(&config.log.filter, config.log.json).map_err(ServerError::Log)?;
    server::forbid_core_dumps();
    Ok(Server::start(config, mode).await?)
}

/// Starts a server for the demo: defaults, but loopback on a free port, no metrics, no limit of calls a second, no guard against climbing, files purged at once and only warnings in the log.
pub async fn start_demo(
    data: &Path,
    backend: BackendOption,
    kernel: Option<Kernel>,
) -> Result<Server, LocalError> {
    let mut config = Config::default();
    let overrides = Overrides {
        data: Some(data.to_owned()),
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        backend: Some(backend),
        kernel,
    };
    overrides.apply(&mut config, Mode::Serve);
    config.metrics.enabled = false;
    config.matcher.purge_seconds_max = DEMO_PURGE_SECONDS;
    config.recent_matches.per_site_max = DEMO_RECENT_MAX;
    config.quotas.scanner.per_second = 0;
    config.quotas.scanner.burst = 0;
    // The few regulars come to one scanner hundreds of times a minute, which the guard would have to take for somebody who climbs.
    config.guard.near_misses_max = 0;
    telemetry::init_logging("warn", false).map_err(ServerError::Log)?;
    Ok(Server::start(config, Mode::Serve).await?)
}

/// What went wrong on this machine.
#[derive(Debug, Error)]
pub enum LocalError {
    /// A file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// From the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// From the certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// From the server.
    #[error(transparent)]
    Server(#[from] ServerError),
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
