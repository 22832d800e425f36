//! Signs of life: the node's own, and who else gives none. Apart from the rounds, which wait for an object store and for what is destroyed, and from each other, since who fences waits for the suspect's last transaction.
//! On threads of their own: the pool for blocking work may be full of what waits for a store.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::catalog::CatalogError;
use super::common::Common;
use crate::cluster::members::{Life, Members};
use crate::cluster::suspect::Watch;

/// The register as it was at a beat, and by which registration of this node.
pub(super) type Seen = Option<(u64, Members)>;

/// Gives signs of life until the node stops, is gone for good, or its rounds have ended, as by a panic: nobody follows the cluster here any more then, and the others are to see that.
pub(super) async fn beat(common: Arc<Common>, life: watch::Receiver<Life>, seen: watch::Sender<Seen>) {
    let mut ticks = interval(common.config.round);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = common.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if life.has_changed().is_err() || *life.borrow() == Life::Gone {
            return;
        }
        let Some(generation) = common.generation() else {
            continue;
        };
        let (node, register) = (common.node, Arc::clone(&common.register));
        match apart(move || register.beat(node, generation)).await {
            Some(Ok(members)) => drop(seen.send_replace(Some((generation, members)))),
            Some(Err(CatalogError::Fenced(fenced))) => common.fenced(fenced.generation),
            // The rounds, which ask the same register, tell.
            Some(Err(_)) | None => {}
        }
    }
}

/// Fences whoever gives no sign of life, as long as this node gives some.
pub(super) async fn fence(common: Arc<Common>, mut seen: watch::Receiver<Seen>) {
    let (since, mut watch) = (Instant::now(), Watch::default());
    loop {
        tokio::select! {
            () = common.stop.cancelled() => return,
            changed = seen.changed() => if changed.is_err() { return },
        }
        let Some((generation, members)) = seen.borrow_and_update().clone() else {
            continue;
        };
        let mut suspects = watch.look(since.elapsed(), &members);
        suspects.retain(|suspect| suspect.node != common.node);
        for suspect in suspects {
            let (node, register) = (common.node, Arc::clone(&common.register));
            match apart(move || register.fence(node, generation, &suspect)).await {
                Some(Ok(true)) => {
                    tracing::warn!(node = %suspect.node, generation = suspect.generation, "a node gave no sign of life and is fenced");
                }
                Some(Err(CatalogError::Fenced(fenced))) => common.fenced(fenced.generation),
                Some(Err(error)) => {
                    tracing::warn!(node = %suspect.node, %error, "a node gives no sign of life and can't be fenced; the next look tries again");
                }
                Some(Ok(false)) | None => {}
            }
        }
    }
}

/// Does something on a thread of its own; `None` where there is none, or it ended by a panic: the next time is another one.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, outcome) = oneshot::channel();
    let started = thread::Builder::new()
        .name("thenar-life".to_owned())
        .spawn(move || {
            // Who stopped meanwhile needs no answer.
            let _ = done.send(work());
        });
    if let Err(error) = started {
        tracing::error!(%error, "no thread can be started for a sign of life");
    }
    outcome.await.ok()
}
