//! The nodes that a front knows, and whom it asks for which part first. Sends nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::holder::Holder;
use super::record::{Record, Standing};
use crate::cluster::placement::{Gallery, NodeId, Part, Placement};
use crate::model::id::TenantId;

/// Parts whose owners are remembered. Finding them takes a draw of every node: some microseconds a part with a thousand nodes.
const OWNERS_MAX: u64 = 65_536;

/// A node, and what is remembered of it.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) holder: Arc<dyn Holder>,
    pub(super) record: Arc<Mutex<Record>>,
}

/// Nodes and the placement over them, as of one reading of the register.
pub struct Nodes {
    /// None where no node owns anything.
    placement: Option<Placement>,
    replicas: usize,
    peers: HashMap<NodeId, Peer>,
    /// Those that go.
    draining: HashSet<NodeId>,
    owners: Cache<(Gallery, Part), Arc<[NodeId]>>,
}

/// Whom to ask for each part, one after the other.
pub(super) type Holders = BTreeMap<Part, VecDeque<NodeId>>;

impl Nodes {
    /// No node.
    pub fn none() -> Self {
        Self {
            placement: None,
            replicas: 0,
            peers: HashMap::new(),
            draining: HashSet::new(),
            owners: Cache::new(OWNERS_MAX),
        }
    }

    /// The nodes of a placement with so many owners a part. One without a holder is not asked.
    pub fn new(
        placement: Placement,
        replicas: usize,
        holders: impl IntoIterator<Item = (NodeId, Arc<dyn Holder>)>,
    ) -> Self {
        let peer = |(id, holder)| {
            let record = Arc::new(Mutex::new(Record::new()));
            (id, Peer { holder, record })
        };
        Self {
            placement: Some(placement),
            replicas,
            peers: holders.into_iter().map(peer).collect(),
            draining: HashSet::new(),
            owners: Cache::new(OWNERS_MAX),
        }
    }

    /// The same, where these go: what only one node is asked for others are asked first.
    pub(super) fn with_draining(mut self, draining: HashSet<NodeId>) -> Self {
        self.draining = draining;
        self
    }

    /// The same, with what `former` remembers of those that are in both.
    pub(super) fn after(mut self, former: &Self) -> Self {
        for (id, peer) in &mut self.peers {
            if let Some(known) = former.peers.get(id) {
                peer.record = Arc::clone(&known.record);
            }
        }
        self
    }

    pub(super) fn peer(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(&node)
    }

    /// Whom to ask for these parts. Each turn begins with another owner of all parts alike, so that replicas share the load and the parts of one node stay together;
    /// owners that left calls unanswered come last.
    pub(super) fn plan(
        &self,
        tenant: &TenantId,
        gallery: Gallery,
        parts: &BTreeSet<Part>,
        turn: usize,
    ) -> Holders {
        let now = Instant::now();
        let mut standings: HashMap<NodeId, Standing> = HashMap::new();
        let mut holders = Holders::new();
        for part in parts {
            let owners = self.owners(gallery, *part);
            let mut order: Vec<(Standing, NodeId)> = Vec::with_capacity(owners.len());
            let first = turn.checked_rem(owners.len()).unwrap_or(0);
            for owner in owners.iter().cycle().skip(first).take(owners.len()) {
                if let Some(peer) = self.peers.get(owner) {
                    let standing = standings
                        .entry(*owner)
                        .or_insert_with(|| peer.record.lock().standing(tenant, now));
                    order.push((*standing, *owner));
                }
            }
            order.sort_by_key(|(standing, _)| *standing);
            holders.insert(*part, order.into_iter().map(|(_, owner)| owner).collect());
        }
        holders
    }

    /// The owners of a part, the best first.
    fn owners(&self, gallery: Gallery, part: Part) -> Arc<[NodeId]> {
        let find = |placement: &Placement| placement.owners(gallery, part, self.replicas);
        self.owners.get_with((gallery, part), || {
            self.placement.as_ref().map(find).unwrap_or_default().into()
        })
    }

    /// The owners of a tenant's fresh part in one order for all fronts, those against which something speaks behind the others. Nobody is looked at.
    pub(super) fn owners_of_fresh(&self, tenant: &TenantId, gallery: Gallery) -> Vec<(NodeId, &Peer)> {
        let (now, owners) = (Instant::now(), self.owners(gallery, Part::Fresh));
        let known = |id: &NodeId| Some((*id, self.peers.get(id)?));
        let mut owners: Vec<(NodeId, &Peer)> = owners.iter().filter_map(known).collect();
        let doubts = |peer: &Peer| peer.record.lock().doubts(tenant, now);
        owners.sort_by_key(|(id, peer)| {
            let (is_poor, misses) = doubts(peer);
            (is_poor, self.draining.contains(id), misses)
        });
        owners
    }

    /// Whether anybody owns anything.
    pub(super) fn is_placed(&self) -> bool {
        self.placement.is_some()
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
