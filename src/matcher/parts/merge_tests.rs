//! Tests of what is merged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use super::{HOLES_MIN, Merges, RESTS_DOUBLED_MAX, choose};
use crate::matcher::parts::PartsConfig;
use crate::matcher::parts::ground::Ground;
use crate::matcher::parts::tests::random;
use crate::matcher::parts::world::{World, config};
use crate::storage::place::{SEGMENT_ROWS_MAX, SegmentSize};

/// Segments from number 1 on, by rows that are no holes and by holes.
fn live(sizes: &[(u32, u32)]) -> BTreeMap<u32, SegmentSize> {
    let size = |(rows, holes): &(u32, u32)| SegmentSize {
        rows: rows + holes,
        holes: *holes,
    };
    (1..).zip(sizes.iter().map(size)).collect()
}

#[track_caller]
fn check(sizes: &[(u32, u32)], expected: &[u32]) {
    let chosen = choose(&live(sizes), 4);
    assert_eq!(chosen, expected.iter().copied().collect::<BTreeSet<u32>>());
}

const HALF: u32 = SEGMENT_ROWS_MAX / 2;

#[test]
fn many_small_ones_become_one() {
    check(&[(100, 0); 3], &[]);
    check(&[(100, 0); 4], &[1, 2, 3, 4]);
    check(&[(HALF + 1, 0), (7, 0), (9, 3), (8, 0), (6, 0)], &[2, 3, 4, 5]);
    check(&[(1_000, 0); 70], &(1..=64).collect::<Vec<u32>>());
}

#[test]
fn few_are_enough_where_no_other_one_has_room() {
    check(&[(HALF, 0), (HALF, 0)], &[]);
    check(&[(HALF, 0), (HALF, 0), (1, 0)], &[1, 3]);
    check(&[(HALF, 0), (HALF, 0), (HALF, 0)], &[1, 2]);
}

#[test]
fn a_large_one_is_not_written_anew_for_the_sake_of_few_rows() {
    check(&[(10, 0), (10, 0), (10, 0), (5_000, 0)], &[]);
    check(&[(10, 0), (10, 0), (10, 0), (10, 0), (5_000, 0)], &[1, 2, 3, 4]);
    check(&[(10, 0), (10, 0), (10, 0), (30, 0)], &[1, 2, 3, 4]);
    let mut sizes = vec![(1, 0); 63];
    sizes.extend([(30_000, 0); 2]);
    check(&sizes, &(1..=63).collect::<Vec<u32>>());
}

#[test]
fn segments_without_rows_go_with_the_smallest_that_has_some() {
    let empty = (0, 10);
    check(&[empty, empty, empty, (3, 0)], &[]);
    check(&[empty, empty, empty, (3, 0), empty, (2, 1)], &[6]);
    check(&[empty; 9], &[]);
    check(&[empty, empty, empty, (HALF + 1, 0), empty], &[]);
    check(
        &[empty, empty, (1, 0), (1, 0), (1, 0), empty, (1, 0), empty],
        &[3, 4, 5, 7],
    );
}

#[test]
fn holes_go() {
    let holes = HOLES_MIN;
    check(&[(500, holes)], &[1]);
    check(&[(500, holes - 1)], &[]);
    check(&[(holes + 1, holes)], &[]);
    check(&[(0, SEGMENT_ROWS_MAX)], &[]);
    check(&[(0, SEGMENT_ROWS_MAX), (HALF, HALF - 1), (1, HALF)], &[3]);
    // Whatever else there is.
    check(&[(16_384, 0), (16_384, 0), (10_000, 30_000)], &[3]);
    check(
        &[(10, 0), (10, 0), (10, 0), (10, 0), (9, holes), (20_000, 40_000)],
        &[5, 6],
    );
}

/// Of segments that are flushed one after the other, each row is written anew a few times, and few segments are left.
#[test]
fn rows_are_written_anew_a_few_times_only() {
    for rows in [1_u32, 100, 1_024, 4_096, 16_384, 20_000] {
        let (mut segments, mut written, mut next) = (BTreeMap::new(), 0_u64, 0);
        let flushes = 3_000_000 / rows.max(500);
        for _ in 0..flushes {
            next += 1;
            segments.insert(next, SegmentSize { rows, holes: 0 });
            loop {
                let chosen = choose(&segments, 8);
                if chosen.is_empty() {
                    break;
                }
                let rows = chosen.iter().filter_map(|number| segments.remove(number));
                let rows = rows.map(|size| size.rows).sum();
                assert!(rows <= SEGMENT_ROWS_MAX);
                written += u64::from(rows);
                next += 1;
                segments.insert(next, SegmentSize { rows, holes: 0 });
            }
        }
        let all = u64::from(flushes) * u64::from(rows);
        assert!(written <= all * 16, "{rows}: {written} of {all}");
        let small = segments.values().filter(|size| size.rows <= HALF).count();
        assert!(small < 8, "{rows}: {small}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_its_owners_can_t_load_is_taken_back() {
    let world = World::new();
    // Merges are the test's own.
    let config = PartsConfig {
        flush_rows: 2,
        merge_segments: 0,
        load_max: Duration::from_millis(100),
        ..config()
    };
    world.join_with(1, config);
    world.serving(1).await;
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    let mut people = Vec::new();
    for count in 1..=2 {
        for _ in 0..2 {
            let person = random(&mut rng);
            world
                .catalog
                .enrol(&format!("s{}", people.len()), std::slice::from_ref(&person));
            people.push(person);
        }
        world
            .until("they are in a segment", || world.catalog.live().len() == count)
            .await;
    }
    world.catalog.script.lock().failures = usize::MAX;
    let live = world.catalog.live();
    let mut merged = None;
    while merged.is_none() {
        // Once the node has left the former view.
        tokio::task::yield_now().await;
        merged = world.catalog.merge(&live);
    }
    let sequence = world.catalog.head().sequence;
    world
        .until("it is taken back", || world.catalog.head().sequence > sequence)
        .await;
    assert_eq!(world.catalog.live(), live);
    assert!(!world.catalog.withdraw(merged.expect("there")), "it is");
    world.catalog.calm();
    let person = random(&mut rng);
    world.catalog.enrol("late", &[person.clone(), random(&mut rng)]);
    world
        .until("flushes go on afterwards", || world.catalog.live().len() == 3)
        .await;
    people.push(person);
    for person in &people {
        world.ask(person).await.expect("all is there");
    }
}

#[test]
fn rests_grow_with_each_failure_and_end() {
    let mut merges = Merges::default();
    let mut before = Duration::ZERO;
    for count in 0..12 {
        let now = Instant::now();
        merges.fail(Duration::from_secs(1));
        let rest = merges.rests_until.expect("it rests") - now;
        assert_eq!(merges.failed, count + 1);
        let expected = Duration::from_secs(1 << count.min(RESTS_DOUBLED_MAX));
        assert!(rest >= expected && rest >= before, "{rest:?} after {count}");
        before = expected;
    }
}
