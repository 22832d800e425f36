//! Who would hold what in a large cluster, by the placement that its nodes would use, and where that stops. Runs no node and measures no time.

pub mod catalog;
pub mod moves;
pub mod placed;
pub mod population;
pub mod stops;

use std::num::NonZeroU32;
use std::ops::Range;

use clap::ValueEnum;
use serde::Serialize;
use thenar::cluster::placement::{Member, NodeId};
use thenar::model::signature::Dimension;
use thenar::storage::place::{SCALE_LEN, SEGMENT_ROWS_MAX};

use self::catalog::{Catalog, Traffic};
use self::moves::{Change, Correction, change, correct, moved_share};
use self::placed::{Asked, Held, Load, Placed};
use self::population::{pieces, tenants};
use self::stops::{Stop, stops};
use crate::Failure;

/// How nodes differ in memory, and so in weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// They don't.
    Equal,
    /// Of every three nodes the second has twice, the third four times what the first has.
    OneTwoFour,
}

/// What is placed on what.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Nodes at first.
    pub nodes: u32,
    /// How they differ.
    pub weights: Weights,
    /// GiB of codes that the smallest node may hold.
    pub node_gib: u32,
    /// Palms of all tenants.
    pub palms: u64,
    /// Tenants.
    pub tenants: u32,
    /// The tenant of rank n has 1/n to this power of what the first has.
    pub skew: f64,
    /// Dimension of the signatures.
    pub dim: Dimension,
    /// Segments that are placed as a whole.
    pub group_segments: NonZeroU32,
    /// Copies of every part.
    pub replicas: usize,
    /// Nodes that come.
    pub joins: u32,
    /// Nodes that go; others than those that come, and not at the same time.
    pub leaves: u32,
    /// Rounds in which weights are corrected by load.
    pub corrections: u32,
}

impl Plan {
    /// The nodes of these numbers, with their memory in MiB for weights.
    pub fn members(&self, numbers: Range<u32>) -> Vec<Member> {
        let member = |number| {
            let times = match (self.weights, number % 3) {
                (Weights::Equal, _) | (Weights::OneTwoFour, 0) => 1,
                (Weights::OneTwoFour, 1) => 2,
                (Weights::OneTwoFour, _) => 4,
            };
            Member {
                id: NodeId(u128::from(number)),
                weight: (self.node_gib * times) << 10,
            }
        };
        numbers.map(member).collect()
    }

    /// Bytes of what a node holds.
    pub fn bytes(&self, held: Held) -> Bytes {
        let code = self.dim.get() / 2 + SCALE_LEN;
        Bytes {
            codes: held.rows * code as u64,
            files: held.segments * segment_bytes(self.dim),
        }
    }
}

/// Bytes in memory and on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Codes of all rows, in memory.
    pub codes: u64,
    /// Files of all segments.
    pub files: u64,
}

/// What the placement comes to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Parts: groups of segments, and the fresh part of each tenant.
    pub parts: usize,
    /// Rows that nodes hold over what is fair.
    pub load: Load,
    /// What a node holds in the mean.
    pub mean: Bytes,
    /// What the node with the highest load holds.
    pub fullest: Bytes,
    /// Nodes that one identification asks.
    pub asked: Asked,
    /// When nodes come; none where none do.
    pub join: Option<Change>,
    /// When nodes go; none where none do.
    pub leave: Option<Change>,
    /// Each round of correction.
    pub corrections: Vec<Correction>,
    /// What reaches the catalog.
    pub catalog: Catalog,
    /// Where the design stops, after the corrections.
    pub stops: Vec<Stop>,
}

/// Places everything, lets nodes come and go, corrects weights, and looks for the limits.
pub fn run(plan: &Plan, traffic: Traffic) -> Result<Report, Failure> {
    if plan.leaves >= plan.nodes {
        return Err(format!(
            "of {} nodes {} can't go: one has to stay",
            plan.nodes, plan.leaves
        )
        .into());
    }
    let tenants = tenants(plan.palms, plan.tenants, plan.skew)?;
    let pieces = pieces(&tenants, plan.group_segments)?;
    let place = |members| Placed::new(members, &pieces, plan.replicas);
    let members = plan.members(0..plan.nodes);
    let first = place(members.clone())?;
    let changed = |numbers| Ok::<_, Failure>(change(plan, &first, &place(plan.members(numbers))?));
    let join = (plan.joins > 0).then(|| changed(0..plan.nodes + plan.joins));
    let leave = (plan.leaves > 0).then(|| changed(plan.leaves..plan.nodes));
    let (mut last, mut corrections) = (first.clone(), Vec::new());
    for _ in 0..plan.corrections {
        let next = place(correct(&last, &members))?;
        corrections.push(Correction {
            load: next.load(&members),
            moved: moved_share(&last, &next),
        });
        last = next;
    }
    Ok(Report {
        parts: pieces.len(),
        load: first.load(&members),
        mean: plan.bytes(first.mean()),
        fullest: plan.bytes(first.fullest(&members)),
        asked: first.asked(),
        join: join.transpose()?,
        leave: leave.transpose()?,
        corrections,
        catalog: Catalog::of(&tenants, plan.nodes, traffic),
        stops: stops(plan, &tenants, &last, &members),
    })
}

/// Bytes of the file of a full segment (docs/format.md): the header, and four planes of blocks, each block with its tag.
fn segment_bytes(dim: Dimension) -> u64 {
    let (header, block_bytes_max, tag) = (4_096, 4_096, 16);
    let rows = SEGMENT_ROWS_MAX as usize;
    let dim = dim.get();
    let planes = [dim / 8, 3 * dim / 8, SCALE_LEN, 2 * dim + 16].map(|row_bytes| {
        let fitting = (block_bytes_max / row_bytes).max(1);
        let block_rows = 1 << fitting.ilog2();
        rows * row_bytes + rows / block_rows * tag
    });
    header + planes.iter().sum::<usize>() as u64
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "a share or an estimate is made of it")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
