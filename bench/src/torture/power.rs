//! A loss of power: after a kill, takes back what no fsync had made durable, or some of it, sector by sector. Reads the notes that the preloaded library
//! makes of each change; names of files stay as they are.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rand::{Rng, RngExt};

use super::layout::{CHANGED, LOSS_VARIABLE, NOTE_WORDS, SYNCED};
use crate::Failure;
use crate::live::child::Site;

/// Written whole or not at all.
const SECTOR: usize = 512;

/// A file, whatever its name: number and time of birth.
type Identity = (u64, u64);

/// The notes of a run.
pub struct Power {
    notes: File,
    data: PathBuf,
}

/// What a loss of power took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Files with changes that no fsync had made durable.
    pub files: u64,
    /// Sectors that are as they were before.
    pub sectors: u64,
}

/// One note.
struct Note {
    /// Where it stands among the notes.
    position: u64,
    kind: u64,
    file: Identity,
    size: u64,
    at: u64,
    replaced: Vec<u8>,
}

/// What a change replaced.
struct Change {
    position: u64,
    size: u64,
    at: u64,
    replaced: Vec<u8>,
}

impl Power {
    /// Makes the file of notes and has the site's servers fill it.
    pub fn create(site: &mut Site, path: &Path) -> Result<Self, Failure> {
        let notes = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        site.set(LOSS_VARIABLE, path.canonicalize()?);
        Ok(Self {
            notes,
            data: site.data().to_owned(),
        })
    }

    /// What the disk has when the power comes back: of each file either all changes since its last fsync, or none, or of each sector one or the other.
    /// No server runs meanwhile.
    pub fn lose(&self, rng: &mut impl Rng) -> Result<Lost, Failure> {
        let mut changes: HashMap<Identity, Vec<Change>> = HashMap::new();
        let mut notes = Notes::new(&self.notes)?;
        while let Some(note) = notes.next()? {
            let of_file = changes.entry(note.file).or_default();
            match note.kind {
                CHANGED => of_file.push(Change {
                    position: note.position,
                    size: note.size,
                    at: note.at,
                    replaced: note.replaced,
                }),
                SYNCED => of_file.retain(|change| change.position >= note.at),
                other => return Err(format!("a note of kind {other}").into()),
            }
        }
        let mut lost = Lost::default();
        for (path, identity) in files(&self.data)? {
            if let Some(changes) = changes.remove(&identity).filter(|changes| !changes.is_empty()) {
                lost.files += 1;
                lost.sectors += take_back(&path, &changes, rng)?;
            }
        }
        // Whatever is on the disk now is durable.
        self.notes.set_len(0)?;
        Ok(lost)
    }

    /// Cuts off a note that a kill cut short, for the next server's come behind it.
    pub fn keep(&self) -> Result<(), Failure> {
        let mut notes = Notes::new(&self.notes)?;
        while notes.next()?.is_some() {}
        Ok(self.notes.set_len(notes.position)?)
    }
}

/// Takes some changes of a file back; how many sectors differ from what it had.
fn take_back(path: &Path, changes: &[Change], rng: &mut impl Rng) -> Result<u64, Failure> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut new = Vec::new();
    (&file).read_to_end(&mut new)?;
    let old = before(&new, changes)?;
    let chosen = choose(&old, &new, rng);
    let differ = |(a, b): &(&[u8], &[u8])| a != b;
    let pairs = chosen.chunks(SECTOR).zip(new.chunks(SECTOR));
    let taken = pairs.filter(differ).count() + chosen.len().abs_diff(new.len()).div_ceil(SECTOR);
    file.set_len(chosen.len() as u64)?;
    file.write_all_at(&chosen, 0)?;
    Ok(taken as u64)
}

/// The file before the changes.
fn before(new: &[u8], changes: &[Change]) -> Result<Vec<u8>, Failure> {
    let mut old = new.to_vec();
    for change in changes.iter().rev() {
        let at = usize::try_from(change.at)?;
        let end = at + change.replaced.len();
        if old.len() < end {
            old.resize(end, 0);
        }
        old.get_mut(at..end)
            .expect("it is that long now")
            .copy_from_slice(&change.replaced);
        old.resize(usize::try_from(change.size)?, 0);
    }
    Ok(old)
}

/// One of the states that the disk may be left in.
fn choose(old: &[u8], new: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => new.to_vec(),
        1 => old.to_vec(),
        _ => {
            let len = if rng.random() { old.len() } else { new.len() };
            let share = rng.random_range(0.05..0.95);
            let mut mixed = vec![0; len];
            for (number, sector) in mixed.chunks_mut(SECTOR).enumerate() {
                let from = if rng.random_bool(share) { old } else { new };
                let from = from.get(number * SECTOR..).unwrap_or_default();
                let count = from.len().min(sector.len());
                let (head, _) = sector.split_at_mut(count);
                head.copy_from_slice(from.get(..count).expect("no longer than that"));
            }
            mixed
        }
    }
}

/// The notes one after the other.
struct Notes<'a> {
    from: BufReader<&'a File>,
    position: u64,
}

impl<'a> Notes<'a> {
    fn new(mut notes: &'a File) -> std::io::Result<Self> {
        notes.rewind()?;
        Ok(Self {
            from: BufReader::with_capacity(1 << 20, notes),
            position: 0,
        })
    }

    /// `None` at the end; a note that a kill cut short was of a change that was not made.
    fn next(&mut self) -> std::io::Result<Option<Note>> {
        let mut words = [[0; 8]; NOTE_WORDS];
        let position = self.position;
        if !filled(self.from.read_exact(words.as_flattened_mut()))? {
            return Ok(None);
        }
        let [kind, number, born, size, at, len] = words.map(u64::from_le_bytes);
        let mut replaced = Vec::new();
        let read = self.from.by_ref().take(len).read_to_end(&mut replaced)?;
        if (read as u64) < len {
            return Ok(None);
        }
        self.position += size_of_val(&words) as u64 + len;
        Ok(Some(Note {
            position,
            kind,
            file: (number, born),
            size,
            at,
            replaced,
        }))
    }
}

fn filled(read: std::io::Result<()>) -> std::io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// All files in a folder and those in it.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Identity)>, Failure> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            let born = metadata.created()?.duration_since(UNIX_EPOCH)?;
            let born = u64::try_from(born.as_nanos())?;
            found.push((entry.path(), (metadata.ino(), born)));
        }
    }
    Ok(found)
}

#[cfg(test)]
#[path = "power_tests.rs"]
mod tests;
