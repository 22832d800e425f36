//! Nodes over a catalog in PostgreSQL and segments in an object store, through a front: each answer is that of a loop over the whole gallery, or there is none.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use super::ground::Ground;
use super::random_tests::live_through;
use super::real::Real;
use super::tests::random;
use super::world::World;
use crate::cluster::placement::NodeId;
use crate::cluster::view::Segment;
use crate::matcher::fixture::tenant;
use crate::model::signature::Signature;

/// Nodes that serve.
pub(super) async fn nodes(ground: &Arc<Real>, count: u128) -> Arc<World<Real>> {
    let world = World::on(Arc::clone(ground));
    for id in 1..=count {
        world.join(id);
        world.serving(id).await;
    }
    world
}

pub(super) fn people(ground: &Real, seed: u64, count: usize) -> Vec<Signature> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let people: Vec<Signature> = (0..count).map(|_| random(&mut rng)).collect();
    for (number, person) in people.iter().enumerate() {
        ground.enrol(&format!("s{number:03}"), std::slice::from_ref(person));
    }
    people
}

pub(super) async fn ask_for_all(world: &World<Real>, people: &[Signature]) {
    for person in people {
        world.ask(person).await.expect("all is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_is_that_of_the_gallery_in_the_database() {
    let Some(ground) = Real::new() else { return };
    live_through(ground, 1, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_owns_the_fresh_part_flushes_it_and_everybody_is_found_all_the_while() {
    let Some(ground) = Real::new() else { return };
    let world = nodes(&ground, 2).await;
    let people = people(&ground, 2, 40);
    ask_for_all(&world, &people).await;
    // Fewer rows than a flush takes are left in the end.
    let is_flushed = || ground.fresh_rows() < ground.config().flush_rows;
    world.until("the fresh part is flushed", is_flushed).await;
    assert!(ground.head().list > 0);
    ask_for_all(&world, &people).await;
    let (sequence, rows) = ground.erase("s000").expect("enrolled");
    assert_eq!(rows, [1]);
    world
        .until("the erasure is acknowledged", || !ground.erasure_waits(sequence))
        .await;
    ask_for_all(&world, &people).await;
    // The same rows again are refused, and what was written for them is no object any more.
    world
        .until("no segment is warming", || {
            ground.segments().values().all(|state| *state != Segment::Warming)
        })
        .await;
    // The object with who was erased goes with a purge.
    world.until("the erasure is purged", || ground.is_purged()).await;
    world
        .until("each object is listed", || {
            ground.object_files().len() == ground.read().objects.len()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_segments_become_one_and_nothing_is_left_of_the_former_ones() {
    let Some(ground) = Real::new() else { return };
    let world = nodes(&ground, 2).await;
    let mut rng = ChaCha12Rng::seed_from_u64(21);
    let mut people = Vec::new();
    // Three flushes at least, and some rows that are none.
    for rows in [12, 12, 12, 4] {
        for _ in 0..rows {
            let person = random(&mut rng);
            ground.enrol(&format!("s{:03}", people.len()), std::slice::from_ref(&person));
            people.push(person);
        }
        world
            .until("they are flushed", || {
                ground.fresh_rows() < ground.config().flush_rows
            })
            .await;
    }
    ask_for_all(&world, &people).await;
    let is_merged = || ground.fresh_rows() < ground.config().flush_rows && ground.live().len() == 1;
    world
        .until("all but the fresh part is one segment", is_merged)
        .await;
    ask_for_all(&world, &people).await;
    let is_gone = || {
        let read = ground.read();
        !(read.has_unlisted || read.has_retired)
            && read.objects.len() == 1
            && ground.remnants(0..2).is_empty()
    };
    world
        .until("the former objects and their copies are gone", is_gone)
        .await;
    world
        .until("so are their rows in memory", || {
            let nodes = world.nodes.lock();
            nodes.values().all(|node| {
                let gallery = node.common.gallery(&tenant()).expect("it has some");
                let rows = gallery
                    .held
                    .stretches()
                    .iter()
                    .map(|stretch| stretch.len())
                    .sum::<usize>();
                rows == people.len()
            })
        })
        .await;
    ask_for_all(&world, &people).await;
    let (_, rows) = ground.erase("s000").expect("enrolled");
    assert_eq!(rows, [1]);
    world.until("the erasure is purged", || ground.is_purged()).await;
    assert_eq!(ground.remnants(0..2), Vec::<std::path::PathBuf>::new());
    ask_for_all(&world, &people[1..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lacks_an_object_does_not_serve_until_it_is_back() {
    let Some(ground) = Real::new() else { return };
    let world = nodes(&ground, 2).await;
    let people = people(&ground, 3, 12);
    world.until("a segment is live", || ground.head().list > 0).await;
    let aside = ground.object_files().into_iter().map(|file| {
        let aside = file.with_extension("aside");
        std::fs::rename(&file, &aside).expect("moved");
        (file, aside)
    });
    let aside: Vec<_> = aside.collect();
    assert!(!aside.is_empty());
    // The others have what they need in memory, and in their caches.
    let late = world.join(3);
    world
        .until("its load has failed", || {
            !late
                .common
                .all()
                .iter()
                .all(|gallery| gallery.diary.lock().retry.is_empty())
        })
        .await;
    assert_eq!(
        ground.life(NodeId(3)),
        Some(crate::cluster::members::Life::Joining)
    );
    ask_for_all(&world, &people).await;
    for (file, aside) in aside {
        std::fs::rename(aside, file).expect("moved");
    }
    world.serving(3).await;
    ask_for_all(&world, &people).await;
}
