//! Enrolment: subject, consent, links, references, history and the stored answer. Runs within a transaction of its caller.

use super::request::{self, Method};
use super::state::State;
use super::tables::{NewReference, Tables};
use super::usage;
use crate::model::link::SealedLink;
use crate::model::signature::Dimension;
use crate::model::subject::{Hand, REFERENCES_PER_PALM_MAX};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::write::{Committed, EnrollAnswer, EnrollWrite};

/// Enrols, or answers as before.
pub(super) fn enroll(
    tables: &mut impl Tables,
    state: &mut State,
    spec: &TenantSpec,
    write: &EnrollWrite,
    now: Timestamp,
) -> Result<Committed, StorageError> {
    let asked = (&write.request_id, Method::Enroll, &write.request_digest);
    if let Some(answer) = request::find(tables, asked)? {
        return Ok(Committed::Enrolled {
            answer,
            replayed: true,
        });
    }
    check_lengths(write, spec.dimension)?;
    let handle = if let Some(known) = tables.subject(&write.subject_id)? {
        tables.set_consent(known, &write.consent)?;
        usage::touch(tables, known, now)?;
        known
    } else {
        let new = state.next_subject();
        tables.insert_subject(new, &write.subject_id, &write.consent, now)?;
        state.subjects += 1;
        new
    };
    check_room(tables, handle, write)?;
    for link in &write.links {
        put_link(tables, handle, link)?;
    }
    let sequence = state.next_sequence();
    let references = insert_references(tables, state, write, (handle, sequence, now))?;
    let subject = Some((handle, &write.subject_id));
    usage::insert(tables, state, &spec.id, &write.usage, subject)?;
    let answer = EnrollAnswer {
        subject_id: write.subject_id.clone(),
        references,
        sequence,
    };
    request::insert(tables, asked, &answer, Some(handle), now)?;
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

fn check_room(tables: &impl Tables, handle: u64, write: &EnrollWrite) -> Result<(), StorageError> {
    let held = tables.references(handle)?;
    for hand in [Hand::Left, Hand::Right] {
        let new = write.references.iter().filter(|new| new.hand == hand).count();
        let held = held.iter().filter(|held| held.hand == hand).count();
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

fn put_link(tables: &mut impl Tables, handle: u64, link: &SealedLink) -> Result<(), StorageError> {
    match tables.link_owner(link.kind, &link.lookup)? {
        Some(owner) if owner != handle => Err(WriteError::LinkTaken(link.kind).into()),
        _ => tables.put_link(handle, link),
    }
}

/// Adds the references of a subject and gives their numbers.
fn insert_references(
    tables: &mut impl Tables,
    state: &mut State,
    write: &EnrollWrite,
    (subject, sequence, enrolled_at): (u64, u64, Timestamp),
) -> Result<Vec<u64>, StorageError> {
    let mut references = Vec::with_capacity(write.references.len());
    for new in &write.references {
        let row = NewReference {
            reference: state.next_reference(),
            subject,
            hand: new.hand,
            capture: new.capture,
            enrolled_at,
            sequence,
        };
        tables.insert_reference(&row, &new.exact)?;
        references.push(row.reference);
    }
    state.references += references.len() as u64;
    state.pending += references.len() as u64;
    Ok(references)
}
