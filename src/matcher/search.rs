//! Search: a scan over codes, then the exact canonical score of each survivor, best reference a subject. Scores nothing that is not stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use half::f16;

use super::apply::exact_values;
use super::error::engine_error;
use super::import::blocking;
use super::node::{CompareQuery, NodeError, SearchQuery};
use super::scorers::Scorers;
use super::searched::Searched;
use super::tenant::Tenant;
use crate::engine::{ScanRequest, Survivors, canonical};
use crate::model::decision::{CANDIDATES_MAX, Candidate, Certificate, SearchAnswer};
use crate::model::id::SubjectId;
use crate::model::link::LinkKind;
use crate::model::reject::Rejected;
use crate::model::signature::{Dimension, Signature};
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
        let _searching = Counted::one_more(&self.searching);
        search(Arc::clone(&self), query, scorers).await
    }

    /// Refuses as a search would now.
    pub(super) fn check_room(&self, deadline: Option<Instant>) -> Result<(), NodeError> {
        let room = self.engine.check_room(self.gallery, deadline);
        room.map_err(|error| engine_error(&self.spec.id, &error))
    }

    /// The best score among a subject's references.
    pub(super) fn compare(&self, query: &CompareQuery) -> Result<f32, NodeError> {
        self.check_transform(&query.transform)?;
        self.check()?;
        check_dimension(&query.probe, self.spec.dimension)?;
        in_time(query.deadline)?;
        let unknown = || NodeError::SubjectUnknown(query.tenant.clone());
        let places = self.places_of(&query.subject_id)?.ok_or_else(unknown)?;
        let mut best: Option<f32> = None;
        score_each(self, query.probe.values(), &places, |_, score| {
            best = Some(best.map_or(score, |best| best.max(score)));
        })?;
        best.ok_or_else(unknown)
    }
}

/// One of several at once, counted as long as this is there.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    /// Counts one more.
    pub(super) fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the scans for one question found: of each gallery in turn.
pub(super) struct Found {
    /// Rows to be scored exactly.
    pub(super) survivors: Vec<Survivors>,
    /// Live rows that were searched.
    pub(super) rows: u64,
    /// Who scanned.
    pub(super) backend: String,
    /// By the galleries whose survivors were listed: of the others every row is scored, so that none is dismissed.
    pub(super) certificate: Certificate,
}

/// Everybody in these rows at or above the threshold, best first.
pub(super) async fn search<S: Searched>(
    rows: Arc<S>,
    query: SearchQuery,
    scorers: &Scorers,
) -> Result<SearchAnswer, NodeError> {
    check_dimension(&query.probe, rows.dimension())?;
    if let Some(subject) = query.only.clone() {
        return scorers
            .run(move || search_one(rows.as_ref(), &query, &subject))
            .await;
    }
    let threshold = query.threshold;
    let found = scan(
        rows.as_ref(),
        &query.probe,
        threshold,
        query.deterministic,
        query.deadline,
    )
    .await?;
    let count = |survivors: &Survivors| match survivors {
        Survivors::Rows(rows) => rows.len(),
        Survivors::All => usize::MAX,
    };
    let survivors = found.survivors.iter().map(count).fold(0, usize::saturating_add);
    let score = move || {
        let mut places = places(rows.as_ref(), &found.survivors);
        if places.is_empty() {
            places.extend(some_place(rows.as_ref(), query.probe.values()));
        }
        Ok(SearchAnswer {
            candidates: rescore(rows.as_ref(), &query, &places)?,
            certificate: found.certificate,
            backend: found.backend,
            searched: found.rows,
        })
    };
    if survivors <= ROWS_SHORT_MAX {
        scorers.run(score).await
    } else {
        blocking(score).await
    }
}

/// A row to be scored where none survived, so that the time of an answer doesn't tell whether one did: that begins far below the threshold, where
/// nobody counts tries. Which one hangs on the probe, as that of a survivor does.
fn some_place(rows: &impl Searched, probe: &[f32]) -> Option<Place> {
    rows.any_place(probe.iter().fold(0_u32, |mixed, value| {
        mixed.rotate_left(5).wrapping_mul(0x9E37_79B9) ^ value.to_bits()
    }))
}

/// One subject, at or above the threshold or not.
fn search_one<S: Searched>(
    rows: &S,
    query: &SearchQuery,
    subject: &SubjectId,
) -> Result<SearchAnswer, NodeError> {
    in_time(query.deadline)?;
    let unknown = || NodeError::SubjectUnknown(rows.id().clone());
    let places = rows.places_of(subject)?.ok_or_else(unknown)?;
    Ok(SearchAnswer {
        candidates: rescore(rows, query, &places)?,
        certificate: Certificate::Deterministic,
        backend: rows.engine().backend(),
        searched: places.len() as u64,
    })
}

