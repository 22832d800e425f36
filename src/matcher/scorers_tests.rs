//! Tests of the scoring threads: all work is answered, a panic fails its own caller alone, and what nobody waits for is left out.

use std::sync::{Arc, Mutex};

use futures::FutureExt;

use super::*;

#[tokio::test]
async fn more_work_than_threads_is_answered() {
    let scorers = Scorers::start().expect("started");
    let _turn = scorers.turn.try_acquire().expect("free");
    let all = futures::future::join_all((0..1_000).map(|number| scorers.run(move || Ok(number)))).await;
    let all: Result<Vec<i32>, _> = all.into_iter().collect();
    assert_eq!(all.expect("all"), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_comes_alone_waits_for_no_other_thread() {
    let scorers = Scorers::start().expect("started");
    let here = std::thread::current().id();
    let there = || Ok(std::thread::current().id());
    assert_eq!(scorers.run(there).await.expect("done"), here);
    let _turn = scorers.turn.try_acquire().expect("free");
    assert_ne!(scorers.run(there).await.expect("done"), here);
}

#[test]
fn one_caller_at_a_time_works_on_its_own_thread_and_none_where_rows_are_far() {
    let scorers = Scorers::start().expect("started");
    let here = scorers.try_here().expect("nobody else does");
    assert!(scorers.try_here().is_none());
    drop(here);
    assert!(scorers.try_here().is_some());
    let scorers = Scorers::start_for_network().expect("started");
    assert!(scorers.try_here().is_none());
}

#[tokio::test]
async fn a_panic_fails_its_caller_and_nobody_else() {
    let scorers = Scorers::start().expect("started");
    let fails = async || {
        let failed = scorers
            .run(|| -> Result<(), NodeError> { panic!("on purpose") })
            .await;
        assert!(matches!(failed, Err(NodeError::Internal(_))), "{failed:?}");
        assert_eq!(scorers.run(|| Ok(1)).await.expect("still there"), 1);
    };
    // On the caller's thread, then on another.
    fails().await;
    let _turn = scorers.turn.try_acquire().expect("free again");
    fails().await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_left_out() {
    let scorers = Scorers::start().expect("started");
    let _turn = scorers.turn.try_acquire().expect("free");
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().expect("free");
    // All threads wait at the gate, so that the next work can't begin before its caller has gone.
    let busy: Vec<_> = (0..scorers.pool.current_num_threads())
        .map(|_| {
            let gate = Arc::clone(&gate);
            let mut waits = Box::pin(scorers.run(move || {
                drop(gate.lock());
                Ok(())
            }));
            assert!(waits.as_mut().now_or_never().is_none());
            waits
        })
        .collect();
    let (told, heard) = std::sync::mpsc::channel();
    let mut gone = Box::pin(scorers.run(move || {
        told.send(()).expect("heard");
        Ok(())
    }));
    assert!(gone.as_mut().now_or_never().is_none());
    drop(gone);
    drop(held);
    futures::future::join_all(busy).await;
    assert_eq!(
        heard.recv(),
        Err(std::sync::mpsc::RecvError),
        "it was dropped unrun"
    );
}
