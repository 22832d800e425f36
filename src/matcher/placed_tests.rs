//! Tests of an identification over many nodes, on a clock that a test moves: who is asked when, what a failure costs, and that an answer is the whole one.

use std::collections::BTreeSet;

use super::budget::EXTRAS_MAX;
use super::fixture::{Act, Row, TOOK, World, brute, query, rank_query, rows, tenant};
use super::record::{HEDGE_UNKNOWN, MISSES_MAX};
use super::*;
use crate::cluster::placement::{NodeId, Part};
use crate::cluster::question::{READINGS_MAX, Refusal};
use crate::model::decision::CANDIDATES_MAX;
use crate::model::reject::Rejected;

/// A reading of the head, and a refusal.
pub(super) const LOOK: Duration = Duration::from_millis(1);

pub(super) fn unreachable() -> NodeError {
    NodeError::NodeUnavailable {
        node: "match-1".to_owned(),
        reason: "connection refused".to_owned(),
    }
}

pub(super) fn exhausted() -> NodeError {
    NodeError::Exhausted {
        limit: "engine.queue_max",
        value: 4_096,
        retry_after: LOOK,
    }
}

/// Two nodes that own the one part, the one that is asked next first.
pub(super) fn pair() -> (World, usize, usize) {
    let world = World::new(2, 2, 0, rows(0));
    let owners = world.owners(Part::Fresh);
    (world, owners[0], owners[1])
}

pub(super) fn drain(world: &World) {
    while world.asker.budget.spend(1) {}
}

/// As errors name it.
fn name(part: Part) -> String {
    match part {
        Part::Fresh => "fresh".to_owned(),
        Part::Group(number) => format!("group {number}"),
    }
}

