//! Recording of the history: where and when palms were used, each event with what the chain needs of it. Names nobody who is not enrolled.

use super::chain::{self, Event};
use super::state::State;
use super::tables::{RecordedEvent, Tables};
use crate::model::id::{SubjectId, TenantId};
use crate::model::retention::LAST_USED_SLACK;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{EventId, Outcome, UsageEvent, UsageRecord};
use crate::storage::error::StorageError;

/// Records an event of a known subject (handle and id), or of none.
pub(super) fn insert(
    tables: &mut impl Tables,
    state: &mut State,
    tenant: &TenantId,
    event: &UsageEvent,
    subject: Option<(u64, &SubjectId)>,
) -> Result<(), StorageError> {
    add(tables, state, tenant, (event, None), subject)
}

fn add(
    tables: &mut impl Tables,
    state: &mut State,
    tenant: &TenantId,
    (event, told): (&UsageEvent, Option<EventId>),
    subject: Option<(u64, &SubjectId)>,
) -> Result<(), StorageError> {
    state.last_usage += 1;
    let number = state.last_usage;
    let event = UsageEvent {
        subject_id: subject.map(|(_, id)| id.clone()),
        ..event.clone()
    };
    let salt = chain::salt();
    tables.insert_event(RecordedEvent {
        number,
        subject: subject.map(|(handle, _)| handle),
        commitment: Event::of(number, &event).commitment(tenant, &salt),
        event,
        salt,
        told,
    })
}

/// Records an event as it comes, unless it has come before. A subject that is not there, perhaps erased since the palm was seen, is left out,
/// so that no history is written of somebody forgotten.
pub(super) fn record(
    tables: &mut impl Tables,
    state: &mut State,
    tenant: &TenantId,
    UsageRecord { id, event }: &UsageRecord,
    now: Timestamp,
) -> Result<(), StorageError> {
    if tables.is_recorded(*id)? {
        return Ok(());
    }
    let subject = match &event.subject_id {
        Some(id) => tables.subject(id)?.map(|handle| (handle, id)),
        None => None,
    };
    // Who was claimed in vain was not there.
    if let (Some((handle, _)), Outcome::Match) = (subject, event.outcome) {
        touch(tables, handle, now)?;
    }
    add(tables, state, tenant, (event, Some(*id)), subject)
}

/// Notes an interaction. One that is noted already is left, unless it is long ago; and a clock that jumped back takes nothing back.
pub(super) fn touch(tables: &mut impl Tables, subject: u64, now: Timestamp) -> Result<(), StorageError> {
    tables.touch(subject, now, now.minus(LAST_USED_SLACK))
}
