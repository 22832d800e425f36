//! The worlds that are checked: what may happen in each, and how often.

use super::owners::Owners;
use super::steps::Freshness;
use super::world::Left;

pub const NOTHING: Left = Left {
    enrolments: 0,
    erasures: 0,
    flushes: 0,
    merges: 0,
    cuts: 0,
    questions: 1,
    fences: 0,
    crashes: 0,
    drains: 0,
    dropped: 0,
    given_up: 0,
    regroups: 0,
    deletions: 0,
    leaves: 0,
    lags: 0,
    forgets: 0,
    withdrawals: 0,
};
/// One row is enrolled and flushed.
pub const FLUSH: Left = Left {
    enrolments: 1,
    flushes: 1,
    ..NOTHING
};
pub const FLUSHES: Left = Left {
    enrolments: 2,
    flushes: 2,
    ..NOTHING
};
/// One row is enrolled and erased.
pub const ERASURE: Left = Left {
    enrolments: 1,
    erasures: 1,
    ..NOTHING
};
pub const ERASURE_AND_CRASH: Left = Left {
    crashes: 1,
    ..ERASURE
};
pub const MERGE: Left = Left {
    merges: 1,
    deletions: 1,
    leaves: 1,
    ..NOTHING
};
pub const MADE_ANEW: Left = Left {
    enrolments: 2,
    dropped: 1,
    ..NOTHING
};

/// A world of so many nodes, each of which owns everything.
pub fn world(nodes: usize, left: Left) -> Freshness {
    Freshness::new(left, nodes)
}

pub fn slow(model: Freshness) -> Freshness {
    Freshness { slow: true, ..model }
}

/// Reports and leaves take a while.
pub fn late(model: Freshness) -> Freshness {
    Freshness { late: true, ..model }
}

/// Each part has one owner, so that not every node has every part.
pub fn shared(model: Freshness) -> Freshness {
    let owners = Owners::new(model.nodes, 1);
    Freshness { owners, ..model }
}

pub fn with_segments(segments: u32, model: Freshness) -> Freshness {
    Freshness { segments, ..model }
}
