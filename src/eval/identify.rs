//! 1:N on a set: who is enrolled, who is searched for, and the rank and the scores that come out. Draws nothing, keeps no score matrix.
//!
//! The first captures of a palm enrol it: its reference is the mean of their signatures, at unit norm again. Every later capture is a search.
//! For searches by palms that are not enrolled, the palms are dealt into folds at random; each fold in turn is left out of the gallery, so
//! that every search is made once by a stranger, and against every other gallery by somebody who is enrolled.

use ndarray::{Array2, ArrayView1, Axis};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use super::bootstrap::Tally;
use super::grid::{self, Counts};
use super::set::Set;

/// Times that a part of the palms is left out.
const FOLDS: usize = 5;
/// Scores of a product on one thread, 4 MiB.
const SCORES_MAX: usize = 1 << 20;

/// How palms are enrolled and left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Captures that enrol a palm, at least 1.
    pub enrol: usize,
    /// Of the folds, and of every interval that is drawn.
    pub seed: u64,
}

/// What came of all searches.
#[derive(Debug, Clone)]
pub struct Identification {
    /// References in the gallery of all.
    pub references: usize,
    /// Palms none of whose enrolment captures has a signature.
    pub failed_to_enrol: u64,
    /// Palms.
    pub palms: usize,
    /// Searches by enrolled palms in the gallery of all: number of the palm, and the rank of its own reference from 1 on.
    pub ranks: Vec<(u32, usize)>,
    /// Captures of enrolled palms that would have been searches and have no signature.
    pub failed_searches: u64,
    /// With a part of the palms left out, where two are enrolled.
    pub open: Option<OpenSet>,
}

impl Identification {
    /// Searches and those whose own reference is not among the first so many, by palm.
    pub fn missed_by_palm(&self, rank_max: usize) -> Vec<Tally> {
        let missed = self.ranks.iter().map(|(palm, rank)| (*palm, *rank > rank_max));
        by_palm(self.palms, missed)
    }
}

/// Searches in galleries that lack a part of the palms.
#[derive(Debug, Clone)]
pub struct OpenSet {
    /// References in the smallest and in the largest gallery.
    pub gallery: [usize; 2],
    /// By palms that are enrolled: number of the palm, and up to which threshold the own reference is returned as the first; none where
    /// another one is as near.
    pub mated: Vec<(u32, Option<u32>)>,
    /// By palms that are not: number of the palm, and up to which threshold somebody is returned.
    pub non_mated: Vec<(u32, u32)>,
    /// Thresholds of the mated searches that return the own reference.
    hits: Counts,
    /// Thresholds of the non-mated searches.
    false_alarms: Counts,
}

impl OpenSet {
    fn new(gallery: [usize; 2], mated: Vec<(u32, Option<u32>)>, non_mated: Vec<(u32, u32)>) -> Self {
        Self {
            gallery,
            hits: Counts::of(mated.iter().filter_map(|(_, bin)| *bin)),
            false_alarms: Counts::of(non_mated.iter().map(|(_, bin)| *bin)),
            mated,
            non_mated,
        }
    }

    /// Mated searches that fail at a threshold.
    pub fn missed(&self, bin: u32) -> u64 {
        self.mated.len() as u64 - self.hits.at_or_above(bin)
    }

    /// The scores of non-mated searches.
    pub fn false_alarms(&self) -> &Counts {
        &self.false_alarms
    }

    /// The scores of mated searches that return the own reference.
    pub fn hits(&self) -> &Counts {
        &self.hits
    }

    /// Mated searches and those that fail at a threshold, by palm.
    pub fn missed_by_palm(&self, palms: usize, bin: u32) -> Vec<Tally> {
        let missed = |reached: Option<u32>| reached.is_none_or(|reached| reached < bin);
        by_palm(
            palms,
            self.mated.iter().map(|(palm, reached)| (*palm, missed(*reached))),
        )
    }
}

/// Adds up searches of each palm, of which some are errors.
fn by_palm(palms: usize, searches: impl Iterator<Item = (u32, bool)>) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); palms];
    for (palm, error) in searches {
        let tally = &mut tallies[palm as usize];
        tally.trials += 1;
        tally.errors += u64::from(error);
    }
    tallies
}

/// The references of a set.
struct Gallery {
    vectors: Array2<f32>,
    /// Number of the palm of each reference.
    palms: Vec<u32>,
    /// Fold of each reference.
    folds: Vec<usize>,
    fold_count: usize,
    /// Row of each search, and its own reference.
    searches: Vec<(usize, usize)>,
    failed_searches: u64,
    failed_to_enrol: u64,
}

