//! All galleries in host memory and the limit on their bytes. Owned by the engine's thread.

use std::collections::HashMap;
use std::ops::Range;

use crate::model::reject::Rejected;
use crate::model::signature::Dimension;

use super::config::{EngineConfig, LockMemory};
use super::error::EngineError;
use super::gallery::{Gallery, GalleryId, GalleryView, PackedRows, PageLayout};
use super::memory::Arena;

/// All galleries.
pub(super) struct Residency {
    arena: Arena,
    galleries: HashMap<GalleryId, Gallery>,
    opened: u64,
    bytes: u64,
    bytes_max: u64,
    /// Whether new galleries keep their signs a second time.
    has_signs: bool,
}

impl Residency {
    pub(super) fn new(config: &EngineConfig) -> Self {
        Self::with_limits(config.lock_memory, config.resident_bytes_max, config.sign_plane)
    }

    pub(super) fn with_limits(lock: LockMemory, bytes_max: u64, has_signs: bool) -> Self {
        Self {
            arena: Arena::new(lock),
            galleries: HashMap::new(),
            opened: 0,
            bytes: 0,
            bytes_max,
            has_signs,
        }
    }

    pub(super) fn open(&mut self, dim: Dimension) -> GalleryId {
        self.opened += 1;
        let id = GalleryId(self.opened);
        let layout = PageLayout {
            dim,
            has_signs: self.has_signs,
        };
        self.galleries.insert(id, Gallery::new(id, layout));
        id
    }

    pub(super) fn close(&mut self, id: GalleryId) -> Result<(), EngineError> {
        let mut gallery = self
            .galleries
            .remove(&id)
            .ok_or(EngineError::GalleryUnknown(id))?;
        self.bytes -= resident(&gallery);
        gallery.clear(&mut self.arena);
        Ok(())
    }

    /// Appends rows and returns their numbers.
    pub(super) fn append(&mut self, id: GalleryId, rows: &PackedRows) -> Result<Range<u32>, EngineError> {
        let gallery = self
            .galleries
            .get_mut(&id)
            .ok_or(EngineError::GalleryUnknown(id))?;
        if rows.dim() != gallery.dim() {
            let problem = format!(
                "is {}; the gallery's dimension is {}",
                rows.dim().get(),
                gallery.dim().get()
            );
            return Err(Rejected::new("codes.dim", problem).into());
        }
        let end = u64::from(gallery.rows()) + rows.len() as u64;
        if end > u64::from(u32::MAX) {
            return Err(EngineError::GalleryFull {
                needed: end,
                max: u32::MAX,
            });
        }
        let needed = self.bytes - resident(gallery) + gallery.bytes_with(end);
        if needed > self.bytes_max {
            return Err(EngineError::MemoryFull {
                needed,
                max: self.bytes_max,
            });
        }
        let range = gallery.append(&mut self.arena, rows)?;
        self.bytes = needed;
        Ok(range)
    }

    /// Zeroes rows; all of them must have been appended.
    pub(super) fn erase(&mut self, id: GalleryId, rows: &[u32]) -> Result<(), EngineError> {
        let gallery = self
            .galleries
            .get_mut(&id)
            .ok_or(EngineError::GalleryUnknown(id))?;
        if let Some(row) = rows.iter().find(|row| **row >= gallery.rows()) {
            return Err(EngineError::RowUnknown {
                row: *row,
                rows: gallery.rows(),
            });
        }
        for row in rows {
            gallery.kill(&mut self.arena, *row);
        }
        Ok(())
    }

    /// A gallery to be read.
    pub(super) fn view(&self, id: GalleryId) -> Result<GalleryView<'_>, EngineError> {
        let gallery = self.galleries.get(&id).ok_or(EngineError::GalleryUnknown(id))?;
        Ok(GalleryView {
            gallery,
            arena: &self.arena,
        })
    }

    /// Bytes of all galleries.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of one gallery.
    pub(super) fn resident_bytes(&self, id: GalleryId) -> u64 {
        self.galleries.get(&id).map_or(0, resident)
    }
}

fn resident(gallery: &Gallery) -> u64 {
    gallery.bytes_with(u64::from(gallery.rows()))
}

#[cfg(test)]
#[path = "residency_tests.rs"]
mod tests;
