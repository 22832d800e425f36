//! The history: where and when palms were used, each event with what the chain needs of it. Forgets with the subject.

use rusqlite::{Connection, Row, params};

use super::chain::{self, Event};
use super::code::{Coded, int, parsed, uint};
use super::state::State;
use super::subject;
use crate::model::id::{SiteId, SubjectId, TenantId};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageEvent};
use crate::storage::error::StorageError;

/// Records an event of a known subject (handle and id), or of none.
pub(in crate::storage) fn insert(
    conn: &Connection,
    state: &mut State,
    tenant: &TenantId,
    event: &UsageEvent,
    subject: Option<(u64, &SubjectId)>,
) -> rusqlite::Result<()> {
    state.last_usage += 1;
    let row = Event {
        number: state.last_usage,
        at: event.at.0,
        kind: event.kind.code(),
        outcome: event.outcome.code(),
        subject: subject.map(|(_, id)| id.as_str()),
        site: event.site.as_ref().map(SiteId::as_str),
        principal: event.principal.as_str(),
        request: event.request_id.as_str(),
    };
    let salt = chain::salt();
    conn.prepare_cached(
        "INSERT INTO usage (id, at, kind, outcome, subject, site, principal, request_id, salt, commitment)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        int(row.number),
        row.at,
        row.kind,
        row.outcome,
        subject.map(|(handle, _)| int(handle)),
        row.site,
        row.principal,
        row.request,
        salt,
        row.commitment(tenant, &salt),
    ])?;
    Ok(())
}

/// Records an event as it comes. A subject that is not there, perhaps erased since the palm was seen, is left out,
/// so that no history is written of somebody forgotten.
pub(in crate::storage) fn record(
    conn: &Connection,
    state: &mut State,
    tenant: &TenantId,
    event: &UsageEvent,
    now: Timestamp,
) -> Result<(), StorageError> {
    let subject = match &event.subject_id {
        Some(id) => subject::handle(conn, id)?.map(|handle| (handle, id)),
        None => None,
    };
    // Who was claimed in vain was not there.
    if let (Some((handle, _)), Outcome::Match) = (subject, event.outcome) {
        subject::touch(conn, handle, now)?;
    }
    Ok(insert(conn, state, tenant, event, subject)?)
}

/// Up to `limit` events with a number below `before`, newest first, and the number to go on from.
pub(in crate::storage) fn page(
    conn: &Connection,
    subject: Option<u64>,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<(Vec<UsageEvent>, Option<u64>)> {
    const SELECT: &str =
        "SELECT u.id, u.at, u.kind, u.outcome, s.subject_id, u.site, u.principal, u.request_id
        FROM usage u LEFT JOIN subject s ON s.handle = u.subject WHERE u.id < ?";
    let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    // One more than asked for tells whether there is a next page.
    let asked = i64::try_from(limit + 1).expect("the limit is small");
    let mut rows: Vec<(u64, UsageEvent)> = match subject {
        Some(subject) => conn
            .prepare_cached(&format!("{SELECT} AND u.subject = ? ORDER BY u.id DESC LIMIT ?"))?
            .query_map(params![before, int(subject), asked], event)?
            .collect::<Result<_, _>>()?,
        None => conn
            .prepare_cached(&format!("{SELECT} ORDER BY u.id DESC LIMIT ?"))?
            .query_map(params![before, asked], event)?
            .collect::<Result<_, _>>()?,
    };
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(id, _)| *id);
    Ok((rows.into_iter().map(|(_, event)| event).collect(), next))
}

fn event(row: &Row<'_>) -> rusqlite::Result<(u64, UsageEvent)> {
    let optional = |column: usize| {
        row.get_ref(column)
            .map(|value| value != rusqlite::types::ValueRef::Null)
    };
    let subject_id: Option<SubjectId> = optional(4)?.then(|| parsed(row, 4)).transpose()?;
    let event = UsageEvent {
        at: Timestamp(row.get(1)?),
        kind: Coded::column(row, 2)?,
        outcome: Coded::column(row, 3)?,
        subject_id,
        site: optional(5)?.then(|| parsed(row, 5)).transpose()?,
        principal: parsed(row, 6)?,
        request_id: parsed(row, 7)?,
    };
    Ok((uint(row, 0)?, event))
}
