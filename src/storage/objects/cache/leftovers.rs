//! What a cache finds in its directory when it is opened: files that it takes up, and everything else, which it destroys. Authenticates nothing.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use crate::storage::data_dir::LOCK_FILE;
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::key::ObjectKey;
use crate::storage::segment::format::{CLAIM_LEN, claimed_len};

/// What a file is called that was forgotten while somebody read it.
pub(super) const FORGOTTEN_EXTENSION: &str = "forgotten";
/// Says that the directory is a cache, in which everything else may be destroyed.
const MARK_FILE: &str = "CACHE";
/// What [`durable::write_file`] begins it as.
const MARK_BEGUN: &str = "CACHE.tmp";
const MARK: &str = "thenar cache 1\n";

/// A file that may be taken up.
struct Found {
    modified: SystemTime,
    key: ObjectKey,
    len: u64,
}

/// Destroys what is no segment's whole file, and gives the rest with their lengths, the last written last.
///
/// A directory that has other things in it and was no cache before is refused: they may be somebody's.
pub(super) fn take_up(dir: &Path) -> Result<Vec<(ObjectKey, u64)>, StorageError> {
    let failed = |e| StorageError::io("list", dir, e);
    let mark = dir.join(MARK_FILE);
    let is_ours = fs::read(&mark).is_ok_and(|found| found == MARK.as_bytes());
    if !is_ours {
        for entry in fs::read_dir(dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            // Also one that a crash kept from getting its name.
            if name != LOCK_FILE && name != MARK_FILE && name != MARK_BEGUN {
                return Err(StorageError::Object(ObjectError::Settings {
                    store: dir.display().to_string(),
                    problem: "it is to be a cache and has other files in it; name an empty directory"
                        .to_owned(),
                }));
            }
        }
        durable::write_file(&mark, MARK.as_bytes())?;
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found)?;
    found.sort_by(|one, other| (one.modified, &one.key).cmp(&(other.modified, &other.key)));
    Ok(found.into_iter().map(|found| (found.key, found.len)).collect())
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<Found>) -> Result<(), StorageError> {
    let failed = |e| StorageError::io("list", dir, e);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(root, &path, found)?;
        } else if dir == root && (entry.file_name() == LOCK_FILE || entry.file_name() == MARK_FILE) {
            // The cache's own.
        } else if let Some(file) = examine(root, &path)? {
            found.push(file);
        } else {
            durable::destroy_file(&path)?;
        }
    }
    Ok(())
}

/// A file whose name is a key and whose length is what its beginning claims.
fn examine(root: &Path, path: &Path) -> Result<Option<Found>, StorageError> {
    let name = path.strip_prefix(root).ok().and_then(Path::to_str);
    let Some(key) = name.and_then(ObjectKey::parse) else {
        return Ok(None);
    };
    let failed = |e| StorageError::io("read", path, e);
    let metadata = path.symlink_metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() < CLAIM_LEN as u64 {
        return Ok(None);
    }
    let mut head = [0; CLAIM_LEN];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut head))
        .map_err(failed)?;
    let is_whole = claimed_len(&head) == Some(metadata.len());
    Ok(is_whole.then_some(Found {
        modified: metadata.modified().map_err(failed)?,
        key,
        len: metadata.len(),
    }))
}
