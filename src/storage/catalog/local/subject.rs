//! Subjects in their tables, with what hangs on them: consent, links, references. Decides nothing.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::model::consent::Consent;
use crate::model::id::SubjectId;
use crate::model::link::{LinkKind, SealedLink};
use crate::model::retention::Due;
use crate::model::subject::{ReferenceInfo, SubjectRecord};
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::code::{Coded, from_json, int, parsed, to_json, uint};
use crate::storage::catalog::tables::{HeldReference, NewReference, Person};
use crate::storage::error::StorageError;
use crate::storage::place::{Place, RowId};
use crate::storage::write::{CandidateInfo, SubjectKey};

/// The handle of a subject.
pub(in crate::storage::catalog) fn handle(
    conn: &Connection,
    id: &SubjectId,
) -> rusqlite::Result<Option<u64>> {
    conn.prepare_cached("SELECT handle FROM subject WHERE subject_id = ?")?
        .query_row([id.as_str()], |row| uint(row, 0))
        .optional()
}

/// The handle of a subject named by id or link.
pub(super) fn resolve(conn: &Connection, key: &SubjectKey) -> rusqlite::Result<Option<u64>> {
    match key {
        SubjectKey::Id(id) => handle(conn, id),
        SubjectKey::Link { kind, lookup } => link_owner(conn, *kind, lookup),
    }
}

/// Who has a link.
pub(super) fn link_owner(
    conn: &Connection,
    kind: LinkKind,
    lookup: &[u8; 32],
) -> rusqlite::Result<Option<u64>> {
    conn.prepare_cached("SELECT subject FROM link WHERE kind = ? AND lookup = ?")?
        .query_row(params![kind.code(), lookup], |row| uint(row, 0))
        .optional()
}

/// What the rules look at of a subject.
pub(super) fn person(conn: &Connection, handle: u64) -> rusqlite::Result<Option<Person>> {
    conn.prepare_cached("SELECT subject_id, consent_expires_at, last_used FROM subject WHERE handle = ?")?
        .query_row([int(handle)], |row| {
            Ok(Person {
                subject_id: parsed(row, 0)?,
                consent_expires_at: Timestamp(row.get(1)?),
                last_used: Timestamp(row.get(2)?),
            })
        })
        .optional()
}

/// Replaces a subject's consent.
pub(super) fn set_consent(conn: &Connection, handle: u64, consent: &Consent) -> rusqlite::Result<()> {
    let terms = terms(conn, consent)?;
    conn.prepare_cached(
        "UPDATE subject SET terms = ?, consent_given_at = ?, consent_expires_at = ? WHERE handle = ?",
    )?
    .execute(params![
        terms,
        consent.given_at.0,
        consent.expires_at.0,
        int(handle)
    ])?;
    Ok(())
}

/// Notes an interaction of a subject whose last one is from before `stale`.
pub(super) fn touch(
    conn: &Connection,
    handle: u64,
    now: Timestamp,
    stale: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE subject SET last_used = ? WHERE handle = ? AND last_used < ?")?
        .execute(params![now.0, int(handle), stale.0])?;
    Ok(())
}

/// Nobody's last interaction is from before this time.
pub(super) fn touch_all(conn: &Connection, at: Timestamp) -> rusqlite::Result<()> {
    conn.execute("UPDATE subject SET last_used = ?1 WHERE last_used < ?1", [at.0])?;
    Ok(())
}

/// Removes a subject.
pub(super) fn remove(conn: &Connection, handle: u64) -> rusqlite::Result<()> {
    delete(conn, "DELETE FROM subject WHERE handle = ?", handle)?;
    Ok(())
}

/// Gives a subject a link, in the place of the one of its kind.
pub(super) fn put_link(conn: &Connection, handle: u64, link: &SealedLink) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO link (subject, kind, lookup, sealed) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (subject, kind) DO UPDATE SET lookup = ?3, sealed = ?4",
    )?
    .execute(params![int(handle), link.kind.code(), link.lookup, link.sealed])?;
    Ok(())
}

/// Removes a subject's links and counts them.
pub(super) fn remove_links(conn: &Connection, handle: u64) -> rusqlite::Result<u64> {
    delete(conn, "DELETE FROM link WHERE subject = ?", handle)
}

/// Removes a subject's references with their pending rows, and counts them.
pub(super) fn remove_references(conn: &Connection, handle: u64) -> rusqlite::Result<u64> {
    let pending = "DELETE FROM pending WHERE reference IN (SELECT id FROM reference WHERE subject = ?)";
    delete(conn, pending, handle)?;
    delete(conn, "DELETE FROM reference WHERE subject = ?", handle)
}

