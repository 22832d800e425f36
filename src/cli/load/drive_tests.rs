//! Tests of the open loop: nobody waits for somebody else's answer, nobody is sent early, who waits too long is counted.

use std::future::{pending, ready};

use super::*;

fn tallies(count: usize) -> Arc<[Mutex<Tally>]> {
    (0..count)
        .map(|_| Mutex::new(Tally::new(Duration::from_secs(1))))
        .collect()
}

fn timing(deadline_ms: u64) -> Timing {
    Timing {
        begin: Instant::now(),
        deadline: Duration::from_millis(deadline_ms),
    }
}

fn millis(times: &[u64]) -> Vec<(Duration, usize)> {
    times.iter().map(|ms| (Duration::from_millis(*ms), 0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn arrivals_go_on_while_nobody_is_answered() {
    let (timing, tallies) = (timing(200), tallies(1));
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&starts);
    let call = move |_, _| {
        seen.lock().push(timing.begin.elapsed());
        Some(pending())
    };
    let times = [0, 10, 20, 30, 40, 50];
    run(timing, millis(&times).into_iter(), Arc::clone(&tallies), call).await;
    let starts = starts.lock();
    assert_eq!(starts.len(), times.len());
    for (start, ms) in starts.iter().zip(times) {
        assert!(*start >= Duration::from_millis(ms), "{start:?} is before {ms} ms");
    }
    // The first answer is given up after 200 ms; a loop that waits for it sends the second one then.
    assert!(starts[1] < Duration::from_millis(200), "{starts:?}");
    let tally = tallies[0].lock();
    assert_eq!((tally.due, tally.answered()), (6, 0));
    assert_eq!(tally.refused.get("DEADLINE_EXCEEDED"), Some(&6));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_refusals_go_to_their_tenant() {
    let (timing, tallies) = (timing(10_000), tallies(2));
    let arrivals = [(Duration::ZERO, 0), (Duration::ZERO, 1), (Duration::ZERO, 1)];
    let call = |tenant, _| {
        let outcome = if tenant == 0 {
            Ok(Finding::Found)
        } else {
            Err(Status::resource_exhausted("full"))
        };
        Some(ready(outcome))
    };
    run(timing, arrivals.into_iter(), Arc::clone(&tallies), call).await;
    assert_eq!(tallies[0].lock().findings.found, 1);
    assert_eq!(tallies[1].lock().refused.get("RESOURCE_EXHAUSTED"), Some(&2));
    assert_eq!(tallies[0].lock().late_us.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_the_deadline_is_none() {
    let (timing, tallies) = (timing(0), tallies(1));
    run(timing, millis(&[1]).into_iter(), Arc::clone(&tallies), |_, _| {
        Some(ready(Ok(Finding::Found)))
    })
    .await;
    assert_eq!(tallies[0].lock().answered(), 0);
    assert_eq!(tallies[0].lock().refused.get("DEADLINE_EXCEEDED"), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_held_back_is_counted_apart() {
    let (timing, tallies) = (timing(10_000), tallies(1));
    let mut calls = 0;
    let call = move |_, _| {
        calls += 1;
        (calls % 2 == 0).then(|| ready(Ok(Finding::Found)))
    };
    run(timing, millis(&[0, 0, 0]).into_iter(), Arc::clone(&tallies), call).await;
    let tally = tallies[0].lock();
    assert_eq!((tally.due, tally.answered(), tally.held_back), (3, 1, 2));
    assert!(tally.refused.is_empty());
}
