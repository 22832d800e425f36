//! Device memory for the rows of one dimension: slabs of blocks that galleries share. Knows no gallery and uploads nothing.
//!
//! A slab is four buffers, one a plane, none longer than a binding may be. Room is given out in runs of consecutive blocks, so that a gallery
//! grows by adding to it and is never copied, and small galleries take no buffers of their own.

use std::ops::Range;

use wgpu::{BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, Buffer, BufferUsages};

use crate::engine::backend::BackendError;

use super::device::Device;
use super::planes::Shape;

/// Bytes of the smallest slab: dispatches are per slab, and each costs some microseconds.
const SLAB_LEN_MIN: u64 = 8 << 20;
/// An allocation is split over gaps of at least this share of it, so that a gallery doesn't become a heap of crumbs.
const SHARE_MIN: u32 = 8;
/// What a plane is used for. Nothing but tests copies from it.
const STORAGE: BufferUsages = if cfg!(test) {
    BufferUsages::STORAGE
        .union(BufferUsages::COPY_DST)
        .union(BufferUsages::COPY_SRC)
} else {
    BufferUsages::STORAGE.union(BufferUsages::COPY_DST)
};
const LABELS: [&str; 4] = ["signs", "refinement", "figures", "alphas"];

/// Consecutive blocks of a slab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Number of the slab in its pool.
    pub(super) slab: usize,
    pub(super) blocks: Range<u32>,
}

impl Run {
    pub(super) fn len(&self) -> u32 {
        self.blocks.end - self.blocks.start
    }
}

/// Buffers and the blocks of them that are free.
pub(super) struct Slab {
    /// One a plane.
    pub(super) buffers: [Buffer; 4],
    pub(super) bind_group: BindGroup,
    gaps: Gaps,
}

/// Free blocks of a slab.
struct Gaps {
    blocks: u32,
    /// Ascending; no two touch.
    ranges: Vec<Range<u32>>,
}

/// All slabs of a dimension.
pub(super) struct Pool {
    pub(super) shape: Shape,
    /// A slab that became free leaves its place empty.
    slabs: Vec<Option<Slab>>,
    /// Blocks of a new slab.
    blocks_min: u32,
    blocks_max: u32,
}

impl Pool {
    pub(super) fn new(device: &Device, shape: Shape) -> Self {
        let longest = shape.block_lens().into_iter().max().unwrap_or(1);
        let blocks = |len: u64, of: u64| u32::try_from(len / of).unwrap_or(u32::MAX).max(1);
        let blocks_max = blocks(device.buffer_len_max(), longest);
        Self {
            shape,
            slabs: Vec::new(),
            blocks_min: blocks(SLAB_LEN_MIN, shape.block_len()).min(blocks_max),
            blocks_max,
        }
    }

    pub(super) fn slab(&self, number: usize) -> &Slab {
        self.slabs
            .get(number)
            .and_then(Option::as_ref)
            .expect("a slab stays while a run lies in it")
    }

    /// Whether no slab is left.
    pub(super) fn is_empty(&self) -> bool {
        self.slabs.iter().all(Option::is_none)
    }

