//! What a node that holds parts of a gallery does for a front. States the contract; does nothing.

use async_trait::async_trait;
use thiserror::Error;

use crate::cluster::question::{Refusal, Scope};
use crate::matcher::node::{NodeError, RankQuery, SearchQuery};
use crate::model::decision::SearchAnswer;

/// Why a node did not answer for a scope.
#[derive(Debug, Clone, Error)]
pub enum PartError {
    /// By the rules of freshness (R3).
    #[error("the node does not answer for this scope: {0:?}")]
    Refused(Refusal),
    /// For another reason.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// A node that holds parts of galleries. It answers for all parts of a scope together, or for none.
///
/// It looks at the scope first: whoever has not come so far as the scope says that it is behind, and says nothing of the tenant, its rotation or its rows. A refusal by parts names all that are behind
/// of those that were asked for.
///
/// Each call comes to an end by itself, also where the query names no deadline. Its future, when dropped, takes the call back. An answer holds one candidate a subject, the best
/// `candidates_max` of these parts.
#[async_trait]
pub trait Holder: Send + Sync + 'static {
    /// Everybody in these parts at or above the threshold. With [`SearchQuery::only`], a subject without references in these parts is none found and none searched, and no error.
    async fn search(&self, query: &SearchQuery, scope: &Scope) -> Result<SearchAnswer, PartError>;
    /// The subjects of these parts with the best scores.
    async fn rank(&self, query: &RankQuery, scope: &Scope) -> Result<SearchAnswer, PartError>;
}
