//! The nearest subjects without a threshold, exact: scans find a threshold that enough subjects reach; where none can be found every row is scored. Decides nothing.

mod course;
mod ranking;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::import::blocking;
use super::node::{NodeError, RankQuery};
use super::search::{in_time, rescored};
use super::tenant::Tenant;
use crate::engine::{ScanRequest, Survivors};
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
    ///
    /// The answer stands as soon as the wanted number of subjects is known to reach a threshold whose survivors were listed: whoever
    /// else scores as much is a survivor too and was scored. No lock and no place in a queue is held from one scan to the next.
    pub(super) async fn rank(self: Arc<Self>, query: RankQuery) -> Result<SearchAnswer, NodeError> {
        self.check_transform(&query.transform)?;
        self.check()?;
        self.check_dimension(query.probe.values())?;
        let wanted = query.candidates_max.clamp(1, CANDIDATES_MAX);
        let figures = self.store.stats().map_err(|error| self.storage_error(&error))?;
        let mut course = Course::new(self.spec.dimension, figures.subjects, wanted);
        let mut hunt = Hunt {
            ranking: Ranking::new(wanted),
            scored: HashSet::new(),
        };
        let query = Arc::new(query);
        while let Some(threshold) = course.next(hunt.ranking.last()) {
            in_time(query.deadline)?;
            let scanned = self
                .scan(ScanRequest {
                    gallery: self.gallery,
                    probe: query.probe.values().into(),
                    threshold,
                    deterministic: query.deterministic,
                    deadline: query.deadline,
                })
                .await?;
            if scanned.survivors == Survivors::All {
                course.unlisted(threshold);
                continue;
            }
            let (tenant, asked) = (Arc::clone(&self), Arc::clone(&query));
            let candidates;
            (hunt, candidates) = blocking(move || {
                let candidates = tenant.rank_survivors(&mut hunt, &asked, &scanned.survivors, threshold)?;
                Ok((hunt, candidates))
            })
            .await?;
            if let Some(candidates) = candidates {
                return Ok(SearchAnswer {
                    candidates,
                    certificate: scanned.certificate,
                    backend: scanned.backend.to_string(),
                    searched: scanned.rows,
                });
            }
            course.unreached(threshold);
        }
        blocking(move || self.rank_everybody(&query, wanted)).await
    }

    /// Scores the survivors of `threshold`. None where fewer subjects than wanted reach it.
    fn rank_survivors(
        &self,
        hunt: &mut Hunt,
        query: &RankQuery,
        survivors: &Survivors,
        threshold: f32,
    ) -> Result<Option<Vec<Candidate>>, NodeError> {
        let mut places = self.places(survivors);
        places.retain(|place| hunt.scored.insert(*place));
        self.score_into(&mut hunt.ranking, query, &places)?;
        self.settle(&mut hunt.ranking, query.deadline, threshold)
    }

    /// Scores every row.
    fn rank_everybody(&self, query: &RankQuery, wanted: usize) -> Result<SearchAnswer, NodeError> {
        loop {
            let places = self.places(&Survivors::All);
            let mut ranking = Ranking::new(wanted);
            let searched = self.score_into(&mut ranking, query, &places)?;
            // None when as many were erased meanwhile as the ranking keeps in reserve. That leaves fewer for the next pass, and so
            // comes to an end.
            if let Some(candidates) = self.settle(&mut ranking, query.deadline, f32::NEG_INFINITY)? {
                return Ok(SearchAnswer {
                    candidates,
                    certificate: Certificate::Deterministic,
                    backend: self.engine.backend(),
                    searched,
                });
            }
        }
    }

    /// Takes rows into the ranking; gives the number of those that were there.
    fn score_into(
        &self,
        ranking: &mut Ranking,
        query: &RankQuery,
        places: &[Place],
    ) -> Result<u64, NodeError> {
        let started = Instant::now();
        let mut scored = 0;
        self.score_all(query.probe.values(), places, query.deadline, |id, score| {
            ranking.add(id, score);
            scored += 1;
        })?;
        rescored(started);
        Ok(scored)
    }

    /// The wanted candidates, where the ranking has as many at or above `threshold`, and everybody at or above that is in it.
    /// Subjects that were erased meanwhile are taken out of the ranking.
    fn settle(
        &self,
        ranking: &mut Ranking,
        deadline: Option<Instant>,
        threshold: f32,
    ) -> Result<Option<Vec<Candidate>>, NodeError> {
        while let Some(contenders) = ranking.contenders(threshold) {
            let mut candidates: Vec<Candidate> = Vec::new();
            let mut erased = Vec::new();
            for chunk in contenders.chunks(DESCRIBED_MAX) {
                in_time(deadline)?;
                for ((_, id), found) in chunk.iter().zip(self.candidates(chunk, &[])?) {
                    match found {
                        Some(candidate) => candidates.push(candidate),
                        None => erased.push(id.subject),
                    }
                }
                // Of many with the last score the ids decide, so that all of them have to be looked at.
                candidates.sort_by(Candidate::best_first);
                candidates.truncate(ranking.wanted());
            }
            if erased.is_empty() || candidates.len() == ranking.wanted() {
                return Ok(Some(candidates));
            }
            for subject in erased {
                ranking.remove(subject);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
