//! All processes of a cluster on this machine: database, object store, match nodes, fronts. Asks about no palm and hits nobody by chance.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use thenar::client::{Client, Credentials};
use tokio::sync::{Mutex, MutexGuard};

use super::postgres::Postgres;
use super::processes::{Kind, Tier};
use super::programs;
use super::settings::Common;
use super::store::Store;
use crate::live::calls;
use crate::{Failure, progress};

/// How large, and over what.
#[derive(Debug, Clone)]
pub struct Size {
    /// Match nodes.
    pub nodes: usize,
    /// Fronts.
    pub fronts: usize,
    /// Copies of each part.
    pub replicas: usize,
    /// Rows that make a segment.
    pub flush_rows: u32,
    /// Limit of a node's copies of segments, in MiB.
    pub cache_mib: Option<u32>,
    /// A directory takes the place of the S3 server.
    pub is_directory_store: bool,
    /// No cluster: one match node and its front, over the same database and store. What a cluster is compared with, and what the bench itself is tried on.
    pub is_alone: bool,
    /// Each node has a core of its own, by its number, as far as there are cores.
    pub is_pinned: bool,
    /// Filter of the logs.
    pub log: String,
}

/// All of them. Fields are dropped in this order: whoever uses something ends before it.
pub struct Deployment {
    fronts: Vec<Mutex<Tier>>,
    nodes: Vec<Mutex<Tier>>,
    addresses: Vec<String>,
    node_metrics: Vec<String>,
    front_metrics: Vec<String>,
    administrator: Credentials,
    database: Arc<Postgres>,
    store: Store,
    common: Common,
    size: Size,
    folder: PathBuf,
    thenar: PathBuf,
}

impl Deployment {
    /// Starts everything; files and logs are in `folder`. To be called by the thread that ends last.
    pub async fn start(folder: &Path, thenar: &Path, size: Size) -> Result<Self, Failure> {
        if size.is_alone && (size.nodes, size.fronts) != (1, 1) {
            return Err("without a cluster there are one node and one front: --nodes 1 --fronts 1".into());
        }
        let (node_kind, front_kind) = if size.is_alone {
            (Kind::SingleNode, Kind::SingleFront)
        } else {
            (Kind::Node, Kind::Front)
        };
        let database = Arc::new(Postgres::start(&programs::postgres()?)?);
        let store = if size.is_directory_store {
            Store::directory(folder)?
        } else {
            Store::moto(&programs::python()?, folder)?
        };
        let common = Common {
            replicas: size.replicas,
            catalog: database.address(),
            objects: store.settings(),
            flush_rows: size.flush_rows,
            cache_mib: size.cache_mib,
            log: size.log.clone(),
        };
        let cores = size.is_pinned.then_some("0");
        let first = Tier::make((folder, thenar), (node_kind, "node-1"), &common, None, cores)?;
        migrate(thenar, &first.configuration())?;
        let mut deployment = Self {
            administrator: first.site().credentials("/admin/bench")?,
            fronts: Vec::new(),
            node_metrics: vec![first.metrics.clone()],
            front_metrics: Vec::new(),
            nodes: vec![Mutex::new(first)],
            addresses: Vec::new(),
            database,
            store,
            common,
            folder: folder.to_owned(),
            thenar: thenar.to_owned(),
            size,
        };
        for _ in 1..deployment.size.nodes {
            deployment.make_node().await?;
        }
        for number in 1..=deployment.size.fronts {
            let name = format!("front-{number}");
            let front = deployment.make(front_kind, &name, None).await?;
            deployment.addresses.push(front.address.clone());
            deployment.front_metrics.push(front.metrics.clone());
            deployment.fronts.push(Mutex::new(front));
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
        let core = (number % cores).to_string();
        let core = self.size.is_pinned.then_some(core.as_str());
        let name = node_name(number);
        let node = self.make(Kind::Node, &name, core).await?;
        self.node_metrics.push(node.metrics.clone());
        self.nodes.push(Mutex::new(node));
        Ok(())
    }

    async fn make(&self, kind: Kind, name: &str, core: Option<&str>) -> Result<Tier, Failure> {
        let home = self.nodes.first().expect("the first node").lock().await;
        let at = (self.folder.as_path(), self.thenar.as_path());
        Tier::make(at, (kind, name), &self.common, Some(&home), core)
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
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

    /// Connects to the first front as the administrator.
    pub async fn administrator(&self) -> Result<Client, Failure> {
        let address = self.addresses.first().ok_or("there is no front")?;
        Ok(calls::connect(address, &self.administrator).await?)
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

fn node_name(number: usize) -> String {
    format!("node-{}", number + 1)
}

/// Makes the tables, as an operator does it.
fn migrate(thenar: &Path, configuration: &Path) -> Result<(), Failure> {
    let output = Command::new(thenar)
        .args([Path::new("migrate"), Path::new("--config"), configuration])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("thenar migrate ended with {}: {why}", output.status).into())
}
