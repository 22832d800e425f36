//! Captures of palms with their labels, in order. Refuses what no figure could be made of; compares nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::Array2;
use thiserror::Error;

use crate::model::signature::{Dimension, Signature};

/// Most captures of a set: 2.1 thousand million pairs.
pub const CAPTURES_MAX: usize = 65_536;
/// Most mated pairs, which are held in memory one by one.
pub const MATED_MAX: u64 = 1 << 24;

/// One capture and what became of it.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Label of the palm. The left and the right hand of a person are two palms.
    pub palm: String,
    /// Which capture of this palm; digits in it count as numbers, so that 10 comes after 9.
    pub sample: String,
    /// The signature, or in a stable word why there is none: a failure to acquire.
    pub outcome: Result<Signature, String>,
}

/// A palm and its captures.
#[derive(Debug, Clone)]
pub struct Palm {
    /// Its label.
    pub label: String,
    /// Its captures in order: the row of each signature, none where the capture failed.
    pub attempts: Vec<Option<usize>>,
    /// Its rows.
    pub rows: Range<usize>,
}

/// Captures of at least two palms, at least one of which has two signatures. Rows of one palm lie one after the other.
#[derive(Debug, Clone)]
pub struct Set {
    rows: Array2<f32>,
    palms: Vec<Palm>,
    palm_of: Vec<u32>,
    failures: BTreeMap<String, u64>,
}

/// Captures that make no set.
#[derive(Debug, Error, PartialEq)]
pub enum SetError {
    /// Too many captures.
    #[error("{found} captures; at most {CAPTURES_MAX} are compared")]
    TooMany {
        /// How many.
        found: u64,
    },
    /// Too many captures of a palm.
    #[error("{found} mated pairs; at most {MATED_MAX} are compared")]
    TooManyMated {
        /// How many.
        found: u64,
    },
    /// The same capture twice.
    #[error("two captures are palm {palm:?}, sample {sample:?}")]
    Twice {
        /// Which palm.
        palm: String,
        /// Which capture of it.
        sample: String,
    },
    /// Signatures of more than one dimension.
    #[error("palm {palm:?}, sample {sample:?} has {found} coordinates, others have {expected}")]
    Dimension {
        /// Which palm.
        palm: String,
        /// Which capture of it.
        sample: String,
        /// Its coordinates.
        found: usize,
        /// Those of the first one.
        expected: usize,
    },
    /// No two palms.
    #[error("{found} palms with a signature; at least 2 are needed for a non-mated pair")]
    FewPalms {
        /// How many.
        found: usize,
    },
    /// No palm with two captures.
    #[error("none of {palms} palms has two signatures; at least one is needed for a mated pair")]
    NoMated {
        /// How many palms.
        palms: usize,
    },
}

impl Set {
    /// Puts captures in order and checks that there is something to compare.
    pub fn new(mut captures: Vec<Capture>) -> Result<Self, SetError> {
        let found = captures.len();
        check_count(found as u64)?;
        captures.sort_by_cached_key(|capture| (natural(&capture.palm), natural(&capture.sample)));
        refuse_twice(&captures)?;
        let dim = common_dimension(&captures)?;
        let mut set = Self::empty();
        let mut values = Vec::with_capacity(found * dim.map_or(0, Dimension::get));
        for capture in &captures {
            set.add(capture, &mut values);
        }
        let count = set.palm_of.len();
        set.rows = Array2::from_shape_vec((count, values.len().checked_div(count).unwrap_or(0)), values)
            .expect("every row is as long as the dimension");
        set.check()?;
        Ok(set)
    }

    fn empty() -> Self {
        Self {
            rows: Array2::zeros((0, 0)),
            palms: Vec::new(),
            palm_of: Vec::new(),
            failures: BTreeMap::new(),
        }
    }

