//! The erasure journal of a cluster: an object for every erasure, and for every dropped tenant, that is created once and never overwritten or deleted. It lies apart from the database, so that one that is set back,
//! or restored from a backup, brings nobody back. Applies nothing (`restore` does, from the file that [`SharedJournal::export`] writes).
//!
//! `journal/<tenant>.<incarnation>/<number of the erasure, 20 digits>` and `journal/dropped/<tenant>.<incarnation>`. What an object has is the signed line that a data directory's journal would have.
//!
//! An object is put after the catalog's transaction and before the caller is told. What a crash leaves out in between is put when the request is repeated, and at the latest before the erasure is called purged.

use std::collections::BTreeMap;
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
/// Objects that are read at once.
const READ_AT_ONCE: usize = 1_024;

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
        for (erasure, line) in catalog.journal_lines(erasures)? {
            self.put(home, erasure, &line)?;
        }
        Ok(())
    }

    /// Records an erasure by its signed line.
    pub(in crate::storage) fn put(&self, home: &Home, erasure: u64, line: &str) -> Result<(), StorageError> {
        match self.0.put_once(&object_of(home, erasure), line.as_bytes())? {
            Once::There => Ok(()),
            Once::Nothing(error) => Err(error),
            Once::Other => {
                let problem = format!("it has another erasure under the number {erasure}");
                Err(self.outdated(home, &problem))
            }
        }
    }

    /// Refuses a catalog of which the journal has an erasure that it has not: whoever was erased since would be back.
    pub fn check(&self, home: &Home, catalog: &SharedCatalog) -> Result<(), StorageError> {
        loop {
            let last = catalog.last_erasure()?;
            if self.0.get_small(&object_of(home, last + 1))?.is_none() {
                return Ok(());
            }
            // Another node may have done it since.
            if catalog.last_erasure()? == last {
                let problem = format!("its last erasure is number {last}, and the journal has the next one");
                return Err(self.outdated(home, &problem));
            }
        }
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
        match self.0.put_once(&object, drop.line(signer).as_bytes())? {
            Once::There | Once::Other => Ok(()),
            Once::Nothing(error) => Err(error),
        }
    }

    /// Whether a tenant that was made then was dropped.
    pub fn has_dropped(
        &self,
        tenant: &TenantId,
        created_at: Timestamp,
        signer: &ReceiptSigner,
    ) -> Result<bool, StorageError> {
        for (object, _) in self.0.list_under(&format!("{JOURNAL}/{DROPPED}"))? {
            if place_of(&object).is_some_and(|(of, ..)| of == tenant.as_str())
                && let Entry::Drop(drop) = self.line(&object, signer)?.1
                && drop.is_of(created_at)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes all of it to a new file, as the journal of a data directory; durable when it returns. A file that is there already is refused, and so is an object that this keyring's key did not sign.
    pub fn export(&self, to: &Path, signer: &ReceiptSigner) -> Result<Counts, StorageError> {
        let listed = self.0.list_under(JOURNAL)?.into_iter();
        let mut objects: Vec<String> = listed
            .map(|(object, _)| object)
            .filter(|object| place_of(object).is_some())
            .collect();
        objects.sort_by(|one, other| place_of(one).cmp(&place_of(other)));
        let mut journal = NewJournal::create(to)?;
        // A tenant that came from another incarnation's backup has some of that one's erasures under the same numbers.
        let mut last: BTreeMap<(TenantId, Timestamp), u64> = BTreeMap::new();
        for objects in objects.chunks(READ_AT_ONCE) {
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
        journal.finish()
    }

    fn line(&self, object: &str, signer: &ReceiptSigner) -> Result<(Vec<u8>, Entry), StorageError> {
        let damaged = |fault: &str| self.0.damaged(object, fault.to_owned());
        let line = self.0.get_small(object)?;
        let line = line.ok_or_else(|| damaged("it is gone, and nothing here deletes one"))?;
        let entry = Entry::parse(&line, signer);
        let entry = entry
            .ok_or_else(|| damaged("it is not as it was written, or another keyring's key has signed it"))?;
        Ok((line, entry))
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

/// Tenant, number and incarnation of what an object is of; a drop comes behind all erasures. `None` for what is no entry.
fn place_of(object: &str) -> Option<(&str, u64, &str)> {
    let mut parts = object.strip_prefix(JOURNAL)?.strip_prefix('/')?.split('/');
    let (home, number) = match (parts.next()?, parts.next()?) {
        (DROPPED, home) => (home, u64::MAX),
        (home, number) => (home, number.parse().ok()?),
    };
    let (tenant, incarnation) = home.rsplit_once('.')?;
    parts.next().is_none().then_some((tenant, number, incarnation))
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
