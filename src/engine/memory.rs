//! Memory for codes: locked, kept out of core dumps, zeroed when given back, shared by all galleries. Knows no layout.

use std::collections::BTreeMap;

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
/// A huge page of the operating system, in bytes: a scan of large slabs walks fewer page tables with them.
#[cfg(target_os = "linux")]
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
    used: usize,
}

impl Drop for Slab {
    fn drop(&mut self) {
        self.map.zeroize();
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
        let bytes = len
            .saturating_mul(SLAB_BLOCKS)
            .clamp(SLAB_BYTES_MIN, SLAB_BYTES_MAX)
            .max(len);
        let map = MmapMut::map_anon(bytes).map_err(|error| EngineError::Memory(error.to_string()))?;
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE_LEN {
            // Only speed is lost where the system has no huge pages.
            let _ = map.advise(Advice::HugePage);
        }
        self.protect(&map)?;
        let slab = Slab { map, used: 0 };
        let index = self.slabs.iter().position(Option::is_none);
        let index = index.unwrap_or(self.slabs.len());
        if let Some(place) = self.slabs.get_mut(index) {
            *place = Some(slab);
        } else {
            self.slabs.push(Some(slab));
        }
        let blocks = (0..bytes / len).rev().map(|i| Block {
            slab: index,
            offset: i * len,
            len,
        });
        self.free.entry(len).or_default().extend(blocks);
        Ok(())
    }

    fn protect(&mut self, map: &MmapMut) -> Result<(), EngineError> {
        // Keeping codes out of core dumps needs no privilege and no limit, so that it is done whether they are locked or not.
        #[cfg(target_os = "linux")]
        map.advise(Advice::DontDump)
            .map_err(|error| EngineError::Memory(error.to_string()))?;
        if self.lock == LockMemory::Off {
            return Ok(());
        }
        match map.lock() {
            Ok(()) => Ok(()),
            Err(error) if self.lock == LockMemory::Require => Err(EngineError::MemoryLock {
                bytes: map.len(),
                reason: error.to_string(),
            }),
            Err(error) => {
                tracing::warn!(
                    %error,
                    bytes = map.len(),
                    "codes are not locked in memory and may reach swap; raise RLIMIT_MEMLOCK"
                );
                self.lock = LockMemory::Off;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