/// Searches for every capture that did not enrol.
pub fn all(set: &Set, plan: Plan) -> Identification {
    let gallery = Gallery::new(set, plan);
    let block = (SCORES_MAX / gallery.palms.len().max(1)).max(1);
    let found: Vec<Vec<Found>> = gallery
        .searches
        .par_chunks(block)
        .map(|searches| gallery.search(set, searches))
        .collect();
    let found: Vec<Found> = found.into_iter().flatten().collect();

    Identification {
        references: gallery.palms.len(),
        failed_to_enrol: gallery.failed_to_enrol,
        palms: set.palms().len(),
        ranks: found.iter().map(|one| (one.palm, one.rank)).collect(),
        failed_searches: gallery.failed_searches,
        open: gallery.open(&found),
    }
}

/// What one search came to.
struct Found {
    palm: u32,
    fold: usize,
    rank: usize,
    own: f32,
    /// The best score of another palm's reference in each fold.
    others: Vec<f32>,
}

impl Found {
    /// The best score of another palm when a fold is left out.
    fn best_without(&self, fold: usize) -> f32 {
        let others = self
            .others
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != fold);
        others.map(|(_, score)| *score).fold(f32::NEG_INFINITY, f32::max)
    }
}

impl Gallery {
    fn new(set: &Set, plan: Plan) -> Self {
        let (mut values, mut palms, mut searches) = (Vec::new(), Vec::new(), Vec::new());
        let (mut failed_searches, mut failed_to_enrol) = (0, 0);
        for (number, palm) in (0..).zip(set.palms()) {
            let (enrolling, later) = palm.attempts.split_at(plan.enrol.min(palm.attempts.len()));
            let Some(reference) = mean(set, enrolling.iter().flatten()) else {
                failed_to_enrol += 1;
                continue;
            };
            values.extend(reference);
            searches.extend(later.iter().flatten().map(|row| (*row, palms.len())));
            failed_searches += later.iter().filter(|row| row.is_none()).count() as u64;
            palms.push(number);
        }
        let mut order: Vec<usize> = (0..palms.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(plan.seed));
        let fold_count = FOLDS.min(palms.len());
        let mut folds = vec![0; palms.len()];
        for (place, reference) in order.into_iter().enumerate() {
            folds[reference] = place % fold_count;
        }
        Self {
            vectors: Array2::from_shape_vec((palms.len(), set.rows().ncols()), values)
                .expect("every reference is as long as a row"),
            palms,
            folds,
            fold_count,
            searches,
            failed_searches,
            failed_to_enrol,
        }
    }

    fn search(&self, set: &Set, searches: &[(usize, usize)]) -> Vec<Found> {
        let rows: Vec<usize> = searches.iter().map(|(row, _)| *row).collect();
        let probes = set.rows().select(Axis(0), &rows);
        let scores = probes.dot(&self.vectors.t());
        let scored = searches.iter().zip(scores.rows());
        scored
            .map(|((_, own), scores)| self.found(*own, scores))
            .collect()
    }

    fn found(&self, own_reference: usize, scores: ArrayView1<f32>) -> Found {
        let own = scores[own_reference];
        let mut others = vec![f32::NEG_INFINITY; self.fold_count];
        let mut rank = 1;
        for (reference, (score, fold)) in scores.iter().zip(&self.folds).enumerate() {
            if reference == own_reference {
                continue;
            }
            // Who is as near as the own reference counts as nearer.
            rank += usize::from(*score >= own);
            let best = &mut others[*fold];
            *best = best.max(*score);
        }
        Found {
            palm: self.palms[own_reference],
            fold: self.folds[own_reference],
            rank,
            own,
            others,
        }
    }

    /// Nothing where a gallery would be empty or nobody searches.
    fn open(&self, found: &[Found]) -> Option<OpenSet> {
        let sizes =
            (0..self.fold_count).map(|fold| self.folds.iter().filter(|other| **other != fold).count());
        let gallery = [sizes.clone().min()?, sizes.max()?];
        if gallery[0] == 0 || found.is_empty() {
            return None;
        }
        let mut mated = Vec::with_capacity(found.len() * (self.fold_count - 1));
        let mut non_mated = Vec::with_capacity(found.len());
        for one in found {
            for left_out in 0..self.fold_count {
                let best = one.best_without(left_out);
                if left_out == one.fold {
                    non_mated.push((one.palm, grid::bin(best)));
                } else {
                    mated.push((one.palm, (one.own > best).then(|| grid::bin(one.own))));
                }
            }
        }
        Some(OpenSet::new(gallery, mated, non_mated))
    }
}

/// The mean of signatures, at unit norm. None of no signature, or of some that cancel out.
fn mean<'a>(set: &Set, rows: impl Iterator<Item = &'a usize>) -> Option<Vec<f32>> {
    let mut sum = vec![0.0_f32; set.rows().ncols()];
    for row in rows {
        for (sum, value) in sum.iter_mut().zip(set.rows().row(*row)) {
            *sum += value;
        }
    }
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    (norm > 0.0).then(|| sum.iter().map(|value| value / norm).collect())
}

#[cfg(test)]
#[path = "identify_tests.rs"]
mod tests;
