//! Search: a scan over codes, then the exact canonical score of each survivor, best reference a subject. Scores nothing that is not stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use half::f16;

use super::apply::exact_values;
use super::error::engine_error;
use super::import::blocking;
use super::node::{CompareQuery, NodeError, SearchQuery};
use super::scorers::Scorers;
use super::tenant::Tenant;
use crate::engine::{ScanRequest, Scanned, Survivors, canonical};
use crate::model::decision::{CANDIDATES_MAX, Candidate, Certificate, SearchAnswer};
use crate::model::id::SubjectId;
use crate::model::link::LinkKind;
use crate::storage::place::{Place, RowId, StoredRow};
use crate::storage::write::CandidateInfo;
use crate::telemetry::traces::Stage;
use crate::telemetry::{self, traces};

/// Rows read at once; bounds the memory of a search that must score every row.
const ROWS_PER_READ_MAX: usize = 8_192;
/// Most rows that are scored beside others'; more of them are long work.
const ROWS_SHORT_MAX: usize = 256;

impl Tenant {
    /// Everybody at or above the threshold, best first.
    pub(super) async fn search(
        self: Arc<Self>,
        query: SearchQuery,
        scorers: &Scorers,
    ) -> Result<SearchAnswer, NodeError> {
        self.check_transform(&query.transform)?;
        self.check()?;
        self.check_dimension(query.probe.values())?;
        if let Some(subject) = query.only.clone() {
            return scorers.run(move || self.search_one(&query, &subject)).await;
        }
        let scanned = self
            .scan(ScanRequest {
                gallery: self.gallery,
                probe: query.probe.values().into(),
                threshold: query.threshold,
                deterministic: query.deterministic,
                deadline: query.deadline,
            })
            .await?;
        let tenant = Arc::clone(&self);
        let survivors = scanned.survivors;
        let certificate = match &survivors {
            Survivors::Rows(_) => scanned.certificate,
            // Every row is scored, so that none was dismissed.
            Survivors::All => Certificate::Deterministic,
        };
        let is_short = matches!(&survivors, Survivors::Rows(rows) if rows.len() <= ROWS_SHORT_MAX);
        let score = move || {
            let mut places = tenant.places(&survivors);
            if places.is_empty() {
                places.extend(tenant.some_place(query.probe.values()));
            }
            tenant.rescore(&query, &places)
        };
        let candidates = if is_short {
            scorers.run(score).await?
        } else {
            blocking(score).await?
        };
        Ok(SearchAnswer {
            candidates,
            certificate,
            backend: scanned.backend.to_string(),
            searched: scanned.rows,
        })
    }

    /// A row to be scored where none survived, so that the time of an answer doesn't tell whether one did: that begins far below the threshold, where
    /// nobody counts tries. Which one hangs on the probe, as that of a survivor does.
    fn some_place(&self, probe: &[f32]) -> Option<Place> {
        let residency = self.residency.read();
        let mixed = probe.iter().fold(0_u32, |mixed, value| {
            mixed.rotate_left(5).wrapping_mul(0x9E37_79B1) ^ value.to_bits()
        });
        let row = mixed.checked_rem(residency.rows())?;
        residency.place(row).or_else(|| residency.places().next())
    }

    /// Refuses as a search would now.
    pub(super) fn check_room(&self, deadline: Option<Instant>) -> Result<(), NodeError> {
        let room = self.engine.check_room(self.gallery, deadline);
        room.map_err(|error| engine_error(self.id(), &error))
    }

    /// One subject, at or above the threshold or not.
    fn search_one(&self, query: &SearchQuery, subject: &SubjectId) -> Result<SearchAnswer, NodeError> {
        in_time(query.deadline)?;
        let places = self.rows_of(subject)?;
        Ok(SearchAnswer {
            candidates: self.rescore(query, &places)?,
            certificate: Certificate::Deterministic,
            backend: self.engine.backend(),
            searched: places.len() as u64,
        })
    }

    fn rows_of(&self, subject: &SubjectId) -> Result<Vec<Place>, NodeError> {
        let rows = self.store.subject_rows(subject);
        rows.map_err(|error| self.storage_error(&error))?
            .ok_or_else(|| NodeError::SubjectUnknown(self.id().clone()))
    }

    /// One scan, counted.
    pub(super) async fn scan(&self, request: ScanRequest) -> Result<Scanned, NodeError> {
        let scanned = self.engine.scan(request).await;
        let scanned = scanned.map_err(|error| engine_error(self.id(), &error))?;
        metrics::counter!(telemetry::ROWS_SEARCHED).increment(scanned.rows);
        let waited = scanned.begun.saturating_duration_since(scanned.since);
        traces::took(Stage::Queue, scanned.since, waited);
        traces::took(Stage::Scan, scanned.begun, scanned.took);
        Ok(scanned)
    }

