//! `thenar data backup`: all that a data directory holds, or what a cluster has of its tenants, as one sealed stream, beside running servers or without them. Changes nothing.
//!
//! Both are restored into a data directory; from there a tenant goes to a cluster as any other does (`relocate`). Match nodes and fronts have each a keyring, and so each a backup.
//!
//! The keyring in it is wrapped by the key that the stream is sealed with, so that the loss of the key-encryption key loses no backup that was sealed with
//! another one. The key file itself is never in it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::config::{Config, LimitError};
use super::{ServerError, catalog, verify};
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose, Renewable};
use crate::keys::stream::SealedWriter;
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;
use crate::storage::archive::{ArchiveWriter, EntryName, is_plain, write_failed};
use crate::storage::backup::{Snapshot, backup as backup_tenant};
use crate::storage::cluster::backup::Engines;
use crate::storage::data_dir;
use crate::storage::database::{CatalogKeys, Database};
use crate::storage::error::StorageError;
use crate::storage::objects::ObjectStore;
use crate::storage::objects::text::{FRONT_KEYRING, MATCH_KEYRING, ObjectText};

/// Largest keyring, certificate and manifest: far more than ten thousand tenants take.
pub(super) const SMALL_LEN_MAX: u64 = 256 << 20;

/// Why a backup was not made or not restored.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A tenant whose files nobody can read.
    #[error("tenant {0}: the keyring has no key of it")]
    KeyMissing(TenantId),
    /// A tenant whose files were sealed anew.
    #[error(
        "the data key of tenant {0} was rotated meanwhile; back it up once more; where that was said before, rotate it again, or start the server anew, which ends a rotation that was cut off"
    )]
    Rotated(TenantId),
    /// A configuration whose key opens another keyring, or none.
    #[error("the key-encryption key of this configuration does not open the keyring of the {}: {}", match .0 {
        Side::Nodes => "match nodes",
        Side::Fronts => "fronts",
    }, match .0 {
        Side::Nodes => "take the configuration of a match node, or say --front where a front's is meant; or the key was rotated, and this configuration does not name the new one",
        Side::Fronts => "take the configuration of a front, or leave out --front where a match node's is meant; or the key was rotated, and this configuration does not name the new one",
    })]
    OtherSide(Side),
    /// A tenant whose keys are in the backup already, and are another one's.
    #[error("tenant {0} was dropped or made anew meanwhile; back up once more")]
    MadeAnew(TenantId),
    /// The key of the backup that is to be restored.
    #[error(
        "the key that opens the backup: {0}; name it in the configuration, as `backup_kek` or `kek`, or put the file there"
    )]
    Key(KeyError),
    /// A file of the certificates' directory.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something is where the backup is to be restored to.
    #[error("{} is there already; nothing was changed: restore into a directory that is new or empty, but for the file `kek`", .0.display())]
    Occupied(PathBuf),
    /// A journal that would be written over, or go unused.
    #[error("the erasure journal {} is there already: name it with --journal, or move it away", .0.display())]
    JournalThere(PathBuf),
    /// A journal that can't be read again and again.
    #[error("the erasure journal {} is no regular file; nothing was restored: copy it to one first", .0.display())]
    JournalNoFile(PathBuf),
    /// A journal from which entries are missing.
    #[error(
        "the erasure journal {}: {gaps}; whoever was erased with that may come back, so nothing was restored: look for a whole journal, or say --incomplete-journal",
        path.display()
    )]
    JournalGaps {
        /// The journal.
        path: PathBuf,
        /// What is missing.
        gaps: String,
    },
    /// The backup is authentic and incomplete, or names what it has not.
    #[error("the backup is not what this release makes: {0}")]
    Content(String),
    /// What was restored is not sound.
    #[error("tenant {tenant} was restored and is not sound: {faults}")]
    Unsound {
        /// The tenant.
        tenant: TenantId,
        /// All that was found.
        faults: String,
    },
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// When it was begun.
    pub made_at: Timestamp,
    /// Tenants, each as it was at one moment after that.
    pub tenants: Vec<Snapshot>,
}

