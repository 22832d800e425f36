//! The rows of a catalog in a file, as the rules ask for them. Decides nothing; each table is left to the module that knows it.

use rusqlite::Connection;

use super::{erasure, history, request, subject, tenant};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::consent::Consent;
use crate::model::erasure::SignedReceipt;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::EventId;
use crate::storage::catalog::chain::{Chain, Digest};
use crate::storage::catalog::pending::{self, PendingSeal};
use crate::storage::catalog::tables::{
    HeldReference, NewReference, Person, RecordedEvent, StoredRequest, Tables,
};
use crate::storage::error::StorageError;
use crate::storage::write::EraseAnswer;

/// Rows within one transaction of this connection.
pub(in crate::storage::catalog) struct LocalTables<'a> {
    conn: &'a Connection,
    seal: &'a PendingSeal,
}

impl<'a> LocalTables<'a> {
    /// Pending rows are sealed with this.
    pub(in crate::storage::catalog) fn new(conn: &'a Connection, seal: &'a PendingSeal) -> Self {
        Self { conn, seal }
    }

    fn run(&self, sql: &str) -> Result<(), StorageError> {
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

impl Tables for LocalTables<'_> {
    fn begin(&mut self) -> Result<(), StorageError> {
        self.run("SAVEPOINT member")
    }

    fn undo(&mut self) -> Result<(), StorageError> {
        self.run("ROLLBACK TO member")?;
        self.keep()
    }

    fn keep(&mut self) -> Result<(), StorageError> {
        self.run("RELEASE member")
    }

    fn spec(&self) -> Result<TenantSpec, StorageError> {
        Ok(tenant::spec(self.conn)?)
    }

    fn set_spec(&mut self, spec: &TenantSpec) -> Result<(), StorageError> {
        Ok(tenant::set_spec(self.conn, spec)?)
    }

    fn request(&self, id: &RequestId) -> Result<Option<StoredRequest>, StorageError> {
        Ok(request::find(self.conn, id)?)
    }

    fn insert_request(&mut self, id: &RequestId, request: StoredRequest) -> Result<(), StorageError> {
        Ok(request::insert(self.conn, id, &request)?)
    }

    fn scrub_requests(&mut self, subject: u64) -> Result<u64, StorageError> {
        Ok(request::scrub(self.conn, subject)?)
    }

    fn prune_requests(&mut self, before: Timestamp, max: u32) -> Result<(), StorageError> {
        Ok(request::prune(self.conn, before, max)?)
    }

    fn subject(&self, id: &SubjectId) -> Result<Option<u64>, StorageError> {
        Ok(subject::handle(self.conn, id)?)
    }

    fn link_owner(&self, kind: LinkKind, lookup: &[u8; 32]) -> Result<Option<u64>, StorageError> {
        Ok(subject::link_owner(self.conn, kind, lookup)?)
    }

    fn person(&self, subject: u64) -> Result<Option<Person>, StorageError> {
        Ok(subject::person(self.conn, subject)?)
    }

    fn insert_subject(
        &mut self,
        subject: u64,
        id: &SubjectId,
        consent: &Consent,
        created_at: Timestamp,
    ) -> Result<(), StorageError> {
        let terms = subject::terms(self.conn, consent)?;
        subject::SubjectInsert::prepare(self.conn, 1, (terms, consent), created_at)?.insert(subject, [id])?;
        Ok(())
    }

    fn set_consent(&mut self, subject: u64, consent: &Consent) -> Result<(), StorageError> {
        Ok(subject::set_consent(self.conn, subject, consent)?)
    }

    fn touch(&mut self, subject: u64, now: Timestamp, stale: Timestamp) -> Result<(), StorageError> {
        Ok(subject::touch(self.conn, subject, now, stale)?)
    }

    fn touch_all(&mut self, at: Timestamp) -> Result<(), StorageError> {
        Ok(subject::touch_all(self.conn, at)?)
    }

    fn remove_subject(&mut self, subject: u64) -> Result<(), StorageError> {
        Ok(subject::remove(self.conn, subject)?)
    }

    fn put_link(&mut self, subject: u64, link: &SealedLink) -> Result<(), StorageError> {
        Ok(subject::put_link(self.conn, subject, link)?)
    }

    fn remove_links(&mut self, subject: u64) -> Result<u64, StorageError> {
        Ok(subject::remove_links(self.conn, subject)?)
    }

    fn references(&self, subject: u64) -> Result<Vec<HeldReference>, StorageError> {
        Ok(subject::references(self.conn, subject)?)
    }

    fn insert_reference(&mut self, new: &NewReference, exact: &[u8]) -> Result<(), StorageError> {
        subject::ReferenceInsert::prepare(self.conn, 1)?.insert(new, None)?;
        let sealed = self.seal.seal(new.reference, exact);
        Ok(pending::insert(self.conn, new.reference, &sealed)?)
    }

    fn sealed(&self, _: u64, reference: u64) -> Result<Vec<u8>, StorageError> {
        pending::sealed(self.conn, reference)?.ok_or_else(|| pending::missing(reference))
    }

    fn remove_references(&mut self, subject: u64) -> Result<u64, StorageError> {
        Ok(subject::remove_references(self.conn, subject)?)
    }

    fn is_recorded(&self, told: EventId) -> Result<bool, StorageError> {
        Ok(history::is_recorded(self.conn, told)?)
    }

    fn insert_event(&mut self, event: RecordedEvent) -> Result<(), StorageError> {
        Ok(history::insert(self.conn, &event)?)
    }

    fn events(&self, subject: u64, each: &mut dyn FnMut(Option<RecordedEvent>)) -> Result<(), StorageError> {
        Ok(history::events(self.conn, subject, each)?)
    }

    fn forget_events(&mut self, subject: u64) -> Result<u64, StorageError> {
        Ok(history::forget(self.conn, subject)?)
    }

    fn commitments(&self, after: u64, each: &mut dyn FnMut(u64, &Digest)) -> Result<(), StorageError> {
        Ok(history::commitments(self.conn, after, each)?)
    }

    fn chain(&self) -> Result<Chain, StorageError> {
        Ok(history::chain(self.conn)?)
    }

    fn set_chain(&mut self, chain: &Chain) -> Result<(), StorageError> {
        Ok(history::set_chain(self.conn, chain)?)
    }

    fn insert_checkpoint(&mut self, checkpoint: &SignedCheckpoint) -> Result<(), StorageError> {
        Ok(history::insert_checkpoint(self.conn, checkpoint)?)
    }

    fn erasure(&self, erasure: u64) -> Result<Option<EraseAnswer>, StorageError> {
        Ok(erasure::find(self.conn, erasure)?)
    }

    fn insert_erasure(&mut self, answer: &EraseAnswer, buried: &[HeldReference]) -> Result<(), StorageError> {
        Ok(erasure::insert(self.conn, answer, buried)?)
    }

    fn is_held(&self, erasure: u64) -> Result<bool, StorageError> {
        Ok(erasure::is_held(self.conn, erasure)?)
    }

    fn set_purged(&mut self, erasure: u64, receipt: &SignedReceipt) -> Result<(), StorageError> {
        Ok(erasure::set_purged(self.conn, erasure, receipt)?)
    }
}
