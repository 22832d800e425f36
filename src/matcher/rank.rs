//! The nearest subjects without a threshold, exact: scans find a threshold that enough subjects reach; where none can be found every row is scored. Decides nothing.

mod course;
mod ranking;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::import::blocking;
use super::node::{NodeError, RankQuery};
use super::search::{Found, candidates, check_dimension, in_time, places, rescored, scan, score_all};
use super::searched::Searched;
use super::tenant::Tenant;
use crate::engine::Survivors;
use crate::model::decision::{CANDIDATES_MAX, Candidate, Certificate, SearchAnswer};
use crate::storage::place::Place;

use course::Course;
use ranking::Ranking;

/// Candidates described at once; bounds the memory where very many subjects have one score.
const DESCRIBED_MAX: usize = 8_192;

/// What the scans of one question have found so far.
struct Hunt {
    ranking: Ranking,
    /// Rows that were scored already; the survivors of a lower threshold are mostly those of a higher one.
    scored: HashSet<Place>,
}

impl Tenant {
    /// The subjects with the best scores, best first.
    pub(super) async fn rank(self: Arc<Self>, query: RankQuery) -> Result<SearchAnswer, NodeError> {
        self.check_transform(&query.transform)?;
        self.check()?;
        rank(self, query).await
    }
}

/// The subjects of these rows with the best scores, best first.
///
/// The answer stands as soon as the wanted number of subjects is known to reach a threshold whose survivors were listed: whoever
/// else scores as much is a survivor too and was scored. No lock and no place in a queue is held from one scan to the next.
pub(super) async fn rank<S: Searched>(rows: Arc<S>, query: RankQuery) -> Result<SearchAnswer, NodeError> {
    check_dimension(&query.probe, rows.dimension())?;
    let wanted = query.candidates_max.clamp(1, CANDIDATES_MAX);
    let mut course = Course::new(rows.dimension(), rows.subjects()?, wanted);
    let mut hunt = Hunt {
        ranking: Ranking::new(wanted),
        scored: HashSet::new(),
    };
    let query = Arc::new(query);
    while let Some(threshold) = course.next(hunt.ranking.last()) {
        in_time(query.deadline)?;
        let (deterministic, deadline) = (query.deterministic, query.deadline);
        let found = scan(rows.as_ref(), &query.probe, threshold, deterministic, deadline).await?;
        if found.survivors.contains(&Survivors::All) {
            course.unlisted(threshold);
            continue;
        }
        let (searched, asked) = (Arc::clone(&rows), Arc::clone(&query));
        let answer;
        (hunt, answer) = blocking(move || {
            let answer = rank_survivors(searched.as_ref(), &mut hunt, &asked, found, threshold)?;
            Ok((hunt, answer))
        })
        .await?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
        course.unreached(threshold);
    }
    blocking(move || rank_everybody(rows.as_ref(), &query, wanted)).await
}

/// Scores the survivors of `threshold`. None where fewer subjects than wanted reach it.
fn rank_survivors(
    rows: &impl Searched,
    hunt: &mut Hunt,
    query: &RankQuery,
    found: Found,
    threshold: f32,
) -> Result<Option<SearchAnswer>, NodeError> {
    let mut places = places(rows, &found.survivors);
    places.retain(|place| hunt.scored.insert(*place));
    score_into(rows, &mut hunt.ranking, query, &places)?;
    let candidates = settle(rows, &mut hunt.ranking, query.deadline, threshold)?;
    Ok(candidates.map(|candidates| SearchAnswer {
        candidates,
        certificate: found.certificate,
        backend: found.backend,
        searched: found.rows,
    }))
}

/// Scores every row.
fn rank_everybody(rows: &impl Searched, query: &RankQuery, wanted: usize) -> Result<SearchAnswer, NodeError> {
    loop {
        let places = places(rows, &vec![Survivors::All; rows.galleries().len()]);
        let mut ranking = Ranking::new(wanted);
        let searched = score_into(rows, &mut ranking, query, &places)?;
        // None when as many were erased meanwhile as the ranking keeps in reserve. That leaves fewer for the next pass, and so
        // comes to an end.
        if let Some(candidates) = settle(rows, &mut ranking, query.deadline, f32::NEG_INFINITY)? {
            return Ok(SearchAnswer {
                candidates,
                certificate: Certificate::Deterministic,
                backend: rows.engine().backend(),
                searched,
            });
        }
    }
}

/// Takes rows into the ranking; gives the number of those that were there.
fn score_into(
    rows: &impl Searched,
    ranking: &mut Ranking,
    query: &RankQuery,
    places: &[Place],
) -> Result<u64, NodeError> {
    let started = Instant::now();
    let mut scored = 0;
    score_all(rows, query.probe.values(), places, query.deadline, |id, score| {
        ranking.add(id, score);
        scored += 1;
    })?;
    rescored(started);
    Ok(scored)
}

/// The wanted candidates, where the ranking has as many at or above `threshold`, and everybody at or above that is in it.
/// Subjects that were erased meanwhile are taken out of the ranking.
fn settle(
    rows: &impl Searched,
    ranking: &mut Ranking,
    deadline: Option<Instant>,
    threshold: f32,
) -> Result<Option<Vec<Candidate>>, NodeError> {
    while let Some(contenders) = ranking.contenders(threshold) {
        let mut known: Vec<Candidate> = Vec::new();
        let mut erased = Vec::new();
        for chunk in contenders.chunks(DESCRIBED_MAX) {
            in_time(deadline)?;
            for ((_, id), found) in chunk.iter().zip(candidates(rows, chunk, &[])?) {
                match found {
                    Some(candidate) => known.push(candidate),
                    None => erased.push(id.subject),
                }
            }
            // Of many with the last score the ids decide, so that all of them have to be looked at.
            known.sort_by(Candidate::best_first);
            known.truncate(ranking.wanted());
        }
        if erased.is_empty() || known.len() == ranking.wanted() {
            return Ok(Some(known));
        }
        for subject in erased {
            ranking.remove(subject);
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
