//! When the front learns of changed policies and looks for subjects who are due to be erased: at a start, then from time to time. Knows no policy.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::front::Front;
use crate::model::timestamp::Timestamp;

/// Has the front look until `stop` is cancelled. A full round is followed by another at once.
pub(super) fn spawn(front: Arc<Front>, every: Duration, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut rounds = interval(every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let look = async {
            loop {
                rounds.tick().await;
                front.refresh_policies().await;
                while front.retain(Timestamp::now()).await > 0 {}
            }
        };
        // What is under way at a node is done or not done there, whoever waits for it.
        stop.run_until_cancelled(look).await;
    })
}
