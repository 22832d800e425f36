//! Reads of the catalog in a file: each method one connection and one moment. Changes nothing.

use std::sync::Arc;

use rusqlite::Connection;

use super::{Tenant, erasure, history, request, subject, tenant};
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::LinkKind;
use crate::model::retention::Due;
use crate::model::subject::SubjectRecord;
use crate::model::tenant::TenantSpec;
use crate::model::usage::UsageEvent;
use crate::storage::catalog::connection::Readers;
use crate::storage::catalog::pending;
use crate::storage::catalog::request::{Method, answer};
use crate::storage::catalog::seam::ReadCatalog;
use crate::storage::catalog::segments::{self, Located, Tombstone};
use crate::storage::error::StorageError;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::{Place, RowId};
use crate::storage::write::{CandidateInfo, EraseAnswer, ImportAnswer, SubjectKey};

/// Reads a catalog in a file.
pub(super) struct LocalReader {
    readers: Readers,
    tenant: Arc<Tenant>,
}

impl LocalReader {
    /// Of this tenant's.
    pub(super) fn new(readers: Readers, tenant: Arc<Tenant>) -> Self {
        Self { readers, tenant }
    }

    /// Runs several statements at one moment; also faster than beginning and ending a transaction with each.
    fn at_once<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.readers.with(|conn| work(&*conn.unchecked_transaction()?))
    }
}

impl ReadCatalog for LocalReader {
    fn spec(&self) -> Result<TenantSpec, StorageError> {
        self.readers.with(|conn| Ok(tenant::spec(conn)?))
    }

    fn tombstones(&self) -> Result<Vec<Tombstone>, StorageError> {
        self.readers.with(|conn| Ok(segments::tombstones(conn)?))
    }

    fn pending(&self) -> Result<Vec<u64>, StorageError> {
        self.readers.with(|conn| Ok(pending::references(conn)?))
    }

    fn locate(&self, references: &[u64]) -> Result<Vec<Option<Located>>, StorageError> {
        self.at_once(|conn| {
            let seal = &self.tenant.seal;
            let located = references.iter().map(|it| segments::locate(conn, seal, *it));
            located.collect()
        })
    }

    fn first_known(&self, subjects: &[SubjectId]) -> Result<Option<SubjectId>, StorageError> {
        self.at_once(|conn| {
            for id in subjects {
                if subject::handle(conn, id)?.is_some() {
                    return Ok(Some(id.clone()));
                }
            }
            Ok(None)
        })
    }

    fn subject_rows(&self, subject: &SubjectId) -> Result<Option<Vec<Place>>, StorageError> {
        self.at_once(|conn| {
            let Some(handle) = subject::handle(conn, subject)? else {
                return Ok(None);
            };
            let held = subject::references(conn, handle)?;
            Ok(Some(held.into_iter().map(|held| held.place).collect()))
        })
    }

    fn subject(&self, key: &SubjectKey) -> Result<Option<SubjectRecord>, StorageError> {
        self.at_once(|conn| match subject::resolve(conn, key)? {
            Some(handle) => subject::record(conn, handle),
            None => Ok(None),
        })
    }

    fn candidates(
        &self,
        ids: &[RowId],
        links: &[LinkKind],
    ) -> Result<Vec<Option<CandidateInfo>>, StorageError> {
        if let ([id], []) = (ids, links) {
            // One statement, which is one moment by itself.
            return self
                .readers
                .with(|conn| Ok(vec![subject::candidate(conn, *id, links)?]));
        }
        self.at_once(|conn| {
            let found = ids.iter().map(|id| Ok(subject::candidate(conn, *id, links)?));
            found.collect()
        })
    }

    fn usage(
        &self,
        subject: Option<&SubjectId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<UsageEvent>, Option<u64>), StorageError> {
        self.at_once(|conn| {
            let handle = match subject {
                Some(id) => match subject::handle(conn, id)? {
                    None => return Ok((Vec::new(), None)),
                    known => known,
                },
                None => None,
            };
            Ok(history::page(conn, handle, before, limit)?)
        })
    }

    fn due(&self, due: &Due, limit: usize) -> Result<Vec<SubjectId>, StorageError> {
        self.at_once(|conn| Ok(subject::due(conn, due, limit)?))
    }

    fn erasure(&self, erasure: u64) -> Result<Option<EraseAnswer>, StorageError> {
        self.readers.with(|conn| Ok(erasure::find(conn, erasure)?))
    }

    fn erasures_of(&self, subject: &SubjectId) -> Result<Vec<u64>, StorageError> {
        self.readers.with(|conn| Ok(erasure::of_subject(conn, subject)?))
    }

    fn erasures_open(&self) -> Result<Vec<u64>, StorageError> {
        self.readers.with(|conn| Ok(erasure::open(conn)?))
    }

    fn erasures_between(&self, after: u64, to: u64, limit: usize) -> Result<Vec<ErasureEntry>, StorageError> {
        let spec = &self.tenant.spec;
        self.readers
            .with(|conn| Ok(erasure::between(conn, spec, (after, to), limit)?))
    }

    fn imported(
        &self,
        request: &RequestId,
        digest: Option<&[u8; 32]>,
    ) -> Result<Option<ImportAnswer>, StorageError> {
        self.readers
            .with(|conn| answer(request::find(conn, request)?, Method::Import, digest))
    }

    fn is_ahead(&self) -> Result<bool, StorageError> {
        self.readers.with(|conn| Ok(history::is_ahead(conn)?))
    }

    fn hold_open(&self) -> Result<(), StorageError> {
        self.readers.open_all()
    }
}
