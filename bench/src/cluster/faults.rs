//! What may happen to a part of a cluster, and for how long, by chance. Does nothing to anybody.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::standing::Part;

/// By then the other nodes have fenced one that gives no sign of life, on a busy machine too: eleven looks, a second apart.
const FENCED_MS: u64 = 16_000;
/// Longest time that somebody is away for longer than that.
const AWAY_MS_MAX: u64 = 26_000;
/// Longest time that is most often too short for it.
const MIDDLE_MS_MAX: u64 = 9_000;
/// Longest short time.
const SHORT_MS_MAX: u64 = 3_000;
/// Longest time without the object store, or with one that answers badly.
const STORE_MS_MAX: u64 = 8_000;
/// Shortest and longest rest between two faults of a lane, in milliseconds. Who was hit has to be an owner for all fronts again.
const REST_MS: [u64; 2] = [3_000, 7_000];
/// How often somebody who was killed is killed again while it starts.
const AGAIN: f64 = 0.2;

/// What happens to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and a new start.
    NodeKilled(usize),
    /// SIGSTOP, then SIGCONT.
    NodePaused(usize),
    /// SIGTERM, the end that follows from it, and a new start.
    NodeDrained(usize),
    /// Its clock is so many seconds wrong.
    NodeClock(usize, i32),
    /// What it sends arrives nowhere, and nothing reaches it.
    NodeCutOff(usize),
    /// Fronts don't reach it; it reaches database and store, and so is never fenced.
    NodeUnreachable(usize),
    /// It does not reach the database; fronts reach it.
    NodeWithoutDatabase(usize),
    /// Whatever it sends or receives takes long.
    NodeSlow(usize),
    /// SIGKILL, and a new start.
    FrontKilled(usize),
    /// SIGTERM, the end that follows from it, and a new start.
    FrontDrained(usize),
    /// It does not reach the database; it reaches nodes and store, and callers reach it.
    FrontWithoutDatabase(usize),
    /// Its transactions are rolled back, and it starts again.
    DatabaseRestarted,
    /// It ends as by a loss of power, and starts again.
    DatabaseKilled,
    /// It ends as by a loss of power for good, and its standby takes its place.
    DatabaseFailedOver,
    /// SIGSTOP, then SIGCONT.
    StorePaused,
    /// Whatever it is asked takes long.
    StoreSlow,
    /// It refuses some requests and ends the connections of others.
    StoreBusy,
    /// Some of its answers end in their middle.
    StoreBroken,
    /// Some objects come with a bit that is another one.
    StoreWrong,
    /// A tenant, by its place among them, gets another data key.
    DataKeyRotated(usize),
    /// The same, and another transform key.
    TransformKeyRotated(usize),
}

impl Fault {
    /// To whom it happens.
    pub fn part(self) -> Part {
        match self {
            Self::NodeKilled(node)
            | Self::NodePaused(node)
            | Self::NodeDrained(node)
            | Self::NodeClock(node, _)
            | Self::NodeCutOff(node)
            | Self::NodeUnreachable(node)
            | Self::NodeWithoutDatabase(node)
            | Self::NodeSlow(node) => Part::Node(node),
            Self::FrontKilled(front) | Self::FrontDrained(front) | Self::FrontWithoutDatabase(front) => {
                Part::Front(front)
            }
            Self::DatabaseRestarted | Self::DatabaseKilled | Self::DatabaseFailedOver => Part::Database,
            Self::StorePaused | Self::StoreSlow | Self::StoreBusy | Self::StoreBroken | Self::StoreWrong => {
                Part::Store
            }
            Self::DataKeyRotated(_) | Self::TransformKeyRotated(_) => Part::Keys,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeKilled(_) => "node killed",
            Self::NodePaused(_) => "node paused",
            Self::NodeDrained(_) => "node drained",
            Self::NodeClock(..) => "node's clock wrong",
            Self::NodeCutOff(_) => "node cut off",
            Self::NodeUnreachable(_) => "node unreachable",
            Self::NodeWithoutDatabase(_) => "node without database",
            Self::NodeSlow(_) => "node slow",
            Self::FrontKilled(_) => "front killed",
            Self::FrontDrained(_) => "front drained",
            Self::FrontWithoutDatabase(_) => "front without database",
            Self::DatabaseRestarted => "database restarted",
            Self::DatabaseFailedOver => "database failed over",
            Self::DatabaseKilled => "database killed",
            Self::StorePaused => "store paused",
            Self::StoreSlow => "store slow",
            Self::StoreBusy => "store busy",
            Self::StoreBroken => "store broken",
            Self::StoreWrong => "store wrong",
            Self::DataKeyRotated(_) => "data key rotated",
            Self::TransformKeyRotated(_) => "transform key rotated",
        }
    }
}

