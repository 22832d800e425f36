//! The catalog's part of an import: subjects and references of segments that are written already. Runs within a transaction of its caller.

use indexmap::map::Slice;
use rusqlite::{Connection, ErrorCode};

use super::request::{self, Method};
use super::segments::{self, SegmentEntry};
use super::state::State;
use super::subject;
use crate::model::id::SubjectId;
use crate::model::timestamp::Timestamp;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::place::{RowId, SEGMENT_ROWS_MAX};
use crate::storage::segment::writer::WrittenSegment;
use crate::storage::write::{ImportAnswer, ImportWrite};

/// What an import brings: rows in the order in which they fill the segments.
pub(in crate::storage) struct ImportedRows<'a> {
    /// What holds for all of them.
    pub(in crate::storage) header: &'a ImportWrite,
    /// Who they are.
    pub(in crate::storage) rows: &'a Slice<SubjectId, RowId>,
    /// Their files, each full but the last.
    pub(in crate::storage) segments: &'a [WrittenSegment],
}

/// Takes the rows in, or answers as before, then without segments.
pub(in crate::storage) fn import(
    conn: &Connection,
    state: &mut State,
    imported: &ImportedRows<'_>,
    now: Timestamp,
) -> Result<(ImportAnswer, Vec<SegmentEntry>), StorageError> {
    let header = imported.header;
    let asked = (&header.request_id, Method::Import, &header.request_digest);
    if let Some(answer) = request::find(conn, asked.0, asked.1, asked.2)? {
        return Ok((answer, Vec::new()));
    }
    let sequence = state.next_sequence();
    let entries = imported
        .segments
        .iter()
        .map(|written| segments::insert(conn, state, written))
        .collect::<Result<Vec<_>, _>>()?;
    let terms = subject::terms(conn, &header.consent)?;
    let mut inserts = subject::Inserts::prepare(conn)?;
    let places = entries
        .iter()
        .flat_map(|entry| (0..SEGMENT_ROWS_MAX).map(|row| (entry.number, row)));
    // One table after the other: that is faster than by turns.
    for (subject_id, id) in imported.rows {
        inserts
            .subject(id.subject, subject_id, (terms, &header.consent), now)
            .map_err(|e| name_duplicate(e, subject_id))?;
    }
    for (id, place) in imported.rows.values().zip(places) {
        let reference = subject::NewReference {
            id: *id,
            hand: header.hand,
            capture: header.capture,
            place: Some(place),
            sequence,
        };
        inserts.reference(&reference, now)?;
    }
    let rows = imported.rows.len() as u64;
    state.subjects += rows;
    state.references += rows;
    let answer = ImportAnswer { rows, sequence };
    request::insert(conn, asked, &answer, None, now)?;
    Ok((answer, entries))
}

/// A subject that was enrolled after the import asked for it.
fn name_duplicate(error: rusqlite::Error, subject_id: &SubjectId) -> StorageError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => WriteError::SubjectExists {
            subject_id: subject_id.clone(),
        }
        .into(),
        _ => error.into(),
    }
}
