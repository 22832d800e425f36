//! A match node across the network as a holder of parts. Shares the connection, the breaker and the conversions of [`RemoteNode`]; an answer that does not fit is an error, never an empty one.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tonic::{Response, Status};

use super::reach::Wait;
use super::{RemoteNode, from_proto, scope, to_proto, until};
use crate::cluster::question::Scope;
use crate::matcher::node::{RankQuery, SearchQuery};
use crate::matcher::placed::holder::{Holder, PartError};
use crate::matcher::placed::register::Link;
use crate::model::decision::SearchAnswer;
use crate::model::id::TenantId;
use crate::proto::matching::v1 as pb;

/// The parts that a remote node holds. Cheap to clone.
#[derive(Clone)]
pub struct RemoteHolder(RemoteNode);

impl RemoteHolder {
    /// Those of this node.
    pub fn new(node: RemoteNode) -> Self {
        Self(node)
    }

    /// Waits for the answer of a call for parts of a tenant's gallery.
    async fn ask(
        &self,
        tenant: &TenantId,
        scope: &Scope,
        deadline: Option<Instant>,
        call: impl Future<Output = Result<Response<pb::SearchResponse>, Status>>,
    ) -> Result<SearchAnswer, PartError> {
        let refusal = |status: &Status| scope::refusal_from_status(&self.0.name, status, scope);
        let asked = self
            .0
            .reach
            .ask_or(Some(tenant), Wait::Until(deadline), call, refusal);
        let answer = asked.await?;
        self.0.learn_backend(&answer.backend);
        Ok(self.0.parsed(from_proto::answer(answer))?)
    }
}

/// Both on one connection.
impl From<RemoteNode> for Link {
    fn from(node: RemoteNode) -> Self {
        Self {
            holder: Arc::new(RemoteHolder::new(node.clone())),
            node: Arc::new(node),
        }
    }
}

#[async_trait]
impl Holder for RemoteHolder {
    async fn search(&self, query: &SearchQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        let message = pb::SearchPartsRequest {
            query: Some(to_proto::search(query)),
            scope: Some(scope::to_proto(scope)),
        };
        let request = until(message, query.deadline)?;
        let mut client = self.0.client();
        let call = async move { client.search_parts(request).await };
        self.ask(&query.tenant, scope, query.deadline, call).await
    }

    async fn rank(&self, query: &RankQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        let message = pb::RankPartsRequest {
            query: Some(to_proto::rank(query)),
            scope: Some(scope::to_proto(scope)),
        };
        let request = until(message, query.deadline)?;
        let mut client = self.0.client();
        let call = async move { client.rank_parts(request).await };
        self.ask(&query.tenant, scope, query.deadline, call).await
    }
}
