//! The write-ahead log of a catalog: how long it is, and what puts it into the catalog beside whoever writes. Decides not when.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags, hooks};

use super::{check_len, open};
use crate::storage::catalog::page::PageSeal;
use crate::storage::catalog::vfs;
use crate::storage::error::StorageError;

/// Pages that make a log long, since it began or was last put into the catalog.
pub(super) const PAGES_LONG: u64 = 1_000;
/// Pages of a log that is begun anew as soon as it was copied.
pub(super) const PAGES_MANY: u64 = 4_000;
/// Pages of a log that the next transaction begins anew before it does anything else: half of what [`WAL_LEN_MAX`](super::WAL_LEN_MAX) has.
pub(super) const PAGES_MAX: u64 = 8_000;

/// The log as the last commit left it.
#[derive(Default)]
pub(super) struct Log {
    pages: AtomicU64,
    /// Pages of it when it was last tried to put it into the catalog; 0 since it began anew.
    tried: AtomicU64,
    /// Whether all of it was put there: the next commit may begin it anew.
    is_in_catalog: AtomicBool,
    /// Whether the next page that is written may be the first of the log.
    may_begin: AtomicBool,
    /// Whether a [`LogCopy`] of it is open.
    is_being_copied: AtomicBool,
}

impl Log {
    /// That of a connection which was just opened and writes, told of each commit. It takes the place of `SQLite`'s automatic checkpoint, with whose fsyncs one commit in some hundreds is slow.
    pub(super) fn follow(conn: &mut Connection) -> rusqlite::Result<Arc<Self>> {
        let log = Arc::new(Self::default());
        log.may_begin();
        let told = Arc::clone(&log);
        conn.wal_hook(Some(move |_: &mut hooks::Wal, pages: c_int| {
            told.grew(u64::try_from(pages).unwrap_or(0));
            Ok(())
        }))?;
        Ok(log)
    }

    fn grew(&self, pages: u64) {
        let before = self.pages.swap(pages, Ordering::Relaxed);
        // One that began anew may be longer than it was before.
        if self.is_in_catalog.swap(false, Ordering::Relaxed) || pages < before {
            self.tried.store(0, Ordering::Relaxed);
        }
        self.may_begin.store(false, Ordering::Relaxed);
    }

    /// Pages after the last commit.
    pub(super) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Whether it is worth the time to put it into the catalog.
    pub(super) fn is_long(&self) -> bool {
        self.pages() >= self.tried.load(Ordering::Relaxed) + PAGES_LONG
    }

    /// Whether it is to be begun anew once little of it is left to be put into the catalog.
    pub(super) fn has_many(&self) -> bool {
        self.pages() >= PAGES_MANY
    }

    /// Whether it is to be begun anew at once.
    pub(super) fn is_full(&self) -> bool {
        self.is_long() && self.pages() >= PAGES_MAX
    }

    /// Whether what is written next may have to wait for a sync: of a log's header, or of one that is being copied.
    pub(super) fn may_sync(&self) -> bool {
        self.may_begin.load(Ordering::Relaxed) || self.is_being_copied.load(Ordering::Relaxed)
    }

    /// The next page that is written may be the first one.
    pub(super) fn may_begin(&self) {
        self.may_begin.store(true, Ordering::Relaxed);
    }

    /// It has to grow before it is worth another try.
    pub(super) fn was_tried(&self) {
        self.tried.store(self.pages(), Ordering::Relaxed);
    }

    /// All that it had when it was last tried is in the catalog. Only while nobody writes.
    pub(super) fn was_copied(&self) {
        let has_grown = self.pages() != self.tried.load(Ordering::Relaxed);
        self.is_in_catalog.store(!has_grown, Ordering::Relaxed);
    }

    /// It was cut to nothing.
    pub(super) fn was_cut(&self) {
        self.pages.store(0, Ordering::Relaxed);
        self.tried.store(0, Ordering::Relaxed);
    }
}

/// Puts a log into its catalog while others read and write: what they write meanwhile stays for the next one.
pub(in crate::storage) struct LogCopy {
    conn: Connection,
    log: Arc<Log>,
}

impl LogCopy {
    /// Opens the catalog and its log, both by their names and here.
    pub(super) fn open(path: &Path, seal: &Arc<PageSeal>, log: &Arc<Log>) -> Result<Self, StorageError> {
        check_len(path)?;
        let conn = open(path, seal, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        // The log is opened by the first read.
        conn.pragma_query_value(None, "schema_version", |_| Ok(()))?;
        log.was_tried();
        log.is_being_copied.store(true, Ordering::Relaxed);
        let log = Arc::clone(log);
        Ok(Self { conn, log })
    }

    /// Copies what no reader is in the way of. What was copied is durable in both files when this returns: whether it was all that the log had when this began. An error may leave it open what the
    /// disk holds, and the writer is to be told.
    pub(in crate::storage) fn run(&self) -> Result<bool, StorageError> {
        let is_whole = checkpoint(&self.conn, "PASSIVE")?;
        // SQLite leaves that out where somebody wrote meanwhile or a reader was in the way, and whoever begins the log anew would wait for all of it.
        vfs::sync_catalog(&self.conn)?;
        Ok(is_whole)
    }
}

impl Drop for LogCopy {
    fn drop(&mut self) {
        // Where all of it is in the catalog, the next commit may begin it anew.
        self.log.may_begin();
        self.log.is_being_copied.store(false, Ordering::Relaxed);
    }
}

/// Runs a checkpoint of this mode (`PRAGMA wal_checkpoint`). Whether all of the log was in the catalog at its end and, in a mode that begins the log anew, nobody was in the way of that.
pub(super) fn checkpoint(conn: &Connection, mode: &str) -> Result<bool, StorageError> {
    let (busy, pages, copied): (i64, i64, i64) =
        conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    Ok(busy == 0 && copied == pages)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
