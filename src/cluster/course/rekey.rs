//! A course under the next data key of its tenant: another edition of the very same rows, by the same changes (rule K1).

use super::Course;
use crate::cluster::view::Edition;

impl Course {
    /// Goes on as a course of a later edition of the same incarnation, whose rows are those that it has, to the last bit. It is the caller's to know, and to have told the catalog that it follows that edition from its
    /// present state on, before this. Searches and loads under way stay what they are: their rows are rows of both. False, with nothing changed, for any other edition.
    #[must_use = "of another edition it has nothing to say"]
    pub fn rekey(&mut self, to: Edition) -> bool {
        if to.incarnation != self.edition.incarnation || to <= self.edition {
            return false;
        }
        self.edition = to;
        self.turn += 1;
        true
    }
}

#[cfg(test)]
#[path = "rekey_tests.rs"]
mod tests;
