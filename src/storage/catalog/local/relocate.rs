//! The rows of a catalog in a file, as another engine is to get them. Reads alone, while nobody writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::subject::links;
use super::{erasure, history, tenant};
use crate::keys::secret::SecretKey;
use crate::model::checkpoint::Checkpoint;
use crate::model::consent::Consent;
use crate::model::id::{RequestId, TenantId};
use crate::model::link::LinkKind;
use crate::model::subject::{Capture, Hand};
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::EventId;
use crate::storage::catalog::code::{Coded, from_json, int, parsed, uint};
use crate::storage::catalog::connection;
use crate::storage::catalog::draft::rows::Subject;
use crate::storage::catalog::page::PageSeal;
use crate::storage::catalog::pending::{self, PendingSeal};
use crate::storage::catalog::relocate::{
    ErasureRow, EventRow, Piece, ReferenceRow, SubjectRow, Summary, Table,
};
use crate::storage::catalog::state::State;
use crate::storage::catalog::tables::{NewReference, RecordedEvent, StoredRequest};
use crate::storage::catalog::{schema, segments};
use crate::storage::error::StorageError;
use crate::storage::store::CATALOG_FILE;

const SUBJECTS: &str = "SELECT s.handle, s.subject_id, s.created_at, t.policy_version, t.purpose, t.method,
        s.consent_given_at, s.consent_expires_at, s.last_used
    FROM subject s JOIN terms t ON t.id = s.terms WHERE s.handle > ? ORDER BY s.handle LIMIT ?";
const REFERENCES: &str =
    "SELECT r.id, r.subject, r.hand, r.quality, r.captured_at, r.pad, r.enrolled_at, r.sequence, r.segment, r.row, p.sealed
    FROM reference r LEFT JOIN pending p ON p.reference = r.id WHERE r.id > ? ORDER BY r.id LIMIT ?";
const ERASED_EVENTS: &str = "SELECT id, commitment FROM usage_erased WHERE id > ? ORDER BY id LIMIT ?";
const ERASURES: &str = "SELECT id, subject_id, purged, receipt, signature, public_key, sequence FROM erasure
    WHERE id > ? ORDER BY id LIMIT ?";
const REQUESTS: &str =
    "SELECT request_id, method, digest, answer, subject, at FROM request ORDER BY id LIMIT ?2 OFFSET ?1";

/// The rows of one tenant's catalog.
pub(in crate::storage) struct LocalRows {
    conn: Connection,
    catalog: PathBuf,
    seal: PendingSeal,
}

impl LocalRows {
    /// Of the tenant in this directory.
    pub(in crate::storage) fn open(
        dir: &Path,
        id: &TenantId,
        data_key: &SecretKey,
    ) -> Result<Self, StorageError> {
        let catalog = dir.join(CATALOG_FILE);
        let conn = connection::open_reader(&catalog, &Arc::new(PageSeal::new(data_key)))?;
        schema::check(&conn, &catalog)?;
        super::read_spec(&conn, &catalog, id)?;
        Ok(Self {
            conn,
            catalog,
            seal: PendingSeal::new(id, data_key),
        })
    }

    /// The tenant, whatever release its tables are of.
    pub(in crate::storage) fn spec(&self) -> Result<TenantSpec, StorageError> {
        Ok(tenant::spec(&self.conn)?)
    }

    /// What it says of the tenant, by tables of this release.
    pub(in crate::storage) fn summary(&self) -> Result<Summary, StorageError> {
        Ok(Summary {
            spec: self.spec()?,
            state: State::load(&self.conn)?,
            chain: history::chain(&self.conn)?,
            segments: segments::list(&self.conn)?.len() as u64,
        })
    }

    /// Up to `limit` rows of a table after a place; 0 is before the first one.
    pub(in crate::storage) fn piece(
        &self,
        table: Table,
        after: u64,
        limit: usize,
    ) -> Result<Piece, StorageError> {
        Ok(match table {
            Table::Subjects => Piece::Subjects(self.subjects(after, limit)?),
            Table::References => Piece::References(self.references(after, limit)?),
            Table::Segments => {
                let listed = segments::list(&self.conn)?.into_iter();
                let after = listed.filter(|entry| u64::from(entry.number) > after);
                Piece::Segments(after.take(limit).collect())
            }
            Table::Events => Piece::Events(self.events(after, limit)?),
            Table::Checkpoints => {
                let mut rows = Vec::new();
                for (_, signed) in history::checkpoints(&self.conn)? {
                    let said: Checkpoint = serde_json::from_str(&signed.checkpoint_json)
                        .map_err(|e| self.damaged(format!("a checkpoint can't be read: {e}")))?;
                    rows.push((said.event, signed));
                }
                rows.retain(|(event, _)| *event > after);
                rows.truncate(limit);
                Piece::Checkpoints(rows)
            }
            Table::Erasures => Piece::Erasures(self.rows(ERASURES, (after, limit), |row| {
                Ok(ErasureRow {
                    answer: erasure::answer(row)?,
                    buried: Vec::new(),
                })
            })?),
            Table::Requests => Piece::Requests(after, self.rows(REQUESTS, (after, limit), request)?),
        })
    }

