//! Nodes that are slow: nobody waits for them as long as they take.

use super::fixture::{Act, TOOK, World, query};
use super::record::MISSES_MAX;
use super::tests::{LOOK, drain, pair};
use super::*;
use crate::cluster::placement::NodeId;

/// When somebody else is asked in a node's place, by its own calls alone.
fn hedge_after(world: &World, node: usize) -> Duration {
    let nodes = world.asker.nodes.load();
    let node = NodeId(u128::try_from(node).expect("few nodes"));
    let peer = nodes.peer(node).expect("there is such a node");
    peer.record.lock().hedge_after()
}

#[tokio::test(start_paused = true)]
async fn a_node_on_which_callers_ran_out_of_time_is_asked_last() {
    let (world, first, second) = pair();
    world.warm_up().await;
    world.script(first, [Act::Hang]);
    for _ in 0..2 * MISSES_MAX {
        // Nobody else may be asked meanwhile.
        drain(&world);
        let _ = world.asker.search(query(Some(TOOK * 6))).await;
    }
    for node in [first, second] {
        world.nodes[node].calls.lock().clear();
    }
    for _ in 0..4 {
        drain(&world);
        world.search().await.expect("the other one answers");
    }
    assert_eq!((world.calls()[first], world.calls()[second]), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_always_slower_than_others_is_not_waited_for_as_long_as_it_takes() {
    let (world, first, second) = pair();
    world.warm_up().await;
    let slow = Duration::from_millis(400);
    world.script(first, [Act::Answer(slow)]);
    while hedge_after(&world, first) < slow {
        drain(&world);
        world.search().await.expect("answered, late");
    }
    world.nodes[second].calls.lock().clear();
    for _ in 0..2 {
        world.asker.budget.earn(1_000);
        let began = Instant::now();
        assert_eq!(world.search().await.expect("answered"), world.whole());
        assert!(began.elapsed() <= LOOK + TOOK * 6, "{:?}", began.elapsed());
    }
    assert_eq!(world.calls()[second], 2);
}

#[tokio::test(start_paused = true)]
async fn others_have_half_of_the_time_that_is_left() {
    let (world, first, _) = pair();
    world.script(first, [Act::Hang]);
    // Nothing is known of either, and so nobody is slow before 50 ms.
    let answer = world.asker.search(query(Some(TOOK * 4))).await;
    assert_eq!(answer.expect("the other one answers"), world.whole());
}