fn delete(conn: &Connection, sql: &str, handle: u64) -> rusqlite::Result<u64> {
    Ok(conn.prepare_cached(sql)?.execute([int(handle)])? as u64)
}

/// Up to `limit` subjects who are due, those first who have been for longest.
pub(super) fn due(conn: &Connection, due: &Due, limit: usize) -> rusqlite::Result<Vec<SubjectId>> {
    let mut found = Vec::new();
    for (column, by) in [
        ("consent_expires_at", due.consent_ended_by()),
        ("last_used", due.idle_since()),
    ] {
        let Some(by) = by else { continue };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = conn.prepare_cached(&format!(
            "SELECT subject_id FROM subject WHERE {column} <= ? ORDER BY {column} LIMIT ?"
        ))?;
        for id in statement.query_map(params![by.0, limit], |row| parsed(row, 0))? {
            let id = id?;
            if !found.contains(&id) {
                found.push(id);
            }
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// The number of what a consent was given to. The same for many subjects, personal to none, and kept.
pub(in crate::storage::catalog) fn terms(conn: &Connection, consent: &Consent) -> rusqlite::Result<i64> {
    let method = to_json(&consent.method);
    let found = conn
        .prepare_cached("SELECT id FROM terms WHERE policy_version = ? AND purpose = ? AND method = ?")?
        .query_row(params![consent.policy_version, consent.purpose, method], |row| {
            row.get(0)
        })
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    conn.prepare_cached("INSERT INTO terms (policy_version, purpose, method) VALUES (?, ?, ?)")?
        .execute(params![consent.policy_version, consent.purpose, method])?;
    Ok(conn.last_insert_rowid())
}

/// What the subjects of one statement share.
const SUBJECT_VALUES: usize = 5;

/// A statement that adds so many subjects, looked up once for as many as come.
pub(in crate::storage::catalog) struct SubjectInsert<'conn>(CachedStatement<'conn>);

impl<'conn> SubjectInsert<'conn> {
    /// Looks up a statement that adds `count` subjects with this first consent, numbered one after the other.
    pub(in crate::storage::catalog) fn prepare(
        conn: &'conn Connection,
        count: usize,
        (terms, consent): (i64, &Consent),
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        let rows = values(count, |n| {
            format!("(?5 + {n}, ?{}, ?1, ?2, ?3, ?4, ?1)", SUBJECT_VALUES + 1 + n)
        });
        let mut insert = conn.prepare_cached(&format!(
            "INSERT INTO subject
                 (handle, subject_id, created_at, terms, consent_given_at, consent_expires_at, last_used)
             VALUES {rows}"
        ))?;
        let shared = [now.0, terms, consent.given_at.0, consent.expires_at.0];
        for (at, value) in (1_usize..).zip(shared) {
            insert.raw_bind_parameter(at, value)?;
        }
        Ok(Self(insert))
    }

    /// Adds subjects, the first of whom has this handle.
    pub(in crate::storage::catalog) fn insert<'a>(
        &mut self,
        handle: u64,
        ids: impl IntoIterator<Item = &'a SubjectId>,
    ) -> rusqlite::Result<()> {
        self.0.raw_bind_parameter(SUBJECT_VALUES, int(handle))?;
        for (at, id) in (SUBJECT_VALUES + 1..).zip(ids) {
            self.0.raw_bind_parameter(at, id.as_str())?;
        }
        self.0.raw_execute()?;
        Ok(())
    }

    /// Keeps a large statement for no other time.
    pub(in crate::storage::catalog) fn discard(self) {
        self.0.discard();
    }
}

/// A statement that adds so many references, looked up once for as many as come.
pub(in crate::storage::catalog) struct ReferenceInsert<'conn>(CachedStatement<'conn>);

impl<'conn> ReferenceInsert<'conn> {
    /// Looks up a statement that adds `count` references, numbered one after the other.
    pub(in crate::storage::catalog) fn prepare(
        conn: &'conn Connection,
        count: usize,
    ) -> rusqlite::Result<Self> {
        let rows = values(count, |n| {
            format!("(?1 + {n}, ?2 + {n}, ?3, ?4, ?5, ?6, ?7, ?8, ?9 + {n}, ?10)")
        });
        let insert = conn.prepare_cached(&format!(
            "INSERT INTO reference
                 (id, subject, hand, quality, captured_at, enrolled_at, pad, segment, row, sequence)
             VALUES {rows}"
        ))?;
        Ok(Self(insert))
    }

