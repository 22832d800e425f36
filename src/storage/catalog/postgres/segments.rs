//! Segments in a database: which file holds which, rows on their way into them by flush and import, and what a purge puts in their place. Opens no file.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use ulid::Ulid;

use super::Tenant;
use super::changes::{ADD_SUBJECTS, ReferenceColumns, ints};
use super::head::Head;
use super::rows::{ReferenceCell, select, versions};
use crate::cluster::view::{Segment, View};
use crate::model::id::SubjectId;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::code::{int, to_json};
use crate::storage::catalog::draft::rows::Subject;
use crate::storage::catalog::import::ImportedRows;
use crate::storage::catalog::request::{self, Method};
use crate::storage::catalog::seam::Flushed;
use crate::storage::catalog::segments::{SegmentEntry, Tombstone};
use crate::storage::catalog::tables::StoredRequest;
use crate::storage::database::transaction::{Statement, Transaction, statement};
use crate::storage::error::{StorageError, WriteError};
use crate::storage::place::{RowId, SEGMENT_ROWS_MAX};
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::ImportAnswer;

/// Rows that one statement adds.
pub(super) const INSERTED_AT_ONCE: usize = 8_192;

const PLACE: &str = "UPDATE reference r SET segment = $2, slot = u.slot, placed = u.placed
    FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[]) AS u(id, subject, slot, placed)
    WHERE r.tenant = $1 AND r.id = u.id AND r.subject = u.subject RETURNING r.id";
const PLACE_TOMBSTONES: &str = "UPDATE tombstone t SET segment = $2, slot = u.slot, placed = u.placed
    FROM unnest($3::bigint[], $4::bigint[], $5::bytea[]) AS u(reference, slot, placed)
    WHERE t.tenant = $1 AND t.reference = u.reference";
const CLEAR_TOMBSTONES: &str = "UPDATE tombstone t SET segment = NULL, slot = NULL, placed = u.placed
    FROM unnest($2::bigint[], $3::bytea[]) AS u(reference, placed)
    WHERE t.tenant = $1 AND t.reference = u.reference AND t.segment = $4";
const ERASURES_OF: &str = select!(
    tombstone,
    "FROM tombstone WHERE tenant = $1 AND reference = ANY($2)"
);
pub(super) const ADD_SEGMENT: &str = "INSERT INTO segment (tenant, number, ulid, rows, holes, live_from, retired_from, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const REPLACE_SEGMENT: &str =
    "UPDATE segment SET ulid = $3, holes = $5, live_from = $6, retired_from = $7, mac = $8
    WHERE tenant = $1 AND number = $2 AND rows = $4";

impl Tenant {
    /// Adds a segment under a new number, see [`WriteCatalog::flush`](crate::storage::catalog::seam::WriteCatalog::flush).
    pub(super) fn flush(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        written: &WrittenSegment,
        ids: &[RowId],
    ) -> Result<Flushed, StorageError> {
        let entry = self.add_segment(transaction, head, written, true)?;
        let (mut references, mut subjects) = (Vec::new(), Vec::new());
        let (mut slots, mut placed) = (Vec::new(), Vec::new());
        let rows = by_reference(ids);
        for (row, id) in rows.values() {
            let place = Some((entry.number, *row));
            references.push(int(id.reference));
            subjects.push(int(id.subject));
            slots.push(i64::from(*row));
            placed.push(
                self.placed("reference", [id.reference, id.subject], place)
                    .to_vec(),
            );
        }
        let (number, segment) = (self.number, i64::from(entry.number));
        let of = references.clone();
        let found = transaction.query(statement!(
            PLACE, number, segment, references, subjects, slots, placed
        ))?;
        let found = found.iter().map(|row| self.columns("reference", row).uint(0));
        let found = found.collect::<Result<BTreeSet<u64>, _>>()?;
        let sql = "DELETE FROM pending WHERE tenant = $1 AND reference = ANY($2)";
        let pending = transaction.execute(statement!(sql, number, of))?;
        head.state.pending = self.less("pending", head.state.pending, pending)?;
        let gone: BTreeMap<u64, u32> = rows
            .into_iter()
            .filter(|(reference, _)| !found.contains(reference))
            .map(|(reference, (row, _))| (reference, row))
            .collect();
        self.bury(transaction, entry.number, &gone)?;
        head.tombstones += gone.len() as u64;
        let buried: BTreeSet<u32> = gone.into_values().collect();
        let is_dead = |(row, id): &(u32, &RowId)| **id == RowId::HOLE || buried.contains(row);
        let dead = (0..).zip(ids).filter(is_dead).map(|(row, _)| row).collect();
        Ok(Flushed { entry, dead, buried })
    }

