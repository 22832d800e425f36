//! Which file holds which segment, which rows moved where, and which rows of a segment are tombstones. Opens no file.

use rusqlite::{Connection, OptionalExtension, params};
use ulid::Ulid;

use super::code::{int, uint};
use super::pending::{self, PendingSeal};
use super::state::State;
use crate::storage::error::StorageError;
use crate::storage::place::{RowId, StoredRow};
use crate::storage::segment::writer::WrittenSegment;

/// A segment as the catalog has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct SegmentEntry {
    /// Stable number.
    pub(in crate::storage) number: u32,
    /// Its file now.
    pub(in crate::storage) ulid: Ulid,
    /// Rows, holes included.
    pub(in crate::storage) rows: u32,
    /// Holes in the file.
    pub(in crate::storage) holes: u32,
}

/// A tombstone: a row in a file that no search may find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Tombstone {
    /// Reference that was there.
    pub(in crate::storage) reference: u64,
    /// Its segment.
    pub(in crate::storage) segment: u32,
    /// Its row.
    pub(in crate::storage) row: u32,
}

/// All segments by number.
pub(in crate::storage) fn list(conn: &Connection) -> rusqlite::Result<Vec<SegmentEntry>> {
    conn.prepare("SELECT number, ulid, rows, holes FROM segment ORDER BY number")?
        .query_map([], |row| {
            let text = row.get_ref(1)?.as_str()?;
            let ulid = Ulid::from_string(text).map_err(|e| {
                rusqlite::Error::FromSqlConversionFailure(
                    1,
                    rusqlite::types::Type::Text,
                    e.to_string().into(),
                )
            })?;
            Ok(SegmentEntry {
                number: row.get(0)?,
                ulid,
                rows: row.get(2)?,
                holes: row.get(3)?,
            })
        })?
        .collect()
}

/// Adds a segment under a new number.
pub(in crate::storage) fn insert(
    conn: &Connection,
    state: &mut State,
    written: &WrittenSegment,
) -> Result<SegmentEntry, StorageError> {
    state.last_segment += 1;
    let number = u32::try_from(state.last_segment).map_err(|_| StorageError::Limit {
        limit: "segment numbers of a tenant",
        max: u64::from(u32::MAX),
        value: state.last_segment,
    })?;
    let entry = SegmentEntry {
        number,
        ulid: written.ulid,
        rows: written.rows,
        holes: written.holes,
    };
    add(conn, &entry)?;
    Ok(entry)
}

/// Adds a segment that has its number.
pub(in crate::storage) fn add(conn: &Connection, entry: &SegmentEntry) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO segment (number, ulid, rows, holes) VALUES (?, ?, ?, ?)")?
        .execute(params![
            entry.number,
            entry.ulid.to_string(),
            entry.rows,
            entry.holes
        ])?;
    Ok(())
}

/// Gives a pending reference its place. A reference that was erased since it was read leaves a tombstone there;
/// the answer is then `false`.
pub(in crate::storage) fn place_pending(
    conn: &Connection,
    state: &mut State,
    reference: u64,
    (segment, row): (u32, u32),
) -> Result<bool, StorageError> {
    let placed = conn
        .prepare_cached("UPDATE reference SET segment = ?, row = ? WHERE id = ?")?
        .execute(params![segment, row, int(reference)])?;
    if placed == 1 {
        if pending::remove(conn, reference)? {
            state.pending -= 1;
        }
        return Ok(true);
    }
    let buried = conn
        .prepare_cached("UPDATE tombstone SET segment = ?, row = ? WHERE reference = ?")?
        .execute(params![segment, row, int(reference)])?;
    assert_eq!(
        buried, 1,
        "a reference that is gone left a tombstone until its erasure is purged"
    );
    Ok(false)
}

/// Tombstones in segments, by segment and row.
pub(in crate::storage) fn tombstones(conn: &Connection) -> rusqlite::Result<Vec<Tombstone>> {
    conn.prepare_cached(
        "SELECT reference, segment, row FROM tombstone WHERE segment IS NOT NULL ORDER BY segment, row",
    )?
    .query_map([], |row| {
        Ok(Tombstone {
            reference: uint(row, 0)?,
            segment: row.get(1)?,
            row: row.get(2)?,
        })
    })?
    .collect()
}

/// Points a segment to the file that holds it without the rows of these tombstones, which need no tombstone any more.
pub(in crate::storage) fn replace(
    conn: &Connection,
    number: u32,
    written: &WrittenSegment,
    gone: &[Tombstone],
) -> rusqlite::Result<()> {
    let replaced = conn
        .prepare_cached("UPDATE segment SET ulid = ?, holes = ? WHERE number = ? AND rows = ?")?
        .execute(params![
            written.ulid.to_string(),
            written.holes,
            number,
            written.rows
        ])?;
    assert_eq!(replaced, 1, "a segment is replaced by one of as many rows");
    let mut clear =
        conn.prepare_cached("UPDATE tombstone SET segment = NULL, row = NULL WHERE reference = ?")?;
    for tombstone in gone {
        clear.execute([int(tombstone.reference)])?;
    }
    Ok(())
}

/// Where the row of a reference is now.
pub(in crate::storage) enum Located {
    /// In this segment, at this row.
    Placed {
        /// Number of the segment.
        segment: u32,
        /// Row within it.
        row: u32,
    },
    /// In the catalog still: this is it.
    Pending(StoredRow),
}

/// Finds a reference; `None` when it was erased or never was.
pub(in crate::storage) fn locate(
    conn: &Connection,
    seal: &PendingSeal,
    reference: u64,
) -> Result<Option<Located>, StorageError> {
    let found = conn
        .prepare_cached(
            "SELECT r.subject, r.segment, r.row, p.sealed
             FROM reference r LEFT JOIN pending p ON p.reference = r.id WHERE r.id = ?",
        )?
        .query_row([int(reference)], |row| {
            let place = row.get::<_, Option<u32>>(1)?.zip(row.get(2)?);
            Ok((uint(row, 0)?, place, row.get::<_, Option<Vec<u8>>>(3)?))
        })
        .optional()?;
    Ok(match found {
        None => None,
        Some((_, Some((segment, row)), _)) => Some(Located::Placed { segment, row }),
        Some((subject, None, sealed)) => {
            let sealed = sealed.ok_or_else(|| pending::missing(reference))?;
            Some(Located::Pending(StoredRow {
                id: RowId { reference, subject },
                exact: seal.open(reference, &sealed)?,
            }))
        }
    })
}
