//! One gallery in an engine, with its half-precision rows beside it: whole searches, from probes to the best row of each. Keeps no time.

use std::sync::Arc;

use half::f16;
use rayon::prelude::*;
use thenar::engine::code::Codes;
use thenar::engine::{Engine, EngineError, GalleryId, ScanRequest, Scanned, Survivors, canonical};
use thenar::model::decision::Certificate;
use thenar::model::signature::Dimension;
use tokio::runtime::Runtime;

use crate::Failure;
use crate::rows::{Rows, as_u64};

/// Rows handed to the engine at once.
pub const CHUNK_ROWS: usize = 65_536;
/// Survivors of a batch that one thread scores alone: fewer are scored before other threads have woken.
const SURVIVORS_ALONE_MAX: usize = 64;

/// A row and its canonical score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Number of the row.
    pub row: u32,
    /// Canonical score, at or above the threshold.
    pub score: f32,
}

/// What a search of one probe came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The best row at or above the threshold; the lower number of two equal ones.
    pub best: Option<Best>,
    /// Rows that were scored exactly.
    pub survivors: usize,
    /// What was proved of the others.
    pub certificate: Certificate,
}

/// A gallery that is searched.
pub struct Searched {
    engine: Engine,
    gallery: GalleryId,
    dim: Dimension,
    rows: Vec<f16>,
    runtime: Runtime,
}

/// How probes are searched.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Score from which on a row counts.
    pub threshold: f32,
    /// Whether rows may be dismissed only by a proof.
    pub deterministic: bool,
}

impl Searched {
    /// Makes `count` rows and hands their codes to the engine.
    pub fn new(engine: Engine, rows: Rows, count: usize) -> Result<Self, Failure> {
        let dim = rows.dimension();
        let mut values = vec![f16::ZERO; count * dim.get()];
        rows.fill(0, &mut values);
        Self::of(engine, dim, values)
    }

    /// Hands the codes of these rows, row-major, to the engine.
    pub fn of(engine: Engine, dim: Dimension, rows: Vec<f16>) -> Result<Self, Failure> {
        let gallery = engine.open_gallery(dim)?;
        for chunk in rows.chunks(CHUNK_ROWS * dim.get()) {
            engine.append(gallery, Codes::encode(dim, chunk))?;
        }
        Ok(Self {
            engine,
            gallery,
            dim,
            rows,
            runtime: runtime()?,
        })
    }

    /// All rows, row-major.
    pub fn values(&self) -> &[f16] {
        &self.rows
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Bytes of codes in host memory divided by rows.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    pub fn resident_bytes_per_row(&self) -> f64 {
        let rows = self.rows.len() / self.dim.get();
        self.engine.resident_bytes(self.gallery) as f64 / rows.max(1) as f64
    }

    /// Requests for a batch of probes.
    pub fn requests<'a>(
        &self,
        probes: impl Iterator<Item = &'a Arc<[f32]>>,
        search: Search,
    ) -> Vec<ScanRequest> {
        requests(self.gallery, probes, search)
    }

    /// Searches a batch: the scan, then the exact score of every survivor.
    pub fn search(&self, requests: &[ScanRequest]) -> Result<Vec<Outcome>, EngineError> {
        let scanned: Result<Vec<Scanned>, EngineError> = self
            .runtime
            .block_on(self.engine.scan_batch(requests))
            .into_iter()
            .collect();
        let scanned = scanned?;
        let count = |scanned: &Scanned| match &scanned.survivors {
            Survivors::Rows(rows) => rows.len(),
            Survivors::All => self.rows.len() / self.dim.get(),
        };
        let outcome = |(request, scanned): (&ScanRequest, &Scanned)| Outcome {
            best: self.best(request, &scanned.survivors),
            survivors: count(scanned),
            certificate: scanned.certificate,
        };
        if scanned.iter().map(count).sum::<usize>() <= SURVIVORS_ALONE_MAX {
            return Ok(requests.iter().zip(&scanned).map(outcome).collect());
        }
        Ok(requests.par_iter().zip(&scanned).map(outcome).collect())
    }

    /// Canonical score of a row; none of one that is not there.
    pub fn score(&self, probe: &[f32], row: u32) -> Option<f32> {
        let (at, dim) = (row as usize * self.dim.get(), self.dim.get());
        Some(canonical::score(probe, self.rows.get(at..at + dim)?))
    }

    fn best(&self, request: &ScanRequest, survivors: &Survivors) -> Option<Best> {
        let scored = |row: u32| {
            let score = self.score(&request.probe, row)?;
            (score >= request.threshold).then_some(Best { row, score })
        };
        match survivors {
            Survivors::Rows(rows) => rows.iter().copied().filter_map(scored).reduce(better),
            Survivors::All => {
                let rows = u32::try_from(self.rows.len() / self.dim.get()).expect("rows have 32-bit numbers");
                (0..rows).into_par_iter().filter_map(scored).reduce_with(better)
            }
        }
    }
}

/// Requests of one gallery for a batch of probes.
pub fn requests<'a>(
    gallery: GalleryId,
    probes: impl Iterator<Item = &'a Arc<[f32]>>,
    search: Search,
) -> Vec<ScanRequest> {
    let request = |probe: &Arc<[f32]>| ScanRequest {
        gallery,
        probe: Arc::clone(probe),
        threshold: search.threshold,
        deterministic: search.deterministic,
        deadline: None,
    };
    probes.map(request).collect()
}

/// Appends `count` seeded rows to a gallery from row number `first` of the seed on, and keeps none of them.
pub fn append(
    engine: &Engine,
    gallery: GalleryId,
    rows: Rows,
    first: u64,
    count: usize,
) -> Result<(), EngineError> {
    let dim = rows.dimension();
    let mut values = vec![f16::ZERO; count.min(CHUNK_ROWS) * dim.get()];
    for start in (0..count).step_by(CHUNK_ROWS) {
        let chunk = (count - start).min(CHUNK_ROWS);
        values.truncate(chunk * dim.get());
        rows.fill(first + as_u64(start), &mut values);
        engine.append(gallery, Codes::encode(dim, &values))?;
    }
    Ok(())
}

/// A runtime that waits on the calling thread.
pub fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().build()
}

fn better(a: Best, b: Best) -> Best {
    match a.score.total_cmp(&b.score) {
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Equal if b.row < a.row => b,
        _ => a,
    }
}

#[cfg(test)]
#[path = "gallery_tests.rs"]
mod tests;