    /// Gives the tombstones of references that were erased since they were read their places in a segment.
    pub(super) fn bury(
        &self,
        transaction: &Transaction,
        segment: u32,
        gone: &BTreeMap<u64, u32>,
    ) -> Result<(), StorageError> {
        if gone.is_empty() {
            return Ok(());
        }
        let erasures = self.erasures_of(transaction, gone.keys().copied())?;
        let (mut references, mut slots, mut placed) = (Vec::new(), Vec::new(), Vec::new());
        for (reference, erasure) in &erasures {
            let slot = *gone.get(reference).expect("it was asked for");
            let place = Some((segment, slot));
            references.push(int(*reference));
            slots.push(i64::from(slot));
            placed.push(self.placed("tombstone", [*reference, *erasure], place).to_vec());
        }
        let segment = i64::from(segment);
        let buried = transaction.execute(statement!(
            PLACE_TOMBSTONES,
            self.number,
            segment,
            references,
            slots,
            placed
        ))?;
        if buried == gone.len() as u64 {
            return Ok(());
        }
        // A reference that is gone leaves a tombstone until its erasure is purged, which waits for this.
        Err(self.damaged("tombstone", "a reference that is gone left none"))
    }

    /// Erasures of references that were erased.
    fn erasures_of(
        &self,
        transaction: &Transaction,
        references: impl Iterator<Item = u64>,
    ) -> Result<BTreeMap<u64, u64>, StorageError> {
        let references: Vec<u64> = references.collect();
        let rows = transaction.query(statement!(ERASURES_OF, self.number, ints(&references)))?;
        let erasures = rows.iter().map(|row| {
            // What is sealed anew has to be what was written.
            self.tombstone_row(row)?;
            let columns = self.columns("tombstone", row);
            Ok((columns.uint(0)?, columns.uint(1)?))
        });
        erasures.collect()
    }

    /// Adds a segment under a new number, warming or live.
    pub(super) fn add_segment(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        written: &WrittenSegment,
        is_live: bool,
    ) -> Result<SegmentEntry, StorageError> {
        head.state.last_segment += 1;
        let number = u32::try_from(head.state.last_segment).map_err(|_| StorageError::Limit {
            limit: "segment numbers of a tenant",
            max: u64::from(u32::MAX),
            value: head.state.last_segment,
        })?;
        let entry = SegmentEntry {
            number,
            ulid: written.ulid,
            rows: written.rows,
            holes: written.holes,
        };
        let mut view = View::of(head.list, BTreeMap::new());
        view.warm(number)?;
        if is_live {
            view.go_live(number, &BTreeSet::new())?;
        }
        head.list = view.list();
        self.put_segment(transaction, ADD_SEGMENT, &entry, view.segments()[&number])?;
        head.segments += 1;
        Ok(entry)
    }

    /// Lets a segment that is listed so count from the next version of the list on, where it may, and the former ones no more.
    pub(super) fn let_live(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        (entry, state): (SegmentEntry, Segment),
        former: &[(SegmentEntry, Segment)],
    ) -> Result<(), StorageError> {
        let states = former.iter().map(|(entry, state)| (entry.number, *state));
        let mut view = View::of(head.list, states.chain([(entry.number, state)]).collect());
        let retired = former.iter().map(|(entry, _)| entry.number).collect();
        view.go_live(entry.number, &retired)?;
        head.list = view.list();
        let all = former.iter().map(|(entry, _)| entry).chain([&entry]);
        let put =
            all.map(|entry| self.segment_statement(REPLACE_SEGMENT, entry, view.segments()[&entry.number]));
        let put = transaction.execute_all(put.collect())?;
        if put.iter().all(|put| *put == 1) {
            return Ok(());
        }
        Err(self.damaged(
            "segment",
            "a segment that goes live, or stops to count, is not there",
        ))
    }

    fn put_segment(
        &self,
        transaction: &Transaction,
        sql: &'static str,
        entry: &SegmentEntry,
        state: Segment,
    ) -> Result<u64, StorageError> {
        transaction.execute(self.segment_statement(sql, entry, state))
    }

    /// Adds a segment, or puts what is said here in the place of it.
    pub(super) fn segment_statement(
        &self,
        sql: &'static str,
        entry: &SegmentEntry,
        state: Segment,
    ) -> Statement {
        let (live_from, retired_from) = versions(state);
        statement!(
            sql,
            self.number,
            i64::from(entry.number),
            entry.ulid.to_bytes().to_vec(),
            i64::from(entry.rows),
            i64::from(entry.holes),
            live_from.map(int),
            retired_from.map(int),
            self.segment_mac(entry, state).to_vec(),
        )
    }

