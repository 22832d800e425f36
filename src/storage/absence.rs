//! Looks for what an erasure removed in every live file of its tenant, beside a running server or without one. Changes nothing and judges nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use super::catalog::code::{int, uint};
use super::catalog::local::{self, erasure};
use super::catalog::page::PageSeal;
use super::catalog::segments::{self, SegmentEntry};
use super::catalog::{connection, erase, pending, schema};
use super::data_dir;
use super::error::StorageError;
use super::files::SEGMENTS_DIR;
use super::place::SEGMENT_ROWS_MAX;
use super::segment::blocks::split_exact;
use super::segment::format::{Plane, ROWS_AT, SegmentContext, ulid_of};
use super::segment::reader::SegmentReader;
use super::store::CATALOG_FILE;
use super::traces::Traces;
use crate::keys::receipt::SignerKeys;
use crate::keys::secret::SecretKey;
use crate::model::erasure::ErasureReceipt;
use crate::model::signature::Dimension;
use crate::model::timestamp::Timestamp;

/// Windows that one task looks at.
const STRETCH_LEN: usize = 1 << 20;
/// How often files that came meanwhile are looked for.
const TRIES: usize = 10;

/// What was looked at and what was found.
#[derive(Debug, Default)]
pub struct Absence {
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Windows compared, one at every byte.
    pub windows: u64,
    /// Rows of segments compared at their places: those of segments of which every block is authentic.
    pub rows: u64,
    /// What stands there of the erased subject.
    pub found: Vec<Found>,
    /// What the catalog says; `None` where it was not asked, for want of a key.
    pub catalog: Option<Standing>,
}

/// Something of the erased subject in a live file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Its first byte; `None` for a row of a table.
    pub offset: Option<u64>,
    /// What it is.
    pub what: FoundKind,
}

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A sealed row that the receipt lists.
    Listed,
    /// A row of the subject, sealed otherwise than the receipt lists it.
    OfSubject,
}

/// What the catalog says of an erasure.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it calls it purged.
    pub purged: bool,
    /// Since when a subject of that id is enrolled again.
    pub enrolled_again: Option<Timestamp>,
    /// What contradicts the receipt, in words.
    pub contradictions: Vec<String>,
}

/// Looks for what `receipt` says was removed in the directory of its tenant in the data directory at `data`, which another process may
/// serve. Without the tenant's data key and the server's public key the catalog is not asked, and every file is looked at byte by byte. Never in the process that serves the
/// tenant: closing a file here would let go the locks that `SQLite` has on it.
pub fn search(
    data: &Path,
    receipt: &ErasureReceipt,
    keys: Option<(&SecretKey, &SignerKeys)>,
) -> Result<Absence, StorageError> {
    let tenant = &receipt.tenant;
    if !data_dir::tenants(data)?.contains(tenant) {
        return Err(StorageError::TenantUnknown(tenant.clone()));
    }
    let dir = data_dir::tenant_path(data, tenant);
    let mut absence = Absence::default();
    let (traces, context) = match keys {
        None => (traces(receipt, None)?, None),
        Some((data_key, signers)) => {
            let catalog = dir.join(CATALOG_FILE);
            let asked = ask_catalog(&dir, receipt, (data_key, signers), &mut absence);
            let (traces, dimension, entries) = asked.map_err(|error| local::name_catalog(error, &catalog))?;
            let context = SegmentContext::new(tenant, dimension, data_key);
            (traces, Some((context, entries)))
        }
    };
    let owner = receipt.removed.map(|removed| removed.subject_handle);
    let look = Look { traces, owner };
    let mut done = BTreeSet::new();
    if let Some((context, entries)) = &context {
        done = look.segments(&dir.join(SEGMENTS_DIR), context, entries, &mut absence);
    }
    let context = context.map(|(context, _)| context);
    look.everything_else(&dir, context.as_ref(), done, &mut absence)?;
    // A generation before a rotation, or what a crash left of one, may be this tenant's.
    for dir in data_dir::unnamed(data)? {
        match look.everything_else(&dir, None, BTreeSet::new(), &mut absence) {
            // Destroyed meanwhile: it is live no more.
            Err(_) if !dir.exists() => {}
            looked => looked?,
        }
    }
    Ok(absence)
}

fn traces(receipt: &ErasureReceipt, dimension: Option<Dimension>) -> Result<Traces, StorageError> {
    Traces::new(receipt, dimension).map_err(StorageError::Receipt)
}

