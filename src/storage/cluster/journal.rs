//! The erasure journal of a cluster: an object for every erasure, and for every dropped tenant, that is created once and never overwritten or deleted. It lies apart from the database, so that one that is set back,
//! or restored from a backup, brings nobody back. Applies nothing (`restore` does, from the file that [`SharedJournal::export`] writes).
//!
//! `journal/<tenant>.<incarnation>/<number of the erasure, 20 digits>` and `journal/dropped/<tenant>.<incarnation>`. What an object has is the signed line that a data directory's journal would have, sealed under the
//! object's name: whoever reads the bucket learns how many were erased and when, and not who.
//!
//! An object is put after the catalog's transaction and before the caller is told. What a crash leaves out in between is put when the request is repeated, and at the latest before the erasure is called purged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use super::SharedCatalog;
use crate::keys::receipt::ReceiptSigner;
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;
use crate::storage::error::StorageError;
use crate::storage::journal::entry::{DropEntry, Entry};
use crate::storage::journal::{Counts, NewJournal};
use crate::storage::objects::ObjectStore;
use crate::storage::objects::key::Home;
use crate::storage::objects::once::Once;

/// What it stands under.
const JOURNAL: &str = "journal";
/// What the ends of tenants stand under, beside the tenants, each of which has a dot in its name.
const DROPPED: &str = "dropped";
/// Digits of a number, as many as the highest has.
const DIGITS: usize = 20;
/// Entries that are in memory at once.
const ENTRIES_AT_ONCE: usize = 1_024;

/// The journal in a store. Clones share it.
#[derive(Clone)]
pub struct SharedJournal(ObjectStore);

impl SharedJournal {
    /// In this store.
    pub fn new(store: &ObjectStore) -> Self {
        Self(store.clone())
    }

    /// Records erasures of a catalog; they are durable when it returns. One of which the journal has another is refused: the catalog was set back.
    pub fn record(&self, home: &Home, catalog: &SharedCatalog, erasures: &[u64]) -> Result<(), StorageError> {
        let mut missing: BTreeSet<u64> = erasures.iter().copied().collect();
        if let (Some(first), true) = (missing.first(), missing.len() > 1) {
            // Most of many were recorded when they were acknowledged.
            for number in self.numbers_behind(home, first.saturating_sub(1))? {
                missing.remove(&number);
            }
        }
        let missing: Vec<u64> = missing.into_iter().collect();
        for missing in missing.chunks(ENTRIES_AT_ONCE) {
            let lines = catalog.journal_lines(missing)?;
            let put = |(erasure, line): &(u64, String)| self.put(home, *erasure, line, catalog.signer());
            lines.par_iter().try_for_each(put)?;
        }
        Ok(())
    }

    /// Records an erasure by its signed line.
    pub(in crate::storage) fn put(
        &self,
        home: &Home,
        erasure: u64,
        line: &str,
        signer: &ReceiptSigner,
    ) -> Result<(), StorageError> {
        self.0.check_identity()?;
        let object = object_of(home, erasure);
        match self.0.put_once(&object, &signer.seal_entry(&object, line))? {
            Once::There => Ok(()),
            Once::Nothing(error) => Err(error),
            Once::Other => Err(self.other(home, erasure)),
        }
    }

    /// Refuses a catalog that the journal has erasures of which it has not: whoever was erased since would be back.
    pub fn check(&self, home: &Home, catalog: &SharedCatalog) -> Result<(), StorageError> {
        loop {
            let last = catalog.last_erasure()?;
            if !self.0.has_behind(&folder(home), &object_of(home, last))? {
                return self.check_last(home, catalog, last);
            }
            // Another node may have done it since.
            if catalog.last_erasure()? == last {
                let problem = format!("its last erasure is number {last}, and the journal has later ones");
                return Err(self.outdated(home, &problem));
            }
        }
    }

    /// A catalog that was set back may have gone on, with another erasure under the same number.
    fn check_last(&self, home: &Home, catalog: &SharedCatalog, last: u64) -> Result<(), StorageError> {
        let object = object_of(home, last);
        let Some(there) = self.0.get_small(&object)? else {
            return Ok(());
        };
        for (_, line) in catalog.journal_lines(&[last])? {
            if catalog.signer().seal_entry(&object, &line) != there {
                return Err(self.other(home, last));
            }
        }
        Ok(())
    }

