//! Uploads: blocks are encoded into host memory that the device reads, copied, and wiped. Decides nothing about where they go.

use wgpu::{Buffer, BufferUsages, MapMode};

use crate::engine::backend::BackendError;

use super::device::Device;
use super::planes::Planes;
use super::slab::{Run, Slab};

/// Bytes of one upload.
pub(super) const UPLOAD_LEN_MAX: u64 = 32 << 20;
/// Lengths and places of copies are multiples of this.
const STEP: usize = 4;

/// Memory of the host that the device copies from. Holds nothing between uploads.
#[derive(Default)]
pub(super) struct Staging {
    buffer: Option<Buffer>,
}

impl Staging {
    /// Writes whole blocks to where a run of as many lies, and waits until the device has them.
    pub(super) fn upload(
        &mut self,
        device: &Device,
        slab: &Slab,
        run: &Run,
        block_lens: [u64; 4],
        planes: &Planes,
    ) -> Result<(), BackendError> {
        let planes = planes.bytes();
        let len: usize = planes.iter().map(|bytes| bytes.len()).sum();
        debug_assert!(len.is_multiple_of(STEP), "planes are whole words");
        let buffer = self.room(device, len as u64)?;
        write(device, buffer, len, &planes)?;
        let mut encoder = device.encoder();
        let mut from = 0;
        for ((plane, bytes), block_len) in slab.buffers.iter().zip(planes).zip(block_lens) {
            let to = u64::from(run.blocks.start) * block_len;
            encoder.copy_buffer_to_buffer(buffer, from, plane, to, bytes.len() as u64);
            from += bytes.len() as u64;
        }
        device.submit(encoder);
        // Rows must not stay in memory that nobody erases them from. It can be written again when the device has read it.
        write(device, buffer, len, &[&vec![0; len]])
    }

    fn room(&mut self, device: &Device, len: u64) -> Result<&Buffer, BackendError> {
        let buffer = match self.buffer.take() {
            Some(buffer) if buffer.size() >= len => buffer,
            _ => {
                let usage = BufferUsages::MAP_WRITE.union(BufferUsages::COPY_SRC);
                device.buffer("staging", len.next_power_of_two(), usage)?
            }
        };
        Ok(self.buffer.insert(buffer))
    }
}

/// Writes parts one after the other, `len` bytes together.
fn write(device: &Device, buffer: &Buffer, len: usize, parts: &[&[u8]]) -> Result<(), BackendError> {
    device.map(buffer, MapMode::Write, len as u64)?;
    let mut view = buffer
        .get_mapped_range_mut(..len as u64)
        .map_err(|error| BackendError::Lost(error.to_string()))?;
    let mut at = 0;
    for part in parts {
        view.slice(at..at + part.len()).copy_from_slice(part);
        at += part.len();
    }
    drop(view);
    buffer.unmap();
    Ok(())
}
