//! The answer over a whole gallery from the answers over its parts: exact. Asks nobody.

use std::collections::{BTreeSet, HashMap};

use crate::matcher::node::NodeError;
use crate::model::decision::{Candidate, Certificate, SearchAnswer};
use crate::model::id::SubjectId;

/// Puts together what was found in parts that are a whole gallery, each part in one of the answers, and each answer with the best `wanted` candidates of its parts.
///
/// *Candidates.* A subject's score is the best over all parts. Let b be that of a subject among the best of the whole, found in some answer. Whoever comes before it in that answer
/// has there, and so in the whole, at least b, and comes before it in the whole too: fewer than `wanted`. So it stands in that answer, with b. Whoever else stands in one has at most
/// its score in the whole there, and stays behind. This holds with a threshold (search) and without (rank).
///
/// *Certificate.* Each reference at or above the threshold counts in a part that was searched, and was skipped there with at most that answer's probability, so with at most the
/// largest. One that is looked at in two parts, as while its node keeps it for an earlier view, would have to be skipped in both, which is no likelier. Without a threshold an answer
/// speaks of the score of its own last candidate, which is not above that of the last one of the whole.
///
/// *Searched* adds up the rows that were looked at. A row that was looked at in two parts is counted in both, so that it may be a little more than the gallery has while a flush is
/// under way, and is never less.
pub(super) fn merge(answers: Vec<SearchAnswer>, wanted: usize) -> Result<SearchAnswer, NodeError> {
    let mut best: HashMap<SubjectId, Candidate> = HashMap::new();
    let (mut certificate, mut searched) = (Certificate::Deterministic, 0_u64);
    let mut backends = BTreeSet::new();
    for answer in answers {
        certificate = weaker(certificate, answer.certificate)?;
        searched = searched.saturating_add(answer.searched);
        backends.insert(answer.backend);
        for candidate in answer.candidates {
            match best.get_mut(&candidate.subject_id) {
                Some(known) if is_better(&candidate, known) => *known = candidate,
                Some(_) => {}
                None => {
                    best.insert(candidate.subject_id.clone(), candidate);
                }
            }
        }
    }
    let mut candidates: Vec<Candidate> = best.into_values().collect();
    candidates.sort_by(Candidate::best_first);
    candidates.truncate(wanted);
    Ok(SearchAnswer {
        candidates,
        certificate,
        backend: backends.into_iter().collect::<Vec<_>>().join(" + "),
        searched,
    })
}

/// Of two references of a subject with the same score the hand decides, so that who answered first does not.
fn is_better(candidate: &Candidate, known: &Candidate) -> bool {
    let by_score = candidate.score.total_cmp(&known.score);
    by_score.then(known.hand.cmp(&candidate.hand)).is_gt()
}

fn weaker(one: Certificate, other: Certificate) -> Result<Certificate, NodeError> {
    let miss = |certificate| match certificate {
        Certificate::Deterministic => Ok(None),
        Certificate::Probabilistic { miss_probability } => Ok(Some(miss_probability)),
        // Says nothing about a part.
        Certificate::RecentMatch { .. } => Err(NodeError::Internal(
            "a node answered for a part by a recent match".to_owned(),
        )),
    };
    let miss_probability = match (miss(one)?, miss(other)?) {
        (None, None) => return Ok(Certificate::Deterministic),
        (Some(one), Some(other)) => one.max(other),
        (Some(miss), None) | (None, Some(miss)) => miss,
    };
    Ok(Certificate::Probabilistic { miss_probability })
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
