//! Stage 2 on the CPU: what all kernels share. The GPU twin is `shaders/refine.wgsl`.
//!
//! A row survives where s·I + w·r ≥ l, with I = 2·X − offset and X = Σ pᵢ·uᵢ. Kernels that take whole blocks of rows compare X with the smallest
//! that any row of the block could survive with, and look closer only where that is reached.

#[cfg(target_arch = "x86_64")]
pub(in crate::engine) mod amx;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
mod block;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod listed;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(super) mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;

use std::sync::atomic::{AtomicUsize, Ordering};

use zeroize::Zeroize;

use crate::engine::SURVIVORS_MAX;
use crate::engine::bound::QuantizedProbe;
use crate::engine::gallery::{Figure, PageView};
use crate::model::signature::Dimension;

/// Scans pages for all probes of a batch.
pub(in crate::engine) type PagesFn = fn(&[PageView<'_>], &Batch, &mut Hits<'_>);
/// Looks at some rows of a page, by position, for one probe of a batch.
pub(in crate::engine) type RowsFn = fn(&PageView<'_>, &[u16], &Batch, usize, &mut Hits<'_>);

/// How a kernel wants the probes of a batch, beside the order of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(in crate::engine) enum Layout {
    /// In 16 bits.
    Wide,
    /// In the order of 64-byte vectors.
    Vectors,
    /// In that and in tiles of 16 probes for AMX.
    #[cfg(target_arch = "x86_64")]
    Tiles,
}

/// The probes of a batch. Wiped when dropped.
///
/// The order of words is that in which nibbles come out of a 32-bit word: for each eight coordinates the four even ones (low nibbles of the four
/// bytes), then the four odd ones. The order of vectors is the same for 64 bytes: for each 128 coordinates the even ones, then the odd ones.
pub(in crate::engine) struct Batch {
    /// Coordinates of a probe.
    dim: usize,
    /// 8-bit coordinates, probe after probe, in the order of words.
    values: Vec<i8>,
    /// The same in 16 bits, the even coordinates of a probe before its odd ones.
    wide: Vec<i16>,
    /// The same in the order of vectors, zeros behind the last coordinate.
    vectors: Vec<Vector>,
    /// The same for AMX, see `amx`.
    tiles: Vec<Vector>,
    /// Figures of the probes, a column each.
    offsets: Vec<i32>,
    weights: Vec<f32>,
    limits: Vec<f32>,
}

/// 64 coordinates, or a row of an AMX tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Vector([i8; VECTOR_LEN]);

/// Bytes of a vector.
const VECTOR_LEN: usize = 64;

/// What an epilogue needs of a probe.
#[derive(Clone, Copy)]
struct Figures {
    offset: i32,
    weight: f32,
    limit: f32,
}

impl Figures {
    /// Whether a row survives: the statement that every kernel repeats.
    #[expect(clippy::cast_precision_loss, reason = "below 2^24, so exact")]
    #[inline]
    fn survives(&self, figure: Figure, dot: i32) -> bool {
        figure.scale() * (2 * dot - self.offset) as f32 + self.weight * figure.residual() >= self.limit
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.values.zeroize();
        self.wide.zeroize();
        for vector in self.vectors.iter_mut().chain(&mut self.tiles) {
            vector.0.zeroize();
        }
    }
}

impl Batch {
    pub(in crate::engine) fn new(dim: Dimension, probes: &[&QuantizedProbe], layout: Layout) -> Self {
        let dim = dim.get();
        let mut values = Vec::with_capacity(dim * probes.len());
        for probe in probes {
            assert_eq!(probe.values.len(), dim, "probe and gallery have one dimension");
            for [a, b, c, d, e, f, g, h] in probe.values.as_chunks().0 {
                values.extend_from_slice(&[*a, *c, *e, *g, *b, *d, *f, *h]);
            }
        }
        // Filled in place: what grows leaves copies behind.
        let mut wide = Vec::new();
        if layout == Layout::Wide {
            wide.reserve_exact(dim * probes.len());
            for probe in probes {
                wide.extend(widened(&probe.values));
            }
        }
        let mut batch = Self {
            dim,
            values,
            wide,
            vectors: Vec::new(),
            tiles: Vec::new(),
            offsets: probes.iter().map(|probe| probe.offset).collect(),
            weights: probes.iter().map(|probe| probe.weight).collect(),
            limits: probes.iter().map(|probe| probe.limit).collect(),
        };
        if layout >= Layout::Vectors {
            let len = vectors_len(dim);
            batch.vectors = vec![Vector([0; VECTOR_LEN]); len * probes.len()];
            for (probe, vectors) in probes.iter().zip(batch.vectors.chunks_exact_mut(len)) {
                fill(vectors, &probe.values);
            }
        }
        #[cfg(target_arch = "x86_64")]
        if layout >= Layout::Tiles {
            batch.tiles = amx::tiles(&batch);
        }
        batch
    }

