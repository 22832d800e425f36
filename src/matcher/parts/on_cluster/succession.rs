//! Copies of objects that were written anew: each is brought here before the copy of the former object goes, so that no search has to wait for the store. Decides nothing about what is listed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ulid::Ulid;

use super::Shared;
use super::opened::Opened;
use crate::cluster::view::View;
use crate::model::id::TenantId;
use crate::storage::cluster::segments::Segments;
use crate::storage::cluster::{GalleryReading, SegmentObject};
use crate::storage::error::StorageError;
use crate::storage::objects::key::ObjectKey;

/// The copy of a former object stays no longer than this for want of the next one: what is erased has to go, whatever the store does.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a catalog is waited for that somebody has just then.
const SLOT_MAX: Duration = Duration::from_millis(10);

/// Former objects of one tenant, and whether the next ones are being brought.
#[derive(Default)]
pub(super) struct Succession {
    /// Since when each is known to be a former one.
    former: Mutex<HashMap<Ulid, Instant>>,
    is_under_way: AtomicBool,
}

impl Shared {
    /// Of the copies that are here, those that stay for now although another object is listed in the place of theirs. Has the next ones brought, and waits for nothing.
    pub(super) fn staying(
        &self,
        tenant: &TenantId,
        told: &GalleryReading,
        here: &HashSet<ObjectKey>,
    ) -> HashSet<ObjectKey> {
        let slot = self.slots.lock().get(tenant).cloned();
        // While it is being opened nobody reads its copies.
        let opened = slot.and_then(|slot| slot.try_lock_for(SLOT_MAX)?.clone());
        let standing = *self.standing.lock();
        // Nobody waits for what is here of a former registration.
        let is_now = |opened: &Arc<Opened>| {
            opened.edition == told.reading.head().edition && Some(opened.standing) == standing
        };
        let Some(opened) = opened.filter(is_now) else {
            return HashSet::new();
        };
        let mut former = opened.former(&told.objects, told.reading.view());
        former.retain(|_, object| here.contains(&opened.keys.key(object.ulid)));
        let staying = opened
            .succession
            .staying(former.values().map(|object| object.ulid), Instant::now());
        let staying = staying.into_iter().map(|ulid| opened.keys.key(ulid)).collect();
        if !former.is_empty() && !opened.succession.is_under_way.swap(true, Ordering::SeqCst) {
            bring(Arc::clone(&self.segments), Arc::clone(&opened), former);
        }
        staying
    }
}

impl Opened {
    /// The objects by which segments are read here, and which are not the ones that are listed for them.
    fn former(&self, listed: &BTreeSet<Ulid>, view: &View) -> BTreeMap<u32, SegmentObject> {
        let known = self.objects.lock();
        let former = known.iter().filter(|(number, object)| {
            !listed.contains(&object.ulid) && view.segments().contains_key(number)
        });
        former.map(|(number, object)| (*number, *object)).collect()
    }

    /// Brings the objects that are listed for segments now, and reads those from them from then on.
    fn succeed(
        &self,
        segments: &Segments,
        former: &BTreeMap<u32, SegmentObject>,
    ) -> Result<(), StorageError> {
        let began = Instant::now();
        for (number, was) in former {
            // The rest goes without.
            if began.elapsed() >= WAIT_MAX {
                return Ok(());
            }
            // One use each, so that the node is tidy soon.
            let _reading = segments.copies().begin(&self.keys.home);
            let Some(next) = self.catalog.objects(&BTreeSet::from([*number]))?.remove(number) else {
                continue;
            };
            segments.know(&self.keys, &next);
            // Where the cache has no room its rows are read from the store, which is no reason to keep the former one.
            segments.fetch(&self.keys, &next)?;
            let mut known = self.objects.lock();
            // Somebody else may have found a later one.
            if known.get(number) == Some(was) {
                known.insert(*number, next);
            }
        }
        Ok(())
    }
}

impl Succession {
    /// Of these former objects, those whose time is not over.
    fn staying(&self, former: impl Iterator<Item = Ulid>, now: Instant) -> HashSet<Ulid> {
        let former: HashSet<Ulid> = former.collect();
        let mut since = self.former.lock();
        since.retain(|ulid, _| former.contains(ulid));
        for ulid in &former {
            since.entry(*ulid).or_insert(now);
        }
        let staying = since.iter().filter(|(_, since)| now - **since < WAIT_MAX);
        staying.map(|(ulid, _)| *ulid).collect()
    }
}

/// On a thread of its own: the store may take long.
fn bring(segments: Arc<Segments>, opened: Arc<Opened>, former: BTreeMap<u32, SegmentObject>) {
    let whose = Arc::clone(&opened);
    let started = thread::Builder::new()
        .name("thenar-succession".to_owned())
        .spawn(move || {
            let done = Ended(&opened.succession);
            let brought = opened.succeed(&segments, &former);
            drop(done);
            if let Err(error) = brought {
                tracing::warn!(tenant = %opened.keys.home.tenant, %error, "segments that were written anew can't be brought here; the next round tries again");
            }
        });
    if let Err(error) = started {
        whose.succession.is_under_way.store(false, Ordering::SeqCst);
        tracing::warn!(%error, "no thread can be started; the next round tries again");
    }
}

/// Says that it is over, also where it ends by a defect.
struct Ended<'a>(&'a Succession);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.is_under_way.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[path = "succession_tests.rs"]
mod tests;
