//! Rotations of keys that are under way on a node, one a tenant, and what they do to rows. Makes no key and moves no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use half::f16;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::apply::exact_values;
use super::load::encode_planes;
use super::node::{NodeError, TransformChange};
use crate::model::id::TenantId;
use crate::model::reject::Rejected;
use crate::model::signature::Dimension;
use crate::model::tenant::TransformId;
use crate::storage::place::RowPlanes;
use crate::storage::rotate::Convert;

/// Whoever asks for one that is under way waits for it. Clones share everything.
#[derive(Clone, Default)]
pub(super) struct Rotations(Arc<Mutex<BTreeMap<TenantId, UnderWay>>>);

type Outcome = Shared<BoxFuture<'static, Result<(), NodeError>>>;

/// A rotation that has not begun.
pub(super) type Work = BoxFuture<'static, Result<(), NodeError>>;

struct UnderWay {
    /// The rotation that the signatures have at its end, if it is another one.
    to: Option<TransformId>,
    outcome: Outcome,
}

impl Rotations {
    pub(super) fn is_under_way(&self, tenant: &TenantId) -> bool {
        self.0.lock().contains_key(tenant)
    }

    /// Rotates the data key, and with `to` the transform key, by what `begin` gives, or waits for the end of the same rotation that is under way; for that of another one before it begins.
    /// It is a task of its own, which ends whether or not somebody waits.
    pub(super) async fn run(
        &self,
        id: &TenantId,
        to: Option<TransformId>,
        begin: impl Fn() -> Result<Work, NodeError> + Send,
    ) -> Result<(), NodeError> {
        loop {
            let (outcome, is_same) = {
                let mut under_way = self.0.lock();
                if let Some(other) = under_way.get(id) {
                    (other.outcome.clone(), other.to == to)
                } else {
                    let outcome = self.start(id.clone(), to.is_some(), begin()?);
                    let (to, begun) = (to.clone(), outcome.clone());
                    under_way.insert(id.clone(), UnderWay { to, outcome });
                    (begun, true)
                }
            };
            let ended = outcome.await;
            if is_same {
                return ended;
            }
        }
    }

    fn start(&self, id: TenantId, is_of_transform: bool, work: Work) -> Outcome {
        let rotations = self.clone();
        let key = if is_of_transform { "transform" } else { "data" };
        let task = tokio::spawn(async move {
            let outcome = tokio::spawn(work).await;
            rotations.0.lock().remove(&id);
            let outcome = outcome.unwrap_or_else(|error| Err(NodeError::Internal(error.to_string())));
            match &outcome {
                Ok(()) => tracing::info!(tenant = %id, key, "a key is rotated"),
                Err(error) => tracing::warn!(tenant = %id, key, %error, "a key is not rotated; ask again"),
            }
            outcome
        });
        let ended = |outcome: Result<_, tokio::task::JoinError>| {
            outcome.unwrap_or_else(|error| Err(NodeError::Internal(error.to_string())))
        };
        task.map(ended).boxed().shared()
    }

    /// Waits for those that are under way, which end early once the node is stopping.
    pub(super) async fn ended(&self) {
        let outcomes: Vec<Outcome> = {
            let under_way = self.0.lock();
            under_way.values().map(|one| one.outcome.clone()).collect()
        };
        for outcome in outcomes {
            // Logged by its task.
            let _ = outcome.await;
        }
    }
}

/// Turns stored rows by a change of their rotation.
pub(super) struct Converter {
    dimension: Dimension,
    change: TransformChange,
}

impl Converter {
    /// Of rows of this dimension.
    pub(super) fn new(dimension: Dimension, change: TransformChange) -> Result<Self, NodeError> {
        let found = change.conversion.dimension();
        if found == dimension {
            return Ok(Self { dimension, change });
        }
        let problem = format!(
            "is of dimension {}; the tenant's is {}",
            found.get(),
            dimension.get()
        );
        Err(Rejected::new("conversion", problem).into())
    }
}

impl Convert for Converter {
    fn transform(&self) -> &TransformId {
        &self.change.to
    }

    fn exact(&self, exact: &mut [u8]) {
        let half = exact_values(exact)
            .iter()
            .map(|bits| f16::from_bits(*bits).to_f32())
            .collect();
        let mut rows: Zeroizing<Vec<f32>> = Zeroizing::new(half);
        self.change.conversion.convert_rows(&mut rows);
        for (stored, value) in exact.as_chunks_mut::<2>().0.iter_mut().zip(rows.iter()) {
            *stored = f16::from_f32(*value).to_le_bytes();
        }
    }

    fn planes(&self, exact: &[u8]) -> RowPlanes {
        encode_planes(self.dimension, exact)
    }
}
