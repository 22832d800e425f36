//! Tests of purges by nodes, over PostgreSQL and a directory as store: a receipt says that a row is gone once nothing is left of it, whoever dies meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ground::Ground;
use super::real::Real;
use super::real_tests::{ask_for_all, nodes, people};
use super::world::World;
use crate::cluster::placement::{NodeId, Part};
use crate::cluster::view::Segment;
use crate::matcher::fixture::{tenant, transform};
use crate::model::signature::Signature;

/// Two nodes and people in live segments, as far as flushes take them, merged as far as they are, and nothing that these gave up or replaced.
async fn flushed(ground: &Arc<Real>, seed: u64) -> (Arc<World<Real>>, Vec<Signature>) {
    let world = nodes(ground, 2).await;
    let people = people(ground, seed, 40);
    let is_flushed = || {
        let read = ground.read();
        let mut segments = read.reading.view().segments().values();
        ground.fresh_rows() < ground.config().flush_rows
            && read.live.len() < ground.config().merge_segments
            && segments.all(|state| *state != Segment::Warming)
            && !(read.has_unlisted || read.has_retired)
    };
    world.until("the fresh part is flushed", is_flushed).await;
    (world, people)
}

async fn stop_all(world: &World<Real>) {
    let nodes: Vec<_> = world.nodes.lock().drain().collect();
    for (id, node) in nodes {
        node.stop().await;
        assert!(world.catalog.fence_now(id));
    }
}

async fn purged(world: &World<Real>) {
    world
        .until("who was erased is purged", || world.catalog.is_purged())
        .await;
}

