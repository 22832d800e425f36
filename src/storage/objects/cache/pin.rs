//! A file of the cache in use: it is not evicted before the last clone is dropped. Decides nothing else.

use std::sync::Arc;

use super::{Cache, Stage, Standing};
use crate::storage::error::StorageError;
use crate::storage::objects::key::ObjectKey;
use crate::storage::place::StoredRow;
use crate::storage::segment::reader::SegmentReader;

/// A file that stays where it is as long as this or a clone of it lives.
#[derive(Clone)]
pub struct Pin(Arc<Held>);

struct Held {
    cache: Cache,
    key: ObjectKey,
    /// There until dropped. No map may be left when the file is overwritten, so that it goes before the pin is counted off.
    reader: Option<Arc<SegmentReader>>,
}

impl Pin {
    /// Of a file whose pins are counted one up already.
    pub(super) fn new(cache: &Cache, key: &ObjectKey, reader: Arc<SegmentReader>) -> Self {
        Self(Arc::new(Held {
            cache: cache.clone(),
            key: key.clone(),
            reader: Some(reader),
        }))
    }

    /// Rows of the exact plane in the clear, in the order asked for; `None` for a hole. A file with a damaged block is distrusted.
    pub fn rows(&self, rows: &[u32]) -> Result<Vec<Option<StoredRow>>, StorageError> {
        let found = self.reader().rows_at(rows);
        if matches!(found, Err(StorageError::Damaged { .. })) {
            self.0.cache.distrust(&self.0.key);
        }
        found
    }

    /// The file.
    pub(in crate::storage) fn reader(&self) -> &SegmentReader {
        self.0.reader.as_ref().expect("there until dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.reader.take());
        let shared = &self.cache.0;
        let mut state = shared.state.lock();
        let used = state.next_use();
        let slot = state.slots.get_mut(&self.key).expect("a pinned file is here");
        let Stage::Pinned { pins, standing, .. } = &mut slot.stage else {
            unreachable!("nothing is done to a pinned file");
        };
        *pins -= 1;
        if *pins > 0 {
            return;
        }
        let standing = *standing;
        // With it goes the last map.
        slot.stage = Stage::Here { standing, used };
        if standing != Standing::Doomed {
            shared.changed.notify_all();
        } else if shared.destroy(&mut state, &self.key).is_err() {
            tracing::warn!(object = %self.key, "a file of the cache that was forgotten can't be destroyed; it is tried again when it is forgotten again, its room is needed, or the cache is opened");
        }
    }
}

#[cfg(test)]
#[path = "pin_tests.rs"]
mod tests;
