//! Tests of a node that holds parts, by its own catalog and through a front.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::fixture::shared::Shared;
use super::fixture::{Catalog, Galleries};
use super::ground::Ground;
use super::world::*;
use super::*;
use crate::cluster::question::Question;
use crate::engine::{ScanRequest, Survivors};
use crate::matcher::fixture::{DIM, tenant};
use crate::matcher::placed::heads::Heads;
use crate::model::signature::{Dimension, Signature};

pub(super) fn random(rng: &mut ChaCha12Rng) -> Signature {
    let values: Vec<f32> = (0..DIM)
        .map(|_| (0..4).map(|_| rng.random_range(-1.0_f32..1.0)).sum())
        .collect();
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    let unit = values.iter().map(|v| v / norm).collect();
    Signature::new(unit, Dimension::new(DIM).expect("a dimension")).expect("a unit vector")
}

/// Flushes the oldest rows, in both steps.
pub(super) async fn flush(world: &World, rows: usize) {
    let segment = world.catalog.warm(rows).expect("there are some");
    world
        .until("a segment goes live", || world.catalog.go_live(segment))
        .await;
}

/// Two nodes, and a gallery of three segments and some fresh rows.
async fn two(rng: &mut ChaCha12Rng) -> (std::sync::Arc<World>, Vec<Signature>) {
    let world = World::new();
    let people: Vec<Signature> = (0..60).map(|_| random(rng)).collect();
    for id in 1..=2 {
        world.join(id);
        world.serving(id).await;
    }
    for (number, person) in people.iter().enumerate() {
        world
            .catalog
            .enrol(&format!("s{number:03}"), std::slice::from_ref(person));
        if number % 16 == 15 {
            flush(&world, 16).await;
        }
    }
    (world, people)
}

/// The whole gallery as it is now.
async fn scope(world: &World) -> Scope {
    let heads = Shared(std::sync::Arc::clone(&world.catalog));
    let read = heads.read(&[tenant()].into()).await.expect("read");
    let head = read[&tenant()].clone().expect("it is whole");
    let question = Question::new(head.head, &head.view).expect("of one reading");
    question.whole().clone()
}

