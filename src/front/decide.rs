//! The decision: from candidates, threshold and margin to what a caller is told. Pure; sees no signature.

use crate::model::decision::{Candidate, Decision, MatchLevel, RetakeReason};

/// Decides a 1:N search. Candidates are one a subject; their order does not matter.
pub(super) fn identify(candidates: &[Candidate], threshold: f32, margin: f32) -> Decision {
    let (mut best, mut second) = (None::<&Candidate>, None::<&Candidate>);
    for candidate in candidates.iter().filter(|c| c.score >= threshold) {
        if best.is_none_or(|best| candidate.score > best.score) {
            second = best.replace(candidate);
        } else if second.is_none_or(|second| candidate.score > second.score) {
            second = Some(candidate);
        }
    }
    match (best, second) {
        (None, _) => Decision::NoMatch,
        // Also at a margin of zero, two that score the same are not told apart.
        (Some(best), Some(second)) if best.score - second.score < margin || best.score <= second.score => {
            Decision::Retake(RetakeReason::Ambiguous)
        }
        (Some(best), _) => Decision::Match {
            candidate: best.clone(),
            level: level(best.score, threshold),
        },
    }
}

/// Decides a 1:1 comparison of the claimed subject.
pub(super) fn verify(claimed: Candidate, threshold: f32) -> Decision {
    if claimed.score >= threshold {
        let level = level(claimed.score, threshold);
        Decision::Match {
            candidate: claimed,
            level,
        }
    } else {
        Decision::NoMatch
    }
}

fn level(score: f32, threshold: f32) -> MatchLevel {
    if score >= f32::midpoint(threshold, 1.0) {
        MatchLevel::Strong
    } else {
        MatchLevel::Sufficient
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
