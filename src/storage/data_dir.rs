//! The data directory: its format, its lock and the tenants in it. Opens no tenant.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio_util::sync::{CancellationToken, DropGuard};
use ulid::Ulid;

use super::durable;
use super::error::StorageError;
use crate::model::id::TenantId;

/// Version of the layout of a data directory that has its tenants' catalogs in it.
pub const FORMAT: u32 = 2;
/// Version of the same layout without catalogs: these are in a database. A release that knows none refuses it.
const FORMAT_WITHOUT_CATALOGS: u32 = 3;
const FORMAT_FILE: &str = "FORMAT";
/// Takes the place of [`FORMAT_FILE`] once it is durable.
const NEXT_FORMAT_FILE: &str = "FORMAT.next";
const FORMAT_WORD: &str = "thenar";
/// What a process locks.
pub(super) const LOCK_FILE: &str = "LOCK";
const TENANTS_DIR: &str = "tenants";
/// Which node of a cluster the directory's process is.
const NODE_FILE: &str = "NODE";
/// Takes the place of [`NODE_FILE`] once it is durable.
const NEXT_NODE_FILE: &str = "NODE.next";
/// A tenant that is being created, under a name that no tenant can have.
const NEW_PREFIX: &str = ".new-";
/// The next generation of a tenant whose keys are rotated, and after their exchange the former one.
const NEXT_PREFIX: &str = ".next-";
/// A tenant that is being removed.
const DROPPED_PREFIX: &str = ".dropped-";

/// Where the catalogs of a data directory's tenants are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalogs {
    /// In it.
    Here,
    /// In a database.
    InDatabase,
}

impl Catalogs {
    fn format(self) -> u32 {
        match self {
            Self::Here => FORMAT,
            Self::InDatabase => FORMAT_WITHOUT_CATALOGS,
        }
    }
}

/// A data directory that this process holds. Another process is refused until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    catalogs: Catalogs,
    /// Locked by `flock`, which ends with the process however it ends.
    _lock: File,
    /// Dropped after the lock, as the last field.
    released: DropGuard,
}

impl DataDir {
    /// Makes a data directory, in an existing directory or a new one. One that is there already is refused.
    pub fn init(path: impl AsRef<Path>) -> Result<(), StorageError> {
        let path = path.as_ref();
        let format = path.join(FORMAT_FILE);
        if format.exists() {
            return Err(StorageError::Initialised(path.to_owned()));
        }
        if path.exists() {
            check_closed(path)?;
        }
        durable::create_dir(&path.join(TENANTS_DIR))?;
        // Written last: its presence says that the rest is there.
        durable::write_file(&format, format_text(Catalogs::Here).as_bytes())
    }

    /// Says from now on that catalogs are in a database, or refuses where a tenant has one here. Durable when it returns.
    pub fn keep_catalogs_in_database(&mut self) -> Result<(), StorageError> {
        if self.catalogs == Catalogs::InDatabase {
            return Ok(());
        }
        if let Some(tenant) = self.tenants()?.into_iter().next() {
            return Err(StorageError::CatalogHere {
                path: self.path.clone(),
                tenant,
            });
        }
        let next = self.path.join(NEXT_FORMAT_FILE);
        if next.exists() {
            // Of a start that was cut off.
            fs::remove_file(&next).map_err(|e| StorageError::io("remove", &next, e))?;
        }
        durable::write_file(&next, format_text(Catalogs::InDatabase).as_bytes())?;
        durable::rename(&next, &self.path.join(FORMAT_FILE))?;
        self.catalogs = Catalogs::InDatabase;
        Ok(())
    }

    /// Where its tenants' catalogs are.
    pub fn catalogs(&self) -> Catalogs {
        self.catalogs
    }

