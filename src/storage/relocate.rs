//! A tenant's way out of a data directory to the engines that the nodes of a cluster share: its rows with their numbers, its segments byte for byte. All of it is read back and compared before it counts there.
//!
//! From the directory's first note on, whatever is cut off is gone on with: pieces that came are not sent again, unless the tenant was changed meanwhile, which begins all anew. It is the cluster's by one
//! transaction. Before that the directory notes that it serves the tenant no more, so that at no moment two servers do.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};

use super::catalog::local::relocate::LocalRows;
use super::catalog::postgres::relocate::{self as filling, Filling};
use super::catalog::relocate::{Piece, Summary, Table};
use super::data_dir::DataDir;
use super::database::tenants::Rows;
use super::database::{CatalogKeys, Database};
use super::durable;
use super::error::StorageError;
use super::files::{KEY_GENERATION, SEGMENTS_DIR};
use super::objects::ObjectStore;
use super::objects::key::{Home, ObjectKey};
use super::objects::text::{epochs_text, incarnations};
use super::on_cluster::Incarnation;
use super::segment::format::file_name;
use super::store::Store;
use super::verify::{Verification, verify};
use crate::keys::cells::INCARNATION_LEN;
use crate::keys::encoding::{from_hex, to_hex};
use crate::keys::epochs::EpochKeys;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::text::TextStore;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;

/// Beside a tenant's catalog: that it is on its way, or gone.
const NOTE_FILE: &str = "relocated";
/// Rows of a piece.
const PIECE_ROWS: usize = 4_096;

/// The engines of the cluster.
pub struct Destination<'a> {
    /// Has the rows.
    pub database: &'a Database,
    /// Has segments and the keys of epochs.
    pub store: &'a ObjectStore,
    /// Signs there.
    pub signer: ReceiptSigner,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Everything in the directory is being checked.
    Checking,
    /// So many rows of a table have come since the last step.
    Rows(usize),
    /// So many bytes of segments have come since the last step.
    Bytes(u64),
    /// Everything that came is being compared with what it was.
    Comparing,
}

/// What was relocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relocated {
    /// Whether it was before this was called.
    pub was_before: bool,
    /// Subjects.
    pub subjects: u64,
    /// References.
    pub references: u64,
    /// References that are in no segment.
    pub pending: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Number of the last erasure.
    pub erasures: u64,
    /// Number of the last event.
    pub events: u64,
}

/// What the directory notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// Of the tenant there, in hexadecimal.
    incarnation: String,
    /// The database there.
    to: String,
    /// Changes of the catalog here as of the beginning.
    commits: u64,
    /// Whether it is served here no more.
    is_over: bool,
}

impl Note {
    /// Of a tenant's directory; `None` where it has none.
    fn read(dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = dir.join(NOTE_FILE);
        let text = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|e| StorageError::io("read", &path, e))?,
        };
        let note: Self =
            serde_json::from_slice(&text).map_err(|e| StorageError::damaged(&path, e.to_string()))?;
        match note.incarnation() {
            Some(_) => Ok(Some(note)),
            None => Err(StorageError::damaged(&path, "it names no incarnation")),
        }
    }

    fn write(&self, dir: &Path) -> Result<(), StorageError> {
        let text = serde_json::to_vec(self).expect("plain values have a JSON form");
        durable::write_file(&dir.join(NOTE_FILE), &text)
    }

    fn incarnation(&self) -> Option<Incarnation> {
        from_hex(&self.incarnation)?.as_slice().try_into().ok()
    }
}

/// Refuses a tenant that is served elsewhere.
pub(super) fn refuse(dir: &Path, id: &TenantId) -> Result<(), StorageError> {
    match Note::read(dir)? {
        Some(note) if note.is_over => Err(StorageError::Relocated {
            tenant: id.clone(),
            to: note.to,
        }),
        _ => Ok(()),
    }
}

