//! Samples of wall time, and buffers that push everything else out of the caches. Knows nothing of what is measured.

use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;

/// Times of one thing, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    values: Vec<f64>,
}

/// Middle and best of some samples, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Median.
    pub ms: f64,
    /// Smallest.
    pub min_ms: f64,
    /// How many there were.
    pub repeats: usize,
}

impl Samples {
    /// Adds one, in milliseconds.
    pub fn push(&mut self, ms: f64) {
        self.values.push(ms);
    }

    /// Times a call and keeps what it returns.
    pub fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = call();
        self.push(start.elapsed().as_secs_f64() * 1e3);
        value
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The sample that a share `quantile` of all, 0 to 1, does not exceed; none of nothing.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most the number of samples"
        )]
        let rank = (quantile * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }

    /// Median and minimum; none of nothing.
    pub fn summary(&self) -> Option<Summary> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let low = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
        let high = *sorted.get(sorted.len() / 2)?;
        Some(Summary {
            ms: f64::midpoint(low, high),
            min_ms: *sorted.first()?,
            repeats: sorted.len(),
        })
    }
}

/// When a row of repeats has gone on for long enough.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Repeats that are made in any case.
    pub at_least: usize,
    /// Repeats that are not gone beyond.
    pub at_most: usize,
    /// Time after which no further one begins.
    pub budget: Duration,
}

impl Patience {
    /// Calls with 0, 1, 2, … until it is enough; a failure ends it.
    pub fn repeat<E>(&self, mut call: impl FnMut(usize) -> Result<(), E>) -> Result<(), E> {
        let start = Instant::now();
        for number in 0..self.at_most {
            if number >= self.at_least && start.elapsed() >= self.budget {
                break;
            }
            call(number)?;
        }
        Ok(())
    }
}

/// A buffer larger than the caches.
pub struct Flush {
    words: Vec<u64>,
}

impl Flush {
    /// Takes `bytes` of memory.
    pub fn new(bytes: usize) -> Self {
        Self {
            words: vec![1; bytes / size_of::<u64>()],
        }
    }

    /// Writes the whole buffer on all threads of the current rayon pool, so that nothing else is left in the caches.
    pub fn run(&mut self) {
        let share = self.words.len() / rayon::current_num_threads() + 1;
        self.words.par_chunks_mut(share).for_each(|words| {
            for word in words {
                *word = std::hint::black_box(word.wrapping_mul(3));
            }
        });
    }
}

#[cfg(test)]
#[path = "timing_tests.rs"]
mod tests;
