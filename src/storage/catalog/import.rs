//! The catalog's part of an import: subjects and references of segments that are written already. Runs within a transaction of its caller.

use std::collections::HashSet;

use indexmap::map::Slice;
use rusqlite::{Connection, ErrorCode};

use super::local::erasure;
use super::local::subject::{ReferenceInsert, SubjectInsert, handle, terms};
use super::request::{self, Method};
use super::segments::{self, SegmentEntry};
use super::state::State;
use super::tables::{NewReference, Tables};
use crate::model::id::SubjectId;
use crate::model::timestamp::Timestamp;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::place::{RowId, SEGMENT_ROWS_MAX};
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::{ImportAnswer, ImportWrite};

/// Rows that one statement adds: most of what a statement costs is for itself and its parameters.
const INSERTED_AT_ONCE: usize = 256;

/// What an import brings: rows in the order in which they fill the segments.
pub(in crate::storage) struct ImportedRows<'a> {
    /// What holds for all of them.
    pub(in crate::storage) header: &'a ImportWrite,
    /// The last erasure before the import began.
    pub(in crate::storage) erasure: u64,
    /// Who they are.
    pub(in crate::storage) rows: &'a Slice<SubjectId, RowId>,
    /// Their files, each full but the last.
    pub(in crate::storage) segments: &'a [WrittenSegment],
}

impl ImportedRows<'_> {
    /// Refuses who was erased since the import began.
    pub(in crate::storage) fn refuse_erased(&self, erased: &HashSet<SubjectId>) -> Result<(), WriteError> {
        if erased.is_empty() {
            return Ok(());
        }
        match self.rows.keys().find(|subject_id| erased.contains(*subject_id)) {
            Some(subject_id) => Err(WriteError::SubjectErased {
                subject_id: subject_id.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// Takes the rows in, or answers as before, then without segments.
pub(in crate::storage) fn import(
    conn: &Connection,
    tables: &mut impl Tables,
    state: &mut State,
    imported: &ImportedRows<'_>,
    now: Timestamp,
) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError> {
    let header = imported.header;
    let asked = (&header.request_id, Method::Import, &header.request_digest);
    if let Some(answer) = request::find(tables, asked)? {
        return Ok((answer, Vec::new()));
    }
    imported.refuse_erased(&erasure::after(conn, imported.erasure)?)?;
    let sequence = state.next_sequence();
    let entries = imported
        .segments
        .iter()
        .map(|written| segments::insert(conn, state, written))
        .collect::<Result<Vec<_>, _>>()?;
    // One table after the other: that is faster than by turns.
    insert_subjects(conn, imported, now)?;
    insert_references(conn, imported, &entries, (sequence, now))?;
    let rows = imported.rows.len() as u64;
    state.subjects += rows;
    state.references += rows;
    let answer = ImportAnswer { rows, sequence };
    request::insert(tables, asked, &answer, None, now)?;
    Ok((answer, entries))
}

fn insert_subjects(
    conn: &Connection,
    imported: &ImportedRows<'_>,
    now: Timestamp,
) -> Result<(), StorageError> {
    let consent = &imported.header.consent;
    let consent = (terms(conn, consent)?, consent);
    let mut lone = SubjectInsert::prepare(conn, 1, consent, now)?;
    let mut many = SubjectInsert::prepare(conn, INSERTED_AT_ONCE, consent, now)?;
    // A statement of several rows copies each page that it changes: it pays where ids come in order, so that those are few.
    let inserted = stretches(imported.rows, |id, next| id < next).try_for_each(|rows| {
        let (_, first) = rows.first().expect("none is empty");
        let insert = if rows.len() == 1 { &mut lone } else { &mut many };
        insert
            .insert(first.subject, rows.keys())
            .map_err(|error| name_duplicate(conn, error, rows))
    });
    many.discard();
    inserted
}

fn insert_references(
    conn: &Connection,
    imported: &ImportedRows<'_>,
    entries: &[SegmentEntry],
    (sequence, enrolled_at): (u64, Timestamp),
) -> Result<(), StorageError> {
    let mut lone = ReferenceInsert::prepare(conn, 1)?;
    let mut many = ReferenceInsert::prepare(conn, INSERTED_AT_ONCE)?;
    let mut insert = || {
        let mut rest = imported.rows;
        for entry in entries {
            let (rows, others) = rest.split_at(rest.len().min(SEGMENT_ROWS_MAX as usize));
            rest = others;
            let mut row = 0;
            for rows in stretches(rows, |_, _| true) {
                let (_, first) = rows.first().expect("none is empty");
                let reference = NewReference {
                    reference: first.reference,
                    subject: first.subject,
                    hand: imported.header.hand,
                    capture: imported.header.capture,
                    enrolled_at,
                    sequence,
                };
                let insert = if rows.len() == 1 { &mut lone } else { &mut many };
                insert.insert(&reference, Some((entry.number, row)))?;
                row += u32::try_from(rows.len()).expect("a segment's rows are numbered in 32 bits");
            }
        }
        Ok(())
    };
    let inserted = insert();
    many.discard();
    inserted
}

/// Cuts rows into as many as one statement takes, numbered one after the other, whose ids follow each other as they should, and lone ones.
fn stretches(
    rows: &Slice<SubjectId, RowId>,
    follows: fn(&SubjectId, &SubjectId) -> bool,
) -> impl Iterator<Item = &Slice<SubjectId, RowId>> {
    let cut = |len: usize, each: usize| {
        (0..len)
            .step_by(each)
            .map(move |first| first..len.min(first + each))
    };
    cut(rows.len(), INSERTED_AT_ONCE).flat_map(move |range| {
        let some = rows.get_range(range).expect("within the rows");
        let in_order = some
            .iter()
            .zip(some.iter().skip(1))
            .all(|((id, at), (next_id, next))| {
                (next.reference, next.subject) == (at.reference + 1, at.subject + 1) && follows(id, next_id)
            });
        let is_one = in_order && some.len() == INSERTED_AT_ONCE;
        cut(some.len(), if is_one { INSERTED_AT_ONCE } else { 1 })
            .map(move |range| some.get_range(range).expect("within the rows"))
    })
}

/// Who of these was enrolled after the import asked for it.
fn name_duplicate(conn: &Connection, error: rusqlite::Error, rows: &Slice<SubjectId, RowId>) -> StorageError {
    if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
        return error.into();
    }
    for subject_id in rows.keys() {
        match handle(conn, subject_id) {
            Ok(None) => {}
            Ok(Some(_)) => {
                return WriteError::SubjectExists {
                    subject_id: subject_id.clone(),
                }
                .into();
            }
            Err(error) => return error.into(),
        }
    }
    error.into()
}
