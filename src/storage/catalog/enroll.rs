//! Enrolment in the catalog: subject, consent, links, pending rows, history and the stored answer. Runs within a transaction of its caller.

use rusqlite::{Connection, params};

use super::code::{Coded, int};
use super::pending::{self, PendingSeal};
use super::request::{self, Method};
use super::state::State;
use super::{subject, usage};
use crate::model::link::SealedLink;
use crate::model::signature::Dimension;
use crate::model::subject::{Hand, REFERENCES_PER_PALM_MAX};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::place::RowId;
use crate::storage::write::{Committed, EnrollAnswer, EnrollWrite};

/// Enrols, or answers as before.
pub(in crate::storage) fn enroll(
    conn: &Connection,
    state: &mut State,
    (seal, spec): (&PendingSeal, &TenantSpec),
    write: &EnrollWrite,
    now: Timestamp,
) -> Result<Committed, StorageError> {
    let request = (&write.request_id, Method::Enroll, &write.request_digest);
    if let Some(answer) = request::find(conn, request.0, request.1, request.2)? {
        return Ok(Committed::Enrolled {
            answer,
            replayed: true,
        });
    }
    check_lengths(write, spec.dimension)?;
    let consent = (subject::terms(conn, &write.consent)?, &write.consent);
    let mut inserts = subject::Inserts::prepare(conn, 1, consent, now)?;
    let handle = if let Some(known) = subject::handle(conn, &write.subject_id)? {
        subject::set_consent(conn, known, consent)?;
        subject::touch(conn, known, now)?;
        known
    } else {
        let new = state.next_subject();
        inserts.subjects(new, [&write.subject_id])?;
        state.subjects += 1;
        new
    };
    check_room(conn, handle, write)?;
    for link in &write.links {
        put_link(conn, handle, link)?;
    }
    let sequence = state.next_sequence();
    let mut references = Vec::with_capacity(write.references.len());
    for new in &write.references {
        let reference = state.next_reference();
        let row = subject::NewReference {
            id: RowId {
                reference,
                subject: handle,
            },
            hand: new.hand,
            capture: new.capture,
            place: None,
            sequence,
        };
        inserts.references(&row, now)?;
        pending::insert(conn, reference, &seal.seal(reference, &new.exact))?;
        references.push(reference);
    }
    state.references += references.len() as u64;
    state.pending += references.len() as u64;
    let subject = Some((handle, &write.subject_id));
    usage::insert(conn, state, &spec.id, &write.usage, subject)?;
    let answer = EnrollAnswer {
        subject_id: write.subject_id.clone(),
        references,
        sequence,
    };
    request::insert(conn, request, &answer, Some(handle), now)?;
    Ok(Committed::Enrolled {
        answer,
        replayed: false,
    })
}

fn check_lengths(write: &EnrollWrite, dimension: Dimension) -> Result<(), WriteError> {
    let expected = 2 * dimension.get();
    match write.references.iter().find(|new| new.exact.len() != expected) {
        Some(new) => Err(WriteError::RowLength {
            found: new.exact.len(),
            expected,
        }),
        None => Ok(()),
    }
}

fn check_room(conn: &Connection, handle: u64, write: &EnrollWrite) -> Result<(), StorageError> {
    for hand in [Hand::Left, Hand::Right] {
        let new = write.references.iter().filter(|new| new.hand == hand).count();
        let held: i64 = conn
            .prepare_cached("SELECT count(*) FROM reference WHERE subject = ? AND hand = ?")?
            .query_row([int(handle), hand.code()], |row| row.get(0))?;
        let held = usize::try_from(held).expect("a count is not negative");
        if new > 0 && held + new > REFERENCES_PER_PALM_MAX {
            return Err(WriteError::ReferencesFull {
                hand,
                max: REFERENCES_PER_PALM_MAX,
            }
            .into());
        }
    }
    Ok(())
}

fn put_link(conn: &Connection, handle: u64, link: &SealedLink) -> Result<(), StorageError> {
    match subject::link_owner(conn, link.kind, &link.lookup)? {
        Some(owner) if owner != handle => return Err(WriteError::LinkTaken(link.kind).into()),
        _ => {}
    }
    conn.prepare_cached(
        "INSERT INTO link (subject, kind, lookup, sealed) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (subject, kind) DO UPDATE SET lookup = ?3, sealed = ?4",
    )?
    .execute(params![int(handle), link.kind.code(), link.lookup, link.sealed])?;
    Ok(())
}
