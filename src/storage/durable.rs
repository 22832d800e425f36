//! Files that are there whole or not at all, and files that are gone: write, fsync, rename, fsync of the directory; overwrite, fsync, unlink. Knows no content.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use ulid::Ulid;

use super::error::StorageError;

/// Zeros are written in pieces of this size.
const OVERWRITE_CHUNK_LEN: usize = 1 << 20;
/// A process that this one begins has its files, and their locks, until it has become another program. So long a lock that was just let go may seem to be held.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often it is tried meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(2);

/// Locks a file (`flock`) for whoever has it open, until it is closed everywhere.
pub(super) fn lock(file: &File) -> Result<(), TryLockError> {
    let end = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOCK_POLL),
            locked => return locked,
        }
    }
}

/// Makes a directory, and those above it, for this user alone.
pub(super) fn create_dir(path: &Path) -> Result<(), StorageError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| StorageError::io("create", path, e))
}

/// Makes a new file for this user alone, readable and writable.
pub(super) fn create_file(path: &Path) -> Result<File, StorageError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| StorageError::io("create", path, e))
}

/// Writes a small file so that after a crash it is there whole or not at all.
pub(super) fn write_file(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let tmp = beginning(path);
    remove_if_there(&tmp)?;
    let mut file = create_file(&tmp)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(|e| StorageError::io("write", &tmp, e))?;
    rename(&tmp, path)
}

/// Renames within a directory; durable when it returns.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StorageError> {
    fs::rename(from, to).map_err(|e| StorageError::io("rename", from, e))?;
    sync_parent(to)
}

/// Renames across directories, and to another file system by a copy, after which the original is destroyed; durable when it returns. What a failed copy leaves stands at the new name with `.tmp` behind it.
pub(super) fn relocate(from: &Path, to: &Path) -> Result<(), StorageError> {
    match fs::rename(from, to) {
        Ok(()) => sync_parent(to).and_then(|()| sync_parent(from)),
        Err(e) if e.kind() == ErrorKind::CrossesDevices => {
            let tmp = beginning(to);
            destroy_file(&tmp)?;
            copy(from, &tmp)?;
            rename(&tmp, to)?;
            destroy_file(from)
        }
        Err(e) => Err(StorageError::io("rename", from, e)),
    }
}

/// Gives each of two directories the other's name, in one step, not durably yet.
pub(super) fn exchange(one: &Path, other: &Path) -> Result<(), StorageError> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
        .map_err(|e| StorageError::io("exchange", one, e.into()))
}

/// Makes names created, renamed or removed in a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), StorageError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| StorageError::io("fsync", path, e))
}

/// Makes durable what a file holds; one that is not there is well.
pub(super) fn sync_if_there(path: &Path) -> Result<(), StorageError> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StorageError::io("fsync", path, e)),
        _ => Ok(()),
    }
}

/// Overwrites a file with zeros, makes that durable and unlinks it. One that is gone already is well; of a link nothing but the link goes.
pub(super) fn destroy_file(path: &Path) -> Result<(), StorageError> {
    if path.is_symlink() {
        return remove_if_there(path);
    }
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(StorageError::io("open", path, e)),
    };
    match overwrite(&mut file).and_then(|()| file.sync_all()) {
        // Where the file has room set aside that was never written, zeros may find the disk full. What was written lies
        // before that and is overwritten; the rest holds nothing.
        Err(e) if e.kind() == ErrorKind::StorageFull => file
            .sync_all()
            .map_err(|e| StorageError::io("overwrite", path, e))?,
        outcome => outcome.map_err(|e| StorageError::io("overwrite", path, e))?,
    }
    drop(file);
    remove_if_there(path)?;
    sync_parent(path)
}

/// Copies a file to a new name that begins with that of another and `suffix`; durable when it returns.
pub(super) fn copy_beside(path: &Path, beside: &Path, suffix: &str) -> Result<PathBuf, StorageError> {
    let mut name = beside.as_os_str().to_owned();
    name.push(format!("{suffix}{}", Ulid::generate()));
    let kept = PathBuf::from(name);
    copy(path, &kept)?;
    sync_parent(&kept)?;
    Ok(kept)
}

/// Copies what a file holds to a new one.
fn copy(from: &Path, to: &Path) -> Result<(), StorageError> {
    let failed = |e| StorageError::io("copy", from, e);
    let mut source = File::open(from).map_err(failed)?;
    let mut copy = create_file(to)?;
    std::io::copy(&mut source, &mut copy)
        .and_then(|_| copy.sync_all())
        .map_err(failed)
}

/// Where a file is until all of it is there.
pub(super) fn beginning(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Destroys every file in a directory and removes it. One that is gone already is well; of a link nothing but the link goes.
pub(super) fn destroy_tree(path: &Path) -> Result<(), StorageError> {
    if path.is_symlink() {
        return remove_if_there(path);
    }
    let failed = |e| StorageError::io("list", path, e);
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            destroy_tree(&entry.path())?;
        } else {
            destroy_file(&entry.path())?;
        }
    }
    fs::remove_dir(path).map_err(|e| StorageError::io("remove", path, e))?;
    sync_parent(path)
}

fn overwrite(file: &mut File) -> std::io::Result<()> {
    let zeros = vec![0; OVERWRITE_CHUNK_LEN];
    let mut left = file.metadata()?.len();
    while left > 0 {
        let len = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_all(zeros.get(..len).expect("at most the chunk"))?;
        left -= len as u64;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StorageError::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Makes the name of a file durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), StorageError> {
    let parent = path.parent().expect("a file stands in a directory");
    // A bare name stands in the working directory.
    let is_bare = parent.as_os_str().is_empty();
    sync_dir(if is_bare { Path::new(".") } else { parent })
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;
