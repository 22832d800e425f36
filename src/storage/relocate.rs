//! A tenant's way out of a data directory to the engines that the nodes of a cluster share: its rows with their numbers, its segments byte for byte. All of it is read back and compared before it counts there.
//!
//! From the directory's first note on, whatever is cut off is gone on with: pieces that came are not sent again, unless the tenant was changed meanwhile, which begins all anew. It is the cluster's by one
//! transaction. Before that the directory notes that it serves the tenant no more, so that at no moment two servers do.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand;

use self::note::Note;
use super::catalog::local::relocate::LocalRows;
use super::catalog::postgres::relocate::{self as filling, Filling};
use super::catalog::relocate::{ErasureRow, Piece, Summary, Table};
use super::cluster::journal::SharedJournal;
use super::data_dir::DataDir;
use super::database::tenants::Rows;
use super::database::{CatalogKeys, Database};
use super::error::StorageError;
use super::files::{KEY_GENERATION, SEGMENTS_DIR};
use super::journal::Journal;
use super::journal::entry::{Entry, ErasureEntry};
use super::objects::ObjectStore;
use super::objects::key::{Home, ObjectKey};
use super::objects::text::{epochs_text, incarnations};
use super::on_cluster::Incarnation;
use super::segment::format::file_name;
use super::store::Store;
use super::verify::verify;
use crate::keys::cells::INCARNATION_LEN;
use crate::keys::encoding::to_hex;
use crate::keys::epochs::EpochKeys;
use crate::keys::receipt::{ReceiptSigner, SignerKeys};
use crate::keys::text::TextStore;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;

mod note;

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
    /// The directory serves it no more, and the cluster not yet.
    HandingOver,
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

