//! All processes of a cluster on this machine: database, object store, match nodes, fronts. Asks about no palm and hits nobody by chance.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use thenar::client::{Client, Credentials};
use tokio::sync::{Mutex, MutexGuard};

use super::namespace::Namespace;
use super::postgres::Postgres;
use super::processes::{Kind, Place, Tier, free_address};
use super::programs;
use super::quota::Quota;
use super::settings::Common;
use super::store::Store;
use super::wires::{Listens, Wires};
use crate::live::calls;
use crate::{Failure, progress};

/// How large, and over what.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Size {
    /// Match nodes.
    pub nodes: usize,
    /// Fronts.
    pub fronts: usize,
    /// Copies of each part.
    pub replicas: usize,
    /// Rows that make a segment.
    pub flush_rows: u32,
    /// Whether small segments are merged: not where something is measured that depends on how many there are.
    pub merges: bool,
    /// Limit of a node's copies of segments, in MiB.
    pub cache_mib: Option<u32>,
    /// A directory takes the place of the S3 server.
    pub is_directory_store: bool,
    /// No cluster: one match node and its front, over the same database and store. What a cluster is compared with, and what the bench itself is tried on.
    pub is_alone: bool,
    /// Whether processes are joined by wires that can be cut.
    pub is_wired: bool,
    /// Each node has a core of its own, by its number, as far as there are cores.
    pub is_pinned: bool,
    /// Cores that each node may use, by a quota of the system.
    pub node_cores: Option<f64>,
    /// Filter of the logs.
    pub log: String,
    /// The program of the next version, which migrates the tables and may take the place of this one's.
    pub next: Option<PathBuf>,
}

/// All of them. Fields are dropped in this order: whoever uses something ends before it.
pub struct Deployment {
    fronts: Vec<Mutex<Tier>>,
    nodes: Vec<Mutex<Tier>>,
    quotas: Vec<Quota>,
    addresses: Vec<String>,
    node_metrics: Vec<String>,
    front_metrics: Vec<String>,
    node_wires: Vec<Wires>,
    front_wires: Vec<Wires>,
    database: Arc<Postgres>,
    store: Store,
    common: Common,
    size: Size,
    clock_library: Option<PathBuf>,
    has_namespaces: bool,
    folder: PathBuf,
    thenar: PathBuf,
}

impl Deployment {
    /// Starts everything; files and logs are in `folder`. To be called by the thread that ends last.
    pub async fn start(folder: &Path, thenar: &Path, size: Size) -> Result<Self, Failure> {
        if size.is_alone && (size.nodes, size.fronts) != (1, 1) {
            return Err("without a cluster there are one node and one front: --nodes 1 --fronts 1".into());
        }
        let database = Arc::new(Postgres::start(&programs::postgres()?)?);
        if size.is_wired {
            database.add_standby()?;
        }
        let store = if size.is_directory_store {
            Store::directory(folder)?
        } else {
            Store::moto(&programs::python()?, folder)?
        };
        let common = Common {
            replicas: size.replicas,
            catalog: database.address(),
            objects: store.settings(None),
            flush_rows: size.flush_rows,
            merges: size.merges,
            cache_mib: size.cache_mib,
            log: size.log.clone(),
        };
        let mut deployment = Self {
            fronts: Vec::new(),
            nodes: Vec::new(),
            quotas: Vec::new(),
            addresses: Vec::new(),
            node_metrics: Vec::new(),
            front_metrics: Vec::new(),
            node_wires: Vec::new(),
            front_wires: Vec::new(),
            database,
            store,
            common,
            clock_library: programs::faketime().filter(|_| size.is_wired),
            has_namespaces: size.is_wired && has_namespaces(),
            folder: folder.to_owned(),
            thenar: thenar.to_owned(),
            size,
        };
        if deployment.size.is_wired && !deployment.has_clocks() {
            progress(
                "SKIPPED: no clock is set: libfaketime is not installed (apt-get install libfaketime, or FAKETIME_LIBRARY names it)",
            );
        }
        for _ in 0..deployment.size.nodes {
            deployment.make_node().await?;
        }
        migrate(thenar, &*deployment.node(0).await)?;
        for _ in 0..deployment.size.fronts {
            deployment.make_front().await?;
        }
        for tier in deployment.nodes.iter().chain(&deployment.fronts) {
            tier.lock().await.spawn()?;
        }
        for tier in deployment.nodes.iter().chain(&deployment.fronts) {
            let mut tier = tier.lock().await;
            let took = tier.ready().await?;
            progress(format!(
                "{} serves after {:.1} s",
                tier.name(),
                took.as_secs_f64()
            ));
        }
        Ok(deployment)
    }