pub(super) fn part_of(error: &NodeError) -> (&str, &str) {
    match error {
        NodeError::PartUnavailable { part, reason, .. } => (part, reason),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_part_is_asked_once_and_those_of_a_node_in_one_call() {
    let world = World::new(5, 2, 12, rows(12));
    let mut asked_before = Vec::new();
    for _ in 0..2 {
        assert_eq!(world.search().await.expect("all answer"), world.whole());
        assert!(world.calls().iter().all(|calls| *calls <= 1));
        let asked: Vec<BTreeSet<Part>> = world.nodes.iter().flat_map(|node| node.parts_asked()).collect();
        assert_eq!(asked.iter().map(BTreeSet::len).sum::<usize>(), 13);
        assert_eq!(asked.iter().flatten().collect::<BTreeSet<_>>().len(), 13);
        let who: Vec<Vec<BTreeSet<Part>>> = world.nodes.iter().map(|node| node.parts_asked()).collect();
        for node in &world.nodes {
            node.calls.lock().clear();
        }
        asked_before.push(who);
    }
    // The replicas take turns: no node is asked for a part twice.
    for (one, other) in asked_before[0].iter().zip(&asked_before[1]) {
        let (one, other): (BTreeSet<&Part>, BTreeSet<&Part>) =
            (one.iter().flatten().collect(), other.iter().flatten().collect());
        assert!(one.is_disjoint(&other));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_answer_is_replaced_by_the_next_owner() {
    let acts = [
        Act::Refuse(Refusal::PartsBehind([Part::Fresh].into())),
        Act::Fail(unreachable()),
        Act::Fail(exhausted()),
        Act::Fail(NodeError::TenantUnavailable {
            tenant: tenant(),
            reason: "A.seg is damaged".to_owned(),
        }),
        Act::Fail(NodeError::StorageRefused("full".to_owned())),
        Act::Fail(NodeError::Internal("row 7".to_owned())),
        Act::Fail(NodeError::DeadlineExceeded),
    ];
    for act in acts {
        let (world, first, second) = pair();
        world.script(first, [act.clone()]);
        let began = Instant::now();
        let answer = world
            .search()
            .await
            .unwrap_or_else(|error| panic!("{act:?}: {error}"));
        assert_eq!(answer, world.whole(), "{act:?}");
        assert_eq!(began.elapsed(), LOOK + LOOK + TOOK, "{act:?}");
        assert_eq!((world.calls()[first], world.calls()[second]), (1, 1), "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_request_ends_it_at_once() {
    let error = NodeError::Rejected(Rejected::new("probe", "has 3 coordinates"));
    let (world, first, second) = pair();
    world.script(first, [Act::Fail(error.clone())]);
    let told = world.search().await.expect_err("it is refused");
    assert_eq!(told.to_string(), error.to_string());
    assert_eq!(world.calls()[second], 0);
}

/// Two nodes with all parts of a gallery, the one that is asked first for two of them, and these.
pub(super) fn two_parts_of_one_call() -> (World, usize, [Part; 2]) {
    let world = World::new(2, 2, 4, rows(4));
    let parts = (0..4).map(Part::Group).chain([Part::Fresh]);
    let (zero, one): (Vec<Part>, Vec<Part>) = parts.partition(|part| world.owners(*part)[0] == 0);
    let (first, parts) = if zero.len() > 1 { (0, zero) } else { (1, one) };
    (world, first, [parts[0], parts[1]])
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_lack_a_part_each_answer_together() {
    let (world, first, parts) = two_parts_of_one_call();
    world.script(first, [Act::Lacks([parts[0]].into())]);
    world.script(1 - first, [Act::Lacks([parts[1]].into())]);
    for _ in 0..4 {
        assert_eq!(world.search().await.expect("each part has a node"), world.whole());
    }
    world.script(first, [Act::Lacks([parts[1]].into())]);
    let error = world.search().await.expect_err("nobody has it");
    assert_eq!(part_of(&error).0, name(parts[1]));
}

#[tokio::test(start_paused = true)]
async fn so_they_do_where_the_first_was_slow_to_say_so() {
    let (world, first, parts) = two_parts_of_one_call();
    world.warm_up().await;
    let late = Act::RefuseLate(TOOK * 2, Refusal::PartsBehind([parts[0]].into()));
    world.script(first, [late, Act::Lacks([parts[0]].into())]);
    world.script(1 - first, [Act::Lacks([parts[1]].into())]);
    assert_eq!(world.search().await.expect("each part has a node"), world.whole());
}

#[tokio::test(start_paused = true)]
async fn a_second_owner_is_asked_after_the_percentile_and_the_slow_call_is_taken_back() {
    let (world, first, second) = pair();
    world.warm_up().await;
    world.script(first, [Act::Hang]);
    let began = Instant::now();
    let search = world.search();
    let mut search = std::pin::pin!(search);
    // The head is read after 1 ms, and 95 of 100 calls took no longer than 10 ms.
    let early = Duration::from_millis(10);
    assert!(tokio::time::timeout(early, &mut search).await.is_err());
    assert_eq!((world.calls()[first], world.calls()[second]), (1, 0));
    assert_eq!(search.await.expect("the other answers"), world.whole());
    assert_eq!(began.elapsed(), LOOK + TOOK + TOOK);
    assert_eq!(
        (
            *world.nodes[first].dropped.lock(),
            *world.nodes[second].dropped.lock()
        ),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_owner_may_win_and_then_the_second_call_is_taken_back() {
    let (world, first, second) = pair();
    world.warm_up().await;
    world.script(first, [Act::Answer(TOOK + LOOK)]);
    assert_eq!(world.search().await.expect("both answer"), world.whole());
    assert_eq!(
        (
            *world.nodes[first].dropped.lock(),
            *world.nodes[second].dropped.lock()
        ),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_nobody_knows_is_given_a_fixed_time() {
    let (world, first, second) = pair();
    world.script(first, [Act::Answer(HEDGE_UNKNOWN)]);
    world.search().await.expect("in time");
    assert_eq!(world.calls()[second], 0);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_finds_nobody_does_not_end_the_first_call() {
    let (world, first, second) = pair();
    world.warm_up().await;
    world.script(first, [Act::Answer(TOOK * 3)]);
    world.script(second, [Act::Fail(unreachable())]);
    assert_eq!(world.search().await.expect("the first answers"), world.whole());
    // And where the first is lost in the end, the part is named.
    world.script(second, [Act::Fail(unreachable())]);
    world.script(first, [Act::Fail(unreachable())]);
    let error = world.search().await.expect_err("nobody answers");
    assert_eq!(part_of(&error).0, "fresh");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_again_beyond_the_budget() {
    let (world, first, second) = pair();
    world.warm_up().await;
    drain(&world);
    world.script(first, [Act::Answer(TOOK * 9)]);
    let began = Instant::now();
    world.search().await.expect("late");
    assert_eq!(
        (began.elapsed(), world.calls()[second]),
        (LOOK + TOOK * 9, 0),
        "no hedge"
    );
    world.search().await.expect("it is the second one's turn");
    drain(&world);
    world.script(first, [Act::Fail(NodeError::StorageRefused("full".to_owned()))]);
    let error = world.search().await.expect_err("no repetition");
    let (part, reason) = part_of(&error);
    assert_eq!(part, "fresh");
    assert!(
        reason.contains("full") && reason.contains("one call of 10"),
        "{reason}"
    );
    world.search().await.expect("it is the second one's turn");
    drain(&world);
    // One that is behind has searched nothing, so that asking another costs nobody a search.
    world.script(first, [Act::Refuse(Refusal::PartsBehind([Part::Fresh].into()))]);
    assert_eq!(world.search().await.expect("the second one"), world.whole());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_too_much_to_do_says_so_where_no_other_may_be_asked() {
    let (world, first, _) = pair();
    drain(&world);
    world.script(first, [Act::Fail(exhausted())]);
    let error = world.search().await.expect_err("no repetition");
    assert!(matches!(error, NodeError::Exhausted { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn one_of_two_owners_down_costs_time_and_nothing_else() {
    for down in [Act::Fail(unreachable()), Act::Hang] {
        let world = World::new(4, 2, 6, rows(6));
        world.warm_up().await;
        world.script(2, [down.clone()]);
        let mut slowest = Duration::ZERO;
        for number in 0..300 {
            let began = Instant::now();
            let answer = world
                .search()
                .await
                .unwrap_or_else(|error| panic!("{down:?}, {number}: {error}"));
            assert_eq!(answer, world.whole());
            slowest = slowest.max(began.elapsed());
        }
        assert!(slowest <= LOOK + TOOK * 3, "{down:?}: {slowest:?}");
        // Some in the beginning, then one a second.
        let calls = world.calls()[2];
        assert!((3..15).contains(&calls), "{down:?}: {calls} calls");
        world.script(2, [Act::Answer(TOOK)]);
        tokio::time::advance(Duration::from_secs(2)).await;
        for _ in 0..20 {
            world.search().await.expect("all answer");
        }
        assert!(world.calls()[2] > calls + 5, "it is asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_no_owner_answers_for_is_unavailable_and_named() {
    let world = World::new(4, 2, 6, rows(6));
    let part = Part::Group(3);
    let owners = world.owners(part);
    for act in [Act::Fail(unreachable()), Act::Lacks([part].into())] {
        for owner in &owners {
            world.script(*owner, [act.clone()]);
        }
        for _ in 0..5 {
            let error = world.search().await.expect_err("a part is missing");
            // Any part whose owners are these two.
            let is_theirs = |part: &Part| world.owners(*part).iter().all(|owner| owners.contains(owner));
            let mut theirs = (0..6).map(Part::Group).chain([Part::Fresh]).filter(is_theirs);
            assert!(theirs.any(|part| name(part) == part_of(&error).0), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_that_is_gone_is_read_again_three_times() {
    let gone = || Act::Refuse(Refusal::ViewGone);
    let world = World::new(3, 2, 5, rows(5));
    world.script(world.owners(Part::Fresh)[0], [gone(), Act::Answer(TOOK)]);
    world.script(world.owners(Part::Fresh)[1], [gone(), Act::Answer(TOOK)]);
    assert_eq!(world.search().await.expect("the view is there"), world.whole());
    let (world, first, second) = pair();
    world.script(first, [gone(), gone(), Act::Answer(TOOK)]);
    world.script(second, [gone(), Act::Answer(TOOK)]);
    assert_eq!(world.search().await.expect("the fourth time"), world.whole());
    assert_eq!(*world.readings.lock(), u64::from(READINGS_MAX));
    // Each reading is another question.
    let mut asked: Vec<u64> = Vec::new();
    for node in &world.nodes {
        asked.extend(node.calls.lock().iter().map(|(scope, _)| scope.at_least));
    }
    asked.sort_unstable();
    assert_eq!(asked, [1, 2, 3, 4]);
    let (world, first, second) = pair();
    for node in [first, second] {
        world.script(node, [gone()]);
    }
    let error = world.search().await.expect_err("it is always gone");
    let (part, reason) = part_of(&error);
    assert_eq!((part, *world.readings.lock()), ("fresh", u64::from(READINGS_MAX)));
    assert!(reason.contains("4 readings"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn answers_to_a_former_reading_do_not_count() {
    // One node has answered, and another finds the view gone: rows are elsewhere in the next one.
    let world = World::new(2, 1, 9, rows(9));
    world.script(0, [Act::Answer(Duration::ZERO), Act::Answer(TOOK)]);
    world.script(1, [Act::Refuse(Refusal::ViewGone), Act::Answer(TOOK)]);
    assert_eq!(world.search().await.expect("the second time"), world.whole());
    assert_eq!(world.calls(), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_the_place_of_a_call_counts_instead_of_it() {
    // A slow call for several parts: one of those that were asked instead answers first, the other not before the slow one does.
    let world = World::new(4, 2, 20, rows(20));
    world.warm_up().await;
    let instead_of = |first| -> BTreeSet<usize> {
        let owners = (0..19).map(|group| world.owners(Part::Group(group)));
        owners.filter(|of| of[0] == first).map(|of| of[1]).collect()
    };
    let several = (0..4).map(|first| (first, instead_of(first)));
    let mut several = several.filter(|(_, instead)| instead.len() > 1);
    let (first, instead) = several.next().expect("there is one");
    world.script(first, [Act::Answer(TOOK * 5 / 2)]);
    let last = *instead.last().expect("several");
    world.script(last, [Act::Answer(TOOK), Act::Answer(TOOK * 9)]);
    assert_eq!(world.search().await.expect("each part once"), world.whole());
    assert!(*world.nodes[last].dropped.lock() >= 1, "it was asked in vain");
    assert_eq!(*world.nodes[first].dropped.lock(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept_and_nodes_have_less() {
    let wait = Duration::from_millis(60);
    let (world, ..) = pair();
    for node in 0..2 {
        world.script(node, [Act::Hang]);
    }
    let began = Instant::now();
    let error = world
        .asker
        .search(query(Some(wait)))
        .await
        .expect_err("nobody answers");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error}");
    assert_eq!(began.elapsed(), wait);
    for node in &world.nodes {
        let deadline = node.calls.lock()[0].1.expect("a deadline");
        assert_eq!(deadline, (began + wait - wait / 4).into_std());
        assert_eq!(*node.dropped.lock(), 1);
    }
    let error = world
        .asker
        .search(query(Some(Duration::ZERO)))
        .await
        .expect_err("passed");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error}");
    assert_eq!(*world.readings.lock(), 1, "nothing was read for it");
    // A node that ran out of its time ends it: others have none either.
    let (world, first, second) = pair();
    world.script(first, [Act::Fail(NodeError::DeadlineExceeded)]);
    let soon = Duration::from_micros(2_100);
    let error = world.asker.search(query(Some(soon))).await.expect_err("passed");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error}");
    assert_eq!(world.calls()[second], 0);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_takes_all_calls_back() {
    let world = World::new(4, 2, 6, rows(6));
    for node in 0..4 {
        world.script(node, [Act::Hang]);
    }
    let asker = Arc::clone(&world.asker);
    let search = tokio::spawn(async move { asker.search(query(None)).await });
    tokio::time::sleep(Duration::from_millis(5)).await;
    let calls = world.calls();
    assert!(calls.iter().sum::<usize>() >= 2);
    search.abort();
    search.await.expect_err("aborted");
    let dropped: Vec<usize> = world.nodes.iter().map(|node| *node.dropped.lock()).collect();
    assert_eq!(dropped, calls);
}

#[tokio::test(start_paused = true)]
async fn a_subject_whom_no_part_knows_is_unknown() {
    let world = World::new(3, 2, 2, Vec::new());
    let mut one = query(None);
    one.only = Some("ada".parse().expect("an id"));
    let error = world.asker.search(one).await.expect_err("nobody has such a row");
    assert!(matches!(error, NodeError::SubjectUnknown(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_best_of_all_parts_are_the_best_of_the_whole() {
    let world = World::new(4, 2, 6, rows(6));
    let answer = world.asker.rank(rank_query(3)).await.expect("all answer");
    assert_eq!(answer, brute(&world.rows, f32::NEG_INFINITY, 3));
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_longer_than_that_of_a_node() {
    let subjects = |part, from: u32| {
        (from..from + 800).map(move |subject| Row {
            subject,
            part,
            score: 0.6,
        })
    };
    let rows = subjects(Part::Fresh, 0)
        .chain(subjects(Part::Group(0), 800))
        .collect();
    let world = World::new(3, 1, 1, rows);
    for (wanted, given) in [(0, 1), (1_500, CANDIDATES_MAX)] {
        let answer = world.asker.rank(rank_query(wanted)).await.expect("all answer");
        assert_eq!(answer.candidates, brute(&world.rows, 0.0, given).candidates);
    }
}

#[tokio::test(start_paused = true)]
async fn other_nodes_take_over_from_one_question_to_the_next() {
    let (world, first, _) = pair();
    for _ in 0..MISSES_MAX {
        world
            .asker
            .nodes
            .load()
            .peer(NodeId(first as u128))
            .expect("known")
            .record
            .lock()
            .missed(Instant::now());
    }
    world.asker.set_nodes(fixture::nodes_of(&world.nodes, 2));
    for _ in 0..4 {
        world.search().await.expect("the other");
    }
    assert_eq!(world.calls()[first], 0, "what is known of it is kept");
    assert!(
        world
            .asker
            .budget
            .spend(usize::try_from(EXTRAS_MAX).expect("small"))
    );
}
