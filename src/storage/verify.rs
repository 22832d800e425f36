//! Checks everything that a tenant has on disk against its authentication and against each other, beside a running server or without one. Changes nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::catalog::code::{int, uint};
use super::catalog::connection;
use super::catalog::erase;
use super::catalog::local::{self, erasure};
use super::catalog::page::{FRAME_HEADER_LEN, LOG_HEADER_LEN, PAGE_LEN, PageFault, PageSeal, Spot};
use super::catalog::pending::{self, PendingSeal};
use super::catalog::schema;
use super::catalog::segments::{self, SegmentEntry};
use super::catalog::state::State;
use super::data_dir;
use super::error::StorageError;
use super::files::SEGMENTS_DIR;
use super::mark;
use super::place::RowId;
use super::segment::blocks::split_exact;
use super::segment::format::{Plane, SegmentContext, file_name, ulid_of};
use super::segment::reader::SegmentReader;
use super::store::{CATALOG_FILE, LOG_FILE, holes_of};
use crate::keys::receipt::SignerKeys;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;

/// The page that `SQLite` locks and never writes begins here.
const LOCK_PAGE_AT: u64 = 1 << 30;
/// How often what a running server may just be changing is looked at before it counts as damaged.
const TRIES: usize = 5;
/// And how long it has in between.
const TRY_AGAIN: Duration = Duration::from_millis(10);
/// Faults after which the rest of a tenant is not listed.
const FAULTS_MAX: usize = 100;

/// What was looked at and what was found.
#[derive(Debug, Default)]
pub struct Verification {
    /// Pages of the catalog.
    pub pages: u64,
    /// Segments.
    pub segments: u64,
    /// Blocks of segments.
    pub blocks: u64,
    /// References in segments.
    pub placed: u64,
    /// References in the catalog alone.
    pub pending: u64,
    /// Segment files that the catalog does not have: left by a crash or put there; the next start destroys them.
    pub orphans: Vec<PathBuf>,
    /// When the tenant was made and the number of its last erasure, where the catalog could be read.
    pub last_erasure: Option<(Timestamp, u64)>,
    /// Whether the catalog's counters were compared: not where it was changed meanwhile, or is damaged.
    pub counted: bool,
    /// What is not as it was written.
    pub faults: Vec<StorageError>,
}

