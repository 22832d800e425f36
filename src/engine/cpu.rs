//! The CPU backend: splits the pages of galleries over a pool of threads. Keeps nothing between scans.

pub(super) mod kernel;
pub(super) mod refine;
mod scan;
pub(super) mod sign;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::backend::{Backend, BackendError, Found, Work, survivors};
use super::config::Kernel;
use super::error::EngineError;
use super::gallery::{GalleryId, GalleryView, PageView};
use super::threads;
use kernel::Functions;
use refine::{Counts, Hits};
use scan::Prepared;

/// Pages that one task scans: 8,192 rows, a megabyte at 256 dimensions.
const TASK_PAGES: usize = 8;

/// Scans on the CPU.
pub(super) struct CpuBackend {
    pool: ThreadPool,
    functions: Functions,
    name: Arc<str>,
}

/// A piece of work on its way.
struct Running<'a> {
    pages: Vec<PageView<'a>>,
    prepared: &'a Prepared,
    counts: Counts,
}

impl CpuBackend {
    /// A backend with its own threads. The kernel must be supported by the processor.
    pub(super) fn new(kernel: Kernel, threads: usize) -> Result<Self, EngineError> {
        // First of all: threads that are there already may not get what it asks the system for.
        let functions = kernel::functions(kernel)?;
        let cores = threads::a_core_each(threads).unwrap_or_default();
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("thenar-scan-{i}"))
            .start_handler(move |i| {
                if let Some(core) = cores.get(i) {
                    threads::keep_on(*core);
                }
            })
            .build()
            .map_err(|error| EngineError::Memory(error.to_string()))?;
        Ok(Self {
            pool,
            functions,
            name: Arc::from(format!("cpu/{}", kernel.name())),
        })
    }

    /// Pairs of probe and row that a task found.
    fn task(&self, running: &Running<'_>, pages: &[PageView<'_>]) -> Vec<(u32, u32)> {
        let mut hits = Hits::new(&running.counts);
        running.prepared.scan(pages, &self.functions, &mut hits);
        hits.into_rows()
    }

    /// What the stages want of each work's batch: where the one before has the same probes, as where a tenant's segments are searched each by itself, the same as that one. And whose each is.
    fn prepare(&self, work: &[Work<'_>]) -> (Vec<Prepared>, Vec<usize>) {
        let mut distinct: Vec<&Work<'_>> = Vec::new();
        let mut of = Vec::with_capacity(work.len());
        for work in work {
            if distinct.last().is_none_or(|last| !Prepared::is_same(last, work)) {
                distinct.push(work);
            }
            of.push(distinct.len() - 1);
        }
        let prepare = |work: &&Work<'_>| Prepared::new(work, &self.functions);
        let prepared = match distinct.as_slice() {
            [work] => vec![prepare(work)],
            many => self.pool.install(|| many.par_iter().map(prepare).collect()),
        };
        (prepared, of)
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn update(
        &mut self,
        _gallery: GalleryView<'_>,
        _held: Range<u32>,
        _changed: &[Range<u32>],
    ) -> Result<(), BackendError> {
        Ok(())
    }

    fn forget(&mut self, _gallery: GalleryId) -> Result<(), BackendError> {
        Ok(())
    }

    fn scan(&mut self, work: &[Work<'_>]) -> Result<Vec<Found>, BackendError> {
        let (prepared, of) = self.prepare(work);
        let running: Vec<Running<'_>> = work
            .iter()
            .zip(of)
            .map(|(work, of)| Running {
                pages: work.gallery.pages(work.rows.clone()).collect(),
                prepared: prepared.get(of).expect("one is made for each"),
                counts: Counts::new(work.probes.len()),
            })
            .collect();
        let tasks: Vec<(usize, &[PageView<'_>])> = running
            .iter()
            .enumerate()
            .flat_map(|(index, running)| running.pages.chunks(TASK_PAGES).map(move |pages| (index, pages)))
            .collect();
        let run = |(index, pages): &(usize, &[PageView<'_>])| {
            let running = running.get(*index);
            (
                *index,
                running.map_or_else(Vec::new, |running| self.task(running, pages)),
            )
        };
        // A lone task costs no hand-over to another thread.
        let done: Vec<(usize, Vec<(u32, u32)>)> = match tasks.as_slice() {
            [task] => vec![run(task)],
            tasks => self.pool.install(|| tasks.par_iter().map(run).collect()),
        };
        Ok(collect(work, &running, done))
    }
}

/// Puts together what the tasks found.
fn collect(work: &[Work<'_>], running: &[Running<'_>], done: Vec<(usize, Vec<(u32, u32)>)>) -> Vec<Found> {
    let mut rows: Vec<Vec<Vec<u32>>> = work
        .iter()
        .map(|work| vec![Vec::new(); work.probes.len()])
        .collect();
    for (index, pairs) in done {
        let Some(rows) = rows.get_mut(index) else { continue };
        for (probe, row) in pairs {
            if let Some(rows) = rows.get_mut(probe as usize) {
                rows.push(row);
            }
        }
    }
    rows.into_iter()
        .zip(running)
        .map(|(rows, running)| Found {
            survivors: rows
                .into_iter()
                .zip(running.counts.totals())
                .map(|(rows, count)| survivors(rows, count))
                .collect(),
            by_sign: running.prepared.by_sign(),
        })
        .collect()
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