    /// Vectors of one probe.
    fn vectors_of(&self, probe: usize) -> &[Vector] {
        let len = vectors_len(self.dim);
        &self.vectors[probe * len..(probe + 1) * len]
    }

    /// Number of probes.
    pub(in crate::engine) fn len(&self) -> usize {
        self.limits.len()
    }

    /// Figures of one probe.
    #[inline]
    fn figures_of(&self, probe: usize) -> Figures {
        Figures {
            offset: self.offsets[probe],
            weight: self.weights[probe],
            limit: self.limits[probe],
        }
    }
}

/// A probe in 16 bits: the even coordinates, then the odd ones.
fn widened(values: &[i8]) -> impl Iterator<Item = i16> {
    let half = |first: usize| {
        values
            .iter()
            .skip(first)
            .step_by(2)
            .map(|value| i16::from(*value))
    };
    half(0).chain(half(1))
}

/// Vectors of a probe: two for each 64 bytes of a row.
fn vectors_len(dim: usize) -> usize {
    dim.div_ceil(2 * VECTOR_LEN) * 2
}

/// Puts a probe into vectors in their order.
fn fill(vectors: &mut [Vector], values: &[i8]) {
    for ([even, odd], values) in vectors
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip(values.chunks(2 * VECTOR_LEN))
    {
        for ((even, odd), [a, b]) in even.0.iter_mut().zip(&mut odd.0).zip(values.as_chunks().0) {
            (*even, *odd) = (*a, *b);
        }
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

    /// Takes the rows from `position` on whose sums reach what their own figures ask for.
    #[cfg(target_arch = "x86_64")]
    fn take(&mut self, page: &PageView<'_>, position: usize, sums: &[i32], probe: usize, own: Figures) {
        use crate::engine::gallery::TILE_ROWS;

        let first_row = row_number(page, position);
        for (group, (sums, figures)) in sums
            .chunks(TILE_ROWS)
            .zip(page.figures[position..].chunks(TILE_ROWS))
            .enumerate()
        {
            let mut mask = 0;
            for (i, (sum, figure)) in sums.iter().zip(figures).enumerate() {
                mask |= u32::from(own.survives(*figure, *sum)) << i;
            }
            let group = u32::try_from(group * TILE_ROWS).expect("a page has few rows");
            self.add(probe, first_row + group, mask);
        }
    }

    /// Bit i of `mask` says that the row at the i-th position survived for `probe`.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[cold]
    fn add_listed<const N: usize>(
        &mut self,
        page: &PageView<'_>,
        probe: usize,
        positions: [u16; N],
        mask: u32,
    ) {
        for (i, position) in positions.into_iter().enumerate() {
            self.add(probe, row_number(page, usize::from(position)), mask >> i & 1);
        }
    }

    /// Takes the row at a position if its sum reaches what its figures ask for.
    #[inline]
    fn take_row(&mut self, page: &PageView<'_>, position: usize, sum: i32, probe: usize, own: Figures) {
        let survives = own.survives(page.figures[position], sum);
        self.add(probe, row_number(page, position), u32::from(survives));
    }
}

/// Number of a row of a page.
#[inline]
fn row_number(page: &PageView<'_>, position: usize) -> u32 {
    page.first_row + u32::try_from(position).expect("a page has few rows")
}

#[cfg(test)]
#[path = "refine_tests.rs"]
mod tests;