    /// Locks the directory for this process, checks its format and clears what a crash left half made or half removed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref().to_owned();
        let catalogs = read_format(&path)?;
        check_closed(&path)?;
        let lock = lock(&path)?;
        let dir = Self {
            path,
            catalogs,
            _lock: lock,
            released: CancellationToken::new().drop_guard(),
        };
        dir.clear_leftovers()?;
        Ok(dir)
    }

    /// Which node of a cluster the process is that holds this directory: a random number, made when it is first asked for. A copy of the directory is the same node.
    pub fn node(&self) -> Result<Ulid, StorageError> {
        let path = self.path.join(NODE_FILE);
        if !path.exists() {
            let next = self.path.join(NEXT_NODE_FILE);
            if next.exists() {
                // Of a start that was cut off.
                fs::remove_file(&next).map_err(|e| StorageError::io("remove", &next, e))?;
            }
            durable::write_file(&next, format!("{}\n", Ulid::generate()).as_bytes())?;
            durable::rename(&next, &path)?;
        }
        let text = fs::read_to_string(&path).map_err(|e| StorageError::io("read", &path, e))?;
        let node = Ulid::from_string(text.trim_end());
        node.map_err(|_| StorageError::damaged(&path, "it names no node".to_owned()))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Cancelled once this process no longer holds the directory.
    pub fn released(&self) -> CancellationToken {
        self.released.token().clone()
    }

    /// Tenants that have a directory, by id.
    pub fn tenants(&self) -> Result<Vec<TenantId>, StorageError> {
        written_tenants(&self.path)
    }

    /// Where a tenant is, or would be.
    pub fn tenant_path(&self, tenant: &TenantId) -> PathBuf {
        tenant_path(&self.path, tenant)
    }

    /// Removes a tenant, whose store is closed: out of sight at once and durably, then its files. What a crash
    /// leaves of them is removed by the next [`DataDir::open`].
    pub fn remove_tenant(&self, tenant: &TenantId) -> Result<(), StorageError> {
        let path = self.tenant_path(tenant);
        if !path.exists() {
            return Err(StorageError::TenantUnknown(tenant.clone()));
        }
        let dropped = self
            .tenants_path()
            .join(format!("{DROPPED_PREFIX}{}", Ulid::generate()));
        durable::rename(&path, &dropped)?;
        remove_tree(&dropped)
    }

    /// A place to build a tenant's next generation in, for [`durable::exchange`] with the present one. What a crash leaves
    /// there, of the next one or of the former, is destroyed by the next [`DataDir::open`].
    pub(super) fn next_tenant_path(&self) -> Result<PathBuf, StorageError> {
        let path = self
            .tenants_path()
            .join(format!("{NEXT_PREFIX}{}", Ulid::generate()));
        durable::create_dir(&path)?;
        Ok(path)
    }

    /// A place to build a tenant in, unseen until [`DataDir::adopt`] gives it its name.
    pub(super) fn new_tenant_path(&self) -> Result<PathBuf, StorageError> {
        let path = self
            .tenants_path()
            .join(format!("{NEW_PREFIX}{}", Ulid::generate()));
        durable::create_dir(&path)?;
        Ok(path)
    }

    /// Gives a finished tenant its name.
    pub(super) fn adopt(&self, built: &Path, tenant: &TenantId) -> Result<(), StorageError> {
        durable::sync_dir(built)?;
        let path = self.tenant_path(tenant);
        if path.exists() {
            return Err(StorageError::TenantExists(tenant.clone()));
        }
        durable::rename(built, &path)
    }

    fn clear_leftovers(&self) -> Result<(), StorageError> {
        for name in self.tenant_entries()? {
            if name.starts_with(NEW_PREFIX) && self.catalogs == Catalogs::InDatabase {
                // Its rows go first, by what is in it.
            } else if name.starts_with(NEW_PREFIX) || name.starts_with(DROPPED_PREFIX) {
                remove_tree(&self.tenants_path().join(name))?;
            } else if name.starts_with(NEXT_PREFIX) {
                // It may have rows of persons who were erased since.
                durable::destroy_tree(&self.tenants_path().join(name))?;
            }
        }
        Ok(())
    }

    /// Directories of tenants whose making was cut off, where their catalogs are in a database.
    pub(super) fn unfinished(&self) -> Result<Vec<PathBuf>, StorageError> {
        let names = self.tenant_entries()?.into_iter();
        Ok(names
            .filter(|name| name.starts_with(NEW_PREFIX))
            .map(|name| self.tenants_path().join(name))
            .collect())
    }

    fn tenants_path(&self) -> PathBuf {
        self.path.join(TENANTS_DIR)
    }

    fn tenant_entries(&self) -> Result<Vec<String>, StorageError> {
        list(&self.tenants_path())
    }
}

