//! All rows of a catalog in a file, read as plain rows, so that they can be compared. Writes none.

use crate::model::usage::EventId;
use rusqlite::{Connection, Row};

use super::store::{Buried, Reference, Store};
use crate::model::consent::Consent;
use crate::model::erasure::SignedReceipt;
use crate::model::id::RequestId;
use crate::model::link::{LinkKind, SealedLink};
use crate::model::subject::{Capture, PadVerdict};
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageEvent;
use crate::storage::catalog::code::{Coded, from_json, parsed, uint};
use crate::storage::catalog::draft::rows::{Erasure, Subject};
use crate::storage::catalog::local::history;
use crate::storage::catalog::pending;
use crate::storage::catalog::tables::{NewReference, RecordedEvent, StoredRequest};
use crate::storage::place::Place;
use crate::storage::write::EraseAnswer;

/// All rows.
pub(super) fn dump(conn: &Connection) -> rusqlite::Result<Store> {
    let spec = conn.query_row("SELECT spec FROM tenant", [], |row| {
        from_json(0, row.get_ref(0)?.as_str()?)
    })?;
    let mut store = Store {
        spec,
        chain: history::chain(conn)?,
        subjects: rows(
            conn,
            "SELECT handle, subject_id, created_at, consent_given_at, consent_expires_at, last_used,
                    policy_version, purpose, method
             FROM subject s JOIN terms t ON t.id = s.terms",
            subject,
        )?,
        links: rows(conn, "SELECT subject, kind, lookup, sealed FROM link", link)?,
        references: rows(
            conn,
            "SELECT id, subject, hand, quality, captured_at, enrolled_at, pad, sequence, segment, row FROM reference",
            reference,
        )?,
        pending: pending::all(conn)?.into_iter().collect(),
        events: rows(
            conn,
            "SELECT u.id, u.subject, at, kind, outcome, subject_id, site, principal, request_id, salt, commitment, told
             FROM usage u LEFT JOIN subject s ON s.handle = u.subject",
            event,
        )?,
        events_erased: rows(conn, "SELECT id, commitment FROM usage_erased", |row| {
            Ok((uint(row, 0)?, row.get(1)?))
        })?,
        requests: rows(
            conn,
            "SELECT request_id, method, digest, answer, subject, at FROM request ORDER BY id",
            request,
        )?,
        erasures: rows(
            conn,
            "SELECT id, subject_id, purged, sequence, receipt, signature, public_key FROM erasure",
            erasure,
        )?,
        tombstones: rows(conn, "SELECT reference, erasure, segment, row FROM tombstone", |row| {
            let place = row.get::<_, Option<u32>>(2)?.zip(row.get(3)?);
            let erasure = uint(row, 1)?;
            Ok((uint(row, 0)?, Buried { erasure, place }))
        })?,
        checkpoints: Vec::new(),
    };
    store.checkpoints = history::checkpoints(conn)?
        .into_iter()
        .map(|(_, it)| it)
        .collect();
    Ok(store)
}

fn rows<T, C: FromIterator<T>>(
    conn: &Connection,
    sql: &str,
    row: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<C> {
    conn.prepare(sql)?.query_map([], row)?.collect()
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp)
}

fn handle(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

fn subject(row: &Row<'_>) -> rusqlite::Result<(u64, Subject)> {
    let consent = Consent {
        policy_version: row.get(6)?,
        purpose: row.get(7)?,
        given_at: time(row, 3)?,
        expires_at: time(row, 4)?,
        method: from_json(8, row.get_ref(8)?.as_str()?)?,
    };
    let subject = Subject {
        id: parsed(row, 1)?,
        created_at: time(row, 2)?,
        consent,
        last_used: time(row, 5)?,
    };
    Ok((uint(row, 0)?, subject))
}

fn link(row: &Row<'_>) -> rusqlite::Result<((u64, LinkKind), SealedLink)> {
    let kind = LinkKind::from_code(row.get(1)?).expect("a kind");
    let link = SealedLink {
        kind,
        lookup: row.get(2)?,
        sealed: row.get(3)?,
    };
    Ok(((uint(row, 0)?, kind), link))
}

fn reference(row: &Row<'_>) -> rusqlite::Result<(u64, Reference)> {
    let reference = uint(row, 0)?;
    let capture = Capture {
        hand: None,
        quality: row.get(3)?,
        captured_at: time(row, 4)?,
        pad: <PadVerdict as Coded>::column(row, 6)?,
    };
    let new = NewReference {
        reference,
        subject: uint(row, 1)?,
        hand: Coded::column(row, 2)?,
        capture,
        enrolled_at: time(row, 5)?,
        sequence: uint(row, 7)?,
    };
    let place = match row.get::<_, Option<u32>>(8)?.zip(row.get(9)?) {
        Some((segment, row)) => Place::Segment { segment, row },
        None => Place::Pending { reference },
    };
    Ok((reference, Reference { new, place }))
}

fn event(row: &Row<'_>) -> rusqlite::Result<(u64, RecordedEvent)> {
    let number = uint(row, 0)?;
    let subject = handle(row, 1)?;
    let event = UsageEvent {
        at: time(row, 2)?,
        kind: Coded::column(row, 3)?,
        outcome: Coded::column(row, 4)?,
        subject_id: subject.map(|_| parsed(row, 5)).transpose()?,
        site: Some(parsed(row, 6)?),
        principal: parsed(row, 7)?,
        request_id: parsed(row, 8)?,
    };
    let recorded = RecordedEvent {
        number,
        subject,
        event,
        salt: row.get(9)?,
        commitment: row.get(10)?,
        told: row.get::<_, Option<[u8; 16]>>(11)?.map(EventId),
    };
    Ok((number, recorded))
}

fn request(row: &Row<'_>) -> rusqlite::Result<(RequestId, StoredRequest)> {
    let kept = StoredRequest {
        method: Coded::column(row, 1)?,
        digest: row.get(2)?,
        answer: row.get(3)?,
        subject: handle(row, 4)?,
        at: time(row, 5)?,
    };
    Ok((parsed(row, 0)?, kept))
}

fn erasure(row: &Row<'_>) -> rusqlite::Result<(u64, Erasure)> {
    let number = uint(row, 0)?;
    let answer = EraseAnswer {
        erasure: number,
        sequence: uint(row, 3)?,
        subject_id: parsed(row, 1)?,
        purged: row.get(2)?,
        receipt: SignedReceipt {
            receipt_json: row.get(4)?,
            signature: row.get(5)?,
            public_key: row.get(6)?,
        },
    };
    let erasure = Erasure {
        answer,
        is_held: false,
    };
    Ok((number, erasure))
}
