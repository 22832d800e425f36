//! Which nodes follow a gallery and how far, as the catalog has it; and what may happen once they are that far: a write be acknowledged (rule W3), a segment go live (F1), the
//! feed be cut (E1). Each method is one transaction's decision. Waits for nobody, and reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::course::{Course, Piece};
use super::members::{Fenced, Members};
use super::placement::NodeId;
use super::view::{Edition, Segment};

/// An enrolment waits no longer than this. It is durable, and no reading depends on what its owners have: they are asked for it, and catch up or refuse.
pub const ENROL_WAIT_MAX: Duration = Duration::from_secs(2);

/// How far a node has come. What a node of a later release says besides is nothing to one of this.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Report {
    /// The last change that it has.
    pub applied: u64,
    /// [`Course::turn`].
    pub turn: u64,
    /// Up to this change it has no erased row, neither among those that it has nor on its way.
    pub wiped: u64,
    /// The earliest version of the list whose view it may still have.
    pub since: u64,
    /// The segments that it has loaded.
    pub segments: BTreeSet<u32>,
    /// Whether it has the fresh part. Nobody waits for it but a node that drains.
    pub fresh: bool,
    /// Up to this change of the catalog, of whatever kind, it has nothing on its disk of an object that was not listed any more, nor writes rows that were read before.
    #[serde(default)]
    pub tidy: u64,
}

impl Report {
    /// What a node may say of itself.
    pub fn of(course: &Course) -> Self {
        let segment = |piece| match piece {
            Piece::Fresh => None,
            Piece::Segment(number) => Some(number),
        };
        let held = course.held();
        Self {
            applied: course.applied(),
            turn: course.turn(),
            wiped: course.wiped(),
            since: course.view().since(),
            segments: held.iter().copied().filter_map(segment).collect(),
            fresh: held.contains(&Piece::Fresh),
            tidy: 0,
        }
    }

    /// Whether it has a piece.
    pub fn has(&self, piece: Piece) -> bool {
        match piece {
            Piece::Fresh => self.fresh,
            Piece::Segment(number) => self.segments.contains(&number),
        }
    }

    /// All rise from one report of a course to the next: of the same two, the erasures that a load held back; of the same three, what is on the disk.
    fn order(&self) -> (u64, u64, u64, u64) {
        (self.applied, self.turn, self.wiped, self.tidy)
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

/// A node's course as the catalog knows it. What a former one says late changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Follower {
    /// The node.
    pub node: NodeId,
    /// [`Course::edition`]. While keys are rotated a node has a course of the next generation of keys beside the present one.
    pub edition: Edition,
    /// The node's registration.
    pub generation: u64,
    /// [`Course::number`].
    pub course: u64,
}

/// The followers of one incarnation of a gallery, of its present keys and of others: those that a rotation makes, and former ones that a node still has rows of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Followers {
    edition: Edition,
    nodes: BTreeMap<(NodeId, Edition), (Follower, Report)>,
}

impl Followers {
    /// Nobody yet. The edition is the present one.
    pub fn new(edition: Edition) -> Self {
        Self {
            edition,
            nodes: BTreeMap::new(),
        }
    }

    /// As they were read.
    pub fn of(edition: Edition, read: impl IntoIterator<Item = (Follower, Report)>) -> Self {
        let key =
            |(follower, report): (Follower, Report)| ((follower.node, follower.edition), (follower, report));
        let nodes = read.into_iter().map(key).collect();
        Self { edition, nodes }
    }

    /// What is known of a node's course of this edition.
    pub fn known(&self, node: NodeId, edition: Edition) -> Option<&(Follower, Report)> {
        self.nodes.get(&(node, edition))
    }

    /// Takes a node in, before it has any row: in the transaction that reads the head with which its course begins. So an erasure either is older than all that the node will
    /// read, or waits for it. `report` is the new course's.
    pub fn follow(&mut self, members: &Members, follower: Follower, report: Report) -> Result<(), Fenced> {
        members.check(follower.node, follower.generation)?;
        let key = (follower.node, follower.edition);
        if self.nodes.get(&key).is_none_or(|(now, _)| *now < follower) {
            self.nodes.insert(key, (follower, report));
        }
        Ok(())
    }

