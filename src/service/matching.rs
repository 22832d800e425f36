//! The match side of the internal service: a node behind gRPC, for fronts alone. Sees protected signatures only.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::service::Interceptor;
use tonic::{Request, Response, Status, Streaming};

use super::observe::{observed, to_the_end};
use super::{caller, deadline, import, status};
use crate::front::revocation::Revocations;
use crate::matcher::node::{ImportChunk, Node, NodeError, TransformChange};
use crate::matcher::placed::holder::Holder;
use crate::matcher::remote::from_proto::ComingChange;
use crate::matcher::remote::{from_proto, scope, to_proto, vocabulary};
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::reject::Rejected;
use crate::proto::matching::v1 as pb;
use crate::proto::matching::v1::match_server::Match;
use crate::proto::v1;

/// The room of the Match service.
pub struct MatchRoom {
    node: Arc<dyn Node>,
    /// None where the node has galleries as a whole.
    holder: Option<Arc<dyn Holder>>,
}

impl MatchRoom {
    /// A room that asks `node`.
    pub fn new(node: Arc<dyn Node>) -> Self {
        Self { node, holder: None }
    }

    /// A room that asks `holder` for parts of galleries, and `node` for all else.
    pub fn with_parts(node: Arc<dyn Node>, holder: Arc<dyn Holder>) -> Self {
        let holder = Some(holder);
        Self { node, holder }
    }

    fn holder(&self) -> Result<&Arc<dyn Holder>, Status> {
        let none = || status::told(Status::unimplemented(""));
        self.holder.as_ref().ok_or_else(none)
    }
}

/// Lets in nobody but fronts: `spiffe://<trust domain>/node/front/<name>`.
#[derive(Clone)]
pub struct FrontsOnly {
    trust_domain: Arc<str>,
    revocations: Revocations,
}

impl FrontsOnly {
    /// The guard of one trust domain, without the certificates that were taken back.
    pub fn new(trust_domain: Arc<str>, revocations: Revocations) -> Self {
        Self {
            trust_domain,
            revocations,
        }
    }
}

