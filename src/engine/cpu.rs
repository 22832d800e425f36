//! The CPU backend: splits the pages of a gallery over a pool of threads. Keeps nothing between scans.

pub(super) mod refine;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::backend::{Backend, BackendError, Found, Work, survivors};
use super::config::Kernel;
use super::error::EngineError;
use super::gallery::{GalleryId, GalleryView, PageView};
use refine::{Batch, Counts, Hits};

/// Pages that one task scans: 8,192 rows, a megabyte at 256 dimensions.
const TASK_PAGES: usize = 8;

/// Scans on the CPU.
pub(super) struct CpuBackend {
    pool: ThreadPool,
    kernel: refine::PagesFn,
    name: Arc<str>,
}

impl CpuBackend {
    /// A backend with its own threads. The kernel must be supported by the processor.
    pub(super) fn new(kernel: Kernel, threads: usize) -> Result<Self, EngineError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("thenar-scan-{i}"))
            .build()
            .map_err(|error| EngineError::Memory(error.to_string()))?;
        Ok(Self {
            pool,
            kernel: refine::pages_fn(kernel)?,
            name: Arc::from(format!("cpu/{}", kernel.name())),
        })
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
        Ok(work.iter().map(|work| self.scan_one(work)).collect())
    }
}

impl CpuBackend {
    fn scan_one(&self, work: &Work<'_>) -> Found {
        let (gallery, probes) = (work.gallery, &work.probes);
        let pages: Vec<PageView<'_>> = gallery.pages(work.rows.clone()).collect();
        let batch = Batch::new(gallery.dim(), probes);
        let counts = Counts::new(probes.len());
        let kernel = self.kernel;
        let task = |pages: &[PageView<'_>]| {
            let mut hits = Hits::new(&counts);
            kernel(pages, &batch, &mut hits);
            hits.into_rows()
        };
        // A lone task costs no hand-over to another thread.
        let found: Vec<Vec<(u32, u32)>> = if pages.len() <= TASK_PAGES {
            vec![task(&pages)]
        } else {
            self.pool
                .install(|| pages.par_chunks(TASK_PAGES).map(task).collect())
        };
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); probes.len()];
        for (probe, row) in found.into_iter().flatten() {
            if let Some(rows) = rows.get_mut(probe as usize) {
                rows.push(row);
            }
        }
        let survivors = rows
            .into_iter()
            .zip(counts.totals())
            .map(|(rows, count)| survivors(rows, count))
            .collect();
        Found {
            survivors,
            by_sign: false,
        }
    }
}
