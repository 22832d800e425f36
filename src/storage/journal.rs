//! The erasure journal: one line for every erasure and every dropped tenant of a data directory, kept apart from the data, so that a restore of an older
//! backup brings nobody back. Holds no palm; applies nothing (`restore` does).
//!
//! An entry is appended after the catalog's transaction and before the caller is told. What a crash left out in between is appended from the catalog's
//! receipts when the tenant is opened, and when the erasure is repeated. Only the last number of each tenant is kept in memory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tempfile::NamedTempFile;

use self::entry::{DropEntry, Entry};
use self::known::Known;
use super::durable;
use super::error::StorageError;
use super::store::Store;
use crate::keys::receipt::ReceiptSigner;
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;

pub mod entry;
pub mod known;

/// The journal's file in a data directory, unless it is elsewhere.
pub const JOURNAL_FILE: &str = "erasures.journal";
/// Stands between the journal's name and the rest in the names of files that were kept because of entries in them.
const KEPT: &str = ".kept-";
/// Entries appended at once.
const APPEND_MAX: usize = 1_024;

/// What a copy of a journal has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Erasures.
    pub erasures: u64,
    /// Tenants that were dropped.
    pub drops: u64,
}

impl Counts {
    fn count(&mut self, entry: &Entry) {
        match entry {
            Entry::Erasure(_) => self.erasures += 1,
            Entry::Drop(_) => self.drops += 1,
        }
    }
}

/// The journal of a data directory that this process holds.
pub struct Journal {
    path: PathBuf,
    signer: ReceiptSigner,
    lock: Mutex<Option<JournalLock>>,
    inner: Mutex<Inner>,
}

/// Keeps others from the journal, by `flock` on a descriptor of its own.
pub struct JournalLock {
    _file: File,
}

struct Inner {
    file: File,
    /// Bytes that are durable and sound.
    len: u64,
    /// Something may stand behind them that is left of an append that failed.
    is_unclean: bool,
    known: Known,
}

impl Journal {
    /// Opens the journal, or makes one, and reads it. What a loss of power left of an append at its end is cut off; any other line that is not as it was
    /// written, or that another keyring's key signed, is refused with its number.
    pub fn open(path: &Path, signer: ReceiptSigner) -> Result<Self, StorageError> {
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options
                .mode(0o600)
                .open(path)
                .map_err(|e| StorageError::io("open", path, e))
        };
        // Before it is opened: a pipe would wait for somebody at its other end, and a device never ends.
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            let problem = std::io::Error::other("it is no regular file");
            return Err(StorageError::io("open", path, problem));
        }
        let lock = lock(path, open()?)?;
        let file = open()?;
        durable::sync_parent(path)?;
        let (known, extent) = Known::read(path, &signer)?;
        let len = extent.len;
        let found = file
            .metadata()
            .map_err(|e| StorageError::io("examine", path, e))?;
        if extent.has_more {
            // Behind it are signed entries, which a restore may need.
            let kept = durable::copy_beside(path, path, KEPT)?;
            tracing::warn!(path = %path.display(), kept = %kept.display(), "a line of the erasure journal is not as it was written, and others stand behind it: the file is kept for restores");
        }
        if found.len() > len {
            let cut = found.len() - len;
            tracing::warn!(path = %path.display(), bytes = cut, "an entry of the erasure journal that was cut off is removed");
            file.set_len(len)
                .and_then(|()| file.sync_all())
                .map_err(|e| StorageError::io("cut", path, e))?;
        }
        let inner = Inner {
            file,
            len,
            is_unclean: false,
            known,
        };
        Ok(Self {
            path: path.to_owned(),
            signer,
            lock: Mutex::new(Some(lock)),
            inner: Mutex::new(inner),
        })
    }

    /// The lock, for whoever serves the directory: it ends with the directory's own, and not with the last task that has the journal still.
    pub fn take_lock(&self) -> Option<JournalLock> {
        self.lock.lock().take()
    }

    /// Appends the erasures that a tenant's catalog has and the journal has not; they are durable when it returns. A tenant that is older than the
    /// journal says is refused: whoever was erased since would be back.
    pub fn record_erasures(&self, store: &Store) -> Result<(), StorageError> {
        let spec = store.spec();
        let incarnation = (spec.id.clone(), spec.created_at);
        let mut inner = self.inner.lock();
        // Read under the lock, so that nobody appends more than that meanwhile.
        let newest = store.last_erasure();
        inner.known.check(&self.path, &incarnation, newest)?;
        let mut last = inner.known.last(&incarnation);
        while last < newest {
            let entries: Vec<Entry> = store
                .0
                .readers
                .erasures_between(last, newest, APPEND_MAX)?
                .into_iter()
                .map(Entry::Erasure)
                .collect();
            last = match entries.last() {
                Some(Entry::Erasure(erasure)) => erasure.erasure,
                // Numbers that a restore passed over.
                _ => newest,
            };
            self.append(&mut inner, &entries)?;
            inner.known.last.insert(incarnation.clone(), last);
        }
        Ok(())
    }

    /// Appends that a tenant was dropped; durable when it returns. `created_at` is known where its catalog could be read.
    pub fn record_drop(&self, tenant: &TenantId, created_at: Option<Timestamp>) -> Result<(), StorageError> {
        let mut inner = self.inner.lock();
        let drop = DropEntry {
            tenant: tenant.clone(),
            created_at,
            dropped_at: Timestamp::now(),
        };
        self.append(&mut inner, &[Entry::Drop(drop.clone())])?;
        inner.known.dropped.push(drop);
        Ok(())
    }

    /// Lets appends fail, as a medium does that was taken away, or work again.
    #[cfg(test)]
    pub(crate) fn set_broken(&self, is_broken: bool) {
        let file = OpenOptions::new().read(true).write(!is_broken).open(&self.path);
        self.inner.lock().file = file.expect("openable");
    }

    fn append(&self, inner: &mut Inner, entries: &[Entry]) -> Result<(), StorageError> {
        let failed = |e| StorageError::io("write", &self.path, e);
        if inner.is_unclean {
            inner.clean().map_err(failed)?;
        }
        // One that was moved away, or replaced, is not where a restore looks.
        let named = std::fs::metadata(&self.path).map_err(failed)?;
        let held = inner.file.metadata().map_err(failed)?;
        if (named.dev(), named.ino()) != (held.dev(), held.ino()) {
            let problem = "another file has its name now: put back the one that was there";
            return Err(failed(std::io::Error::other(problem)));
        }
        if held.len() < inner.len {
            let problem = format!(
                "it is {} bytes long and had {}: somebody cut it; put back what was there",
                held.len(),
                inner.len
            );
            return Err(failed(std::io::Error::other(problem)));
        }
        let text: String = entries.iter().map(|entry| entry.line(&self.signer)).collect();
        inner.is_unclean = true;
        let written = inner
            .file
            .write_all_at(text.as_bytes(), inner.len)
            .and_then(|()| inner.file.sync_data());
        if let Err(error) = written {
            // Who asked is told that it is not done, and the next start must not find it. Where that fails too, the next append tries again.
            let _ = inner.clean();
            return Err(failed(error));
        }
        inner.is_unclean = false;
        inner.len += text.len() as u64;
        Ok(())
    }
}

