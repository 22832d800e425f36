//! Scores, candidates and decisions: what a search finds and what a caller is told. Decides nothing itself.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::SubjectId;
use super::link::SealedLink;
use super::subject::Hand;
use super::timestamp::Timestamp;

/// Most candidates of one answer.
pub const CANDIDATES_MAX: usize = 1_000;

/// A subject whose best reference reached the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The subject.
    pub subject_id: SubjectId,
    /// Since when it is enrolled: one of the same id that was enrolled anew has another time.
    pub subject_since: Timestamp,
    /// Hand of the best reference.
    pub hand: Hand,
    /// Canonical cosine score of the best reference: the stored half-precision row, widened, summed in one fixed order.
    pub score: f32,
    /// Links of the subject, sealed by the front; empty unless asked for.
    pub links: Vec<SealedLink>,
}

impl Candidate {
    /// The order of an answer: by falling score, ties by subject id.
    pub fn best_first(&self, other: &Self) -> Ordering {
        let by_score = other.score.total_cmp(&self.score);
        by_score.then_with(|| self.subject_id.cmp(&other.subject_id))
    }
}

/// What an answer proves about rows that were not scored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Certificate {
    /// Every skipped row has a score below the threshold; proved by a bound.
    Deterministic,
    /// Each reference at or above the threshold was skipped with at most this probability.
    Probabilistic {
        /// Probability per reference.
        miss_probability: f64,
    },
    /// The subject was seen at this site lately, and the palm reached a stricter threshold with its references; nobody else was looked at.
    RecentMatch {
        /// Probability, by the front's model of scores, with which the palm of another enrolled subject would have been answered so, at most.
        false_match_probability: f64,
    },
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deterministic => f.write_str("deterministic"),
            Self::Probabilistic { miss_probability } => write!(f, "probabilistic {miss_probability:e}"),
            Self::RecentMatch {
                false_match_probability,
            } => write!(f, "recent match {false_match_probability:.1e}"),
        }
    }
}

/// Candidates at or above a threshold, best first, and what the search proves.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchAnswer {
    /// One candidate a subject, by falling score; ties by subject id.
    pub candidates: Vec<Candidate>,
    /// What was proved.
    pub certificate: Certificate,
    /// Name of the backend that scanned, for instance `cpu/avx512`.
    pub backend: String,
    /// References searched.
    pub searched: u64,
}

/// How far above the threshold a match is, in two coarse steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchLevel {
    /// At or above the threshold.
    Sufficient,
    /// At or above the middle between the threshold and 1.
    Strong,
}

/// Why a palm should be captured again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetakeReason {
    /// The quality is below the tenant's minimum.
    LowQuality,
    /// The device saw a presentation attack, or did not look where the tenant requires it.
    PadFailed,
    /// Two subjects are above the threshold and closer to each other than the margin.
    Ambiguous,
}

/// What a caller is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// This subject.
    Match {
        /// The best candidate, which stands alone above the margin.
        candidate: Candidate,
        /// How far above the threshold.
        level: MatchLevel,
    },
    /// Nobody enrolled: the gallery was searched and no score reached the threshold.
    NoMatch,
    /// Capture again.
    Retake(RetakeReason),
}