    /// Points a segment to the file that holds it without the rows of these tombstones, which need no place any more. Where a file is named that it was written from, the segment must
    /// still be in that one: another writer's has other holes. One from which an erased row is on its way into another segment stays as it is.
    pub(super) fn replace(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        (segment, from): (u32, Option<Ulid>),
        written: &WrittenSegment,
        gone: &[Tombstone],
    ) -> Result<(), StorageError> {
        let (before, state) = self.listed(transaction, segment)?;
        let is_another = from.is_some_and(|from| from != before.ulid);
        let is_retired = matches!(state, Segment::Retired { .. });
        if is_another || from.is_some() && (is_retired || self.is_merging(transaction, segment)?) {
            return Err(StorageError::RowsMoved(self.id.clone()));
        }
        let entry = SegmentEntry {
            number: segment,
            ulid: written.ulid,
            rows: written.rows,
            holes: written.holes,
        };
        let replaced = self.put_segment(transaction, REPLACE_SEGMENT, &entry, state)?;
        if replaced != 1 {
            return Err(self.damaged("segment", "a segment that is replaced is not there"));
        }
        let erasures = self.erasures_of(transaction, gone.iter().map(|tombstone| tombstone.reference))?;
        let placed = erasures
            .iter()
            .map(|(reference, erasure)| self.placed("tombstone", [*reference, *erasure], None).to_vec());
        let placed: Vec<Vec<u8>> = placed.collect();
        let references: Vec<i64> = erasures.keys().map(|reference| int(*reference)).collect();
        let cleared = transaction.execute(statement!(
            CLEAR_TOMBSTONES,
            self.number,
            references,
            placed,
            i64::from(segment)
        ))?;
        let went = written.holes.checked_sub(before.holes).map(u64::from);
        if from.is_some() && (cleared, went) != (gone.len() as u64, Some(cleared)) {
            return Err(self.damaged(
                "tombstone",
                "a segment has other new holes than tombstones that went",
            ));
        }
        head.tombstones = self.less("tombstone", head.tombstones, cleared)?;
        Ok(())
    }

    /// A counter after so many rows of a table went.
    pub(super) fn less(&self, table: &str, counter: u64, went: u64) -> Result<u64, StorageError> {
        let left = counter.checked_sub(went);
        left.ok_or_else(|| self.damaged(table, "more rows went than its counters say that there are"))
    }

    /// Those of these segments that are listed, as they are within the transaction.
    pub(super) fn entries(
        &self,
        transaction: &Transaction,
        segments: &BTreeSet<u32>,
    ) -> Result<BTreeMap<u32, SegmentEntry>, StorageError> {
        if segments.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.entries_of(&transaction.query(self.these(segments))?)
    }

    /// Selects these segments.
    pub(super) fn these(&self, segments: &BTreeSet<u32>) -> Statement {
        let numbers: Vec<i64> = segments.iter().map(|number| i64::from(*number)).collect();
        let sql = select!(segment, "FROM segment WHERE tenant = $1 AND number = ANY($2)");
        statement!(sql, self.number, numbers)
    }

    /// Segments by number, of their rows.
    pub(super) fn entries_of(&self, rows: &[Row]) -> Result<BTreeMap<u32, SegmentEntry>, StorageError> {
        let entries = rows.iter().map(|row| {
            let (entry, _) = self.segment_row(row)?;
            Ok((entry.number, entry))
        });
        entries.collect()
    }

    /// A segment as it is listed within the transaction.
    pub(super) fn listed(
        &self,
        transaction: &Transaction,
        segment: u32,
    ) -> Result<(SegmentEntry, Segment), StorageError> {
        let sql = select!(segment, "FROM segment WHERE tenant = $1 AND number = $2");
        let rows = transaction.query(statement!(sql, self.number, i64::from(segment)))?;
        let row = rows.first();
        row.map_or_else(
            || Err(StorageError::PlaceUnknown { segment, row: 0 }),
            |row| self.segment_row(row),
        )
    }

