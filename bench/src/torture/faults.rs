//! The driver's side of the faults: writes the shared words, reads the counters. Makes no call fail itself.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::layout::{COUNTDOWN, KIND, Kind, LEFT, STRUCK, WORDS};

/// Bytes of a word.
const WORD: usize = 8;

/// Name of a kind in results.
pub fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::WriteFails => "write_fails",
        Kind::ShortWrite => "short_write",
        Kind::DiskFull => "disk_full",
        Kind::SyncFails => "sync_fails",
        Kind::TornWrite => "torn_write",
    }
}

/// The shared file. The server has it mapped; what is written here is seen there at once.
pub struct Control {
    path: PathBuf,
    file: File,
}

impl Control {
    /// Makes the file.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len((WORDS * WORD) as u64)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on this goes wrong, after so many calls and so often.
    pub fn arm(&self, kind: Kind, countdown: u64, strikes: u64) -> std::io::Result<()> {
        self.lift()?;
        self.put(COUNTDOWN, countdown)?;
        self.put(LEFT, strikes)?;
        self.put(STRUCK, 0)?;
        self.put(KIND, kind as u64)
    }

    /// Nothing goes wrong any more.
    pub fn lift(&self) -> std::io::Result<()> {
        self.put(KIND, 0)
    }

    /// Strikes since it was armed.
    pub fn struck(&self) -> std::io::Result<u64> {
        let mut bytes = [0; WORD];
        self.file.read_exact_at(&mut bytes, (STRUCK * WORD) as u64)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn put(&self, word: usize, value: u64) -> std::io::Result<()> {
        self.file.write_all_at(&value.to_le_bytes(), (word * WORD) as u64)
    }
}
