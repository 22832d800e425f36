//! The nodes of a cluster as its register has them, followed by a front: whom it asks, and by which connections. Reads no database itself, and opens no connection.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Asker;
use super::holder::Holder;
use super::nodes::Nodes;
use crate::cluster::members::{Life, Registered};
use crate::cluster::placement::{Member, NodeId, Placement, PlacementError};
use crate::matcher::node::{Node, NodeError};

/// How often the register is read.
pub const READ_EVERY: Duration = Duration::from_secs(1);
/// Longest reading.
pub const READ_MAX: Duration = Duration::from_secs(5);

/// A node and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The node.
    pub id: NodeId,
    /// Where fronts reach it, as whoever dials takes it.
    pub address: String,
    /// Where it stands.
    pub registered: Registered,
}

/// One reading of the register.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterRead {
    /// Another one with each change of who owns what. With the same one nothing is new.
    pub generation: u64,
    /// All nodes, also those that own nothing.
    pub nodes: Vec<Entry>,
}

/// Where the nodes are registered.
#[async_trait]
pub trait Register: Send + Sync + 'static {
    /// Reads all of it at once.
    async fn read(&self) -> Result<RegisterRead, NodeError>;
}

/// A node as a front reaches it.
#[derive(Clone)]
pub struct Link {
    /// For one call to one node.
    pub node: Arc<dyn Node>,
    /// For parts of galleries.
    pub holder: Arc<dyn Holder>,
}

/// How nodes are reached.
pub trait Dial: Send + Sync + 'static {
    /// The way to a node. Connects when it is first used; an error is an address that leads nowhere.
    fn dial(&self, id: NodeId, address: &str) -> Result<Link, NodeError>;
}

/// The ways to nodes that own parts.
pub(super) type Links = HashMap<NodeId, Link>;

/// Follows the register for a front. What it can't read or reach changes nothing: the nodes of the last reading are asked.
pub(super) struct Following<R, D> {
    pub(super) register: R,
    pub(super) dial: D,
    pub(super) replicas: usize,
    pub(super) asker: Arc<Asker>,
    pub(super) links: Arc<ArcSwap<Links>>,
    pub(super) is_placed: watch::Sender<bool>,
}

/// What is known of the register.
#[derive(Default)]
pub(super) struct Known {
    /// None where something of it is still to be done.
    generation: Option<u64>,
    addresses: HashMap<NodeId, String>,
    /// Whether it could not be read the last time, which is told once.
    is_blind: bool,
}

impl<R: Register, D: Dial> Following<R, D> {
    /// For ever.
    pub(super) async fn run(self) {
        let (mut ticks, mut known) = (interval(READ_EVERY), Known::default());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(&mut known).await;
        }
    }

    async fn look(&self, known: &mut Known) {
        // A defect of the register's driver ends this reading and not all that are to come.
        let reading = AssertUnwindSafe(self.register.read()).catch_unwind();
        let fault = match timeout(READ_MAX, reading).await {
            Ok(Ok(Ok(read))) => {
                if std::mem::take(&mut known.is_blind) {
                    tracing::info!("the register of nodes can be read again");
                }
                return self.apply(read, known);
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => "its reading panicked".to_owned(),
            Err(_) => format!("no answer within {READ_MAX:?}"),
        };
        if !std::mem::replace(&mut known.is_blind, true) {
            tracing::warn!(
                fault,
                "the register of nodes can't be read; the nodes of the last reading are asked"
            );
        }
    }

    /// Takes the nodes of a reading. One that can't be dialled owns what it owns, is not asked, and is dialled again with the next reading.
    fn apply(&self, read: RegisterRead, known: &mut Known) {
        if known.generation == Some(read.generation) {
            return;
        }
        let owners = read
            .nodes
            .into_iter()
            .filter(|entry| entry.registered.life.owns());
        let owners: Vec<Entry> = owners.collect();
        let going = owners
            .iter()
            .filter(|entry| entry.registered.life == Life::Draining);
        let draining: HashSet<NodeId> = going.map(|entry| entry.id).collect();
        let member = |entry: &Entry| Member {
            id: entry.id,
            weight: entry.registered.weight,
        };
        let placement = match Placement::new(owners.iter().map(member).collect()) {
            Ok(placement) => Some(placement),
            Err(PlacementError::Nobody) => None,
            Err(error) => {
                tracing::error!(%error, "there is no placement by the register of nodes; the nodes of the last reading are asked");
                known.generation = Some(read.generation);
                return;
            }
        };
        let former = self.links.load_full();
        let (mut links, mut addresses, mut is_whole) = (Links::new(), HashMap::new(), true);
        for Entry { id, address, .. } in owners {
            let same = former
                .get(&id)
                .filter(|_| known.addresses.get(&id) == Some(&address));
            match same.cloned().map_or_else(|| self.dial.dial(id, &address), Ok) {
                Ok(link) => {
                    links.insert(id, link);
                    addresses.insert(id, address);
                }
                Err(error) => {
                    is_whole = false;
                    tracing::error!(node = %id, address, %error, "a node can't be dialled");
                }
            }
        }
        let holders: Vec<_> = links
            .iter()
            .map(|(id, link)| (*id, Arc::clone(&link.holder)))
            .collect();
        let (is_placed, count) = (placement.is_some(), links.len());
        self.links.store(Arc::new(links));
        let nodes =
            placement.map(|placement| Nodes::new(placement, self.replicas, holders).with_draining(draining));
        self.asker.set_nodes(nodes.unwrap_or_else(Nodes::none));
        self.is_placed.send_replace(is_placed);
        tracing::info!(
            generation = read.generation,
            nodes = count,
            "other nodes own the parts of galleries"
        );
        known.addresses = addresses;
        known.generation = is_whole.then_some(read.generation);
    }
}