impl Verification {
    /// Takes the value, or notes the fault.
    fn note<T>(&mut self, outcome: Result<T, StorageError>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    fn is_full(&self) -> bool {
        self.faults.len() >= FAULTS_MAX
    }
}

/// Verifies a tenant of the data directory at `data`, which another process may serve. Never in the process that serves it: closing a file here would
/// let go the locks that `SQLite` has on it.
/// Receipts are signed by these keys.
pub fn verify(data: &Path, tenant: &TenantId, data_key: &SecretKey, signers: &SignerKeys) -> Verification {
    let mut found = Verification::default();
    let dir = data_dir::tenant_path(data, tenant);
    let seal = Arc::new(PageSeal::new(data_key));
    // Read before the catalog, which may go on: it is never behind its mark.
    let marked = found.note(mark::read(&dir, data_key));
    pages(&dir.join(CATALOG_FILE), &seal, &mut found);
    let keys = (data_key, &seal, signers);
    let outcome = rows(&dir, tenant, keys, marked, &mut found);
    let catalog = dir.join(CATALOG_FILE);
    found.note(outcome.map_err(|error| local::name_catalog(error, &catalog)));
    found
}

/// Every page of the catalog's file.
fn pages(path: &Path, seal: &PageSeal, found: &mut Verification) {
    let file = File::open(path).map_err(|e| StorageError::io("open", path, e));
    let Some(file) = found.note(file) else { return };
    let len = file.metadata().map_err(|e| StorageError::io("examine", path, e));
    let Some(len) = found.note(len).map(|metadata| metadata.len()) else {
        return;
    };
    let last = u32::try_from(len / PAGE_LEN as u64 + 1).unwrap_or(u32::MAX);
    if !len.is_multiple_of(PAGE_LEN as u64) && !logged(&path.with_file_name(LOG_FILE)).contains(&last) {
        let fault = format!("it is {len} bytes long, which is no number of pages");
        found.faults.push(StorageError::damaged(path, fault));
    }
    for offset in (0..len / PAGE_LEN as u64 * PAGE_LEN as u64).step_by(PAGE_LEN) {
        if offset == LOCK_PAGE_AT || found.is_full() {
            continue;
        }
        found.pages += 1;
        let spot = Spot::Catalog { offset };
        let number = u32::try_from(offset / PAGE_LEN as u64 + 1).unwrap_or(u32::MAX);
        let is_well = |n| {
            if n > 0 {
                thread::sleep(TRY_AGAIN);
            }
            let mut page = [0; PAGE_LEN];
            file.read_exact_at(&mut page, offset).is_ok() && seal.open(spot, &mut page)
                || logged(&path.with_file_name(LOG_FILE)).contains(&number)
        };
        if !(0..TRIES).any(is_well) {
            found
                .faults
                .push(StorageError::damaged(path, PageFault(spot).to_string()));
        }
    }
}

/// Pages that the log has a frame of. What the catalog has of them may be half written, or not at all, when a checkpoint was cut or is under
/// way. That the frames are sound is seen when `SQLite` reads them.
fn logged(log: &Path) -> BTreeSet<u32> {
    let mut pages = BTreeSet::new();
    let Ok(file) = File::open(log) else { return pages };
    let (mut header, mut frame) = ([0; LOG_HEADER_LEN], [0; FRAME_HEADER_LEN]);
    if file.read_exact_at(&mut header, 0).is_err() {
        return pages;
    }
    let mut at = LOG_HEADER_LEN as u64;
    while file.read_exact_at(&mut frame, at).is_ok() {
        let ([number @ .., _, _, _, _], salts) = frame.split_first_chunk::<8>().expect("a header is longer");
        if salts.first_chunk::<8>() == header.get(16..).and_then(|rest| rest.first_chunk()) {
            pages.insert(u32::from_be_bytes(*number));
        }
        at += (FRAME_HEADER_LEN + PAGE_LEN) as u64;
    }
    pages
}

/// The catalog's rows, and through them the segments.
fn rows(
    dir: &Path,
    tenant: &TenantId,
    (data_key, seal, signers): (&SecretKey, &Arc<PageSeal>, &SignerKeys),
    marked: Option<u64>,
    found: &mut Verification,
) -> Result<(), StorageError> {
    let catalog = dir.join(CATALOG_FILE);
    let conn = connection::open_reader(&catalog, seal)?;
    schema::check(&conn, &catalog)?;
    let spec = local::read_spec(&conn, &catalog, tenant)?;
    integrity(&conn, &catalog, found)?;
    let before = State::load(&conn)?;
    found.last_erasure = Some((spec.created_at, before.last_erasure));
    if let Some(marked) = marked {
        found.note(before.check_mark(marked));
    }
    let context = SegmentContext::new(tenant, spec.dimension, data_key);
    let segments_path = dir.join(SEGMENTS_DIR);
    for entry in segments::list(&conn)? {
        if found.is_full() {
            return Ok(());
        }
        let outcome = segment(&conn, &segments_path, &context, entry, found);
        found.note(outcome);
    }
    pending_rows(&conn, &PendingSeal::new(tenant, data_key), found)?;
    receipts(&conn, (tenant, signers), &catalog, found)?;
    orphans(&conn, &segments_path, found)?;
    // Counted where nothing was changed meanwhile.
    let after = State::load(&conn)?;
    if after == before && found.faults.is_empty() {
        totals(&conn, &after, &catalog, found)?;
        found.counted = true;
    }
    Ok(())
}

/// What `SQLite` finds wrong with its tables and indexes.
fn integrity(conn: &Connection, catalog: &Path, found: &mut Verification) -> Result<(), StorageError> {
    let mut statement = conn.prepare("PRAGMA integrity_check")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            found.faults.push(StorageError::damaged(catalog, line));
        }
    }
    let mut statement = conn.prepare("PRAGMA foreign_key_check")?;
    for table in statement.query_map([], |row| row.get::<_, String>(0))? {
        let fault = format!("a row of table {} names one that is not there", table?);
        found.faults.push(StorageError::damaged(catalog, fault));
    }
    Ok(())
}

/// A segment: the file that holds it now, which a purge may replace meanwhile.
fn segment(
    conn: &Connection,
    dir: &Path,
    context: &SegmentContext,
    listed: SegmentEntry,
    found: &mut Verification,
) -> Result<(), StorageError> {
    let mut entry = listed;
    for _ in 0..TRIES {
        let outcome = blocks(conn, dir, context, entry);
        let now = segments::list(conn)?;
        let now = now.into_iter().find(|now| now.number == entry.number);
        match (outcome, now) {
            (Ok((blocks, placed)), _) => {
                found.segments += 1;
                found.blocks += blocks;
                found.placed += placed;
                return Ok(());
            }
            (Err(_), Some(now)) if now.ulid != entry.ulid => entry = now,
            (Err(fault), _) => return Err(fault),
        }
    }
    Err(StorageError::damaged(
        &dir.join(file_name(entry.ulid)),
        "it is replaced again and again; verify once more",
    ))
}

