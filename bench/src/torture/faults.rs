//! The driver's side of the faults: writes the shared words, reads the counters. Makes no call fail itself.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::layout::{CONTROL_VARIABLE, COUNTDOWN, DATA_VARIABLE, KIND, Kind, LEFT, STRUCK, WORDS};
use crate::Failure;
use crate::live::child::Site;

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
    file: File,
}

impl Control {
    /// Makes the file, and puts the library before the site's servers.
    pub fn create(site: &mut Site, path: &Path, library: &Path) -> Result<Self, Failure> {
        if !library.exists() {
            return Err(format!("{} is not there; start it by bench/torture", library.display()).into());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len((WORDS * WORD) as u64)?;
        let data = site.data().to_owned();
        site.set("LD_PRELOAD", library.canonicalize()?);
        site.set(CONTROL_VARIABLE, path.canonicalize()?);
        site.set(DATA_VARIABLE, data);
        Ok(Self { file })
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
