//! A catalog in a file that gets its rows from another engine, with their numbers. It has no name, so that nothing is left of it once it is dropped. Checks nothing that its tables don't.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::subject::{ReferenceInsert, SubjectInsert, put_link, terms};
use super::{erasure, history, request};
use crate::keys::secret::SecretKey;
use crate::model::timestamp::Timestamp;
use crate::storage::catalog::code::{int, to_json};
use crate::storage::catalog::page::PageSeal;
use crate::storage::catalog::pending::{self, PendingSeal};
use crate::storage::catalog::relocate::{EventRow, Piece, ReferenceRow, SubjectRow, Summary};
use crate::storage::catalog::{connection, schema, segments};
use crate::storage::durable;
use crate::storage::error::StorageError;

/// The catalog.
pub(in crate::storage) struct LocalFilling {
    conn: Connection,
    seal: PendingSeal,
}

impl LocalFilling {
    /// Makes one for a tenant. `path` names it for a moment.
    pub(in crate::storage) fn begin(
        path: &Path,
        summary: &Summary,
        data_key: &SecretKey,
    ) -> Result<Self, StorageError> {
        durable::create_file(path)?;
        let made = Self::make(path, summary, data_key);
        // It is open by then, with its log.
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let name = PathBuf::from(name);
            if name.exists() {
                fs::remove_file(&name).map_err(|e| StorageError::io("remove", &name, e))?;
            }
        }
        made
    }

    fn make(path: &Path, summary: &Summary, data_key: &SecretKey) -> Result<Self, StorageError> {
        let conn = connection::create_scratch(path, &Arc::new(PageSeal::new(data_key)))?;
        schema::create(&conn)?;
        conn.execute(
            "INSERT INTO tenant (id, spec) VALUES (1, ?)",
            [to_json(&summary.spec)],
        )?;
        Ok(Self {
            conn,
            seal: PendingSeal::new(&summary.spec.id, data_key),
        })
    }

    /// Adds the rows of a piece.
    pub(in crate::storage) fn put(&mut self, piece: &Piece) -> Result<(), StorageError> {
        let tx = self.conn.transaction()?;
        match piece {
            Piece::Subjects(rows) => rows.iter().try_for_each(|row| add_subject(&tx, row))?,
            Piece::References(rows) => {
                let mut insert = ReferenceInsert::prepare(&tx, 1)?;
                for row in rows {
                    add_reference(&tx, (&mut insert, &self.seal), row)?;
                }
            }
            Piece::Segments(entries) => {
                for entry in entries {
                    segments::add(&tx, entry)?;
                }
            }
            Piece::Events(rows) => {
                for row in rows {
                    match row {
                        EventRow::Whole(event) => history::insert(&tx, event)?,
                        EventRow::Erased(number, commitment) => {
                            history::insert_erased(&tx, *number, commitment)?;
                        }
                    }
                }
            }
            Piece::Checkpoints(rows) => {
                for (_, signed) in rows {
                    history::insert_checkpoint(&tx, signed)?;
                }
            }
            Piece::Erasures(rows) => {
                for row in rows {
                    erasure::insert_answer(&tx, &row.answer)?;
                    for (reference, place) in &row.buried {
                        erasure::bury(&tx, row.answer.erasure, *reference, *place)?;
                    }
                }
            }
            Piece::Requests(_, rows) => {
                for (id, kept) in rows {
                    request::insert(&tx, id, kept)?;
                }
            }
        }
        Ok(tx.commit()?)
    }

    /// Sets what is said of the tenant beside its rows, and gives the catalog as it is then.
    pub(in crate::storage) fn finish(self, summary: &Summary) -> Result<Connection, StorageError> {
        summary.state.save(&self.conn)?;
        history::set_chain(&self.conn, &summary.chain)?;
        Ok(self.conn)
    }
}

fn add_subject(conn: &Connection, row: &SubjectRow) -> Result<(), StorageError> {
    let subject = &row.subject;
    let terms = terms(conn, &subject.consent)?;
    SubjectInsert::prepare(conn, 1, (terms, &subject.consent), subject.created_at)?
        .insert(row.handle, [&subject.id])?;
    set_last_used(conn, row.handle, subject.last_used)?;
    for link in &row.links {
        put_link(conn, row.handle, link)?;
    }
    Ok(())
}

/// An insertion takes the time of the creation for it.
fn set_last_used(conn: &Connection, handle: u64, last_used: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE subject SET last_used = ? WHERE handle = ?")?
        .execute([last_used.0, int(handle)])?;
    Ok(())
}

fn add_reference(
    conn: &Connection,
    (insert, seal): (&mut ReferenceInsert<'_>, &PendingSeal),
    row: &ReferenceRow,
) -> Result<(), StorageError> {
    insert.insert(&row.reference, row.place)?;
    if let Some(exact) = &row.exact {
        let reference = row.reference.reference;
        pending::insert(conn, reference, &seal.seal(reference, exact))?;
    }
    Ok(())
}
