//! Tests of what is remembered of a node.

use super::*;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn known(latencies: impl IntoIterator<Item = u64>) -> Record {
    let mut record = Record::new();
    for latency in latencies {
        record.answered(millis(latency));
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
    assert_eq!(record.standing(Instant::now()), Standing::Well);
    record.missed(Instant::now());
    assert_eq!(record.standing(Instant::now()), Standing::Poor);
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(record.standing(Instant::now()), Standing::Look);
    assert_eq!(record.standing(Instant::now()), Standing::Poor, "one looks");
    record.spoke();
    assert_eq!(record.standing(Instant::now()), Standing::Well);
    record.missed(Instant::now());
    assert_eq!(record.standing(Instant::now()), Standing::Well, "it counts anew");
}
