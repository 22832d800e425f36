//! Readings of the heads of galleries: one query for all who wait, and nobody is given a reading that began before they came in (rule R1). Reads no catalog itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::cluster::placement::Gallery;
use crate::cluster::view::{Head, View};
use crate::matcher::node::NodeError;
use crate::model::id::TenantId;

/// Longest reading. Whoever comes in meanwhile waits for its end, unless the one before had no answer either.
pub const READING_MAX: Duration = Duration::from_secs(2);

/// Tenants whose last heads are remembered; with one more all are forgotten, which costs each of them two readings that nobody could foresee.
const REMEMBERED_MAX: usize = 16_384;

/// What one reading tells of a tenant's gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GalleryHead {
    /// The gallery, by which its parts are placed.
    pub gallery: Gallery,
    /// Its head.
    pub head: Head,
    /// Its list of segments, as of the head's version of it.
    pub view: Arc<View>,
}

impl GalleryHead {
    /// Whether nothing happened between this reading and another one.
    pub fn is_at(&self, other: &Self) -> bool {
        (self.gallery, self.head) == (other.gallery, other.head)
    }
}

/// The heads by tenant, or why one of them alone can't be read. One who is missing is unknown.
pub type HeadsRead = HashMap<TenantId, Result<Arc<GalleryHead>, NodeError>>;

/// Where heads are read from.
#[async_trait]
pub trait Heads: Send + Sync + 'static {
    /// Reads the heads and lists of these tenants in one query, which begins after the call.
    async fn read(&self, tenants: &BTreeSet<TenantId>) -> Result<HeadsRead, NodeError>;
}

type Answer = Result<Arc<GalleryHead>, NodeError>;

/// Reads heads for many at once.
///
/// One reading is under way at a time. All who come in until the next one begins share that one: the longer a reading takes the more share the next, and the catalog never has
/// more than one query of a front. Who waits is bounded by what the front takes in.
///
/// A catalog that left a reading without an answer is asked on, by whoever comes first; everybody else is refused at once until it answers again, so that they have time left to ask another front.
pub struct HeadReader {
    shared: Arc<Shared>,
}

struct Shared {
    heads: Box<dyn Heads>,
    queue: Mutex<Queue>,
    /// By the last reading of each tenant, and whether the one before gave the same.
    last: Mutex<HashMap<TenantId, (Arc<GalleryHead>, bool)>>,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<TenantId, Vec<oneshot::Sender<Answer>>>,
    is_reading: bool,
    /// Whether the last reading had no answer.
    is_silent: bool,
}

impl HeadReader {
    /// Reads from `heads`; nothing yet.
    pub fn new(heads: impl Heads) -> Self {
        let shared = Shared {
            heads: Box::new(heads),
            queue: Mutex::default(),
            last: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The head that the next reading of a tenant is likely to give: that of the last one, where the one before gave it too. Whoever goes by it has to read it again, and to find the same.
    pub fn likely(&self, tenant: &TenantId) -> Option<Arc<GalleryHead>> {
        let last = self.shared.last.lock();
        let (head, is_still) = last.get(tenant)?;
        is_still.then(|| Arc::clone(head))
    }

    /// The head of a tenant, by a reading that begins after this call. To be called within a runtime, which reads on when the caller goes away.
    pub async fn read(&self, tenant: &TenantId) -> Result<Arc<GalleryHead>, NodeError> {
        let (sender, answer) = oneshot::channel();
        let begins = {
            let mut queue = self.shared.queue.lock();
            if queue.is_silent && queue.is_reading {
                return Err(unreadable(&format!(
                    "the last reading had no answer within {READING_MAX:?}, and the one under way has none yet"
                )));
            }
            queue.waiting.entry(tenant.clone()).or_default().push(sender);
            !std::mem::replace(&mut queue.is_reading, true)
        };
        if begins {
            tokio::spawn(Arc::clone(&self.shared).read_on());
        }
        let ended = |_| Err(unreadable("the runtime ends"));
        answer.await.unwrap_or_else(ended)
    }
}

impl Shared {
    /// One reading after the other, as long as somebody waits.
    async fn read_on(self: Arc<Self>) {
        while let Some(waiting) = self.next() {
            let tenants: BTreeSet<TenantId> = waiting.keys().cloned().collect();
            // A defect of the catalog's driver ends this reading and not all that are to come.
            let reading = AssertUnwindSafe(self.heads.read(&tenants)).catch_unwind();
            let ended = timeout(READING_MAX, reading).await;
            let others = self.heard(ended.is_err());
            let read = match ended {
                Ok(Ok(read)) => read,
                Ok(Err(_)) => Err(NodeError::Internal("the reading of heads panicked".to_owned())),
                Err(_) => Err(unreadable(&format!("no answer within {READING_MAX:?}"))),
            };
            for (tenant, waiters) in waiting.into_iter().chain(others) {
                let answer = match &read {
                    Ok(heads) => heads
                        .get(&tenant)
                        .cloned()
                        .unwrap_or_else(|| Err(NodeError::TenantUnknown(tenant.clone()))),
                    Err(error) => Err(error.clone()),
                };
                self.remember(&tenant, &answer);
                for waiter in waiters {
                    // Who went away meanwhile needs none.
                    let _ = waiter.send(answer.clone());
                }
            }
        }
    }

    fn remember(&self, tenant: &TenantId, answer: &Answer) {
        let mut last = self.last.lock();
        let before = last.remove(tenant);
        if last.len() >= REMEMBERED_MAX {
            last.clear();
        }
        if let Ok(head) = answer {
            let is_still = before.is_some_and(|(before, _)| before.is_at(head));
            last.insert(tenant.clone(), (Arc::clone(head), is_still));
        }
    }

    /// Notes whether a reading had no answer; then gives those who wait for the next one.
    fn heard(&self, nothing: bool) -> BTreeMap<TenantId, Vec<oneshot::Sender<Answer>>> {
        let mut queue = self.queue.lock();
        queue.is_silent = nothing;
        if nothing {
            std::mem::take(&mut queue.waiting)
        } else {
            BTreeMap::new()
        }
    }

    /// Who waits now, but for those who went away; none, and the end of reading, where nobody does.
    fn next(&self) -> Option<BTreeMap<TenantId, Vec<oneshot::Sender<Answer>>>> {
        let mut queue = self.queue.lock();
        let mut waiting = std::mem::take(&mut queue.waiting);
        waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        queue.is_reading = !waiting.is_empty();
        queue.is_reading.then_some(waiting)
    }
}

fn unreadable(reason: &str) -> NodeError {
    NodeError::NodeUnavailable {
        node: "catalog".to_owned(),
        reason: format!("heads can't be read: {reason}"),
    }
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