    /// Takes the rows in, or answers as before, then without segments.
    pub(super) fn import(
        &self,
        transaction: &Transaction,
        head: &mut Head,
        imported: &ImportedRows<'_>,
        now: Timestamp,
        is_told: bool,
    ) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError> {
        let header = imported.header;
        let lookup = self.request_lookup(&header.request_id).to_vec();
        let sql = select!(request, "FROM request WHERE tenant = $1 AND lookup = $2");
        let kept = transaction.query(statement!(sql, self.number, lookup))?;
        let kept = kept.first().map(|row| self.request_row(row)).transpose()?;
        let kept = kept.map(|(_, kept)| kept);
        if let Some(answer) = request::answer(kept, Method::Import, Some(&header.request_digest))? {
            return Ok((answer, Vec::new()));
        }
        let sql = select!(erasure, " FROM erasure WHERE tenant = $1 AND id > $2");
        let erased = transaction.query(statement!(sql, self.number, int(imported.erasure)))?;
        let erased = erased.iter().map(|row| Ok(self.erasure_row(row)?.subject_id));
        imported.refuse_erased(&erased.collect::<Result<_, StorageError>>()?)?;
        let entries = imported
            .segments
            .iter()
            .map(|written| self.add_segment(transaction, head, written, true))
            .collect::<Result<Vec<_>, _>>()?;
        if is_told {
            self.tell_of_live(transaction, head, &entries)?;
        } else {
            head.state.next_sequence();
        }
        let sequence = head.state.sequence;
        self.import_subjects(transaction, imported, now)?;
        self.import_references(transaction, imported, &entries, (sequence, now))?;
        let rows = imported.rows.len() as u64;
        head.state.subjects += rows;
        head.state.references += rows;
        let answer = ImportAnswer { rows, sequence };
        let kept = StoredRequest {
            method: Method::Import,
            digest: header.request_digest.to_vec(),
            answer: Some(to_json(&answer)),
            subject: None,
            at: now,
        };
        transaction.execute(self.add_requests(&[(header.request_id.clone(), kept)]))?;
        Ok((answer, entries))
    }

    fn import_subjects(
        &self,
        transaction: &Transaction,
        imported: &ImportedRows<'_>,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let rows: Vec<(&SubjectId, &RowId)> = imported.rows.iter().collect();
        for rows in rows.chunks(INSERTED_AT_ONCE) {
            // Asked before: what the server says of a duplicate ends the transaction. Nobody else enrols while the tenant's row is locked.
            let lookups = rows.iter().map(|(id, _)| self.subject_lookup(id).to_vec());
            let lookups: Vec<Vec<u8>> = lookups.collect();
            let sql = "SELECT lookup FROM subject WHERE tenant = $1 AND lookup = ANY($2)";
            let known = transaction.query(statement!(sql, self.number, lookups.clone()))?;
            if !known.is_empty() {
                let known = known.iter().map(|row| self.columns("subject", row).get(0));
                let known = known.collect::<Result<BTreeSet<&[u8]>, _>>()?;
                let first = rows
                    .iter()
                    .zip(&lookups)
                    .find(|(_, lookup)| known.contains(&lookup[..]));
                let ((subject_id, _), _) = first.expect("what is found was asked for");
                return Err(WriteError::SubjectExists {
                    subject_id: (*subject_id).clone(),
                }
                .into());
            }
            let subjects = rows.iter().map(|(id, row)| {
                let subject = Subject {
                    id: (*id).clone(),
                    created_at: now,
                    consent: imported.header.consent.clone(),
                    last_used: now,
                };
                (row.subject, subject)
            });
            let mut values = vec![Box::new(self.number) as _];
            values.extend(self.subject_columns(&subjects.collect::<Vec<_>>()));
            transaction.execute((ADD_SUBJECTS, values))?;
        }
        Ok(())
    }

    fn import_references(
        &self,
        transaction: &Transaction,
        imported: &ImportedRows<'_>,
        entries: &[SegmentEntry],
        (sequence, now): (u64, Timestamp),
    ) -> Result<(), StorageError> {
        let header = imported.header;
        let cell = ReferenceCell::new(header.hand, &header.capture, now);
        let mut rest = imported.rows;
        for entry in entries {
            let (rows, others) = rest.split_at(rest.len().min(SEGMENT_ROWS_MAX as usize));
            rest = others;
            let placed: Vec<(u32, &RowId)> = (0..).zip(rows.values()).collect();
            for placed in placed.chunks(INSERTED_AT_ONCE) {
                let mut columns = ReferenceColumns::default();
                for (row, id) in placed {
                    let numbers = [id.reference, id.subject, sequence];
                    columns.push(self, numbers, &cell, Some((entry.number, *row)));
                }
                transaction.execute(columns.statement(self))?;
            }
        }
        Ok(())
    }
}

/// The rows of a segment that are no holes, each with who it is, by reference.
pub(super) fn by_reference(ids: &[RowId]) -> BTreeMap<u64, (u32, RowId)> {
    (0..)
        .zip(ids)
        .filter(|(_, id)| **id != RowId::HOLE)
        .map(|(row, id)| (id.reference, (row, *id)))
        .collect()
}