/// Asks the catalog for all that it knows, in one moment, and compares each pending row: a long one lies in two pages, which no window spans.
fn ask_catalog(
    dir: &Path,
    receipt: &ErasureReceipt,
    (data_key, signers): (&SecretKey, &SignerKeys),
    absence: &mut Absence,
) -> Result<(Traces, Dimension, Vec<SegmentEntry>), StorageError> {
    let catalog = dir.join(CATALOG_FILE);
    let conn = connection::open_reader(&catalog, &Arc::new(PageSeal::new(data_key)))?;
    schema::check(&conn, &catalog)?;
    let tx = conn.unchecked_transaction()?;
    let dimension = local::read_spec(&tx, &catalog, &receipt.tenant)?.dimension;
    let traces = traces(receipt, Some(dimension))?;
    for reference in pending::references(&tx)? {
        if pending::sealed(&tx, reference)?.is_some_and(|sealed| traces.has(&sealed)) {
            absence.found.push(Found {
                path: catalog.clone(),
                offset: None,
                what: FoundKind::Listed,
            });
        }
    }
    absence.catalog = Some(standing(&tx, receipt, signers)?);
    let entries = segments::list(&tx)?;
    Ok((traces, dimension, entries))
}

fn standing(
    conn: &Connection,
    receipt: &ErasureReceipt,
    signers: &SignerKeys,
) -> Result<Standing, StorageError> {
    let mut standing = Standing::default();
    let contradictions = &mut standing.contradictions;
    match erasure::find(conn, receipt.erasure)? {
        None => contradictions.push(format!("the catalog has no erasure {}", receipt.erasure)),
        Some(stored) => {
            let known = erase::signed_here_or_before(&stored, &receipt.tenant, signers).ok();
            // Not the rows: an erasure that a restore did again was of rows that were sealed otherwise. Those of this receipt are looked for all the same.
            let same = known.is_some_and(|known| {
                (&known.subject_id, known.erased_at) == (&receipt.subject_id, receipt.erased_at)
            });
            if !same {
                contradictions.push(format!(
                    "erasure {} of the catalog is another one",
                    receipt.erasure
                ));
            } else if receipt.purged_at.is_some() && !stored.purged {
                contradictions.push("the catalog does not call it purged".to_owned());
            }
            standing.purged = same && stored.purged;
        }
    }
    let handle = receipt.removed.map(|removed| removed.subject_handle);
    let enrolled = conn
        .query_row(
            "SELECT handle, created_at FROM subject WHERE subject_id = ?",
            [receipt.subject_id.as_str()],
            |row| Ok((uint(row, 0)?, Timestamp(row.get(1)?))),
        )
        .optional()?;
    match enrolled {
        None => {}
        // Receipts of earlier releases don't say which number the subject had.
        Some((number, at)) if handle.map_or(at < receipt.erased_at, |handle| number == handle) => {
            contradictions.push("the subject is still in the catalog".to_owned());
        }
        Some((_, at)) => standing.enrolled_again = Some(at),
    }
    if let Some(handle) = handle {
        for (table, what) in [
            ("reference", "references"),
            ("link", "links"),
            ("usage", "events of the history"),
            ("request", "remembered answers"),
        ] {
            let count = format!("SELECT count(*) FROM {table} WHERE subject = ?");
            let count: u64 = conn.query_row(&count, [int(handle)], |row| uint(row, 0))?;
            if count > 0 {
                contradictions.push(format!("the catalog has {count} {what} of the subject"));
            }
        }
    }
    Ok(standing)
}

/// What is looked for.
struct Look {
    traces: Traces,
    /// The subject's number in rows of segments.
    owner: Option<u64>,
}

impl Look {
    /// Segments that the catalog names, row by row. One that is not authentic is left to [`Look::everything_else`], and so is one that was
    /// replaced meanwhile. Returns those that are done.
    fn segments(
        &self,
        dir: &Path,
        context: &SegmentContext,
        entries: &[SegmentEntry],
        absence: &mut Absence,
    ) -> BTreeSet<PathBuf> {
        let look = |entry: &SegmentEntry| {
            let reader = SegmentReader::open(dir, context, entry.ulid, entry.rows).ok()?;
            let found = self.rows(&reader).ok()?;
            Some((reader.path().to_owned(), reader.file_len(), reader.rows(), found))
        };
        let mut done = BTreeSet::new();
        let looked: Vec<_> = entries.par_iter().filter_map(look).collect();
        for (path, len, rows, found) in looked {
            absence.files += 1;
            absence.bytes += len;
            absence.rows += u64::from(rows);
            absence.found.extend(found);
            done.insert(path);
        }
        done
    }