/// One scan of each gallery, all handed in together, counted.
pub(super) async fn scan(
    rows: &impl Searched,
    probe: &Signature,
    threshold: f32,
    deterministic: bool,
    deadline: Option<Instant>,
) -> Result<Found, NodeError> {
    let probe: Arc<[f32]> = probe.values().into();
    let request = |gallery| ScanRequest {
        gallery,
        probe: Arc::clone(&probe),
        threshold,
        deterministic,
        deadline,
    };
    let requests: Vec<ScanRequest> = rows.galleries().into_iter().map(request).collect();
    let mut found = Found {
        survivors: Vec::with_capacity(requests.len()),
        rows: 0,
        backend: String::new(),
        certificate: Certificate::Deterministic,
    };
    for scanned in rows.engine().scan_batch(&requests).await {
        let scanned = scanned.map_err(|error| engine_error(rows.id(), &error))?;
        metrics::counter!(telemetry::ROWS_SEARCHED).increment(scanned.rows);
        let waited = scanned.begun.saturating_duration_since(scanned.since);
        traces::took(Stage::Queue, scanned.since, waited);
        traces::took(Stage::Scan, scanned.begun, scanned.took);
        found.rows += scanned.rows;
        if found.backend.is_empty() {
            found.backend = scanned.backend.to_string();
        }
        // One engine skips with one probability.
        if scanned.survivors != Survivors::All && scanned.certificate != Certificate::Deterministic {
            found.certificate = scanned.certificate;
        }
        found.survivors.push(scanned.survivors);
    }
    if requests.is_empty() {
        found.backend = rows.engine().backend();
    }
    Ok(found)
}

fn rescore(rows: &impl Searched, query: &SearchQuery, places: &[Place]) -> Result<Vec<Candidate>, NodeError> {
    let started = Instant::now();
    let mut best: HashMap<u64, (f32, RowId)> = HashMap::new();
    score_all(rows, query.probe.values(), places, query.deadline, |id, score| {
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
    let known = candidates(rows, &ranked, &query.links)?;
    let mut candidates: Vec<Candidate> = known.into_iter().flatten().collect();
    candidates.sort_by(Candidate::best_first);
    rescored(started);
    Ok(candidates)
}

/// Where the rows are that scans left over, of each gallery in turn.
pub(super) fn places(rows: &impl Searched, survivors: &[Survivors]) -> Vec<Place> {
    let mut places = Vec::new();
    for (gallery, survivors) in survivors.iter().enumerate() {
        if *survivors == Survivors::All {
            metrics::counter!(telemetry::EXHAUSTIVE).increment(1);
        }
        places.append(&mut rows.places(gallery, survivors));
    }
    metrics::counter!(telemetry::SURVIVORS).increment(places.len() as u64);
    places
}

/// Reads and scores rows, some at a time, as long as somebody waits for them.
pub(super) fn score_all(
    rows: &impl Searched,
    probe: &[f32],
    places: &[Place],
    deadline: Option<Instant>,
    mut each: impl FnMut(RowId, f32),
) -> Result<(), NodeError> {
    for chunk in places.chunks(ROWS_PER_READ_MAX) {
        in_time(deadline)?;
        score_each(rows, probe, chunk, &mut each)?;
    }
    Ok(())
}

/// Reads rows and scores them; a row that was erased meanwhile is passed over.
fn score_each(
    rows: &impl Searched,
    probe: &[f32],
    places: &[Place],
    mut each: impl FnMut(RowId, f32),
) -> Result<(), NodeError> {
    for row in rows.read(places)?.into_iter().flatten() {
        each(row.id, score_of(probe, &row));
    }
    Ok(())
}

/// The canonical score of a row.
pub(super) fn score_of(probe: &[f32], row: &StoredRow) -> f32 {
    let bits = exact_values(&row.exact);
    let row: &[f16] = bytemuck::cast_slice(&bits);
    canonical::score(probe, row)
}

/// Who rows are of, one answer a row; `None` for a subject that was erased meanwhile.
pub(super) fn candidates(
    rows: &impl Searched,
    ranked: &[(f32, RowId)],
    links: &[LinkKind],
) -> Result<Vec<Option<Candidate>>, NodeError> {
    let ids: Vec<RowId> = ranked.iter().map(|(_, id)| *id).collect();
    let known = rows.describe(&ids, links)?;
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

/// Refuses a probe of another dimension than the rows have.
pub(super) fn check_dimension(probe: &Signature, dimension: Dimension) -> Result<(), NodeError> {
    let (came, dimension) = (probe.values().len(), dimension.get());
    if came == dimension {
        return Ok(());
    }
    let problem = format!("has {came} coordinates; the tenant's dimension is {dimension}");
    Err(Rejected::new("probe", problem).into())
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
