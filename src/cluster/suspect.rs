//! When a node takes another one for gone: its beat stood still over many looks. Wrong suspicion costs availability, never truth. Reads no clock: the caller brings its own
//! monotonic one's time along.
//!
//! Looks are counted, and not time alone: while the catalog can't be read nobody can beat, nobody can look, and so nobody is suspected for it. Nor by one who was stopped itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::members::{Members, Suspect};
use super::placement::NodeId;

/// Least time between two looks that count. A node beats as often.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks in a row without a sign of life.
pub const LOOKS_MAX: u32 = 10;

/// What one node has seen of the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Watch {
    looked_at: Option<Duration>,
    seen: BTreeMap<NodeId, Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    last: Suspect,
    still: u32,
}

impl Watch {
    /// Looks at the register as it was just read. `now` is of any clock that never goes back. Gives those to be fenced.
    pub fn look(&mut self, now: Duration, members: &Members) -> Vec<Suspect> {
        if self.looked_at.is_some_and(|last| now < last + LOOK_EVERY) {
            return Vec::new();
        }
        self.looked_at = Some(now);
        let here = members
            .nodes()
            .keys()
            .filter_map(|node| Some((*node, members.current(*node)?)));
        let seen = here.map(|(node, registered)| {
            let last = Suspect {
                node,
                generation: registered.generation,
                beat: registered.beat,
            };
            let before = self.seen.get(&node).filter(|before| before.last == last);
            let still = before.map_or(0, |before| before.still.saturating_add(1));
            (node, Seen { last, still })
        });
        self.seen = seen.collect();
        let suspects = self.seen.values().filter(|seen| seen.still >= LOOKS_MAX);
        suspects.map(|seen| seen.last).collect()
    }
}

#[cfg(test)]
#[path = "suspect_tests.rs"]
mod tests;