    /// One more match node starts and serves.
    pub async fn add_node(&mut self) -> Result<(), Failure> {
        self.make_node().await?;
        let node = self.nodes.last().expect("it was just made");
        let mut node = node.lock().await;
        node.spawn()?;
        node.ready().await?;
        Ok(())
    }

    async fn make_node(&mut self) -> Result<(), Failure> {
        let number = self.nodes.len();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let kind = if self.size.is_alone {
            Kind::SingleNode
        } else {
            Kind::Node
        };
        let name = node_name(number);
        let mut within = Vec::new();
        if self.size.is_pinned {
            within.extend(["taskset", "-c", &(number % cores).to_string()].map(str::to_owned));
        }
        if let Some(cores) = self.size.node_cores {
            let quota = Quota::make(&name, cores)?;
            within.extend(quota.within());
            self.quotas.push(quota);
        }
        let (node, wires) = self.make(kind, &name, within).await?;
        self.node_metrics.push(node.metrics.clone());
        self.nodes.push(Mutex::new(node));
        self.node_wires.extend(wires);
        Ok(())
    }

    async fn make_front(&mut self) -> Result<(), Failure> {
        let kind = if self.size.is_alone {
            Kind::SingleFront
        } else {
            Kind::Front
        };
        let name = format!("front-{}", self.fronts.len() + 1);
        let (front, wires) = self.make(kind, &name, Vec::new()).await?;
        self.addresses.push(front.address.clone());
        self.front_metrics.push(front.metrics.clone());
        self.fronts.push(Mutex::new(front));
        self.front_wires.extend(wires);
        Ok(())
    }

    async fn make(
        &self,
        kind: Kind,
        name: &str,
        within: Vec<String>,
    ) -> Result<(Tier, Option<Wires>), Failure> {
        let mut place = Place {
            address: free_address()?,
            advertised: None,
            metrics: free_address()?,
            asked: None,
            within,
            clock_library: self.clock_library.clone(),
            other_program: self.size.next.clone(),
        };
        let mut common = self.common.clone();
        let mut wires = None;
        if self.size.is_wired {
            let is_node = matches!(kind, Kind::Node | Kind::SingleNode);
            let namespace = if is_node && self.has_namespaces {
                Some(Arc::new(Namespace::make()?))
            } else {
                None
            };
            place.within.extend(namespace.iter().flat_map(|own| own.within()));
            let listens = Listens {
                door: is_node.then_some(place.address.as_str()),
                metrics: &place.metrics,
            };
            let ends = (&*self.database, &self.store);
            let laid = Wires::lay(name, ends, &listens, namespace).await?;
            common.catalog.clone_from(&laid.catalog);
            common.objects.clone_from(&laid.objects);
            place.advertised.clone_from(&laid.advertised);
            place.asked.clone_from(&laid.asked);
            wires = Some(laid);
        }
        let home = match self.nodes.first() {
            Some(home) => Some(home.lock().await),
            None => None,
        };
        let at = (self.folder.as_path(), self.thenar.as_path());
        let tier = Tier::make(at, (kind, name), &common, home.as_deref(), &place)?;
        Ok((tier, wires))
    }