/// The five best of a gallery as it was after so many changes, found the plain way.
fn best(world: &World, at: u64, probe: &Signature) -> Vec<(f32, String)> {
    let [there, _] = world.catalog.scores(at, at, probe, f32::NEG_INFINITY);
    let best = |(name, scores): (String, Vec<f32>)| (scores.into_iter().fold(f32::MIN, f32::max), name);
    let mut found: Vec<(f32, String)> = there.into_iter().map(best).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    found.truncate(5);
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_answer_as_if_one_had_it_all() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let (world, people) = two(&mut rng).await;
    for probe in people.iter().step_by(7) {
        world.ask(probe).await.expect("all is there");
        let ranked = world
            .asker()
            .rank(rank_query(probe, 5))
            .await
            .expect("all is there");
        let at = world.catalog.head().sequence;
        let names: Vec<(f32, String)> = ranked
            .candidates
            .iter()
            .map(|found| (found.score, found.subject_id.as_str().to_owned()))
            .collect();
        assert_eq!(names, best(&world, at, probe));
    }
    let mut one = query(&people[3], 0.5);
    one.only = Some("s003".parse().expect("an id"));
    let answer = world.asker().search(one.clone()).await.expect("found");
    assert_eq!((answer.candidates.len(), answer.searched), (1, 1));
    one.only = Some("nobody".parse().expect("an id"));
    let error = world
        .asker()
        .search(one)
        .await
        .expect_err("nobody has such a row");
    assert!(matches!(error, NodeError::SubjectUnknown(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_row_is_in_no_gallery_once_nobody_waits_for_it() {
    let mut rng = ChaCha12Rng::seed_from_u64(2);
    let (world, people) = two(&mut rng).await;
    // In a segment, and in the fresh part.
    for number in [5, 59] {
        let (sequence, rows) = world.catalog.erase(&format!("s{number:03}")).expect("enrolled");
        assert_eq!(rows.len(), 1);
        world
            .until("an erasure is acknowledged", || {
                !world.catalog.erasure_waits(sequence)
            })
            .await;
        let nodes: Vec<_> = world.nodes.lock().values().cloned().collect();
        for node in nodes {
            let gallery = node.common.gallery(&tenant()).expect("it follows");
            let stretches = gallery.held.stretches();
            assert!(!stretches.is_empty());
            for stretch in stretches {
                assert!(!stretch.references().contains(&rows[0]));
                let scanned = node.common.engine.scan(ScanRequest {
                    gallery: stretch.gallery(),
                    probe: people[number].values().into(),
                    threshold: 0.99,
                    deterministic: true,
                    deadline: None,
                });
                let survivors = scanned.await.expect("scanned").survivors;
                assert_eq!(survivors, Survivors::Rows(Vec::new()));
            }
        }
        world.ask(&people[number]).await.expect("all is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_fails_is_tried_again_and_nobody_is_answered_without_it() {
    let mut rng = ChaCha12Rng::seed_from_u64(3);
    let (world, people) = two(&mut rng).await;
    world.catalog.script.lock().failures = usize::MAX;
    let late = world.join(3);
    let scope = scope(&world).await;
    // It has come as far as the scope, and has failed at least once.
    let is_tried = || world.catalog.script.lock().failures < usize::MAX - 3;
    world.until("loads fail", is_tried).await;
    let query = query(&people[0], 0.3);
    for part in &scope.parts {
        let one = Scope {
            parts: [*part].into(),
            ..scope.clone()
        };
        let refused = late.search(&query, &one).await.expect_err("it is not there");
        assert!(
            matches!(refused, PartError::Refused(Refusal::PartsBehind(ref behind)) if *behind == one.parts),
            "{refused}"
        );
    }
    assert_eq!(world.catalog.life(NodeId(3)), Some(Life::Joining));
    world.catalog.script.lock().failures = 0;
    world.serving(3).await;
    world.ask(&people[0]).await.expect("all is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_course_that_ends_during_a_search_gives_no_answer() {
    let mut rng = ChaCha12Rng::seed_from_u64(4);
    let (world, people) = two(&mut rng).await;
    let node = world.nodes.lock()[&NodeId(1)].clone();
    let scope = scope(&world).await;
    world.catalog.script.lock().holds_descriptions = true;
    let searching = {
        let (node, scope, query) = (node.clone(), scope.clone(), query(&people[0], 0.3));
        tokio::spawn(async move { node.search(&query, &scope).await })
    };
    world
        .until("the search has its rows", || world.catalog.script.lock().held > 0)
        .await;
    world.catalog.make_anew();
    let gallery = node.common.gallery(&tenant()).expect("it follows");
    let is_next = || gallery.held.course(|course| course.edition().incarnation) == Some(2);
    world.until("the next course begins", is_next).await;
    world.catalog.script.lock().holds_descriptions = false;
    world.catalog.changed.notify_all();
    let refused = searching.await.expect("it ends").expect_err("its rows have gone");
    assert!(
        matches!(refused, PartError::Refused(Refusal::ViewGone)),
        "{refused}"
    );
    // A later question of the former edition.
    let refused = node.search(&query(&people[0], 0.3), &scope).await;
    assert!(matches!(refused, Err(PartError::Refused(Refusal::ViewGone))));
    world
        .ask(&people[0])
        .await
        .expect("nobody is enrolled, and that is found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_fenced_lets_go_of_all_and_begins_anew() {
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    let (world, people) = two(&mut rng).await;
    assert!(world.catalog.fence_now(NodeId(2)));
    let generation = || {
        let members = world.catalog.members();
        members
            .current(NodeId(2))
            .map(|node| (node.generation, node.life))
    };
    let is_back = || generation() == Some((2, Life::Serving));
    world.until("it is back", is_back).await;
    let (sequence, _) = world.catalog.erase("s001").expect("enrolled");
    world
        .until("nobody waits for its former self", || {
            !world.catalog.erasure_waits(sequence)
        })
        .await;
    world.ask(&people[1]).await.expect("all is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gallery_that_is_left_and_taken_again_has_courses_of_other_numbers() {
    let mut rng = ChaCha12Rng::seed_from_u64(9);
    let (world, people) = two(&mut rng).await;
    let node = world.nodes.lock()[&NodeId(1)].clone();
    let course = || {
        let gallery = node.common.gallery(&tenant())?;
        gallery.held.course(crate::cluster::course::Course::number)
    };
    let before = course().expect("it follows");
    world.catalog.script.lock().galleries = Galleries::Hidden;
    world.until("it has left", || node.common.all().is_empty()).await;
    world.catalog.script.lock().galleries = Galleries::Told;
    world.until("it follows again", || course().is_some()).await;
    assert!(course() > Some(before));
    let is_back = || node.common.all().iter().all(|gallery| gallery.is_settled());
    world.until("it has all", is_back).await;
    world.ask(&people[0]).await.expect("all is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_move_to_who_joins_and_back_from_who_drains() {
    let mut rng = ChaCha12Rng::seed_from_u64(6);
    let (world, people) = two(&mut rng).await;
    let pieces = |id: u128| {
        let node = world.nodes.lock()[&NodeId(id)].clone();
        let gallery = node.common.gallery(&tenant());
        let held = gallery.and_then(|gallery| gallery.held.course(crate::cluster::course::Course::held));
        held.unwrap_or_default().len()
    };
    assert_eq!((pieces(1), pieces(2)), (4, 4), "each part has two owners");
    for id in 3..=4 {
        world.join(id);
        world.serving(id).await;
        world.ask(&people[2]).await.expect("all is there");
    }
    // Three segments and the fresh part, each with two owners.
    let all = || (1..=4).map(pieces).sum::<usize>() == 8;
    world.until("the former owners let go", all).await;
    world.ask(&people[3]).await.expect("all is there");
    for id in 1..=2 {
        let node = world.nodes.lock()[&NodeId(id)].clone();
        node.drain().await;
        assert_eq!(world.catalog.life(NodeId(id)), None, "it is gone");
        assert!(node.common.all().is_empty());
        world.ask(&people[4]).await.expect("others have it");
    }
    assert_eq!((pieces(3), pieces(4)), (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_dropped_ends_its_tasks_and_lets_go_of_all() {
    let mut rng = ChaCha12Rng::seed_from_u64(7);
    let (world, _) = two(&mut rng).await;
    let node = world.nodes.lock().remove(&NodeId(1)).expect("it is there");
    let engine = node.common.engine.clone();
    let gallery = node.common.gallery(&tenant()).expect("it follows");
    let galleries: Vec<_> = gallery.held.stretches().iter().map(|one| one.gallery()).collect();
    let tasks = node.common.tasks.clone();
    drop((gallery, node));
    tasks.close();
    tasks.wait().await;
    for gallery in galleries {
        assert_eq!(engine.resident_bytes(gallery), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_of_another_edition_or_of_later_changes_is_refused() {
    let mut rng = ChaCha12Rng::seed_from_u64(8);
    let (world, people) = two(&mut rng).await;
    let node = world.nodes.lock()[&NodeId(1)].clone();
    let now = scope(&world).await;
    let query = query(&people[0], 0.3);
    let later = Scope {
        at_least: now.at_least + 1,
        ..now.clone()
    };
    let refused = node.search(&query, &later).await;
    assert!(
        matches!(&refused, Err(PartError::Refused(Refusal::PartsBehind(behind))) if *behind == later.parts),
        "{refused:?}"
    );
    // A change that comes while the question waits is looked for at once.
    world.catalog.enrol("late", std::slice::from_ref(&people[0]));
    let answer = node.search(&query, &later).await.expect("it has come so far");
    assert!(
        answer
            .candidates
            .iter()
            .any(|found| found.subject_id.as_str() == "late")
    );
    let mut stale = query.clone();
    stale.transform.version += 1;
    let error = node.search(&stale, &now).await.expect_err("another rotation");
    assert!(
        matches!(error, PartError::Node(NodeError::TransformStale { .. })),
        "{error}"
    );
    let mut other = query.clone();
    other.tenant = "other".parse().expect("an id");
    let refused = node.search(&other, &now).await;
    assert!(matches!(
        refused,
        Err(PartError::Refused(Refusal::PartsBehind(_)))
    ));
}

/// Tells of galleries again once it is dropped, whatever became of the test.
struct Release<'a>(&'a Catalog);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.script.lock().galleries = Galleries::Told;
        self.0.changed.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_round_hangs_lives_on_and_fences_who_does_not() {
    let world = World::new();
    world.join(1);
    world.serving(1).await;
    world.catalog.script.lock().galleries = Galleries::Held;
    let _release = Release(&world.catalog);
    let silent = NodeId(9);
    let register = world.catalog.register(silent);
    let generation = register.register(silent, 1).expect("registered");
    register
        .advance(silent, generation, Life::Serving)
        .expect("it is new");
    world
        .until("who is silent is gone", || world.catalog.life(silent).is_none())
        .await;
    // As it was when its round began to hang.
    assert_eq!(world.catalog.life(NodeId(1)), Some(Life::Serving));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_rounds_gives_no_sign_of_life() {
    let world = World::new();
    let node = world.join(1);
    world.serving(1).await;
    let tasks = node.common.tasks.len();
    world.catalog.script.lock().galleries = Galleries::Broken;
    let ended = "its rounds, its beats, and its looks at others end";
    world.until(ended, || node.common.tasks.len() + 3 == tasks).await;
    assert!(node.life().has_changed().is_err(), "nobody tells of it any more");
}
