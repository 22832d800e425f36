//! What a node that joins takes over, by the rule that all nodes decide by. Pure: asks no node.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Serialize;
use thenar::cluster::placement::{Gallery, Member, NodeId, Part, Placement};

use crate::Failure;

/// A segment of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Whose.
    pub gallery: Gallery,
    /// Its number, from 1.
    pub number: u32,
    /// Segments that are placed together.
    pub group_segments: NonZeroU32,
}

impl Segment {
    fn part(&self) -> Part {
        Part::of_segment(self.number, self.group_segments)
    }
}

/// What moves when nodes come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// Segments.
    pub segments: usize,
    /// Groups of segments that are placed as a whole.
    pub groups: usize,
    /// Copies of segments that there have to be.
    pub copies: usize,
    /// Of these, those that nodes own that did not before.
    pub moved: usize,
    /// Of these, those of nodes that were there before: they have no reason to take any.
    pub needless: usize,
    /// Moved copies over all.
    pub share: f64,
    /// What the weights of the nodes that came are of all.
    pub fair: f64,
    /// How far from that chance takes the share, at three standard deviations: the more groups, the less.
    pub chance: f64,
    /// Segments that each node owns now.
    #[serde(skip)]
    pub owned: BTreeMap<NodeId, usize>,
}

impl Moved {
    /// From the members before to those after.
    #[expect(
        clippy::cast_precision_loss,
        reason = "segments of a bench are far below 2^52"
    )]
    pub fn of(
        segments: &[Segment],
        before: &[Member],
        after: &[Member],
        replicas: usize,
    ) -> Result<Self, Failure> {
        let (was, is) = (Placement::new(before.to_vec())?, Placement::new(after.to_vec())?);
        let mut owned: BTreeMap<NodeId, usize> = BTreeMap::new();
        let (mut copies, mut moved, mut needless) = (0, 0, 0);
        let mut groups = std::collections::HashSet::new();
        for segment in segments {
            groups.insert((segment.gallery, segment.part()));
            for owner in is.owners(segment.gallery, segment.part(), replicas) {
                copies += 1;
                *owned.entry(owner).or_default() += 1;
            }
            for gained in is.gained(&was, segment.gallery, segment.part(), replicas) {
                moved += 1;
                needless += usize::from(before.iter().any(|member| member.id == gained));
            }
        }
        let weight = |members: &[Member]| members.iter().map(|member| f64::from(member.weight)).sum::<f64>();
        let fair = 1.0 - weight(before) / weight(after);
        // A group's copies are with whoever came, or not: as good as independent from group to group.
        let hit = (fair * replicas as f64).min(1.0);
        let deviation = (hit * (1.0 - hit) / (groups.len().max(1) as f64)).sqrt() / replicas as f64;
        Ok(Self {
            segments: segments.len(),
            groups: groups.len(),
            copies,
            moved,
            needless,
            share: moved as f64 / copies.max(1) as f64,
            fair,
            chance: 3.0 * deviation,
            owned,
        })
    }

    /// Why this is not what it should be; `None` where it is.
    pub fn fault(&self) -> Option<String> {
        if self.needless > 0 {
            return Some(format!(
                "{} copies moved between nodes that were there before",
                self.needless
            ));
        }
        if (self.share - self.fair).abs() > self.chance {
            return Some(format!(
                "{:.1} % of the copies moved; {:.1} % is fair, and chance explains {:.1} %",
                self.share * 100.0,
                self.fair * 100.0,
                self.chance * 100.0
            ));
        }
        None
    }
}

#[cfg(test)]
#[path = "moved_tests.rs"]
mod tests;
