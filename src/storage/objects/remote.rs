//! Reads single blocks of a segment that is in an object store alone. Every byte that it hands out was authenticated; nothing is kept.

use super::ObjectStore;
use super::key::{ListedSegment, ObjectKey};
use crate::storage::error::StorageError;
use crate::storage::place::StoredRow;
use crate::storage::segment::blocks::SegmentBlocks;
use crate::storage::segment::format::{HEADER_LEN, HeaderFault, Plane, VERSION};

/// A segment in a store whose header is authentic.
pub struct RemoteSegment {
    store: ObjectStore,
    key: ObjectKey,
    blocks: SegmentBlocks,
}

impl RemoteSegment {
    /// Reads the header of the object that the catalog names, and checks it and the length against the catalog.
    pub fn open(store: &ObjectStore, listed: &ListedSegment) -> Result<Self, StorageError> {
        let (key, blocks) = (&listed.key, listed.blocks());
        let page = store.read(key, blocks.layout().file_len(), 0..HEADER_LEN as u64)?;
        match blocks.header_fault(&page) {
            None => Ok(Self {
                store: store.clone(),
                key: key.clone(),
                blocks,
            }),
            Some(HeaderFault::Text(fault)) => Err(store.damaged(&key.to_string(), fault)),
            Some(HeaderFault::Newer(found)) => Err(StorageError::NewerFormat {
                path: key.to_string().into(),
                found,
                supported: VERSION,
            }),
        }
    }

    /// Rows of the exact plane in the clear, in the order asked for; `None` for a hole. Each block that has some of them is read once, and nothing else is.
    pub fn rows(&self, rows: &[u32]) -> Result<Vec<Option<StoredRow>>, StorageError> {
        let file_len = self.blocks.layout().file_len();
        self.blocks.rows(rows, |block, plain| {
            let span = self.blocks.span(Plane::Exact, block);
            let range = span.start as u64..span.end as u64;
            let sealed = self.store.read(&self.key, file_len, range)?;
            self.blocks
                .open(Plane::Exact, block, &sealed, plain)
                .map_err(|fault| self.store.damaged(&self.key.to_string(), fault))
        })
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
