//! Stage 2 on the CPU: what all kernels share. The GPU twin is `shaders/refine.wgsl`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use std::sync::atomic::{AtomicUsize, Ordering};

use zeroize::Zeroize;

use crate::engine::SURVIVORS_MAX;
use crate::engine::bound::QuantizedProbe;
use crate::engine::config::Kernel;
use crate::engine::error::EngineError;
use crate::engine::gallery::{PageView, TILE_ROWS};
use crate::model::signature::Dimension;

/// Scans pages for all probes of a batch.
pub(in crate::engine) type PagesFn = fn(&[PageView<'_>], &Batch, &mut Hits<'_>);

/// The scan of a kernel; an error if this processor doesn't run it.
pub(in crate::engine) fn pages_fn(kernel: Kernel) -> Result<PagesFn, EngineError> {
    if !kernel.is_supported() {
        return Err(EngineError::KernelUnsupported(kernel.name().to_owned()));
    }
    match kernel {
        Kernel::Portable => Ok(portable::pages),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => Ok(avx2::pages),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512 => Ok(avx512::pages),
        #[cfg(not(target_arch = "x86_64"))]
        Kernel::Avx2 | Kernel::Avx512 => Err(EngineError::KernelUnsupported(kernel.name().to_owned())),
    }
}

/// The probes of a batch in the order in which nibbles come out of a 32-bit word: for each eight coordinates the four even ones
/// (low nibbles of the four bytes), then the four odd ones. Wiped when dropped.
pub(in crate::engine) struct Batch {
    /// Coordinates of a probe.
    dim: usize,
    /// 8-bit coordinates, probe after probe.
    values: Vec<i8>,
    /// Figures of each probe.
    figures: Vec<Figures>,
}

/// What an epilogue needs of a probe.
#[derive(Clone, Copy)]
struct Figures {
    offset: i32,
    weight: f32,
    limit: f32,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

impl Batch {
    pub(in crate::engine) fn new(dim: Dimension, probes: &[&QuantizedProbe]) -> Self {
        let dim = dim.get();
        let mut values = Vec::with_capacity(dim * probes.len());
        for probe in probes {
            assert_eq!(probe.values.len(), dim, "probe and gallery have one dimension");
            for [a, b, c, d, e, f, g, h] in probe.values.as_chunks().0 {
                values.extend_from_slice(&[*a, *c, *e, *g, *b, *d, *f, *h]);
            }
        }
        let figures = probes
            .iter()
            .map(|probe| Figures {
                offset: probe.offset,
                weight: probe.weight,
                limit: probe.limit,
            })
            .collect();
        Self { dim, values, figures }
    }
}

/// Survivors of each probe so far, counted by all tasks together.
pub(in crate::engine) struct Counts(Vec<AtomicUsize>);

impl Counts {
    pub(in crate::engine) fn new(probes: usize) -> Self {
        Self((0..probes).map(|_| AtomicUsize::new(0)).collect())
    }

    pub(in crate::engine) fn totals(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|count| count.load(Ordering::Relaxed))
    }
}

/// Survivors that one task found; no more than [`SURVIVORS_MAX`] of a probe are kept by all tasks together.
pub(in crate::engine) struct Hits<'a> {
    counts: &'a Counts,
    rows: Vec<(u32, u32)>,
}

impl<'a> Hits<'a> {
    pub(in crate::engine) fn new(counts: &'a Counts) -> Self {
        Self {
            counts,
            rows: Vec::new(),
        }
    }

    /// Pairs of probe and row.
    pub(in crate::engine) fn into_rows(self) -> Vec<(u32, u32)> {
        self.rows
    }

    /// Bit i of `mask` says that row `first_row + i` survived for `probe`.
    #[inline]
    fn add(&mut self, probe: usize, first_row: u32, mask: u32) {
        if mask != 0 {
            self.keep(probe, first_row, mask);
        }
    }

    #[cold]
    fn keep(&mut self, probe: usize, first_row: u32, mut mask: u32) {
        let number = u32::try_from(probe).expect("a batch has few probes");
        let Some(count) = self.counts.0.get(probe) else {
            return;
        };
        if count.fetch_add(mask.count_ones() as usize, Ordering::Relaxed) > SURVIVORS_MAX {
            return;
        }
        while mask != 0 {
            self.rows.push((number, first_row + mask.trailing_zeros()));
            mask &= mask - 1;
        }
    }
}

/// Number of tiles of a page.
fn tiles(page: &PageView<'_>) -> usize {
    page.scale.len() / TILE_ROWS
}

#[cfg(test)]
#[path = "refine_tests.rs"]
mod tests;
