//! Writing the files that `init` and `cert` make, private ones for their owner alone, and looking at who else may read those. Overwrites nothing but what it is told to replace.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What everybody else than owner and group may do with a file.
const EVERYBODY: u32 = 0o007;

/// Refuses a key that everybody on the machine may read or change. The group may: a secret that is mounted for a container belongs to one, and who is in it
/// is the operator's to say.
pub(super) fn check_private(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & EVERYBODY == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "it has mode {mode:03o}, so that everybody on this machine can read or change it; run `chmod o= {}`",
        path.display()
    )))
}

/// A directory for its owner alone, with those above it.
pub(super) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A new file for its owner alone.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_new(path, bytes, 0o600)
}

/// A new file that everybody may read.
pub(super) fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_new(path, bytes, 0o644)
}

/// A file that everybody may read, in the place of the one that is there: whole at any moment.
pub(super) fn replace_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    // Of a writer that was cut off.
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_public(part, bytes)?;
    fs::rename(part, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
