//! Intervals by drawing palms again, with replacement. Comparisons of one palm aren't independent of each other; palms are.
//!
//! A palm drawn w times brings each of its mated pairs w times, and a non-mated pair of palms drawn v and w times counts v·w times (subsets
//! bootstrap: Bolle, Ratha, Pankanti 2004). The interval lies between the 2.5 % and 97.5 % quantiles over the draws.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use super::compare::{Mated, Sampled};
use super::interval::CONFIDENCE;
use super::set::Set;

/// Draws of all palms.
const DRAWS: u64 = 1_000;
/// Non-mated pairs that are held one by one: about 24 MiB.
pub const PAIRS_KEPT: u64 = 1 << 21;

/// Errors and trials of one palm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Errors.
    pub errors: u64,
    /// Trials.
    pub trials: u64,
}

/// The interval of the share of errors over all palms. None without any trial.
pub fn share(palms: &[Tally], seed: u64) -> Option<[f64; 2]> {
    let drawn = (0..DRAWS).into_par_iter().filter_map(|draw| {
        let weights = weights(palms.len(), seed, draw);
        let (errors, trials) = palms
            .iter()
            .zip(weights)
            .fold((0, 0), |(errors, trials), (palm, weight)| {
                (errors + weight * palm.errors, trials + weight * palm.trials)
            });
        (trials > 0).then(|| super::as_f64(errors) / super::as_f64(trials))
    });
    quantiles(drawn.collect())
}

/// Intervals of the equal error rate and of FNMR at given rates.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervals {
    /// Of the equal error rate.
    pub eer: Option<[f64; 2]>,
    /// Of FNMR at each FMR that was asked for; the threshold is found anew in each draw.
    pub fnmr: Vec<Option<[f64; 2]>>,
}

/// All pairs from the highest score down.
pub struct Pairs {
    /// Captures of each palm.
    rows: Vec<u64>,
    /// Mated pairs of each palm.
    mated: Vec<u64>,
    events: Vec<Event>,
    all_from: u32,
    weight_below: u64,
}

#[derive(Clone, Copy)]
struct Event {
    bin: u32,
    palm: u32,
    /// The other palm; `MATED` for a mated pair.
    other: u32,
}

const MATED: u32 = u32::MAX;

impl Pairs {
    /// Puts the pairs of a set in order.
    pub fn new(set: &Set, mated: &[Mated], sampled: &Sampled) -> Self {
        let mut by_palm = vec![0; set.palms().len()];
        for pair in mated {
            by_palm[pair.palm as usize] += 1;
        }
        let mates = mated.iter().map(|pair| Event {
            bin: pair.bin,
            palm: pair.palm,
            other: MATED,
        });
        let others = sampled.pairs.iter().map(|pair| Event {
            bin: pair.bin,
            palm: pair.palms[0],
            other: pair.palms[1],
        });
        let mut events: Vec<Event> = mates.chain(others).collect();
        events.par_sort_unstable_by_key(|event| std::cmp::Reverse(event.bin));
        Self {
            rows: set.palms().iter().map(|palm| palm.rows.len() as u64).collect(),
            mated: by_palm,
            events,
            all_from: sampled.all_from,
            weight_below: u64::from(sampled.weight_below),
        }
    }

    /// Draws palms again and again.
    pub fn intervals(&self, fmr: &[f64], seed: u64) -> Intervals {
        let drawn: Vec<Drawn> = (0..DRAWS)
            .into_par_iter()
            .filter_map(|draw| self.draw(&weights(self.rows.len(), seed, draw), fmr))
            .collect();
        let at = |number: usize| {
            let values = drawn.iter().filter_map(|one| one.fnmr.get(number).copied());
            quantiles(values.collect())
        };
        Intervals {
            eer: quantiles(drawn.iter().map(|one| one.eer).collect()),
            fnmr: (0..fmr.len()).map(at).collect(),
        }
    }

    /// The rates of one draw. None when no mated or no non-mated pair is left in it.
    fn draw(&self, weights: &[u64], fmr: &[f64]) -> Option<Drawn> {
        let weighed = |counts: &[u64]| -> u64 { counts.iter().zip(weights).map(|(n, w)| n * w).sum() };
        let mated = weighed(&self.mated);
        let own: u64 = self.rows.iter().zip(weights).map(|(n, w)| (n * w).pow(2)).sum();
        let non_mated = (weighed(&self.rows).pow(2) - own) / 2;
        if mated == 0 || non_mated == 0 {
            return None;
        }
        let (mated, non_mated) = (super::as_f64(mated), super::as_f64(non_mated));
        let (mut matched, mut falsely) = (0, 0);
        let mut last = [0.0, 1.0];
        let mut eer = None;
        let mut fnmr = Vec::with_capacity(fmr.len());
        for events in self.events.chunk_by(|a, b| a.bin == b.bin) {
            for event in events {
                let weight = weights[event.palm as usize];
                if event.other == MATED {
                    matched += weight;
                } else {
                    let sampled = if event.bin < self.all_from {
                        self.weight_below
                    } else {
                        1
                    };
                    falsely += weight * weights[event.other as usize] * sampled;
                }
            }
            let now = [
                super::as_f64(falsely) / non_mated,
                1.0 - super::as_f64(matched) / mated,
            ];
            // The rates that are asked for fall, so that the smallest is passed first.
            while let Some(rate) = fmr
                .len()
                .checked_sub(fnmr.len() + 1)
                .and_then(|next| fmr.get(next))
            {
                if now[0] <= *rate * (1.0 + 1e-12) {
                    break;
                }
                fnmr.push(last[1]);
            }
            if eer.is_none() && now[0] >= now[1] {
                let before = now[0] > now[1] && last[0] + last[1] < now[0] + now[1];
                let closer = if before { last } else { now };
                eer = Some(f64::midpoint(closer[0], closer[1]));
            }
            if eer.is_some() && fnmr.len() == fmr.len() {
                break;
            }
            last = now;
        }
        fnmr.resize(fmr.len(), last[1]);
        fnmr.reverse();
        // A sample of the pairs may come out a little below all of them.
        let eer = eer.unwrap_or(f64::midpoint(last[0], last[1]));
        Some(Drawn { eer, fnmr })
    }
}

struct Drawn {
    eer: f64,
    fnmr: Vec<f64>,
}

/// How often each of so many palms is drawn.
fn weights(palms: usize, seed: u64, draw: u64) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(draw);
    let mut weights = vec![0; palms];
    for _ in 0..palms {
        weights[rng.random_range(0..palms)] += 1;
    }
    weights
}

/// The quantiles that the interval of a value lies between, of the value in each draw. None of no draw.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank among a thousand values"
)]
fn quantiles(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let at = |share: f64| values.get((share * last as f64).round() as usize).copied();
    Some([at(tail)?, at(1.0 - tail)?])
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
