//! Erasure: everything of a subject goes, a receipt and tombstones stay. Runs within a transaction of its caller.

use std::path::Path;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::chain;
use super::group::Rules;
use super::request::{self, Method};
use super::seam::NUMBERS_PASSED;
use super::state::State;
use super::tables::{HeldReference, Person, Tables};
use crate::keys::encoding::to_hex;
use crate::keys::receipt::{self, ReceiptError, ReceiptSigner, SignerKeys};
use crate::model::erasure::{ErasureReceipt, ErasureState, Removed, SearchKey};
use crate::model::id::TenantId;
use crate::model::retention::Due;
use crate::model::timestamp::Timestamp;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::Place;
use crate::storage::store::CATALOG_FILE;
use crate::storage::traces;
use crate::storage::write::{Committed, EraseAnswer, EraseWrite, SubjectKey};

/// What a receipt says of a sealed row.
#[derive(Debug, Clone)]
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
pub(super) struct StoredAnswer {
    /// Its number.
    pub(super) erasure: u64,
}

/// Erases, or answers as before.
pub(super) fn erase(
    tables: &mut impl Tables,
    state: &mut State,
    rules: &Rules<'_>,
    write: &EraseWrite,
    now: Timestamp,
) -> Result<Committed, StorageError> {
    let asked = (&write.request_id, Method::Erase, &write.request_digest);
    if let Some(StoredAnswer { erasure }) = request::find(tables, asked)? {
        let answer = tables.erasure(erasure)?.ok_or(WriteError::SubjectUnknown)?;
        return Ok(committed(answer, Vec::new(), true));
    }
    if let Some(due) = write.only_if {
        let (_, person) = resolve(tables, &write.subject)?;
        // In the same transaction, so that a consent, a use or another policy that came since it was found due saves the subject.
        if tables.spec()?.policy.retention != due.retention || !is_due(&person, &due.no_later_than(now)) {
            return Err(WriteError::NotDue.into());
        }
    }
    let (answer, removed) = forget(tables, state, rules, &write.subject, now)?;
    let stored = StoredAnswer {
        erasure: answer.erasure,
    };
    request::insert(tables, asked, &stored, None, now)?;
    Ok(committed(answer, removed, false))
}

/// A subject named by id or link.
fn resolve(tables: &impl Tables, key: &SubjectKey) -> Result<(u64, Person), StorageError> {
    let handle = match key {
        SubjectKey::Id(id) => tables.subject(id)?,
        SubjectKey::Link { kind, lookup } => tables.link_owner(*kind, lookup)?,
    }
    .ok_or(WriteError::SubjectUnknown)?;
    let person = tables.person(handle)?.ok_or(WriteError::SubjectUnknown)?;
    Ok((handle, person))
}

fn is_due(person: &Person, due: &Due) -> bool {
    due.consent_ended_by()
        .is_some_and(|by| person.consent_expires_at <= by)
        || due.idle_since().is_some_and(|by| person.last_used <= by)
}

/// Erases under the next number; also gives where the rows were. An unknown subject changes nothing.
fn forget(
    tables: &mut impl Tables,
    state: &mut State,
    rules: &Rules<'_>,
    subject: &SubjectKey,
    now: Timestamp,
) -> Result<(EraseAnswer, Vec<Place>), StorageError> {
    let (handle, Person { subject_id, .. }) = resolve(tables, subject)?;
    let rows = tables.references(handle)?;
    let traces = rows
        .iter()
        .map(|held| trace_of(tables, rules, handle, held))
        .collect::<Result<Vec<_>, _>>()?;
    let (sealed_row_sha256, sealed_row_search) = traces
        .into_iter()
        .map(|trace| (trace.sha256, trace.search))
        .unzip();
    let removed = remove_subject(tables, state, &rules.spec.id, handle, &rows)?;
    state.last_erasure += 1;
    let receipt = ErasureReceipt {
        erasure: state.last_erasure,
        tenant: rules.spec.id.clone(),
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
        sequence: state.next_sequence(),
        subject_id,
        purged: false,
        receipt: rules.signer.sign(&receipt),
    };
    tables.insert_erasure(&answer, &rows)?;
    state.erasures_open += 1;
    Ok((answer, rows.into_iter().map(|held| held.place).collect()))
}

