//! The best score of each subject seen so far, as far as it can matter. Bounded but for subjects with equal scores; reads no rows.

use std::collections::HashMap;

use crate::storage::place::RowId;

/// How many times the wanted number are kept when the rest is dropped, so that some may be erased meanwhile.
const RESERVE: usize = 2;
/// Subjects beyond the reserve that are let in before the rest is dropped.
const SLACK: usize = 16_384;

/// The best reference of each subject, for a question for the best `wanted` subjects.
pub(super) struct Ranking {
    wanted: usize,
    best: HashMap<u64, (f32, RowId)>,
    /// How many subjects make it drop some: more where very many have one score, so that it is not done for every row.
    kept_max: usize,
    /// Below it subjects were dropped; everybody added with this score or a better one is here.
    floor: f32,
}

impl Ranking {
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            wanted,
            best: HashMap::new(),
            kept_max: RESERVE * wanted + SLACK,
            floor: f32::NEG_INFINITY,
        }
    }

    /// How many subjects are wanted.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Takes in a row.
    pub(super) fn add(&mut self, id: RowId, score: f32) {
        if score < self.floor {
            return;
        }
        let entry = self.best.entry(id.subject).or_insert((score, id));
        if score > entry.0 {
            *entry = (score, id);
        }
        if self.best.len() >= self.kept_max {
            self.prune();
        }
    }

    /// Leaves a subject out.
    pub(super) fn remove(&mut self, subject: u64) {
        self.best.remove(&subject);
    }

    /// Score of the last of the wanted subjects; none where there are fewer.
    pub(super) fn last(&self) -> Option<f32> {
        self.nth_best(self.wanted)
    }

    /// All who may be among the wanted, those with the last score included. None where that can't be told, since everybody who scores
    /// `threshold` or more has been added, but not everybody else.
    pub(super) fn contenders(&self, threshold: f32) -> Option<Vec<(f32, RowId)>> {
        let complete = threshold.max(self.floor);
        let from = match self.last() {
            Some(last) if last >= complete => last,
            None if complete == f32::NEG_INFINITY => complete,
            _ => return None,
        };
        Some(
            self.best
                .values()
                .filter(|(score, _)| *score >= from)
                .copied()
                .collect(),
        )
    }

    fn nth_best(&self, count: usize) -> Option<f32> {
        if self.best.len() < count {
            return None;
        }
        let mut scores: Vec<f32> = self.best.values().map(|(score, _)| *score).collect();
        let (_, nth, _) = scores.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        Some(*nth)
    }

    fn prune(&mut self) {
        if let Some(floor) = self.nth_best(RESERVE * self.wanted) {
            self.floor = self.floor.max(floor);
            self.best.retain(|_, (score, _)| *score >= floor);
            self.kept_max = self.kept_max.max(2 * self.best.len());
        }
    }
}

#[cfg(test)]
#[path = "ranking_tests.rs"]
mod tests;
