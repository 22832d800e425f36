//! Tests of where a use is recorded: on its caller's thread where that waits for nothing, otherwise on another one.

use std::pin::pin;
use std::sync::{OnceLock, mpsc};
use std::task::{Context, Wake};

use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::*;
use crate::matcher::fixture::{node, tenant, used};
use crate::matcher::local::LocalNode;
use crate::matcher::node::{Node, UsageQuery};
use crate::matcher::search::Counted;

/// Has one thread beside the caller's, for what waits.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.max_blocking_threads(1).enable_all().build();
    runtime.expect("started")
}

/// Keeps that thread until this is dropped.
struct Kept {
    _until: mpsc::Sender<()>,
}

impl Kept {
    /// As soon as it has ended what it was given before.
    async fn now() -> Self {
        let (until, dropped) = mpsc::channel();
        let (begun, begins) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let _ = begun.send(());
            dropped.recv()
        });
        begins.await.expect("begun");
        Self { _until: until }
    }
}

async fn recorded(node: &Arc<LocalNode>) -> usize {
    let query = UsageQuery {
        tenant: tenant(),
        subject_id: None,
        before: None,
        limit: 10,
    };
    node.usage(query).await.expect("answered").events.len()
}

/// A use is left to the other thread while `held` is, and recorded once that is let go of.
async fn is_left_while<T>((tenant, scorers): (&Arc<Tenant>, &Scorers), held: T) {
    let kept = Kept::now().await;
    let mut recording = pin!(tenant.record(used("r"), scorers));
    assert!(recording.as_mut().now_or_never().is_none(), "it waits");
    drop(held);
    assert!(recording.as_mut().now_or_never().is_none(), "for another thread");
    drop(kept);
    recording.await.expect("recorded");
}

#[test]
fn a_use_that_comes_alone_is_recorded_by_its_caller() {
    runtime().block_on(async {
        let (node, _dir) = node().await;
        let tenant = node.live(&tenant()).expect("live");
        let scorers = Scorers::start().expect("started");
        // The first one begins the catalog's log, which is synced.
        let first = tenant.record(used("r-0"), &scorers);
        first.await.expect("recorded");
        let kept = Kept::now().await;
        for number in 1..3 {
            let request = format!("r-{number}");
            let done = tenant.record(used(&request), &scorers).now_or_never();
            done.expect("no other thread is waited for").expect("recorded");
        }
        drop(kept);
        assert_eq!(recorded(&node).await, 3);
        node.drain().await;
    });
}

/// Looks, as soon as it is answered, whether it could be recorded here again.
struct ComesAgain {
    tenant: Arc<Tenant>,
    scorers: Arc<Scorers>,
    finds_room: OnceLock<bool>,
}

impl Wake for ComesAgain {
    fn wake(self: Arc<Self>) {
        let is_free = self.tenant.apply.try_lock().is_some();
        let finds_room = is_free && self.scorers.try_here().is_some();
        self.finds_room.set(finds_room).expect("answered once");
    }
}

#[test]
fn who_is_answered_here_may_be_recorded_here_again() {
    runtime().block_on(async {
        let (node, _dir) = node().await;
        let tenant = node.live(&tenant()).expect("live");
        let scorers = Arc::new(Scorers::start().expect("started"));
        // The first one begins the catalog's log, which is synced.
        let first = tenant.record(used("r-0"), &scorers);
        first.await.expect("recorded");
        let kept = Kept::now().await;
        let who = Arc::new(ComesAgain {
            tenant: Arc::clone(&tenant),
            scorers: Arc::clone(&scorers),
            finds_room: OnceLock::new(),
        });
        let (mut answer, _) = tenant.writes.push(Write::Usage(used("r-1"))).expect("room");
        let waker = Arc::clone(&who).into();
        assert!(answer.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(tenant.record_here(&scorers), Some(false));
        assert_eq!(who.finds_room.get(), Some(&true));
        drop((kept, who));
        drop(tenant);
        node.drain().await;
    });
}

#[test]
fn a_use_is_left_to_another_thread_where_something_has_to_be_waited_for() {
    runtime().block_on(async {
        let (node, _dir) = node().await;
        let live = node.live(&tenant()).expect("live");
        let scorers = Scorers::start().expect("started");
        let of = (&live, &scorers);
        // The first one begins the catalog's log, which is synced.
        is_left_while(of, ()).await;
        is_left_while(of, live.apply.lock()).await;
        is_left_while(of, live.store.turn()).await;
        is_left_while(of, Counted::one_more(&live.searching)).await;
        is_left_while(of, scorers.try_here().expect("free")).await;
        assert_eq!(recorded(&node).await, 5);
        drop(live);
        node.drain().await;
    });
}
