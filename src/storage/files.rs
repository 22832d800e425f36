//! Where a tenant's segments are: files of its directory, or objects of a store, for which the directory is no more than the place where they are made. Knows nothing
//! of rows, and does not know which segments are listed.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ulid::Ulid;

use super::catalog::segments::SegmentEntry;
use super::data_dir;
use super::durable;
use super::error::StorageError;
use super::objects::Objects;
use super::objects::cache::{Cache, Source};
use super::objects::key::{Home, ListedSegment, ObjectKey};
use super::segment::format::{Layout, SegmentContext, file_name, ulid_of};
use super::segment::reader::SegmentReader;
use super::segment::writer::{SegmentWriter, WrittenSegment};

/// The directory of segments in a tenant's directory.
pub(super) const SEGMENTS_DIR: &str = "segments";
/// The directory in its place where a tenant's segments are objects: each is made there, and gone from there before it is listed.
pub(super) const STAGING_DIR: &str = "staging";
/// Names the store that a tenant's segments are in, if they are in one.
const OBJECTS_FILE: &str = "objects";
/// Of the keys of a tenant as it is made. A server by itself rotates none whose catalog is in a database.
pub const KEY_GENERATION: u32 = 1;

/// The segments of a tenant.
pub(super) struct SegmentFiles {
    /// Where files are made.
    dir: PathBuf,
    context: SegmentContext,
    objects: Option<Kept>,
}

/// A tenant's objects.
pub(super) struct Kept {
    objects: Objects,
    home: Home,
}

/// A segment's file, wherever it is.
pub(super) enum SegmentFile {
    /// In the directory.
    Here(SegmentReader),
    /// In a store.
    Kept {
        /// As the catalog has it.
        listed: ListedSegment,
        /// The store, and copies of its objects.
        objects: Objects,
    },
}

impl SegmentFile {
    /// Reads single rows of it. Where a copy of an object is damaged, `work` is done again with the object.
    pub(super) fn part<T>(
        &self,
        work: impl FnMut(&SegmentReader) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.read(Cache::source, work)
    }

    /// Reads much of it, likewise.
    pub(super) fn whole<T>(
        &self,
        work: impl FnMut(&SegmentReader) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.read(Cache::whole, work)
    }

    fn read<T>(
        &self,
        open: impl Fn(&Cache, &ListedSegment) -> Result<Source, StorageError>,
        mut work: impl FnMut(&SegmentReader) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let (listed, cache) = match self {
            Self::Here(reader) => return work(reader),
            Self::Kept { listed, objects } => (listed, objects.cache()),
        };
        let source = open(cache, listed)?;
        match work(source.reader()) {
            Err(StorageError::Damaged { .. }) if source.is_here() => {
                drop(source);
                cache.distrust(&listed.key);
                work(open(cache, listed)?.reader())
            }
            done => done,
        }
    }
}

/// Makes what the directory of a tenant has of its segments, which are to be objects or not.
pub(super) fn build(path: &Path, objects: Option<&Objects>) -> Result<(), StorageError> {
    let Some(objects) = objects else {
        return durable::create_dir(&path.join(SEGMENTS_DIR));
    };
    durable::create_dir(&path.join(STAGING_DIR))?;
    let identity = format!("{}\n", objects.identity());
    durable::write_file(&path.join(OBJECTS_FILE), identity.as_bytes())
}

impl SegmentFiles {
    /// Of a tenant with this directory.
    pub(super) fn new(path: &Path, context: SegmentContext, objects: Option<Kept>) -> Self {
        let dir = path.join(objects.as_ref().map_or(SEGMENTS_DIR, |_| STAGING_DIR));
        Self {
            dir,
            context,
            objects,
        }
    }

    /// Where files are made, and are where there is no store.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether they are in a store.
    pub(super) fn are_objects(&self) -> bool {
        self.objects.is_some()
    }

    /// Bytes of the file of so many rows.
    pub(super) fn file_len(&self, rows: u32) -> u64 {
        Layout::new(self.context.dimension, rows).file_len()
    }

    /// Begins a file of exactly `rows` rows.
    pub(super) fn create(&self, rows: u32) -> Result<SegmentWriter, StorageError> {
        SegmentWriter::create(&self.dir, &self.context, rows)
    }

