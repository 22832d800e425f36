//! A rotation of a tenant's keys in a cluster, by one of its nodes: each segment is copied into an object that is sealed with the next key, beside the present ones, and then all of them take their places in one transaction. Makes no key, and holds
//! nobody up; knows no keyring.
//!
//! Segments keep their numbers, rows theirs, tombstones what they mean. What is written or rewritten while others are copied is copied too, until at a moment nothing has come. Several nodes may do it at once: one of them is the first,
//! and the others are told. Cut off before that moment it leaves objects of its own that nobody lists ([`SharedCatalog::unlisted`]); the former ones are such after it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use ulid::Ulid;

use super::segments::{SegmentKeys, Segments};
use super::{SegmentObject, SharedCatalog};
use crate::keys::epochs::Epochs;
use crate::storage::catalog::postgres::rotate::NextKeys;
use crate::storage::error::StorageError;
use crate::storage::objects::error::ObjectError;
use crate::storage::rotate::Convert;

/// How often what has come meanwhile is copied, until the rotation is given up.
const ROUNDS_MAX: usize = 32;

/// What a tenant is sealed with from a rotation on.
pub struct Next {
    /// The data key, and the generation that it begins.
    pub keys: SegmentKeys,
    /// The keys of that generation's epochs.
    pub epochs: Arc<dyn Epochs>,
    /// What becomes of the rows, if anything.
    pub convert: Option<Arc<dyn Convert>>,
}

/// The segments that are copied.
struct Copies<'a> {
    catalog: &'a SharedCatalog,
    segments: &'a Segments,
    next: &'a Next,
    asks: &'a Asks<'a>,
    /// By number: what was copied, and the copy.
    done: BTreeMap<u32, (Ulid, SegmentObject)>,
}

/// What a rotation asks of whoever has it done.
pub struct Asks<'a> {
    /// Before each segment is read whether it goes on, and the node is among those that a purge waits for; an error ends the rotation.
    pub goes_on: &'a dyn Fn() -> Result<(), StorageError>,
    /// To find out later whether an object is listed that was put with the next keys.
    pub in_doubt: &'a dyn Fn(Ulid),
}

/// Rotates the keys of a tenant that these open. The next keys count when it returns well; `false` where another node was faster, with the same keys or others. On an error the former do, unless it says that nobody knows.
pub fn rotate(
    catalog: &SharedCatalog,
    segments: &Segments,
    (keys, next): (&SegmentKeys, &Next),
    asks: &Asks<'_>,
) -> Result<bool, StorageError> {
    // From before the first reading until each object is listed or given up.
    let _writing = segments.copies().begin(&keys.home);
    let mut copies = Copies {
        catalog,
        segments,
        next,
        asks,
        done: BTreeMap::new(),
    };
    let turned = catch_unwind(AssertUnwindSafe(|| copies.turn(keys)));
    let is_listed = matches!(turned, Ok(Ok(())));
    for (_, object) in std::mem::take(&mut copies.done).into_values() {
        copies.end(object.ulid, is_listed);
    }
    match turned.unwrap_or_else(|defect| resume_unwind(defect)) {
        Ok(()) => Ok(true),
        // By whom it was done finds out whoever looks again. What is listed by then does not open by the former keys.
        Err(error) => match catalog.key_generation_now() {
            Ok(now) if now > keys.generation => Ok(false),
            _ => Err(error),
        },
    }
}

impl Copies<'_> {
    fn turn(&mut self, keys: &SegmentKeys) -> Result<(), StorageError> {
        let mut rounds = 0;
        loop {
            rounds += 1;
            self.copy(keys)?;
            let next = NextKeys {
                epochs: &*self.next.epochs,
                objects: &self.done,
                convert: self.next.convert.as_deref(),
            };
            match self.catalog.change_over(&next) {
                Err(StorageError::RowsMoved(_)) if rounds < ROUNDS_MAX => {}
                turned => return turned,
            }
        }
    }

    /// Copies what is not copied yet, or was written anew since.
    fn copy(&mut self, keys: &SegmentKeys) -> Result<(), StorageError> {
        let listed = self.catalog.all_objects()?;
        let unlisted = self.done.extract_if(.., |number, _| !listed.contains_key(number));
        for (_, (_, copy)) in unlisted.collect::<Vec<_>>() {
            self.end(copy.ulid, false);
        }
        for (number, object) in listed {
            (self.asks.goes_on)()?;
            match self.done.get(&number) {
                Some((from, _)) if *from == object.ulid => continue,
                Some((_, copy)) => {
                    let stale = copy.ulid;
                    self.done.remove(&number);
                    self.end(stale, false);
                }
                None => {}
            }
            let mut intended = None;
            let copied = self.segments.renew(
                (keys, &self.next.keys),
                &object,
                self.next.convert.as_deref(),
                |ulid| {
                    intended = Some(ulid);
                    self.catalog.intend_with(ulid, self.next.keys.generation)
                },
            );
            match copied {
                Ok(copy) => {
                    self.done.insert(number, (object.ulid, copy));
                }
                // A purge has put another one in its place, which the next round copies.
                Err(StorageError::Object(ObjectError::Missing { .. } | ObjectError::Forgotten { .. }))
                    if intended.is_none() && self.holds_no_more(number, object.ulid)? => {}
                Err(error) => {
                    if let Some(ulid) = intended {
                        self.end(ulid, false);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether a segment is in another object than this one by now.
    fn holds_no_more(&self, number: u32, object: Ulid) -> Result<bool, StorageError> {
        let now = self.catalog.objects(&BTreeSet::from([number]))?;
        Ok(now.get(&number).is_none_or(|now| now.ulid != object))
    }

    /// What was put is listed, or is given up and deleted.
    fn end(&self, ulid: Ulid, is_listed: bool) {
        let keys = &self.next.keys;
        if is_listed {
            self.segments.settle(keys, ulid);
            return;
        }
        match self.catalog.abandon(ulid) {
            Ok(false) => self.segments.settle(keys, ulid),
            Ok(true) => {
                if let Err(error) = self.segments.discard(keys, ulid) {
                    let tenant = &keys.home.tenant;
                    tracing::warn!(%tenant, %error, "an object of a rotation that was not ended can't be deleted, and stays for a later purge");
                }
            }
            Err(_) => (self.asks.in_doubt)(ulid),
        }
    }
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