/// A fault and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    /// What.
    pub fault: Fault,
    /// From when it has happened until its repair begins.
    pub hold: Duration,
    /// So long after a new start the same happens once more.
    pub again: Option<Duration>,
}

/// Something that happens to one of these nodes, whose clocks may be one of it; `None` where there is none.
pub fn of_nodes(nodes: &[usize], has_clocks: bool, rng: &mut impl Rng) -> Option<Blow> {
    let node = *nodes.get(rng.random_range(0..nodes.len().max(1)))?;
    let (fault, hold) = match rng.random_range(0..20) {
        0..5 => (Fault::NodeKilled(node), away(rng)),
        5..9 => (Fault::NodePaused(node), away(rng)),
        9..12 => (Fault::NodeDrained(node), within(0, SHORT_MS_MAX, rng)),
        12..15 => (Fault::NodeCutOff(node), away(rng)),
        15..17 => (Fault::NodeUnreachable(node), away(rng)),
        17 => (Fault::NodeWithoutDatabase(node), away(rng)),
        18 if has_clocks => (Fault::NodeClock(node, clock(rng)), away(rng)),
        _ => (Fault::NodeSlow(node), away(rng)),
    };
    let again = matches!(fault, Fault::NodeKilled(_)) && rng.random_bool(AGAIN);
    Some(Blow {
        fault,
        hold,
        again: again.then(|| within(0, SHORT_MS_MAX, rng)),
    })
}

/// Something that happens to a front, the database, the store, where that is a server, or the keys of one of so many tenants.
pub fn of_others(fronts: usize, tenants: usize, is_store_server: bool, rng: &mut impl Rng) -> Blow {
    let front = rng.random_range(0..fronts.max(1));
    let tenant = rng.random_range(0..tenants.max(1));
    let (fault, hold_max) = match rng.random_range(0..if is_store_server { 21 } else { 15 }) {
        0..2 => (Fault::FrontKilled(front), SHORT_MS_MAX),
        2 => (Fault::FrontDrained(front), SHORT_MS_MAX),
        3..5 => (Fault::FrontWithoutDatabase(front), STORE_MS_MAX),
        5..7 => (Fault::DatabaseRestarted, 0),
        7..9 => (Fault::DatabaseKilled, SHORT_MS_MAX),
        9..11 => (Fault::DatabaseFailedOver, SHORT_MS_MAX),
        11..14 => (Fault::DataKeyRotated(tenant), 0),
        14 => (Fault::TransformKeyRotated(tenant), 0),
        15 => (Fault::StorePaused, STORE_MS_MAX),
        16 => (Fault::StoreSlow, STORE_MS_MAX),
        17 => (Fault::StoreBusy, STORE_MS_MAX),
        18 => (Fault::StoreBroken, STORE_MS_MAX),
        _ => (Fault::StoreWrong, STORE_MS_MAX),
    };
    Blow {
        fault,
        hold: within(0, hold_max, rng),
        again: None,
    }
}

/// Rest of a lane before its next fault.
pub fn rest(rng: &mut impl Rng) -> Duration {
    let [from, to] = REST_MS;
    within(from, to, rng)
}

/// How long a node is away: sometimes long enough to be fenced.
fn away(rng: &mut impl Rng) -> Duration {
    match rng.random_range(0..10) {
        0..5 => within(0, SHORT_MS_MAX, rng),
        5..7 => within(SHORT_MS_MAX, MIDDLE_MS_MAX, rng),
        _ => within(FENCED_MS, AWAY_MS_MAX, rng),
    }
}

/// How wrong a clock is, in seconds: an hour or two ahead, or half of one behind, so that certificates hold.
fn clock(rng: &mut impl Rng) -> i32 {
    if rng.random_bool(0.5) {
        return -1_800;
    }
    rng.random_range(3_600..7_200)
}

fn within(from_ms: u64, to_ms: u64, rng: &mut impl Rng) -> Duration {
    Duration::from_millis(rng.random_range(from_ms..=to_ms))
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
