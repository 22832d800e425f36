//! The cache against a model, through random uses, crashes and restarts: never above its limit, never another's bytes, never what was forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::cache::{Cache, Pin};
use super::error::ObjectError;
use super::key::ObjectKey;
use super::testing::{Yard, listed};
use crate::storage::error::StorageError;
use crate::storage::segment::format::file_name;
use crate::storage::testing::copy_tree;

/// Segments and their rows; each has another length.
const SEGMENTS: usize = 5;
/// The largest three don't fit at once.
const FITTING: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    /// Gets a segment and keeps the pin.
    Pin(usize),
    /// Gets a segment and lets go of it.
    Touch(usize),
    /// Lets go of the pin that is held for longest.
    Unpin,
    /// Takes in a file of a segment that was finished here.
    Adopt(usize),
    /// Removes a segment from the store and forgets it.
    Forget(usize),
    /// The same, where its file can't be destroyed for some time.
    ForgetStuck(usize),
    /// Changes a byte of a file that nobody reads, and distrusts it; one that somebody reads is well.
    Distrust(usize, prop::sample::Index),
    /// Lets go of everything and opens the cache again.
    Restart,
    /// Opens a copy of the directory as it is now, which is what a crash leaves.
    Crash,
    /// Changes a byte of a file in the cache, while it is closed.
    Spoil(usize, prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let segment = 0..SEGMENTS;
    let step = prop_oneof![
        4 => segment.clone().prop_map(Step::Pin),
        4 => segment.clone().prop_map(Step::Touch),
        3 => Just(Step::Unpin),
        3 => segment.clone().prop_map(Step::Adopt),
        1 => segment.clone().prop_map(Step::Forget),
        1 => segment.clone().prop_map(Step::ForgetStuck),
        1 => (segment.clone(), any::<prop::sample::Index>())
            .prop_map(|(segment, at)| Step::Distrust(segment, at)),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => (segment, any::<prop::sample::Index>()).prop_map(|(segment, at)| Step::Spoil(segment, at)),
    ];
    prop::collection::vec(step, 1..40)
}

struct World {
    yard: Yard,
    keys: Vec<ObjectKey>,
    bytes_max: u64,
    dir: PathBuf,
    cache: Option<Cache>,
    pins: Vec<(usize, Pin)>,
    forgotten: BTreeSet<usize>,
    crashes: usize,
}

fn rows_of(segment: usize) -> u32 {
    100 + u32::try_from(segment).expect("few")
}