/// Tenants that have a directory in the data directory at `path`, by id, for those who read their catalogs there: where these are in a database it is
/// refused. Neither locks nor clears anything.
pub fn tenants(path: &Path) -> Result<Vec<TenantId>, StorageError> {
    match read_format(path)? {
        Catalogs::Here => written_tenants(path),
        Catalogs::InDatabase => Err(StorageError::CatalogElsewhere(path.to_owned())),
    }
}

/// The same where no format was written yet.
pub(super) fn written_tenants(path: &Path) -> Result<Vec<TenantId>, StorageError> {
    let names = list(&path.join(TENANTS_DIR))?;
    let mut tenants: Vec<TenantId> = names.iter().filter_map(|name| name.parse().ok()).collect();
    tenants.sort();
    Ok(tenants)
}

/// Directories beside the tenants' that have no tenant's name: of what is being made or dropped, or was replaced.
pub(super) fn unnamed(path: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let tenants = path.join(TENANTS_DIR);
    let names = list(&tenants)?.into_iter();
    Ok(names
        .filter(|name| name.starts_with('.'))
        .map(|name| tenants.join(name))
        .collect())
}

/// Where a tenant is, or would be, in the data directory at `path`.
pub(super) fn tenant_path(path: &Path, tenant: &TenantId) -> PathBuf {
    path.join(TENANTS_DIR).join(tenant.as_str())
}

/// Names in a directory; those that are not UTF-8 are none of ours.
pub(super) fn list(path: &Path) -> Result<Vec<String>, StorageError> {
    let failed = |e| StorageError::io("list", path, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Removes a directory with all that is in it.
pub(super) fn remove_tree(path: &Path) -> Result<(), StorageError> {
    fs::remove_dir_all(path).map_err(|e| StorageError::io("remove", path, e))
}

/// Refuses a directory into which everybody may put other keys and files. What is in it is made for its owner alone, so that everybody may list it, as a volume
/// of a container's is.
fn check_closed(path: &Path) -> Result<(), StorageError> {
    let found = fs::metadata(path).map_err(|e| StorageError::io("examine", path, e))?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o002 == 0 {
        return Ok(());
    }
    Err(StorageError::Exposed {
        path: path.to_owned(),
        mode,
    })
}

fn format_text(catalogs: Catalogs) -> String {
    format!("{FORMAT_WORD} {}\n", catalogs.format())
}

fn read_format(path: &Path) -> Result<Catalogs, StorageError> {
    let file = path.join(FORMAT_FILE);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(StorageError::NotADataDirectory(path.to_owned()));
        }
        Err(e) => return Err(StorageError::io("read", &file, e)),
    };
    let found: u32 = text
        .strip_prefix(FORMAT_WORD)
        .and_then(|version| version.trim().parse().ok())
        .ok_or_else(|| StorageError::damaged(&file, format!("it says {:?}", text.trim())))?;
    if found < FORMAT {
        return Err(StorageError::OlderFormat {
            path: file,
            found,
            supported: FORMAT,
        });
    }
    let known = [Catalogs::Here, Catalogs::InDatabase].into_iter();
    let of_this = known.into_iter().find(|catalogs| catalogs.format() == found);
    of_this.ok_or(StorageError::NewerFormat {
        path: file,
        found,
        supported: FORMAT_WITHOUT_CATALOGS,
    })
}

/// Locks a directory for this process; another one is refused until the file is closed.
pub(super) fn lock(path: &Path) -> Result<File, StorageError> {
    let file_path = path.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file_path)
        .map_err(|e| StorageError::io("open", &file_path, e))?;
    match durable::lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A holder that has not written its id yet, or can't be read, is still a holder.
            let _ = file.read_to_string(&mut text);
            return Err(StorageError::InUse {
                path: path.to_owned(),
                pid: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(e)) => return Err(StorageError::io("lock", &file_path, e)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|e| StorageError::io("write", &file_path, e))?;
    Ok(file)
}

#[cfg(test)]
#[path = "data_dir_tests.rs"]
mod tests;
