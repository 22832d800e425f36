//! Recording of the history: where and when palms were used, each event with what the chain needs of it. Names nobody who is not enrolled.

use super::chain::{self, Event};
use super::state::State;
use super::tables::{RecordedEvent, Tables};
use crate::model::id::{SubjectId, TenantId};
use crate::model::retention::LAST_USED_SLACK;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent};
use crate::storage::error::StorageError;

/// Records an event of a known subject (handle and id), or of none.
pub(super) fn insert(
    tables: &mut impl Tables,
    state: &mut State,
    tenant: &TenantId,
    event: &UsageEvent,
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
    })
}

/// Records an event as it comes. A subject that is not there, perhaps erased since the palm was seen, is left out,
/// so that no history is written of somebody forgotten.
pub(super) fn record(
    tables: &mut impl Tables,
    state: &mut State,
    tenant: &TenantId,
    event: &UsageEvent,
    now: Timestamp,
) -> Result<(), StorageError> {
    let subject = match &event.subject_id {
        Some(id) => tables.subject(id)?.map(|handle| (handle, id)),
        None => None,
    };
    // Who was claimed in vain was not there.
    if let (Some((handle, _)), Outcome::Match) = (subject, event.outcome) {
        touch(tables, handle, now)?;
    }
    insert(tables, state, tenant, event, subject)
}

/// Notes an interaction. One that is noted already is left, unless it is long ago; and a clock that jumped back takes nothing back.
pub(super) fn touch(tables: &mut impl Tables, subject: u64, now: Timestamp) -> Result<(), StorageError> {
    tables.touch(subject, now, now.minus(LAST_USED_SLACK))
}
