//! Scans of a growing gallery on a GPU. Keeps no rows: those that survive are made again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rayon::prelude::*;
use thenar::engine::{BackendChoice, Engine, EngineConfig, GalleryId, Scanned, Survivors};
use thenar::model::signature::Dimension;
use tokio::runtime::Runtime;

use super::{Plan, Report, Timed};
use crate::gallery::{Search, append, requests, runtime};
use crate::rows::{Probe, Rows, as_u64};
use crate::tenants::survives;
use crate::timing::{Patience, Samples, Summary};
use crate::{Failure, progress};

/// Spreads of a stranger's score, 1/√D each, that the threshold is at.
const THRESHOLD_SPREADS: f32 = 6.4;
/// Batches of probes that differ.
const BATCHES: usize = 8;
/// Repeats that are made in any case.
const REPEATS_MIN: usize = 5;
/// Bytes of a row's figures, with some to spare.
const FIGURES_LEN: usize = 20;
/// Part of the free memory that codes may take, in percent.
const MEMORY_PERCENT_MAX: usize = 85;

/// What stays the same while a gallery grows.
struct Bench<'a> {
    plan: &'a Plan,
    rows: Rows,
    engine: Engine,
    gallery: GalleryId,
    runtime: Runtime,
}

/// Measures every size and batch of one dimension.
pub(super) fn measure(plan: &Plan, dim: Dimension, report: &mut Report) -> Result<(), Failure> {
    let batch_max = plan.batches.iter().copied().max().unwrap_or(1);
    let engine = Engine::start(EngineConfig {
        backend: BackendChoice::Gpu,
        batch_max,
        queue_max: batch_max * 4,
        resident_bytes_max: 1 << 42,
        ..EngineConfig::default()
    })?;
    report.backend = Some(engine.backend());
    let gallery = engine.open_gallery(dim)?;
    let bench = Bench {
        plan,
        rows: Rows::new(plan.seed, dim),
        engine,
        gallery,
        runtime: runtime()?,
    };
    let mut count = 0;
    for rows in &plan.rows {
        let what = format!("{rows} rows of {} dimensions", dim.get());
        if let Some(reason) = too_large(rows - count, dim) {
            report.skip(&what, reason);
            continue;
        }
        progress(format!("{}: {what}", bench.engine.backend()));
        if let Err(error) = append(&bench.engine, gallery, bench.rows, as_u64(count), rows - count) {
            report.skip(&what, error.to_string());
            break;
        }
        count = *rows;
        bench.sizes(count, report)?;
    }
    Ok(())
}

impl Bench<'_> {
    fn sizes(&self, count: usize, report: &mut Report) -> Result<(), Failure> {
        for batch in &self.plan.batches {
            let mut probes = self.rows.probes(batch * BATCHES, as_u64(count));
            let threshold = self.threshold()?;
            // A mate below the threshold is none to be found.
            probes.par_iter_mut().for_each(|probe| {
                probe.mate = probe.mate.filter(|_| self.rows.reaches(probe, threshold));
            });
            for deterministic in [false, true] {
                let timed = self.time(count, *batch, &probes, deterministic)?;
                progress(format!(
                    "  batch {batch:>4} {:>13}: {:>9.3} ms, {}",
                    if deterministic {
                        "deterministic"
                    } else {
                        "probabilistic"
                    },
                    timed.ms,
                    timed.backend
                ));
                report.results.push(timed);
            }
            report.write(self.plan)?;
        }
        Ok(())
    }

    fn threshold(&self) -> Result<f32, Failure> {
        Ok(THRESHOLD_SPREADS / f32::from(u16::try_from(self.rows.dimension().get())?).sqrt())
    }

    fn time(
        &self,
        count: usize,
        batch: usize,
        probes: &[Probe],
        deterministic: bool,
    ) -> Result<Timed, Failure> {
        let dim = self.rows.dimension().get();
        let search = Search {
            threshold: self.threshold()?,
            deterministic,
        };
        let values = |probes: &[Probe]| {
            requests(
                self.gallery,
                probes.iter().map(|probe| -> &Arc<[f32]> { &probe.values }),
                search,
            )
        };
        let sets: Vec<_> = probes
            .chunks_exact(batch)
            .map(|probes| (probes, values(probes)))
            .collect();
        let (mut samples, mut seen) = (Samples::default(), Seen::default());
        let patience = Patience {
            at_least: REPEATS_MIN,
            at_most: usize::MAX,
            budget: Duration::from_millis(self.plan.budget_ms),
        };
        // The last batch warms up.
        if let Some((_, requests)) = sets.last() {
            self.runtime.block_on(self.engine.scan_batch(requests));
        }
        patience.repeat(|repeat| {
            let (probes, requests) = sets.get(repeat % sets.len().max(1)).ok_or("there is no probe")?;
            let scanned = samples.time(|| self.runtime.block_on(self.engine.scan_batch(requests)));
            for (probe, scanned) in probes.iter().zip(scanned) {
                seen.add(probe, &scanned?, count);
            }
            Ok::<(), Failure>(())
        })?;
        let Summary { ms, min_ms, repeats } = samples.summary().ok_or("nothing was timed")?;
        Ok(Timed {
            rows: count,
            dim,
            batch,
            deterministic,
            backend: seen.backends.into_iter().collect::<Vec<_>>().join(" and "),
            ms,
            min_ms,
            repeats,
            sign_gb_s: gb_s(count * dim / 8, ms),
            refine_gb_s: gb_s(count * dim / 2, ms),
            survivors_mean: ratio(seen.survivors, seen.probes),
            mates: seen.mates,
            mates_found: seen.mates_found,
            certificate: seen.certificates.into_iter().collect::<Vec<_>>().join(" and "),
        })
    }
}

/// What the answers of a row of repeats had in them.
#[derive(Default)]
struct Seen {
    probes: usize,
    survivors: usize,
    mates: usize,
    mates_found: usize,
    backends: BTreeSet<String>,
    certificates: BTreeSet<String>,
}

impl Seen {
    fn add(&mut self, probe: &Probe, scanned: &Scanned, rows: usize) {
        self.probes += 1;
        self.survivors += match &scanned.survivors {
            Survivors::Rows(rows) => rows.len(),
            Survivors::All => rows,
        };
        if let Some(mate) = probe.mate {
            self.mates += 1;
            let survived = u32::try_from(mate).is_ok_and(|mate| survives(&scanned.survivors, mate));
            self.mates_found += usize::from(survived);
        }
        self.backends.insert(scanned.backend.to_string());
        self.certificates.insert(scanned.certificate.to_string());
    }
}

/// Why so many more rows don't fit into the host's memory; none where they do or where the system doesn't tell.
fn too_large(rows: usize, dim: Dimension) -> Option<String> {
    let needed = rows * (dim.get() / 2 + FIGURES_LEN);
    let free = crate::machine::free_bytes()? / 100 * MEMORY_PERCENT_MAX;
    (needed > free).then(|| format!("{needed} more bytes of host memory are needed; {free} are to be had"))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
fn gb_s(bytes: usize, ms: f64) -> f64 {
    bytes as f64 / ms / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows and probes")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
