//! An identification as a front asks it of many nodes: what it needs, and when it has it (rules R1, R2 and R4). Searches nothing, waits for nobody.
//!
//! The head is read after the identification came in, never before: a head that was read for an earlier one does not name the changes since, and they may be acknowledged.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::placement::Part;
use super::view::{Edition, Head, NoSuchVersion, View};

/// Most readings of the head for one identification: the first, and three after views that were gone.
pub const READINGS_MAX: u32 = 4;

/// What a node is asked for: these parts of a gallery, as they were at one reading of its head or later.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// Of this edition alone.
    pub edition: Edition,
    /// All changes up to this one.
    pub at_least: u64,
    /// The rows that the parts have in the view of this version.
    pub list: u64,
    /// So many segments are a group.
    pub group_segments: NonZeroU32,
    /// Which parts.
    pub parts: BTreeSet<Part>,
}

/// Why a node does not answer for a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// It has not followed so far, or has not loaded these parts: all that it lacks of those that it was asked for. Other nodes may have them.
    PartsBehind(BTreeSet<Part>),
    /// It has gone on, and let go of rows where that view has them. A newer view is to be asked for.
    ViewGone,
}

/// What a front does after a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Next {
    /// Asks other holders of these parts. UNAVAILABLE, naming a part, where one has none.
    Elsewhere(BTreeSet<Part>),
    /// Reads the head again, and asks for all parts anew.
    ReadAgain,
    /// UNAVAILABLE: it read the head [`READINGS_MAX`] times, and each view was gone when a node was asked.
    GiveUp,
    /// Nothing: that was an earlier reading's scope.
    Ignore,
}

/// One identification, from the reading of the head to the last part's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    whole: Scope,
    missing: BTreeSet<Part>,
    readings: u32,
}

impl Question {
    /// Of a head that was read after the identification came in. Refuses a view that is older, or that has forgotten the head's.
    pub fn new(head: Head, view: &View) -> Result<Self, NoSuchVersion> {
        let parts = view.parts(&head)?;
        let whole = Scope {
            edition: head.edition,
            at_least: head.sequence,
            list: head.list,
            group_segments: head.group_segments,
            parts: parts.clone(),
        };
        Ok(Self {
            whole,
            missing: parts,
            readings: 1,
        })
    }

    /// The same identification by another reading of the head. Answers by the former one no longer count: between two views a row may have moved out of the part that is
    /// asked last into the one that was asked first.
    pub fn again(&self, head: Head, view: &View) -> Result<Self, NoSuchVersion> {
        let readings = self.readings + 1;
        Ok(Self {
            readings,
            ..Self::new(head, view)?
        })
    }

    /// All parts that it needs.
    pub fn whole(&self) -> &Scope {
        &self.whole
    }

    /// The parts without an answer so far. The identification has its answer when there is none (R4).
    pub fn missing(&self) -> &BTreeSet<Part> {
        &self.missing
    }

    /// These parts as a node is asked for them.
    pub fn scope(&self, parts: impl IntoIterator<Item = Part>) -> Scope {
        Scope {
            parts: parts.into_iter().collect(),
            ..self.whole.clone()
        }
    }

    /// Takes a node's answer. False where it is one to an earlier reading, and doesn't count.
    pub fn answered(&mut self, scope: &Scope) -> bool {
        let counts = self.is_current(scope);
        if counts {
            self.missing.retain(|part| !scope.parts.contains(part));
        }
        counts
    }

    /// Takes a node's refusal.
    pub fn refused(&self, scope: &Scope, refusal: Refusal) -> Next {
        match refusal {
            _ if !self.is_current(scope) => Next::Ignore,
            Refusal::PartsBehind(parts) => Next::Elsewhere(parts),
            Refusal::ViewGone if self.readings < READINGS_MAX => Next::ReadAgain,
            Refusal::ViewGone => Next::GiveUp,
        }
    }

    fn is_current(&self, scope: &Scope) -> bool {
        let reading = |scope: &Scope| (scope.edition, scope.at_least, scope.list, scope.group_segments);
        reading(scope) == reading(&self.whole)
    }
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
