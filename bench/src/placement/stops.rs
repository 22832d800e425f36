//! Where the design stops: the palms at which a limit is reached.

use std::collections::BTreeSet;

use serde::Serialize;
use thenar::cluster::placement::{Gallery, Member, Part};
use thenar::model::timestamp::Timestamp;
use thenar::storage::place::SEGMENT_ROWS_MAX;

use super::catalog::PALM_BYTES;
use super::placed::Placed;
use super::population::Tenant;
use super::{Plan, to_f64};

/// Largest catalog in one database, in TiB.
const CATALOG_TIB_MAX: u64 = 2;
/// Most nodes that one identification should ask: of so many one is slow nearly always.
const ASKED_MAX: usize = 256;

/// A limit.
#[derive(Debug, Clone, Serialize)]
pub struct Stop {
    /// What happens.
    pub limit: String,
    /// Palms from which on it does; none where it never does.
    pub at: Option<u64>,
    /// Whose palms count.
    pub of: Whose,
    /// Whether the plan has as many.
    pub reached: bool,
}

/// Whose palms count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// Those of all tenants.
    AllTenants,
    /// Those of one tenant.
    OneTenant,
}

/// The three limits of a plan. `memories` are the members with their memories in MiB for weights.
pub fn stops(plan: &Plan, tenants: &[Tenant], placed: &Placed<'_>, memories: &[Member]) -> Vec<Stop> {
    let largest = tenants.iter().map(|tenant| tenant.palms).max();
    let stop = |limit: String, of: Whose, at: Option<u64>| {
        let palms = match of {
            Whose::AllTenants => plan.palms,
            Whose::OneTenant => largest.unwrap_or_default(),
        };
        let reached = at.is_some_and(|at| at <= palms);
        Stop {
            limit,
            at,
            of,
            reached,
        }
    };
    let catalog = (CATALOG_TIB_MAX << 40) / PALM_BYTES;
    vec![
        stop(
            format!("the catalog has {CATALOG_TIB_MAX} TiB"),
            Whose::AllTenants,
            Some(catalog),
        ),
        stop(
            "the fullest node's memory is full".to_owned(),
            Whose::AllTenants,
            Some(memory(plan, placed, memories)),
        ),
        stop(
            format!("an identification asks more than {ASKED_MAX} nodes"),
            Whose::OneTenant,
            asked(plan, placed),
        ),
    ]
}

/// Palms of all tenants with which the first node has no memory left, if all of them grow alike.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "palms, rounded down"
)]
fn memory(plan: &Plan, placed: &Placed<'_>, memories: &[Member]) -> u64 {
    let times = memories.iter().map(|member| {
        let bytes = plan.bytes(placed.held(member.id)).codes;
        to_f64(u64::from(member.weight) << 20) / to_f64(bytes)
    });
    (to_f64(plan.palms) * times.fold(f64::INFINITY, f64::min)) as u64
}

/// Palms of one tenant, whose groups have more first owners than that.
fn asked(plan: &Plan, placed: &Placed<'_>) -> Option<u64> {
    if placed.members.len() <= ASKED_MAX {
        return None;
    }
    let gallery = Gallery::of(&"tenant".parse().ok()?, Timestamp(0));
    let mut first = BTreeSet::new();
    for number in 0.. {
        first.extend(placed.placement.owners(gallery, Part::Group(number), 1));
        if first.len() > ASKED_MAX {
            let segments = u64::from(number + 1) * u64::from(plan.group_segments.get());
            return Some(segments * u64::from(SEGMENT_ROWS_MAX));
        }
    }
    None
}
