//! What a text says, held in memory and changed together with it: a change of many machines is a loop over comparing exchanges. Knows no form of its own.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustix::io::Errno;

use super::error::KeyError;
use super::text::{FIRST_VERSION, Text, TextStore};

/// How often a change is tried while others are faster. Each time somebody's change was done.
const TRIES: usize = 200;

/// How a text is read and written.
pub(super) trait Form {
    /// What it says.
    type Body: Clone;

    /// Reads a text, and authenticates it.
    fn parse(&self, text: &str, store: &dyn TextStore) -> Result<Self::Body, KeyError>;

    /// The text of a body.
    fn text(&self, body: &Self::Body) -> String;
}

/// What came of one look at a body that is to be changed.
pub(super) enum Done<T> {
    /// It is changed, and is to be written.
    Changed(T),
    /// Nothing is to be done.
    Same(T),
}

/// A body as it was last read or written. Any number of threads may use it; changes go one at a time.
pub(super) struct Held<F: Form> {
    store: Arc<dyn TextStore>,
    form: F,
    now: RwLock<Now<F::Body>>,
    /// Who changes it. Readers go on meanwhile.
    changing: Mutex<()>,
}

struct Now<B> {
    body: B,
    version: u64,
}

impl<F: Form> Held<F> {
    /// Writes a first text. One that is there already is refused.
    pub(super) fn create(store: Arc<dyn TextStore>, form: F, body: F::Body) -> Result<Self, KeyError> {
        if !store.create(&form.text(&body))? {
            return Err(KeyError::io(store.path())(Errno::EXIST.into()));
        }
        Ok(Self::of(store, form, body, FIRST_VERSION))
    }

    /// Reads a text. One that is not there is an error.
    pub(super) fn open(store: Arc<dyn TextStore>, form: F) -> Result<Self, KeyError> {
        let Text { text, version } = found(&*store)?;
        let body = form.parse(&text, &*store)?;
        Ok(Self::of(store, form, body, version))
    }

    /// Of a text that was read.
    pub(super) fn of(store: Arc<dyn TextStore>, form: F, body: F::Body, version: u64) -> Self {
        Self {
            store,
            form,
            now: RwLock::new(Now { body, version }),
            changing: Mutex::new(()),
        }
    }

    pub(super) fn store(&self) -> &dyn TextStore {
        &*self.store
    }

    pub(super) fn form(&self) -> &F {
        &self.form
    }

    /// Looks at what is in memory.
    pub(super) fn with<T>(&self, look: impl FnOnce(&F::Body) -> T) -> T {
        look(&self.now.read().body)
    }

    /// Looks at what is in memory, and where others may have changed it and nothing is found, at what is kept.
    pub(super) fn find<T>(
        &self,
        look: impl Fn(&F::Body) -> Result<Option<T>, KeyError>,
    ) -> Result<Option<T>, KeyError> {
        let found = self.with(&look)?;
        if found.is_some() || !self.store.is_shared() {
            return Ok(found);
        }
        self.refresh()?;
        self.with(look)
    }

    /// Reads what others have changed; reads nothing where nobody has. Gives the version that is in memory then.
    pub(super) fn refresh(&self) -> Result<u64, KeyError> {
        let held = self.now.read().version;
        if !self.store.is_shared() || self.store.version()? == Some(held) {
            return Ok(held);
        }
        self.read(held)
    }

    /// Reads it, which is at least as new as what was there before.
    fn read(&self, seen: u64) -> Result<u64, KeyError> {
        let Text { text, version } = found(&*self.store)?;
        if version < seen {
            return Err(KeyError::Damaged {
                path: self.store.path().to_owned(),
                problem: format!("it is version {version}, and {seen} was there before"),
            });
        }
        let body = self.form.parse(&text, &*self.store)?;
        Ok(self.take(body, version))
    }

    /// What comes late from another thread's reading changes nothing.
    fn take(&self, body: F::Body, version: u64) -> u64 {
        let mut now = self.now.write();
        if version > now.version {
            *now = Now { body, version };
        }
        now.version
    }

    /// Changes it. `change` is asked again where somebody was faster, with what is there then; it may find there what it did itself. Durable, and the former content gone, when
    /// this returns, also where nothing was to be done.
    pub(super) fn change<T>(
        &self,
        mut change: impl FnMut(&mut F::Body) -> Result<Done<T>, KeyError>,
    ) -> Result<T, KeyError> {
        let _alone = self.changing.lock();
        self.refresh()?;
        for _ in 0..TRIES {
            let (mut body, version) = {
                let now = self.now.read();
                (now.body.clone(), now.version)
            };
            match change(&mut body)? {
                Done::Same(told) => {
                    if self.store.is_shared() {
                        self.store.settle()?;
                    }
                    return Ok(told);
                }
                Done::Changed(told) => {
                    if self.store.replace(version, &self.form.text(&body))? {
                        self.take(body, version + 1);
                        return Ok(told);
                    }
                    self.read(version)?;
                }
            }
        }
        Err(KeyError::Contended {
            path: self.store.path().to_owned(),
            tries: TRIES,
        })
    }
}

fn found(store: &dyn TextStore) -> Result<Text, KeyError> {
    let missing = || KeyError::io(store.path())(Errno::NOENT.into());
    store.read()?.ok_or_else(missing)
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