/// A tenant on its way.
pub struct Relocation<'a> {
    from: &'a DataDir,
    id: &'a TenantId,
    /// Its data key, and the secret of its catalog there.
    keys: &'a CatalogKeys,
    to: &'a Destination<'a>,
    /// Rows of a piece.
    piece_rows: usize,
}

impl<'a> Relocation<'a> {
    /// Of a tenant of a directory that no server has open.
    pub fn new(from: &'a DataDir, id: &'a TenantId, keys: &'a CatalogKeys, to: &'a Destination<'a>) -> Self {
        Self {
            from,
            id,
            keys,
            to,
            piece_rows: PIECE_ROWS,
        }
    }

    /// The tenant as it is here.
    pub fn spec(&self) -> Result<TenantSpec, StorageError> {
        let dir = self.from.tenant_path(self.id);
        Ok(LocalRows::open(&dir, self.id, &self.keys.data_key)?
            .summary()?
            .spec)
    }

    /// Relocates it. `hand_over` gives its keys to the cluster, once everything is there and before it counts; it may be called again where this is cut off.
    pub fn run(
        &self,
        signer: ReceiptSigner,
        watch: &mut dyn FnMut(Step),
        hand_over: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<Relocated, StorageError> {
        let dir = self.from.tenant_path(self.id);
        let note = Note::read(&dir)?;
        let was_over = note.as_ref().is_some_and(|note| note.is_over);
        if !was_over {
            watch(Step::Checking);
            self.check(signer)?;
        }
        let rows = LocalRows::open(&dir, self.id, &self.keys.data_key)?;
        let summary = rows.summary()?;
        let (note, filling) = match self.resume(note, &summary)? {
            Resumed::Made => return self.told(&rows, &summary, true),
            Resumed::At(note, filling) => (note, filling),
            Resumed::Nowhere => self.begin(&dir, &summary)?,
        };
        let home = Home::of(self.id, &note.incarnation().expect("it was read, or written"));
        self.send(&rows, &filling, watch)?;
        self.send_segments(&rows, &home, watch)?;
        watch(Step::Comparing);
        self.compare(&rows, &filling, &home)?;
        self.check_name()?;
        hand_over()?;
        Note {
            is_over: true,
            ..note
        }
        .write(&dir)?;
        filling.make(&summary)?;
        self.told(&rows, &summary, false)
    }

    /// Ends what was cut off here, purges who was erased, and checks every byte and every row.
    fn check(&self, signer: ReceiptSigner) -> Result<(), StorageError> {
        let public_key = signer.public_key().to_vec();
        let store = Store::open(self.from, self.id, &self.keys.data_key, signer)?;
        store.purge()?;
        if store.needs_purge() {
            return Err(self.problem("files of erased persons could not be removed"));
        }
        drop(store);
        let found: Verification = verify(self.from.path(), self.id, &self.keys.data_key, &public_key);
        match found.faults.into_iter().next() {
            Some(fault) => Err(fault),
            None if !found.counted => {
                Err(self.problem("its rows could not be counted: another process changes it"))
            }
            None => Ok(()),
        }
    }

    /// Goes on where an earlier try came to, if the tenant is as it was then. Whatever came of others is removed.
    fn resume(&self, note: Option<Note>, summary: &Summary) -> Result<Resumed, StorageError> {
        let noted = note.as_ref().and_then(Note::incarnation);
        let kept = note.filter(|note| note.is_over || note.commits == summary.state.commits);
        let incarnation = kept.as_ref().and_then(Note::incarnation);
        for other in incarnations(self.to.store, self.id)? {
            if Some(other) != incarnation && (Some(other) == noted || self.is_filled(&other)?) {
                self.give_up(&other)?;
            }
        }
        let (Some(note), Some(incarnation)) = (kept, incarnation) else {
            return Ok(Resumed::Nowhere);
        };
        if note.to != self.to.database.server() {
            let problem = format!(
                "it is on its way to the database {}, not to {}: name that one, or remove the file {NOTE_FILE} in its directory if nothing is to be gone on with there",
                note.to,
                self.to.database.server()
            );
            return Err(self.problem(problem));
        }
        if self.to.database.is_made(&incarnation)? == Some(true) {
            return Ok(Resumed::Made);
        }
        match self.filling(&incarnation)? {
            Some(filling) => Ok(Resumed::At(note, filling)),
            None if note.is_over => Err(self.problem(format!(
                "it was there in the database {} and is not any more: somebody dropped it. Discard what is here by hand",
                note.to
            ))),
            None => {
                self.give_up(&incarnation)?;
                Ok(Resumed::Nowhere)
            }
        }
    }

    fn is_filled(&self, incarnation: &Incarnation) -> Result<bool, StorageError> {
        filling::is_filled(self.to.database, incarnation)
    }

    fn filling(&self, incarnation: &Incarnation) -> Result<Option<Filling>, StorageError> {
        let text = Arc::new(epochs_text(self.to.store, self.id, incarnation));
        if text.version()?.is_none() {
            return Ok(None);
        }
        let epochs = Arc::new(EpochKeys::open_in(text, &self.keys.data_key)?);
        let signer = self.to.signer.clone();
        Filling::resume(self.to.database, self.id, &self.keys.secret, (epochs, signer))
    }

    /// Removes what a relocation of this tenant left that is not gone on with.
    fn give_up(&self, incarnation: &Incarnation) -> Result<(), StorageError> {
        // The keys of epochs last: by them it is found again.
        let left = self.to.store.list(&Home::of(self.id, incarnation))?;
        let left: Vec<ObjectKey> = left.into_iter().map(|info| info.key).collect();
        if !left.is_empty() {
            self.to.store.delete_proven(&left)?;
        }
        self.to.database.remove(&Rows::Unmade(*incarnation))?;
        Ok(epochs_text(self.to.store, self.id, incarnation).destroy()?)
    }

    fn begin(&self, dir: &Path, summary: &Summary) -> Result<(Note, Filling), StorageError> {
        self.check_name()?;
        let mut incarnation = [0; INCARNATION_LEN];
        rand::fill(&mut incarnation).expect("the operating system's generator answers");
        let note = Note {
            incarnation: to_hex(&incarnation),
            to: self.to.database.server().to_owned(),
            commits: summary.state.commits,
            is_over: false,
        };
        // First, so that whatever is there by then is found again.
        note.write(dir)?;
        let text = epochs_text(self.to.store, self.id, &incarnation);
        EpochKeys::create_in(Arc::new(text), &self.keys.data_key, incarnation)?;
        filling::begin(self.to.database, &summary.spec, &self.keys.secret, &incarnation)?;
        let filling = self.filling(&incarnation)?;
        let filling = filling.ok_or_else(|| self.problem("what was begun is gone: somebody removed it"))?;
        Ok((note, filling))
    }

    /// Refuses while somebody has the name there.
    fn check_name(&self) -> Result<(), StorageError> {
        match self.to.database.row(self.id)? {
            Some(_) => Err(StorageError::TenantExists(self.id.clone())),
            None => Ok(()),
        }
    }

    fn send(
        &self,
        rows: &LocalRows,
        filling: &Filling,
        watch: &mut dyn FnMut(Step),
    ) -> Result<(), StorageError> {
        for table in Table::ALL {
            self.pieces(rows, (table, filling.place(table)?), |piece| {
                filling.put(piece)?;
                watch(Step::Rows(piece.len()));
                Ok(())
            })?;
        }
        Ok(())
    }

    fn send_segments(
        &self,
        rows: &LocalRows,
        home: &Home,
        watch: &mut dyn FnMut(Step),
    ) -> Result<(), StorageError> {
        self.each_segment(rows, home, |key, file| {
            self.to.store.put(key, file)?;
            watch(Step::Bytes(len(file)?));
            Ok(())
        })
    }

    fn compare(&self, rows: &LocalRows, filling: &Filling, home: &Home) -> Result<(), StorageError> {
        for table in Table::ALL {
            self.pieces(rows, (table, 0), |piece| {
                if filling.read_back(piece)? == *piece {
                    return Ok(());
                }
                Err(self.problem(format!(
                    "{table:?} from {} to {} are not there as they are here; nothing was changed: remove the file {NOTE_FILE} in its directory to begin anew",
                    piece.first().unwrap_or_default(),
                    piece.last().unwrap_or_default(),
                )))
            })?;
        }
        self.each_segment(rows, home, |key, file| {
            if self.to.store.holds(key, file)? {
                return Ok(());
            }
            Err(self.problem(format!("{key} is not there as {} is here", file.display())))
        })
    }

    fn each_segment(
        &self,
        rows: &LocalRows,
        home: &Home,
        mut each: impl FnMut(&ObjectKey, &Path) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let dir = self.from.tenant_path(self.id).join(SEGMENTS_DIR);
        self.pieces(rows, (Table::Segments, 0), |piece| {
            let Piece::Segments(entries) = piece else {
                unreachable!("a piece is of the table that was asked for")
            };
            for entry in entries {
                let key = ObjectKey {
                    home: home.clone(),
                    generation: KEY_GENERATION,
                    ulid: entry.ulid,
                };
                each(&key, &dir.join(file_name(entry.ulid)))?;
            }
            Ok(())
        })
    }

    /// All pieces of a table after a place.
    fn pieces(
        &self,
        rows: &LocalRows,
        (table, after): (Table, u64),
        mut each: impl FnMut(&Piece) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut after = after;
        loop {
            let piece = rows.piece(table, after, self.piece_rows)?;
            let Some(last) = piece.last() else {
                return Ok(());
            };
            each(&piece)?;
            after = last;
        }
    }

    fn told(&self, rows: &LocalRows, summary: &Summary, was_before: bool) -> Result<Relocated, StorageError> {
        let mut bytes = 0;
        let home = Home::of(self.id, &[0; INCARNATION_LEN]);
        self.each_segment(rows, &home, |_, file| {
            bytes += len(file)?;
            Ok(())
        })?;
        let state = &summary.state;
        Ok(Relocated {
            was_before,
            subjects: state.subjects,
            references: state.references,
            pending: state.pending,
            segments: summary.segments,
            bytes,
            erasures: state.last_erasure,
            events: state.last_usage,
        })
    }

    fn problem(&self, problem: impl Into<String>) -> StorageError {
        StorageError::Relocation {
            tenant: self.id.clone(),
            problem: problem.into(),
        }
    }
}

/// Where to go on.
enum Resumed {
    /// It is the cluster's already.
    Made,
    /// Where an earlier try came to.
    At(Note, Filling),
    /// At the beginning.
    Nowhere,
}

fn len(file: &Path) -> Result<u64, StorageError> {
    let found = fs::metadata(file).map_err(|e| StorageError::io("examine", file, e))?;
    Ok(found.len())
}

/// The tenants of a directory that are served there no more.
pub fn relocated(from: &DataDir) -> Result<Vec<TenantId>, StorageError> {
    let mut found = Vec::new();
    for id in from.tenants()? {
        if Note::read(&from.tenant_path(&id))?.is_some_and(|note| note.is_over) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Whether what a directory has of a tenant is to be discarded: it was relocated, and is there. One that was not is an error.
pub fn check_discard(from: &DataDir, id: &TenantId, database: &Database) -> Result<(), StorageError> {
    let dir = from.tenant_path(id);
    let problem = |problem: String| StorageError::Relocation {
        tenant: id.clone(),
        problem,
    };
    let note = Note::read(&dir)?.filter(|note| note.is_over);
    let note = note.ok_or_else(|| problem("it was not: what is here is the tenant itself".to_owned()))?;
    let incarnation = note.incarnation().expect("it was read");
    match database.is_made(&incarnation)? {
        Some(true) => Ok(()),
        _ => Err(problem(format!(
            "it is not in the database {}; it may have been dropped there, or its relocation was cut off before its end, and what is here is all there is of it: repeat `thenar migrate local-to-cluster`",
            database.server()
        ))),
    }
}

#[cfg(test)]
#[path = "relocate_tests.rs"]
mod tests;
