//! The nodes of a cluster as the catalog's register has them, from joining to being gone, and the generation by which a node is fenced (rule W2). Each method is one
//! transaction's decision. Sends nothing, and reads no clock.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::placement::{Gallery, Member, NodeId, Part, Placement};

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Life {
    /// It loads what it is to own.
    Joining,
    /// It owns its share.
    Serving,
    /// It owns its share until others have it.
    Draining,
    /// It left, or was fenced.
    Gone,
}

impl Life {
    /// Whether a node owns parts today.
    pub fn owns(self) -> bool {
        matches!(self, Self::Serving | Self::Draining)
    }
}

/// A node in the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Registered {
    /// Which of the node's registrations this is. A node that was fenced needs a new one, and begins with nothing in memory.
    pub generation: u64,
    /// Where it stands.
    pub life: Life,
    /// Rises as long as it lives: a counter, not a time.
    pub beat: u64,
    /// What it may own, as in a [`Member`].
    pub weight: u32,
}

/// A registration that no longer counts: the node was fenced, or registered anew. It lets go of everything and registers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "node {node} is no longer of generation {generation}: it was taken for gone, and has to register again"
)]
pub struct Fenced {
    /// The node.
    pub node: NodeId,
    /// The generation that it thought it had.
    pub generation: u64,
}

/// A node that somebody takes for gone, by what was last seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Suspect {
    /// The node.
    pub node: NodeId,
    /// Its generation then.
    pub generation: u64,
    /// Its beat then.
    pub beat: u64,
}

/// The register.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Members {
    generation: u64,
    nodes: BTreeMap<NodeId, Registered>,
}

impl Members {
    /// As it was read.
    pub fn of(generation: u64, nodes: BTreeMap<NodeId, Registered>) -> Self {
        Self { generation, nodes }
    }

    /// Raised by every change of who owns what.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All nodes that ever registered.
    pub fn nodes(&self) -> &BTreeMap<NodeId, Registered> {
        &self.nodes
    }

    /// Registers a node, for the first time or again, and gives its generation.
    pub fn register(&mut self, node: NodeId, weight: u32) -> u64 {
        let last = self.nodes.get(&node).map_or(0, |before| before.generation);
        let registered = Registered {
            generation: last + 1,
            life: Life::Joining,
            beat: 0,
            weight,
        };
        self.nodes.insert(node, registered);
        self.generation += 1;
        registered.generation
    }

    /// Whether a node still is who it thinks (W2). Every transaction of a node begins with this.
    pub fn check(&self, node: NodeId, generation: u64) -> Result<(), Fenced> {
        let is_current = self.current(node).is_some_and(|now| now.generation == generation);
        is_current.then_some(()).ok_or(Fenced { node, generation })
    }

    /// A sign of life.
    pub fn beat(&mut self, node: NodeId, generation: u64) -> Result<(), Fenced> {
        self.own(node, generation)?.beat += 1;
        Ok(())
    }

    /// A node goes on in its life: it has loaded what it gains, or drains, or others have what it had. Never back; what it has reached already changes nothing.
    pub fn advance(&mut self, node: NodeId, generation: u64, to: Life) -> Result<(), Fenced> {
        let own = self.own(node, generation)?;
        if own.life < to {
            own.life = to;
            self.generation += 1;
        }
        Ok(())
    }

    /// Fences a node, unless it gave a sign of life since it was seen. Says whether it is gone now by this.
    pub fn fence(&mut self, suspect: &Suspect) -> bool {
        match self.own(suspect.node, suspect.generation) {
            Ok(node) if node.beat == suspect.beat => {
                node.life = Life::Gone;
                self.generation += 1;
                true
            }
            _ => false,
        }
    }

    /// A node's entry, unless it is gone.
    pub fn current(&self, node: NodeId) -> Option<&Registered> {
        self.nodes.get(&node).filter(|now| now.life != Life::Gone)
    }

    /// Who owns parts today.
    pub fn now(&self) -> Vec<Member> {
        self.members(Life::owns)
    }

    /// Who is to own parts once those that join have loaded, and those that drain have left.
    pub fn next(&self) -> Vec<Member> {
        self.members(|life| matches!(life, Life::Joining | Life::Serving))
    }

    /// Who owns a part today, and who is to own it next.
    pub fn owners(&self, gallery: Gallery, part: Part, replicas: usize) -> BTreeSet<NodeId> {
        let placements = [self.now(), self.next()].map(Placement::new);
        // Where nobody may own anything nobody does.
        let owners = placements
            .iter()
            .flatten()
            .map(|nodes| nodes.owners(gallery, part, replicas));
        owners.flatten().collect()
    }

    fn members(&self, is_in: impl Fn(Life) -> bool) -> Vec<Member> {
        let nodes = self.nodes.iter().filter(|(_, node)| is_in(node.life));
        let member = |(id, node): (&NodeId, &Registered)| Member {
            id: *id,
            weight: node.weight,
        };
        nodes.map(member).collect()
    }

    fn own(&mut self, node: NodeId, generation: u64) -> Result<&mut Registered, Fenced> {
        self.check(node, generation)?;
        self.nodes.get_mut(&node).ok_or(Fenced { node, generation })
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
