//! The connections of a catalog that read, a few for all who ask. Reads nothing itself.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::open_reader;
use crate::storage::catalog::page::PageSeal;
use crate::storage::error::StorageError;

/// Most read connections of a tenant; they are opened when they are needed.
const READERS_MAX: usize = 4;

/// A few connections that read; who finds none waits.
pub(in crate::storage::catalog) struct Readers {
    path: PathBuf,
    seal: Arc<PageSeal>,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    open: usize,
}

impl Readers {
    /// Opens none yet.
    pub(in crate::storage::catalog) fn new(path: PathBuf, seal: Arc<PageSeal>) -> Self {
        Self {
            path,
            seal,
            pool: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// Runs `work` on a connection of its own.
    pub(in crate::storage::catalog) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let lease = Lease {
            readers: self,
            conn: Some(self.take()?),
        };
        work(lease.conn.as_ref().expect("taken back at the end"))
    }

    /// Opens all connections, so that none opens a file by its name from then on.
    pub(in crate::storage::catalog) fn open_all(&self) -> Result<(), StorageError> {
        let mut pool = self.pool.lock();
        while pool.open < READERS_MAX {
            let conn = self.open_one()?;
            pool.open += 1;
            pool.idle.push(conn);
            self.returned.notify_one();
        }
        Ok(())
    }

    fn take(&self) -> Result<Connection, StorageError> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(conn) = pool.idle.pop() {
                return Ok(conn);
            }
            if pool.open < READERS_MAX {
                // Under the lock: see `open_all`.
                let conn = self.open_one()?;
                pool.open += 1;
                return Ok(conn);
            }
            self.returned.wait(&mut pool);
        }
    }

    fn open_one(&self) -> Result<Connection, StorageError> {
        let conn = open_reader(&self.path, &self.seal)?;
        // The log is opened by the first read.
        conn.pragma_query_value(None, "schema_version", |_| Ok(()))?;
        Ok(conn)
    }
}

/// Gives a connection back however the work ends.
struct Lease<'a> {
    readers: &'a Readers,
    conn: Option<Connection>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock();
        pool.idle.extend(self.conn.take());
        self.readers.returned.notify_one();
    }
}

#[cfg(test)]
#[path = "readers_tests.rs"]
mod tests;
