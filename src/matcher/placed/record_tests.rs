//! Tests of what is remembered of a node.

use super::*;
use crate::matcher::placed::fixture::tenant;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn known(latencies: impl IntoIterator<Item = u64>) -> Record {
    let mut record = Record::new();
    for latency in latencies {
        record.answered(&tenant(), millis(latency));
    }
    record
}

#[test]
fn somebody_else_is_asked_after_the_percentile_of_what_is_recent() {
    assert_eq!(known(1..=15).hedge_after(), HEDGE_UNKNOWN);
    assert_eq!(known(1..=100).hedge_after(), millis(95));
    assert_eq!(known((1..=100).rev()).hedge_after(), millis(95));
    // 128 of 9 ms have taken the place of all before.
    let moved = known(std::iter::repeat_n(500, 1_000).chain(std::iter::repeat_n(9, 128)));
    assert_eq!(moved.hedge_after(), millis(9));
    assert_eq!(known(std::iter::repeat_n(0, 128)).hedge_after(), HEDGE_MIN);
    assert_eq!(known(std::iter::repeat_n(60_000, 128)).hedge_after(), HEDGE_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_whose_calls_are_taken_back_looks_slow() {
    let mut record = known(std::iter::repeat_n(9, 128));
    for _ in 0..7 {
        record.lost(millis(40), Instant::now());
    }
    assert_eq!(record.hedge_after(), millis(40));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_nothing_comes_last_and_is_looked_at_each_second() {
    let mut record = Record::new();
    for _ in 1..MISSES_MAX {
        record.missed(Instant::now());
    }
    assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Well);
    record.missed(Instant::now());
    assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Poor);
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Look);
    assert_eq!(
        record.standing(&tenant(), Instant::now()),
        Standing::Poor,
        "one looks"
    );
    record.spoke();
    assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Well);
    record.missed(Instant::now());
    assert_eq!(
        record.standing(&tenant(), Instant::now()),
        Standing::Well,
        "it counts anew"
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_for_a_tenant_is_remembered_for_that_tenant_and_for_longer_each_time() {
    let (mut record, other) = (Record::new(), "other".parse().expect("an id"));
    let mut wait = FAULT_FOR;
    for _ in 0..9 {
        record.failed(&tenant(), Instant::now());
        assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Poor);
        assert_eq!(record.doubts(&tenant(), Instant::now()), (true, 0));
        assert_eq!(record.standing(&other, Instant::now()), Standing::Well);
        tokio::time::advance(wait.saturating_sub(millis(1))).await;
        assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Poor);
        tokio::time::advance(millis(1)).await;
        assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Look);
        assert_eq!(
            record.standing(&tenant(), Instant::now()),
            Standing::Poor,
            "one looks"
        );
        wait = FAULT_FOR_MAX.min(wait * 2);
    }
    assert_eq!(wait, FAULT_FOR_MAX);
    record.answered(&other, millis(1));
    assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Poor);
    record.answered(&tenant(), millis(1));
    assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Well);
}

#[tokio::test(start_paused = true)]
async fn so_many_tenants_with_errors_are_remembered() {
    let mut record = Record::new();
    let tenant = |number: usize| format!("t{number}").parse::<TenantId>().expect("an id");
    for number in 0..=FAULTS_MAX {
        record.failed(&tenant(number), Instant::now());
    }
    assert_eq!(record.standing(&tenant(0), Instant::now()), Standing::Poor);
    assert_eq!(
        record.standing(&tenant(FAULTS_MAX), Instant::now()),
        Standing::Well
    );
    tokio::time::advance(FAULT_FOR).await;
    record.failed(&tenant(FAULTS_MAX), Instant::now());
    assert_eq!(
        record.standing(&tenant(FAULTS_MAX), Instant::now()),
        Standing::Poor
    );
    assert_eq!(record.faults.len(), 1, "the others' time is over");
}

#[tokio::test(start_paused = true)]
async fn one_call_without_an_answer_is_a_doubt_and_any_word_takes_it_back() {
    let mut record = Record::new();
    let doubts = |record: &Record| record.doubts(&tenant(), Instant::now());
    assert_eq!(doubts(&record), (false, 0));
    record.missed(Instant::now());
    assert_eq!(doubts(&record), (false, 1));
    assert_eq!(record.standing(&tenant(), Instant::now()), Standing::Well);
    record.lost(millis(50), Instant::now());
    record.missed(Instant::now());
    assert_eq!(doubts(&record), (true, 3));
    record.spoke();
    assert_eq!(doubts(&record), (false, 0));
}
