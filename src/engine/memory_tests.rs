//! Tests of the arena: zeroed blocks, slabs shared and given back, and what locking does where it is refused.
#![expect(clippy::cast_possible_truncation, reason = "counts of a test are small")]

use super::*;

#[test]
fn blocks_are_zeroed_when_they_come_back() {
    let mut arena = Arena::new(LockMemory::Off);
    let keep = arena.allocate(128).expect("memory");
    let block = arena.allocate(128).expect("memory");
    let (slab, offset) = (block.slab, block.offset);
    arena.bytes_mut(&block).fill(7);
    arena.release(block);
    let again = arena.allocate(128).expect("memory");
    assert_eq!(
        (again.slab, again.offset),
        (slab, offset),
        "the free block is used again"
    );
    assert!(arena.bytes(&again).iter().all(|byte| *byte == 0));
    assert_eq!(arena.bytes(&keep).len(), 128);
}

#[test]
fn blocks_of_one_size_share_a_slab_and_do_not_overlap() {
    let mut arena = Arena::new(LockMemory::Off);
    let blocks: Vec<Block> = (0..100).map(|_| arena.allocate(640).expect("memory")).collect();
    assert_eq!(arena.slabs.len(), 1);
    for (i, block) in blocks.iter().enumerate() {
        arena.bytes_mut(block).fill(i as u8);
    }
    for (i, block) in blocks.iter().enumerate() {
        assert!(
            arena.bytes(block).iter().all(|byte| *byte == i as u8),
            "block {i}"
        );
    }
}

#[test]
fn a_slab_without_blocks_is_unmapped_and_its_place_used_again() {
    let mut arena = Arena::new(LockMemory::Off);
    let small = arena.allocate(64).expect("memory");
    let large = arena.allocate(8 << 20).expect("memory");
    assert_eq!((small.slab, large.slab), (0, 1));
    arena.release(small);
    assert!(arena.slabs[0].is_none());
    assert!(arena.free[&64].is_empty());
    let other = arena.allocate(192).expect("memory");
    assert_eq!(other.slab, 0);
    assert_eq!(arena.bytes(&large).len(), 8 << 20);
}

#[test]
fn blocks_begin_at_cache_lines() {
    let mut arena = Arena::new(LockMemory::Off);
    for _ in 0..40 {
        let block = arena.allocate(2_240).expect("memory");
        assert!(arena.bytes(&block).as_ptr().addr().is_multiple_of(ALIGNMENT));
    }
}

#[test]
fn memory_is_locked_or_the_refusal_names_the_way_out() {
    let mut arena = Arena::new(LockMemory::Require);
    match arena.allocate(64) {
        Ok(block) => assert_eq!(arena.bytes(&block).len(), 64),
        Err(error) => assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}"),
    }
}

#[test]
fn preferring_locked_memory_never_refuses() {
    let mut arena = Arena::new(LockMemory::Prefer);
    let block = arena.allocate(64 << 20).expect("memory, locked or not");
    assert_eq!(arena.bytes(&block).len(), 64 << 20);
}

#[test]
fn memory_beyond_the_address_space_is_an_error() {
    let mut arena = Arena::new(LockMemory::Off);
    let error = arena.allocate(1 << 62).expect_err("refused");
    assert!(matches!(error, EngineError::Memory(_)), "{error}");
    assert!(arena.slabs.is_empty());
}
