//! What puts to a directory left that were cut off: the driver begins an object under its name with a number behind it (`#1`), which no listing shows. Touches no object.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ulid::Ulid;

use super::ObjectStore;
use super::key::Home;
use crate::storage::data_dir;
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::segment::format::ulid_of;

impl ObjectStore {
    /// Destroys what puts of a tenant's objects left that were cut off. A put that is under way fails and leaves nothing.
    /// Where the store is no directory, a rule of the bucket has to do this.
    pub fn clear_beginnings(&self, home: &Home) -> Result<(), StorageError> {
        let Some(dir) = &self.0.dir else {
            return Ok(());
        };
        let dir = dir.join(home.to_string());
        // One directory of each generation of the tenant's keys.
        names(&dir)?
            .iter()
            .filter(|name| name.parse::<u32>().is_ok())
            .try_for_each(|generation| destroy_beginnings(&dir.join(generation), None))
    }
}

/// Destroys an object's file and what puts of it left that were cut off.
pub(super) fn destroy_with_beginnings(path: &Path) -> Result<(), StorageError> {
    let dir = path.parent().expect("a key has several parts");
    let object = path.file_name().and_then(|name| name.to_str());
    destroy_beginnings(dir, object)?;
    durable::destroy_file(path)
}

/// Destroys beginnings in a directory, of one object or of all. Whoever else does so, in whatever process, waits: only so what is not found any more is gone.
fn destroy_beginnings(dir: &Path, of: Option<&str>) -> Result<(), StorageError> {
    let locked = match File::open(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(|e| StorageError::io("open", dir, e))?,
    };
    locked.lock().map_err(|e| StorageError::io("lock", dir, e))?;
    for name in names(dir)? {
        let Some((object, number)) = name.split_once('#') else {
            continue;
        };
        let is_beginning = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        // Of all that may be in a directory only what has a segment's name is ours.
        let is_meant = of.map_or_else(|| ulid_of(object).is_some(), |of| of == object);
        if is_beginning && is_meant {
            destroy_beginning(dir, object, &name)?;
        }
    }
    Ok(())
}

/// Destroys one beginning. It gets another number first, which nobody knows: with its name a put that is under way fails, instead of making an object of what is overwritten.
fn destroy_beginning(dir: &Path, object: &str, name: &str) -> Result<(), StorageError> {
    let taken = dir.join(format!("{object}#{}", u128::from(Ulid::generate())));
    match durable::rename(&dir.join(name), &taken) {
        Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    let found = fs::symlink_metadata(&taken).map_err(|e| StorageError::io("examine", &taken, e))?;
    if found.nlink() == 1 {
        return durable::destroy_file(&taken);
    }
    // The put came as far as to give the object its name: these are the object's bytes.
    fs::remove_file(&taken).map_err(|e| StorageError::io("remove", &taken, e))?;
    durable::sync_parent(&taken)
}

/// Names in a directory; none where there is none.
fn names(dir: &Path) -> Result<Vec<String>, StorageError> {
    match data_dir::list(dir) {
        Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        names => names,
    }
}

#[cfg(test)]
#[path = "beginnings_tests.rs"]
mod tests;