/// Does erasures again, see [`WriteCatalog::catch_up`](super::seam::WriteCatalog::catch_up). Counts who was erased.
pub(super) fn catch_up(
    tables: &mut impl Tables,
    state: &mut State,
    rules: &Rules<'_>,
    (erasures, may_miss_erasures): (&[ErasureEntry], bool),
    now: Timestamp,
) -> Result<u64, StorageError> {
    for number in [
        &mut state.sequence,
        &mut state.last_reference,
        &mut state.last_subject,
        &mut state.last_usage,
    ] {
        *number += NUMBERS_PASSED;
    }
    tables.touch_all(now)?;
    let mut erased = 0;
    for entry in erasures {
        let key = SubjectKey::Id(entry.subject_id.clone());
        state.last_erasure = entry.erasure - 1;
        match forget(tables, state, rules, &key, entry.erased_at) {
            Ok(_) => erased += 1,
            Err(StorageError::Write(WriteError::SubjectUnknown)) => {
                state.last_erasure = entry.erasure;
            }
            Err(error) => return Err(error),
        }
    }
    if may_miss_erasures {
        state.last_erasure += NUMBERS_PASSED;
    }
    Ok(erased)
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
    fits(receipt::verify_of(&stored.receipt, public_key)?, stored, tenant)
}

/// The same, or what a server signed that had the tenant before: whatever was moved from there was purged.
pub(in crate::storage) fn signed_here_or_before(
    stored: &EraseAnswer,
    tenant: &TenantId,
    signers: &SignerKeys,
) -> Result<ErasureReceipt, NotItsReceipt> {
    if !stored.purged {
        return signed(stored, tenant, &signers.present);
    }
    fits(signers.verify(&stored.receipt)?, stored, tenant)
}

fn fits(
    receipt: ErasureReceipt,
    stored: &EraseAnswer,
    tenant: &TenantId,
) -> Result<ErasureReceipt, NotItsReceipt> {
    let of = (&receipt.tenant, receipt.erasure, &receipt.subject_id);
    if of == (tenant, stored.erasure, &stored.subject_id) && receipt.purged_at.is_some() == stored.purged {
        Ok(receipt)
    } else {
        Err(NotItsReceipt::Another)
    }
}

/// Marks erasures purged of which no segment holds a row, signs their receipts anew and counts them.
pub(super) fn mark_purged(
    tables: &mut impl Tables,
    state: &mut State,
    (tenant, signer): (&TenantId, &ReceiptSigner),
    erasures: &[u64],
    now: Timestamp,
) -> Result<usize, StorageError> {
    let mut purged = 0;
    for erasure in erasures {
        let held = tables.is_held(*erasure)?;
        let Some(answer) = tables.erasure(*erasure)?.filter(|answer| !held && !answer.purged) else {
            continue;
        };
        let mut receipt = signed(&answer, tenant, signer.public_key()).map_err(|error| {
            StorageError::damaged(Path::new(CATALOG_FILE), format!("erasure {erasure}: {error}"))
        })?;
        receipt.purged_at = Some(now);
        receipt.state = ErasureState::Purged;
        tables.set_purged(*erasure, &signer.sign(&receipt))?;
        state.erasures_open -= 1;
        purged += 1;
    }
    Ok(purged)
}

fn trace_of(
    tables: &impl Tables,
    rules: &Rules<'_>,
    subject: u64,
    held: &HeldReference,
) -> Result<Trace, StorageError> {
    match held.place {
        Place::Segment { segment, row } => (rules.trace)(segment, row),
        Place::Pending { reference } => Ok(Trace::of(&tables.sealed(subject, reference)?)),
    }
}

/// SHA-256.
pub(in crate::storage) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// Deletes all that hangs on a subject and counts it.
fn remove_subject(
    tables: &mut impl Tables,
    state: &mut State,
    tenant: &TenantId,
    handle: u64,
    rows: &[HeldReference],
) -> Result<Removed, StorageError> {
    let is_pending = |held: &&HeldReference| matches!(held.place, Place::Pending { .. });
    state.pending -= rows.iter().filter(is_pending).count() as u64;
    state.references -= rows.len() as u64;
    state.subjects -= 1;
    let history = chain::forget(tables, tenant, handle)?;
    let removed = Removed {
        subject_handle: handle,
        references: tables.remove_references(handle)?,
        links: tables.remove_links(handle)?,
        usage_events: history.events,
        usage_events_altered: history.altered,
        stored_answers: tables.scrub_requests(handle)?,
    };
    tables.remove_subject(handle)?;
    Ok(removed)
}

fn committed(answer: EraseAnswer, removed: Vec<Place>, replayed: bool) -> Committed {
    Committed::Erased {
        erasure: answer.erasure,
        sequence: answer.sequence,
        subject_id: answer.subject_id,
        purged: answer.purged,
        receipt: answer.receipt,
        removed,
        replayed,
    }
}
