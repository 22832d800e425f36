//! Reads a segment that is in an object store alone, range by range. Keeps nothing and opens nothing.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::ObjectStore;
use super::key::ListedSegment;
use crate::storage::error::StorageError;
use crate::storage::segment::reader::{SegmentBytes, SegmentReader};

/// How often what does not come as it was written is read before its object is called damaged. TLS lets nothing through that was spoiled between here and there; what is behind that is another matter.
pub(super) const READS: usize = 3;

/// The bytes of an object.
struct RemoteBytes {
    store: ObjectStore,
    listed: ListedSegment,
    len: u64,
    /// Its key.
    path: PathBuf,
}

impl SegmentBytes for RemoteBytes {
    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, StorageError> {
        let range = range.start as u64..range.end as u64;
        self.store.read(&self.listed.key, self.len, range).map(Cow::Owned)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn damaged(&self, fault: String) -> StorageError {
        self.store.damaged(&self.listed.key.to_string(), fault)
    }

    fn reads(&self) -> usize {
        READS
    }
}

/// Reads the header of the object that the catalog names, and checks it and the length against the catalog.
pub(in crate::storage) fn open(
    store: &ObjectStore,
    listed: &ListedSegment,
) -> Result<SegmentReader, StorageError> {
    let blocks = listed.blocks();
    let bytes = RemoteBytes {
        store: store.clone(),
        listed: listed.clone(),
        len: blocks.layout().file_len(),
        path: listed.key.to_string().into(),
    };
    SegmentReader::over(Box::new(bytes), blocks)
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
