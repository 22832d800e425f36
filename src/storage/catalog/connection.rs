//! Connections to a catalog, and the one that writes: its transactions are durable as asked. Knows no table but the counters.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

pub(in crate::storage) use self::log::LogCopy;
use self::log::{Log, checkpoint};
pub(super) use self::readers::Readers;
use super::page::{PAGE_LEN, PageSeal};
use super::state::State;
use super::vfs;
use crate::storage::error::StorageError;
use crate::storage::mark::Mark;
use crate::storage::write::Durability;

mod log;
mod readers;

/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a checkpoint waits for readers; all writes wait with it.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(200);
/// The same of one that can as well be made later.
const RESTART_WAIT: Duration = Duration::from_millis(20);
/// Page cache of a connection, in KiB. Ten thousand tenants have one each.
const CACHE_KIB: u32 = 512;
/// Page cache while an import inserts into the index of subject ids in no order, in KiB.
const CACHE_IMPORT_KIB: u32 = 131_072;
/// Prepared statements kept by a connection.
const STATEMENTS_MAX: usize = 64;
/// A write-ahead log that grew beyond this is cut back by the next checkpoint that can.
const WAL_LEN_MAX: u64 = 64 << 20;

/// Opens a new catalog, an empty file, for writing.
pub(super) fn create_writer(path: &Path, seal: &Arc<PageSeal>) -> Result<Connection, StorageError> {
    let conn = open_empty(path, seal)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    set_up_writer(conn)
}

/// The same for a file that is copied and then gone: nothing of it has to survive a crash.
pub(super) fn create_scratch(path: &Path, seal: &Arc<PageSeal>) -> Result<Connection, StorageError> {
    let conn = create_writer(path, seal)?;
    conn.pragma_update(None, "synchronous", "OFF")?;
    conn.pragma_update(None, "cache_size", -i64::from(CACHE_IMPORT_KIB))?;
    Ok(conn)
}

/// Opens an empty file that becomes a catalog.
fn open_empty(path: &Path, seal: &Arc<PageSeal>) -> Result<Connection, StorageError> {
    let conn = open(path, seal, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    vfs::reserve(&conn)?;
    // The one transaction before there is a log has no journal in a file.
    conn.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_LEN}; PRAGMA journal_mode = MEMORY;"
    ))?;
    Ok(conn)
}

/// A file that a catalog is copied to. What else has it open must not be closed before this is.
pub(in crate::storage) struct CopyTarget(Connection);

impl CopyTarget {
    /// Opens an empty file, which may lose its name from then on.
    pub(in crate::storage) fn open(path: &Path, seal: &Arc<PageSeal>) -> Result<Self, StorageError> {
        let conn = open_empty(path, seal)?;
        conn.pragma_update(None, "synchronous", "OFF")?;
        Ok(Self(conn))
    }

    /// Copies a catalog as the transaction of `from` sees it: each page is authenticated and gets its digest as one of a file without a log.
    pub(in crate::storage) fn fill(mut self, from: &Connection) -> Result<(), StorageError> {
        let step = Backup::new(from, &mut self.0)?.step(-1)?;
        if step == StepResult::Done {
            return Ok(());
        }
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        Err(StorageError::Catalog(rusqlite::Error::SqliteFailure(busy, None)))
    }
}

