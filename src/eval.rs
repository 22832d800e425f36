//! From labelled signatures to the figures of ISO/IEC 19795-1. Compares and counts; reads no file, looks at no picture, draws nothing.
//!
//! Terms as in ISO/IEC 19795-1 and 2382-37. A comparison *matches* when its score is at or above the threshold.
//!
//! * FMR: share of the completed non-mated comparisons that match. FNMR: share of the completed mated ones that don't. TAR here is 1 − FNMR.
//! * FTA: share of the captures of which no signature could be made. It is no part of FMR and FNMR. A transaction of one attempt fails by
//!   FRR = FTA + FNMR·(1 − FTA), FTA there being that of enrolled palms after their enrolment, and with those who could not be enrolled by
//!   GFRR = FTE + (1 − FTE)·FRR.
//! * FNIR(N, 1, T): share of the searches by enrolled palms that don't return the own reference as the first candidate with a score of T or
//!   more. FPIR(N, T): share of the searches by palms that are not enrolled that return anybody. N is the number of references. A capture that
//!   failed is no search; with it as one that fails FNIR becomes FTA + FNIR·(1 − FTA).
//! * Rank-1: FNIR(N, 1, −1) subtracted from 1, over all references.
//!
//! Every pair of captures is compared once, whichever came first: two captures of a palm are a mated pair, two of different palms a
//! non-mated one.

pub mod bootstrap;
pub mod calibrate;
pub mod compare;
pub mod grid;
pub mod identify;
pub mod interval;
pub mod rates;
pub mod report;
pub mod set;
pub mod tail;

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "counts of pairs stay far below 2⁵³")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}
