//! How often the catalog would be asked, and how large it would be, by the design of docs/cluster.md. Asks none.

use serde::Serialize;

use super::population::Tenant;
use super::to_f64;

/// Bytes of the catalog a palm, with its indexes and without history. Measured once, on `PostgreSQL` 15 with the tables that are planned.
pub const PALM_BYTES: u64 = 536;
/// Queries of a transaction that records uses: the tenant's head, what has to be known, what is written.
const USE_QUERIES: f64 = 3.0;
/// Beats of a node a second.
const BEATS: f64 = 1.0;
/// Looks of a node at the feed of changes a second.
const POLLS: f64 = 1.0;

/// Who asks, and how long the catalog takes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Traffic {
    /// Fronts.
    pub fronts: u32,
    /// Identifications a second of all tenants, in proportion to their palms.
    pub identifications: f64,
    /// Milliseconds of one query.
    pub head_ms: f64,
}

/// Queries a second, and size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Catalog {
    /// Reads of heads: one of a front at a time, for all identifications that came in meanwhile.
    pub heads: f64,
    /// Transactions that record uses: one of a tenant at a time, for all that came in meanwhile.
    pub uses: f64,
    /// Beats of nodes.
    pub beats: f64,
    /// Looks of nodes at the feed of changes.
    pub polls: f64,
    /// Queries of all these.
    pub queries: f64,
    /// Bytes, without history.
    pub bytes: u64,
}

impl Catalog {
    /// What these tenants and so many nodes bring about.
    pub fn of(tenants: &[Tenant], nodes: u32, traffic: Traffic) -> Self {
        let Traffic {
            fronts,
            identifications,
            head_ms,
        } = traffic;
        let fronts = f64::from(fronts);
        let query_seconds = head_ms / 1_000.0;
        let palms: u64 = tenants.iter().map(|tenant| tenant.palms).sum();
        let heads = fronts * rounds(identifications / fronts, query_seconds);
        // Each front has its own group, and the lock of the tenant's head lets one of them through at a time.
        let uses_of = |tenant: &Tenant| {
            let rate = identifications * to_f64(tenant.palms) / to_f64(palms);
            let commit_seconds = USE_QUERIES * query_seconds;
            (fronts * rounds(rate / fronts, commit_seconds)).min(1.0 / commit_seconds)
        };
        let uses = tenants.iter().map(uses_of).sum();
        let (beats, polls) = (f64::from(nodes) * BEATS, f64::from(nodes) * POLLS);
        Self {
            heads,
            uses,
            beats,
            polls,
            queries: heads + uses * USE_QUERIES + beats + polls,
            bytes: palms * PALM_BYTES,
        }
    }
}

/// Rounds a second of who takes all that waits, takes `seconds` for it, and begins anew as soon as somebody is there; `rate` come a second, at random.
///
/// With nobody there after a round, which has the probability e^(−rate · seconds), the next one begins 1 / rate later in the mean.
fn rounds(rate: f64, seconds: f64) -> f64 {
    if rate <= 0.0 {
        return 0.0;
    }
    1.0 / (seconds + (-rate * seconds).exp() / rate)
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
