//! The history in its tables: events, what erasures left of them, the chain over them and its checkpoints. Decides nothing.

use rusqlite::{Connection, Row, params};

use crate::model::checkpoint::{ChainStart, SignedCheckpoint};
use crate::model::id::{SiteId, SubjectId, TenantId};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{EventId, UsageEvent};
use crate::storage::catalog::chain::{Chain, Digest, Event, salt};
use crate::storage::catalog::code::{Coded, int, parsed, uint};
use crate::storage::catalog::state::State;
use crate::storage::catalog::tables::RecordedEvent;

/// Events that get their commitments at a time when a chain begins.
const BEGIN_EVENTS: u64 = 4_096;

/// The columns of an event `u` and its subject `s`.
pub(in crate::storage) const EVENT_COLUMNS: &str =
    "u.id, u.at, u.kind, u.outcome, s.subject_id, u.site, u.principal, u.request_id";

/// The event in the columns of [`EVENT_COLUMNS`] as it is committed to, whatever stands there.
pub(in crate::storage) fn committed<'a>(row: &'a Row<'_>) -> rusqlite::Result<Event<'a>> {
    let text = |column: usize| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str_or_null()?);
    Ok(Event {
        number: uint(row, 0)?,
        at: row.get(1)?,
        kind: row.get(2)?,
        outcome: row.get(3)?,
        subject: text(4)?,
        site: text(5)?,
        principal: row.get_ref(6)?.as_str()?,
        request: row.get_ref(7)?.as_str()?,
    })
}

/// Whether the event of [`EVENT_COLUMNS`] fits the commitment and the salt in the next two columns.
pub(in crate::storage) fn fits(row: &Row<'_>, tenant: &TenantId) -> bool {
    let made = row
        .get(9)
        .and_then(|salt| Ok(committed(row)?.commitment(tenant, &salt)));
    // A commitment of another length is none that was ever made.
    matches!((made, row.get::<_, Digest>(8)), (Ok(made), Ok(kept)) if made == kept)
}

/// The event in the columns of [`EVENT_COLUMNS`], and its number.
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<(u64, UsageEvent)> {
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

/// Up to `limit` events with a number below `before`, newest first, and the number to go on from.
pub(super) fn page(
    conn: &Connection,
    subject: Option<u64>,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<(Vec<UsageEvent>, Option<u64>)> {
    let select = format!(
        "SELECT {EVENT_COLUMNS} FROM usage u LEFT JOIN subject s ON s.handle = u.subject WHERE u.id < ?"
    );
    let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    // One more than asked for tells whether there is a next page.
    let asked = i64::try_from(limit + 1).expect("the limit is small");
    let mut rows: Vec<(u64, UsageEvent)> = match subject {
        Some(subject) => conn
            .prepare_cached(&format!("{select} AND u.subject = ? ORDER BY u.id DESC LIMIT ?"))?
            .query_map(params![before, int(subject), asked], event)?
            .collect::<Result<_, _>>()?,
        None => conn
            .prepare_cached(&format!("{select} ORDER BY u.id DESC LIMIT ?"))?
            .query_map(params![before, asked], event)?
            .collect::<Result<_, _>>()?,
    };
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(id, _)| *id);
    Ok((rows.into_iter().map(|(_, event)| event).collect(), next))
}

/// Whether there is an event that was told under this id.
pub(super) fn is_recorded(conn: &Connection, told: EventId) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM usage WHERE told = ?)")?
        .query_row([told.0], |row| row.get(0))
}

/// Adds an event.
pub(super) fn insert(conn: &Connection, recorded: &RecordedEvent) -> rusqlite::Result<()> {
    let event = &recorded.event;
    conn.prepare_cached(
        "INSERT INTO usage (id, at, kind, outcome, subject, site, principal, request_id, salt, commitment, told)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        int(recorded.number),
        event.at.0,
        event.kind.code(),
        event.outcome.code(),
        recorded.subject.map(int),
        event.site.as_ref().map(SiteId::as_str),
        event.principal.as_str(),
        event.request_id.as_str(),
        recorded.salt,
        recorded.commitment,
        recorded.told.map(|told| told.0),
    ])?;
    Ok(())
}

/// Adds what an erasure left of an event.
pub(super) fn insert_erased(conn: &Connection, number: u64, commitment: &Digest) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO usage_erased (id, commitment) VALUES (?, ?)")?
        .execute(params![int(number), commitment])?;
    Ok(())
}

/// Hands out the events that name a subject; `None` for one that can't be read any more.
pub(super) fn events(
    conn: &Connection,
    subject: u64,
    each: &mut dyn FnMut(Option<RecordedEvent>),
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {EVENT_COLUMNS}, u.commitment, u.salt FROM usage u JOIN subject s ON s.handle = u.subject
         WHERE u.subject = ?"
    ))?;
    let mut rows = statement.query([int(subject)])?;
    while let Some(row) = rows.next()? {
        let read = || {
            let (number, event) = event(row)?;
            Ok::<_, rusqlite::Error>(RecordedEvent {
                number,
                subject: Some(subject),
                event,
                salt: row.get(9)?,
                commitment: row.get(8)?,
                // What goes is not asked for by it.
                told: None,
            })
        };
        each(read().ok());
    }
    Ok(())
}