/// What was backed up.
#[derive(Debug)]
pub struct BackedUp {
    /// As it stands at the end of the backup.
    pub manifest: Manifest,
    /// Bytes before they were sealed.
    pub bytes: u64,
    /// What lies beside the certificates and is in no backup: directories, and files with odd names.
    pub left_out: Vec<PathBuf>,
}

/// Whose keys a backup of a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The match nodes': with all tenants.
    Nodes,
    /// The fronts': nothing else.
    Fronts,
}

/// Where tenants and keys are.
enum Source<'a> {
    Directory(&'a Config),
    Cluster(Shared<'a>),
}

/// The engines of a cluster.
struct Shared<'a> {
    config: &'a Config,
    side: Side,
    database: Database,
    store: ObjectStore,
}

impl Source<'_> {
    /// Tenants that are backed up unless some are named. To be asked before the keyring is read: a key is made before its tenant.
    fn tenants(&self) -> Result<Vec<TenantId>, ServerError> {
        match self {
            Self::Directory(config) => Ok(data_dir::tenants(&config.data)?),
            Self::Cluster(shared) if shared.side == Side::Fronts => Ok(Vec::new()),
            Self::Cluster(shared) => {
                let tenants = shared.database.tenants()?.into_iter();
                Ok(tenants
                    .filter(|(_, commits)| *commits > 0)
                    .map(|(id, _)| id)
                    .collect())
            }
        }
    }

    fn keyring(&self) -> Result<Keyring, ServerError> {
        let keks = self.config().keks()?;
        let keyring = match self {
            Self::Directory(config) => Keyring::read(&config.data.join("keyring"), keks),
            Self::Cluster(shared) => {
                let name = match shared.side {
                    Side::Nodes => MATCH_KEYRING,
                    Side::Fronts => FRONT_KEYRING,
                };
                let keyring = Keyring::open_in(Arc::new(ObjectText::new(&shared.store, name)), keks);
                if let Err(KeyError::WrongKek { .. }) = keyring {
                    return Err(BackupError::OtherSide(shared.side).into());
                }
                keyring
            }
        };
        Ok(keyring?)
    }

    fn config(&self) -> &Config {
        match self {
            Self::Directory(config) => config,
            Self::Cluster(shared) => shared.config,
        }
    }

    /// Writes a tenant. One that was dropped meanwhile is left out.
    fn copy(
        &self,
        tenant: &TenantId,
        keyring: &Keyring,
        archive: &mut ArchiveWriter<'_>,
    ) -> Result<Option<Snapshot>, ServerError> {
        let missing = || BackupError::KeyMissing(tenant.clone());
        match self {
            Self::Directory(config) => {
                let data_key = keyring.get(tenant, Purpose::Data)?.ok_or_else(missing)?;
                let snapshot = backup_tenant(&config.data, tenant, &data_key, archive);
                if snapshot.is_err() {
                    let now = self.keyring()?;
                    // The keyring that is in the backup already has no key for files that are sealed anew.
                    if verify::data_key(&config.data, &now, tenant)?.is_some_and(|now| now != data_key) {
                        return Err(BackupError::Rotated(tenant.clone()).into());
                    }
                }
                Ok(snapshot?)
            }
            Self::Cluster(_) if keyring.is_dropped(tenant) => Ok(None),
            Self::Cluster(shared) => {
                let engines = Engines {
                    database: &shared.database,
                    store: &shared.store,
                    signer: keyring.signer(),
                    scratch: &shared.config.data,
                };
                let [data_key, secret] = [Purpose::Data, Purpose::Catalog].map(|of| keyring.get(tenant, of));
                let keys = match (data_key?, secret?) {
                    (Some(data_key), Some(secret)) => CatalogKeys { secret, data_key },
                    // It may have been dropped between the two looks.
                    _ if shared.database.row(tenant)?.is_none() => return Ok(None),
                    _ => return Err(missing().into()),
                };
                let snapshot = engines.backup(tenant, &keys, archive);
                if snapshot.is_err() {
                    let now = self.keyring()?;
                    if now.get(tenant, Purpose::Catalog)? != Some(keys.secret) {
                        return Err(BackupError::MadeAnew(tenant.clone()).into());
                    }
                    // The same as of a directory. One that is under way may have come to its end by now, but for the keyring.
                    let data_key = now.get(tenant, Purpose::Data)?;
                    if data_key != Some(keys.data_key) || now.is_rotating(tenant, Renewable::Data) {
                        return Err(BackupError::Rotated(tenant.clone()).into());
                    }
                }
                Ok(snapshot?)
            }
        }
    }
}

