//! All pairs of a set, in products of blocks on all cores. Counts scores; knows no rate.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, s};
use rayon::prelude::*;

use super::grid::{self, BINS, Counts};
use super::set::Set;

/// Rows of a block: its scores, 256 KiB, stay in a core's cache.
const BLOCK_ROWS: usize = 256;

/// A mated pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mated {
    /// The last threshold that its score reaches.
    pub bin: u32,
    /// Number of the palm.
    pub palm: u32,
}

/// A non-mated pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonMated {
    /// The last threshold that its score reaches.
    pub bin: u32,
    /// Numbers of the palms; the first is the lower one.
    pub palms: [u32; 2],
}

/// Scores of all pairs.
#[derive(Debug, Clone)]
pub struct Comparisons {
    /// Mated pairs, in no order.
    pub mated: Vec<Mated>,
    /// Non-mated scores.
    pub non_mated: Counts,
}

/// Non-mated pairs one by one: all with the highest scores, and one in so many of the rest.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// The pairs, in no order.
    pub pairs: Vec<NonMated>,
    /// From this threshold on every pair is there.
    pub all_from: u32,
    /// How many pairs each one below stands for.
    pub weight_below: u32,
}

/// Scores of one row with rows that come after it.
struct Stretch<'a> {
    row: usize,
    /// The first of those rows.
    first: usize,
    scores: &'a [f32],
}

impl<'a> Stretch<'a> {
    /// The mated scores and the others; rows of one palm lie one after the other.
    fn split(&self, set: &Set) -> (&'a [f32], &'a [f32]) {
        let palm = set.palm_of(self.row) as usize;
        let end = set.palms().get(palm).map_or(0, |palm| palm.rows.end);
        let mates = end.saturating_sub(self.first).min(self.scores.len());
        self.scores.split_at(mates)
    }
}

/// Compares every pair once.
pub fn all(set: &Set) -> Comparisons {
    let parts = each_stretch(
        set,
        || (Vec::new(), vec![0_u64; BINS]),
        |(mated, non_mated), stretch| {
            let (mates, others) = stretch.split(set);
            let palm = set.palm_of(stretch.row);
            mated.extend(mates.iter().map(|score| Mated {
                bin: grid::bin(*score),
                palm,
            }));
            for score in others {
                non_mated[grid::bin(*score) as usize] += 1;
            }
        },
    );
    let mut mated = Vec::new();
    let mut by_bin = vec![0; BINS];
    for (pairs, counts) in parts {
        mated.extend(pairs);
        for (sum, count) in by_bin.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    Comparisons {
        mated,
        non_mated: Counts::new(by_bin),
    }
}

/// Compares every pair again and keeps about `kept` of the non-mated ones: the `kept` / 2 with the highest scores, and of the others every
/// so many, by a fixed hash of the rows.
pub fn sample(set: &Set, non_mated: &Counts, kept: u64) -> Sampled {
    let all_from = if non_mated.total() <= kept {
        0
    } else {
        non_mated.lowest(|count| count <= kept / 2)
    };
    let rest = non_mated.below(all_from);
    let weight_below = u32::try_from(rest.div_ceil((kept / 2).max(1)).max(1)).unwrap_or(u32::MAX);
    let parts = each_stretch(set, Vec::new, |pairs, stretch| {
        let (mates, others) = stretch.split(set);
        for (column, score) in (stretch.first + mates.len()..).zip(others) {
            let bin = grid::bin(*score);
            if bin >= all_from || hash(stretch.row, column).is_multiple_of(weight_below) {
                let palms = [stretch.row, column].map(|row| set.palm_of(row));
                pairs.push(NonMated { bin, palms });
            }
        }
    });
    Sampled {
        pairs: parts.concat(),
        all_from,
        weight_below,
    }
}

/// Goes through all pairs on all cores, with one state a thread, and gives the states.
fn each_stretch<T: Send>(
    set: &Set,
    state: impl Fn() -> T + Sync,
    visit: impl Fn(&mut T, &Stretch) + Sync,
) -> Vec<T> {
    let rows = set.rows();
    let count = rows.nrows();
    let starts: Vec<usize> = (0..count).step_by(BLOCK_ROWS).collect();
    let blocks: Vec<[usize; 2]> = starts
        .iter()
        .flat_map(|upper| {
            let lower = starts.iter().filter(move |lower| *lower >= upper);
            lower.map(|lower| [*upper, *lower])
        })
        .collect();
    let threads = rayon::current_num_threads();
    (0..threads)
        .into_par_iter()
        .map(|thread| {
            let mut state = state();
            let mut product = Array2::zeros((BLOCK_ROWS, BLOCK_ROWS));
            for [upper, lower] in blocks.iter().skip(thread).step_by(threads) {
                let [left, right] = [*upper, *lower].map(|start| start..count.min(start + BLOCK_ROWS));
                let mut scores = product.slice_mut(s![..left.len(), ..right.len()]);
                let others = rows.slice(s![right.clone(), ..]);
                general_mat_mul(
                    1.0,
                    &rows.slice(s![left.clone(), ..]),
                    &others.t(),
                    0.0,
                    &mut scores,
                );
                for (row, scores) in left.zip(scores.rows()) {
                    // Within a block of its own a row comes before those that follow it.
                    let first = right.start.max(row + 1);
                    let scores = scores.to_slice().expect("rows of a product lie in one piece");
                    let scores = scores.get(first - right.start..).unwrap_or_default();
                    visit(&mut state, &Stretch { row, first, scores });
                }
            }
            state
        })
        .collect()
}

/// Spreads pairs of rows evenly over 32 bits (the finaliser of splitmix64).
fn hash(row: usize, column: usize) -> u32 {
    let mut mixed = (row as u64) << 32 | column as u64;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 32) as u32
}

#[cfg(test)]
#[path = "compare_tests.rs"]
pub(super) mod tests;
