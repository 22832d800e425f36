//! Removes objects that no catalog lists: what a flush, an import or a rewrite left that never came to its end. Decides by intents, never by time.
//!
//! Whoever writes an object first records an *intent* with its key, then puts the object, and then lists it in the transaction that takes the intent away, which fails where there is no
//! intent any more. The sweeper takes the intent away first and the object after that. So a writer that slept for a week finds its intent gone and lists nothing, and one that was faster has its object listed before
//! the sweeper could take the intent: in neither order is a listed object removed, whatever any clock says.
//!
//! An object with neither is of a writer whose intent was swept while its request was under way, or of a catalog that was set back. Nobody can list it any more, since listing takes an intent;
//! the grace time that it is given is a courtesy to an operator who restores a catalog, and to listings of a store that are older than the catalog's. That it is by the store's clock decides
//! only how long rubbish stays.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ObjectStore;
use super::key::{Home, ObjectKey};
use crate::model::timestamp::Timestamp;
use crate::storage::error::StorageError;

/// What a catalog knows of the objects of a tenant. Every method is one transaction.
pub trait Intents {
    /// Keys that segments have now, or had and a purge has not removed yet: all that is not to be swept.
    fn listed(&self, home: &Home) -> Result<BTreeSet<ObjectKey>, StorageError>;

    /// Keys with an intent, and whether its writer can still list the object: a writer that is registered no more can't.
    fn intents(&self, home: &Home) -> Result<Vec<Intent>, StorageError>;

    /// Takes an intent away, so that its object is never listed. `false` where it is gone already: it was listed or swept.
    fn withdraw(&self, key: &ObjectKey) -> Result<bool, StorageError>;
}

/// An object that somebody is about to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its key.
    pub key: ObjectKey,
    /// Whether the writer is known to be gone. That may be wrong: who was taken for gone finds its intent gone and begins anew.
    pub is_abandoned: bool,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that were removed, if they were there.
    pub removed: Vec<ObjectKey>,
    /// Objects that nobody knows and that are not old enough.
    pub young: usize,
    /// The latest time until which remnants of what was removed may exist, by what the operator states of the bucket.
    pub remnants_until: Option<Timestamp>,
}

/// Removes what abandoned writers left of a tenant, and what nobody knows and was written `grace` before `now`. Repeated at will; an object that can't be removed keeps nobody
/// from the next, and is an error in the end, the first one where there are several. What was begun is done by the next sweep: an object whose intent was withdrawn is then one that nobody knows.
pub fn sweep(
    store: &ObjectStore,
    intents: &dyn Intents,
    home: &Home,
    (now, grace): (Timestamp, Duration),
) -> Result<Swept, StorageError> {
    let mut swept = Swept::default();
    let mut failed = None;
    for intent in intents.intents(home)?.iter().filter(|intent| intent.is_abandoned) {
        // Whoever withdraws it has the object for itself. One that was listed in between is not touched.
        if intents.withdraw(&intent.key)? {
            failed = failed.or(remove(store, &intent.key, &mut swept).err());
        }
    }
    // In this order. An object that is seen had an intent before it was written; at the second look that is there still, or was taken
    // before: by the object's listing, which is seen below, or by a sweep.
    let objects = store.list(home)?;
    let mut known: BTreeSet<ObjectKey> = intents
        .intents(home)?
        .into_iter()
        .map(|intent| intent.key)
        .collect();
    known.extend(intents.listed(home)?);
    let written_before = now.minus(grace);
    for object in objects.into_iter().filter(|object| !known.contains(&object.key)) {
        if object.modified < written_before {
            failed = failed.or(remove(store, &object.key, &mut swept).err());
        } else {
            swept.young += 1;
        }
    }
    failed.map_or(Ok(swept), Err)
}

fn remove(store: &ObjectStore, key: &ObjectKey, swept: &mut Swept) -> Result<(), StorageError> {
    let remnants_until = store.delete(key)?;
    swept.removed.push(key.clone());
    swept.remnants_until = swept.remnants_until.max(remnants_until);
    Ok(())
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