/// Backs up some tenants, or all of them when none is named. One that is damaged is an error that names file and place; the others can be named then. Whose keys are meant matters in a cluster alone.
pub fn backup(
    config: &Config,
    side: Side,
    tenants: &[TenantId],
    to: &mut dyn Write,
) -> Result<BackedUp, ServerError> {
    let made_at = Timestamp::now();
    let source = if config.cluster.enabled {
        let (database, store) = catalog::shared_store(config)?;
        Source::Cluster(Shared {
            config,
            side,
            database,
            store,
        })
    } else if side == Side::Fronts {
        let problem =
            "is not set: the keys of a front by itself are in its data directory, and its backup has them";
        return Err(LimitError {
            setting: "cluster.enabled",
            problem: problem.to_owned(),
        }
        .into());
    } else {
        Source::Directory(config)
    };
    let all = source.tenants()?;
    let chosen: BTreeSet<&TenantId> = if tenants.is_empty() { &all } else { tenants }.iter().collect();
    if let Some(unknown) = chosen.iter().find(|tenant| !all.contains(tenant)) {
        return Err(StorageError::TenantUnknown((*unknown).clone()).into());
    }
    let keyring = source.keyring()?;
    let backup_key = config.backup_kek_source().load()?;
    let mut sealed = SealedWriter::new(to, &backup_key).map_err(write_failed)?;
    let mut archive = ArchiveWriter::new(&mut sealed);
    // The keys of a front have no tenants beside them.
    let keeps = |tenant: &TenantId| tenants.is_empty() || chosen.contains(tenant);
    let text = keyring.rewrapped(&backup_key, keeps)?;
    archive.put(&EntryName::Keyring, text.as_bytes())?;
    let left_out = tls_files(&config.data.join("tls"), &mut archive)?;
    let mut manifest = Manifest {
        made_at,
        tenants: Vec::new(),
    };
    for tenant in chosen {
        manifest
            .tenants
            .extend(source.copy(tenant, &keyring, &mut archive)?);
    }
    let text = serde_json::to_vec(&manifest).expect("a manifest has no maps");
    archive.put(&EntryName::Manifest, &text)?;
    let bytes = archive.finish()?;
    sealed.finish().map_err(write_failed)?;
    Ok(BackedUp {
        manifest,
        bytes,
        left_out,
    })
}

/// Certificates and their keys, where there are any, also those that a link leads to. Gives what is left out.
fn tls_files(dir: &Path, archive: &mut ArchiveWriter<'_>) -> Result<Vec<PathBuf>, ServerError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    let (mut names, mut left_out) = (Vec::new(), Vec::new());
    if !dir.exists() {
        return Ok(left_out);
    }
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        match name.filter(|name| path.is_file() && is_plain(name)) {
            Some(name) => names.push(name.to_owned()),
            None => left_out.push(path),
        }
    }
    names.sort();
    for name in names {
        let path = dir.join(&name);
        let mut content = zeroize::Zeroizing::new(Vec::new());
        fs::File::open(&path)
            .and_then(|mut file| file.read_to_end(&mut content))
            .map_err(failed(&path))?;
        archive.put(&EntryName::Tls(name), &content)?;
    }
    Ok(left_out)
}