    /// The best score among a subject's references.
    pub(super) fn compare(&self, query: &CompareQuery) -> Result<f32, NodeError> {
        self.check_transform(&query.transform)?;
        self.check()?;
        self.check_dimension(query.probe.values())?;
        in_time(query.deadline)?;
        let places = self.rows_of(&query.subject_id)?;
        let mut best: Option<f32> = None;
        self.score_each(query.probe.values(), &places, |_, score| {
            best = Some(best.map_or(score, |best| best.max(score)));
        })?;
        best.ok_or_else(|| NodeError::SubjectUnknown(self.id().clone()))
    }

    fn rescore(&self, query: &SearchQuery, places: &[Place]) -> Result<Vec<Candidate>, NodeError> {
        let started = Instant::now();
        let mut best: HashMap<u64, (f32, RowId)> = HashMap::new();
        self.score_all(query.probe.values(), places, query.deadline, |id, score| {
            if score >= query.threshold {
                let entry = best.entry(id.subject).or_insert((score, id));
                if score > entry.0 {
                    *entry = (score, id);
                }
            }
        })?;
        let mut ranked: Vec<(f32, RowId)> = best.into_values().collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.subject.cmp(&b.1.subject)));
        ranked.truncate(query.candidates_max.clamp(1, CANDIDATES_MAX));
        let candidates = self.describe(&ranked, &query.links);
        rescored(started);
        candidates
    }

    /// Where the rows are that a scan left over.
    pub(super) fn places(&self, survivors: &Survivors) -> Vec<Place> {
        let residency = self.residency.read();
        let places: Vec<Place> = match survivors {
            Survivors::Rows(rows) => rows.iter().filter_map(|&row| residency.place(row)).collect(),
            Survivors::All => {
                metrics::counter!(telemetry::EXHAUSTIVE).increment(1);
                residency.places().collect()
            }
        };
        metrics::counter!(telemetry::SURVIVORS).increment(places.len() as u64);
        places
    }

    /// Reads and scores rows, some at a time, as long as somebody waits for them.
    pub(super) fn score_all(
        &self,
        probe: &[f32],
        places: &[Place],
        deadline: Option<Instant>,
        mut each: impl FnMut(RowId, f32),
    ) -> Result<(), NodeError> {
        for chunk in places.chunks(ROWS_PER_READ_MAX) {
            in_time(deadline)?;
            self.score_each(probe, chunk, &mut each)?;
        }
        Ok(())
    }

    /// Reads rows and scores them; a row that was erased meanwhile is passed over.
    fn score_each(
        &self,
        probe: &[f32],
        places: &[Place],
        mut each: impl FnMut(RowId, f32),
    ) -> Result<(), NodeError> {
        let rows = self
            .store
            .read(places)
            .map_err(|error| self.storage_error(&error))?;
        for StoredRow { id, exact } in rows.into_iter().flatten() {
            let bits = exact_values(&exact);
            let row: &[f16] = bytemuck::cast_slice(&bits);
            each(id, canonical::score(probe, row));
        }
        Ok(())
    }

    fn describe(&self, ranked: &[(f32, RowId)], links: &[LinkKind]) -> Result<Vec<Candidate>, NodeError> {
        let known = self.candidates(ranked, links)?;
        let mut candidates: Vec<Candidate> = known.into_iter().flatten().collect();
        candidates.sort_by(Candidate::best_first);
        Ok(candidates)
    }

    /// Who rows are of, one answer a row; `None` for a subject that was erased meanwhile.
    pub(super) fn candidates(
        &self,
        ranked: &[(f32, RowId)],
        links: &[LinkKind],
    ) -> Result<Vec<Option<Candidate>>, NodeError> {
        let ids: Vec<RowId> = ranked.iter().map(|(_, id)| *id).collect();
        let known = self
            .store
            .candidates(&ids, links)
            .map_err(|error| self.storage_error(&error))?;
        let candidate = |((score, _), info): (&(f32, RowId), Option<CandidateInfo>)| {
            info.map(|info| Candidate {
                subject_id: info.subject_id,
                subject_since: info.created_at,
                hand: info.hand,
                score: *score,
                links: info.links,
            })
        };
        Ok(ranked.iter().zip(known).map(candidate).collect())
    }

    pub(super) fn check_dimension(&self, values: &[f32]) -> Result<(), NodeError> {
        let dimension = self.spec.dimension.get();
        if values.len() == dimension {
            return Ok(());
        }
        Err(NodeError::Rejected(crate::model::reject::Rejected::new(
            "probe",
            format!(
                "has {} coordinates; the tenant's dimension is {dimension}",
                values.len()
            ),
        )))
    }
}

/// Tells how long the survivors of a probe took, from `started` until now.
pub(super) fn rescored(started: Instant) {
    let took = started.elapsed();
    metrics::histogram!(telemetry::RESCORE_SECONDS).record(took);
    traces::took(Stage::Rescore, started, took);
}

/// Ends what nobody waits for any more.
pub(super) fn in_time(deadline: Option<Instant>) -> Result<(), NodeError> {
    match deadline {
        Some(deadline) if deadline <= Instant::now() => Err(NodeError::DeadlineExceeded),
        _ => Ok(()),
    }
}
