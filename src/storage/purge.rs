//! Purge: erased rows leave the files. Rewrites segments without them, destroys what held them, and only then says so in the receipts.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::catalog::segments::{SegmentEntry, Tombstone};
use super::durable;
use super::error::StorageError;
use super::flush::clear_holes;
use super::place::{RowId, RowPlanes, SegmentRows};
use super::rotate::Convert;
use super::segment::blocks::split_exact;
use super::segment::format::Plane;
use super::segment::reader::SegmentReader;
use super::segment::writer::SegmentWriter;
use super::store::{Former, Live, Shared, Store, Unclaimed, Upkeep};
use crate::model::timestamp::Timestamp;

/// Rows rewritten at a time; a multiple of the rows of every plane's blocks.
const REWRITE_ROWS: usize = 4_096;
/// How long a purge waits for readers of a replaced file, which take milliseconds.
const RETIRED_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it looks.
const RETIRED_POLL: Duration = Duration::from_millis(1);

impl Store {
    /// Takes all erased rows out of the files and returns how many erasures became *purged*: segments with tombstones
    /// are rewritten under new keys, with the same row numbers; the old files are overwritten and unlinked once nobody
    /// reads them; pending rows are written anew; the write-ahead log is cut. An erasure for which one of these could
    /// not be finished stays *erased* for the next purge. While the next generation is being made nothing is purged: the
    /// end of that is. The generation before is destroyed once nobody reads it.
    pub fn purge(&self) -> Result<usize, StorageError> {
        let shared = &*self.0;
        let _moving = shared.moving.lock();
        let mut upkeep = shared.upkeep.lock();
        shared.writer.lock().check()?;
        if upkeep.next.is_some() {
            return Ok(0);
        }
        let tombstones = shared.readers.tombstones()?;
        for of_segment in tombstones.chunk_by(|a, b| a.segment == b.segment) {
            shared.rewrite(of_segment, &mut upkeep)?;
        }
        shared.finish(&mut upkeep)
    }

    /// Refuses every later change, after the purge, flush or write under way: what holds this store any longer must not
    /// touch files that are made under the tenant's name after it was dropped.
    pub fn close(&self) {
        let _moving = self.0.moving.lock();
        let mut upkeep = self.0.upkeep.lock();
        self.0.writer.lock().poison("the tenant was dropped");
        if let Err(error) = release_former(&mut upkeep.former) {
            tracing::warn!(tenant = %self.0.spec.id, %error, "files of a dropped tenant are left for the next start");
        }
    }

    /// What is left of a purge that a crash interrupted, or nothing.
    pub(super) fn finish_purges(&self) -> Result<usize, StorageError> {
        self.0.finish(&mut self.0.upkeep.lock())
    }
}

impl Shared {
    /// Replaces a segment's file by one without the rows of these tombstones.
    fn rewrite(&self, gone: &[Tombstone], upkeep: &mut Upkeep) -> Result<(), StorageError> {
        let Some(first) = gone.first() else {
            return Ok(());
        };
        let old = self.live(first.segment, 0)?;
        let file = old.file.whole(|reader| {
            let file = self.files.create(old.entry.rows)?;
            copy_without(reader, gone, None, file)
        })?;
        let written = self.files.finish(file)?;
        let unclaimed = Unclaimed::new(&self.files, written.ulid);
        let entry = SegmentEntry {
            ulid: written.ulid,
            holes: written.holes,
            ..old.entry
        };
        let new = self.map(entry, Arc::clone(&old.dead))?;
        let claimed = self.change(|catalog| {
            catalog.replace(entry.number, &written, gone)?;
            self.publish([new]);
            Ok(())
        });
        if claimed.is_ok() {
            upkeep.retired.push(old);
        }
        unclaimed.settle(claimed)
    }

    /// Destroys files that nobody needs, cleans the catalog's file and log, and marks what is purged.
    fn finish(&self, upkeep: &mut Upkeep) -> Result<usize, StorageError> {
        let all_released = release(&mut upkeep.retired) && release_former(&mut upkeep.former)?;
        // Files that a write in doubt may have claimed are left for the next open, which will know.
        self.writer.lock().check()?;
        let erasures = self.readers.erasures_open()?;
        self.destroy_orphans(&upkeep.retired, !erasures.is_empty())?;
        if erasures.is_empty() || !all_released {
            return Ok(0);
        }
        // One change, so that nothing is written between the end of the copies and the receipts that rely on it.
        self.change(|catalog| {
            if catalog.forget_copies()? {
                catalog.mark_purged(&erasures, Timestamp::now())
            } else {
                Ok(0)
            }
        })
    }

