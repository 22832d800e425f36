//! Compares thenar's best rows with those of an exact peer that sums in another order. Excuses nothing but rounding.

use serde::Serialize;

use crate::gallery::{Best, Outcome, Searched};
use crate::rows::Probe;

/// Two orders of summation of a product of unit vectors in single precision differ by less than this.
const ROUNDING: f32 = 4e-6;

/// A peer's best row of one probe, whatever its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeerBest {
    /// Number of the row.
    pub row: u32,
    /// The score by the peer's arithmetic.
    pub score: f32,
}

/// An answer that differs and what explains it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Number of the probe.
    pub probe: usize,
    /// Row and canonical score by thenar.
    pub thenar: Option<(u32, f32)>,
    /// The peer's row, its canonical score and the score that the peer gave it.
    pub peer: (u32, f32, f32),
    /// Whether rounding alone explains it.
    pub explained: bool,
}

/// Compares one answer; none where they agree: the same row, or nobody and a row below the threshold.
pub fn compare(
    number: usize,
    probe: &Probe,
    outcome: &Outcome,
    peer: PeerBest,
    searched: &Searched,
    threshold: f32,
) -> Option<Difference> {
    // A row that does not exist has no score; it is not explained by anything.
    let canonical = searched.score(&probe.values, peer.row).unwrap_or(f32::NAN);
    let verdict = judge(outcome.best, peer.row, canonical, threshold)?;
    Some(Difference {
        probe: number,
        thenar: outcome.best.map(|best| (best.row, best.score)),
        peer: (peer.row, canonical, peer.score),
        explained: verdict,
    })
}

/// None where the answers agree, else whether rounding explains the difference.
fn judge(best: Option<Best>, peer_row: u32, canonical: f32, threshold: f32) -> Option<bool> {
    match best {
        Some(best) if best.row == peer_row => None,
        // Both found a best row; canonically the peer's may not be better, nor worse by more than rounding.
        Some(best) => Some(canonical <= best.score && best.score - canonical <= ROUNDING),
        None if canonical < threshold => None,
        None => Some(false),
    }
}

#[cfg(test)]
#[path = "differ_tests.rs"]
mod tests;
