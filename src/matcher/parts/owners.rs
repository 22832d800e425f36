//! What a node is to have of a gallery: the parts that it owns today, and those that it will own. Asks nobody, keeps nothing of any gallery.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use crate::cluster::course::Piece;
use crate::cluster::members::Members;
use crate::cluster::placement::{Gallery, NodeId, Part, Placement};
use crate::cluster::view::{Segment, View};

/// The owners of parts, by one reading of the register.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owners {
    me: NodeId,
    replicas: usize,
    now: Option<Placement>,
    next: Option<Placement>,
}

impl Owners {
    /// With so many owners a part. Where no node may own anything, or there are too many, nobody owns it.
    pub(super) fn new(me: NodeId, replicas: usize, members: &Members) -> Self {
        Self {
            me,
            replicas,
            now: Placement::new(members.now()).ok(),
            next: Placement::new(members.next()).ok(),
        }
    }

    /// Whether this node owns a part today, or will.
    pub(super) fn has(&self, gallery: Gallery, part: Part) -> bool {
        self.is_mine(self.now.as_ref(), gallery, part) || self.is_mine(self.next.as_ref(), gallery, part)
    }

    /// Whether this node is the first owner of a part today, or the next one of a part whose first owner is going.
    pub(super) fn is_first(&self, gallery: Gallery, part: Part) -> bool {
        let owners = |placement: &Placement| placement.owners(gallery, part, self.replicas);
        let next = self.next.as_ref().map(owners).unwrap_or_default();
        let first = self.now.as_ref().and_then(|now| owners(now).first().copied());
        first == Some(self.me)
            || first.is_some_and(|first| !next.contains(&first)) && next.first() == Some(&self.me)
    }

    /// Who will own a part that this node owns today; `None` where it does not.
    pub(super) fn heirs(&self, gallery: Gallery, part: Part) -> Option<Vec<NodeId>> {
        if !self.is_mine(self.now.as_ref(), gallery, part) {
            return None;
        }
        let next = self.next.as_ref();
        Some(next.map_or_else(Vec::new, |next| next.owners(gallery, part, self.replicas)))
    }

    /// The pieces that this node is to have, by a view: those that count, or soon will.
    pub(super) fn pieces(
        &self,
        gallery: Gallery,
        group_segments: NonZeroU32,
        view: &View,
    ) -> BTreeSet<Piece> {
        let part = |number: u32| Part::of_segment(number, group_segments);
        let mut parts: BTreeSet<Part> = current(view).map(part).chain([Part::Fresh]).collect();
        parts.retain(|part| self.has(gallery, *part));
        let segments = current(view).filter(|number| parts.contains(&part(*number)));
        let fresh = parts.contains(&Part::Fresh).then_some(Piece::Fresh);
        segments.map(Piece::Segment).chain(fresh).collect()
    }

    fn is_mine(&self, placement: Option<&Placement>, gallery: Gallery, part: Part) -> bool {
        placement.is_some_and(|placement| placement.owners(gallery, part, self.replicas).contains(&self.me))
    }
}

/// The segments that are not retired.
pub(super) fn current(view: &View) -> impl Iterator<Item = u32> {
    let segments = view.segments().iter();
    segments.filter_map(|(number, segment)| match segment {
        Segment::Warming | Segment::Live { .. } => Some(*number),
        Segment::Retired { .. } => None,
    })
}

#[cfg(test)]
#[path = "owners_tests.rs"]
mod tests;
