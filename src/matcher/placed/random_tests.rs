//! Random galleries on nodes that fail at random: the answer is that over the whole gallery, or an error. And what hedging is worth, on a clock that nobody waits for.

use proptest::prelude::*;

use super::budget::{CALLS_PER_EXTRA, EXTRAS_MAX};
use super::fixture::{Act, Row, World, brute, query, rank_query, rows, tenant};
use super::*;
use crate::cluster::placement::Part;
use crate::cluster::question::Refusal;

const SEGMENTS: u32 = 4;

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![Just(Part::Fresh), (0..SEGMENTS).prop_map(Part::Group)]
}

/// Errors that others may make good.
fn failure() -> impl Strategy<Value = NodeError> {
    prop_oneof![
        Just(NodeError::NodeUnavailable {
            node: "match-1".to_owned(),
            reason: "connection refused".to_owned(),
        }),
        Just(NodeError::Exhausted {
            limit: "engine.queue_max",
            value: 1,
            retry_after: Duration::ZERO,
        }),
        Just(NodeError::DeadlineExceeded),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..120_u64).prop_map(|millis| Act::Answer(Duration::from_millis(millis))),
        2 => prop::collection::btree_set(part(), 1..4).prop_map(Act::Lacks),
        1 => Just(Act::Refuse(Refusal::ViewGone)),
        1 => failure().prop_map(Act::Fail),
        1 => Just(Act::Hang),
    ]
}

/// What a node does all the time. That its view is gone is nothing that others can make good.
fn nature() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..120_u64).prop_map(|millis| Act::Answer(Duration::from_millis(millis))),
        3 => prop::collection::btree_set(part(), 1..4).prop_map(Act::Lacks),
        1 => failure().prop_map(Act::Fail),
        1 => verdict().prop_map(Act::Fail),
        1 => Just(Act::Hang),
    ]
}

fn verdict() -> impl Strategy<Value = NodeError> {
    prop_oneof![
        Just(NodeError::TransformStale { tenant: tenant() }),
        Just(NodeError::TenantUnknown(tenant())),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    (0..8_u32, part(), 0..8_u8).prop_map(|(subject, part, score)| Row {
        subject,
        part,
        score: f32::from(score) / 8.0,
    })
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Rows move on with each reading, so that answers to two readings, a part twice or a part left out show in who is found or in how many rows were searched.
    #[test]
    fn an_answer_is_the_whole_one_or_an_error(
        rows in prop::collection::vec(row(), 0..40),
        acts in prop::collection::vec(prop::collection::vec(act(), 1..5), 5),
        replicas in 1..4_usize,
        wanted in 1..6_usize,
    ) {
        runtime().block_on(async {
            let world = World::new(5, replicas, SEGMENTS, rows);
            for (node, acts) in acts.into_iter().enumerate() {
                world.script(node, acts);
            }
            let wait = Duration::from_millis(400);
            for number in 0..4 {
                let (threshold, answer) = if number == 3 {
                    let query = tokio::time::timeout(wait, world.asker.rank(rank_query(wanted)));
                    (f32::NEG_INFINITY, query.await.unwrap_or(Err(NodeError::DeadlineExceeded)))
                } else {
                    let mut query = query(Some(wait));
                    query.candidates_max = wanted;
                    (0.5, world.asker.search(query).await)
                };
                match answer {
                    Ok(answer) => prop_assert_eq!(answer, brute(&world.rows, threshold, wanted)),
                    Err(
                        NodeError::PartUnavailable { .. }
                        | NodeError::Exhausted { .. }
                        | NodeError::DeadlineExceeded,
                    ) => {}
                    Err(error) => prop_assert!(false, "{error}"),
                }
            }
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the others do: where each part has an owner that is alive and not behind, there is an answer.
    #[test]
    fn there_is_an_answer_where_each_part_has_an_owner_that_has_it(
        rows in prop::collection::vec(row(), 0..40),
        natures in prop::collection::vec(nature(), 5),
        replicas in 1..4_usize,
    ) {
        runtime().block_on(async {
            let world = World::new(5, replicas, SEGMENTS, rows);
            let has = |node: &usize, part: &Part| match &natures[*node] {
                Act::Answer(_) => true,
                Act::Lacks(parts) => !parts.contains(part),
                _ => false,
            };
            let parts = (0..SEGMENTS).map(Part::Group).chain([Part::Fresh]);
            let owners: Vec<(Part, Vec<usize>)> = parts.map(|part| (part, world.owners(part))).collect();
            let is_had = owners.iter().all(|(part, owners)| owners.iter().any(|owner| has(owner, part)));
            for (node, nature) in natures.iter().enumerate() {
                world.script(node, [nature.clone()]);
            }
            for _ in 0..4 {
                let answer = world.asker.search(query(Some(Duration::from_secs(20)))).await;
                match answer {
                    Ok(answer) => {
                        prop_assert!(is_had);
                        prop_assert_eq!(answer, world.whole());
                    }
                    Err(error) => prop_assert!(!is_had, "{}", error),
                }
            }
            Ok(())
        })?;
    }
}

/// Latencies of questions, one every 5 ms, and how many calls were first ones and further ones.
async fn simulate(may_hedge: bool) -> (Vec<Duration>, usize, usize) {
    let world = World::new(12, 2, 24, rows(24));
    for node in 0..12 {
        world.script(node, [Act::Tail]);
    }
    let mut questions = tokio::task::JoinSet::new();
    for number in 0..2_000_u64 {
        let asker = Arc::clone(&world.asker);
        questions.spawn(async move {
            tokio::time::sleep(Duration::from_millis(5 * number)).await;
            while !may_hedge && asker.budget.spend(1) {}
            let began = Instant::now();
            asker.search(query(None)).await.expect("all nodes answer");
            began.elapsed()
        });
    }
    let mut latencies = questions.join_all().await;
    latencies.sort_unstable();
    let calls: usize = world.calls().iter().sum();
    let first = world.asker.turn.load(Ordering::Relaxed);
    (latencies, first, calls)
}

#[test]
fn hedging_shortens_the_tail_and_stays_within_its_share() {
    let (plain, _, first) = runtime().block_on(simulate(false));
    let (hedged, questions, calls) = runtime().block_on(simulate(true));
    assert_eq!(questions, plain.len());
    let at = |latencies: &[Duration], percent: usize| latencies[latencies.len() * percent / 100];
    for percent in [50, 90, 99] {
        println!(
            "p{percent}: {:?} without, {:?} with hedges",
            at(&plain, percent),
            at(&hedged, percent)
        );
    }
    println!("{first} calls without, {calls} with hedges");
    assert!(at(&hedged, 90) < at(&plain, 90));
    // The first calls are the same ones: the placement is.
    let further = (calls - first) as u64;
    assert!(further > 0 && further <= first as u64 / CALLS_PER_EXTRA + EXTRAS_MAX);
}
