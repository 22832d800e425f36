//! The answer over a whole gallery from the answers over its parts: exact. Asks nobody, and takes no answer that no node can give.

use std::collections::{BTreeSet, HashMap, HashSet};

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
///
/// Each answer is [sound](check).
pub(super) fn merge(answers: Vec<SearchAnswer>, wanted: usize) -> SearchAnswer {
    let mut best: HashMap<SubjectId, Candidate> = HashMap::new();
    let (mut certificate, mut searched) = (Certificate::Deterministic, 0_u64);
    let mut backends = BTreeSet::new();
    for answer in answers {
        certificate = weaker(certificate, answer.certificate);
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
    SearchAnswer {
        candidates,
        certificate,
        backend: backends.into_iter().collect::<Vec<_>>().join(" + "),
        searched,
    }
}

/// Whether an answer over parts is one that a node can give: `wanted` candidates at most, one a subject, in their order, each with a score at or above the `threshold`, if there is one, and
/// a certificate that speaks of a search. What is none is a defect of its node, and never ignored: by a score that is no number nobody would be found.
pub(super) fn check(answer: &SearchAnswer, threshold: Option<f32>, wanted: usize) -> Result<(), NodeError> {
    let fault = |text: &str| {
        Err(NodeError::Internal(format!(
            "an answer for parts of a gallery {text}"
        )))
    };
    if answer.candidates.len() > wanted {
        return fault("has more candidates than were asked for");
    }
    let is_in_place = |score: f32| score.is_finite() && threshold.is_none_or(|threshold| score >= threshold);
    if !answer.candidates.iter().all(|one| is_in_place(one.score)) {
        return fault("has a score that is no number, or below the threshold");
    }
    if !answer
        .candidates
        .is_sorted_by(|one, next| one.best_first(next).is_lt())
    {
        return fault("is not in order");
    }
    let subjects: HashSet<&SubjectId> = answer.candidates.iter().map(|one| &one.subject_id).collect();
    if subjects.len() < answer.candidates.len() {
        return fault("has a subject twice");
    }
    match answer.certificate {
        Certificate::Deterministic => Ok(()),
        Certificate::Probabilistic { miss_probability } if (0.0..=1.0).contains(&miss_probability) => Ok(()),
        Certificate::Probabilistic { .. } => fault("has a probability that is not between 0 and 1"),
        Certificate::RecentMatch { .. } => fault("is by a recent match, which says nothing of them"),
    }
}

/// Of two references of a subject with the same score the hand decides, so that who answered first does not.
fn is_better(candidate: &Candidate, known: &Candidate) -> bool {
    let by_score = candidate.score.total_cmp(&known.score);
    by_score.then(known.hand.cmp(&candidate.hand)).is_gt()
}

/// Of certificates that were checked.
fn weaker(one: Certificate, other: Certificate) -> Certificate {
    let miss = |certificate| match certificate {
        Certificate::Probabilistic { miss_probability } => Some(miss_probability),
        Certificate::Deterministic | Certificate::RecentMatch { .. } => None,
    };
    let miss_probability = match (miss(one), miss(other)) {
        (None, None) => return Certificate::Deterministic,
        (Some(one), Some(other)) => one.max(other),
        (Some(miss), None) | (None, Some(miss)) => miss,
    };
    Certificate::Probabilistic { miss_probability }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
