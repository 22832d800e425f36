//! A finished file of this machine that becomes the cache's copy instead of being fetched. Puts nothing into the store.

use std::path::Path;
use std::sync::Arc;

use super::work::{Guard, Wanted};
use super::{Cache, Shared, Stage, Standing};
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::objects::key::ListedSegment;
use crate::storage::segment::reader::SegmentReader;

impl Cache {
    /// Takes in a finished file that was just put into the store under this key, checked like a fetched one, as the last used. Where there is no room that evicting gives, or the key is here, comes or goes, or is
    /// forgotten, the file is destroyed, which is no error: it can be fetched.
    ///
    /// The file is gone from its former place when this returns, also where it is damaged, which is an error. Only where the disk fails, which is told, it may be there still.
    pub fn adopt(&self, listed: &ListedSegment, file: &Path) -> Result<(), StorageError> {
        let wanted = Wanted {
            listed,
            len: listed.blocks().layout().file_len(),
        };
        let mut state = self.0.state.lock();
        if !self.0.takes_in(&mut state, &wanted)? {
            drop(state);
            return durable::destroy_file(file);
        }
        let work = state.begin(&listed.key, wanted.len, false);
        let moved = self
            .0
            .apart(&mut state, &listed.key, &work, || self.0.move_in(&wanted, file));
        // No map of it may be left: whoever forgets it meanwhile waits for this, and destroys it.
        let moved = moved.map(drop);
        let stage = match moved {
            Ok(()) => Some(Stage::Here {
                standing: Standing::Checked,
                used: state.next_use(),
            }),
            Err(_) => self.0.remains(&mut state, &listed.key, Standing::Unchecked),
        };
        // Who waits for it looks again, and fetches it where this failed.
        self.0.end(&mut state, &listed.key, &work, stage, None);
        moved
    }
}

impl Shared {
    /// Whether a file is to be taken in and has room, for which others are evicted.
    fn takes_in(&self, state: &mut Guard<'_>, wanted: &Wanted<'_>) -> Result<bool, StorageError> {
        let key = &wanted.listed.key;
        loop {
            let is_known = state.slots.contains_key(key) || state.forgotten.check(key).is_err();
            if is_known || wanted.len > self.bytes_max {
                return Ok(false);
            }
            if state.bytes + wanted.len <= self.bytes_max {
                return Ok(true);
            }
            if !self.evict_one(state)? {
                return Ok(false);
            }
        }
    }

    /// Moves a file to its place and checks it. What is not what was written is destroyed.
    fn move_in(&self, wanted: &Wanted<'_>, file: &Path) -> Result<Arc<SegmentReader>, StorageError> {
        let path = self.path(&wanted.listed.key);
        durable::create_dir(path.parent().expect("a key has several parts"))?;
        let opened = durable::relocate(file, &path).and_then(|()| self.open(wanted, Standing::Unchecked));
        if opened.is_err() {
            self.destroy_names(&wanted.listed.key)?;
        }
        opened
    }
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
