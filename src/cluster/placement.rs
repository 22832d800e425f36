//! Which nodes own which part of a gallery: weighted rendezvous hashing. Knows no addresses, and not whether a node is alive.
//!
//! Every node makes one draw for every part. Its cost is divided by the node's weight, and the nodes with the least own the part (Thaler and Ravishankar 1998; the
//! logarithm that makes shares follow weights: Schindelhauer and Schomaker 2005). A draw depends on its part and its node alone, so that a node that
//! comes takes parts for itself, one that goes leaves its own to others, and nothing else moves.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU32;

use thiserror::Error;

use super::draw::{cost, draw, key};
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;

/// Most nodes of a placement.
pub const NODES_MAX: usize = 4_096;
/// Most owners of a part.
pub const REPLICAS_MAX: usize = 8;

/// A node, for as long as it lives. Given out at random, never twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u128);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A node and how much it may own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// It is the best owner of its share of all parts: its weight over the sum of all weights. 0: it owns nothing.
    pub weight: u32,
}

/// A tenant's gallery, from the tenant's creation to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gallery(u64);

impl Gallery {
    /// The gallery of the tenant that was created then: one that is made anew under the same id is another one.
    pub fn of(tenant: &TenantId, created_at: Timestamp) -> Self {
        Self(key(&[tenant.as_str().as_bytes(), &created_at.0.to_le_bytes()]))
    }
}

/// What is placed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The rows that are in no segment yet. Placed as group 0 is: most galleries have no other group, and are then asked whole in one call.
    Fresh,
    /// So many segments in a row, by the number of the group, from 0.
    Group(u32),
}

impl Part {
    /// The group of a segment. Segments have numbers from 1.
    pub fn of_segment(number: u32, group_segments: NonZeroU32) -> Self {
        Self::Group(number.saturating_sub(1) / group_segments)
    }

    fn key(self, gallery: Gallery) -> u64 {
        let group = match self {
            Self::Fresh => 0,
            Self::Group(number) => number,
        };
        key(&[&gallery.0.to_le_bytes(), b"group", &group.to_le_bytes()])
    }
}

/// Why there is no placement over these nodes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// More than [`NODES_MAX`].
    #[error("{nodes} nodes are too many: a placement has at most {NODES_MAX}")]
    TooMany {
        /// How many there are.
        nodes: usize,
    },
    /// A node is there twice.
    #[error("node {0} is named twice: a placement has every node once")]
    Twice(NodeId),
    /// No node has a weight.
    #[error("no node may own anything: at least one needs a weight above 0")]
    Nobody,
}

/// Nodes, and so the owners of every part of every gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Those with a weight, by id.
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    member: Member,
    key: u64,
}

impl Placement {
    /// A placement over these nodes. Their order means nothing.
    pub fn new(mut members: Vec<Member>) -> Result<Self, PlacementError> {
        let nodes = members.len();
        if nodes > NODES_MAX {
            return Err(PlacementError::TooMany { nodes });
        }
        members.sort_by_key(|member| member.id);
        for (one, next) in members.iter().zip(members.iter().skip(1)) {
            if one.id == next.id {
                return Err(PlacementError::Twice(one.id));
            }
        }
        members.retain(|member| member.weight > 0);
        if members.is_empty() {
            return Err(PlacementError::Nobody);
        }
        let candidate = |member: Member| Candidate {
            member,
            key: key(&[&member.id.0.to_le_bytes()]),
        };
        Ok(Self {
            candidates: members.into_iter().map(candidate).collect(),
        })
    }

    /// The owners of a part, the best first: so many as are wanted, but no more than there are nodes with a weight, nor than [`REPLICAS_MAX`].
    pub fn owners(&self, gallery: Gallery, part: Part, replicas: usize) -> Vec<NodeId> {
        let (part, replicas) = (part.key(gallery), replicas.min(REPLICAS_MAX));
        let mut best: Vec<Bid> = Vec::with_capacity(replicas + 1);
        for candidate in &self.candidates {
            let bid = Bid {
                cost: cost(draw(part, candidate.key)),
                member: candidate.member,
            };
            let place = best.partition_point(|better| better.compare(&bid).is_lt());
            if place < replicas {
                best.insert(place, bid);
                best.truncate(replicas);
            }
        }
        best.into_iter().map(|bid| bid.member.id).collect()
    }

    /// The owners of a part that did not own it `before`: who has to load it.
    pub fn gained(&self, before: &Self, gallery: Gallery, part: Part, replicas: usize) -> Vec<NodeId> {
        let had = before.owners(gallery, part, replicas);
        let mut gained = self.owners(gallery, part, replicas);
        gained.retain(|owner| !had.contains(owner));
        gained
    }
}

/// What a node offers for a part.
#[derive(Debug, Clone, Copy)]
struct Bid {
    cost: u64,
    member: Member,
}

impl Bid {
    /// By cost over weight, the least first: the quotients are compared as products. Equal ones, by id.
    fn compare(&self, other: &Self) -> Ordering {
        let product = |cost: u64, weight: u32| u128::from(cost) * u128::from(weight);
        product(self.cost, other.member.weight)
            .cmp(&product(other.cost, self.member.weight))
            .then(self.member.id.cmp(&other.member.id))
    }
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
