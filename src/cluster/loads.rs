//! The loads of one process for one gallery: those under way hold rows that no course has taken yet, and may outlive the course that began them.
//! Reads nothing.

use std::collections::BTreeMap;

use super::course::Piece;
use super::view::{Edition, Head};

/// A load under way. It ends once, whatever becomes of it: [`super::course::Course::loaded`] or [`super::course::Course::lost`], of the course that there is by then.
#[must_use = "until a load has ended, erasures wait for it"]
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(test, derive(Clone))]
pub struct Load {
    /// Of this edition.
    pub edition: Edition,
    /// What is loaded.
    pub piece: Piece,
    /// It is read as of this change, or later.
    pub at_least: u64,
    pub(super) serial: u64,
}

impl Load {
    /// Whether a reading with this head may serve it. To be asked before its rows are fetched: an earlier one has rows that were erased before the load began.
    pub fn may_read(&self, head: &Head) -> bool {
        self.edition == head.edition && self.at_least <= head.sequence
    }
}

/// What a process hands from each course of a gallery to the next. It has one from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Loads {
    numbers: u64,
    /// By serial: the last change up to which a load has no erased row, where one was erased since it began.
    under_way: BTreeMap<u64, Option<u64>>,
}

impl Loads {
    /// Of a process that gave so many numbers before, to whichever gallery: one that it left and takes again has none of them twice.
    pub fn after(numbers: u64) -> Self {
        Self {
            numbers,
            under_way: BTreeMap::new(),
        }
    }

    /// How many numbers were given so far.
    pub fn numbers(&self) -> u64 {
        self.numbers
    }

    /// Whether none is under way. Before, a node neither leaves a gallery's followers nor registers again: it still holds rows.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// A number that this process gives once.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn begin(&mut self) -> u64 {
        let serial = self.number();
        self.under_way.insert(serial, None);
        serial
    }

    /// The rows of a load are taken or let go of. To be told, too, where no course is there.
    #[expect(clippy::needless_pass_by_value, reason = "a load ends once")]
    pub fn end(&mut self, load: Load) {
        self.under_way.remove(&load.serial);
    }

    /// What is under way may have rows that are erased after this change.
    pub(super) fn erased_after(&mut self, sequence: u64) {
        for clean in self.under_way.values_mut() {
            clean.get_or_insert(sequence);
        }
    }

    /// Up to which change no erased row is left in what is under way, of a course that has applied so many.
    pub(super) fn wiped(&self, applied: u64) -> u64 {
        let clean = self.under_way.values().flatten().copied();
        clean.min().unwrap_or(applied).min(applied)
    }
}