    /// Records that a tenant is dropped; durable when it returns. `created_at` is known where its catalog could be read. One whose drop is recorded stays as it is.
    pub fn record_drop(
        &self,
        home: &Home,
        created_at: Option<Timestamp>,
        signer: &ReceiptSigner,
    ) -> Result<(), StorageError> {
        let drop = Entry::Drop(DropEntry {
            tenant: home.tenant.clone(),
            created_at,
            dropped_at: Timestamp::now(),
        });
        let object = format!("{JOURNAL}/{DROPPED}/{}", name(home));
        self.0.check_identity()?;
        let sealed = signer.seal_entry(&object, &drop.line(signer));
        match self.0.put_once(&object, &sealed)? {
            Once::There | Once::Other => Ok(()),
            Once::Nothing(error) => Err(error),
        }
    }

    /// Whether a tenant that was made then was dropped.
    fn has_dropped(
        &self,
        tenant: &TenantId,
        created_at: Timestamp,
        signer: &ReceiptSigner,
    ) -> Result<bool, StorageError> {
        for object in self.drops()? {
            if tenant_of(&object) == Some(tenant.as_str())
                && let Entry::Drop(drop) = self.line(&object, signer)?.1
                && drop.is_of(created_at)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether there are erasures behind this one of a tenant that was made then, under whatever incarnation.
    fn has_later(
        &self,
        tenant: &TenantId,
        (created_at, last): (Timestamp, u64),
        signer: &ReceiptSigner,
    ) -> Result<bool, StorageError> {
        for folder in self.folders()? {
            if tenant_of(&folder) != Some(tenant.as_str()) {
                continue;
            }
            let behind = self
                .0
                .list_behind(&folder, &format!("{folder}/{last:0DIGITS$}"))?;
            // All of one incarnation are of one tenant.
            if let Some(object) = behind.iter().find(|object| number_of(object).is_some())
                && let Entry::Erasure(erasure) = self.line(object, signer)?.1
                && erasure.created_at == created_at
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why a tenant that was made then, whose last erasure this is, must not come into the cluster; `None` where it may.
    pub(in crate::storage) fn objection(
        &self,
        tenant: &TenantId,
        (created_at, last): (Timestamp, u64),
        signer: &ReceiptSigner,
    ) -> Result<Option<&'static str>, StorageError> {
        Ok(if self.has_dropped(tenant, created_at, signer)? {
            Some(
                "it was dropped there, by the cluster's erasure journal, after which no restore may bring it back",
            )
        } else if self.has_later(tenant, (created_at, last), signer)? {
            Some(
                "the cluster's erasure journal has later erasures of it: restore the backup with that journal (`thenar data journal`)",
            )
        } else {
            None
        })
    }

    /// Writes all of it to a new file, as the journal of a data directory; durable when it returns. A file that is there already is refused, and so is an object that this keyring's key did not sign.
    pub fn export(&self, to: &Path, signer: &ReceiptSigner) -> Result<Counts, StorageError> {
        let mut journal = NewJournal::create(to)?;
        let mut of_tenant: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for folder in self.folders()? {
            if let Some(tenant) = tenant_of(&folder) {
                of_tenant.entry(tenant.to_owned()).or_default().push(folder);
            }
        }
        for folders in of_tenant.into_values() {
            let mut objects = Vec::new();
            for folder in folders {
                let listed = self.0.list_under(&folder)?.into_iter();
                objects.extend(listed.filter_map(|(object, _)| Some((number_of(&object)?, object))));
            }
            objects.sort();
            let objects: Vec<String> = objects.into_iter().map(|(_, object)| object).collect();
            self.export_some(&objects, &mut journal, signer)?;
        }
        self.export_some(&self.drops()?, &mut journal, signer)?;
        journal.finish()
    }

    fn export_some(
        &self,
        objects: &[String],
        journal: &mut NewJournal<'_>,
        signer: &ReceiptSigner,
    ) -> Result<(), StorageError> {
        // A tenant that came out of another incarnation's backup has that one's last erasure under the same number.
        let mut last: BTreeMap<(TenantId, Timestamp), u64> = BTreeMap::new();
        for objects in objects.chunks(ENTRIES_AT_ONCE) {
            let lines = objects.par_iter().map(|object| self.line(object, signer));
            for (line, entry) in lines.collect::<Result<Vec<_>, _>>()? {
                if let Entry::Erasure(erasure) = &entry {
                    let of = (erasure.tenant.clone(), erasure.created_at);
                    let last = last.entry(of).or_default();
                    if erasure.erasure <= *last {
                        continue;
                    }
                    *last = erasure.erasure;
                }
                journal.push(&entry, &line)?;
            }
        }
        Ok(())
    }

    /// Reads an entry, which must be the one that its name says.
    fn line(&self, object: &str, signer: &ReceiptSigner) -> Result<(Vec<u8>, Entry), StorageError> {
        let damaged = |fault: &str| self.0.damaged(object, fault.to_owned());
        let sealed = self.0.get_small(object)?;
        let sealed = sealed.ok_or_else(|| damaged("it is gone, and nothing here deletes one"))?;
        let read = || {
            let line = signer.open_entry(object, &sealed).ok()?;
            let entry = Entry::parse(&line, signer)?;
            let fits = match &entry {
                Entry::Erasure(erasure) => {
                    tenant_of(object) == Some(erasure.tenant.as_str())
                        && number_of(object) == Some(erasure.erasure)
                }
                Entry::Drop(drop) => {
                    tenant_of(object) == Some(drop.tenant.as_str()) && number_of(object).is_none()
                }
            };
            fits.then(|| (line.to_vec(), entry))
        };
        read().ok_or_else(|| damaged("it is not as it was written, or another keyring's key has sealed it"))
    }

    /// Numbers that are recorded behind one.
    fn numbers_behind(&self, home: &Home, erasure: u64) -> Result<Vec<u64>, StorageError> {
        let listed = self.0.list_behind(&folder(home), &object_of(home, erasure))?;
        Ok(listed.iter().filter_map(|object| number_of(object)).collect())
    }

    /// What the erasures of each incarnation stand under.
    fn folders(&self) -> Result<Vec<String>, StorageError> {
        let mut folders = self.0.folders(JOURNAL)?;
        folders.retain(|folder| tenant_of(folder).is_some());
        Ok(folders)
    }

    /// The objects of all drops.
    fn drops(&self) -> Result<Vec<String>, StorageError> {
        let listed = self.0.list_under(&format!("{JOURNAL}/{DROPPED}"))?.into_iter();
        let mut objects: Vec<String> = listed.map(|(object, _)| object).collect();
        objects.sort();
        Ok(objects)
    }

    fn other(&self, home: &Home, erasure: u64) -> StorageError {
        self.outdated(
            home,
            &format!("it has another erasure under the number {erasure}"),
        )
    }

    fn outdated(&self, home: &Home, problem: &str) -> StorageError {
        StorageError::Outdated {
            tenant: home.tenant.clone(),
            journal: format!("{}/{}", self.0, folder(home)).into(),
            problem: format!(
                "{problem}: the database was set back; restore the tenant from a backup with that journal (`thenar data journal`)"
            ),
        }
    }
}

fn name(home: &Home) -> String {
    let Home { tenant, incarnation } = home;
    format!("{tenant}.{incarnation}")
}

fn folder(home: &Home) -> String {
    format!("{JOURNAL}/{}", name(home))
}

fn object_of(home: &Home, erasure: u64) -> String {
    format!("{}/{erasure:0DIGITS$}", folder(home))
}

/// Whose an object or a folder is.
fn tenant_of(object: &str) -> Option<&str> {
    let mut parts = object.split('/').skip(1);
    let home = parts.find(|part| *part != DROPPED)?;
    Some(home.rsplit_once('.')?.0)
}

/// Of which erasure an object is; `None` for any other.
fn number_of(object: &str) -> Option<u64> {
    let (_, number) = object.rsplit_once('/')?;
    let parsed: u64 = number.parse().ok()?;
    (format!("{parsed:0DIGITS$}") == number).then_some(parsed)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
