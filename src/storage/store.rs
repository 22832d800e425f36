//! Draft.
#![expect(missing_docs, clippy::unimplemented, reason = "draft of the signatures")]
use super::data_dir::DataDir;
use super::error::{StorageError, WriteError};
use super::import::ImportStart;
use super::place::{LoadedSegment, Place, RowId, RowPlanes, SegmentInfo, StoredRow};
use super::write::{CandidateInfo, Committed, EraseAnswer, FlushOutcome, ImportWrite, SubjectKey, Write};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::{SubjectId, TenantId};
use crate::model::link::LinkKind;
use crate::model::subject::SubjectRecord;
use crate::model::tenant::{TenantSpec, TenantStats};
use crate::model::usage::UsageEvent;

/// One tenant.
#[derive(Clone)]
pub struct Store;

impl Store {
    pub fn create(
        _dir: &DataDir,
        _spec: &TenantSpec,
        _data_key: &SecretKey,
        _signer: ReceiptSigner,
    ) -> Result<Self, StorageError> {
        unimplemented!()
    }
    pub fn open(
        _dir: &DataDir,
        _id: &TenantId,
        _data_key: &SecretKey,
        _signer: ReceiptSigner,
    ) -> Result<Self, StorageError> {
        unimplemented!()
    }
    pub fn spec(&self) -> &TenantSpec {
        unimplemented!()
    }
    pub fn stats(&self) -> Result<TenantStats, StorageError> {
        unimplemented!()
    }
    pub fn segments(&self) -> Vec<SegmentInfo> {
        unimplemented!()
    }
    pub fn load_segment(&self, _number: u32) -> Result<LoadedSegment, StorageError> {
        unimplemented!()
    }
    pub fn pending(&self) -> Result<Vec<u64>, StorageError> {
        unimplemented!()
    }
    pub fn read(&self, _places: &[Place]) -> Result<Vec<Option<StoredRow>>, StorageError> {
        unimplemented!()
    }
    pub fn subject_rows(&self, _subject: &SubjectId) -> Result<Option<Vec<Place>>, StorageError> {
        unimplemented!()
    }
    pub fn candidates(
        &self,
        _ids: &[RowId],
        _links: &[LinkKind],
    ) -> Result<Vec<Option<CandidateInfo>>, StorageError> {
        unimplemented!()
    }
    pub fn commit(&self, _writes: Vec<Write>) -> Result<Vec<Result<Committed, WriteError>>, StorageError> {
        unimplemented!()
    }
    pub fn import(&self, _header: ImportWrite) -> Result<ImportStart, StorageError> {
        unimplemented!()
    }
    pub fn flush(
        &self,
        _references: &[u64],
        _encode: &dyn Fn(&[u8], usize) -> RowPlanes,
    ) -> Result<FlushOutcome, StorageError> {
        unimplemented!()
    }
    pub fn purge(&self) -> Result<usize, StorageError> {
        unimplemented!()
    }
    pub fn erasure(&self, _erasure: u64) -> Result<Option<EraseAnswer>, StorageError> {
        unimplemented!()
    }
    /// Erasures that are not purged yet.
    pub fn erasures_pending(&self) -> usize {
        unimplemented!()
    }
    pub fn subject(&self, _key: &SubjectKey) -> Result<Option<SubjectRecord>, StorageError> {
        unimplemented!()
    }
    pub fn usage(
        &self,
        _subject: Option<&SubjectId>,
        _before: Option<u64>,
        _limit: usize,
    ) -> Result<(Vec<UsageEvent>, Option<u64>), StorageError> {
        unimplemented!()
    }
}