/// Every block of a segment's file, and every row of it against the catalog. Gives the numbers of blocks and of rows.
fn blocks(
    conn: &Connection,
    dir: &Path,
    context: &SegmentContext,
    entry: SegmentEntry,
) -> Result<(u64, u64), StorageError> {
    let reader = SegmentReader::open(dir, context, entry.ulid, entry.rows)?;
    let mut blocks = 0;
    for plane in [Plane::Sign, Plane::Refine] {
        blocks += reader.block_count(plane);
        reader.open_plane(plane)?;
    }
    blocks += reader.block_count(Plane::Scale);
    let gone = holes_of(&reader, entry, &reader.open_plane(Plane::Scale)?)?;
    blocks += reader.block_count(Plane::Exact);
    let exact = zeroize::Zeroizing::new(reader.open_plane(Plane::Exact)?);
    let stride = exact.len() / entry.rows as usize;
    let tx = conn.unchecked_transaction()?;
    let mut placed = 0;
    for (row, bytes) in (0..).zip(exact.chunks_exact(stride)) {
        let (_, id) = split_exact(bytes);
        let fault = |fault: &str| StorageError::damaged(reader.path(), format!("row {row}: {fault}"));
        match (id == RowId::HOLE, gone.contains(&row)) {
            (true, true) => {}
            (true, false) | (false, true) => return Err(fault("it is a hole in one plane alone")),
            (false, false) => match place(&tx, id, entry.number, row)? {
                Claim::Reference => placed += 1,
                Claim::Tombstone => {}
                Claim::None => return Err(fault("the catalog has another place for its reference, or none")),
            },
        }
    }
    Ok((blocks, placed))
}

/// Who has a row of a segment.
enum Claim {
    Reference,
    Tombstone,
    None,
}

/// What the catalog says of a row of a segment.
fn place(tx: &Transaction<'_>, id: RowId, segment: u32, row: u32) -> Result<Claim, StorageError> {
    let of_reference = tx
        .prepare_cached("SELECT subject, segment, row FROM reference WHERE id = ?")?
        .query_row([int(id.reference)], |found| {
            let at: (Option<u32>, Option<u32>) = (found.get(1)?, found.get(2)?);
            Ok(uint(found, 0)? == id.subject && at == (Some(segment), Some(row)))
        })
        .optional()?;
    let of_tombstone = tx
        .prepare_cached("SELECT segment, row FROM tombstone WHERE reference = ?")?
        .query_row([int(id.reference)], |found| {
            let at: (Option<u32>, Option<u32>) = (found.get(0)?, found.get(1)?);
            Ok(at == (Some(segment), Some(row)))
        })
        .optional()?;
    Ok(match (of_reference, of_tombstone) {
        (Some(true), None) => Claim::Reference,
        (None, Some(true)) => Claim::Tombstone,
        _ => Claim::None,
    })
}

/// Every pending row opens.
fn pending_rows(conn: &Connection, seal: &PendingSeal, found: &mut Verification) -> Result<(), StorageError> {
    for reference in pending::references(conn)? {
        // One that was flushed meanwhile is in a segment.
        if let Some(sealed) = pending::sealed(conn, reference)? {
            found.note(seal.open(reference, &sealed).map(drop));
            found.pending += 1;
        }
    }
    Ok(())
}

/// Every receipt is signed, and of the erasure that it stands by.
fn receipts(
    conn: &Connection,
    (tenant, signers): (&TenantId, &SignerKeys),
    catalog: &Path,
    found: &mut Verification,
) -> Result<(), StorageError> {
    for erasure in erasure::all(conn)? {
        let Some(stored) = erasure::find(conn, erasure)? else {
            continue;
        };
        if let Err(error) = erase::signed_here_or_before(&stored, tenant, signers) {
            let fault = format!("erasure {erasure}: {error}");
            found.faults.push(StorageError::damaged(catalog, fault));
        }
    }
    Ok(())
}

/// Segment files that the catalog does not have.
fn orphans(conn: &Connection, dir: &Path, found: &mut Verification) -> Result<(), StorageError> {
    let files = data_dir::list(dir)?;
    let entries = segments::list(conn)?;
    for name in files {
        let Some(ulid) = ulid_of(&name) else { continue };
        let known = entries.iter().any(|entry| entry.ulid == ulid);
        if !known && dir.join(&name).exists() {
            found.orphans.push(dir.join(name));
        }
    }
    Ok(())
}

/// The counters against the tables, and the tables against what was found in the files.
fn totals(
    conn: &Connection,
    state: &State,
    catalog: &Path,
    found: &mut Verification,
) -> Result<(), StorageError> {
    let count =
        |table: &str| conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| uint(row, 0));
    for (what, counted, counter) in [
        ("subjects", count("subject")?, state.subjects),
        ("references", count("reference")?, state.references),
        ("pending rows", count("pending")?, state.pending),
        (
            "open erasures",
            count("erasure WHERE purged = 0")?,
            state.erasures_open,
        ),
        ("rows in segments", found.placed, state.references - state.pending),
    ] {
        if counted != counter {
            let fault = format!("it counts {counter} {what}; there are {counted}");
            found.faults.push(StorageError::damaged(catalog, fault));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
