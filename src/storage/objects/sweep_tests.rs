//! Tests of the sweeper: what is listed stays whoever is faster, and what was left goes.

use std::cell::RefCell;

use ulid::Ulid;

use super::*;
use crate::storage::objects::testing::{ROWS, Yard, home, object_key, written};

const GRACE: Duration = Duration::from_hours(24);

/// What another does amid a sweep.
type Meanwhile = Box<dyn FnOnce(&Catalog)>;

/// A catalog in memory.
#[derive(Default)]
struct Catalog {
    listed: RefCell<BTreeSet<ObjectKey>>,
    intents: RefCell<Vec<Intent>>,
    /// Done by another after the sweeper has looked at intents so many times more.
    between: RefCell<Option<(usize, Meanwhile)>>,
}

impl Catalog {
    fn intend(&self, key: &ObjectKey, is_abandoned: bool) {
        let key = key.clone();
        self.intents.borrow_mut().push(Intent { key, is_abandoned });
    }

    /// What a writer does in the end; `false` where its intent is gone.
    fn list(&self, key: &ObjectKey) -> bool {
        let is_intended = self.withdraw(key).expect("in memory");
        if is_intended {
            self.listed.borrow_mut().insert(key.clone());
        }
        is_intended
    }

    fn after_look(&self, look: usize, work: impl FnOnce(&Catalog) + 'static) {
        *self.between.borrow_mut() = Some((look, Box::new(work)));
    }
}

impl Intents for Catalog {
    fn listed(&self, _home: &Home) -> Result<BTreeSet<ObjectKey>, StorageError> {
        Ok(self.listed.borrow().clone())
    }

    fn intents(&self, _home: &Home) -> Result<Vec<Intent>, StorageError> {
        let found = self.intents.borrow().clone();
        match self.between.take() {
            Some((1, work)) => work(self),
            Some((looks, work)) => *self.between.borrow_mut() = Some((looks - 1, work)),
            None => {}
        }
        Ok(found)
    }

    fn withdraw(&self, key: &ObjectKey) -> Result<bool, StorageError> {
        let mut intents = self.intents.borrow_mut();
        let before = intents.len();
        intents.retain(|intent| intent.key != *key);
        Ok(intents.len() < before)
    }
}

/// Now, as it will be when the grace time of all that is there is over.
fn later() -> (Timestamp, Duration) {
    (Timestamp::now().plus(GRACE * 2), GRACE)
}

#[test]
fn what_is_listed_stays_and_what_nobody_knows_goes_after_its_time() {
    let yard = Yard::new();
    let (listed, unknown) = (yard.stored(ROWS), yard.stored(ROWS));
    let catalog = Catalog::default();
    catalog.listed.borrow_mut().insert(listed.clone());
    let swept = sweep(&yard.store, &catalog, &home(), (Timestamp::now(), GRACE)).expect("swept");
    assert_eq!((swept.removed.len(), swept.young), (0, 1));
    let swept = sweep(&yard.store, &catalog, &home(), later()).expect("swept");
    assert_eq!(swept.removed, [unknown]);
    let left = yard.store.list(&home()).expect("listed");
    assert_eq!(
        left.into_iter().map(|info| info.key).collect::<Vec<_>>(),
        [listed]
    );
}

#[test]
fn what_is_intended_stays_however_old_and_goes_when_its_writer_is_gone_however_young() {
    let yard = Yard::new();
    let (slow, gone) = (yard.stored(ROWS), yard.stored(ROWS));
    let never_written = object_key(Ulid::generate());
    let catalog = Catalog::default();
    catalog.intend(&slow, false);
    catalog.intend(&gone, true);
    catalog.intend(&never_written, true);
    let swept = sweep(&yard.store, &catalog, &home(), later()).expect("swept");
    assert_eq!(swept.removed, [gone.clone(), never_written]);
    assert!(catalog.list(&slow), "its writer comes to its end");
    assert!(
        !catalog.list(&gone),
        "its writer finds its intent gone and lists nothing"
    );
    assert!(yard.store.head(&slow).expect("reached").is_some());
}

#[test]
fn a_writer_that_was_taken_for_gone_and_is_faster_keeps_its_object() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let catalog = Catalog::default();
    catalog.intend(&key, true);
    let listing = key.clone();
    catalog.after_look(1, move |catalog| assert!(catalog.list(&listing)));
    let swept = sweep(&yard.store, &catalog, &home(), later()).expect("swept");
    assert_eq!(swept, Swept::default());
    assert!(yard.store.head(&key).expect("reached").is_some());
}

#[test]
fn an_object_that_comes_after_its_intent_was_swept_goes_with_the_next() {
    let yard = Yard::new();
    let (key, file) = written(yard.tmp.path(), ROWS);
    let catalog = Catalog::default();
    catalog.intend(&key, true);
    let swept = sweep(&yard.store, &catalog, &home(), later()).expect("swept");
    assert_eq!(swept.removed.as_slice(), std::slice::from_ref(&key));
    yard.store
        .put(&key, &file)
        .expect("stored by a writer that woke up");
    assert!(!catalog.list(&key));
    let swept = sweep(&yard.store, &catalog, &home(), later()).expect("swept");
    assert_eq!(swept.removed.as_slice(), std::slice::from_ref(&key));
    assert_eq!(yard.store.head(&key).expect("reached"), None);
}

#[test]
fn an_object_that_is_listed_amid_a_sweep_stays() {
    let yard = Yard::new();
    for look in [1, 2] {
        let key = yard.stored(ROWS);
        let catalog = Catalog::default();
        catalog.intend(&key, false);
        let listing = key.clone();
        catalog.after_look(look, move |catalog| assert!(catalog.list(&listing)));
        let swept = sweep(&yard.store, &catalog, &home(), later()).expect("swept");
        assert!(!swept.removed.contains(&key), "listed after look {look}");
        assert!(yard.store.head(&key).expect("reached").is_some());
        yard.store.delete(&key).expect("deleted");
    }
}
