//! Tests of asking while the head is read: it saves time where nothing happened, and no answer is by a head that is not the one that was read.

use std::collections::BTreeSet;

use super::fixture::{Act, TOOK, World, rows};
use super::tests::LOOK;
use super::*;
use crate::cluster::question::Refusal;

/// A gallery to which nothing happens from now on, as a front knows after two readings.
async fn still() -> World {
    let world = World::new(4, 2, 6, rows(6));
    *world.still_from.lock() = Some(1);
    for _ in 0..2 {
        world.search().await.expect("all nodes answer");
    }
    for node in &world.nodes {
        node.calls.lock().clear();
    }
    world
}

/// Sequences that nodes were asked for, and how long it took.
async fn asked(world: &World) -> (BTreeSet<u64>, Duration) {
    let began = Instant::now();
    let answer = world.search().await.expect("all nodes answer");
    assert_eq!(answer.candidates, world.whole().candidates);
    let calls = world
        .nodes
        .iter()
        .flat_map(|node| std::mem::take(&mut *node.calls.lock()));
    (calls.map(|(scope, _)| scope.at_least).collect(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_head_is_read_while_nodes_are_asked_where_nothing_happens() {
    let world = still().await;
    let before = *world.readings.lock();
    for reading in 1..=5 {
        assert_eq!(
            asked(&world).await,
            ([1].into(), TOOK),
            "the reading costs no time"
        );
        assert_eq!(*world.readings.lock(), before + reading, "and each has its own");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_by_another_head_than_was_read_does_not_count() {
    let world = still().await;
    // Something happens: the next reading has another sequence.
    *world.still_from.lock() = Some(*world.readings.lock() + 1);
    let (sequences, took) = asked(&world).await;
    assert_eq!(took, LOOK + TOOK, "asked again after the reading");
    assert_eq!(sequences, [1, *world.readings.lock()].into());
    let now = *world.readings.lock();
    assert_eq!(
        asked(&world).await,
        ([now].into(), LOOK + TOOK),
        "it may go on to move"
    );
    assert_eq!(asked(&world).await, ([now].into(), TOOK));
    // The answers were there before the reading: they are no sooner its own.
    *world.still_from.lock() = Some(*world.readings.lock() + 1);
    for node in 0..4 {
        world.script(node, [Act::Answer(Duration::ZERO)]);
    }
    let (sequences, _) = asked(&world).await;
    assert_eq!(sequences, [now, *world.readings.lock()].into());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_counts_as_an_answer_does() {
    let world = still().await;
    let before = *world.readings.lock();
    for node in 0..4 {
        world.script(node, [Act::Refuse(Refusal::ViewGone), Act::Answer(TOOK)]);
    }
    world.search().await.expect("asked again");
    assert_eq!(
        *world.readings.lock(),
        before + 2,
        "a view that is gone is read again"
    );
}
