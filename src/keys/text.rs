//! Where one small text is kept whole, is read, and is exchanged by comparing: a file of one process, or what many machines share. Knows no keys, and opens nothing.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::error::KeyError;
use super::file;

/// The version that a text begins with.
pub const FIRST_VERSION: u64 = 1;

/// A text as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    /// All of it.
    pub text: String,
    /// Which of those that there were. Each change of a text makes it one more.
    pub version: u64,
}

/// It holds wrapped keys, which nobody needs to see.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, version {}", self.text.len(), self.version)
    }
}

/// Keeps one text. Calls block.
///
/// Whoever is told `false` by [`TextStore::replace`] reads again and decides anew. His own text may have been there for a while before somebody built on it, so that what he does then has to be right
/// where it was done already.
pub trait TextStore: Send + Sync {
    /// Where it is, as errors name it.
    fn path(&self) -> &Path;

    /// Whether others than this one may change it.
    fn is_shared(&self) -> bool;

    /// The version that is there now; `None` where there is no text. Cheaper than reading.
    fn version(&self) -> Result<Option<u64>, KeyError>;

    /// The text as it is now; `None` where there is none.
    fn read(&self) -> Result<Option<Text>, KeyError>;

    /// Puts a text where there is none, as [`FIRST_VERSION`]; `false` where one is.
    fn create(&self, text: &str) -> Result<bool, KeyError>;

    /// Puts a text in the place of this version, which was read, as the next one; durable, and the former content gone, when it returns. `false` where another version is there by now.
    /// After an error it may be there or not.
    fn replace(&self, version: u64, text: &str) -> Result<bool, KeyError>;

    /// Clears away what others left of former content who were cut off; it is gone when this returns.
    fn settle(&self) -> Result<(), KeyError>;

    /// Destroys it for good, in all its versions. For what nobody changes any more.
    fn destroy(&self) -> Result<(), KeyError>;
}

/// A text in a file, which one process at a time changes.
pub struct FileText {
    path: PathBuf,
    /// Counted in memory: nobody else changes it.
    version: Mutex<u64>,
}

impl FileText {
    /// The file of this name, which is there or not.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            version: Mutex::new(FIRST_VERSION),
        }
    }
}

impl TextStore for FileText {
    fn path(&self) -> &Path {
        &self.path
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn version(&self) -> Result<Option<u64>, KeyError> {
        let is_there = self.path.try_exists().map_err(KeyError::io(&self.path))?;
        Ok(is_there.then(|| *self.version.lock()))
    }

    fn read(&self) -> Result<Option<Text>, KeyError> {
        let version = *self.version.lock();
        match file::read(&self.path) {
            Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(|text| Some(Text { text, version })),
        }
    }

    fn create(&self, text: &str) -> Result<bool, KeyError> {
        match file::create(&self.path, text) {
            Err(KeyError::Io { path, source })
                if source.kind() == ErrorKind::AlreadyExists && path == self.path =>
            {
                Ok(false)
            }
            made => made.map(|()| true),
        }
    }

    fn replace(&self, version: u64, text: &str) -> Result<bool, KeyError> {
        let mut present = self.version.lock();
        if *present != version {
            return Ok(false);
        }
        file::replace(&self.path, text)?;
        *present += 1;
        Ok(true)
    }

    fn settle(&self) -> Result<(), KeyError> {
        file::clear(&self.path)
    }

    fn destroy(&self) -> Result<(), KeyError> {
        file::destroy(&self.path)
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
