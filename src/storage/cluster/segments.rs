//! Segments as a node of a cluster reads and writes them: objects of a store, read through the node's cache and written in a directory before they are put. Knows no catalog.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use ulid::Ulid;

use super::SegmentObject;
use super::copies::Copies;
use super::journal::SharedJournal;
use crate::cluster::course::Reference;
use crate::keys::secret::SecretKey;
use crate::model::signature::Dimension;
use crate::storage::catalog::segments::Tombstone;
use crate::storage::data_dir;
use crate::storage::durable;
use crate::storage::error::StorageError;
use crate::storage::files::SegmentFile;
use crate::storage::objects::Objects;
use crate::storage::objects::cache::Source;
use crate::storage::objects::key::{Home, ListedSegment, ObjectKey};
use crate::storage::place::{RowPlanes, SEGMENT_ROWS_MAX, SegmentRows, StoredRow};
use crate::storage::purge::copy_without;
use crate::storage::rotate::Convert;
use crate::storage::segment::format::{SegmentContext, ulid_of};
use crate::storage::segment::writer::SegmentWriter;

/// Where a node reads and writes segments. Any number of threads may call it; calls block.
pub struct Segments {
    objects: Objects,
    copies: Copies,
    /// For files that are not put yet.
    staging: PathBuf,
    /// The directory is this process's alone.
    _lock: File,
}

/// Whose segments they are, and what opens them.
#[derive(Clone)]
pub struct SegmentKeys {
    /// The tenant from its creation to its end.
    pub home: Home,
    /// Of its keys, one of which seals the files.
    pub generation: u32,
    /// Of its rows.
    pub dimension: Dimension,
    /// The one of that generation.
    pub data_key: SecretKey,
}

impl SegmentKeys {
    fn listed(&self, object: &SegmentObject) -> ListedSegment {
        let key = self.key(object.ulid);
        ListedSegment::new(key, object.rows, self.dimension, &self.data_key)
    }

    /// Under what an object is kept.
    pub fn key(&self, ulid: Ulid) -> ObjectKey {
        ObjectKey {
            home: self.home.clone(),
            generation: self.generation,
            ulid,
        }
    }
}