/// Puts all of the log into a catalog that nobody else has open, and closes it; durable when it returns.
pub(super) fn close_whole(conn: Connection) -> Result<(), StorageError> {
    if !checkpoint(&conn, "TRUNCATE")? {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(StorageError::Catalog(rusqlite::Error::SqliteFailure(busy, None)));
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    conn.close().map_err(|(_, e)| e.into())
}

/// Opens a catalog for writing.
pub(in crate::storage) fn open_writer(path: &Path, seal: &Arc<PageSeal>) -> Result<Connection, StorageError> {
    check_len(path)?;
    set_up_writer(open(path, seal, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
}

/// Opens a catalog for reading.
pub(in crate::storage) fn open_reader(path: &Path, seal: &Arc<PageSeal>) -> Result<Connection, StorageError> {
    check_len(path)?;
    open(path, seal, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Refuses a catalog without a page: `SQLite` would take it for a new one and delete its log.
fn check_len(path: &Path) -> Result<(), StorageError> {
    let metadata = std::fs::metadata(path).map_err(|e| StorageError::io("examine", path, e))?;
    if metadata.len() >= PAGE_LEN as u64 {
        return Ok(());
    }
    Err(StorageError::damaged(
        path,
        format!("it is {} bytes long", metadata.len()),
    ))
}

fn set_up_writer(conn: Connection) -> Result<Connection, StorageError> {
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = {WAL_LEN_MAX};"
    ))?;
    Ok(conn)
}

fn open(path: &Path, seal: &Arc<PageSeal>, access: OpenFlags) -> Result<Connection, StorageError> {
    vfs::register();
    // Connections are used by one thread at a time, so SQLite's own mutexes are left out.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags_and_vfs(path, flags, vfs::NAME)?;
    // Whoever is refused leaves the log as it is: what doesn't open with this key may with another. Before anything is read.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    vfs::seal(&conn, seal)?;
    // A statement is planned once, not again for each value that a column with an index is compared with.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Spilled sorts and statement journals would leave rows in files that nobody overwrites.
    conn.execute_batch(&format!(
        "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIB};"
    ))?;
    Ok(conn)
}

/// The one connection that writes.
pub(in crate::storage) struct Writer {
    conn: Connection,
    state: State,
    mark: Mark,
    durability: Durability,
    poisoned: Option<String>,
    log: Arc<Log>,
}

impl Writer {
    /// Takes a connection of [`open_writer`], the catalog's mark and what it said, and reads the counters.
    pub(in crate::storage) fn new(
        mut conn: Connection,
        mark: Mark,
        marked: u64,
    ) -> Result<Self, StorageError> {
        let state = State::load(&conn)?;
        state.check_mark(marked)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        let log = Log::follow(&mut conn)?;
        mark.advance(state.commits);
        Ok(Self {
            conn,
            state,
            mark,
            durability: Durability::Power,
            poisoned: None,
            log,
        })
    }

    /// Copies the catalog as it is after the last transaction.
    pub(super) fn copy_to(&self, target: CopyTarget) -> Result<(), StorageError> {
        target.fill(&self.conn)
    }

    /// Counters after the last transaction.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Gives out `count` reference numbers and as many subject handles; returns the last ones before them. They
    /// become durable with the next transaction; what was not durable in a crash was nowhere used.
    pub(super) fn reserve(&mut self, count: u64) -> (u64, u64) {
        let before = (self.state.last_reference, self.state.last_subject);
        self.state.last_reference += count;
        self.state.last_subject += count;
        before
    }

    /// Runs `work` as one transaction. When it fails nothing was changed. A commit that fails for another reason than
    /// a full disk leaves it open what the disk holds, so that all later writes are refused.
    pub(super) fn transact<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&Connection, &mut State) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.check_poison()?;
        self.bound_log()?;
        self.set_durability(durability)?;
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut state = self.state;
        let done = work(&tx, &mut state)?;
        state.commits += u64::from(durability == Durability::Power);
        state.save(&tx)?;
        match tx.commit().map_err(StorageError::from) {
            Ok(()) => {
                if state.commits > self.state.commits {
                    self.mark.advance(state.commits);
                }
                self.state = state;
                Ok(done)
            }
            Err(full @ StorageError::Full(_)) => Err(full),
            Err(error) => {
                let reason = error.to_string();
                self.poisoned = Some(reason.clone());
                Err(StorageError::Poisoned(reason))
            }
        }
    }

    /// Refuses all writes from now on; the first reason stays.
    pub(super) fn poison(&mut self, reason: &str) {
        self.poisoned.get_or_insert_with(|| reason.to_owned());
    }

    /// Refuses when an earlier write left the disk in doubt.
    pub(super) fn check_poison(&self) -> Result<(), StorageError> {
        match &self.poisoned {
            Some(reason) => Err(StorageError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    /// Copies the write-ahead log into the catalog and cuts it to nothing; `false` when a reader was in the way. As with [`Self::begin_log`] an error
    /// may have all later writes refused.
    pub(super) fn cut_log(&mut self) -> Result<bool, StorageError> {
        self.check_poison()?;
        self.set_durability(Durability::Power)?;
        let is_done = self.try_checkpoint("TRUNCATE", CHECKPOINT_WAIT);
        let is_done = self.heed(is_done)?;
        if is_done {
            self.log.was_cut();
        }
        Ok(is_done)
    }

    /// Whether [`Self::copy_log`] is worth its time.
    pub(super) fn log_is_long(&self) -> bool {
        self.log.is_long()
    }

    /// Whether the next transaction may have to sync what was written, though it need not be durable: it puts the log into the catalog, or begins the log anew, whose header is synced; or to wait
    /// for a sync, while the log is copied.
    pub(super) fn syncs_next(&self) -> bool {
        self.log.is_full() || self.log.may_sync()
    }

    /// What puts the log into this writer's catalog beside it; `None` where writes are refused. To be given back to [`Self::log_copied`].
    pub(super) fn copy_log(
        &self,
        path: &Path,
        seal: &Arc<PageSeal>,
    ) -> Result<Option<LogCopy>, StorageError> {
        // Whoever writes is told.
        if self.poisoned.is_some() {
            return Ok(None);
        }
        LogCopy::open(path, seal, &self.log).map(Some)
    }

    /// Takes note of how a copy went. A log of many pages is begun anew where all of it was copied, so that little is left of what came meanwhile. Errors as of [`Self::begin_log`].
    pub(super) fn log_copied(
        &mut self,
        copy: LogCopy,
        done: Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        drop(copy);
        if !self.heed(done)? {
            return Ok(());
        }
        self.log.was_copied();
        if self.log.has_many() && self.poisoned.is_none() {
            self.begin_log()?;
        }
        Ok(())
    }

    /// Copies the log into the catalog and begins it anew, unless a reader or a [`LogCopy`] is in the way: then it is worth another try once the log has grown. An error that leaves it open what the
    /// disk holds has all later writes refused.
    fn begin_log(&mut self) -> Result<(), StorageError> {
        self.log.was_tried();
        let is_anew = self.try_begin_log();
        self.heed(is_anew)
    }

    fn try_begin_log(&mut self) -> Result<(), StorageError> {
        if !self.try_checkpoint("RESTART", RESTART_WAIT)? {
            return Ok(());
        }
        self.log.was_copied();
        // The next commit that writes a page begins the log anew, and syncs its header: this one, which writes what is there.
        let version: i64 = self
            .conn
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
        self.set_durability(Durability::Process)?;
        Ok(self.conn.pragma_update(None, "user_version", version)?)
    }

    /// As [`checkpoint`], but waits for readers for so long.
    fn try_checkpoint(&self, mode: &str, wait: Duration) -> Result<bool, StorageError> {
        // Also where a reader is in the way: it may have gone when the next page is written.
        self.log.may_begin();
        self.conn.busy_timeout(wait)?;
        let is_done = checkpoint(&self.conn, mode);
        self.conn.busy_timeout(BUSY_TIMEOUT)?;
        is_done
    }

    /// Has all later writes refused after an error that leaves it open what the disk holds.
    fn heed<T>(&mut self, done: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(error) = &done
            && leaves_doubt(error)
        {
            self.poison(&error.to_string());
        }
        done
    }

    /// Begins the log anew where it is full. An error that leaves the disk in doubt is that of the transaction that was to come.
    fn bound_log(&mut self) -> Result<(), StorageError> {
        if !self.log.is_full() {
            return Ok(());
        }
        match self.begin_log() {
            Err(error) if !leaves_doubt(&error) => {
                let catalog = self.conn.path().unwrap_or_default();
                tracing::error!(catalog, %error, "the log of a catalog can't be put into it");
                Ok(())
            }
            done => done,
        }
    }

    /// Runs the transaction of an import: with room for its index pages, and without a look at the subject of each
    /// reference and the terms of each subject, which that transaction adds itself.
    pub(super) fn with_import_settings<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let set = |conn: &Connection, kib: u32, checked: bool| {
            conn.pragma_update(None, "cache_size", -i64::from(kib))?;
            conn.pragma_update(None, "foreign_keys", checked)
        };
        set(&self.conn, CACHE_IMPORT_KIB, false)?;
        let done = work(self);
        // What was committed stays committed. Nothing else is written without those looks.
        if let Err(error) = set(&self.conn, CACHE_KIB, true) {
            self.poison(&format!("the settings of an import can't be taken back: {error}"));
        }
        done
    }

    fn set_durability(&mut self, durability: Durability) -> Result<(), StorageError> {
        if self.durability != durability {
            let level = match durability {
                Durability::Process => "NORMAL",
                Durability::Power => "FULL",
            };
            self.conn.pragma_update(None, "synchronous", level)?;
            self.durability = durability;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.conn
    }
}

/// Whether an error of the disk may have lost what was written before.
fn leaves_doubt(error: &StorageError) -> bool {
    match error {
        StorageError::Full(_) => false,
        StorageError::Catalog(error) => error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy),
        _ => true,
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
