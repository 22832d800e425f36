//! What a node has on its disk of objects that are not listed any more, and up to which change of a catalog it has nothing of them. Reads no catalog: it is told what was read.
//!
//! *Why no copy of an object survives that a node says it has none of.* Who reads or brings an object, or writes rows that it reads, holds a [`Use`] from before it reads the catalog until it has the object, or has listed or given up
//! what it wrote; uses are numbered. A look before each reading of the lists notes the number that the next use gets, the earliest use under way, the files that are here, and the objects that the process knows of or is putting. What is not
//! in the list that is read then, and was here or known at the look and is not one that is being put, was listed before and never will be again: it is forgotten, so that nobody here is given it or brings it any more, and looked for on the disk. Uses from the number of an
//! earlier look on read the catalog after the reading before that look, and so bring nothing that was not listed by then; once all uses before that number had ended at a later look, what they brought was among its files. So after that look is done the node has
//! nothing of what was not listed by that reading, and never gets any.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::objects::cache::Cache;
use crate::storage::objects::key::{Home, ObjectKey};

/// Looks that wait for uses to end. Where there are more, the last ones count for nothing.
const STEPS_MAX: usize = 1_024;

/// The copies of a node. Clones share everything.
#[derive(Clone)]
pub struct Copies {
    cache: Cache,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next_use: u64,
    /// Those under way, with whose objects they are.
    uses: BTreeMap<u64, Home>,
    /// Objects that are put and not listed yet, as far as is known.
    making: HashSet<ObjectKey>,
    /// Files that were to be put and could not be destroyed.
    litter: Vec<PathBuf>,
    /// Objects that were read as listed ones.
    known: HashSet<ObjectKey>,
    homes: HashMap<Home, Standing>,
}

/// How far it is with one tenant.
#[derive(Default)]
struct Standing {
    /// The changes of the catalog by the last reading.
    read: u64,
    /// Of looks, from the earliest on: uses from the first number on read the catalog when it had the second number of changes.
    steps: VecDeque<(u64, u64)>,
    tidy: u64,
}

/// Objects are read, or written, by somebody.
pub struct Use {
    number: u64,
    state: Arc<Mutex<State>>,
}

/// What was here before the lists are read.
pub struct Look {
    next_use: u64,
    earliest: HashMap<Home, u64>,
    here: HashMap<Home, HashSet<ObjectKey>>,
    making: HashSet<ObjectKey>,
}

impl Copies {
    pub(super) fn of(cache: &Cache) -> Self {
        Self {
            cache: cache.clone(),
            state: Arc::default(),
        }
    }

    /// Somebody is about to read the catalog for objects, or for rows that are written into one.
    pub fn begin(&self, home: &Home) -> Use {
        let mut state = self.state.lock();
        let number = state.next_use;
        state.next_use += 1;
        state.uses.insert(number, home.clone());
        Use {
            number,
            state: Arc::clone(&self.state),
        }
    }

    /// An object was read to be listed. To be called within a use.
    pub(super) fn know(&self, key: ObjectKey) {
        self.state.lock().known.insert(key);
    }

    /// An object is about to be put.
    pub(super) fn make(&self, key: ObjectKey) {
        self.state.lock().making.insert(key);
    }

    /// Destroys a file that was to be put. Where that fails it is tried again by each look, before which nothing is tidy.
    pub(super) fn destroy(&self, file: &Path) {
        if let Err(error) = durable::destroy_file(file) {
            tracing::warn!(%error, "a file that was not put can't be destroyed; the next round tries again");
            self.state.lock().litter.push(file.to_owned());
        }
    }

    /// An object that was put is listed, or never will be.
    pub(super) fn settle(&self, key: &ObjectKey) {
        self.state.lock().making.remove(key);
    }