    /// Gives out blocks, in few runs. The rows in them are dead. Nothing is taken when memory is refused.
    pub(super) fn allocate(
        &mut self,
        device: &Device,
        layout: &BindGroupLayout,
        blocks: u32,
    ) -> Result<Vec<Run>, BackendError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut missing = blocks;
        while missing > 0 {
            if let Some(run) = self.take(missing, blocks) {
                missing -= run.len();
                runs.push(run);
            } else if let Err(error) = self.extend(device, layout, missing) {
                for run in runs {
                    self.give_back(&run);
                }
                return Err(error);
            }
        }
        Ok(runs)
    }

    /// Takes blocks back whose planes have been zeroed; a slab without any in use is dropped.
    pub(super) fn give_back(&mut self, run: &Run) {
        let Some(place) = self.slabs.get_mut(run.slab) else {
            return;
        };
        if let Some(slab) = place {
            slab.gaps.add(run.blocks.clone());
            if slab.gaps.is_whole() {
                *place = None;
            }
        }
    }

    /// The first gap that holds all of it, else the largest one that is not too small.
    fn take(&mut self, missing: u32, wanted: u32) -> Option<Run> {
        let gaps = || {
            let slabs = self.slabs.iter().enumerate();
            slabs.flat_map(|(number, slab)| {
                let ranges = slab.iter().flat_map(|slab| &slab.gaps.ranges);
                ranges.map(move |range| (number, range.clone()))
            })
        };
        let len = |(_, range): &(usize, Range<u32>)| range.end - range.start;
        let (slab, range) = gaps().find(|gap| len(gap) >= missing).or_else(|| {
            gaps()
                .max_by_key(len)
                .filter(|gap| len(gap) >= wanted.div_ceil(SHARE_MIN))
        })?;
        let blocks = range.start..range.start + missing.min(range.end - range.start);
        self.slabs.get_mut(slab)?.as_mut()?.gaps.remove(&blocks);
        Some(Run { slab, blocks })
    }

    /// Adds a slab: as large as all others together or as what is missing, so that there are few of them; smaller where memory is short.
    fn extend(
        &mut self,
        device: &Device,
        layout: &BindGroupLayout,
        missing: u32,
    ) -> Result<(), BackendError> {
        let held: u32 = self.slabs.iter().flatten().map(|slab| slab.gaps.blocks).sum();
        let mut blocks = missing.max(held).max(self.blocks_min).min(self.blocks_max);
        let slab = loop {
            match Slab::new(device, layout, self.shape, blocks) {
                Ok(slab) => break slab,
                Err(BackendError::OutOfMemory { .. }) if blocks / 2 >= self.blocks_min => blocks /= 2,
                Err(error) => return Err(error),
            }
        };
        match self.slabs.iter_mut().find(|slab| slab.is_none()) {
            Some(place) => *place = Some(slab),
            None => self.slabs.push(Some(slab)),
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, blocks_min: u32, blocks_max: u32) {
        self.blocks_min = blocks_min;
        self.blocks_max = blocks_max;
    }
}

impl Slab {
    fn new(
        device: &Device,
        layout: &BindGroupLayout,
        shape: Shape,
        blocks: u32,
    ) -> Result<Self, BackendError> {
        let [signs, refinement, figures, alphas] = shape.block_lens().map(|len| len * u64::from(blocks));
        let [label_signs, label_refinement, label_figures, label_alphas] = LABELS;
        let buffers = [
            device.buffer(label_signs, signs, STORAGE)?,
            device.buffer(label_refinement, refinement, STORAGE)?,
            device.buffer(label_figures, figures, STORAGE)?,
            device.buffer(label_alphas, alphas, STORAGE)?,
        ];
        let entries: Vec<BindGroupEntry<'_>> = (0..)
            .zip(&buffers)
            .map(|(binding, buffer)| BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = device.raw().create_bind_group(&BindGroupDescriptor {
            label: Some("slab"),
            layout,
            entries: &entries,
        });
        Ok(Self {
            buffers,
            bind_group,
            gaps: Gaps::new(blocks),
        })
    }
}

impl Gaps {
    #[expect(clippy::single_range_in_vec_init, reason = "one gap is meant")]
    fn new(blocks: u32) -> Self {
        Self {
            blocks,
            ranges: vec![0..blocks],
        }
    }

    fn is_whole(&self) -> bool {
        self.ranges.first() == Some(&(0..self.blocks))
    }

    /// Adds blocks that are no gap yet, and joins them with their neighbours.
    fn add(&mut self, mut blocks: Range<u32>) {
        let at = self.ranges.partition_point(|range| range.end < blocks.start);
        while let Some(next) = self.ranges.get(at).filter(|next| next.start <= blocks.end) {
            blocks = blocks.start.min(next.start)..blocks.end.max(next.end);
            self.ranges.remove(at);
        }
        self.ranges.insert(at, blocks);
    }

    /// Removes blocks from the beginning of a gap.
    fn remove(&mut self, blocks: &Range<u32>) {
        let Some(at) = self.ranges.iter().position(|range| range.start == blocks.start) else {
            unreachable!("blocks are taken from the beginning of a gap");
        };
        let gap = self.ranges.get_mut(at).expect("just found");
        gap.start = blocks.end;
        if gap.start == gap.end {
            self.ranges.remove(at);
        }
    }
}

#[cfg(test)]
#[path = "slab_tests.rs"]
mod tests;
