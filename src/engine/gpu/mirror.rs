//! The part of a gallery that the device holds: which rows, and in which blocks they lie. Scans nothing.

use std::ops::Range;

use wgpu::BindGroupLayout;

use crate::engine::backend::BackendError;
use crate::engine::gallery::GalleryView;

use super::device::Device;
use super::planes::{BLOCK_ROWS, Planes, Shape};
use super::slab::{Pool, Run};
use super::staging::{Staging, UPLOAD_LEN_MAX};

/// A gallery grows by this share of itself at least, so that one that grows row by row does not fall apart into blocks.
const GROWTH: u32 = 8;

/// What a change of a mirror needs.
pub(super) struct Tools<'a> {
    pub(super) device: &'a Device,
    pub(super) pool: &'a mut Pool,
    pub(super) layout: &'a BindGroupLayout,
    pub(super) staging: &'a mut Staging,
}

/// A gallery on the device.
pub(super) struct Mirror {
    pub(super) shape: Shape,
    /// Rows that are held; the first begins a block.
    pub(super) held: Range<u32>,
    /// Where they lie, in order; there may be room behind them.
    runs: Vec<Run>,
}

impl Mirror {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            held: 0..0,
            runs: Vec::new(),
        }
    }

    /// Holds these rows from now on, and follows the changes.
    pub(super) fn update(
        &mut self,
        tools: &mut Tools<'_>,
        gallery: GalleryView<'_>,
        held: Range<u32>,
        changed: &[Range<u32>],
    ) -> Result<(), BackendError> {
        let fresh = self.hold(tools, held)?;
        let blocks = |rows: &Range<u32>| {
            let (start, end) = (rows.start.max(self.held.start), rows.end.min(self.held.end));
            (start < end).then(|| start / BLOCK_ROWS..end.div_ceil(BLOCK_ROWS))
        };
        let mut ranges: Vec<Range<u32>> = fresh.iter().chain(changed).filter_map(blocks).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut done = 0;
        for range in ranges {
            self.upload(tools, gallery, range.start.max(done)..range.end)?;
            done = done.max(range.end);
        }
        Ok(())
    }

    /// Zeroes everything and gives the room back.
    pub(super) fn clear(&mut self, tools: &mut Tools<'_>) -> Result<(), BackendError> {
        self.held = 0..0;
        let runs = std::mem::take(&mut self.runs);
        release(tools, &runs)
    }

    /// Where these rows, all held, lie: runs of blocks and the number of the first row in each.
    pub(super) fn places(&self, rows: &Range<u32>) -> Vec<(Run, u32)> {
        if rows.is_empty() {
            return Vec::new();
        }
        let block = |row: u32| (row - self.held.start) / BLOCK_ROWS;
        let wanted = block(rows.start)..block(rows.end - 1) + 1;
        let mut places = Vec::new();
        let mut at = 0;
        for run in &self.runs {
            let (start, end) = (wanted.start.max(at), wanted.end.min(at + run.len()));
            if start < end {
                let blocks = run.blocks.start + (start - at)..run.blocks.start + (end - at);
                let first_row = self.held.start + start * BLOCK_ROWS;
                places.push((
                    Run {
                        slab: run.slab,
                        blocks,
                    },
                    first_row,
                ));
            }
            at += run.len();
        }
        places
    }

    /// Changes which rows are held. Returns those that have to be uploaded. When memory is refused, what was held is held still.
    fn hold(&mut self, tools: &mut Tools<'_>, held: Range<u32>) -> Result<Vec<Range<u32>>, BackendError> {
        let old = self.held.clone();
        if held == old {
            return Ok(Vec::new());
        }
        if held.start >= old.end || old.start >= held.end {
            self.clear(tools)?;
            self.runs = self.grow(tools, held.len())?;
            self.held = held.clone();
            return Ok(vec![held]);
        }
        let in_front = if held.start < old.start {
            tools
                .pool
                .allocate(tools.device, tools.layout, (old.start - held.start) / BLOCK_ROWS)?
        } else {
            Vec::new()
        };
        let room = old.start + self.runs.iter().map(Run::len).sum::<u32>() * BLOCK_ROWS;
        let behind = if held.end > room {
            match self.grow(tools, (room..held.end).len()) {
                Ok(runs) => runs,
                Err(error) => {
                    for run in &in_front {
                        tools.pool.give_back(run);
                    }
                    return Err(error);
                }
            }
        } else {
            Vec::new()
        };
        let mut gone = drop_blocks(
            &mut self.runs,
            held.start.saturating_sub(old.start) / BLOCK_ROWS,
            true,
        );
        let mut fresh = Vec::new();
        if held.end < old.end {
            let last = held.end.div_ceil(BLOCK_ROWS) * BLOCK_ROWS;
            gone.extend(drop_blocks(
                &mut self.runs,
                room.saturating_sub(last) / BLOCK_ROWS,
                false,
            ));
            // The rows that are no longer held leave the last block with this.
            fresh.push(held.end - 1..held.end);
        }
        self.runs.splice(0..0, in_front);
        self.runs.extend(behind);
        fresh.extend(
            [held.start..old.start, old.end..held.end]
                .into_iter()
                .filter(|rows| !rows.is_empty()),
        );
        self.held = held;
        release(tools, &gone)?;
        Ok(fresh)
    }

    /// Room for more rows: some to spare where there is enough, else just that.
    fn grow(&self, tools: &mut Tools<'_>, rows: usize) -> Result<Vec<Run>, BackendError> {
        let held: u32 = self.runs.iter().map(Run::len).sum();
        let blocks = u32::try_from(rows)
            .expect("rows are counted in 32 bits")
            .div_ceil(BLOCK_ROWS);
        let spare = blocks.max(held / GROWTH);
        let mut room = |blocks| tools.pool.allocate(tools.device, tools.layout, blocks);
        match room(spare) {
            Err(BackendError::OutOfMemory { .. }) if spare > blocks => room(blocks),
            other => other,
        }
    }

    /// Uploads blocks, counted from row 0 of the gallery.
    fn upload(
        &self,
        tools: &mut Tools<'_>,
        gallery: GalleryView<'_>,
        blocks: Range<u32>,
    ) -> Result<(), BackendError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let at_once = u32::try_from(UPLOAD_LEN_MAX / self.shape.block_len())
            .expect("fits")
            .max(1);
        let rows = blocks.start * BLOCK_ROWS..self.held.end.min(blocks.end.saturating_mul(BLOCK_ROWS));
        let mut planes = Planes::default();
        for (run, first_row) in self.places(&rows) {
            for start in run.blocks.clone().step_by(at_once as usize) {
                let part = Run {
                    slab: run.slab,
                    blocks: start..run.blocks.end.min(start + at_once),
                };
                planes.wipe();
                for block in part.blocks.clone() {
                    let first = first_row + (block - run.blocks.start) * BLOCK_ROWS;
                    planes.push(self.shape, gallery, first, self.held.end);
                }
                let slab = tools.pool.slab(part.slab);
                tools
                    .staging
                    .upload(tools.device, slab, &part, self.shape.block_lens(), &planes)?;
            }
        }
        tools.device.check()
    }
}