/// Refuses a tenant that is served elsewhere.
pub(crate) fn refuse(dir: &Path, id: &TenantId) -> Result<(), StorageError> {
    match Note::read(dir)? {
        Some(note) if note.is_over => Err(StorageError::Relocated(id.clone())),
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
        LocalRows::open(&dir, self.id, &self.keys.data_key)?.spec()
    }

    /// Relocates it. `hand_over` gives its keys to the cluster, once everything is there and before it counts; it may be called again where this is cut off.
    pub fn run(
        &self,
        (signer, signers, journal): (ReceiptSigner, &SignerKeys, &Journal),
        watch: &mut dyn FnMut(Step),
        hand_over: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<Relocated, StorageError> {
        let dir = self.from.tenant_path(self.id);
        let note = Note::read(&dir)?;
        let was_over = note.as_ref().is_some_and(|note| note.is_over);
        if !was_over {
            watch(Step::Checking);
            self.check((signer, signers), journal)?;
        }
        let rows = LocalRows::open(&dir, self.id, &self.keys.data_key)?;
        let summary = rows.summary()?;
        let (note, filling) = match self.resume(note, &summary)? {
            Resumed::Made(note) => {
                note.over().write(&dir)?;
                return self.told(&rows, &summary, true);
            }
            Resumed::At(note, filling) => (note, filling),
            Resumed::Nowhere => self.begin(&dir, &summary)?,
        };
        let incarnation = note.incarnation().expect("it was read, or written");
        let home = Home::of(self.id, &incarnation);
        self.send(&rows, &filling, watch)?;
        self.send_segments(&rows, &home, watch)?;
        watch(Step::Comparing);
        self.compare(&rows, &filling, &home)?;
        filling.check(&summary)?;
        self.record_last_erasure(&rows, &summary, &home)?;
        hand_over()?;
        note.clone().over().write(&dir)?;
        watch(Step::HandingOver);
        match filling.make(&summary) {
            Ok(()) => self.told(&rows, &summary, false),
            Err(error) => {
                // What was refused for certain leaves the tenant here; unless somebody else made it, from a copy of the directory, or removed it.
                let is_refused = !error.may_be_done() && !error.is_away();
                if is_refused && self.to.database.is_made(&incarnation)? == Some(false) {
                    note.write(&dir)?;
                }
                Err(error)
            }
        }
    }

    /// Ends what was cut off here, purges who was erased, and checks every byte and every row. A directory that is older than its erasure journal has persons who were erased.
    fn check(&self, by: (ReceiptSigner, &SignerKeys), journal: &Journal) -> Result<(), StorageError> {
        let store = Store::open(self.from, self.id, &self.keys.data_key, by.0)?;
        journal.record_erasures(&store)?;
        store.purge()?;
        if store.needs_purge() {
            return Err(self.problem("files of erased persons could not be removed"));
        }
        drop(store);
        let found = verify(self.from.path(), self.id, &self.keys.data_key, by.1);
        match found.faults.into_iter().next() {
            Some(fault) => Err(fault),
            None if !found.counted => {
                Err(self.problem("its rows could not be counted: another process changes it"))
            }
            None => Ok(()),
        }
    }

    /// Goes on where an earlier try came to, if the tenant is as it was then. What came of a former state of it is removed.
    fn resume(&self, note: Option<Note>, summary: &Summary) -> Result<Resumed, StorageError> {
        let Some(note) = note else {
            self.clear(None)?;
            return Ok(Resumed::Nowhere);
        };
        let incarnation = note.incarnation().expect("it was read");
        if self.to.database.is_made(&incarnation)? == Some(true) {
            check_store(&note, self.id, self.to.store)?;
            return Ok(Resumed::Made(note));
        }
        let (database, store) = (self.to.database.server(), self.to.store.identity()?.to_string());
        if (note.to.as_str(), note.store.as_str()) != (database, store.as_str()) {
            return Err(self.problem(format!(
                "it is on its way to the database {} and the object store {}, and these are {database} and {store}: name those, in the same words",
                note.to, note.store
            )));
        }
        if !note.is_over && note.commits != summary.state.commits {
            self.give_up(&incarnation)?;
            self.clear(None)?;
            return Ok(Resumed::Nowhere);
        }
        self.clear(Some(incarnation))?;
        match self.filling(&incarnation)? {
            Some(filling) => Ok(Resumed::At(note, filling)),
            None if note.is_over => Err(self.problem(format!(
                "the database {database} has nothing of it: it was dropped there, or never became the cluster's, and then the directory has all there is of it"
            ))),
            None => {
                self.give_up(&incarnation)?;
                Ok(Resumed::Nowhere)
            }
        }
    }

    /// Removes what relocations of this directory's tenant left there, but for one. What is there of others' tenants of that name does not open by its keys, and stays.
    fn clear(&self, kept: Option<Incarnation>) -> Result<(), StorageError> {
        for other in incarnations(self.to.store, self.id)?.into_keys() {
            if Some(other) != kept && matches!(self.filling(&other), Ok(Some(_))) {
                self.give_up(&other)?;
            }
        }
        Ok(())
    }

    fn filling(&self, incarnation: &Incarnation) -> Result<Option<Filling>, StorageError> {
        let text = Arc::new(epochs_text(self.to.store, self.id, incarnation, KEY_GENERATION));
        if text.version()?.is_none() {
            return Ok(None);
        }
        let epochs = Arc::new(EpochKeys::open_in(text, &self.keys.data_key)?);
        let signer = self.to.signer.clone();
        Filling::resume(self.to.database, self.id, &self.keys.secret, (epochs, signer))
    }

    /// Removes what a relocation of this tenant left that is not gone on with: rows first, so that nothing is removed of one that is made; the keys of epochs last, by which it is found again.
    fn give_up(&self, incarnation: &Incarnation) -> Result<(), StorageError> {
        self.to.database.remove(&Rows::Unmade(*incarnation))?;
        if self.to.database.is_made(incarnation)?.is_some() {
            return Err(self.problem("somebody makes it there at the same time"));
        }
        let left = self.to.store.list(&Home::of(self.id, incarnation))?;
        let left: Vec<ObjectKey> = left.into_iter().map(|info| info.key).collect();
        if !left.is_empty() {
            self.to.store.delete_proven(&left)?;
        }
        Ok(epochs_text(self.to.store, self.id, incarnation, KEY_GENERATION).destroy()?)
    }

    fn begin(&self, dir: &Path, summary: &Summary) -> Result<(Note, Filling), StorageError> {
        self.check_name()?;
        let is_as_of = (summary.spec.created_at, summary.state.last_erasure);
        let journal = SharedJournal::new(self.to.store);
        if let Some(problem) = journal.objection(self.id, is_as_of, &self.to.signer)? {
            return Err(self.problem(problem));
        }
        let mut incarnation = [0; INCARNATION_LEN];
        rand::fill(&mut incarnation).expect("the operating system's generator answers");
        let note = Note {
            incarnation: to_hex(&incarnation),
            to: self.to.database.server().to_owned(),
            store: self.to.store.identity()?.to_string(),
            commits: summary.state.commits,
            is_over: false,
        };
        // First, so that whatever is there by then is found again.
        note.write(dir)?;
        let text = epochs_text(self.to.store, self.id, &incarnation, KEY_GENERATION);
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
                    "{table:?} from {} to {} are not there as they are here; its server may go on serving it, and once it changed anything a repetition begins anew",
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

    /// So a restore tells that the cluster's journal is not behind a backup of the cluster. Earlier ones are in the directory's journal, and of no use to a backup that comes later.
    fn record_last_erasure(
        &self,
        rows: &LocalRows,
        summary: &Summary,
        home: &Home,
    ) -> Result<(), StorageError> {
        let before = summary.state.last_erasure.saturating_sub(1);
        let Piece::Erasures(last) = rows.piece(Table::Erasures, before, 1)? else {
            unreachable!("a piece is of the table that was asked for")
        };
        let journal = SharedJournal::new(self.to.store);
        for ErasureRow { answer, .. } in &last {
            let entry = ErasureEntry::of(&summary.spec, answer)
                .ok_or_else(|| self.problem("the receipt of its last erasure can't be read"))?;
            let line = Entry::Erasure(entry).line(&self.to.signer);
            journal.put(home, answer.erasure, &line, &self.to.signer)?;
        }
        Ok(())
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
        StorageError::relocation(self.id, problem)
    }
}

/// Where to go on.
enum Resumed {
    /// It is the cluster's already.
    Made(Note),
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

/// Refuses another object store than the one that has its segments and keys.
fn check_store(note: &Note, id: &TenantId, store: &ObjectStore) -> Result<(), StorageError> {
    let found = store.identity()?.to_string();
    if found == note.store {
        return Ok(());
    }
    let problem = format!(
        "its segments and keys went to the object store {}, and {store} is {found}: name the one that the cluster has",
        note.store
    );
    Err(StorageError::relocation(id, problem))
}

/// Whether what a directory has of a tenant is to be discarded: it was relocated, and is there. One that was not is an error.
pub fn check_discard(
    from: &DataDir,
    id: &TenantId,
    (database, store): (&Database, &ObjectStore),
) -> Result<(), StorageError> {
    let note = Note::read(&from.tenant_path(id))?.filter(|note| note.is_over);
    let note = note.ok_or_else(|| {
        let problem = "there was none: what is here is the tenant itself, and nothing was destroyed";
        StorageError::relocation(id, problem)
    })?;
    let incarnation = note.incarnation().expect("it was read");
    if database.is_made(&incarnation)? == Some(true) {
        return check_store(&note, id, store);
    }
    let problem = format!(
        "it is not in the database {}; it may have been dropped there, or its relocation was cut off before its end, and what is here is all there is of it: repeat `thenar migrate local-to-cluster`",
        database.server()
    );
    Err(StorageError::relocation(id, problem))
}

#[cfg(test)]
#[path = "relocate_tests.rs"]
pub(in crate::storage) mod tests;
