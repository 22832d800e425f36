//! Tests of whom is asked first.

use super::*;
use crate::matcher::placed::fixture::{fake, gallery_head, nodes_of, tenant};
use crate::matcher::placed::record::{LOOK_EVERY, MISSES_MAX};

fn nodes(count: usize, replicas: usize) -> Nodes {
    let rows = Arc::default();
    let fakes: Vec<_> = (0..count).map(|_| Arc::new(fake(&rows, 1, 0))).collect();
    nodes_of(&fakes, replicas)
}

fn parts(count: u32) -> BTreeSet<Part> {
    (0..count).map(Part::Group).collect()
}

fn gallery() -> Gallery {
    gallery_head(0, 1).gallery
}

#[tokio::test(start_paused = true)]
async fn the_owners_of_each_part_take_turns_and_all_are_named() {
    let nodes = nodes(7, 3);
    for part in parts(20) {
        let owners = nodes.owners(gallery(), part);
        for turn in 0..6 {
            let plan = nodes.plan(&tenant(), gallery(), &[part].into(), turn);
            let mut order: Vec<NodeId> = plan[&part].iter().copied().collect();
            order.rotate_right(turn % 3);
            assert_eq!(order, *owners);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_nothing_is_asked_last_and_once_a_second_first() {
    let nodes = nodes(3, 3);
    let mute = NodeId(1);
    for _ in 0..MISSES_MAX {
        nodes.peers[&mute].record.lock().missed(Instant::now());
    }
    let places = |nodes: &Nodes, turn| -> Vec<usize> {
        let plan = nodes.plan(&tenant(), gallery(), &parts(5), turn);
        let place = |order: &VecDeque<NodeId>| order.iter().position(|node| *node == mute);
        plan.values().filter_map(place).collect()
    };
    for turn in 0..6 {
        assert_eq!(places(&nodes, turn), [2; 5]);
    }
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(places(&nodes, 0), [0; 5]);
    assert_eq!(places(&nodes, 1), [2; 5]);
    let others = self::nodes(3, 3).after(&nodes);
    assert_eq!(places(&others, 1), [2; 5], "it is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_holder_is_not_asked() {
    let mut nodes = nodes(3, 2);
    nodes.peers.remove(&NodeId(0));
    let plan = nodes.plan(&tenant(), gallery(), &parts(50), 0);
    assert!(plan.values().all(|order| !order.contains(&NodeId(0))));
    assert!(plan.values().any(|order| order.len() == 1));
    assert!(plan.values().any(|order| order.len() == 2));
}