    /// The generation of keys that a rotation made is the present one from now on. Who still has rows of the former one is waited for until it left.
    pub fn change_over(&mut self, to: Edition) {
        self.edition = to;
    }

    /// Lets a course go that has no row of the gallery in memory any more, nor on its way. A later one of the same node stays.
    pub fn leave(&mut self, follower: Follower) {
        self.nodes.retain(|_, (now, _)| *now != follower);
    }

    /// Takes a report. One that comes late is no step back, and one of another course says nothing.
    pub fn report(&mut self, members: &Members, follower: Follower, report: Report) -> Result<(), Fenced> {
        members.check(follower.node, follower.generation)?;
        let known = self.nodes.get_mut(&(follower.node, follower.edition));
        if let Some((_, last)) = known.filter(|(now, _)| *now == follower)
            && report.order() > last.order()
        {
            *last = report;
        }
        Ok(())
    }

    /// Whom a committed write still waits for (W3); it may be acknowledged when there is nobody. An erasure waits for everybody who may have its rows in memory, an enrolment for
    /// the `owners` of the fresh part, today's and tomorrow's.
    pub fn waits_for(&self, members: &Members, write: &Write, owners: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let is_waited_for = |node: NodeId, report: &Report| match *write {
            Write::Enrolment { waited, .. } if waited >= ENROL_WAIT_MAX => false,
            Write::Enrolment { sequence, .. } => report.applied < sequence && owners.contains(&node),
            Write::Erasure { sequence } => report.wiped < sequence,
        };
        let standing = self.standing(members);
        let waited_for = standing.filter(|(now, report)| is_waited_for(now.node, report));
        waited_for.map(|(now, _)| now.node).collect()
    }

    /// Whether a warming segment may go live (F1): an owner of its group has loaded it, and so has every other one that follows, today's and tomorrow's.
    pub fn may_go_live(&self, members: &Members, segment: u32, owners: &BTreeSet<NodeId>) -> bool {
        let mut loaded = self
            .standing(members)
            .filter(|(now, _)| now.edition == self.edition && owners.contains(&now.node))
            .map(|(_, report)| report.segments.contains(&segment))
            .peekable();
        loaded.peek().is_some() && loaded.all(|loaded| loaded)
    }

    /// Up to which change the feed may be cut, of a gallery whose head has this sequence (E1).
    pub fn feed_floor(&self, members: &Members, head: u64) -> u64 {
        let applied = self.standing(members).map(|(_, report)| report.applied);
        applied.min().unwrap_or(head)
    }

    /// Whether the object of a segment may be deleted: it is retired, and nobody has a view with it any more.
    pub fn may_delete(&self, members: &Members, segment: Segment) -> bool {
        match segment {
            Segment::Warming | Segment::Live { .. } => false,
            Segment::Retired { until, .. } => self.have_left_views_before(members, until),
        }
    }

    /// Whether nobody has a view before this version of the list any more: what moved on with it has left where it was, everywhere. Who follows from now on begins with a later one.
    pub fn have_left_views_before(&self, members: &Members, list: u64) -> bool {
        self.standing(members).all(|(_, report)| list <= report.since)
    }

    /// Who may still have something on its disk of an object that was not listed any more by this change of the catalog, or write rows that were read before. A purge waits for them.
    pub fn untidy(&self, members: &Members, commits: u64) -> BTreeSet<NodeId> {
        let untidy = self.standing(members).filter(|(_, report)| report.tidy < commits);
        untidy.map(|(now, _)| now.node).collect()
    }

    /// Those who stand, and how far they are: a node that drains looks for its heirs.
    pub fn all(&self, members: &Members) -> Vec<(Follower, Report)> {
        let standing = self.standing(members);
        standing.map(|(now, report)| (now, report.clone())).collect()
    }

    fn standing(&self, members: &Members) -> impl Iterator<Item = (Follower, &Report)> {
        let all = self.nodes.values().map(|(follower, report)| (*follower, report));
        all.filter(|(now, _)| members.check(now.node, now.generation).is_ok())
    }
}

#[cfg(test)]
#[path = "followers_tests.rs"]
mod tests;