    /// Has the program of the next version migrate the tables, where there is one.
    pub async fn migrate_by_next(&self) -> Result<(), Failure> {
        let Some(next) = &self.size.next else {
            return Ok(());
        };
        migrate(next, &*self.node(0).await)
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Whether clocks of processes can be set.
    pub fn has_clocks(&self) -> bool {
        self.clock_library.is_some()
    }

    /// Whether each node has a network of its own.
    pub fn has_namespaces(&self) -> bool {
        self.has_namespaces
    }

    /// How many fronts there are.
    pub fn fronts(&self) -> usize {
        self.fronts.len()
    }

    /// A node, for whoever wants to do something to it, alone.
    pub async fn node(&self, number: usize) -> MutexGuard<'_, Tier> {
        self.nodes.get(number).expect("there is such a node").lock().await
    }

    /// A front, likewise.
    pub async fn front(&self, number: usize) -> MutexGuard<'_, Tier> {
        self.fronts
            .get(number)
            .expect("there is such a front")
            .lock()
            .await
    }

    /// The wires of a node, where there are any.
    pub fn node_wires(&self, number: usize) -> Option<&Wires> {
        self.node_wires.get(number)
    }

    /// Those of a front.
    pub fn front_wires(&self, number: usize) -> Option<&Wires> {
        self.front_wires.get(number)
    }

    /// Those of everybody.
    pub fn wires(&self) -> impl Iterator<Item = &Wires> {
        self.node_wires.iter().chain(&self.front_wires)
    }

    /// The database.
    pub fn database(&self) -> &Arc<Postgres> {
        &self.database
    }

    /// The object store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where all files are, the newest node's among them, by its name.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of the node that was made last.
    pub fn newest(&self) -> String {
        node_name(self.nodes.len() - 1)
    }

    /// What it was made with.
    pub fn size(&self) -> &Size {
        &self.size
    }

    /// Where fronts are asked, in order.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where nodes tell how they are, in order.
    pub fn node_metrics(&self) -> &[String] {
        &self.node_metrics
    }

    /// Where fronts do.
    pub fn front_metrics(&self) -> &[String] {
        &self.front_metrics
    }

    /// Certificates for who is at this path.
    pub async fn credentials(&self, path: &str) -> Result<Credentials, Failure> {
        self.node(0).await.site().credentials(path)
    }

    /// Connects to each front as the administrator.
    pub async fn administrators(&self) -> Result<Vec<Client>, Failure> {
        let administrator = self.credentials("/admin/bench").await?;
        let mut connected = Vec::new();
        for address in &self.addresses {
            connected.push(calls::connect(address, &administrator).await?);
        }
        Ok(connected)
    }

    /// Waits until everybody serves.
    pub async fn ready(&self) -> Result<(), Failure> {
        for tier in self.nodes.iter().chain(&self.fronts) {
            tier.lock().await.ready().await?;
        }
        Ok(())
    }

    /// Processor time of all nodes and fronts, in seconds.
    pub async fn cpu(&self) -> Result<f64, Failure> {
        let mut seconds = 0.0;
        for tier in self.nodes.iter().chain(&self.fronts) {
            seconds += tier.lock().await.cpu()?;
        }
        Ok(seconds)
    }

    /// Puts the database's log beside the others.
    pub fn keep_logs(&self) -> Result<(), Failure> {
        Ok(std::fs::write(
            self.folder.join("postgres.log"),
            self.database.log()?,
        )?)
    }
}

/// Whether processes can have networks of their own here.
fn has_namespaces() -> bool {
    let made = Namespace::make();
    if let Err(error) = &made {
        progress(format!(
            "SKIPPED: nodes have no networks of their own, and are cut off by relays alone: {error} (it takes root, util-linux and iproute2)"
        ));
    }
    made.is_ok()
}

fn node_name(number: usize) -> String {
    format!("node-{}", number + 1)
}

/// Makes the tables, as an operator does it on this node.
fn migrate(thenar: &Path, node: &Tier) -> Result<(), Failure> {
    let output = node
        .site()
        .command(thenar)
        .args([Path::new("migrate"), Path::new("--config"), &node.configuration()])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("thenar migrate ended with {}: {why}", output.status).into())
}
