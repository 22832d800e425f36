//! Tests of the queue of writes: what a group is taken from it, and who is at work on it.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake};

use futures::FutureExt;

use super::*;
use crate::matcher::convert;
use crate::matcher::fixture::{enrollment, spec, used};

#[track_caller]
fn push(queue: &WriteQueue<()>, write: Write) -> bool {
    let (_, start) = queue.push(write).expect("room");
    start
}

fn use_of(number: usize) -> Write {
    Write::Usage(used(&format!("r-{number}")))
}

#[test]
fn who_comes_while_another_is_at_work_leaves_it_to_that_one() {
    let queue = WriteQueue::<()>::default();
    assert!(push(&queue, use_of(1)), "nobody is");
    assert!(!push(&queue, use_of(2)));
    let (writes, replies) = queue.next_group();
    assert_eq!(writes.len(), 2);
    assert!(!push(&queue, use_of(3)), "that one looks again");
    assert!(queue.answer(replies, Ok(vec![Ok(()), Ok(())])));
    let (writes, replies) = queue.few_uses().expect("one");
    assert_eq!(writes.len(), 1);
    assert!(!queue.answer(replies, Ok(vec![Ok(())])));
    assert!(push(&queue, use_of(4)));
}

/// Comes again as soon as it is answered, and keeps whether it is at work then.
struct ComesAgain(WriteQueue<()>, OnceLock<bool>);

impl Wake for ComesAgain {
    fn wake(self: Arc<Self>) {
        self.1.set(push(&self.0, use_of(2))).expect("answered once");
    }
}

#[test]
fn who_is_answered_and_comes_again_finds_nobody_at_work() {
    let who = Arc::new(ComesAgain(WriteQueue::default(), OnceLock::new()));
    let (mut answer, _) = who.0.push(use_of(1)).expect("room");
    let waker = Arc::clone(&who).into();
    assert!(answer.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    let (_, replies) = who.0.next_group();
    assert!(!who.0.answer(replies, Ok(vec![Ok(())])));
    assert_eq!(who.1.get(), Some(&true));
}

#[test]
fn few_uses_are_all_that_wait_or_none() {
    let queue = WriteQueue::<()>::default();
    for number in 0..USES_AT_ONCE_MAX {
        push(&queue, use_of(number));
    }
    assert_eq!(queue.few_uses().expect("few").0.len(), USES_AT_ONCE_MAX);
    for number in 0..=USES_AT_ONCE_MAX {
        push(&queue, use_of(number));
    }
    assert!(queue.few_uses().is_none(), "many");
    assert_eq!(queue.next_group().0.len(), USES_AT_ONCE_MAX + 1, "all are there");
    push(&queue, use_of(1));
    let enrolment = convert::enroll_write(spec().dimension, enrollment(1)).expect("sound");
    push(&queue, Write::Enroll(enrolment));
    assert!(queue.few_uses().is_none(), "a disk syncs for an enrolment");
    assert_eq!(queue.next_group().0.len(), 2);
}