    /// Adds references, the first of which is this one, at this place (segment, row) or pending; the others have the numbers, owners and rows after it.
    pub(in crate::storage::catalog) fn insert(
        &mut self,
        first: &NewReference,
        place: Option<(u32, u32)>,
    ) -> rusqlite::Result<()> {
        self.0.execute(params![
            int(first.reference),
            int(first.subject),
            first.hand.code(),
            first.capture.quality,
            first.capture.captured_at.0,
            first.enrolled_at.0,
            first.capture.pad.code(),
            place.map(|(segment, _)| segment),
            place.map(|(_, row)| row),
            int(first.sequence),
        ])?;
        Ok(())
    }

    /// Keeps a large statement for no other time.
    pub(in crate::storage::catalog) fn discard(self) {
        self.0.discard();
    }
}

fn values(count: usize, row: fn(usize) -> String) -> String {
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// A subject's references, ascending.
pub(super) fn references(conn: &Connection, handle: u64) -> rusqlite::Result<Vec<HeldReference>> {
    conn.prepare_cached("SELECT id, hand, segment, row FROM reference WHERE subject = ? ORDER BY id")?
        .query_map([int(handle)], |row| {
            let reference = uint(row, 0)?;
            let place = match (row.get(2)?, row.get(3)?) {
                (Some(segment), Some(row)) => Place::Segment { segment, row },
                _ => Place::Pending { reference },
            };
            Ok(HeldReference {
                reference,
                hand: Coded::column(row, 1)?,
                place,
            })
        })?
        .collect()
}

/// All that is held on a subject.
pub(super) fn record(conn: &Connection, handle: u64) -> Result<Option<SubjectRecord>, StorageError> {
    let subject = conn
        .prepare_cached(
            "SELECT s.subject_id, s.created_at, t.policy_version, t.purpose, t.method,
                    s.consent_given_at, s.consent_expires_at
             FROM subject s JOIN terms t ON t.id = s.terms WHERE s.handle = ?",
        )?
        .query_row([int(handle)], |row| {
            Ok(SubjectRecord {
                subject_id: parsed(row, 0)?,
                created_at: Timestamp(row.get(1)?),
                consent: Consent {
                    policy_version: row.get(2)?,
                    purpose: row.get(3)?,
                    method: from_json(4, row.get_ref(4)?.as_str()?)?,
                    given_at: Timestamp(row.get(5)?),
                    expires_at: Timestamp(row.get(6)?),
                },
                references: Vec::new(),
                links: Vec::new(),
            })
        })
        .optional()?;
    let Some(mut record) = subject else {
        return Ok(None);
    };
    record.references = conn
        .prepare_cached(
            "SELECT id, hand, quality, captured_at, enrolled_at FROM reference WHERE subject = ? ORDER BY id",
        )?
        .query_map([int(handle)], |row| {
            Ok(ReferenceInfo {
                reference: uint(row, 0)?,
                hand: Coded::column(row, 1)?,
                quality: row.get(2)?,
                captured_at: Timestamp(row.get(3)?),
                enrolled_at: Timestamp(row.get(4)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    record.links = links(conn, handle, &LinkKind::ALL)?;
    Ok(Some(record))
}

/// What is told of a candidate; `None` when it was erased meanwhile.
pub(super) fn candidate(
    conn: &Connection,
    id: RowId,
    kinds: &[LinkKind],
) -> rusqlite::Result<Option<CandidateInfo>> {
    let found = conn
        .prepare_cached(
            "SELECT s.subject_id, r.hand, s.created_at FROM reference r JOIN subject s ON s.handle = r.subject
             WHERE r.id = ? AND r.subject = ?",
        )?
        .query_row([int(id.reference), int(id.subject)], |row| {
            Ok((parsed(row, 0)?, Coded::column(row, 1)?, Timestamp(row.get(2)?)))
        })
        .optional()?;
    let Some((subject_id, hand, created_at)) = found else {
        return Ok(None);
    };
    Ok(Some(CandidateInfo {
        subject_id,
        created_at,
        hand,
        links: links(conn, id.subject, kinds)?,
    }))
}

pub(super) fn links(conn: &Connection, handle: u64, kinds: &[LinkKind]) -> rusqlite::Result<Vec<SealedLink>> {
    if kinds.is_empty() {
        return Ok(Vec::new());
    }
    let mut links: Vec<SealedLink> = conn
        .prepare_cached("SELECT kind, lookup, sealed FROM link WHERE subject = ? ORDER BY kind")?
        .query_map([int(handle)], sealed_link)?
        .collect::<Result<_, _>>()?;
    links.retain(|link| kinds.contains(&link.kind));
    Ok(links)
}

fn sealed_link(row: &Row<'_>) -> rusqlite::Result<SealedLink> {
    let code: u8 = row.get(0)?;
    Ok(SealedLink {
        kind: LinkKind::from_code(code)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::from(code)))?,
        lookup: row.get(1)?,
        sealed: row.get(2)?,
    })
}