    fn add(&mut self, capture: &Capture, values: &mut Vec<f32>) {
        let row = self.palm_of.len();
        if self.palms.last().is_none_or(|palm| palm.label != capture.palm) {
            self.palms.push(Palm {
                label: capture.palm.clone(),
                attempts: Vec::new(),
                rows: row..row,
            });
        }
        let number = u32::try_from(self.palms.len() - 1).expect("no more palms than captures");
        let palm = self.palms.last_mut().expect("just made");
        match &capture.outcome {
            Ok(signature) => {
                values.extend_from_slice(signature.values());
                palm.attempts.push(Some(row));
                palm.rows.end = row + 1;
                self.palm_of.push(number);
            }
            Err(reason) => {
                palm.attempts.push(None);
                *self.failures.entry(reason.clone()).or_default() += 1;
            }
        }
    }

    fn check(&self) -> Result<(), SetError> {
        let found = self.palms.iter().filter(|palm| !palm.rows.is_empty()).count();
        if found < 2 {
            return Err(SetError::FewPalms { found });
        }
        match self.mated() {
            0 => Err(SetError::NoMated { palms: found }),
            found if found > MATED_MAX => Err(SetError::TooManyMated { found }),
            _ => Ok(()),
        }
    }

    /// Signatures, one a row.
    pub fn rows(&self) -> &Array2<f32> {
        &self.rows
    }

    /// Palms in order of their labels, also those without any signature.
    pub fn palms(&self) -> &[Palm] {
        &self.palms
    }

    /// The number of the palm of a row.
    pub fn palm_of(&self, row: usize) -> u32 {
        self.palm_of[row]
    }

    /// Captures without a signature, by reason.
    pub fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failures
    }

    /// Captures without a signature.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Captures, with those that failed.
    pub fn captures(&self) -> u64 {
        self.palm_of.len() as u64 + self.failed()
    }

    /// Pairs of signatures of one palm.
    pub fn mated(&self) -> u64 {
        self.palms.iter().map(|palm| pairs(palm.rows.len())).sum()
    }

    /// Pairs of signatures of two palms.
    pub fn non_mated(&self) -> u64 {
        pairs(self.palm_of.len()) - self.mated()
    }
}

/// Refuses more captures than are compared; for whoever knows their number before they are there.
pub fn check_count(found: u64) -> Result<(), SetError> {
    if found > CAPTURES_MAX as u64 {
        return Err(SetError::TooMany { found });
    }
    Ok(())
}

fn pairs(count: usize) -> u64 {
    let count = count as u64;
    count * count.saturating_sub(1) / 2
}

fn refuse_twice(captures: &[Capture]) -> Result<(), SetError> {
    let mut neighbours = captures.iter().zip(captures.iter().skip(1));
    match neighbours.find(|(one, next)| one.palm == next.palm && one.sample == next.sample) {
        None => Ok(()),
        Some((one, _)) => Err(SetError::Twice {
            palm: one.palm.clone(),
            sample: one.sample.clone(),
        }),
    }
}

fn common_dimension(captures: &[Capture]) -> Result<Option<Dimension>, SetError> {
    let mut first = None;
    for capture in captures {
        let Ok(signature) = &capture.outcome else {
            continue;
        };
        let found = signature.dimension();
        let expected = *first.get_or_insert(found);
        if found != expected {
            return Err(SetError::Dimension {
                palm: capture.palm.clone(),
                sample: capture.sample.clone(),
                found: found.get(),
                expected: expected.get(),
            });
        }
    }
    Ok(first)
}

/// A piece of a label.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    /// Digits without leading zeros: the longer number is the larger one.
    Number(usize, String),
    Text(String),
}

/// Orders labels as a person would: 2 before 10. Labels that differ in leading zeros alone stay apart by the text itself.
fn natural(label: &str) -> (Vec<Piece>, String) {
    let pieces = label
        .as_bytes()
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        .map(|piece| {
            let text = String::from_utf8_lossy(piece);
            if text.starts_with(|c: char| c.is_ascii_digit()) {
                let digits = text.trim_start_matches('0');
                Piece::Number(digits.len(), digits.to_owned())
            } else {
                Piece::Text(text.into_owned())
            }
        })
        .collect();
    (pieces, label.to_owned())
}

#[cfg(test)]
#[path = "set_tests.rs"]
pub(super) mod tests;
