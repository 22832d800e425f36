//! A gallery in GPU memory: chunks of rows, each a buffer of codes and one of figures, filled from the host's pages. Scans nothing.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use wgpu::{Buffer, BufferUsages};
use zeroize::Zeroize;

use crate::engine::backend::BackendError;
use crate::engine::code::Scale;
use crate::engine::gallery::GalleryView;
use crate::model::signature::Dimension;

use super::device::Device;
use super::refine::Params;

/// Rows of a block, and of a workgroup.
pub(super) const BLOCK_ROWS: u32 = 64;
/// Rows of a new gallery's first chunk; it doubles as it fills.
const CHUNK_ROWS_MIN: u32 = 1_024;
/// Rows of a chunk at most, so that the workgroups of one dispatch fit into the 65,535 of a dimension.
const CHUNK_ROWS_MAX: u32 = 65_535 / 2 * BLOCK_ROWS;
/// Bytes uploaded before they are submitted; wgpu keeps a copy of them until then.
const UPLOAD_LEN_MAX: usize = 32 << 20;
/// What a buffer of codes is used for.
const STORAGE: BufferUsages = BufferUsages::STORAGE
    .union(BufferUsages::COPY_DST)
    .union(BufferUsages::COPY_SRC);

/// Step and residual of a row: `Row` of the shader.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct Row {
    pub(super) scale: f32,
    pub(super) residual: f32,
}

/// Consecutive rows in buffers of their own.
pub(super) struct Chunk {
    pub(super) codes: Buffer,
    pub(super) rows: Buffer,
    pub(super) params: Buffer,
    /// Number of the first row.
    pub(super) first_row: u32,
    capacity: u32,
}

/// A gallery on the device.
pub(super) struct GpuGallery {
    /// Words of a row.
    pub(super) words: u32,
    pub(super) chunks: Vec<Chunk>,
    /// Rows uploaded, dead ones included.
    pub(super) rows: u32,
    chunk_rows_max: u32,
}

impl GpuGallery {
    pub(super) fn new(device: &Device, dim: Dimension) -> Self {
        let words = u32::try_from(dim.get() / 8).expect("a dimension has 13 bits");
        let rows = device.buffer_len_max() / u64::from(words * 4);
        let rows = u32::try_from(rows).unwrap_or(u32::MAX).min(CHUNK_ROWS_MAX);
        Self {
            words,
            chunks: Vec::new(),
            rows: 0,
            chunk_rows_max: (rows / BLOCK_ROWS * BLOCK_ROWS).max(BLOCK_ROWS),
        }
    }

    /// Uploads the blocks that hold these rows; makes room first. Nothing is waited for but full uploads.
    pub(super) fn update(
        &mut self,
        device: &Device,
        gallery: GalleryView<'_>,
        ranges: &[Range<u32>],
    ) -> Result<(), BackendError> {
        self.reserve(device, gallery.rows())?;
        let mut blocks: Vec<Range<u32>> = ranges
            .iter()
            .filter(|rows| !rows.is_empty())
            .map(|rows| rows.start / BLOCK_ROWS..rows.end.div_ceil(BLOCK_ROWS))
            .collect();
        blocks.sort_unstable_by_key(|range| range.start);
        let blocks_at_once = u32::try_from(UPLOAD_LEN_MAX).expect("fits") / (BLOCK_ROWS * self.words * 4);
        let mut done = 0;
        for range in blocks {
            let mut at = range.start.max(done);
            while at < range.end {
                let chunk_end = self.chunk_end(at);
                let end = range.end.min(chunk_end).min(at + blocks_at_once.max(1));
                self.upload(device, gallery, at..end)?;
                if end - at == blocks_at_once {
                    device.finish()?;
                }
                at = end;
            }
            done = done.max(range.end);
        }
        self.rows = gallery.rows();
        Ok(())
    }

    /// Zeroes everything; the buffers go when the device has done so.
    pub(super) fn wipe(self, device: &Device) {
        let mut encoder = device.encoder();
        for chunk in &self.chunks {
            encoder.clear_buffer(&chunk.codes, 0, None);
            encoder.clear_buffer(&chunk.rows, 0, None);
        }
        device.submit(encoder);
    }

