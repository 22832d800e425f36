//! Erasure in the catalog: everything of a subject goes, a receipt and tombstones stay. Runs within a transaction of its caller.

use std::path::Path;

use aws_lc_rs::digest;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::code::{from_json, int, parsed, uint};
use super::request::{self, Method};
use super::state::State;
use super::{chain, pending, subject, tenant};
use crate::keys::encoding::to_hex;
use crate::keys::receipt::{self, ReceiptError, ReceiptSigner};
use crate::model::erasure::{ErasureReceipt, ErasureState, Removed, SearchKey, SignedReceipt};
use crate::model::id::{SubjectId, TenantId};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::Place;
use crate::storage::traces;
use crate::storage::write::{Committed, EraseAnswer, EraseWrite, SubjectKey};

/// What an erasure needs beside the catalog.
pub(in crate::storage) struct EraseContext<'a> {
    /// The tenant, named in the receipt.
    pub(in crate::storage) tenant: &'a TenantId,
    /// Signs the receipt.
    pub(in crate::storage) signer: &'a ReceiptSigner,
    /// What a receipt says of a sealed row (segment, row) as it stands in its file.
    pub(in crate::storage) trace: &'a dyn Fn(u32, u32) -> Result<Trace, StorageError>,
}

/// What a receipt says of a sealed row.
pub(in crate::storage) struct Trace {
    sha256: String,
    search: SearchKey,
}

impl Trace {
    /// Of these bytes.
    pub(in crate::storage) fn of(sealed: &[u8]) -> Self {
        Self {
            sha256: to_hex(&sha256(sealed)),
            search: traces::search_key(sealed),
        }
    }
}

/// What is kept of an answered erasure; the rest is in its receipt.
#[derive(Serialize, Deserialize)]
struct StoredAnswer {
    erasure: u64,
}

/// Erases, or answers as before.
pub(in crate::storage) fn erase(
    conn: &Connection,
    state: &mut State,
    context: &EraseContext<'_>,
    write: &EraseWrite,
    now: Timestamp,
) -> Result<Committed, StorageError> {
    let asked = (&write.request_id, Method::Erase, &write.request_digest);
    if let Some(StoredAnswer { erasure }) = request::find(conn, asked.0, asked.1, asked.2)? {
        let answer = find(conn, erasure)?.ok_or(WriteError::SubjectUnknown)?;
        return Ok(committed(answer, Vec::new(), true));
    }
    if let Some(due) = write.only_if {
        let handle = subject::resolve(conn, &write.subject)?.ok_or(WriteError::SubjectUnknown)?;
        // In the same transaction, so that a consent, a use or another policy that came since it was found due saves the subject.
        if tenant::spec(conn)?.policy.retention != due.retention
            || !subject::is_due(conn, handle, &due.no_later_than(now))?
        {
            return Err(WriteError::NotDue.into());
        }
    }
    let (answer, removed) = forget(conn, state, context, &write.subject, now)?;
    let stored = StoredAnswer {
        erasure: answer.erasure,
    };
    request::insert(conn, asked, &stored, None, now)?;
    Ok(committed(answer, removed, false))
}

