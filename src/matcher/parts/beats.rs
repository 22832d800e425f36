//! The node's signs of life: a task of their own, so that nobody takes a node for gone whose rounds take long, as where the object store hangs or much has to be destroyed. Looks at nobody.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::catalog::CatalogError;
use super::common::Common;
use crate::cluster::members::Life;
use crate::matcher::import::blocking;

/// Until the node stops, is gone for good, or its rounds have ended, as by a panic: nobody follows the cluster here any more then, and the others are to see that.
pub(super) async fn run(common: Arc<Common>, life: watch::Receiver<Life>) {
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
        let beat = blocking(move || Ok(register.beat(node, generation))).await;
        // What else goes wrong the rounds tell.
        if let Ok(Err(CatalogError::Fenced(fenced))) = beat {
            common.fenced(fenced.generation);
        }
    }
}
