//! Why keys can't be had. Names files, variables and commands; never a key.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::id::TenantId;

/// Why a key can't be had or kept.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A file that can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A store that machines share does not do what it is asked. What it did by then may be done.
    #[error("{}: {problem}", path.display())]
    Store {
        /// What is kept there.
        path: PathBuf,
        /// What the store says.
        problem: String,
        /// Whether the same may succeed when it is done again.
        passing: bool,
    },
    /// Others changed the text in every try. Nothing was changed.
    #[error("{} was changed by others in each of {tries} tries; repeat it", path.display())]
    Contended {
        /// What is kept there.
        path: PathBuf,
        /// How often it was tried.
        tries: usize,
    },
    /// A text that is longer than a store takes.
    #[error("{} would take {len} bytes, and holds at most {max}; fewer tenants have to share it", path.display())]
    TooLong {
        /// What is kept there.
        path: PathBuf,
        /// Its length.
        len: usize,
        /// The most.
        max: usize,
    },
    /// Another tenant of that name has keys already, or is being dropped.
    #[error("{} has other keys of tenant {tenant}, or the tenant is being dropped: drop the one that is there, or let its drop end", path.display())]
    Taken {
        /// What is kept there.
        path: PathBuf,
        /// The tenant.
        tenant: TenantId,
    },
    /// No keyring where the tenants' keys are to be.
    #[error(
        "there is no keyring in {}, and the database has tenants: name the bucket and the prefix that have it (storage.objects.url), or bring it back from a backup; nothing opens without it",
        .0.display()
    )]
    KeyringMissing(PathBuf),
    /// Other users may read the key file.
    #[error("{path} has mode {mode:03o}, so others can read or change it; run `chmod 600 {path}`")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The source gave something that is not a key.
    #[error(
        "{origin} does not hold a key: {problem}; 32 bytes are expected, as 64 hexadecimal digits or in base64"
    )]
    NotAKey {
        /// File, variable or command.
        origin: String,
        /// What is wrong with it, without the text itself.
        problem: String,
    },
    /// The environment lacks the variable.
    #[error("the environment variable {0} is not set; it is to hold a key or a password")]
    EnvMissing(String),
    /// The source of a password is empty.
    #[error("{0} is empty; it is to hold a password")]
    NoPassword(
        /// File, variable or command.
        String,
    ),
    /// The command gave no key.
    #[error("the key command {command:?} {problem}")]
    Command {
        /// Its program.
        command: String,
        /// What happened.
        problem: String,
    },
    /// Another key, or damage where the key is checked.
    #[error(
        "the key-encryption key does not open this keyring ({path}); where a file `kek.next` lies beside the key, a rotation was cut off: repeat it; where a cluster's key was rotated, this configuration does not name the new one"
    )]
    WrongKek {
        /// The keyring.
        path: PathBuf,
    },
    /// The keyring is not as it was written.
    #[error("{path} is damaged: {problem}; restore it from a backup")]
    Damaged {
        /// The keyring.
        path: PathBuf,
        /// Where and how.
        problem: String,
    },
    /// A rotation that is not told the new key, and has no file to put one into.
    #[error("the present key-encryption key is not in a file: say where the new one comes from")]
    NoNewKek,
    /// A key file that would be overwritten though backups may need it.
    #[error(
        "no `backup_kek` is configured, so that what is backed up opens with the key in {} alone, which this overwrites; nothing was changed: copy the file to where it \
         lasts and say --former-key-kept",
        .0.display()
    )]
    FormerKeyNeeded(PathBuf),
    /// The keyring is of another version of the format.
    #[error(
        "{path} has keyring format {found}; this program reads format {expected}; use the program that wrote it or a newer one"
    )]
    Format {
        /// The keyring.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is read.
        expected: u32,
    },
    /// A sealed link that is not this tenant's, or damaged.
    #[error("a sealed link does not open with the tenant's link key")]
    LinkSealed,
    /// A sealed probe of another key or another binding, or a damaged one. Not told apart.
    #[error("a sealed probe does not open")]
    ProbeSealed,
}

impl KeyError {
    /// Whether what keeps it is out of reach: the same may be asked again.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Store { passing: true, .. } | Self::Contended { .. })
    }

    /// Whether it is there, and wrapped by another key-encryption key.
    pub fn is_wrong_kek(&self) -> bool {
        matches!(self, Self::WrongKek { .. })
    }

    /// An I/O error at `path`.
    pub(in crate::keys) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