/// Erases under the next number; also gives where the rows were. An unknown subject changes nothing.
pub(in crate::storage) fn forget(
    conn: &Connection,
    state: &mut State,
    context: &EraseContext<'_>,
    subject: &SubjectKey,
    now: Timestamp,
) -> Result<(EraseAnswer, Vec<Place>), StorageError> {
    let handle = subject::resolve(conn, subject)?.ok_or(WriteError::SubjectUnknown)?;
    let subject_id = subject::id(conn, handle)?.ok_or(WriteError::SubjectUnknown)?;
    let rows = subject::places(conn, handle)?;
    let traces = rows
        .iter()
        .map(|(reference, place)| trace_of(conn, context, *reference, *place))
        .collect::<Result<Vec<_>, _>>()?;
    let (sealed_row_sha256, sealed_row_search) = traces
        .into_iter()
        .map(|trace| (trace.sha256, trace.search))
        .unzip();
    let removed = remove_subject(conn, state, context.tenant, handle, &rows)?;
    state.last_erasure += 1;
    let receipt = ErasureReceipt {
        erasure: state.last_erasure,
        tenant: context.tenant.clone(),
        subject_id: subject_id.clone(),
        erased_at: now,
        purged_at: None,
        state: ErasureState::Erased,
        sealed_row_sha256,
        sealed_row_search,
        removed: Some(removed),
    };
    let answer = EraseAnswer {
        erasure: receipt.erasure,
        subject_id,
        purged: false,
        receipt: context.signer.sign(&receipt),
    };
    insert(conn, &answer, state.next_sequence())?;
    bury(conn, answer.erasure, &rows)?;
    state.erasures_open += 1;
    Ok((answer, rows.into_iter().map(|(_, place)| place).collect()))
}

/// An erasure as it is now.
pub(in crate::storage) fn find(conn: &Connection, erasure: u64) -> rusqlite::Result<Option<EraseAnswer>> {
    // A number that SQLite can't hold was never given out.
    let Ok(erasure) = i64::try_from(erasure) else {
        return Ok(None);
    };
    conn.prepare_cached(
        "SELECT id, subject_id, purged, receipt, signature, public_key FROM erasure WHERE id = ?",
    )?
    .query_row([erasure], answer)
    .optional()
}

/// Up to `limit` erasures of this tenant numbered above `after` and up to `to`, in order, as the erasure journal has them.
pub(in crate::storage) fn between(
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
pub(in crate::storage) fn of_subject(conn: &Connection, subject: &SubjectId) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT id FROM erasure WHERE subject_id = ? ORDER BY id")?
        .query_map([subject.as_str()], |row| uint(row, 0))?
        .collect()
}

/// Numbers of all erasures.
pub(in crate::storage) fn all(conn: &Connection) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT id FROM erasure ORDER BY id")?
        .query_map([], |row| uint(row, 0))?
        .collect()
}

/// Numbers of the erasures that are not purged.
pub(in crate::storage) fn open(conn: &Connection) -> rusqlite::Result<Vec<u64>> {
    conn.prepare_cached("SELECT id FROM erasure WHERE purged = 0 ORDER BY id")?
        .query_map([], |row| uint(row, 0))?
        .collect()
}

/// Why what stands by an erasure is not its receipt.
#[derive(Debug, Error)]
pub(in crate::storage) enum NotItsReceipt {
    /// This server did not sign it.
    #[error("its receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// It did, for something else.
    #[error("its receipt is of another one")]
    Another,
}

/// What the server with this public key signed of an erasure as it is now.
pub(in crate::storage) fn signed(
    stored: &EraseAnswer,
    tenant: &TenantId,
    public_key: &[u8],
) -> Result<ErasureReceipt, NotItsReceipt> {
    let receipt = receipt::verify_of(&stored.receipt, public_key)?;
    let of = (&receipt.tenant, receipt.erasure, &receipt.subject_id);
    if of == (tenant, stored.erasure, &stored.subject_id) && receipt.purged_at.is_some() == stored.purged {
        Ok(receipt)
    } else {
        Err(NotItsReceipt::Another)
    }
}

/// Marks an erasure purged and signs its receipt anew; `false` when a segment still holds a row of it.
pub(in crate::storage) fn mark_purged(
    conn: &Connection,
    state: &mut State,
    (tenant, signer): (&TenantId, &ReceiptSigner),
    erasure: u64,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let held: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM tombstone WHERE erasure = ? AND segment IS NOT NULL)")?
        .query_row([int(erasure)], |row| row.get(0))?;
    let Some(answer) = find(conn, erasure)?.filter(|answer| !held && !answer.purged) else {
        return Ok(false);
    };
    let mut receipt = signed(&answer, tenant, signer.public_key()).map_err(|error| {
        StorageError::damaged(Path::new("catalog.db"), format!("erasure {erasure}: {error}"))
    })?;
    receipt.purged_at = Some(now);
    receipt.state = ErasureState::Purged;
    let renewed = signer.sign(&receipt);
    conn.prepare_cached(
        "UPDATE erasure SET purged = 1, receipt = ?, signature = ?, public_key = ? WHERE id = ?",
    )?
    .execute(params![
        renewed.receipt_json,
        renewed.signature,
        renewed.public_key,
        int(erasure)
    ])?;
    conn.prepare_cached("DELETE FROM tombstone WHERE erasure = ?")?
        .execute([int(erasure)])?;
    state.erasures_open -= 1;
    Ok(true)
}

