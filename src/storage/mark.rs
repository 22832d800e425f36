//! How many durable transactions a tenant's catalog has had, kept beside it: what was cut from its log, or replaced by an older file, is noticed.
//! Written after each commit and never fsynced: it may be behind the catalog, never ahead of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::durable;
use super::error::StorageError;
use crate::keys::mac::{MAC_LEN, MacKey};
use crate::keys::secret::SecretKey;

/// The mark's file in a tenant's directory.
pub(super) const MARK_FILE: &str = "catalog.mark";
const MAGIC: [u8; 8] = *b"THNRMRK\x01";
/// Within a sector, which a disk writes whole or not at all.
const LEN: usize = MAGIC.len() + 8 + MAC_LEN;

/// The mark of an open tenant.
pub(super) struct Mark {
    path: PathBuf,
    file: File,
    key: MacKey,
}

impl Mark {
    /// Makes the mark of a tenant with so many transactions; durable when it returns, its name when the directory is.
    pub(super) fn create(dir: &Path, data_key: &SecretKey, commits: u64) -> Result<(), StorageError> {
        let path = dir.join(MARK_FILE);
        let file = durable::create_file(&path)?;
        let key = key(data_key);
        let mark = Self { path, file, key };
        mark.write(commits)
            .and_then(|()| mark.file.sync_all())
            .map_err(|e| StorageError::io("write", &mark.path, e))
    }

    /// Opens the mark and reads it.
    pub(super) fn open(dir: &Path, data_key: &SecretKey) -> Result<(Self, u64), StorageError> {
        let commits = read(dir, data_key)?;
        let path = dir.join(MARK_FILE);
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|e| StorageError::io("open", &path, e))?;
        let key = key(data_key);
        Ok((Self { path, file, key }, commits))
    }

    /// Notes that so many transactions are durable. What can't be noted is told to the operator alone: the transaction stands.
    pub(super) fn advance(&self, commits: u64) {
        if let Err(error) = self.write(commits) {
            tracing::warn!(path = %self.path.display(), %error, "the mark of a commit can't be written");
        }
    }

    fn write(&self, commits: u64) -> std::io::Result<()> {
        let number = commits.to_le_bytes();
        let mut bytes = [0; LEN];
        let digest = self.key.digest(&[&MAGIC, &number]);
        for (to, from) in bytes
            .iter_mut()
            .zip(MAGIC.into_iter().chain(number).chain(digest))
        {
            *to = from;
        }
        self.file.write_all_at(&bytes, 0)
    }
}

/// What a tenant's mark says.
pub(super) fn read(dir: &Path, data_key: &SecretKey) -> Result<u64, StorageError> {
    let path = dir.join(MARK_FILE);
    let file = File::open(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => StorageError::damaged(&path, "the file is missing"),
        _ => StorageError::io("open", &path, e),
    })?;
    // In one piece: beside a server that may just be writing it.
    let mut bytes = [0; LEN + 1];
    let len = file
        .read_at(&mut bytes, 0)
        .map_err(|e| StorageError::io("read", &path, e))?;
    commits(&key(data_key), bytes.get(..len).expect("no more was read"))
        .ok_or_else(|| StorageError::damaged(&path, "it fails authentication"))
}

fn key(data_key: &SecretKey) -> MacKey {
    MacKey::new(&data_key.derive(&[b"mark"]))
}

/// The number in an authentic mark.
fn commits(key: &MacKey, bytes: &[u8]) -> Option<u64> {
    let (content, digest) = bytes.split_last_chunk::<MAC_LEN>()?;
    let (magic, number) = content.split_first_chunk::<8>()?;
    let number: [u8; 8] = number.try_into().ok()?;
    let authentic = *magic == MAGIC && key.verify(&[magic, &number], digest);
    authentic.then(|| u64::from_le_bytes(number))
}

#[cfg(test)]
#[path = "mark_tests.rs"]
mod tests;