/// Takes blocks from the front or from the back of runs.
fn drop_blocks(runs: &mut Vec<Run>, mut count: u32, front: bool) -> Vec<Run> {
    let mut dropped = Vec::new();
    while count > 0
        && let Some(at) = if front { Some(0) } else { runs.len().checked_sub(1) }
        && let Some(run) = runs.get_mut(at)
    {
        let taken = count.min(run.len());
        let blocks = if front {
            let middle = run.blocks.start + taken;
            let blocks = run.blocks.start..middle;
            run.blocks.start = middle;
            blocks
        } else {
            let middle = run.blocks.end - taken;
            let blocks = middle..run.blocks.end;
            run.blocks.end = middle;
            blocks
        };
        dropped.push(Run {
            slab: run.slab,
            blocks,
        });
        if run.blocks.is_empty() {
            runs.remove(at);
        }
        count -= taken;
    }
    dropped
}

/// Zeroes runs, and gives them back once they are.
fn release(tools: &mut Tools<'_>, runs: &[Run]) -> Result<(), BackendError> {
    if runs.is_empty() {
        return Ok(());
    }
    let mut encoder = tools.device.encoder();
    for run in runs {
        let slab = tools.pool.slab(run.slab);
        for (buffer, len) in slab.buffers.iter().zip(tools.pool.shape.block_lens()) {
            encoder.clear_buffer(
                buffer,
                u64::from(run.blocks.start) * len,
                Some(u64::from(run.len()) * len),
            );
        }
    }
    tools.device.submit(encoder);
    tools.device.finish()?;
    for run in runs {
        tools.pool.give_back(run);
    }
    Ok(())
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