    /// Rows of a chunk that are in use.
    pub(super) fn rows_of(&self, chunk: &Chunk) -> u32 {
        self.rows.saturating_sub(chunk.first_row).min(chunk.capacity)
    }

    fn reserve(&mut self, device: &Device, rows: u32) -> Result<(), BackendError> {
        while self.capacity() < rows {
            let (first_row, grown) = match self.chunks.last() {
                Some(last) if last.capacity < self.chunk_rows_max => (last.first_row, Some(last.capacity)),
                _ => (self.capacity(), None),
            };
            let capacity = (rows - first_row)
                .next_multiple_of(BLOCK_ROWS)
                .max(grown.map_or(CHUNK_ROWS_MIN, |capacity| capacity.saturating_mul(2)))
                .min(self.chunk_rows_max);
            let chunk = self.chunk(device, first_row, capacity)?;
            if grown.is_some()
                && let Some(old) = self.chunks.pop()
            {
                let mut encoder = device.encoder();
                encoder.copy_buffer_to_buffer(&old.codes, 0, &chunk.codes, 0, old.codes.size());
                encoder.copy_buffer_to_buffer(&old.rows, 0, &chunk.rows, 0, old.rows.size());
                encoder.clear_buffer(&old.codes, 0, None);
                encoder.clear_buffer(&old.rows, 0, None);
                device.submit(encoder);
            }
            self.chunks.push(chunk);
        }
        Ok(())
    }

    fn chunk(&self, device: &Device, first_row: u32, capacity: u32) -> Result<Chunk, BackendError> {
        let row_len = u64::from(self.words) * 4;
        let params = BufferUsages::UNIFORM.union(BufferUsages::COPY_DST);
        Ok(Chunk {
            codes: device.buffer("codes", u64::from(capacity) * row_len, STORAGE)?,
            rows: device.buffer("rows", u64::from(capacity) * size_of::<Row>() as u64, STORAGE)?,
            params: device.buffer("params", size_of::<Params>() as u64, params)?,
            first_row,
            capacity,
        })
    }

    fn capacity(&self) -> u32 {
        self.chunks
            .last()
            .map_or(0, |last| last.first_row + last.capacity)
    }

    fn chunk_of(&self, block: u32) -> &Chunk {
        let row = block * BLOCK_ROWS;
        let at = self.chunks.partition_point(|chunk| chunk.first_row <= row);
        at.checked_sub(1)
            .and_then(|at| self.chunks.get(at))
            .expect("room was made for every row")
    }

    fn chunk_end(&self, block: u32) -> u32 {
        let chunk = self.chunk_of(block);
        (chunk.first_row + chunk.capacity) / BLOCK_ROWS
    }

    /// Uploads blocks of one chunk.
    fn upload(
        &self,
        device: &Device,
        gallery: GalleryView<'_>,
        blocks: Range<u32>,
    ) -> Result<(), BackendError> {
        let chunk = self.chunk_of(blocks.start);
        let lanes = BLOCK_ROWS as usize;
        let mut codes = vec![0_u32; blocks.len() * lanes * self.words as usize];
        let mut figures = Vec::with_capacity(blocks.len() * lanes);
        for (block, words) in blocks
            .clone()
            .zip(codes.chunks_exact_mut(lanes * self.words as usize))
        {
            for (lane, row) in (block * BLOCK_ROWS..(block + 1) * BLOCK_ROWS).enumerate() {
                let (nibbles, scale) = gallery.row(row).unwrap_or((&[], Scale::DEAD));
                figures.push(Row {
                    scale: scale.scale,
                    residual: scale.residual,
                });
                let column = words.iter_mut().skip(lane).step_by(lanes);
                for (word, bytes) in column.zip(nibbles.as_chunks().0) {
                    *word = u32::from_le_bytes(*bytes);
                }
            }
        }
        let at = u64::from(blocks.start * BLOCK_ROWS - chunk.first_row);
        device.write(
            &chunk.codes,
            at * u64::from(self.words) * 4,
            bytemuck::cast_slice(&codes),
        );
        device.write(
            &chunk.rows,
            at * size_of::<Row>() as u64,
            bytemuck::cast_slice(&figures),
        );
        codes.zeroize();
        device.check()
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