    /// Every block of a segment, and in them the rows that are looked for.
    fn rows(&self, reader: &SegmentReader) -> Result<Vec<Found>, StorageError> {
        let mut block = Zeroizing::new(Vec::new());
        for plane in [Plane::Sign, Plane::Refine, Plane::Scale] {
            for number in 0..reader.block_count(plane) {
                reader.open_block(plane, usize::try_from(number).expect("few"), &mut block)?;
            }
        }
        let mut found = Vec::new();
        let block_rows = reader.exact_block_rows();
        for first in (0..reader.rows()).step_by(block_rows as usize) {
            reader.open_block(Plane::Exact, (first / block_rows) as usize, &mut block)?;
            let stride = block.len() / block_rows.min(reader.rows() - first) as usize;
            for (row, plain) in (first..).zip(block.chunks_exact(stride)) {
                let what = if self.traces.has(&reader.sealed_row(row)?) {
                    FoundKind::Listed
                } else if self.owner == Some(split_exact(plain).1.subject) {
                    FoundKind::OfSubject
                } else {
                    continue;
                };
                found.push(Found {
                    path: reader.path().to_owned(),
                    offset: Some(reader.row_offset(row) as u64),
                    what,
                });
            }
        }
        Ok(found)
    }

    /// All files below `dir` but those that are done, byte by byte; and such segments that the catalog does not name by their rows as well.
    fn everything_else(
        &self,
        dir: &Path,
        context: Option<&SegmentContext>,
        mut done: BTreeSet<PathBuf>,
        absence: &mut Absence,
    ) -> Result<(), StorageError> {
        for _ in 0..TRIES {
            let mut files = Vec::new();
            walk(dir, &mut files)?;
            // The log before its catalog: a page that goes from one to the other meanwhile is met at least once.
            files.sort_unstable_by(|a, b| b.cmp(a));
            files.retain(|path| !done.contains(path));
            if files.is_empty() {
                return Ok(());
            }
            for path in files {
                let by_row = context.map_or_else(Vec::new, |context| self.unnamed_segment(&path, context));
                let listed = self.bytes(&path, absence)?;
                let new = by_row.into_iter().filter(|found| !listed.contains(found));
                absence.found.extend(new);
                absence.found.extend(listed);
                done.insert(path);
            }
        }
        Err(StorageError::damaged(
            dir,
            "new files come again and again; verify once more",
        ))
    }

    /// Rows of a segment that the catalog does not name, where it is one of this tenant.
    fn unnamed_segment(&self, path: &Path, context: &SegmentContext) -> Vec<Found> {
        let open = || {
            let ulid = ulid_of(path.file_name()?.to_str()?)?;
            let mut rows = [0; 4];
            // The header says how many rows it has; the reader authenticates the header.
            File::open(path).ok()?.read_exact_at(&mut rows, ROWS_AT).ok()?;
            let rows = u32::from_le_bytes(rows);
            let rows = Some(rows).filter(|rows| (1..=SEGMENT_ROWS_MAX).contains(rows))?;
            let reader = SegmentReader::open(path.parent()?, context, ulid, rows).ok()?;
            self.rows(&reader).ok()
        };
        open().unwrap_or_default()
    }

    /// Every window of a file. One that is gone is no live file.
    fn bytes(&self, path: &Path, absence: &mut Absence) -> Result<Vec<Found>, StorageError> {
        let failed = |e| StorageError::io("read", path, e);
        let file = match File::open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.map_err(failed)?,
        };
        let len = file.metadata().map_err(failed)?.len();
        let stretches: Vec<u64> = (0..len).step_by(STRETCH_LEN).collect();
        let looked: Vec<_> = stretches
            .into_par_iter()
            .map(|from| {
                let bytes = read(&file, from, STRETCH_LEN + self.traces.len_max())?;
                let (found, windows) = self.traces.find(&bytes, STRETCH_LEN);
                let found: Vec<u64> = found.into_iter().map(|at| from + at as u64).collect();
                Ok((found, windows, bytes.len().min(STRETCH_LEN) as u64))
            })
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        absence.files += 1;
        let mut all = Vec::new();
        for (found, windows, bytes) in looked {
            absence.windows += windows;
            absence.bytes += bytes;
            all.extend(found.into_iter().map(|at| Found {
                path: path.to_owned(),
                offset: Some(at),
                what: FoundKind::Listed,
            }));
        }
        Ok(all)
    }
}

/// Up to `len` bytes; fewer where the file ends.
fn read(file: &File, from: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while let Some(free) = bytes.get_mut(filled..).filter(|free| !free.is_empty()) {
        match file.read_at(free, from + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Files below a directory; what is gone meanwhile is left out, and so is what is neither a file nor a directory. A link to a directory is refused: what it
/// leads to would not be searched.
fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), StorageError> {
    let failed = |e| StorageError::io("list", dir, e);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => walk(&path, files)?,
            // Also where a link leads to: it is in the tenant's directory.
            Ok(_) if path.is_file() => files.push(path),
            Ok(_) if path.is_dir() => {
                let fault = "it is a link to a directory, which is not searched: put what is there in its place, or remove it";
                return Err(StorageError::damaged(&path, fault));
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(StorageError::io("examine", &path, e)),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "absence_tests.rs"]
mod tests;
