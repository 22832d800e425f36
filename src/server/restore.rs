//! `thenar data restore`: a data directory out of a backup, with the erasures and drops of a journal that came after it. Overwrites nothing, and makes what it
//! writes a data directory last, so that a restore that was cut off is none.

mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use self::target::Target;
use super::ServerError;
use super::backup::{BackupError, Manifest, SMALL_LEN_MAX};
use super::config::Config;
use crate::keys::keyring::{Keyring, Purpose};
use crate::keys::secret::SecretKey;
use crate::keys::stream::SealedReader;
use crate::model::id::TenantId;
use crate::storage::archive::{ArchiveReader, EntryName, read_failed};
use crate::storage::backup::Snapshot;
use crate::storage::journal::{
    self,
    entry::{self, Entry, ErasureEntry},
};
use crate::storage::restore;

/// What came after a backup.
#[derive(Debug, Clone, Copy)]
pub struct Journal<'a> {
    /// Its file.
    pub path: &'a Path,
    /// Whether a journal from which entries are missing does.
    pub may_have_gaps: bool,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup held.
    pub manifest: Manifest,
    /// Persons of the backup that were erased after it, by tenant; a tenant that is served again is here even with none.
    pub erased: BTreeMap<TenantId, u64>,
    /// Tenants of the backup that were dropped after it and so not restored.
    pub dropped: BTreeSet<TenantId>,
    /// Tenants of which the journal has fewer erasures than the backup: it may not be the newest.
    pub behind: BTreeSet<TenantId>,
    /// What is missing from the journal, as sentences.
    pub gaps: Vec<String>,
}

/// Restores a backup to `config.data`. Without a `journal` nothing that came after the backup is done again.
pub fn restore(
    config: &Config,
    journal: Option<Journal<'_>>,
    from: &mut dyn Read,
) -> Result<Restored, ServerError> {
    let journal_path = journal.map(|journal| journal.path);
    if let Some(path) = journal_path.filter(|path| !path.is_file()) {
        // It is read more than once.
        return Err(BackupError::JournalNoFile(path.to_owned()).into());
    }
    let backup_key = config.backup_kek_source().load().map_err(BackupError::Key)?;
    let mut sealed = SealedReader::new(from, &backup_key).map_err(read_failed)?;
    let target = Target::begin(config, journal_path)?;
    let mut received = Received::default();
    let keyring = received.read(
        &target,
        journal,
        &backup_key,
        &mut ArchiveReader::new(&mut sealed),
    )?;
    let manifest = received.check()?;
    received.clear(&target)?;
    let later = Later::read(journal, &keyring, &received.tenants)?;
    for tenant in &later.dropped {
        restore::discard(target.path(), tenant)?;
        received.tenants.remove(tenant);
    }
    let mut erased = BTreeMap::new();
    for tenant in received.tenants.keys() {
        let key = data_key(&keyring, tenant)?;
        let erasures = later.erasures.get(tenant).map(Vec::as_slice).unwrap_or_default();
        let may_miss_some = journal.is_none() || later.behind.contains(tenant) || !later.gaps.is_empty();
        let signers = keyring.signer_keys(tenant)?;
        let (count, found) = restore::finish(
            target.path(),
            tenant,
            &key,
            (&keyring.signer(), &signers),
            erasures,
            may_miss_some,
        )?;
        if !found.faults.is_empty() {
            let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
            return Err(BackupError::Unsound {
                tenant: tenant.clone(),
                faults: faults.join("; "),
            }
            .into());
        }
        erased.insert(tenant.clone(), count);
    }
    // A front has keys alone. Beside galleries, keys without one are those of tenants that were dropped.
    let has_tenants = !manifest.tenants.is_empty();
    target.finish(
        &keyring,
        |tenant| !has_tenants || erased.contains_key(tenant),
        journal,
    )?;
    Ok(Restored {
        manifest,
        erased,
        dropped: later.dropped,
        behind: later.behind,
        gaps: later.gaps,
    })
}

fn data_key(keyring: &Keyring, tenant: &TenantId) -> Result<SecretKey, ServerError> {
    let key = keyring.get(tenant, Purpose::Data)?;
    Ok(key.ok_or_else(|| BackupError::KeyMissing(tenant.clone()))?)
}

fn odd(fault: impl Into<String>) -> ServerError {
    BackupError::Content(fault.into()).into()
}

/// What came out of the stream so far.
#[derive(Default)]
struct Received {
    /// Tenants whose catalog came.
    tenants: BTreeMap<TenantId, Snapshot>,
    manifest: Option<Manifest>,
}

