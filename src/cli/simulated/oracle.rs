//! What the right answer is, from scores that whoever asks can compute. Pure; asks nobody.

use crate::client::api;

use super::MARGIN;

/// How far the server's score may be from the exact one. Storing a row in half precision moves a
/// unit vector by at most 2⁻¹¹, so a cosine by at most 0.0005; the rest is room for single precision.
pub const BAND: f64 = 0.001;
/// The same where the reference was not rounded to half precision on its way either.
pub const AUDIT_BAND: f64 = 0.002;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Asker {
    /// An enrolled palm, and its cosine with what is enrolled.
    Mate {
        /// Whose.
        subject: u64,
        /// Cosine of probe and reference.
        score: f64,
    },
    /// A palm that is not enrolled.
    Stranger,
}

/// What the server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This subject.
    Match(Option<u64>),
    /// Nobody.
    NoMatch,
    /// Two are too close to each other.
    Ambiguous,
    /// Another reason to capture again, or no decision at all.
    Other,
}

impl Answer {
    /// Reads a response.
    pub fn of(response: &api::IdentifyResponse) -> Self {
        match (response.decision(), response.retake_reason()) {
            (api::Decision::Match, _) => Self::Match(super::subject_number(&response.subject_id)),
            (api::Decision::NoMatch, _) => Self::NoMatch,
            (api::Decision::Retake, api::RetakeReason::Ambiguous) => Self::Ambiguous,
            _ => Self::Other,
        }
    }

    /// Whether it names this subject.
    pub fn names(self, subject: u64) -> bool {
        self == Self::Match(Some(subject))
    }

    /// Whether a false positive, when a stranger asked: anyone was above the threshold (ISO/IEC 19795-1).
    pub fn is_positive(self) -> bool {
        matches!(self, Self::Match(_) | Self::Ambiguous)
    }
}

/// What to think of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The only right one, or one of two right ones close to the threshold.
    Right,
    /// Right only if somebody else's palm is close: an exhaustive scan has to tell.
    Unclear,
    /// Wrong whatever else is enrolled.
    Wrong,
}

/// Judges an answer by the mate's score alone.
pub fn judge(asker: Asker, answer: Answer, threshold: f64) -> Verdict {
    match (asker, answer) {
        (_, Answer::Other) => Verdict::Wrong,
        (Asker::Mate { subject, score }, answer) if answer.names(subject) => {
            if score >= threshold - BAND {
                Verdict::Right
            } else {
                Verdict::Wrong
            }
        }
        (Asker::Mate { score, .. }, Answer::NoMatch) => {
            if score < threshold + BAND {
                Verdict::Right
            } else {
                Verdict::Wrong
            }
        }
        (Asker::Stranger, Answer::NoMatch) => Verdict::Right,
        (_, Answer::Match(_) | Answer::Ambiguous) => Verdict::Unclear,
    }
}

/// Whether an answer is one that an exhaustive scan allows. `candidates` are all subjects at or above
/// the threshold less the band, each with its score, in any order.
pub fn explains(candidates: &[(u64, f64)], answer: Answer, threshold: f64) -> bool {
    let margin = f64::from(MARGIN);
    let mut scores: Vec<f64> = candidates.iter().map(|(_, score)| *score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let (best, second) = (scores.first().copied(), scores.get(1).copied());
    match answer {
        Answer::NoMatch => best.is_none_or(|best| best < threshold + AUDIT_BAND),
        Answer::Match(None) | Answer::Other => false,
        Answer::Match(Some(subject)) => {
            let Some((_, score)) = candidates.iter().find(|(id, _)| *id == subject) else {
                return false;
            };
            let rival = candidates
                .iter()
                .filter(|(id, _)| *id != subject)
                .map(|(_, score)| *score)
                .fold(f64::NEG_INFINITY, f64::max);
            let alone = rival < threshold + AUDIT_BAND || score - rival >= margin - 2.0 * AUDIT_BAND;
            *score >= threshold - AUDIT_BAND && alone
        }
        Answer::Ambiguous => match (best, second) {
            (Some(best), Some(second)) => {
                second >= threshold - AUDIT_BAND && best - second < margin + 2.0 * AUDIT_BAND
            }
            _ => false,
        },
    }
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
