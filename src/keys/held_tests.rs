//! Tests of what many machines change: what is held is found again in what others wrote, nothing is lost, and nothing that was destroyed comes back.

use std::path::Path;

use super::*;
use crate::keys::epochs::{EpochKeys, Epochs};
use crate::keys::keyring::{Keks, Keyring, Purpose, Renewable};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;

/// A text in memory that machines share.
#[derive(Default)]
struct SharedText {
    now: Mutex<Option<Text>>,
    /// Comes before the next change, which is refused then.
    precedes: Mutex<Option<Box<dyn FnOnce() + Send + Sync>>>,
    /// Comes between the writing of the next change and its answer, which is then that others were faster.
    overtakes: Mutex<Option<Box<dyn FnOnce() + Send + Sync>>>,
    /// Whether others are always faster.
    is_restless: Mutex<bool>,
    settled: Mutex<usize>,
}

impl TextStore for SharedText {
    fn path(&self) -> &Path {
        Path::new("the shared text")
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn version(&self) -> Result<Option<u64>, KeyError> {
        Ok(self.now.lock().as_ref().map(|now| now.version))
    }

    fn read(&self) -> Result<Option<Text>, KeyError> {
        Ok(self.now.lock().clone())
    }

    fn create(&self, text: &str) -> Result<bool, KeyError> {
        let mut now = self.now.lock();
        if now.is_some() {
            return Ok(false);
        }
        let (text, version) = (text.to_owned(), FIRST_VERSION);
        *now = Some(Text { text, version });
        Ok(true)
    }

    fn replace(&self, version: u64, text: &str) -> Result<bool, KeyError> {
        let precedes = self.precedes.lock().take();
        if let Some(precedes) = precedes {
            precedes();
        }
        let mut now = self.now.lock();
        if *self.is_restless.lock() || now.as_ref().is_none_or(|now| now.version != version) {
            return Ok(false);
        }
        let (text, version) = (text.to_owned(), version + 1);
        *now = Some(Text { text, version });
        drop(now);
        let overtakes = self.overtakes.lock().take();
        let is_overtaken = overtakes.is_some();
        if let Some(overtakes) = overtakes {
            overtakes();
        }
        Ok(!is_overtaken)
    }

    fn settle(&self) -> Result<(), KeyError> {
        *self.settled.lock() += 1;
        Ok(())
    }

    fn destroy(&self) -> Result<(), KeyError> {
        *self.now.lock() = None;
        Ok(())
    }
}

fn kek() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

fn tenant(id: &str) -> TenantId {
    id.parse().expect("valid")
}

/// A text, and the keyrings of two machines that share it.
fn two() -> (Arc<SharedText>, Keyring, Arc<Keyring>) {
    let text = Arc::new(SharedText::default());
    let open = || Keyring::open_shared(Arc::clone(&text) as _, &kek(), false).expect("opened");
    let (one, other) = (open(), Arc::new(open()));
    (text, one, other)
}

fn make(keyring: &Keyring, id: &str) -> SecretKey {
    keyring.get_or_create(&tenant(id), Purpose::Data).expect("made")
}

fn get(keyring: &Keyring, id: &str) -> Option<SecretKey> {
    keyring.get(&tenant(id), Purpose::Data).expect("read")
}

#[test]
fn what_one_machine_makes_the_other_has() {
    let (_, one, other) = two();
    let key = make(&one, "acme");
    assert_eq!(get(&other, "acme").as_ref(), Some(&key));
    assert_eq!(make(&other, "acme"), key);
    assert!(one.signer().verify_entry("{}", &other.signer().sign_entry("{}")));
    let before = one.refresh().expect("read");
    make(&other, "other");
    assert_eq!(one.refresh().expect("read"), before + 1);
    let all = one.all(Purpose::Data).expect("opened");
    assert_eq!(
        all.keys().map(TenantId::as_str).collect::<Vec<_>>(),
        ["acme", "other"]
    );
    other.begin_drop(&tenant("acme")).expect("noted");
    one.refresh().expect("read");
    assert_eq!(one.all(Purpose::Data).expect("opened").len(), 1);
    assert!(one.is_dropped(&tenant("acme")));
}

#[test]
fn a_key_that_another_machine_destroyed_does_not_come_back() {
    let (text, one, other) = two();
    make(&one, "gone");
    assert!(get(&other, "gone").is_some());
    one.destroy(&tenant("gone")).expect("destroyed");
    // From what it holds, in which the key still is.
    make(&other, "new");
    let now = text.read().expect("read").expect("there");
    assert!(!now.text.contains("gone"));
    assert!(get(&other, "gone").is_none() && get(&one, "new").is_some());
}

#[test]
fn what_is_not_in_memory_is_destroyed_all_the_same() {
    let (text, one, other) = two();
    make(&one, "gone");
    other.destroy(&tenant("gone")).expect("destroyed");
    assert!(!text.read().expect("read").expect("there").text.contains("gone"));
    let settled = *text.settled.lock();
    other.destroy(&tenant("gone")).expect("nothing is left to do");
    assert_eq!(*text.settled.lock(), settled + 1, "it is looked that it is gone");
}

#[test]
fn a_change_that_somebody_built_on_is_found_and_not_done_twice() {
    let (text, one, other) = two();
    let after = Arc::clone(&other);
    *text.overtakes.lock() = Some(Box::new(move || drop(make(&after, "later"))));
    let key = make(&one, "acme");
    assert_eq!(get(&other, "acme"), Some(key));
    assert_eq!(get(&other, "later"), get(&one, "later"));
    assert!(get(&one, "later").is_some());
}

#[test]
fn a_tenant_that_was_made_anew_meanwhile_keeps_its_keys() {
    let (text, one, other) = two();
    let former = make(&one, "acme");
    let after = Arc::clone(&other);
    *text.overtakes.lock() = Some(Box::new(move || drop(make(&after, "acme"))));
    one.destroy(&tenant("acme")).expect("destroyed");
    let now = get(&one, "acme").expect("made anew");
    assert!(now != former && get(&other, "acme") == Some(now));
}

#[test]
fn a_drop_ends_what_has_its_mark_and_nothing_that_came_later() {
    let (_, one, other) = two();
    let acme = tenant("acme");
    assert_eq!(one.begin_drop(&acme).expect("nothing there"), None);
    make(&one, "acme");
    let mark = one.begin_drop(&acme).expect("noted").expect("has keys");
    assert_eq!(other.begin_drop(&acme).expect("noted").as_ref(), Some(&mark));
    other.end_drop_of(&acme, &mark).expect("ended");
    let anew = make(&other, "acme");
    one.end_drop_of(&acme, &mark).expect("it was ended before");
    assert_eq!(get(&one, "acme").as_ref(), Some(&anew));
    let next = other.begin_drop(&acme).expect("noted").expect("has keys");
    one.end_drop_of(&acme, &mark).expect("it was ended before");
    assert_eq!(get(&one, "acme"), Some(anew));
    one.end_drop_of(&acme, &next).expect("ended");
    one.end_drop(&acme).expect("nothing is left");
    assert!(get(&other, "acme").is_some(), "it has not read again");
    other.refresh().expect("read");
    assert!(get(&other, "acme").is_none() && get(&one, "acme").is_none());
}

#[test]
fn who_is_never_fast_enough_is_told_and_changes_nothing() {
    let (text, one, _) = two();
    *text.is_restless.lock() = true;
    let outcome = one.get_or_create(&tenant("acme"), Purpose::Data);
    assert!(matches!(outcome, Err(KeyError::Contended { .. })));
    *text.is_restless.lock() = false;
    assert!(get(&one, "acme").is_none());
    make(&one, "acme");
}

#[test]
fn a_text_that_is_older_than_what_was_seen_is_refused() {
    let (text, one, _) = two();
    let before = text.read().expect("read");
    make(&one, "acme");
    *text.now.lock() = before;
    assert!(matches!(one.refresh(), Err(KeyError::Damaged { .. })));
    assert!(one.get_or_create(&tenant("other"), Purpose::Data).is_err());
    text.destroy().expect("destroyed");
    assert!(one.refresh().is_err());
}

#[test]
fn no_keyring_is_made_where_tenants_have_keys_in_another() {
    let text = Arc::new(SharedText::default());
    let open = |has_tenants| Keyring::open_shared(Arc::clone(&text) as _, &kek(), has_tenants);
    assert!(matches!(open(true), Err(KeyError::KeyringMissing(_))));
    assert!(text.read().expect("read").is_none());
    make(&open(false).expect("made"), "acme");
    let opened = open(true).expect("it is there");
    assert!(get(&opened, "acme").is_some());
    let wrong = Keyring::open_shared(Arc::clone(&text) as _, &SecretKey::random(), false);
    assert!(matches!(wrong, Err(KeyError::WrongKek { .. })));
}

fn next_kek() -> SecretKey {
    SecretKey::from_bytes([10; 32])
}

/// The keyring of another machine that has both keys.
fn with_both(text: &Arc<SharedText>) -> Keyring {
    Keyring::open_shared(Arc::clone(text) as _, Keks::new(&kek(), Some(&next_kek())), true).expect("opened")
}

#[test]
fn machines_with_both_keys_go_on_while_one_wraps_the_keyring_anew() {
    let (text, former, _) = two();
    let key = make(&former, "acme");
    let (one, other) = (with_both(&text), with_both(&text));
    assert_eq!(get(&other, "acme").as_ref(), Some(&key), "by the present key");
    one.rewrap().expect("wrapped");
    let version = one.refresh().expect("read");
    other.rewrap().expect("it is");
    assert_eq!(one.refresh().expect("read"), version, "by whoever did it");
    // Each reads what the others write, and what it writes is wrapped by the next key.
    let made = make(&other, "made");
    let next = other.begin_rotation(&tenant("acme"), Renewable::Data);
    let next = next.expect("begun").expect("has keys");
    one.refresh().expect("read");
    one.end_rotation(&tenant("acme"), Renewable::Data, &next)
        .expect("ended");
    let alone = Keyring::open_shared(Arc::clone(&text) as _, &next_kek(), true).expect("it opens all");
    assert_eq!(get(&alone, "acme"), Some(next));
    assert_eq!(get(&alone, "made"), Some(made));
    assert!(
        alone
            .signer()
            .verify_entry("{}", &former.signer().sign_entry("{}"))
    );
    assert!(matches!(alone.rewrap(), Err(KeyError::NoNewKek)));
    // Who knows the former key alone keeps what it read, and is told.
    assert!(matches!(former.refresh(), Err(KeyError::WrongKek { .. })));
    assert_eq!(get(&former, "acme"), Some(key));
    let outcome = former.get_or_create(&tenant("late"), Purpose::Data);
    assert!(matches!(outcome, Err(KeyError::WrongKek { .. })));
    let wrong = Keyring::open_shared(Arc::clone(&text) as _, &kek(), true);
    assert!(matches!(wrong, Err(KeyError::WrongKek { .. })));
}

#[test]
fn who_wraps_the_keyring_anew_loses_no_change_of_others() {
    let (text, former, _) = two();
    make(&former, "acme");
    let (one, other) = (with_both(&text), with_both(&text));
    let made = Arc::new(Mutex::new(None));
    let to = Arc::clone(&made);
    *text.precedes.lock() = Some(Box::new(move || *to.lock() = Some(make(&other, "made"))));
    one.rewrap().expect("wrapped");
    let alone = Keyring::open_shared(Arc::clone(&text) as _, &next_kek(), true).expect("it opens all");
    assert!(made.lock().is_some() && get(&alone, "made") == *made.lock());
    assert!(get(&alone, "acme").is_some());
}

#[test]
fn keys_that_were_wrapped_anew_meanwhile_are_destroyed_all_the_same() {
    let (text, former, _) = two();
    make(&former, "gone");
    let (one, other) = (with_both(&text), with_both(&text));
    *text.precedes.lock() = Some(Box::new(move || other.rewrap().expect("wrapped")));
    one.destroy(&tenant("gone")).expect("destroyed");
    assert!(!text.read().expect("read").expect("there").text.contains("gone"));
}

#[test]
fn the_key_of_the_next_epoch_is_in_memory_before_another_machine_begins_it() {
    let text = Arc::new(SharedText::default());
    let data_key = SecretKey::from_bytes([1; 32]);
    let one = EpochKeys::create_in(Arc::clone(&text) as _, &data_key, [7; 16]).expect("made");
    let other = EpochKeys::open_in(Arc::clone(&text) as _, &data_key).expect("opened");
    for epoch in 2..5 {
        assert!(!other.may_look_ahead(epoch - 1));
        let (began, key) = one.begin(epoch - 1).expect("begun");
        assert_eq!(began, epoch);
        one.end_before(epoch).expect("ended");
        assert_eq!(
            other.known(epoch).expect("opens"),
            Some(key),
            "nothing was read since"
        );
        assert!(other.may_look_ahead(epoch));
        other.look_ahead().expect("read");
        assert_eq!(other.known(epoch - 1).expect("opens"), None);
    }
    // Whoever was given a number has it alone, whatever became of it.
    let numbers = [&one, &other, &one].map(|keys| keys.begin(4).expect("begun").0);
    assert_eq!(numbers, [5, 6, 7]);
    // One that is ahead of all that is there begins after it.
    assert_eq!(other.begin(20).expect("begun").0, 21);
}

#[test]
fn epochs_that_machines_begin_and_end_are_those_of_all() {
    let text = Arc::new(SharedText::default());
    let data_key = SecretKey::from_bytes([1; 32]);
    let one = EpochKeys::create_in(Arc::clone(&text) as _, &data_key, [7; 16]).expect("made");
    let other = EpochKeys::open_in(Arc::clone(&text) as _, &data_key).expect("opened");
    let (second, key) = one.begin(1).expect("begun");
    assert_eq!(other.read(second).expect("read").as_ref(), Some(&key));
    let begun = [one.begin(1), other.begin(1), one.begin(1)];
    let begun = begun.map(|begun| begun.expect("begun").0);
    assert_eq!(begun, [3, 4, 5], "each has a number of its own");
    other.end_before(5).expect("ended");
    let settled = *text.settled.lock();
    one.end_before(5).expect("it was ended");
    assert_eq!(*text.settled.lock(), settled + 1, "it is looked that it is gone");
    for keys in [&one, &other] {
        assert_eq!(keys.read(4).expect("read"), None);
        assert!(keys.read(5).expect("read").is_some());
    }
}
