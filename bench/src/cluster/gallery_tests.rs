//! Retries and repetitions, over calls that are no calls; time is the test's.

use std::cell::Cell;
use std::future::{Ready, pending, ready};

use super::*;

const DEADLINE: Duration = Duration::from_secs(2);
const HALF: Duration = Duration::from_secs(1);

async fn after(time: Duration, answer: Answer<u8>) -> Answer<u8> {
    tokio::time::sleep(time).await;
    answer
}

fn unavailable() -> Status {
    Status::unavailable("nobody there")
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_first_front_needs_no_other() {
    let other = |_| -> Ready<Answer<u8>> { panic!("nobody asks it") };
    let answer = retried(after(HALF / 2, Ok(1)), other, HALF, DEADLINE).await;
    assert_eq!(answer.expect("answered"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_asks_the_other_front_with_the_time_that_is_left() {
    let left = Cell::new(Duration::ZERO);
    let other = |time| {
        left.set(time);
        ready(Ok(2))
    };
    let failing = after(HALF / 2, Err(unavailable()));
    let answer = retried(failing, other, HALF, DEADLINE).await;
    assert_eq!(answer.expect("answered"), 2);
    assert_eq!(left.get() + HALF / 2, DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_a_retry_does_not_change_is_not_retried() {
    let other = |_| -> Ready<Answer<u8>> { panic!("nobody asks it") };
    let refused = after(HALF / 2, Err(Status::not_found("nobody")));
    let answer = retried(refused, other, HALF, DEADLINE).await;
    assert_eq!(answer.expect_err("refused").code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn silence_asks_the_other_front_and_the_first_answer_counts() {
    let answer = retried(pending(), |_| ready(Ok(2)), HALF, DEADLINE).await;
    assert_eq!(answer.expect("answered"), 2);
    let late = after(HALF + HALF / 4, Ok(1));
    let slow = |_| after(HALF / 2, Ok(2));
    assert_eq!(retried(late, slow, HALF, DEADLINE).await.expect("answered"), 1);
    let late = after(HALF + HALF / 4, Ok(1));
    let failing = |_| ready(Err(unavailable()));
    assert_eq!(retried(late, failing, HALF, DEADLINE).await.expect("answered"), 1);
}

#[tokio::test(start_paused = true)]
async fn two_failures_are_one() {
    let failing = after(HALF * 2, Err(unavailable()));
    let other = |_| ready(Err::<u8, _>(Status::deadline_exceeded("late")));
    let answer = retried(failing, other, HALF, DEADLINE).await;
    assert_eq!(answer.expect_err("failed").code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_repeated_by_every_front_until_it_is_acknowledged() {
    let mut asked = Vec::new();
    let written = repeated(1, Duration::from_mins(1), |front| {
        asked.push(front);
        ready(if front < 4 { Err(unavailable()) } else { Ok(front) })
    })
    .await;
    assert!(matches!(written, Written::Done(4)), "{written:?}");
    assert_eq!(asked, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_write_ends_when_it_is_refused_or_patience_is_over() {
    let refused = |_| ready(Err::<u8, _>(Status::already_exists("twice")));
    let written = repeated(0, Duration::from_mins(1), refused).await;
    assert!(matches!(written, Written::Refused(_)), "{written:?}");
    let mut asked = 0;
    let written = repeated(0, Duration::from_secs(10), |_| {
        asked += 1;
        ready(Err::<u8, _>(unavailable()))
    })
    .await;
    assert!(matches!(written, Written::InDoubt(_)), "{written:?}");
    assert!((10..30).contains(&asked), "it rests longer and longer: {asked}");
}

#[test]
fn words_of_an_error_are_the_same_whatever_the_numbers() {
    let one = Status::unavailable("node 12 at 127.0.0.1:4711 is away");
    assert_eq!(words(&one), "UNAVAILABLE: node # at #.#.#.#:# is away");
}
