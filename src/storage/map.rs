//! Read-only memory maps of segment files: the one place of the storage with unsafe code. Interprets no byte.
#![expect(
    unsafe_code,
    reason = "a memory map is unsafe, since the file under it could change"
)]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use super::error::StorageError;

/// A file mapped for reading.
pub(super) struct Map(Mmap);

impl Map {
    /// Maps a file, which must have exactly `len` bytes.
    pub(super) fn open(path: &Path, len: u64) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => StorageError::damaged(path, "the file is missing"),
            _ => StorageError::io("open", path, e),
        })?;
        let found = file
            .metadata()
            .map_err(|e| StorageError::io("examine", path, e))?
            .len();
        if found != len {
            return Err(StorageError::damaged(
                path,
                format!("it is {found} bytes long; its rows take {len}"),
            ));
        }
        // SAFETY: segment files are written once, before they are mapped, and overwritten and unlinked only after
        // their last map is dropped. The data directory's lock keeps other servers away. Whoever else changes the
        // file can make the bytes differ between two reads or raise SIGBUS by cutting it short; the bytes are
        // copied out before they are authenticated, so that what is used is what was checked.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| StorageError::io("map", path, e))?;
        Ok(Self(map))
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
