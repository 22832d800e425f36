//! Which nodes follow a gallery and how far, as the catalog has it; and what may happen once they are that far: a write be acknowledged (rule W3), a segment go live (F1), the
//! feed be cut (E1). Each method is one transaction's decision. Waits for nobody, and reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::course::{Course, Piece};
use super::members::{Fenced, Members};
use super::placement::NodeId;
use super::view::Edition;

/// An enrolment waits no longer than this. It is durable, and no reading depends on what its owners have: they are asked for it, and catch up or refuse.
pub const ENROL_WAIT_MAX: Duration = Duration::from_secs(2);

/// How far a node has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Report {
    /// Of this edition.
    pub edition: Edition,
    /// The last change that it has.
    pub applied: u64,
    /// The segments that it has loaded.
    pub segments: BTreeSet<u32>,
}

impl Report {
    /// What a node may say of itself.
    pub fn of(course: &Course) -> Self {
        let segment = |piece| match piece {
            Piece::Fresh => None,
            Piece::Segment(number) => Some(number),
        };
        Self {
            edition: course.edition(),
            applied: course.applied(),
            segments: course.held().into_iter().filter_map(segment).collect(),
        }
    }
}

/// A change that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// Rows came into the fresh part.
    Enrolment {
        /// The change.
        sequence: u64,
        /// Since its commit.
        waited: Duration,
    },
    /// Rows are gone.
    Erasure {
        /// The change.
        sequence: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Follower {
    generation: u64,
    applied: u64,
    segments: BTreeSet<u32>,
}

/// The followers of one edition of a gallery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Followers {
    edition: Edition,
    nodes: BTreeMap<NodeId, Follower>,
}

impl Followers {
    /// Nobody yet.
    pub fn new(edition: Edition) -> Self {
        Self {
            edition,
            nodes: BTreeMap::new(),
        }
    }

    /// Takes a node in, before it has any row: in the transaction that reads the head, of this sequence, with which its course begins. So an erasure either is older than all
    /// that the node will read, or waits for it.
    pub fn follow(
        &mut self,
        members: &Members,
        node: NodeId,
        generation: u64,
        sequence: u64,
    ) -> Result<(), Fenced> {
        members.check(node, generation)?;
        let follower = Follower {
            generation,
            applied: sequence,
            segments: BTreeSet::new(),
        };
        self.nodes.insert(node, follower);
        Ok(())
    }

    /// Lets a node go that has no row of the gallery in memory any more.
    pub fn leave(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Takes a node's report. One that comes late is no step back, and one about another edition says nothing.
    pub fn report(
        &mut self,
        members: &Members,
        node: NodeId,
        generation: u64,
        report: Report,
    ) -> Result<(), Fenced> {
        members.check(node, generation)?;
        let Some(follower) = self.nodes.get_mut(&node) else {
            return Ok(());
        };
        let is_new = follower.generation == generation && follower.applied <= report.applied;
        if is_new && report.edition == self.edition {
            follower.applied = report.applied;
            follower.segments = report.segments;
        }
        Ok(())
    }

    /// Whom a committed write still waits for (W3); it may be acknowledged when there is nobody. An erasure waits for everybody who may have its rows in memory, an enrolment for
    /// the `owners` of the fresh part, today's and tomorrow's.
    pub fn waits_for(&self, members: &Members, write: &Write, owners: &BTreeSet<NodeId>) -> Vec<NodeId> {
        let behind = |sequence: u64| {
            self.standing(members)
                .filter(move |(_, follower)| follower.applied < sequence)
        };
        let nodes = |(node, _)| node;
        match *write {
            Write::Enrolment { waited, .. } if waited >= ENROL_WAIT_MAX => Vec::new(),
            Write::Enrolment { sequence, .. } => behind(sequence)
                .map(nodes)
                .filter(|node| owners.contains(node))
                .collect(),
            Write::Erasure { sequence } => behind(sequence).map(nodes).collect(),
        }
    }

    /// Whether a warming segment may go live (F1): an owner of its group has loaded it, and so has every other one that follows, today's and tomorrow's.
    pub fn may_go_live(&self, members: &Members, segment: u32, owners: &BTreeSet<NodeId>) -> bool {
        let mut loaded = self
            .standing(members)
            .filter(|(node, _)| owners.contains(node))
            .map(|(_, follower)| follower.segments.contains(&segment))
            .peekable();
        loaded.peek().is_some() && loaded.all(|loaded| loaded)
    }

    /// Up to which change the feed may be cut, of a gallery whose head has this sequence (E1).
    pub fn feed_floor(&self, members: &Members, head: u64) -> u64 {
        let applied = self.standing(members).map(|(_, follower)| follower.applied);
        applied.min().unwrap_or(head)
    }

    fn standing(&self, members: &Members) -> impl Iterator<Item = (NodeId, &Follower)> {
        let nodes = self.nodes.iter().map(|(node, follower)| (*node, follower));
        nodes.filter(|(node, follower)| members.check(*node, follower.generation).is_ok())
    }
}

#[cfg(test)]
#[path = "followers_tests.rs"]
mod tests;
