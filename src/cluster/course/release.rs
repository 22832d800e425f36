//! What a course lets go of: pieces that another node has now, and what only former views have. Keeps what a search under way needs.

use super::{Course, Effect, Holding, Piece};
use crate::cluster::view::Segment;

impl Course {
    /// Gives up a piece: another node has it now. Searches under way still see it.
    #[must_use]
    pub fn let_go(&mut self, piece: Piece) -> Vec<Effect> {
        if self.knows(piece) && self.pieces.insert(piece, Holding::Leaving) != Some(Holding::Leaving) {
            self.turn += 1;
        }
        self.unload_leaving()
    }

    /// Gives up the views before the present one, but for those of searches under way: nobody asks for them any more, or may well be told to read the head again.
    #[must_use]
    pub fn leave_former_views(&mut self) -> Vec<Effect> {
        self.release(self.view.list())
    }

    /// Lets go of what is needed only by views before this one and before those of all searches under way (F1).
    pub(super) fn release(&mut self, until: u64) -> Vec<Effect> {
        let oldest = self.searches.keys().map(|scope| scope.list).min();
        let before = self.view.since();
        let since = oldest.unwrap_or(u64::MAX).min(until);
        if since <= before {
            return Vec::new();
        }
        self.turn += 1;
        let mut effects = Vec::new();
        for (&number, &segment) in self.view.segments() {
            let left = |from: u64| before < from && from <= since;
            if segment.live_from().is_some_and(left) && self.pieces.contains_key(&Piece::Fresh) {
                effects.push(Effect::LeaveFresh(number));
            }
            let is_gone = matches!(segment, Segment::Retired { until, .. } if until <= since);
            if is_gone && self.pieces.remove(&Piece::Segment(number)).is_some() {
                effects.push(Effect::Unload(Piece::Segment(number)));
            }
        }
        self.view.forget(since);
        effects
    }

    /// Lets go of a segment that is listed no more, and that no search sees. What is on its way is refused when it comes.
    pub(super) fn unload(&mut self, segment: u32) -> Vec<Effect> {
        let piece = Piece::Segment(segment);
        if self.pieces.remove(&piece).is_none() {
            return Vec::new();
        }
        self.turn += 1;
        vec![Effect::Unload(piece)]
    }

    pub(super) fn unload_leaving(&mut self) -> Vec<Effect> {
        let (searches, group_segments) = (&self.searches, self.group_segments);
        let is_seen = |piece: Piece| {
            let part = piece.part(group_segments);
            searches.keys().any(|scope| scope.parts.contains(&part))
        };
        let leaving = self.pieces.extract_if(.., |piece, holding| {
            *holding == Holding::Leaving && !is_seen(*piece)
        });
        leaving.map(|(piece, _)| Effect::Unload(piece)).collect()
    }
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
