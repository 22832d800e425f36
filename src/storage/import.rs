//! Import: many new subjects at once, all or none. Segments are written as rows come; the catalog learns of them at the end, in one transaction.

use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::RwLock;
use ulid::Ulid;

use super::catalog::import::ImportedRows;
use super::error::{StorageError, WriteError};
use super::place::{RowId, SEGMENT_ROWS_MAX, SegmentRows};
use super::segment::writer::{SegmentWriter, WrittenSegment};
use super::store::{Shared, Store};
use super::write::{ImportAnswer, ImportWrite};
use crate::model::id::{RequestId, SubjectId};
use crate::model::timestamp::Timestamp;

/// Most rows of one import. Ids are kept in memory until its end, about 100 bytes a row.
pub const IMPORT_ROWS_MAX: u64 = 16_777_216;

/// How an import begins.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one value an import, moved once"
)]
pub enum ImportStart {
    /// The request was answered before; nothing is to be done.
    Replayed(ImportAnswer),
    /// Rows may come.
    New(Importer),
}

/// Where the rows of an import go.
pub(super) trait Target: Send + Sync {
    /// Refuses early who is enrolled already; the commit finds those who are enrolled meanwhile.
    fn first_known(&self, subject_ids: &[SubjectId]) -> Result<Option<SubjectId>, StorageError>;
    /// Gives out so many reference numbers and subject handles; the last ones before them.
    fn reserve(&self, count: u64) -> Result<(u64, u64), StorageError>;
    /// Begins a segment of so many rows.
    fn begin(&self, rows: u32) -> Result<SegmentWriter, StorageError>;
    /// Makes a full segment durable where it is to stay.
    fn finish(&self, file: SegmentWriter) -> Result<WrittenSegment, StorageError>;
    /// Lists all segments in one transaction. Their numbers in order; none where the request was answered before.
    fn commit(&self, imported: &ImportedRows<'_>) -> Result<(ImportAnswer, Vec<u32>), StorageError>;
    /// Destroys segments that are not listed.
    fn discard(&self, written: &[Ulid]);
    /// It is not known whether these segments are listed.
    fn in_doubt(&self, written: &[Ulid]);
    /// Lets go of all segments that were begun: they are destroyed, or listed, or may be.
    fn release(&self, begun: &[Ulid]);
}

/// Takes in rows. Nothing of them is seen before [`Importer::commit`]; dropped, it leaves nothing.
pub struct Importer {
    target: Box<dyn Target>,
    header: ImportWrite,
    /// The last erasure before it began. Who is erased later is not brought back by rows that were sent before.
    erasure: u64,
    /// Everybody reserved so far, in order.
    subjects: IndexMap<SubjectId, RowId>,
    /// Reserved and not pushed yet, in order.
    outstanding: VecDeque<RowId>,
    pushed: u64,
    file: Option<Box<SegmentWriter>>,
    written: Vec<WrittenSegment>,
    /// Every file that was begun.
    begun: Vec<Ulid>,
}

impl Store {
    /// Begins an import of exactly `header.rows` rows.
    pub fn import(&self, header: ImportWrite) -> Result<ImportStart, StorageError> {
        Importer::check(&header)?;
        self.0.writer.lock().check()?;
        let erasure = self.0.state.lock().last_erasure;
        let asked = (&header.request_id, Some(&header.request_digest));
        let answered = self.0.readers.imported(asked.0, asked.1)?;
        Ok(match answered {
            Some(answer) => ImportStart::Replayed(answer),
            None => ImportStart::New(Importer::new(
                Box::new(InStore(Arc::clone(&self.0))),
                header,
                erasure,
            )),
        })
    }

    /// The answer to an import, for as long as it is remembered; `None` for one that was not done.
    pub fn imported(&self, request: &RequestId) -> Result<Option<ImportAnswer>, StorageError> {
        self.0.readers.imported(request, None)
    }
}

impl Importer {
    /// Refuses what no import may announce.
    pub(super) fn check(header: &ImportWrite) -> Result<(), StorageError> {
        if header.rows > IMPORT_ROWS_MAX {
            return Err(StorageError::Limit {
                limit: "rows of an import",
                max: IMPORT_ROWS_MAX,
                value: header.rows,
            });
        }
        Ok(())
    }

    /// Of rows that go to a target. `erasure` is the last one before it began.
    pub(super) fn new(target: Box<dyn Target>, header: ImportWrite, erasure: u64) -> Self {
        Self {
            target,
            header,
            erasure,
            subjects: IndexMap::new(),
            outstanding: VecDeque::new(),
            pushed: 0,
            file: None,
            written: Vec::new(),
            begun: Vec::new(),
        }
    }

    /// Gives new subjects their handles and references. One that is enrolled already, or came before in this import,
    /// is [`WriteError::SubjectExists`]; the import can then only be dropped.
    pub fn reserve(&mut self, subject_ids: &[SubjectId]) -> Result<Vec<RowId>, StorageError> {
        let count = subject_ids.len() as u64;
        let all = self.subjects.len() as u64 + count;
        if all > self.header.rows {
            return Err(self.row_count(all));
        }
        if let Some(known) = self.target.first_known(subject_ids)? {
            return Err(exists(&known));
        }
        let (reference, handle) = self.target.reserve(count)?;
        let ids: Vec<RowId> = (1..=count)
            .map(|n| RowId {
                reference: reference + n,
                subject: handle + n,
            })
            .collect();
        for (subject_id, id) in subject_ids.iter().zip(&ids) {
            if self.subjects.insert(subject_id.clone(), *id).is_some() {
                return Err(exists(subject_id));
            }
        }
        self.outstanding.extend(&ids);
        Ok(ids)
    }

