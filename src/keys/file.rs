//! The files of the keyring and of the key-encryption key: replaced whole and atomically, mode 0600, old copies overwritten. Knows text alone, no keys.
//!
//! A change writes `.<name>.thenar-new`, syncs it, gives it the owner of the file of before, gives that the second name
//! `.<name>.thenar-old`, renames the new one over the first, syncs the directory, and overwrites and removes the old one. Names that nobody gives to a
//! copy of their own. Whatever a crash leaves under the two other names is overwritten and removed by the next opening, so no former content outlives its time.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use crate::keys::error::KeyError;

const OVERWRITE_CHUNK_LEN: usize = 64 << 10;

/// Writes a first file; one that is there is refused.
pub(super) fn create(path: &Path, text: &str) -> Result<(), KeyError> {
    let new = aside(path, "new");
    // Left by an earlier making that was cut off.
    wipe(&new)?;
    write_new(&new, text)?;
    // Whole under its name or not there; a rename would put it over what is there.
    fs::hard_link(&new, path).map_err(KeyError::io(path))?;
    fs::remove_file(&new).map_err(KeyError::io(&new))?;
    sync_directory(path)
}

/// Reads the file, also while another process replaces it: what was replaced is overwritten.
pub(super) fn read(path: &Path) -> Result<String, KeyError> {
    let failed = || KeyError::io(path);
    loop {
        let mut file = File::open(path).map_err(failed())?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed())?;
        let [read, named] = [file.metadata(), fs::metadata(path)];
        if read.map_err(failed())?.ino() == named.map_err(failed())?.ino() {
            return Ok(text);
        }
    }
}

/// Clears away what a crash left beside the file.
pub(super) fn clear(path: &Path) -> Result<(), KeyError> {
    for leftover in [aside(path, "new"), aside(path, "old")] {
        wipe(&leftover)?;
    }
    Ok(())
}

/// Overwrites and removes the file, and what a crash left beside it.
pub(super) fn destroy(path: &Path) -> Result<(), KeyError> {
    clear(path)?;
    wipe(path)
}

/// Puts `text` in the place of the present content; durable, and the old content gone, when it returns.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), KeyError> {
    let new = aside(path, "new");
    // Left by an earlier change that failed halfway.
    wipe(&new)?;
    write_new(&new, text)?;
    promote(&new, path)
}

/// Puts a durable file in the place of another; durable, and the old content gone, when it returns.
pub(super) fn promote(new: &Path, path: &Path) -> Result<(), KeyError> {
    let old = aside(path, "old");
    wipe(&old)?;
    keep_owner(path, new)?;
    fs::hard_link(path, &old).map_err(KeyError::io(&old))?;
    fs::rename(new, path).map_err(KeyError::io(path))?;
    sync_directory(path)?;
    wipe(&old)
}

/// Gives a file the owner of another: the server's user goes on reading what an administrator replaced.
fn keep_owner(of: &Path, new: &Path) -> Result<(), KeyError> {
    let [present, made] = [of, new].map(|path| fs::metadata(path).map_err(KeyError::io(path)));
    let (present, made) = (present?, made?);
    if (present.uid(), present.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    chown(new, Some(present.uid()), Some(present.gid()))
        .and_then(|()| File::open(new)?.sync_all())
        .map_err(KeyError::io(new))
}

fn write_new(path: &Path, text: &str) -> Result<(), KeyError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(KeyError::io(path))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(KeyError::io(path))
}

/// Overwrites a file with zeros and removes it; one that is not there is none to wipe.
///
/// A name that still is the keyring itself (a crash between link and rename) only loses the name.
fn wipe(path: &Path) -> Result<(), KeyError> {
    if path.is_symlink() {
        // What it leads to is none of ours.
        return fs::remove_file(path).map_err(KeyError::io(path));
    }
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(KeyError::io(path)(error)),
    };
    let shared = file.metadata().map_err(KeyError::io(path))?.nlink() > 1;
    if !shared {
        overwrite(&file).map_err(KeyError::io(path))?;
    }
    fs::remove_file(path).map_err(KeyError::io(path))?;
    sync_directory(path)
}

fn overwrite(mut file: &File) -> io::Result<()> {
    let zeros = vec![0; OVERWRITE_CHUNK_LEN];
    let mut left = file.metadata()?.len();
    while left > 0 {
        let len = usize::try_from(left).map_or(OVERWRITE_CHUNK_LEN, |left| left.min(OVERWRITE_CHUNK_LEN));
        file.write_all(zeros.get(..len).expect("at most a chunk"))?;
        left -= len as u64;
    }
    file.sync_all()
}

fn sync_directory(path: &Path) -> Result<(), KeyError> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(KeyError::io(directory))
}

/// A name for a while.
fn aside(path: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".thenar-{what}"));
    path.with_file_name(name)
}

/// The path with something behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