/// The node that owns the fresh part first, and another one.
fn first_and_other(world: &World<Real>) -> (NodeId, NodeId) {
    let nodes = world.nodes.lock();
    let is_first = |id: &&NodeId| {
        let gallery = nodes[*id].common.gallery(&tenant()).expect("it has some");
        let target = gallery.target().expect("it is to have some");
        target.owners.is_first(target.listed.gallery, Part::Fresh)
    };
    let first = *nodes.keys().find(is_first).expect("somebody is");
    let other = *nodes.keys().find(|id| **id != first).expect("there are two");
    (first, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_row_leaves_the_store_and_the_caches_of_all_nodes() {
    let Some(ground) = Real::new() else { return };
    let (world, people) = flushed(&ground, 11).await;
    let before = ground.read().objects;
    for name in ["s000", "s013", "s039"] {
        ground.erase(name).expect("enrolled");
    }
    purged(&world).await;
    let after = ground.read().objects;
    assert!(
        before.difference(&after).count() >= 1,
        "the first one was in an object"
    );
    assert_eq!(ground.remnants(0..2), Vec::<std::path::PathBuf>::new());
    ask_for_all(&world, &people).await;
    // Nothing is left to do, and a new one is done again.
    ground.erase("s001").expect("enrolled");
    purged(&world).await;
    assert_eq!(ground.remnants(0..2), Vec::<std::path::PathBuf>::new());
    ask_for_all(&world, &people).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_has_copies_of_what_was_written_anew_before_the_former_ones_go() {
    let Some(ground) = Real::new() else { return };
    let (world, people) = flushed(&ground, 17).await;
    ask_for_all(&world, &people).await;
    let before = ground.read().objects;
    ground.erase("s000").expect("enrolled");
    purged(&world).await;
    let listed = ground.read().objects;
    assert!(before.difference(&listed).count() >= 1);
    for number in 0..2 {
        let here = ground.copies(number);
        assert!(listed.is_subset(&here), "node {number}: {listed:?}, {here:?}");
    }
    // Whoever needed an object from now on would fail.
    for file in ground.object_files() {
        std::fs::remove_file(&file).expect("removed");
    }
    // Each of them is asked first now and then.
    for _ in 0..4 {
        ask_for_all(&world, &people[1..]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_left_that_died_is_gone_before_anything_is_said() {
    let Some(ground) = Real::new() else { return };
    let (world, people) = flushed(&ground, 12).await;
    stop_all(&world).await;
    ground.enrol("late", people.get(..1).expect("there are some"));
    ground.die_in_a_flush();
    ground.erase("s000").expect("enrolled");
    ground.erase("s039").expect("enrolled");
    ground.die_in_a_purge();
    assert!(!ground.remnants(2..2).is_empty());
    assert!(!ground.is_purged());
    for id in [1, 2] {
        world.join(id);
        world.serving(id).await;
    }
    purged(&world).await;
    assert_eq!(ground.remnants(2..4), Vec::<std::path::PathBuf>::new());
    ask_for_all(&world, &people).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_stopped_is_waited_for_until_it_is_gone() {
    let Some(ground) = Real::new() else { return };
    let (world, people) = flushed(&ground, 13).await;
    let (first, other) = first_and_other(&world);
    let stopped = world.nodes.lock().remove(&other).expect("it is there");
    stopped.stop().await;
    ground.erase("s000").expect("enrolled");
    let waits = || {
        let nodes = world.nodes.lock();
        let gallery = nodes[&first].common.gallery(&tenant());
        gallery.is_some_and(|gallery| gallery.purge.lock().has_erasures())
    };
    world.until("the purge of it waits", waits).await;
    let commits = ground.read().commits;
    world
        .until("the other one is waited for alone", || {
            ground.untidy(commits).into_iter().eq([other])
        })
        .await;
    assert!(!ground.is_purged());
    assert!(
        !ground.remnants(0..2).is_empty(),
        "it may be read by the other one"
    );
    assert!(ground.fence_now(other));
    purged(&world).await;
    assert!(ground.object_files().len() == ground.read().objects.len());
    ask_for_all(&world, &people).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_purge_at_once_do_it_once() {
    let Some(ground) = Real::new() else { return };
    let (world, _) = flushed(&ground, 14).await;
    stop_all(&world).await;
    ground.erase("s000").expect("enrolled");
    ground.erase("s013").expect("enrolled");
    let before = ground.read().objects;
    std::thread::scope(|scope| {
        for id in [3, 4] {
            let register = ground.register(NodeId(id));
            let ground = &ground;
            scope.spawn(move || {
                register.register(NodeId(id), 1).expect("registered");
                let gallery = register.open(&tenant());
                let begun = Instant::now();
                while !ground.is_purged() {
                    assert!(begun.elapsed() < Duration::from_mins(1), "it does not end");
                    register.galleries().expect("read");
                    // Whoever reads what the other one has replaced and deleted, or ended, begins anew.
                    if gallery.rewrite().is_ok()
                        && let Ok(Some(purging)) = gallery.forget_copies()
                    {
                        assert!(gallery.purge(&purging).expect("nobody follows"));
                    }
                }
                // Copies of former objects go once those of the next ones are here.
                while !ground.remnants(2..4).is_empty() {
                    assert!(begun.elapsed() < Duration::from_mins(1), "they do not go");
                    register.galleries().expect("read");
                }
            });
        }
    });
    let after = ground.read().objects;
    assert!(before.difference(&after).count() >= 1, "one had an erased row");
    assert_eq!(ground.remnants(2..4), Vec::<std::path::PathBuf>::new());
}

#[test]
fn rows_are_read_from_the_object_that_holds_them_now() {
    let Some(ground) = Real::new() else { return };
    people(&ground, 15, 4);
    let segment = ground.warm(4).expect("there are rows");
    let register = ground.register(NodeId(1));
    register.register(NodeId(1), 1).expect("registered");
    register.galleries().expect("read");
    let gallery = register.open(&tenant());
    let read = |rows: &[u32]| {
        let rows = gallery.exact((segment, &transform(7)), rows).expect("read");
        let ids = rows.into_iter().map(|row| row.map_or(0, |row| row.id.reference));
        ids.collect::<Vec<u64>>()
    };
    assert_eq!(read(&[0, 3]), [1, 4]);
    ground.erase("s000").expect("enrolled");
    let former = ground.object_files();
    ground.die_in_a_purge();
    // As it is before this node has looked again, and after it.
    for file in former {
        std::fs::remove_file(file).expect("removed");
    }
    assert_eq!(read(&[0, 3]), [0, 4]);
    register.galleries().expect("read");
    assert_eq!(read(&[0, 3]), [0, 4]);
    assert_eq!(ground.remnants(0..1), Vec::<std::path::PathBuf>::new());
}
