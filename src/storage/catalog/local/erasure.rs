//! Erasures and tombstones in their tables. Decides nothing.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::model::erasure::{ErasureReceipt, SignedReceipt};
use crate::model::id::SubjectId;
use crate::model::tenant::TenantSpec;
use crate::storage::catalog::code::{from_json, int, parsed, uint};
use crate::storage::catalog::tables::HeldReference;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::Place;
use crate::storage::write::EraseAnswer;

/// An erasure as it is now.
pub(in crate::storage) fn find(conn: &Connection, erasure: u64) -> rusqlite::Result<Option<EraseAnswer>> {
    // A number that SQLite can't hold was never given out.
    let Ok(erasure) = i64::try_from(erasure) else {
        return Ok(None);
    };
    conn.prepare_cached(
        "SELECT id, subject_id, purged, receipt, signature, public_key, sequence FROM erasure WHERE id = ?",
    )?
    .query_row([erasure], answer)
    .optional()
}

pub(super) fn answer(row: &Row<'_>) -> rusqlite::Result<EraseAnswer> {
    Ok(EraseAnswer {
        erasure: uint(row, 0)?,
        sequence: uint(row, 6)?,
        subject_id: parsed(row, 1)?,
        purged: row.get(2)?,
        receipt: SignedReceipt {
            receipt_json: row.get(3)?,
            signature: row.get(4)?,
            public_key: row.get(5)?,
        },
    })
}

/// Up to `limit` erasures of this tenant numbered above `after` and up to `to`, in order, as the erasure journal has them.
pub(super) fn between(
    conn: &Connection,
    spec: &TenantSpec,
    (after, to): (u64, u64),
    limit: usize,
) -> rusqlite::Result<Vec<ErasureEntry>> {
    conn.prepare_cached(
        "SELECT id, sequence, subject_id, receipt FROM erasure WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
    )?
    .query_map(params![int(after), int(to), int(limit as u64)], |row| {
        let receipt: ErasureReceipt = from_json(3, row.get_ref(3)?.as_str()?)?;
        Ok(ErasureEntry {
            tenant: spec.id.clone(),
            created_at: spec.created_at,
            erasure: uint(row, 0)?,
            sequence: uint(row, 1)?,
            subject_id: parsed(row, 2)?,
            erased_at: receipt.erased_at,
        })
    })?
    .collect()
}

/// Numbers of the erasures of a subject of this id.
pub(super) fn of_subject(conn: &Connection, subject: &SubjectId) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT id FROM erasure WHERE subject_id = ? ORDER BY id")?
        .query_map([subject.as_str()], |row| uint(row, 0))?
        .collect()
}

/// Who was erased after this erasure.
pub(in crate::storage) fn after(conn: &Connection, erasure: u64) -> rusqlite::Result<HashSet<SubjectId>> {
    conn.prepare_cached("SELECT subject_id FROM erasure WHERE id > ?")?
        .query_map([int(erasure)], |row| parsed(row, 0))?
        .collect()
}

/// Numbers of all erasures.
pub(in crate::storage) fn all(conn: &Connection) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT id FROM erasure ORDER BY id")?
        .query_map([], |row| uint(row, 0))?
        .collect()
}

/// Numbers of the erasures that are not purged.
pub(super) fn open(conn: &Connection) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT id FROM erasure WHERE purged = 0 ORDER BY id")?
        .query_map([], |row| uint(row, 0))?
        .collect()
}

/// Adds an erasure, with a tombstone of each reference.
pub(super) fn insert(
    conn: &Connection,
    answer: &EraseAnswer,
    buried: &[HeldReference],
) -> rusqlite::Result<()> {
    insert_answer(conn, answer)?;
    for held in buried {
        let place = match held.place {
            Place::Segment { segment, row } => Some((segment, row)),
            // A flush that is under way finds the tombstone and gives it the place.
            Place::Pending { .. } => None,
        };
        bury(conn, answer.erasure, held.reference, place)?;
    }
    Ok(())
}

/// Adds an erasure without tombstones.
pub(super) fn insert_answer(conn: &Connection, answer: &EraseAnswer) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO erasure (id, subject_id, purged, sequence, receipt, signature, public_key)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        int(answer.erasure),
        answer.subject_id.as_str(),
        answer.purged,
        int(answer.sequence),
        answer.receipt.receipt_json,
        answer.receipt.signature,
        answer.receipt.public_key,
    ])?;
    Ok(())
}

/// Adds a tombstone of a reference, at its segment and row where it has any.
pub(super) fn bury(
    conn: &Connection,
    erasure: u64,
    reference: u64,
    place: Option<(u32, u32)>,
) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO tombstone (reference, erasure, segment, row) VALUES (?, ?, ?, ?)")?
        .execute(params![
            int(reference),
            int(erasure),
            place.map(|(segment, _)| segment),
            place.map(|(_, row)| row)
        ])?;
    Ok(())
}

/// Whether a segment holds a row of an erasure.
pub(super) fn is_held(conn: &Connection, erasure: u64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM tombstone WHERE erasure = ? AND segment IS NOT NULL)")?
        .query_row([int(erasure)], |row| row.get(0))
}

/// Marks an erasure purged, with its receipt, and removes its tombstones.
pub(super) fn set_purged(conn: &Connection, erasure: u64, receipt: &SignedReceipt) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE erasure SET purged = 1, receipt = ?, signature = ?, public_key = ? WHERE id = ?",
    )?
    .execute(params![
        receipt.receipt_json,
        receipt.signature,
        receipt.public_key,
        int(erasure)
    ])?;
    conn.prepare_cached("DELETE FROM tombstone WHERE erasure = ?")?
        .execute([int(erasure)])?;
    Ok(())
}
