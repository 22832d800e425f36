//! Tests of the room in device memory: what is given out never overlaps, what comes back is joined.

use super::*;
use crate::engine::gpu::pipeline::Pipelines;
use crate::engine::gpu::tests;
use crate::engine::samples::dim;

fn run(slab: usize, blocks: Range<u32>) -> Run {
    Run { slab, blocks }
}

#[test]
fn gaps_are_joined_with_both_neighbours() {
    let mut gaps = Gaps::new(10);
    for blocks in [0..3, 3..4, 4..9] {
        gaps.remove(&blocks);
    }
    assert_eq!(gaps.ranges.first(), Some(&(9..10)));
    gaps.add(0..3);
    assert_eq!(gaps.ranges, [0..3, 9..10]);
    gaps.add(4..9);
    assert_eq!(gaps.ranges, [0..3, 4..10]);
    assert!(!gaps.is_whole());
    gaps.add(3..4);
    assert!(gaps.is_whole());
}

#[test]
fn room_grows_by_slabs_and_goes_with_the_last_run() {
    let device = tests::device();
    let layout = Pipelines::new(&device).slab;
    let mut pool = Pool::new(&device, Shape::of(dim(32)));
    pool.limit(8, 16);
    let first = pool.allocate(&device, &layout, 1).expect("memory");
    assert_eq!(first, [run(0, 0..1)]);
    // 7 are left in the first slab; the others need more.
    let second = pool.allocate(&device, &layout, 40).expect("memory");
    assert_eq!(second.iter().map(Run::len).sum::<u32>(), 40);
    assert!(second.iter().all(|run| run.len() <= 16));
    let mut taken: Vec<Run> = first.into_iter().chain(second).collect();
    taken.sort_by_key(|run| (run.slab, run.blocks.start));
    for pair in taken.windows(2) {
        assert!(pair[0].slab != pair[1].slab || pair[0].blocks.end <= pair[1].blocks.start);
    }
    for run in &taken {
        pool.give_back(run);
    }
    assert!(pool.is_empty());
    assert_eq!(
        pool.allocate(&device, &layout, 2).expect("memory"),
        [run(0, 0..2)]
    );
}

#[test]
fn an_allocation_is_not_crumbled_over_small_gaps() {
    let device = tests::device();
    let layout = Pipelines::new(&device).slab;
    let mut pool = Pool::new(&device, Shape::of(dim(32)));
    pool.limit(8, 1_000);
    let runs: Vec<Run> = (0..8)
        .flat_map(|_| pool.allocate(&device, &layout, 1).expect("memory"))
        .collect();
    for run in runs.iter().step_by(2) {
        pool.give_back(run);
    }
    assert_eq!(
        pool.allocate(&device, &layout, 64).expect("memory"),
        [run(1, 0..64)]
    );
    assert_eq!(
        pool.allocate(&device, &layout, 1).expect("memory"),
        [run(0, 0..1)]
    );
}

#[test]
fn no_plane_is_longer_than_a_binding() {
    let device = tests::device();
    for d in [32, 128, 256, 2_048] {
        let shape = Shape::of(dim(d));
        let pool = Pool::new(&device, shape);
        for len in shape.block_lens() {
            assert!(len * u64::from(pool.blocks_max) <= device.buffer_len_max());
        }
        // Tasks of the largest grid are counted in 32 bits.
        assert!(u64::from(pool.blocks_max) * 1_024 < u64::from(u32::MAX));
    }
}