impl Inner {
    /// Removes what an append that failed has left, durably: a loss of power must not leave a line of two appends.
    fn clean(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.len)?;
        self.file.sync_all()?;
        self.is_unclean = false;
        Ok(())
    }
}

/// Files beside a journal that a start kept, see [`Journal::open`]; in the order of their making.
pub fn kept(path: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(KEPT);
    let failed = |e| StorageError::io("list", dir, e);
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            kept.push(entry.path());
        }
    }
    kept.sort();
    Ok(kept)
}

/// Copies what [`kept`] finds beside one journal to another's side; durable when it returns.
pub fn copy_kept(from: &Path, to: &Path) -> Result<(), StorageError> {
    for kept in kept(from)? {
        durable::copy_beside(&kept, to, KEPT)?;
    }
    Ok(())
}

/// Writes the signed entries of one journal, read as [`entry::read`] does, to a new file; durable when it returns. A file that is there already is refused.
pub fn copy(
    from: &Path,
    to: &Path,
    signer: &ReceiptSigner,
    any_damage: bool,
) -> Result<Counts, StorageError> {
    let mut copy = NewJournal::create(to)?;
    entry::read(from, signer, any_damage, |entry, _| {
        copy.push(&entry, entry.line(signer).as_bytes())
    })?;
    copy.finish()
}

/// The same for safekeeping, with what [`kept`] finds beside it. One behind whose torn line others stand is refused: the copy would not show it.
pub fn export(from: &Path, to: &Path, signer: &ReceiptSigner) -> Result<Counts, StorageError> {
    let extent = entry::read(from, signer, false, |_, _| Ok(()))?;
    if let Some(fault) = extent.fault(from) {
        return Err(fault);
    }
    copy_kept(from, to)?;
    copy(from, to, signer, false)
}

/// A journal that is written whole: it has its name, which no file may have, once all of it is there.
pub(super) struct NewJournal<'a> {
    path: &'a Path,
    file: BufWriter<NamedTempFile>,
    counts: Counts,
}

impl<'a> NewJournal<'a> {
    pub(super) fn create(path: &'a Path) -> Result<Self, StorageError> {
        let failed = |e| StorageError::io("create", path, e);
        if path.symlink_metadata().is_ok() {
            return Err(failed(ErrorKind::AlreadyExists.into()));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        // For this user alone, and gone if this fails.
        let file = tempfile::Builder::new()
            .prefix(".thenar-journal-")
            .tempfile_in(dir.unwrap_or(Path::new(".")))
            .map_err(failed)?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
            counts: Counts::default(),
        })
    }

    pub(super) fn push(&mut self, entry: &Entry, line: &[u8]) -> Result<(), StorageError> {
        self.counts.count(entry);
        let written = self.file.write_all(line);
        written.map_err(|e| StorageError::io("write", self.path, e))
    }

    /// Durable when it returns.
    pub(super) fn finish(self) -> Result<Counts, StorageError> {
        let failed = |e| StorageError::io("write", self.path, e);
        let file = self.file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(self.path).map_err(|e| failed(e.error))?;
        durable::sync_parent(self.path)?;
        Ok(self.counts)
    }
}

impl Store {
    /// The number of the last erasure.
    pub(super) fn last_erasure(&self) -> u64 {
        self.0.state.lock().last_erasure
    }
}

fn lock(path: &Path, file: File) -> Result<JournalLock, StorageError> {
    match durable::lock(&file) {
        Ok(()) => Ok(JournalLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse {
            path: path.to_owned(),
            pid: None,
        }),
        Err(TryLockError::Error(e)) => Err(StorageError::io("lock", path, e)),
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