impl World {
    fn new() -> Self {
        let yard = Yard::new();
        let keys: Vec<ObjectKey> = (0..SEGMENTS)
            .map(|segment| yard.stored(rows_of(segment)))
            .collect();
        let len = |key| fs::metadata(yard.object(key)).expect("there").len();
        let bytes_max = keys.iter().rev().take(FITTING).map(len).sum();
        let dir = yard.path("cache");
        let mut world = Self {
            yard,
            keys,
            bytes_max,
            dir,
            cache: None,
            pins: Vec::new(),
            forgotten: BTreeSet::new(),
            crashes: 0,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let cache = Cache::open(&self.yard.store, &self.dir, self.bytes_max, 1);
        self.cache = Some(cache.expect("opened"));
    }

    fn close(&mut self) {
        self.pins.clear();
        self.cache = None;
    }

    fn cache(&self) -> &Cache {
        self.cache.as_ref().expect("open between steps")
    }

    fn key(&self, segment: usize) -> &ObjectKey {
        self.keys.get(segment).expect("a segment")
    }

    /// Where the cache has a segment.
    fn file(&self, segment: usize) -> PathBuf {
        self.dir.join(self.key(segment).to_string())
    }

    fn is_pinned(&self, segment: usize) -> bool {
        self.pins.iter().any(|(pinned, _)| *pinned == segment)
    }

    fn get(&self, segment: usize) -> Option<Pin> {
        let key = self.key(segment);
        match self.cache().get(&listed(key, rows_of(segment))) {
            Ok(pin) => {
                assert!(
                    !self.forgotten.contains(&segment),
                    "what was forgotten is never served"
                );
                pin.reader().copy(|_| Ok(())).expect("what is served is whole");
                Some(pin)
            }
            Err(StorageError::Object(ObjectError::Forgotten { .. } | ObjectError::Missing { .. })) => {
                assert!(self.forgotten.contains(&segment), "what is there is served");
                None
            }
            Err(StorageError::Object(ObjectError::CacheFull { .. })) => {
                let pinned: BTreeSet<usize> = self.pins.iter().map(|(segment, _)| *segment).collect();
                assert!(
                    pinned.len() >= FITTING - 1 && !pinned.contains(&segment),
                    "there was room"
                );
                None
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Pin(segment) => {
                let pin = self.get(segment);
                self.pins.extend(pin.map(|pin| (segment, pin)));
            }
            Step::Touch(segment) => drop(self.get(segment)),
            Step::Unpin if self.pins.is_empty() => {}
            Step::Unpin => drop(self.pins.remove(0)),
            // A key is put once, and so before it is forgotten.
            Step::Adopt(segment) if self.forgotten.contains(&segment) => {}
            Step::Adopt(segment) => self.adopt(segment),
            Step::Forget(segment) => self.forget(segment).expect("forgotten"),
            Step::ForgetStuck(segment) => self.forget_stuck(segment),
            Step::Distrust(segment, at) => {
                if !self.is_pinned(segment) {
                    spoil(&self.file(segment), at);
                }
                self.cache().distrust(self.key(segment));
            }
            Step::Restart => {
                self.close();
                self.open();
            }
            Step::Crash => {
                self.crashes += 1;
                let copy = self.yard.path(&format!("crash-{}", self.crashes));
                copy_tree(&self.dir, &copy);
                self.close();
                self.dir = copy;
                self.open();
            }
            Step::Spoil(segment, at) => {
                self.close();
                spoil(&self.file(segment), at);
                self.open();
            }
        }
    }

    fn adopt(&self, segment: usize) {
        let key = self.key(segment);
        // The file from which it was stored.
        let file = self.yard.path(&file_name(key.ulid));
        let finished = self.yard.path("finished");
        fs::copy(file, &finished).expect("copied");
        let was_here = self.file(segment).exists();
        let adopted = self.cache().adopt(&listed(key, rows_of(segment)), &finished);
        adopted.expect("taken in, or not");
        assert!(!finished.exists());
        if !was_here && self.pins.is_empty() {
            assert!(self.file(segment).exists(), "there was room");
        }
    }

    fn forget(&mut self, segment: usize) -> Result<(), StorageError> {
        let key = self.key(segment);
        self.yard.store.delete(key).expect("deleted");
        self.forgotten.insert(segment);
        self.cache().forget(self.key(segment))
    }

    fn forget_stuck(&mut self, segment: usize) {
        let file = self.file(segment);
        if !file.exists() {
            return;
        }
        // In a directory that has its name.
        let aside = self.yard.path("aside");
        fs::rename(&file, &aside).expect("moved");
        fs::create_dir(&file).expect("made");
        fs::rename(&aside, file.join("file")).expect("moved");
        assert_eq!(self.forget(segment).is_ok(), self.is_pinned(segment));
        self.pins.retain(|(pinned, _)| *pinned != segment);
        assert!(!self.cache().is_gone(self.key(segment)));
        assert_eq!(
            (self.cache().stats().files, self.cache().stats().bytes),
            files_below(&self.dir)
        );
        let doomed = file.with_extension("forgotten");
        fs::rename(doomed.join("file"), &aside).expect("moved");
        fs::remove_dir(&doomed).expect("removed");
        fs::rename(&aside, &doomed).expect("moved");
        self.forget(segment).expect("destroyed");
    }

    /// What holds after each step.
    fn check(&self) {
        let stats = self.cache().stats();
        assert!(stats.bytes <= self.bytes_max);
        let (files, bytes) = files_below(&self.dir);
        assert_eq!(
            (stats.files, stats.bytes),
            (files, bytes),
            "what is counted is what is there"
        );
        for (segment, pin) in &self.pins {
            let last = rows_of(*segment) - 1;
            let rows = pin.rows(&[last]).expect("a pinned file is whole");
            let row = rows.first().and_then(Option::as_ref).expect("no hole");
            assert_eq!(row.id.reference, u64::from(last) + 1);
        }
        for segment in &self.forgotten {
            let file = self.file(*segment);
            let is_gone = !file.exists() && !file.with_extension("forgotten").exists();
            assert_eq!(is_gone, !self.is_pinned(*segment));
            assert_eq!(self.cache().is_gone(self.key(*segment)), is_gone);
        }
    }
}

/// Changes a byte of a file, if it is there.
fn spoil(file: &Path, at: prop::sample::Index) {
    if let Ok(mut bytes) = fs::read(file) {
        let at = at.index(bytes.len());
        *bytes.get_mut(at).expect("within it") ^= 1;
        fs::write(file, bytes).expect("written");
    }
}

/// Files in a directory and below and their bytes, without what a cache has of its own.
fn files_below(dir: &Path) -> (usize, u64) {
    let mut sum = (0, 0);
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("readable").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if path.is_dir() {
            let (files, bytes) = files_below(&path);
            sum = (sum.0 + files, sum.1 + bytes);
        } else if !["LOCK", "CACHE"].contains(&name) {
            sum = (sum.0 + 1, sum.1 + fs::metadata(&path).expect("there").len());
        }
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_cache_keeps_to_its_rules_whatever_happens(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
