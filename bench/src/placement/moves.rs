//! What moves when nodes come, go, or have their weights corrected by load.

use std::collections::BTreeSet;

use serde::Serialize;
use thenar::cluster::placement::{Member, NodeId};

use super::placed::{Load, Placed, weight};
use super::{Bytes, Plan, to_f64};

/// Least factor of a weight in one round of correction; the most is its inverse.
const FACTOR_MIN: f64 = 0.7;

/// Nodes came or went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// Rows that nodes had to load, as a share of those of all copies.
    pub moved: f64,
    /// Those that had to move: what the ones that came hold now, or the ones that went held.
    pub needed: f64,
    /// Their fair share.
    pub fair: f64,
    /// Bytes that had to be loaded.
    pub bytes: Bytes,
}

/// A round of correction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Correction {
    /// The load after it.
    pub load: Load,
    /// Rows that it moved, as a share of those of all copies.
    pub moved: f64,
}

/// What a change of nodes moved.
pub fn change(plan: &Plan, before: &Placed<'_>, after: &Placed<'_>) -> Change {
    let (came, fair_came) = alone(after, before);
    let (went, fair_went) = alone(before, after);
    Change {
        moved: moved_share(before, after),
        needed: came + went,
        fair: fair_came + fair_went,
        bytes: plan.bytes(after.moved(before)),
    }
}

/// Rows that nodes had to load, as a share of those of all copies.
pub fn moved_share(before: &Placed<'_>, after: &Placed<'_>) -> f64 {
    to_f64(after.moved(before).rows) / to_f64(after.copies().rows)
}

/// What the nodes hold that the other one doesn't have, and what is fair, as shares of all copies.
fn alone(placed: &Placed<'_>, other: &Placed<'_>) -> (f64, f64) {
    let others: BTreeSet<NodeId> = other.members.iter().map(|member| member.id).collect();
    let members = placed.members.iter().copied();
    let alone: Vec<Member> = members.filter(|member| !others.contains(&member.id)).collect();
    let rows = alone.iter().map(|member| placed.held(member.id).rows).sum();
    (
        to_f64(rows) / to_f64(placed.copies().rows),
        weight(&alone) / weight(&placed.members),
    )
}

/// The members with their weights corrected: by the square root of what is fair over what they have, since the whole of it would overshoot. `memories` are
/// the members with their memories for weights.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a weight times a factor near one, at least one"
)]
pub fn correct(placed: &Placed<'_>, memories: &[Member]) -> Vec<Member> {
    let corrected = |(member, (load, _)): (&Member, (f64, NodeId))| {
        let factor = (1.0 / load).sqrt().clamp(FACTOR_MIN, 1.0 / FACTOR_MIN);
        Member {
            weight: (f64::from(member.weight) * factor).round().max(1.0) as u32,
            ..*member
        }
    };
    let loads = placed.loads(memories);
    placed.members.iter().zip(loads).map(corrected).collect()
}
