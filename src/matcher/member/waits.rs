//! Those who wait until other nodes have taken a change of a tenant (rule W3): one of them asks for all, again and again, at first soon and then less often. Decides nothing: the catalog says whom
//! a change waits for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::cluster::followers::Write as Waiting;
use crate::matcher::error::is_damage;
use crate::matcher::import::blocking;
use crate::matcher::node::NodeError;
use crate::matcher::parts::on_cluster::opened::Opened;
use crate::model::id::TenantId;
use crate::storage::database::notices::Notice;

/// Most changes of one tenant that are waited for. With one more an erasure is told to be repeated, and an enrolment waits for nobody.
pub const WAITS_MAX: usize = 16_384;
/// An erasure waits no longer for other nodes, so that who asked is told before it gives this node up. It is done, and a repetition waits again.
pub const ERASURE_WAIT_MAX: Duration = Duration::from_secs(20);
/// Pauses between two questions.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Changes of one tenant that are waited for.
pub(super) struct Waits {
    tenant: TenantId,
    node: Arc<Shared>,
    waiting: Mutex<Queue>,
    /// Somebody came.
    came: Notify,
    /// The last of them of whom the other nodes were told.
    notified: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiters: HashMap<u64, Waiter>,
    last: u64,
    is_polled: bool,
}

struct Waiter {
    opened: Arc<Opened>,
    write: Waiting,
    since: Instant,
    done: oneshot::Sender<Result<(), NodeError>>,
}

/// What a poll asks: whose catalog, and for what.
type Asked = (u64, Arc<Opened>, Waiting);

impl Waits {
    pub(super) fn new(tenant: &TenantId, node: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            tenant: tenant.clone(),
            node: Arc::clone(node),
            waiting: Mutex::default(),
            came: Notify::new(),
            notified: AtomicU64::new(0),
        })
    }

    /// Waits until nobody needs to be waited for any more, for so long at most.
    pub(super) async fn wait(
        self: &Arc<Self>,
        opened: Arc<Opened>,
        write: Waiting,
        longest: Duration,
    ) -> Result<(), NodeError> {
        let (done, answer) = oneshot::channel();
        let waiter = Waiter {
            opened,
            write,
            since: Instant::now(),
            done,
        };
        let begins = {
            let mut waiting = self.waiting.lock();
            if waiting.waiters.len() >= WAITS_MAX {
                return Err(self.not_yet());
            }
            waiting.last += 1;
            let number = waiting.last;
            waiting.waiters.insert(number, waiter);
            !std::mem::replace(&mut waiting.is_polled, true)
        };
        if begins {
            tokio::spawn(Arc::clone(self).poll());
        } else {
            self.came.notify_one();
        }
        tokio::select! {
            // Whoever asks for the waiters lets go of them then, so that both may be ready.
            biased;
            () = self.node.stop.cancelled() => Err(NodeError::NodeUnavailable {
                node: self.node.of.id.to_string(),
                reason: format!("it stops: {LET_GO}"),
            }),
            told = timeout(longest, answer) => match told {
                Ok(Ok(told)) => told,
                // Nobody asks any more.
                Ok(Err(_)) | Err(_) => Err(self.not_yet()),
            },
        }
    }

    fn not_yet(&self) -> NodeError {
        NodeError::TenantUnavailable {
            tenant: self.tenant.clone(),
            reason: LET_GO.to_owned(),
        }
    }

    /// Asks for all who wait, as long as somebody does.
    async fn poll(self: Arc<Self>) {
        let mut pause = PAUSE_MIN;
        while let Some(asked) = self.asked() {
            let waits = Arc::clone(&self);
            let told = blocking(move || {
                let told = waits.ask(&asked);
                let newest = asked.iter().map(|(number, ..)| *number).max().unwrap_or_default();
                // Once for all who came since: they look at once then.
                if told.len() < asked.len() && waits.notified.fetch_max(newest, Ordering::Relaxed) < newest {
                    let change = Notice::Change(waits.tenant.clone());
                    waits.node.of.cluster.notify(&change);
                }
                Ok(told)
            });
            match told.await {
                Ok(told) => self.tell(told),
                Err(error) => {
                    tracing::error!(tenant = %self.tenant, %error, "asking whom changes wait for ended early");
                }
            }
            tokio::select! {
                () = self.node.stop.cancelled() => {}
                () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                () = self.came.notified() => {
                    pause = PAUSE_MIN;
                    sleep(pause).await;
                }
            }
        }
    }

    /// Those who wait still; `None`, and the end of asking, where nobody does.
    fn asked(&self) -> Option<Vec<Asked>> {
        let mut waiting = self.waiting.lock();
        if self.node.stop.is_cancelled() {
            waiting.waiters.clear();
        }
        waiting.waiters.retain(|_, waiter| !waiter.done.is_closed());
        waiting.is_polled = !waiting.waiters.is_empty();
        let asked = waiting.waiters.iter().map(|(number, waiter)| {
            let write = match waiter.write {
                Waiting::Enrolment { sequence, .. } => Waiting::Enrolment {
                    sequence,
                    waited: waiter.since.elapsed(),
                },
                erasure @ Waiting::Erasure { .. } => erasure,
            };
            (*number, Arc::clone(&waiter.opened), write)
        });
        waiting.is_polled.then(|| asked.collect())
    }

    /// One reading a catalog; there is more than one only where the node registered again. Gives who needs to wait no longer, or why there is nothing to wait for. Blocks.
    fn ask(&self, asked: &[Asked]) -> Vec<(u64, Result<(), NodeError>)> {
        let mut by_catalog: HashMap<*const Opened, Vec<&Asked>> = HashMap::new();
        for one in asked {
            by_catalog.entry(Arc::as_ptr(&one.1)).or_default().push(one);
        }
        let mut told = Vec::new();
        for theirs in by_catalog.into_values() {
            let Some((_, opened, _)) = theirs.first() else {
                continue;
            };
            let writes: Vec<Waiting> = theirs.iter().map(|(_, _, write)| *write).collect();
            match opened.catalog.wait_for_each(&writes) {
                Ok(waits) => {
                    let free = theirs.iter().zip(waits).filter(|(_, whom)| whom.is_empty());
                    told.extend(free.map(|((number, ..), _)| (*number, Ok(()))));
                }
                Err(error) if is_damage(&error) => {
                    // A tenant that is gone, or another one, has nothing that anybody waits for.
                    let gone = match self.node.of.cluster.is_made_anew(&self.tenant, opened) {
                        Ok(true) => NodeError::TenantUnknown(self.tenant.clone()),
                        Ok(false) => self.node.of.cluster.fault(&self.tenant, &error),
                        Err(error) => error,
                    };
                    told.extend(theirs.iter().map(|(number, ..)| (*number, Err(gone.clone()))));
                }
                // It does not answer now; the next question is the same.
                Err(error) => {
                    tracing::debug!(tenant = %self.tenant, %error, "whom changes wait for can't be read");
                }
            }
        }
        told
    }

    fn tell(&self, told: Vec<(u64, Result<(), NodeError>)>) {
        let mut waiting = self.waiting.lock();
        for (number, outcome) in told {
            if let Some(waiter) = waiting.waiters.remove(&number) {
                // Who went away meanwhile needs no answer.
                let _ = waiter.done.send(outcome);
            }
        }
    }
}

/// An erasure that is done and must not be acknowledged yet.
const LET_GO: &str = "the person is erased; some node has yet to let go; repeat the request";