    /// Ends a file, and brings it to where it is kept: durable when it returns. On an error it is destroyed, or an orphan.
    pub(super) fn finish(&self, file: SegmentWriter) -> Result<WrittenSegment, StorageError> {
        let written = file.finish()?;
        if let Some(kept) = &self.objects {
            let listed = kept.listed(&self.context, written.ulid, written.rows);
            let put = kept.objects.keep(&listed, &written.path);
            if let Err(error) = put {
                self.discard([written.ulid]);
                return Err(error);
            }
        }
        Ok(written)
    }

    /// A file that the catalog has or is about to have. One in the directory is mapped; of an object nothing is read yet.
    pub(super) fn open(&self, entry: SegmentEntry) -> Result<SegmentFile, StorageError> {
        match &self.objects {
            None => {
                SegmentReader::open(&self.dir, &self.context, entry.ulid, entry.rows).map(SegmentFile::Here)
            }
            Some(kept) => Ok(SegmentFile::Kept {
                listed: kept.listed(&self.context, entry.ulid, entry.rows),
                objects: kept.objects.clone(),
            }),
        }
    }

    /// Everything of which there are bytes: files, objects, and copies of such.
    pub(super) fn list(&self) -> Result<BTreeSet<Ulid>, StorageError> {
        let names = data_dir::list(&self.dir)?;
        let mut found: BTreeSet<Ulid> = names.iter().filter_map(|name| ulid_of(name)).collect();
        if let Some(kept) = &self.objects {
            found.extend(kept.objects.list(&kept.home)?.into_iter().map(|key| key.ulid));
        }
        Ok(found)
    }

    /// Destroys files that nobody reads and no catalog lists, with every copy, and makes sure that nothing is kept of what was destroyed; also where there is none. One that is gone is well.
    pub(super) fn destroy(&self, ulids: &BTreeSet<Ulid>) -> Result<(), StorageError> {
        for ulid in ulids {
            durable::destroy_file(&self.dir.join(file_name(*ulid)))?;
        }
        match &self.objects {
            None => Ok(()),
            Some(kept) => {
                let keys: Vec<ObjectKey> = ulids.iter().map(|ulid| kept.key(*ulid)).collect();
                kept.objects.destroy(&keys)
            }
        }
    }

    /// Destroys files that were never listed. What can't be destroyed now is an orphan, which the next purge or open destroys.
    pub(super) fn discard(&self, ulids: impl IntoIterator<Item = Ulid>) {
        let mut is_away = false;
        for ulid in ulids {
            let _ = durable::destroy_file(&self.dir.join(file_name(ulid)));
            if let Some(kept) = &self.objects {
                // Each that fails takes its time.
                is_away = is_away || kept.objects.discard(&kept.key(ulid)).is_err();
            }
        }
    }

    /// Destroys what puts left that were cut off, when none is under way: at the opening.
    pub(super) fn clear_beginnings(&self) -> Result<(), StorageError> {
        let kept = self.objects.as_ref();
        kept.map_or(Ok(()), |kept| kept.objects.clear_beginnings(&kept.home))
    }
}

impl Kept {
    /// Those of the tenant with this directory, which says by what is in it whether its segments are objects. `home` tells where they are in the store.
    pub(super) fn find(
        path: &Path,
        objects: Option<&Objects>,
        home: impl FnOnce() -> Result<Home, StorageError>,
    ) -> Result<Option<Self>, StorageError> {
        let mark = path.join(OBJECTS_FILE);
        let named = match fs::read_to_string(&mark) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StorageError::io("read", &mark, e)),
        };
        let objects = objects.ok_or_else(|| StorageError::ObjectsUnnamed(path.to_owned()))?;
        if named.trim() != objects.identity().to_string() {
            return Err(StorageError::OtherObjects {
                path: mark,
                store: objects.name(),
            });
        }
        // Who copies a directory may leave out an empty one.
        durable::create_dir(&path.join(STAGING_DIR))?;
        Ok(Some(Self {
            objects: objects.clone(),
            home: home()?,
        }))
    }

    /// Destroys all of them.
    pub(super) fn destroy_all(&self) -> Result<(), StorageError> {
        self.objects.destroy_all(&self.home)
    }

    fn key(&self, ulid: Ulid) -> ObjectKey {
        ObjectKey {
            home: self.home.clone(),
            generation: KEY_GENERATION,
            ulid,
        }
    }

    fn listed(&self, context: &SegmentContext, ulid: Ulid, rows: u32) -> ListedSegment {
        ListedSegment::of(self.key(ulid), rows, context)
    }
}