/// Takes the events that name a subject, leaves of each its number and its commitment, and counts them, also in the chain.
pub(super) fn forget(conn: &Connection, subject: u64) -> rusqlite::Result<u64> {
    let run = |sql, value| conn.prepare_cached(sql)?.execute([int(value)]);
    let keep = "INSERT INTO usage_erased (id, commitment) SELECT id, commitment FROM usage WHERE subject = ?";
    let events = run(keep, subject)? as u64;
    run("DELETE FROM usage WHERE subject = ?", subject)?;
    run("UPDATE chain SET erased = erased + ?", events)?;
    Ok(events)
}

/// Hands out number and commitment of each event above this one, ascending, also of those that erasures took.
pub(super) fn commitments(
    conn: &Connection,
    after: u64,
    each: &mut dyn FnMut(u64, &Digest),
) -> rusqlite::Result<()> {
    let select = "SELECT id, commitment FROM usage WHERE id > ?1
        UNION ALL SELECT id, commitment FROM usage_erased WHERE id > ?1 ORDER BY id";
    let mut statement = conn.prepare_cached(select)?;
    let mut rows = statement.query([int(after)])?;
    while let Some(row) = rows.next()? {
        // One of another length is none that was ever made: an audit tells of it, and nothing else stops for it.
        each(uint(row, 0)?, &row.get(1).unwrap_or_default());
    }
    Ok(())
}

/// The chain.
pub(in crate::storage) fn chain(conn: &Connection) -> rusqlite::Result<Chain> {
    let select = "SELECT since_event, since_erasure, erased, event, head FROM chain";
    conn.prepare_cached(select)?.query_row([], |row| {
        Ok(Chain {
            since: ChainStart {
                event: uint(row, 0)?,
                erasure: uint(row, 1)?,
            },
            erased: uint(row, 2)?,
            event: uint(row, 3)?,
            head: row.get(4)?,
        })
    })
}

/// Replaces the chain.
pub(super) fn set_chain(conn: &Connection, chain: &Chain) -> rusqlite::Result<()> {
    let update = "UPDATE chain SET since_event = ?, since_erasure = ?, erased = ?, event = ?, head = ?";
    conn.prepare_cached(update)?.execute(params![
        int(chain.since.event),
        int(chain.since.erasure),
        int(chain.erased),
        int(chain.event),
        chain.head,
    ])?;
    Ok(())
}

/// Begins the chain of a catalog that had none, with the events that are there.
pub(in crate::storage::catalog) fn begin_chain(conn: &Connection, tenant: &TenantId) -> rusqlite::Result<()> {
    let state = State::load(conn)?;
    let mut update = conn.prepare("UPDATE usage SET salt = ?, commitment = ? WHERE id = ?")?;
    let mut select = conn.prepare(&format!(
        "SELECT {EVENT_COLUMNS} FROM usage u LEFT JOIN subject s ON s.handle = u.subject
         WHERE u.id > ? ORDER BY u.id LIMIT ?"
    ))?;
    let mut last = 0;
    loop {
        let mut begun = Vec::new();
        let mut rows = select.query([int(last), int(BEGIN_EVENTS)])?;
        while let Some(row) = rows.next()? {
            let (event, salt) = (committed(row)?, salt());
            last = event.number;
            begun.push((last, salt, event.commitment(tenant, &salt)));
        }
        if begun.is_empty() {
            break;
        }
        for (number, salt, commitment) in begun {
            update.execute(params![salt, commitment, int(number)])?;
        }
    }
    let since = ChainStart {
        event: state.last_usage,
        erasure: state.last_erasure,
    };
    // The checkpoint of the start that follows is over all of them.
    let chain = Chain {
        since,
        ..chain(conn)?
    };
    set_chain(conn, &chain)
}

/// Whether there are events that no head was computed over.
pub(super) fn is_ahead(conn: &Connection) -> rusqlite::Result<bool> {
    let select = "SELECT EXISTS (SELECT 1 FROM usage WHERE id > event)
        OR EXISTS (SELECT 1 FROM usage_erased WHERE usage_erased.id > event) FROM chain";
    conn.prepare_cached(select)?.query_row([], |row| row.get(0))
}

/// Keeps a checkpoint.
pub(super) fn insert_checkpoint(conn: &Connection, signed: &SignedCheckpoint) -> rusqlite::Result<()> {
    let insert = "INSERT INTO checkpoint (checkpoint, signature, public_key) VALUES (?, ?, ?)";
    conn.prepare_cached(insert)?.execute(params![
        signed.checkpoint_json,
        signed.signature,
        signed.public_key
    ])?;
    Ok(())
}

/// Every checkpoint that is kept, with its number, in the order in which they were made.
pub(in crate::storage) fn checkpoints(conn: &Connection) -> rusqlite::Result<Vec<(u64, SignedCheckpoint)>> {
    conn.prepare("SELECT id, checkpoint, signature, public_key FROM checkpoint ORDER BY id")?
        .query_map([], |row| {
            let signed = SignedCheckpoint {
                checkpoint_json: row.get(1)?,
                signature: row.get(2)?,
                public_key: row.get(3)?,
            };
            Ok((uint(row, 0)?, signed))
        })?
        .collect()
}