fn trace_of(
    conn: &Connection,
    context: &EraseContext<'_>,
    reference: u64,
    place: Place,
) -> Result<Trace, StorageError> {
    match place {
        Place::Segment { segment, row } => (context.trace)(segment, row),
        Place::Pending { .. } => {
            let sealed = pending::sealed(conn, reference)?.ok_or_else(|| pending::missing(reference))?;
            Ok(Trace::of(&sealed))
        }
    }
}

/// SHA-256.
pub(in crate::storage) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

fn insert(conn: &Connection, answer: &EraseAnswer, sequence: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO erasure (id, subject_id, purged, sequence, receipt, signature, public_key)
         VALUES (?, ?, 0, ?, ?, ?, ?)",
    )?
    .execute(params![
        int(answer.erasure),
        answer.subject_id.as_str(),
        int(sequence),
        answer.receipt.receipt_json,
        answer.receipt.signature,
        answer.receipt.public_key,
    ])?;
    Ok(())
}

/// Deletes all that hangs on a subject and counts it.
fn remove_subject(
    conn: &Connection,
    state: &mut State,
    tenant: &TenantId,
    handle: u64,
    rows: &[(u64, Place)],
) -> rusqlite::Result<Removed> {
    for (reference, _) in rows {
        if pending::remove(conn, *reference)? {
            state.pending -= 1;
        }
    }
    state.references -= rows.len() as u64;
    state.subjects -= 1;
    let delete = |sql| conn.prepare_cached(sql)?.execute([int(handle)]);
    let history = chain::forget(conn, tenant, handle)?;
    let removed = Removed {
        subject_handle: handle,
        references: delete("DELETE FROM reference WHERE subject = ?")? as u64,
        links: delete("DELETE FROM link WHERE subject = ?")? as u64,
        usage_events: history.events,
        usage_events_altered: history.altered,
        stored_answers: request::scrub(conn, handle)?,
    };
    delete("DELETE FROM subject WHERE handle = ?")?;
    Ok(removed)
}

/// Leaves a tombstone of each row of an erasure.
fn bury(conn: &Connection, erasure: u64, rows: &[(u64, Place)]) -> rusqlite::Result<()> {
    for (reference, place) in rows {
        let (segment, row) = match *place {
            Place::Segment { segment, row } => (Some(segment), Some(row)),
            // A flush that is under way finds the tombstone and gives it the place.
            Place::Pending { .. } => (None, None),
        };
        conn.prepare_cached("INSERT INTO tombstone (reference, erasure, segment, row) VALUES (?, ?, ?, ?)")?
            .execute(params![int(*reference), int(erasure), segment, row])?;
    }
    Ok(())
}

fn answer(row: &Row<'_>) -> rusqlite::Result<EraseAnswer> {
    Ok(EraseAnswer {
        erasure: uint(row, 0)?,
        subject_id: parsed(row, 1)?,
        purged: row.get(2)?,
        receipt: SignedReceipt {
            receipt_json: row.get(3)?,
            signature: row.get(4)?,
            public_key: row.get(5)?,
        },
    })
}

fn committed(answer: EraseAnswer, removed: Vec<Place>, replayed: bool) -> Committed {
    Committed::Erased {
        erasure: answer.erasure,
        subject_id: answer.subject_id,
        purged: answer.purged,
        receipt: answer.receipt,
        removed,
        replayed,
    }
}
