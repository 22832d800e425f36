//! Tests of what is asked of the next owner while the first is late, and of who is told an event.

use super::*;
use crate::matcher::placed::budget::EXTRAS_MAX;
use crate::model::usage::{Outcome, UsageEvent, UsageKind};

/// What the clock of the tests is off by.
const TICK: Duration = Duration::from_millis(5);

fn event() -> UsageRecord {
    let event = UsageEvent {
        at: Timestamp(7),
        kind: UsageKind::Identify,
        outcome: Outcome::NoMatch,
        subject_id: None,
        site: None,
        principal: "scanner-1".parse().expect("a name"),
        request_id: "r-1".parse().expect("an id"),
    };
    event.into()
}

#[tokio::test(start_paused = true)]
async fn an_event_is_told_to_the_next_owner_under_the_same_id_where_the_first_fails_or_is_late() {
    let (world, node, first, second) = four().await;
    let (one, other) = (&world.nodes[first].0, &world.nodes[second].0);
    let record = event();
    let told = |says: &Says| std::mem::take(&mut *says.told.lock());
    world.fail(first, Some(unreachable()));
    node.record_usage(&tenant(), record.clone())
        .await
        .expect("recorded");
    assert_eq!((told(one), told(other)), (vec![record.id], vec![record.id]));
    let (world, node, first, second) = four().await;
    let (one, other) = (&world.nodes[first].0, &world.nodes[second].0);
    *one.takes.lock() = LATE_AFTER * 20;
    // Once it was late, the other one is asked first.
    for waited in [LATE_AFTER, Duration::ZERO] {
        let began = tokio::time::Instant::now();
        node.record_usage(&tenant(), record.clone())
            .await
            .expect("recorded");
        assert!((waited..waited + TICK).contains(&began.elapsed()));
    }
    assert_eq!((told(one), told(other)), (vec![record.id], vec![record.id; 2]));
    // Both are late: whoever answers first counts.
    *other.takes.lock() = LATE_AFTER * 4;
    let began = tokio::time::Instant::now();
    node.record_usage(&tenant(), record.clone())
        .await
        .expect("recorded");
    assert!((LATE_AFTER * 4..LATE_AFTER * 4 + TICK).contains(&began.elapsed()));
    assert_eq!((told(one), told(other)), (vec![record.id], vec![record.id]));
}

#[tokio::test(start_paused = true)]
async fn late_owners_are_hedged_as_far_as_the_budget_goes() {
    let (world, node, first, second) = four().await;
    for owner in [first, second] {
        *world.nodes[owner].0.takes.lock() = LATE_AFTER * 2;
    }
    let count = 3 * usize::try_from(EXTRAS_MAX).expect("it is small");
    for _ in 0..count {
        node.record_usage(&tenant(), event()).await.expect("recorded");
    }
    let calls = world.calls().len();
    let extras = calls - count;
    world.fail(first, Some(unreachable()));
    *world.nodes[first].0.takes.lock() = LATE_AFTER * 2;
    let second_hears = || world.calls().iter().any(|(node, _)| *node == second);
    // A call that fails is not a late one: the next owner is asked whatever is left.
    world.fail(second, Some(unreachable()));
    node.record_usage(&tenant(), event()).await.expect_err("nobody");
    assert!(second_hears());
    assert!((100..=100 + count / 10).contains(&extras), "{extras} of {count}");
}
