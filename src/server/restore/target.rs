//! The directory that a backup is restored to: new or empty before, a data directory or nothing afterwards. Reads no backup.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::ServerError;
use super::super::backup::BackupError;
use super::super::config::Config;
use super::super::files;
use super::Journal;
use crate::keys::keyring::Keyring;
use crate::keys::provider::KekSource;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::storage::data_dir::DataDir;
use crate::storage::journal;

/// The key file that may be there before: whoever restores may have to put it there.
const KEK_FILE: &str = "kek";

/// A directory being restored. Dropped before it is finished, it is emptied again.
pub(super) struct Target {
    path: PathBuf,
    kek: SecretKey,
    journal: PathBuf,
    /// What was there before.
    before: Before,
    is_finished: bool,
}

struct Before {
    has_directory: bool,
    has_kek: bool,
    has_journal: bool,
}

impl Target {
    /// Refuses a directory that holds anything but a key file, and a journal in the way. Makes the directory, and the key file where the configuration
    /// names none and there is none.
    pub(super) fn begin(config: &Config, journal: Option<&Path>) -> Result<Self, ServerError> {
        let path = config.data.clone();
        let before = look(config, journal)?;
        files::create_private_dir(&path).map_err(failed(&path))?;
        // Whoever makes it restores; another restore that came to here meanwhile has not written anything.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(path.join("tenants"))
            .map_err(failed(&path.join("tenants")))?;
        let mut target = Self {
            journal: config.journal_path(),
            kek: SecretKey::random(),
            path,
            before,
            is_finished: false,
        };
        target.kek = match config.kek_source() {
            KekSource::File(file) if file == target.path.join(KEK_FILE) && !target.before.has_kek => {
                KekSource::create_file(&file)?
            }
            source => source.load()?,
        };
        Ok(target)
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of the certificates' directory.
    pub(super) fn write_tls(&self, name: &str, content: &[u8]) -> Result<(), ServerError> {
        let dir = self.path.join("tls");
        let path = dir.join(name);
        let is_public = Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "pem");
        let write = if is_public {
            files::write_public
        } else {
            files::write_private
        };
        files::create_private_dir(&dir)
            .and_then(|()| write(&path, content))
            .map_err(failed(&path))?;
        Ok(())
    }

    /// Writes keyring and journal, then what makes it a data directory.
    pub(super) fn finish(
        mut self,
        keyring: &Keyring,
        keeps: impl Fn(&TenantId) -> bool,
        given: Option<Journal<'_>>,
    ) -> Result<(), ServerError> {
        let path = self.path.join("keyring");
        keyring.save_as(&path, &self.kek, keeps)?;
        if let Some(given) = given.filter(|_| !self.before.has_journal) {
            journal::copy(given.path, &self.journal, &keyring.signer(), given.may_have_gaps)?;
            journal::copy_kept(given.path, &self.journal)?;
        }
        for dir in ["tls", "tenants"] {
            sync(&self.path.join(dir))?;
        }
        if !self.before.has_directory {
            sync(
                self.path
                    .parent()
                    .filter(|path| !path.as_os_str().is_empty())
                    .unwrap_or(Path::new(".")),
            )?;
        }
        DataDir::init(&self.path)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Target {
    /// What can't be removed is no data directory, and whoever restores to it again is told of it.
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        for dir in ["tenants", "tls"] {
            let _ = fs::remove_dir_all(self.path.join(dir));
        }
        let mut files = vec![
            self.path.join("keyring"),
            self.path.join("FORMAT.tmp"),
            self.path.join("FORMAT"),
        ];
        if !self.before.has_kek {
            files.push(self.path.join(KEK_FILE));
        }
        if !self.before.has_journal {
            files.push(self.journal.clone());
            files.extend(journal::kept(&self.journal).unwrap_or_default());
        }
        for file in files {
            let _ = fs::remove_file(file);
        }
        if !self.before.has_directory {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// What is there, if it may be.
fn look(config: &Config, given: Option<&Path>) -> Result<Before, ServerError> {
    let path = &config.data;
    let mut before = Before {
        has_directory: true,
        has_kek: false,
        has_journal: false,
    };
    match fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(failed(path))?.file_name();
                if name != KEK_FILE {
                    return Err(BackupError::Occupied(path.join(name)).into());
                }
                before.has_kek = true;
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => before.has_directory = false,
        Err(error) => return Err(failed(path)(error).into()),
    }
    let journal = config.journal_path();
    if journal.exists() {
        let is_given = |given: &Path| given.canonicalize().ok() == journal.canonicalize().ok();
        if !given.is_some_and(is_given) {
            return Err(BackupError::JournalThere(journal).into());
        }
        before.has_journal = true;
    }
    Ok(before)
}

fn sync(dir: &Path) -> Result<(), ServerError> {
    match fs::File::open(dir).and_then(|dir| dir.sync_all()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(dir)(error).into()),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { path, source }
}
