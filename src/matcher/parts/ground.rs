//! For tests: what nodes stand on, and what a test does to it: one set of steps for a catalog in memory and for the real ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;

use super::PartsConfig;
use super::catalog::Register;
use super::truth::Scores;
use super::world::config;
use crate::cluster::members::{Life, Members};
use crate::cluster::placement::NodeId;
use crate::cluster::view::Head;
use crate::matcher::placed::heads::Heads;
use crate::model::signature::Signature;

/// A catalog with one tenant, and its segments.
pub(super) trait Ground: Send + Sync + 'static {
    /// Where fronts read heads.
    type Heads: Heads;

    /// How nodes work on it.
    fn config(&self) -> PartsConfig {
        config()
    }
    /// What a node has of it.
    fn register(self: &Arc<Self>, node: NodeId) -> Arc<dyn Register>;
    /// What a front has of it.
    fn heads(self: &Arc<Self>) -> Self::Heads;
    /// The gallery's head.
    fn head(&self) -> Head;
    /// The nodes.
    fn members(&self) -> Members;
    /// New references of a subject, known or not.
    fn enrol(&self, name: &str, signatures: &[Signature]);
    /// Erases a subject: the change, and the references that it had.
    fn erase(&self, name: &str) -> Option<(u64, Vec<u64>)>;
    /// The first step of a flush, of the oldest rows; `None` where there are none, or another flush is under way.
    fn warm(&self, rows_max: usize) -> Option<u32>;
    /// The second one, where it may be taken now (F1).
    fn go_live(&self, segment: u32) -> bool;
    /// The first step of a merge of these segments, where it may be taken; the second one is that of a flush.
    fn merge(&self, segments: &BTreeSet<u32>) -> Option<u32>;
    /// In the place of the second one; only of a merge.
    fn withdraw(&self, segment: u32) -> bool;
    /// The segments that count.
    fn live(&self) -> BTreeSet<u32>;
    /// Whether an erasure still waits for somebody (W3).
    fn erasure_waits(&self, sequence: u64) -> bool;
    /// Whether all who were erased are out of all objects and copies, where that is done at all.
    fn is_purged(&self) -> bool {
        true
    }
    /// Takes a node for gone, whatever its beat.
    fn fence_now(&self, node: NodeId) -> bool;
    /// [`super::truth::History::scores`].
    fn scores(&self, from: u64, to: u64, probe: &Signature, threshold: f32) -> [Scores; 2];
    /// Has some of the next loads be slow or fail, where that can be done.
    fn disturb(&self, rng: &mut ChaCha12Rng);
    /// Nothing fails any more.
    fn calm(&self);

    /// Where a node stands; `None` where it is gone.
    fn life(&self, node: NodeId) -> Option<Life> {
        self.members().current(node).map(|node| node.life)
    }
}
