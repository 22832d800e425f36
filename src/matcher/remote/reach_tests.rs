//! Tests of the reach of a node: what counts as not reached, how long is waited, how many may wait.

use std::future::pending;

use tonic_types::{ErrorDetails, StatusExt};

use super::super::breaker::FAILURES_MAX;
use super::*;
use crate::matcher::remote::error::{DOMAIN, Reason};

fn tenant() -> TenantId {
    "acme".parse().expect("valid")
}

/// What a channel answers that has no connection.
fn unreached() -> Status {
    Status::from_error(Box::new(std::io::Error::other("connection refused")))
}

async fn fail(reach: &Reach, times: u32) -> NodeError {
    let mut last = None;
    for _ in 0..times {
        let outcome = reach
            .ask::<()>(Some(&tenant()), Wait::Lookup, async { Err(unreached()) })
            .await;
        last = outcome.err();
    }
    last.expect("none got through")
}

async fn works(reach: &Reach) -> bool {
    let answer = reach.ask(None, Wait::Lookup, async { Ok(Response::new(7)) });
    answer.await.is_ok_and(|answer| answer == 7)
}

#[tokio::test]
async fn what_does_not_get_through_names_node_and_tenant_and_opens_the_breaker() {
    let reach = Reach::new("match-1");
    let error = fail(&reach, FAILURES_MAX - 1).await.to_string();
    for words in ["match-1", "tenant acme", "connection refused"] {
        assert!(error.contains(words), "{error}");
    }
    assert!(works(&reach).await, "an answer begins the count anew");
    fail(&reach, FAILURES_MAX).await;
    let refused = reach
        .ask::<()>(Some(&tenant()), Wait::Lookup, async {
            unreachable!("not called")
        })
        .await;
    let error = refused.expect_err("open").to_string();
    assert!(
        error.contains("match-1") && error.contains("tenant acme"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_node_says_opens_nothing() {
    let reach = Reach::new("match-1");
    let metadata = [("node", "inner"), ("detail", "draining")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let info = ErrorDetails::with_error_info(Reason::NodeUnavailable.as_str(), DOMAIN, metadata);
    for _ in 0..2 * FAILURES_MAX {
        let said = Status::with_error_details(Code::Unavailable, "it drains", info.clone());
        let error = reach
            .ask::<()>(Some(&tenant()), Wait::Lookup, async { Err(said) })
            .await;
        let error = error.expect_err("it drains").to_string();
        assert!(error.contains("match-1") && error.contains("draining"), "{error}");
    }
    assert!(works(&reach).await);
}

#[tokio::test]
async fn silence_until_a_deadline_is_unavailability_told_before_it_and_a_short_wait_is_not() {
    let reach = Reach::new("match-1");
    for _ in 0..2 * FAILURES_MAX {
        let soon = Some(Instant::now() + Duration::from_millis(5));
        let error = reach.ask::<()>(None, Wait::Until(soon), pending()).await;
        assert!(matches!(error, Err(NodeError::DeadlineExceeded)), "{error:?}");
    }
    assert!(works(&reach).await, "short waits open nothing");
    let deadline = Instant::now() + SILENCE + 2 * BEFORE_DEADLINE;
    let silent = async || {
        reach
            .ask::<()>(Some(&tenant()), Wait::Until(Some(deadline)), pending())
            .await
    };
    let outcomes = futures::future::join_all((0..FAILURES_MAX).map(|_| silent())).await;
    assert!(Instant::now() < deadline, "it has to reach the caller");
    for outcome in outcomes {
        assert!(
            matches!(outcome, Err(NodeError::NodeUnavailable { .. })),
            "{outcome:?}"
        );
    }
    assert!(!works(&reach).await, "and opens it");
}

#[tokio::test]
async fn calls_of_short_deadlines_find_together_that_a_node_stands_still() {
    let reach = Reach::new("match-1");
    let begun = Instant::now();
    let short = async |late: Duration| {
        tokio::time::sleep(late).await;
        let deadline = Instant::now() + OWN_SILENCE + 2 * BEFORE_DEADLINE;
        let outcome = reach
            .ask::<()>(Some(&tenant()), Wait::Until(Some(deadline)), pending())
            .await;
        assert!(Instant::now() < deadline, "it has to reach the caller");
        outcome.expect_err("it stands still").to_string()
    };
    // Each begins before the one before it has given up.
    let step = OWN_SILENCE;
    let calls: u32 = 12;
    let said = futures::future::join_all((0..calls).map(|number| short(step * number))).await;
    let refused = said.iter().filter(|said| said.contains("in a row")).count();
    let waited = said.iter().filter(|said| said.contains("no answer")).count();
    assert_eq!(refused + waited, said.len(), "{said:?}");
    assert!(refused > 0, "within {:?}: {said:?}", begun.elapsed());
    assert!(
        waited > FAILURES_MAX as usize,
        "one alone says nothing about the node: {said:?}"
    );
}

#[tokio::test]
async fn a_node_that_answers_others_is_late_and_not_out_of_reach() {
    let reach = Reach::new("match-1");
    let deadline = Instant::now() + SILENCE + 2 * BEFORE_DEADLINE;
    let slow = reach.ask::<()>(None, Wait::Until(Some(deadline)), pending());
    let others = async {
        tokio::time::sleep(BEFORE_DEADLINE).await;
        assert!(works(&reach).await);
    };
    let (outcome, ()) = tokio::join!(slow, others);
    assert!(matches!(outcome, Err(NodeError::DeadlineExceeded)), "{outcome:?}");
}

#[tokio::test]
async fn one_call_too_many_is_refused_and_a_place_that_is_free_again_is_given() {
    let reach = Reach::new("match-1");
    let waiting: Vec<_> = (0..IN_FLIGHT_MAX)
        .map(|_| {
            let reach = reach.clone();
            tokio::spawn(async move { reach.ask::<()>(None, Wait::Work, pending()).await })
        })
        .collect();
    while reach.places.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let error = reach
        .ask(None, Wait::Lookup, async { Ok(Response::new(7)) })
        .await;
    assert!(matches!(error, Err(NodeError::Exhausted { .. })), "{error:?}");
    for call in waiting {
        call.abort();
        let _ = call.await;
    }
    assert!(works(&reach).await);
}