    /// Rows of a statement that takes a place and a limit.
    fn rows<T>(
        &self,
        sql: &str,
        (after, limit): (u64, usize),
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StorageError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![int(after), int(limit as u64)], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn subjects(&self, after: u64, limit: usize) -> Result<Vec<SubjectRow>, StorageError> {
        let mut rows = self.rows(SUBJECTS, (after, limit), subject)?;
        for row in &mut rows {
            row.links = links(&self.conn, row.handle, &LinkKind::ALL)?;
        }
        Ok(rows)
    }

    fn references(&self, after: u64, limit: usize) -> Result<Vec<ReferenceRow>, StorageError> {
        let rows = self.rows(REFERENCES, (after, limit), reference)?;
        let opened = rows.into_iter().map(|(reference, place, sealed)| {
            let exact = match (place, sealed) {
                (None, Some(sealed)) => Some(self.seal.open(reference.reference, &sealed)?),
                (Some(_), None) => None,
                _ => return Err(pending::missing(reference.reference)),
            };
            Ok(ReferenceRow {
                reference,
                place,
                exact,
            })
        });
        opened.collect()
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<EventRow>, StorageError> {
        let select = format!(
            "SELECT {}, u.commitment, u.salt, u.told, u.subject FROM usage u LEFT JOIN subject s ON s.handle = u.subject
             WHERE u.id > ? ORDER BY u.id LIMIT ?",
            history::EVENT_COLUMNS
        );
        let mut events = self.rows(&select, (after, limit), event)?;
        events.extend(self.rows(ERASED_EVENTS, (after, limit), |row| {
            Ok(EventRow::Erased(uint(row, 0)?, row.get(1)?))
        })?);
        events.sort_by_key(EventRow::number);
        events.truncate(limit);
        Ok(events)
    }

    fn damaged(&self, fault: String) -> StorageError {
        StorageError::damaged(&self.catalog, fault)
    }
}

fn subject(row: &Row<'_>) -> rusqlite::Result<SubjectRow> {
    Ok(SubjectRow {
        handle: uint(row, 0)?,
        subject: Subject {
            id: parsed(row, 1)?,
            created_at: Timestamp(row.get(2)?),
            consent: Consent {
                policy_version: row.get(3)?,
                purpose: row.get(4)?,
                method: from_json(5, row.get_ref(5)?.as_str()?)?,
                given_at: Timestamp(row.get(6)?),
                expires_at: Timestamp(row.get(7)?),
            },
            last_used: Timestamp(row.get(8)?),
        },
        links: Vec::new(),
    })
}

/// A reference, its place, and the sealed row of one that is pending.
type SealedReference = (NewReference, Option<(u32, u32)>, Option<Vec<u8>>);

fn reference(row: &Row<'_>) -> rusqlite::Result<SealedReference> {
    let hand: Hand = Coded::column(row, 2)?;
    let reference = NewReference {
        reference: uint(row, 0)?,
        subject: uint(row, 1)?,
        hand,
        capture: Capture {
            hand: Some(hand),
            quality: row.get(3)?,
            captured_at: Timestamp(row.get(4)?),
            pad: Coded::column(row, 5)?,
        },
        enrolled_at: Timestamp(row.get(6)?),
        sequence: uint(row, 7)?,
    };
    let place = row.get::<_, Option<u32>>(8)?.zip(row.get(9)?);
    Ok((reference, place, row.get(10)?))
}

fn event(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let (number, event) = history::event(row)?;
    let told: Option<[u8; 16]> = row.get(10)?;
    let subject: Option<i64> = row.get(11)?;
    Ok(EventRow::Whole(Box::new(RecordedEvent {
        number,
        subject: subject.map(i64::cast_unsigned),
        event,
        salt: row.get(9)?,
        commitment: row.get(8)?,
        told: told.map(EventId),
    })))
}

fn request(row: &Row<'_>) -> rusqlite::Result<(RequestId, StoredRequest)> {
    let subject: Option<i64> = row.get(4)?;
    let request = StoredRequest {
        method: Coded::column(row, 1)?,
        digest: row.get(2)?,
        answer: row.get(3)?,
        subject: subject.map(i64::cast_unsigned),
        at: Timestamp(row.get(5)?),
    };
    Ok((parsed(row, 0)?, request))
}