impl Segments {
    /// Of a store with its cache. `staging` is a directory for this process alone, in which what a former one was writing is destroyed.
    pub fn open(objects: &Objects, staging: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let staging = staging.into();
        durable::create_dir(&staging)?;
        let lock = data_dir::lock(&staging)?;
        let unreadable = |e| StorageError::io("read", &staging, e);
        for entry in fs::read_dir(&staging).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name().to_str().and_then(ulid_of).is_some() {
                durable::destroy_file(&entry.path())?;
            }
        }
        Ok(Self {
            objects: objects.clone(),
            copies: Copies::of(objects.cache()),
            staging,
            _lock: lock,
        })
    }

    /// The sealed file of a segment. It is fetched where it is not here and the cache has room, and stays for as long as somebody has this; else it is read from the store. One that is not there is an error that
    /// names it.
    pub fn fetch(&self, keys: &SegmentKeys, object: &SegmentObject) -> Result<Source, StorageError> {
        self.objects.cache().whole(&keys.listed(object))
    }

    /// Rows in the clear, in the order asked for; `None` for a hole. Of a file that is not here single blocks are read.
    pub fn exact(
        &self,
        keys: &SegmentKeys,
        object: &SegmentObject,
        rows: &[u32],
    ) -> Result<Vec<Option<StoredRow>>, StorageError> {
        self.objects.cache().source(&keys.listed(object))?.rows(rows)
    }

    /// A row as it stands in its object, sealed and found authentic.
    pub fn sealed(
        &self,
        keys: &SegmentKeys,
        object: &SegmentObject,
        row: u32,
    ) -> Result<Vec<u8>, StorageError> {
        let file = SegmentFile::Kept {
            listed: keys.listed(object),
            objects: self.objects.clone(),
        };
        file.part(|reader| reader.authentic_row(row))
    }

    /// The erasure journal, in the same store.
    pub fn journal(&self) -> SharedJournal {
        SharedJournal::new(self.objects.store())
    }

    /// What there is of copies here.
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// An object is what holds a listed segment, as was read within a [`Use`](super::copies::Use).
    pub fn know(&self, keys: &SegmentKeys, object: &SegmentObject) {
        self.copies.know(keys.key(object.ulid));
    }

    /// Writes rows, 1 to 65,536, into a new object. `intend` is told of it before it is put. Durable when it returns; nothing lists it yet, and it is to be settled ([`Segments::settle`]) or discarded.
    pub fn put(
        &self,
        keys: &SegmentKeys,
        rows: &SegmentRows,
        intend: impl FnOnce(Ulid) -> Result<(), StorageError>,
    ) -> Result<SegmentObject, StorageError> {
        let count = u32::try_from(rows.ids.len()).unwrap_or(u32::MAX);
        let mut file = self.begin(keys, count)?;
        file.push(rows, 0..rows.ids.len())?;
        self.finish(keys, file, intend)
    }

    /// Writes the rows of an object into a new one that is sealed with other keys, and as they are converted; else as [`Segments::put`] does.
    pub(in crate::storage) fn renew(
        &self,
        (keys, next): (&SegmentKeys, &SegmentKeys),
        object: &SegmentObject,
        convert: Option<&dyn Convert>,
        intend: impl FnOnce(Ulid) -> Result<(), StorageError>,
    ) -> Result<SegmentObject, StorageError> {
        let former = self.fetch(keys, object)?;
        let file = self.begin(next, object.rows)?;
        let file = copy_without(former.reader(), &[], convert, file)?;
        self.finish(next, file, intend)
    }

    /// Writes the rows of an object into a new one, but for these, which become holes; else as [`Segments::put`] does.
    pub fn rewrite(
        &self,
        keys: &SegmentKeys,
        object: &SegmentObject,
        gone: &BTreeMap<u32, Reference>,
        intend: impl FnOnce(Ulid) -> Result<(), StorageError>,
    ) -> Result<SegmentObject, StorageError> {
        let gone = gone.iter().map(|(row, reference)| Tombstone {
            reference: reference.0,
            // Rows are what counts within one segment.
            segment: 0,
            row: *row,
        });
        let gone: Vec<Tombstone> = gone.collect();
        let former = self.fetch(keys, object)?;
        let file = self.begin(keys, object.rows)?;
        let file = copy_without(former.reader(), &gone, None, file)?;
        self.finish(keys, file, intend)
    }

    /// Begins a file of so many rows, 1 to 65,536, which is destroyed unless it is finished.
    pub(in crate::storage) fn begin(
        &self,
        keys: &SegmentKeys,
        rows: u32,
    ) -> Result<SegmentWriter, StorageError> {
        if !(1..=SEGMENT_ROWS_MAX).contains(&rows) {
            return Err(StorageError::Limit {
                limit: "rows of a segment",
                max: u64::from(SEGMENT_ROWS_MAX),
                value: u64::from(rows),
            });
        }
        let context = SegmentContext::new(&keys.home.tenant, keys.dimension, &keys.data_key);
        SegmentWriter::create(&self.staging, &context, rows)
    }

    /// Makes an object of a file, as [`Segments::put`] does.
    pub(in crate::storage) fn finish(
        &self,
        keys: &SegmentKeys,
        file: SegmentWriter,
        intend: impl FnOnce(Ulid) -> Result<(), StorageError>,
    ) -> Result<SegmentObject, StorageError> {
        let written = file.finish()?;
        let object = SegmentObject {
            ulid: written.ulid,
            rows: written.rows,
            holes: written.holes,
        };
        let key = keys.key(object.ulid);
        if let Err(error) = intend(object.ulid) {
            self.copies.destroy(&written.path);
            return Err(error);
        }
        self.copies.make(key.clone());
        if let Err(error) = self.objects.keep(&keys.listed(&object), &written.path) {
            // Who tries again writes another file. What stays of this one in the store a purge destroys.
            self.copies.destroy(&written.path);
            let _ = self.discard(keys, object.ulid);
            return Err(error);
        }
        Ok(object)
    }

    /// An object that was put is listed.
    pub fn settle(&self, keys: &SegmentKeys, ulid: Ulid) {
        self.copies.settle(&keys.key(ulid));
    }

    /// It is not known whether an object that was put is listed: there is no copy of it here from now on.
    pub fn give_up(&self, keys: &SegmentKeys, ulid: Ulid) {
        self.copies.give_up(&keys.key(ulid));
    }

    /// Deletes an object that is listed nowhere and never will be, here and in the store.
    pub fn discard(&self, keys: &SegmentKeys, ulid: Ulid) -> Result<(), StorageError> {
        let key = keys.key(ulid);
        self.copies.settle(&key);
        self.objects.discard(&key)
    }

    /// Destroys objects that are listed no more, each of a generation of keys, and finds out that the store kept nothing of them.
    pub fn destroy(&self, home: &Home, objects: &[(Ulid, u32)]) -> Result<(), StorageError> {
        let key = |(ulid, generation): &(Ulid, u32)| ObjectKey {
            home: home.clone(),
            generation: *generation,
            ulid: *ulid,
        };
        let keys: Vec<ObjectKey> = objects.iter().map(key).collect();
        self.objects.destroy(&keys)
    }
}

/// The codes of all rows of a file.
pub fn planes(file: &Source) -> Result<RowPlanes, StorageError> {
    file.reader().codes()
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
