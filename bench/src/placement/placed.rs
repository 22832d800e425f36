//! A placement together with what it places: what each node holds, how evenly, and how many nodes one identification asks.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;
use thenar::cluster::placement::{Member, NodeId, Placement, PlacementError};

use super::population::Piece;
use super::to_f64;

/// Rows and segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Rows, whose codes are in memory.
    pub rows: u64,
    /// Segments, whose files are kept.
    pub segments: u64,
}

impl Held {
    fn add(&mut self, piece: &Piece) {
        self.rows += piece.rows;
        self.segments += piece.segments;
    }
}

/// Rows that nodes hold, each over its fair share: that of its memory in all memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Load {
    /// Standard deviation.
    pub deviation: f64,
    /// 99 nodes in 100 have no more.
    pub p99: f64,
    /// The most.
    pub max: f64,
}

/// Nodes that an identification asks, where it asks the first owner of every part of its gallery.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Asked {
    /// Mean over palms: a tenant with twice as many is asked twice as often.
    pub mean: f64,
    /// Of the tenant that asks most.
    pub max: usize,
}

/// Nodes, and pieces with their owners among them.
#[derive(Debug, Clone)]
pub struct Placed<'a> {
    pub(super) members: Vec<Member>,
    pub(super) placement: Placement,
    pieces: &'a [Piece],
    replicas: usize,
    owners: Vec<Vec<NodeId>>,
    held: BTreeMap<NodeId, Held>,
}

impl<'a> Placed<'a> {
    /// Places every piece.
    pub fn new(members: Vec<Member>, pieces: &'a [Piece], replicas: usize) -> Result<Self, PlacementError> {
        let placement = Placement::new(members.clone())?;
        let owners: Vec<Vec<NodeId>> = pieces
            .par_iter()
            .map(|piece| placement.owners(piece.gallery, piece.part, replicas))
            .collect();
        let mut held: BTreeMap<NodeId, Held> = BTreeMap::new();
        for (piece, owners) in pieces.iter().zip(&owners) {
            for owner in owners {
                held.entry(*owner).or_default().add(piece);
            }
        }
        Ok(Self {
            members,
            placement,
            pieces,
            replicas,
            owners,
            held,
        })
    }

    /// What a node holds.
    pub fn held(&self, node: NodeId) -> Held {
        self.held.get(&node).copied().unwrap_or_default()
    }

    /// What all nodes hold together.
    pub fn copies(&self) -> Held {
        self.held.values().fold(Held::default(), |sum, held| Held {
            rows: sum.rows + held.rows,
            segments: sum.segments + held.segments,
        })
    }

    /// What a node holds in the mean.
    pub fn mean(&self) -> Held {
        let (copies, nodes) = (self.copies(), self.members.len() as u64);
        Held {
            rows: copies.rows / nodes,
            segments: copies.segments / nodes,
        }
    }

    /// What the node with the highest load holds.
    pub fn fullest(&self, memories: &[Member]) -> Held {
        let fullest = self
            .loads(memories)
            .max_by(|(one, _), (other, _)| one.total_cmp(other));
        fullest.map_or(Held::default(), |(_, node)| self.held(node))
    }

    /// How evenly rows lie, where these members' weights are their memories.
    pub fn load(&self, memories: &[Member]) -> Load {
        let mut loads: Vec<f64> = self.loads(memories).map(|(load, _)| load).collect();
        loads.sort_by(f64::total_cmp);
        let squares: f64 = loads.iter().map(|load| (load - 1.0) * (load - 1.0)).sum();
        let at = |rank: usize| loads.get(rank).copied().unwrap_or_default();
        Load {
            deviation: (squares / to_f64(loads.len() as u64)).sqrt(),
            p99: at((loads.len() * 99).div_ceil(100) - 1),
            max: at(loads.len() - 1),
        }
    }

    /// The load of each of these members, with its number of rows.
    pub fn loads(&self, memories: &[Member]) -> impl Iterator<Item = (f64, NodeId)> {
        let all = to_f64(self.copies().rows);
        let weights = weight(memories);
        memories.iter().map(move |member| {
            let fair = all * f64::from(member.weight) / weights;
            (to_f64(self.held(member.id).rows) / fair, member.id)
        })
    }

    /// What nodes have to load where `before` held until now.
    pub fn moved(&self, before: &Self) -> Held {
        let mut moved = Held::default();
        for piece in self.pieces {
            let gained = self
                .placement
                .gained(&before.placement, piece.gallery, piece.part, self.replicas);
            for _ in gained {
                moved.add(piece);
            }
        }
        moved
    }

    /// Nodes that an identification asks.
    pub fn asked(&self) -> Asked {
        let (mut palms, mut sum, mut max) = (0, 0, 0);
        let mut rest = &self.owners[..];
        for pieces in self.pieces.chunk_by(|one, next| one.gallery == next.gallery) {
            let (owners, others) = rest.split_at(pieces.len());
            let first: BTreeSet<_> = owners.iter().filter_map(|owners| owners.first()).collect();
            let rows: u64 = pieces.iter().map(|piece| piece.rows).sum();
            palms += rows;
            sum += rows * first.len() as u64;
            max = max.max(first.len());
            rest = others;
        }
        Asked {
            mean: to_f64(sum) / to_f64(palms),
            max,
        }
    }
}

/// Weight of all.
pub fn weight(members: &[Member]) -> f64 {
    members.iter().map(|member| f64::from(member.weight)).sum()
}