impl Interceptor for FrontsOnly {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match caller::front_node(request.extensions(), &self.trust_domain, &self.revocations) {
            Ok(_) => Ok(request),
            Err(error) => Err(status::from_front(&error, "")),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn refused(refusal: Rejected) -> Status {
    status::from_rejected(&refusal)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn failed(error: NodeError) -> Status {
    status::from_node(&error)
}

#[tonic::async_trait]
impl Match for MatchRoom {
    async fn list_tenants(
        &self,
        _: Request<pb::ListTenantsRequest>,
    ) -> Result<Response<pb::ListTenantsResponse>, Status> {
        observed("match.ListTenants", async {
            let tenants = self.node.tenants().await.map_err(failed)?;
            Ok(Response::new(pb::ListTenantsResponse {
                tenants: tenants.iter().map(to_proto::status).collect(),
                backend: self.node.backend(),
            }))
        })
        .await
    }

    async fn get_tenant(
        &self,
        request: Request<pb::GetTenantRequest>,
    ) -> Result<Response<pb::TenantStatus>, Status> {
        observed("match.GetTenant", async {
            let tenant: TenantId = request.get_ref().tenant.parse().map_err(refused)?;
            let answer = self.node.tenant(&tenant).await.map_err(failed)?;
            Ok(Response::new(to_proto::status(&answer)))
        })
        .await
    }

    async fn create_tenant(
        &self,
        request: Request<pb::TenantSpec>,
    ) -> Result<Response<pb::TenantStatus>, Status> {
        observed("match.CreateTenant", async {
            let spec = from_proto::spec(request.into_inner()).map_err(refused)?;
            let node = Arc::clone(&self.node);
            let answer = to_the_end(async move { node.create_tenant(spec).await.map_err(failed) }).await?;
            Ok(Response::new(to_proto::status(&answer)))
        })
        .await
    }

    async fn drop_tenant(
        &self,
        request: Request<pb::DropTenantRequest>,
    ) -> Result<Response<pb::DropTenantResponse>, Status> {
        observed("match.DropTenant", async {
            let tenant: TenantId = request.get_ref().tenant.parse().map_err(refused)?;
            let node = Arc::clone(&self.node);
            to_the_end(async move { node.drop_tenant(&tenant).await.map_err(failed) }).await?;
            Ok(Response::new(pb::DropTenantResponse {}))
        })
        .await
    }

    async fn set_policy(
        &self,
        request: Request<pb::SetPolicyRequest>,
    ) -> Result<Response<pb::TenantStatus>, Status> {
        observed("match.SetPolicy", async {
            let change = from_proto::policy_change(request.into_inner()).map_err(refused)?;
            let answer = self.node.set_policy(change).await.map_err(failed)?;
            Ok(Response::new(to_proto::status(&answer)))
        })
        .await
    }

    async fn rotate_data_key(
        &self,
        request: Request<pb::RotateDataKeyRequest>,
    ) -> Result<Response<pb::TenantStatus>, Status> {
        observed("match.RotateDataKey", async {
            let tenant: TenantId = request.get_ref().tenant.parse().map_err(refused)?;
            let answer = self.node.rotate_data_key(&tenant).await.map_err(failed)?;
            Ok(Response::new(to_proto::status(&answer)))
        })
        .await
    }

    async fn rotate_transform(
        &self,
        request: Request<Streaming<pb::RotateTransformRequest>>,
    ) -> Result<Response<pb::TenantStatus>, Status> {
        observed("match.RotateTransform", async {
            let (tenant, change) = whole_change(request.into_inner()).await?;
            let answer = self
                .node
                .rotate_transform(&tenant, change)
                .await
                .map_err(failed)?;
            Ok(Response::new(to_proto::status(&answer)))
        })
        .await
    }

    async fn search(
        &self,
        request: Request<pb::SearchRequest>,
    ) -> Result<Response<pb::SearchResponse>, Status> {
        observed("match.Search", async {
            let deadline = deadline::of(request.metadata().as_ref());
            let query = from_proto::search(request.into_inner(), deadline).map_err(refused)?;
            let answer = self.node.search(query).await.map_err(failed)?;
            Ok(Response::new(to_proto::answer(&answer)))
        })
        .await
    }

    async fn rank(&self, request: Request<pb::RankRequest>) -> Result<Response<pb::SearchResponse>, Status> {
        observed("match.Rank", async {
            let deadline = deadline::of(request.metadata().as_ref());
            let query = from_proto::rank(request.into_inner(), deadline).map_err(refused)?;
            let answer = self.node.rank(query).await.map_err(failed)?;
            Ok(Response::new(to_proto::answer(&answer)))
        })
        .await
    }

    async fn search_parts(
        &self,
        request: Request<pb::SearchPartsRequest>,
    ) -> Result<Response<pb::SearchResponse>, Status> {
        observed("match.SearchParts", async {
            let deadline = deadline::of(request.metadata().as_ref());
            let message = request.into_inner();
            let holder = self.holder()?;
            let scope = scope::from_proto(message.scope).map_err(refused)?;
            let query = vocabulary::required("query", message.query).map_err(refused)?;
            let query = from_proto::search(query, deadline).map_err(refused)?;
            let answer = holder.search(&query, &scope).await;
            let answer = answer.map_err(|error| status::from_part(&error, &scope))?;
            Ok(Response::new(to_proto::answer(&answer)))
        })
        .await
    }

    async fn rank_parts(
        &self,
        request: Request<pb::RankPartsRequest>,
    ) -> Result<Response<pb::SearchResponse>, Status> {
        observed("match.RankParts", async {
            let deadline = deadline::of(request.metadata().as_ref());
            let message = request.into_inner();
            let holder = self.holder()?;
            let scope = scope::from_proto(message.scope).map_err(refused)?;
            let query = vocabulary::required("query", message.query).map_err(refused)?;
            let query = from_proto::rank(query, deadline).map_err(refused)?;
            let answer = holder.rank(&query, &scope).await;
            let answer = answer.map_err(|error| status::from_part(&error, &scope))?;
            Ok(Response::new(to_proto::answer(&answer)))
        })
        .await
    }

    async fn compare(
        &self,
        request: Request<pb::CompareRequest>,
    ) -> Result<Response<pb::CompareResponse>, Status> {
        observed("match.Compare", async {
            let deadline = deadline::of(request.metadata().as_ref());
            let query = from_proto::compare(request.into_inner(), deadline).map_err(refused)?;
            let score = self.node.compare(query).await.map_err(failed)?;
            Ok(Response::new(pb::CompareResponse { score }))
        })
        .await
    }

    async fn enroll(
        &self,
        request: Request<pb::EnrollRequest>,
    ) -> Result<Response<pb::EnrollResponse>, Status> {
        observed("match.Enroll", async {
            let enrollment = from_proto::enroll(request.into_inner()).map_err(refused)?;
            let node = Arc::clone(&self.node);
            let answer = to_the_end(async move { node.enroll(enrollment).await.map_err(failed) }).await?;
            Ok(Response::new(to_proto::enrolled(answer)))
        })
        .await
    }

    async fn import(
        &self,
        request: Request<Streaming<pb::ImportRequest>>,
    ) -> Result<Response<pb::ImportResponse>, Status> {
        observed("match.Import", async {
            let mut messages = request.into_inner();
            let first = messages.message().await?.and_then(|message| message.part);
            let Some(pb::import_request::Part::Header(header)) = first else {
                return Err(refused(Rejected::new("header", "is missing")));
            };
            let header = from_proto::import_header(header).map_err(refused)?;
            let node = Arc::clone(&self.node);
            let answer =
                to_the_end(async move { node.import(header, chunks(messages)).await.map_err(failed) })
                    .await?;
            Ok(Response::new(pb::ImportResponse {
                imported: answer.rows,
                sequence: answer.sequence,
            }))
        })
        .await
    }

    async fn get_import(
        &self,
        request: Request<pb::GetImportRequest>,
    ) -> Result<Response<v1::ImportProgress>, Status> {
        observed("match.GetImport", async {
            let message = request.into_inner();
            let tenant: TenantId = message.tenant.parse().map_err(refused)?;
            let request_id: RequestId = message.request_id.parse().map_err(refused)?;
            let answer = self.node.import_progress(&tenant, &request_id).await;
            Ok(Response::new(to_proto::import_progress(answer.map_err(failed)?)))
        })
        .await
    }

    async fn erase(&self, request: Request<pb::EraseRequest>) -> Result<Response<pb::Erased>, Status> {
        observed("match.Erase", async {
            let erasure = from_proto::erase(request.into_inner()).map_err(refused)?;
            let node = Arc::clone(&self.node);
            let answer = to_the_end(async move { node.erase(erasure).await.map_err(failed) }).await?;
            Ok(Response::new(to_proto::erased(answer)))
        })
        .await
    }

    async fn get_erasure(
        &self,
        request: Request<pb::GetErasureRequest>,
    ) -> Result<Response<pb::Erased>, Status> {
        observed("match.GetErasure", async {
            let message = request.into_inner();
            let tenant: TenantId = message.tenant.parse().map_err(refused)?;
            let answer = self
                .node
                .erasure(&tenant, message.erasure)
                .await
                .map_err(failed)?;
            Ok(Response::new(to_proto::erased(answer)))
        })
        .await
    }

    async fn list_due(
        &self,
        request: Request<pb::ListDueRequest>,
    ) -> Result<Response<pb::ListDueResponse>, Status> {
        observed("match.ListDue", async {
            let message = request.into_inner();
            let tenant: TenantId = message.tenant.parse().map_err(refused)?;
            let due = vocabulary::required("due", message.due)
                .and_then(from_proto::due)
                .map_err(refused)?;
            let limit = usize::try_from(message.limit).expect("32 bits fit");
            let found = self.node.due(&tenant, due, limit).await.map_err(failed)?;
            let subject_ids = found.into_iter().map(String::from).collect();
            Ok(Response::new(pb::ListDueResponse { subject_ids }))
        })
        .await
    }

    async fn list_erasures(
        &self,
        request: Request<pb::ListErasuresRequest>,
    ) -> Result<Response<pb::ListErasuresResponse>, Status> {
        observed("match.ListErasures", async {
            let message = request.into_inner();
            let tenant: TenantId = message.tenant.parse().map_err(refused)?;
            let subject: SubjectId = message.subject_id.parse().map_err(refused)?;
            let found = self.node.erasures_of(&tenant, &subject).await;
            let erasures = found.map_err(failed)?;
            Ok(Response::new(pb::ListErasuresResponse { erasures }))
        })
        .await
    }

    async fn get_subject(
        &self,
        request: Request<pb::GetSubjectRequest>,
    ) -> Result<Response<pb::SubjectRecord>, Status> {
        observed("match.GetSubject", async {
            let message = request.into_inner();
            let tenant: TenantId = message.tenant.parse().map_err(refused)?;
            let subject = from_proto::subject_ref(message.subject).map_err(refused)?;
            let answer = self.node.subject(&tenant, &subject).await.map_err(failed)?;
            Ok(Response::new(to_proto::subject(&answer)))
        })
        .await
    }

    async fn record_usage(
        &self,
        request: Request<pb::RecordUsageRequest>,
    ) -> Result<Response<pb::RecordUsageResponse>, Status> {
        observed("match.RecordUsage", async {
            let message = request.into_inner();
            let tenant: TenantId = message.tenant.parse().map_err(refused)?;
            let event = vocabulary::required("event", message.event).map_err(refused)?;
            let event = vocabulary::usage_from_proto(&event).map_err(refused)?;
            let record = vocabulary::usage_record(event, &message.event_id).map_err(refused)?;
            self.node.record_usage(&tenant, record).await.map_err(failed)?;
            Ok(Response::new(pb::RecordUsageResponse {}))
        })
        .await
    }

    async fn list_usage(
        &self,
        request: Request<pb::ListUsageRequest>,
    ) -> Result<Response<pb::ListUsageResponse>, Status> {
        observed("match.ListUsage", async {
            let query = from_proto::usage_query(request.get_ref()).map_err(refused)?;
            let page = self.node.usage(query).await.map_err(failed)?;
            Ok(Response::new(to_proto::usage_page(&page)))
        })
        .await
    }

    async fn checkpoint_history(
        &self,
        request: Request<pb::CheckpointHistoryRequest>,
    ) -> Result<Response<pb::HistoryCheckpoint>, Status> {
        observed("match.CheckpointHistory", async {
            let tenant: TenantId = request.get_ref().tenant.parse().map_err(refused)?;
            let checkpoint = self.node.checkpoint(&tenant).await.map_err(failed)?;
            Ok(Response::new(to_proto::checkpoint(checkpoint)))
        })
        .await
    }
}

/// The whole change of a rotation, or nothing of it.
async fn whole_change(
    mut messages: Streaming<pb::RotateTransformRequest>,
) -> Result<(TenantId, TransformChange), Status> {
    use pb::rotate_transform_request::Part;
    let Some(Part::Header(header)) = messages.message().await?.and_then(|message| message.part) else {
        return Err(refused(Rejected::new("header", "is missing")));
    };
    let mut coming = ComingChange::new(header).map_err(refused)?;
    while let Some(message) = messages.message().await? {
        let Some(Part::Rows(rows)) = message.part else {
            return Err(refused(Rejected::new("part", "is not rows")));
        };
        coming.push(rows).map_err(refused)?;
    }
    let tenant = coming.tenant.clone();
    let change = tokio::task::spawn_blocking(move || coming.finish()).await;
    let change = change.map_err(|error| status::internal(&error.to_string(), ""))?;
    Ok((tenant, change.map_err(refused)?))
}

/// The rows of an import, until the front says that it can't go on or breaks off.
fn chunks(messages: Streaming<pb::ImportRequest>) -> BoxStream<'static, Result<ImportChunk, NodeError>> {
    messages.map(next).boxed()
}

fn next(message: Result<pb::ImportRequest, Status>) -> Result<ImportChunk, NodeError> {
    match message.map_err(|status| import::broken_off(&status))?.part {
        Some(pb::import_request::Part::Rows(rows)) => Ok(from_proto::import_rows(rows)?),
        Some(pb::import_request::Part::Aborted(pb::ImportAborted {
            reason,
            broken_off: true,
        })) => Err(NodeError::ImportBrokenOff { reason }),
        Some(pb::import_request::Part::Aborted(aborted)) => {
            Err(Rejected::new("rows", format!("the front stopped: {}", aborted.reason)).into())
        }
        Some(pb::import_request::Part::Header(_)) | None => Err(Rejected::new("part", "is not rows").into()),
    }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
