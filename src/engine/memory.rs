//! Memory for codes: locked, kept out of core dumps, zeroed when given back, shared by all galleries. Knows no layout.
#![expect(unsafe_code, reason = "a part of a map is locked by its address")]

use std::collections::BTreeMap;
use std::ops::Range;

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

use super::config::LockMemory;
use super::error::EngineError;

/// Blocks a slab holds, unless that makes it smaller or larger than the next two limits.
const SLAB_BLOCKS: usize = 16;
/// Smallest slab, in bytes.
const SLAB_BYTES_MIN: usize = 64 << 10;
/// Largest slab, in bytes, unless a single block is larger.
const SLAB_BYTES_MAX: usize = 4 << 20;
/// A page of the operating system, in bytes; a larger one only rounds differently.
const PAGE_LEN: usize = 4 << 10;
/// A huge page of the operating system, in bytes: a scan of large slabs walks fewer page tables with them. Large slabs begin at one, or
/// only a part of them could lie in huge pages.
const HUGE_PAGE_LEN: usize = 2 << 20;
/// Slabs and blocks begin at multiples of this, in bytes: a cache line.
pub(super) const ALIGNMENT: usize = 64;

/// A piece of the arena. It must be given back to the arena it came from.
#[derive(Debug)]
pub(super) struct Block {
    slab: usize,
    offset: usize,
    len: usize,
}

struct Slab {
    map: MmapMut,
    /// Where its blocks lie in the map; nothing else of it is ever touched, so that nothing else takes memory.
    place: Range<usize>,
    used: usize,
}

impl Drop for Slab {
    fn drop(&mut self) {
        if let Some(bytes) = self.map.get_mut(self.place.clone()) {
            bytes.zeroize();
        }
    }
}

/// Hands out zeroed blocks of anonymous maps. Blocks of one size share slabs, so that many small galleries share pages of the
/// operating system; a slab without a used block is unmapped.
pub(super) struct Arena {
    lock: LockMemory,
    slabs: Vec<Option<Slab>>,
    free: BTreeMap<usize, Vec<Block>>,
}

impl Arena {
    pub(super) fn new(lock: LockMemory) -> Self {
        Self {
            lock,
            slabs: Vec::new(),
            free: BTreeMap::new(),
        }
    }

    /// A zeroed block of `len` bytes, a multiple of 64.
    pub(super) fn allocate(&mut self, len: usize) -> Result<Block, EngineError> {
        assert!(
            len > 0 && len.is_multiple_of(ALIGNMENT),
            "blocks are whole cache lines"
        );
        if self.free.get(&len).is_none_or(Vec::is_empty) {
            self.add_slab(len)?;
        }
        let block = self
            .free
            .get_mut(&len)
            .and_then(Vec::pop)
            .expect("a slab was added where none was free");
        self.slab_mut(&block).used += 1;
        Ok(block)
    }

    /// Zeroes a block and takes it back.
    pub(super) fn release(&mut self, block: Block) {
        self.bytes_mut(&block).zeroize();
        let index = block.slab;
        let slab = self.slab_mut(&block);
        slab.used -= 1;
        let is_unused = slab.used == 0;
        let free = self.free.entry(block.len).or_default();
        free.push(block);
        if is_unused {
            free.retain(|block| block.slab != index);
            if let Some(slab) = self.slabs.get_mut(index) {
                slab.take();
            }
        }
    }

    pub(super) fn bytes(&self, block: &Block) -> &[u8] {
        self.slabs
            .get(block.slab)
            .and_then(Option::as_ref)
            .and_then(|slab| slab.map.get(block.offset..block.offset + block.len))
            .expect("a block is a part of a live slab")
    }

    pub(super) fn bytes_mut(&mut self, block: &Block) -> &mut [u8] {
        self.slab_mut(block)
            .map
            .get_mut(block.offset..block.offset + block.len)
            .expect("a block is a part of its slab")
    }

    fn slab_mut(&mut self, block: &Block) -> &mut Slab {
        self.slabs
            .get_mut(block.slab)
            .and_then(Option::as_mut)
            .expect("a slab lives as long as one of its blocks")
    }

    fn add_slab(&mut self, len: usize) -> Result<(), EngineError> {
        let wanted = len
            .saturating_mul(SLAB_BLOCKS)
            .clamp(SLAB_BYTES_MIN, SLAB_BYTES_MAX)
            .max(len);
        // Whole blocks and whole pages of the system: what is left over would be locked for nothing.
        let bytes = (wanted / len * len).next_multiple_of(PAGE_LEN);
        let slack = if bytes >= HUGE_PAGE_LEN { HUGE_PAGE_LEN } else { 0 };
        let map = MmapMut::map_anon(bytes + slack).map_err(|error| EngineError::Memory(error.to_string()))?;
        let start = if slack > 0 {
            map.as_ptr().align_offset(HUGE_PAGE_LEN)
        } else {
            0
        };
        let place = start..start + bytes;
        #[cfg(target_os = "linux")]
        if slack > 0 {
            // Only speed is lost where the system has no huge pages.
            let _ = map.advise_range(Advice::HugePage, start, bytes);
        }
        self.protect(&map, &place)?;
        let slab = Slab { map, place, used: 0 };
        let index = self.slabs.iter().position(Option::is_none);
        let index = index.unwrap_or(self.slabs.len());
        if let Some(place) = self.slabs.get_mut(index) {
            *place = Some(slab);
        } else {
            self.slabs.push(Some(slab));
        }
        let blocks = (0..bytes / len).rev().map(|i| Block {
            slab: index,
            offset: start + i * len,
            len,
        });
        self.free.entry(len).or_default().extend(blocks);
        Ok(())
    }

    fn protect(&mut self, map: &MmapMut, place: &Range<usize>) -> Result<(), EngineError> {
        // Keeping codes out of core dumps needs no privilege and no limit, so that it is done whether they are locked or not.
        #[cfg(target_os = "linux")]
        map.advise(Advice::DontDump)
            .map_err(|error| EngineError::Memory(error.to_string()))?;
        if self.lock == LockMemory::Off {
            return Ok(());
        }
        match lock(map, place) {
            Ok(()) => Ok(()),
            Err(error) if self.lock == LockMemory::Require => Err(EngineError::MemoryLock {
                bytes: place.len(),
                reason: error.to_string(),
            }),
            Err(error) => {
                let others: usize = self.slabs.iter().flatten().map(|slab| slab.place.len()).sum();
                tracing::warn!(
                    %error,
                    bytes = others + place.len(),
                    "codes are not locked in memory and may reach swap; raise RLIMIT_MEMLOCK to more than these bytes, \
                     and to engine.resident_bytes_max for galleries that grow"
                );
                self.lock = LockMemory::Off;
                Ok(())
            }
        }
    }
}

/// Keeps a part of a map in memory.
fn lock(map: &MmapMut, place: &Range<usize>) -> rustix::io::Result<()> {
    let bytes = map.get(place.clone()).expect("a slab lies in its map");
    // SAFETY: the bytes belong to a live map; a lock changes nothing in them and ends with the map.
    unsafe { rustix::mm::mlock(bytes.as_ptr().cast_mut().cast(), bytes.len()) }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