    /// Writes rows, which come in the order of their reservation.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the rows are wiped once they are written"
    )]
    pub fn push(&mut self, rows: SegmentRows) -> Result<(), StorageError> {
        for id in &rows.ids {
            if self.outstanding.pop_front() != Some(*id) {
                return Err(StorageError::Rows(format!(
                    "reference {} is not the next one reserved",
                    id.reference
                )));
            }
        }
        let mut next = 0;
        while next < rows.ids.len() {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => self.begin_segment()?,
            };
            let end = rows.ids.len().min(next + file.room());
            file.push(&rows, next..end)?;
            self.pushed += (end - next) as u64;
            next = end;
            if file.room() == 0 {
                self.written.push(self.target.finish(*file)?);
            } else {
                self.file = Some(file);
            }
        }
        Ok(())
    }

    /// Makes the import durable and visible, unless somebody of it was erased since it began ([`WriteError::SubjectErased`]); returns the new segments' numbers in order. A request that was answered
    /// meanwhile is answered the same way, without segments.
    pub fn commit(mut self) -> Result<(ImportAnswer, Vec<u32>), StorageError> {
        if self.pushed != self.header.rows || !self.outstanding.is_empty() {
            return Err(self.row_count(self.pushed));
        }
        let imported = ImportedRows {
            header: &self.header,
            erasure: self.erasure,
            rows: self.subjects.as_slice(),
            segments: &self.written,
        };
        match self.target.commit(&imported) {
            Ok((answer, numbers)) => {
                if numbers.len() == self.written.len() {
                    self.written.clear();
                }
                Ok((answer, numbers))
            }
            Err(error) => {
                if error.may_be_done() {
                    // The catalog may have them; the next open will know. Until then they stay among those that no purge destroys.
                    let written: Vec<Ulid> = self.written.drain(..).map(|written| written.ulid).collect();
                    self.target.in_doubt(&written);
                    self.begun.clear();
                }
                Err(error)
            }
        }
    }

    fn begin_segment(&mut self) -> Result<Box<SegmentWriter>, StorageError> {
        let left = self.header.rows - self.pushed;
        let rows = u32::try_from(left).map_or(SEGMENT_ROWS_MAX, |left| left.min(SEGMENT_ROWS_MAX));
        let file = self.target.begin(rows)?;
        self.begun.push(file.ulid());
        Ok(Box::new(file))
    }

    fn row_count(&self, found: u64) -> StorageError {
        WriteError::RowCount {
            found,
            announced: self.header.rows,
        }
        .into()
    }
}

impl Drop for Importer {
    fn drop(&mut self) {
        drop(self.file.take());
        let written: Vec<Ulid> = self.written.iter().map(|written| written.ulid).collect();
        self.target.discard(&written);
        self.target.release(&self.begun);
    }
}

/// Segments of a store.
struct InStore(Arc<Shared>);

impl Target for InStore {
    fn first_known(&self, subject_ids: &[SubjectId]) -> Result<Option<SubjectId>, StorageError> {
        if self.0.state.lock().subjects == 0 {
            return Ok(None);
        }
        self.0.readers.first_known(subject_ids)
    }

    fn reserve(&self, count: u64) -> Result<(u64, u64), StorageError> {
        self.0.writer.lock().reserve(count)
    }

    fn begin(&self, rows: u32) -> Result<SegmentWriter, StorageError> {
        // Held while the file is made, so that a purge finds it in the set or not at all.
        let mut importing = self.0.importing.lock();
        let file = self.0.files.create(rows)?;
        importing.insert(file.ulid());
        Ok(file)
    }

    fn finish(&self, file: SegmentWriter) -> Result<WrittenSegment, StorageError> {
        self.0.files.finish(file)
    }

    fn commit(&self, imported: &ImportedRows<'_>) -> Result<(ImportAnswer, Vec<u32>), StorageError> {
        let shared = &*self.0;
        let (answer, entries) = shared.change(|catalog| {
            catalog.import(imported, Timestamp::now(), &mut |entries| {
                let lives = entries
                    .iter()
                    .map(|entry| shared.map(*entry, Arc::new(RwLock::default())))
                    .collect::<Result<Vec<_>, _>>()?;
                shared.publish(lives);
                Ok(())
            })
        })?;
        Ok((answer, entries.iter().map(|entry| entry.number).collect()))
    }

    fn discard(&self, written: &[Ulid]) {
        self.0.files.discard(written.iter().copied());
    }

    /// The next opening finds out.
    fn in_doubt(&self, _written: &[Ulid]) {}

    fn release(&self, begun: &[Ulid]) {
        let mut importing = self.0.importing.lock();
        for ulid in begun {
            importing.remove(ulid);
        }
    }
}

fn exists(subject_id: &SubjectId) -> StorageError {
    WriteError::SubjectExists {
        subject_id: subject_id.clone(),
    }
    .into()
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
