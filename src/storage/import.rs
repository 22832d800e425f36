//! Draft.
#![expect(missing_docs, clippy::unimplemented, reason = "draft of the signatures")]
use super::error::StorageError;
use super::place::{RowId, SegmentRows};
use super::write::ImportAnswer;
use crate::model::id::SubjectId;

/// What an import begins with.
pub enum ImportStart {
    /// The request was answered before.
    Replayed(ImportAnswer),
    /// Rows may come.
    New(Importer),
}

/// Takes in rows. Nothing of them is seen before [`Importer::commit`]; dropped, it leaves nothing.
pub struct Importer;

impl Importer {
    pub fn reserve(&mut self, _subject_ids: &[SubjectId]) -> Result<Vec<RowId>, StorageError> {
        unimplemented!()
    }
    pub fn push(&mut self, _rows: SegmentRows) -> Result<(), StorageError> {
        unimplemented!()
    }
    pub fn commit(self) -> Result<(ImportAnswer, Vec<u32>), StorageError> {
        unimplemented!()
    }
}