impl Received {
    /// Reads the whole stream and writes what it holds, but for the keyring, which is given.
    fn read(
        &mut self,
        target: &Target,
        journal: Option<Journal<'_>>,
        backup_key: &SecretKey,
        archive: &mut ArchiveReader<'_>,
    ) -> Result<Keyring, ServerError> {
        let Some(EntryName::Keyring) = archive.next_entry()? else {
            return Err(odd("it does not begin with the keyring"));
        };
        let text = archive.content(SMALL_LEN_MAX)?;
        let text = std::str::from_utf8(&text).map_err(|_| odd("its keyring is no text"))?;
        let keyring = Keyring::parse(Path::new("the backup's keyring"), text, backup_key)?;
        if let Some(journal) = journal {
            // Looked at now, for it would be late after hours of reading.
            entry::read(journal.path, &keyring.signer(), journal.may_have_gaps, |_, _| {
                Ok(())
            })?;
        }
        while let Some(name) = archive.next_entry()? {
            if self.manifest.is_some() {
                return Err(odd("something comes after its manifest"));
            }
            match name {
                EntryName::Keyring => return Err(odd("it has two keyrings")),
                EntryName::Tls(file) => target.write_tls(&file, &archive.content(SMALL_LEN_MAX)?)?,
                EntryName::Segment(tenant, ulid) => {
                    restore::write_segment(target.path(), &tenant, ulid, archive)?;
                }
                EntryName::Catalog(tenant) => {
                    let key = data_key(&keyring, &tenant)?;
                    let snapshot = restore::write_catalog(target.path(), &tenant, &key, archive)?;
                    self.tenants.insert(tenant, snapshot);
                }
                EntryName::Manifest => {
                    let parsed = serde_json::from_slice(&archive.content(SMALL_LEN_MAX)?);
                    self.manifest = Some(parsed.map_err(|error| odd(format!("its manifest: {error}")))?);
                }
            }
        }
        Ok(keyring)
    }

    /// The manifest, which must be that of what came.
    fn check(&mut self) -> Result<Manifest, ServerError> {
        let manifest = self.manifest.take().ok_or_else(|| odd("it has no manifest"))?;
        if manifest.tenants.iter().eq(self.tenants.values()) {
            return Ok(manifest);
        }
        Err(odd(
            "its manifest names other tenants, or other states of them, than it holds",
        ))
    }

    /// Removes segments of tenants that were dropped while they were backed up: their catalog never came.
    fn clear(&self, target: &Target) -> Result<(), ServerError> {
        for tenant in restore::written(target.path())? {
            if !self.tenants.contains_key(&tenant) {
                restore::discard(target.path(), &tenant)?;
            }
        }
        Ok(())
    }
}

/// What a journal says of the tenants of a backup.
#[derive(Default)]
struct Later {
    erasures: BTreeMap<TenantId, Vec<ErasureEntry>>,
    dropped: BTreeSet<TenantId>,
    behind: BTreeSet<TenantId>,
    gaps: Vec<String>,
}

impl Later {
    fn read(
        journal: Option<Journal<'_>>,
        keyring: &Keyring,
        tenants: &BTreeMap<TenantId, Snapshot>,
    ) -> Result<Self, ServerError> {
        let mut later = Self::default();
        let Some(journal) = journal else {
            return Ok(later);
        };
        let mut last: BTreeMap<TenantId, u64> = BTreeMap::new();
        let mut erasures: BTreeMap<TenantId, BTreeMap<u64, ErasureEntry>> = BTreeMap::new();
        let mut note = |entry: Entry| match entry {
            Entry::Erasure(erasure) => {
                let of = tenants.get(&erasure.tenant);
                if let Some(of) = of.filter(|of| of.created_at == erasure.created_at) {
                    let last = last.entry(of.tenant.clone()).or_default();
                    *last = erasure.erasure.max(*last);
                    if erasure.erasure > of.last_erasure {
                        let of = erasures.entry(of.tenant.clone()).or_default();
                        of.insert(erasure.erasure, erasure);
                    }
                }
            }
            Entry::Drop(drop) => {
                let of = tenants.get(&drop.tenant);
                let of = of.filter(|of| drop.is_of(of.created_at));
                later.dropped.extend(of.map(|of| of.tenant.clone()));
            }
        };
        let signer = keyring.signer();
        let mut read = |path: &Path, any_damage| {
            // A signed entry counts wherever it stands.
            entry::read(path, &signer, any_damage, |entry, _| {
                note(entry);
                Ok(())
            })
        };
        let extent = read(journal.path, journal.may_have_gaps)?;
        for kept in journal::kept(journal.path)? {
            // Damage is why it was kept. What it has fills gaps.
            read(&kept, true)?;
        }
        let torn = extent
            .torn
            .map(|line| format!("line {line} is cut off, or not as it was written"));
        later.gaps.extend(torn);
        for (tenant, of) in tenants {
            if later.dropped.contains(tenant) {
                continue;
            }
            if last.get(tenant).copied().unwrap_or(0) < of.last_erasure {
                later.behind.insert(tenant.clone());
            }
            let mut next = of.last_erasure + 1;
            for number in erasures.get(tenant).into_iter().flat_map(BTreeMap::keys) {
                later.gaps.extend(gap(tenant, next, *number));
                next = number + 1;
            }
        }
        if !later.gaps.is_empty() && !journal.may_have_gaps {
            return Err(BackupError::JournalGaps {
                path: journal.path.to_owned(),
                gaps: later.gaps.join("; "),
            }
            .into());
        }
        later.erasures = erasures
            .into_iter()
            .map(|(tenant, of)| (tenant, of.into_values().collect()))
            .collect();
        Ok(later)
    }
}

/// What is missing between two numbers of erasures, the first of which is expected and the second found.
fn gap(tenant: &TenantId, expected: u64, found: u64) -> Option<String> {
    let missing = found - expected;
    match missing {
        0 => None,
        1 => Some(format!("erasure {expected} of tenant {tenant} is missing")),
        _ => Some(format!(
            "erasures {expected} to {} of tenant {tenant} are missing",
            found - 1
        )),
    }
}
