//! One side of many small tenants against one large one: rows, bytes and times of a process. Compares nothing.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thenar::engine::{Engine, EngineConfig, GalleryId, ScanRequest, Survivors};
use thenar::model::signature::Dimension;

use crate::gallery::{Search, append, requests, runtime};
use crate::machine::resident_bytes;
use crate::rows::{Probe, Rows, as_u64};
use crate::timing::{Patience, Samples};
use crate::{Failure, progress};

/// Neighbours in a batch are this many tenants apart, so that they don't lie side by side in memory.
const STRIDE: usize = 7_919;
/// Batches that differ.
const BATCHES: usize = 8;

/// Galleries of one size.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    /// How many galleries.
    pub galleries: usize,
    /// Rows of each.
    pub rows: usize,
    /// Dimension.
    pub dim: Dimension,
    /// Seed of the rows: both sides hold the same ones.
    pub seed: u64,
    /// How they are searched.
    pub search: Search,
}

/// What one side came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// Backend of the engine.
    pub kernel: String,
    /// Bytes of codes by the engine's account.
    pub resident_bytes: u64,
    /// Growth of the process's resident memory; none where the system doesn't tell.
    pub process_bytes: Option<f64>,
    /// One a batch size.
    pub batches: Vec<Timed>,
}

/// A batch of scans, each of another gallery where there are enough.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timed {
    /// Scans of the batch.
    pub batch: usize,
    /// Median, in milliseconds.
    pub ms: f64,
    /// Best, in milliseconds.
    pub min_ms: f64,
    /// Mates above the threshold that were searched.
    pub mates: usize,
    /// Those that survived.
    pub mates_found: usize,
}

/// Fills an engine and times batches.
pub fn measure(side: Side, config: EngineConfig, batches: &[usize]) -> Result<Measured, Failure> {
    let engine = Engine::start(config)?;
    let rows = Rows::new(side.seed, side.dim);
    let before = resident_bytes();
    let mut galleries = Vec::with_capacity(side.galleries);
    for number in 0..side.galleries {
        let gallery = engine.open_gallery(side.dim)?;
        append(&engine, gallery, rows, as_u64(number * side.rows), side.rows)?;
        galleries.push(gallery);
    }
    let process_bytes = resident_bytes().zip(before).map(|(after, before)| after - before);
    progress(format!(
        "{} galleries of {} rows are resident",
        side.galleries, side.rows
    ));
    let timed = batches
        .iter()
        .map(|batch| time(&engine, side, &galleries, *batch));
    Ok(Measured {
        kernel: engine.backend(),
        resident_bytes: galleries
            .iter()
            .map(|gallery| engine.resident_bytes(*gallery))
            .sum(),
        process_bytes,
        batches: timed.collect::<Result<_, _>>()?,
    })
}

fn time(engine: &Engine, side: Side, galleries: &[GalleryId], batch: usize) -> Result<Timed, Failure> {
    let sets: Vec<Vec<(ScanRequest, Option<u32>)>> = (0..BATCHES)
        .map(|set| one_batch(side, galleries, set * batch, batch))
        .collect();
    let runtime = runtime()?;
    let mut samples = Samples::default();
    let (mut mates, mut mates_found) = (0, 0);
    let patience = Patience {
        at_least: 20,
        at_most: usize::MAX,
        budget: Duration::from_secs(2),
    };
    patience.repeat(|repeat| {
        let (requests, expected): (Vec<ScanRequest>, Vec<Option<u32>>) = sets
            .get(repeat % BATCHES)
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .unzip();
        let scanned = samples.time(|| runtime.block_on(engine.scan_batch(&requests)));
        for (scanned, mate) in scanned.into_iter().zip(expected) {
            let survivors = scanned?.survivors;
            mates += usize::from(mate.is_some());
            mates_found += usize::from(mate.is_some_and(|mate| survives(&survivors, mate)));
        }
        Ok::<(), Failure>(())
    })?;
    let summary = samples.summary().ok_or("nothing was timed")?;
    Ok(Timed {
        batch,
        ms: summary.ms,
        min_ms: summary.min_ms,
        mates,
        mates_found,
    })
}

/// Requests and the rows that their mates have in their galleries, where they reach the threshold.
fn one_batch(
    side: Side,
    galleries: &[GalleryId],
    first: usize,
    batch: usize,
) -> Vec<(ScanRequest, Option<u32>)> {
    let rows = Rows::new(side.seed, side.dim);
    let one = |number: usize| {
        let tenant = number * STRIDE % galleries.len();
        let Probe { values, mate } = rows.probe(as_u64(number), as_u64(side.rows));
        // The same row of this tenant: the first tenant's rows have the lowest numbers.
        let Some(mate) = mate else {
            return (tenant, values, None);
        };
        let mated = rows.mated(as_u64(number), as_u64(tenant * side.rows) + mate);
        let reaches = rows.reaches(&mated, side.search.threshold);
        (tenant, mated.values, u32::try_from(mate).ok().filter(|_| reaches))
    };
    (first..first + batch)
        .map(one)
        .filter_map(|(tenant, values, mate)| {
            let mut requests = requests(
                *galleries.get(tenant)?,
                [&values as &Arc<[f32]>].into_iter(),
                side.search,
            );
            Some((requests.pop()?, mate))
        })
        .collect()
}

/// Whether a row is among the survivors.
pub fn survives(survivors: &Survivors, row: u32) -> bool {
    match survivors {
        Survivors::Rows(rows) => rows.binary_search(&row).is_ok(),
        Survivors::All => true,
    }
}

#[cfg(test)]
#[path = "tenants_tests.rs"]
mod tests;