    /// Destroys segment files that the catalog does not have: replaced ones, and those a crash or a failed write left. Where somebody was erased it is made sure that nothing is kept of what was
    /// destroyed before, either.
    fn destroy_orphans(&self, held: &[Arc<Live>], is_erased: bool) -> Result<(), StorageError> {
        let mut orphans = self.files.list()?;
        orphans.retain(|ulid| {
            // In this order: an import leaves the set after its segments are in the gallery.
            let importing = self.importing.lock().contains(ulid);
            let is = |live: &Arc<Live>| live.entry.ulid == *ulid;
            !importing && !self.gallery.load().values().any(is) && !held.iter().any(is)
        });
        if orphans.is_empty() && !is_erased {
            return Ok(());
        }
        // After they were seen. Who is still the one that writes the catalog knows of everything that it lists, and of what it may list later, but for files that were not there yet.
        self.writer.lock().confirm()?;
        self.files.destroy(&orphans)
    }
}

/// Writes the rows of a segment anew into a file of as many, but for those of these tombstones, which become holes; converted where a conversion is given.
pub(super) fn copy_without(
    old: &SegmentReader,
    gone: &[Tombstone],
    convert: Option<&dyn Convert>,
    mut file: SegmentWriter,
) -> Result<SegmentWriter, StorageError> {
    let rows = old.rows() as usize;
    for first in (0..rows).step_by(REWRITE_ROWS) {
        let count = REWRITE_ROWS.min(rows - first);
        let mut chunk = read_chunk(old, first, count)?;
        for tombstone in gone {
            let row = (tombstone.row as usize).checked_sub(first);
            if let Some(row) = row.filter(|row| *row < count) {
                clear_row(&mut chunk, row);
            }
        }
        if let Some(convert) = convert {
            convert.exact(&mut chunk.exact);
            chunk.planes = convert.planes(&chunk.exact);
            clear_holes(&mut chunk.planes, &chunk.ids);
        }
        file.push(&chunk, 0..count)?;
    }
    Ok(file)
}

/// Copies the rows of a file that are no holes behind those of another one, which has to have room for them all; gives who they are.
pub(super) fn copy_living(old: &SegmentReader, file: &mut SegmentWriter) -> Result<Vec<RowId>, StorageError> {
    let rows = old.rows() as usize;
    let mut living = Vec::with_capacity(rows);
    for first in (0..rows).step_by(REWRITE_ROWS) {
        let chunk = read_chunk(old, first, REWRITE_ROWS.min(rows - first))?;
        for (row, id) in chunk.ids.iter().enumerate().filter(|(_, id)| **id != RowId::HOLE) {
            if file.room() == 0 {
                return Err(old.damaged("it has fewer holes than the catalog says".to_owned()));
            }
            file.push(&chunk, row..row + 1)?;
            living.push(*id);
        }
    }
    Ok(living)
}

/// Waits for readers of replaced files and unmaps those that nobody reads; `false` when some still are read.
fn release(retired: &mut Vec<Arc<Live>>) -> bool {
    let deadline = Instant::now() + RETIRED_WAIT_MAX;
    loop {
        // Nobody can find a replaced file any more, so that a count of one stays one.
        retired.retain(|live| Arc::strong_count(live) > 1);
        if retired.is_empty() || Instant::now() >= deadline {
            return retired.is_empty();
        }
        thread::sleep(RETIRED_POLL);
    }
}

/// Waits for readers of the generation before and destroys it; `false` when some still read it.
pub(super) fn release_former(former: &mut Option<Former>) -> Result<bool, StorageError> {
    let deadline = Instant::now() + RETIRED_WAIT_MAX;
    let Some(of) = former else { return Ok(true) };
    // Whoever finds the tenant finds the present generation, so that a count of one stays one.
    while Arc::strong_count(&of.store.0) > 1 {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(RETIRED_POLL);
    }
    // What is mapped and open may lose its name; it is closed with the value.
    durable::destroy_tree(&of.path)?;
    *former = None;
    Ok(true)
}

fn read_chunk(old: &SegmentReader, first: usize, count: usize) -> Result<SegmentRows, StorageError> {
    let plane = |plane| {
        let mut bytes = Vec::new();
        old.open_rows(plane, first, count, &mut bytes).map(|()| bytes)
    };
    let planes = RowPlanes {
        sign: plane(Plane::Sign)?,
        refine: plane(Plane::Refine)?,
        scale: plane(Plane::Scale)?,
    };
    let with_ids = Zeroizing::new(plane(Plane::Exact)?);
    let stride = with_ids.len() / count;
    let mut ids = Vec::with_capacity(count);
    let mut exact = Zeroizing::new(Vec::with_capacity(with_ids.len()));
    for row in with_ids.chunks_exact(stride) {
        let (values, id) = split_exact(row);
        exact.extend_from_slice(values);
        ids.push(id);
    }
    Ok(SegmentRows { planes, exact, ids })
}

fn clear_row(rows: &mut SegmentRows, row: usize) {
    let count = rows.ids.len();
    let planes = &mut rows.planes;
    for bytes in [
        &mut planes.sign,
        &mut planes.refine,
        &mut planes.scale,
        &mut *rows.exact,
    ] {
        let stride = bytes.len() / count;
        bytes
            .get_mut(row * stride..(row + 1) * stride)
            .expect("the row is within the chunk")
            .fill(0);
    }
    *rows.ids.get_mut(row).expect("the row is within the chunk") = RowId::HOLE;
}

#[cfg(test)]
#[path = "purge_tests.rs"]
mod tests;