    /// What was put is not this process's to list any more, and may be listed already. Its copy goes; where it is listed it is fetched again.
    pub(super) fn give_up(&self, key: &ObjectKey) {
        self.settle(key);
        if let Err(error) = self.cache.let_go(key) {
            tracing::warn!(object = %key, %error, "a copy can't be destroyed; a later round tries again");
        }
    }

    /// The objects of which there is a copy.
    pub fn here(&self) -> HashSet<ObjectKey> {
        self.cache.keys().into_iter().collect()
    }

    /// To be taken before lists are read.
    pub fn look(&self) -> Look {
        let (next_use, earliest) = {
            let state = self.state.lock();
            let mut earliest = HashMap::new();
            for (number, home) in &state.uses {
                earliest.entry(home.clone()).or_insert(*number);
            }
            (state.next_use, earliest)
        };
        let mut here: HashMap<Home, HashSet<ObjectKey>> = HashMap::new();
        let files = self.cache.keys();
        // After the files: what is being put is known before there is a file of it.
        let state = self.state.lock();
        for key in files.into_iter().chain(state.known.iter().cloned()) {
            here.entry(key.home.clone()).or_default().insert(key);
        }
        Look {
            next_use,
            earliest,
            here,
            making: state.making.clone(),
        }
    }

    /// Destroys what was here and is not listed, by a reading after the look with so many changes of the catalog; but for what is `staying`, without which it is not tidy. Gives up to which
    /// change it is tidy now.
    pub fn tidy_up(
        &self,
        look: &Look,
        home: &Home,
        (listed, staying): (&HashSet<ObjectKey>, &HashSet<ObjectKey>),
        commits: u64,
    ) -> u64 {
        let here = look.here.get(home).into_iter().flatten();
        let mut is_clean = self.sweep();
        for key in here.filter(|key| !listed.contains(*key) && !look.making.contains(*key)) {
            if staying.contains(key) {
                is_clean = false;
                continue;
            }
            if let Err(error) = self.cache.forget(key) {
                tracing::warn!(object = %key, %error, "a copy of an object that is not listed any more can't be destroyed; the next round tries again");
            }
            if self.cache.is_gone(key) {
                self.state.lock().known.remove(key);
            } else {
                is_clean = false;
            }
        }
        let mut state = self.state.lock();
        let standing = state.homes.entry(home.clone()).or_default();
        let step = (look.next_use, standing.read);
        // No use began since a look of the same number.
        standing.steps.pop_back_if(|(from, _)| *from == step.0);
        if standing.steps.len() < STEPS_MAX {
            standing.steps.push_back(step);
        }
        standing.read = commits;
        if is_clean {
            let earliest = look.earliest.get(home).copied().unwrap_or(look.next_use);
            while let Some((_, read)) = standing.steps.pop_front_if(|(from, _)| *from <= earliest) {
                standing.tidy = standing.tidy.max(read);
            }
        }
        standing.tidy
    }

    /// Whether no file is left that was to be destroyed.
    fn sweep(&self) -> bool {
        let mut state = self.state.lock();
        state.litter.retain(|file| durable::destroy_file(file).is_err());
        state.litter.is_empty()
    }

    /// Lets go of all copies of a tenant's objects; false where somebody still reads or writes one.
    pub fn clear(&self, home: &Home) -> Result<bool, StorageError> {
        if self.state.lock().uses.values().any(|of| of == home) {
            return Ok(false);
        }
        let mut theirs = self.cache.keys();
        theirs.retain(|key| key.home == *home);
        let mut is_clear = true;
        for key in &theirs {
            self.cache.let_go(key)?;
            is_clear &= self.cache.is_gone(key);
        }
        Ok(is_clear)
    }

    /// Lets go of all copies of objects that are of no tenant of these.
    pub fn keep_only(&self, homes: &BTreeSet<Home>) -> Result<(), StorageError> {
        let mut others = self.cache.keys();
        others.retain(|key| !homes.contains(&key.home));
        others.iter().try_for_each(|key| self.cache.let_go(key))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.state.lock().uses.remove(&self.number);
    }
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
