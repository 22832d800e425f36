//! Tests of the queue of writes: what a group is taken from it, and who is at work on it.

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
    let (writes, _) = queue.next_group();
    assert_eq!(writes.len(), 2);
    assert!(!push(&queue, use_of(3)), "that one looks again");
    assert!(queue.goes_on());
    assert_eq!(queue.few_uses().expect("one").0.len(), 1);
    assert!(!queue.goes_on());
    assert!(push(&queue, use_of(4)));
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
