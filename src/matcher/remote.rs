//! A match node across the network: the node's contract over the internal gRPC service. Keeps no gallery; a node that can't be reached is an error, never an empty answer.

pub mod breaker;
pub mod error;
pub mod from_proto;
pub mod holder;
pub mod reach;
pub mod scope;
pub mod to_proto;
pub mod vocabulary;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tonic::Request;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Channel;

use self::reach::{Reach, Wait};
use super::node::{
    CompareQuery, Enrolled, Enrollment, Erased, Erasure, ImportChunk, ImportHeader, ImportProgress,
    ImportStream, Imported, Node, NodeError, PolicyChange, RankQuery, SearchQuery, SubjectRef,
    TransformChange, UsagePage, UsageQuery,
};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::decision::SearchAnswer;
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::reject::Rejected;
use crate::model::retention::Due;
use crate::model::subject::SubjectRecord;
use crate::model::tenant::{TenantSpec, TenantStatus};
use crate::model::usage::UsageRecord;
use crate::proto::matching::v1 as pb;
use crate::proto::matching::v1::match_client::MatchClient;
use crate::telemetry::traces::{Span, Traced};

/// Largest message between front and match, in bytes: 1,000 candidates with every link fit several times.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// The wait of a call whose caller states no deadline.
const CALL: Wait = Wait::Until(None);
/// Coordinates of one message of a stream, in bytes.
const PART_BYTES_MAX: usize = 1 << 20;

/// One match node behind a channel. Cheap to clone; calls share the channel's connection.
#[derive(Clone)]
pub struct RemoteNode {
    name: String,
    reach: Reach,
    client: Arc<ArcSwap<Client>>,
    backend: Arc<Mutex<String>>,
}

impl RemoteNode {
    /// The node that `channel` leads to. Sends nothing yet; errors name it `name`.
    pub fn connect(name: String, channel: Channel) -> Self {
        Self {
            reach: Reach::new(&name),
            name,
            client: Arc::new(ArcSwap::from_pointee(client(channel))),
            backend: Arc::new(Mutex::new("unknown".to_owned())),
        }
    }

    /// Calls from now on go through `channel`; those under way end on the former one.
    pub fn reconnect(&self, channel: Channel) {
        self.client.store(Arc::new(client(channel)));
    }

    /// Whether nobody else has a clone of it.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.client) == 1
    }

    fn client(&self) -> Client {
        Client::clone(&self.client.load())
    }

    fn parsed<T>(&self, answer: Result<T, Rejected>) -> Result<T, NodeError> {
        answer.map_err(|rejected| {
            NodeError::Internal(format!(
                "the answer of match node {} does not fit: {rejected}",
                self.name
            ))
        })
    }

    fn learn_backend(&self, name: &str) {
        let mut backend = self.backend.lock();
        if *backend != name {
            name.clone_into(&mut backend);
        }
    }
}

/// A client whose calls are parts of the traces of those that they are made for.
type Client = MatchClient<Traced<Channel, fn(&mut http::Request<Body>) -> Option<Span>>>;

fn client(channel: Channel) -> Client {
    MatchClient::new(Traced::new(channel, Span::ask as _))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// A request that ends at `deadline`.
fn until<T>(message: T, deadline: Option<Instant>) -> Result<Request<T>, NodeError> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NodeError::DeadlineExceeded);
        }
        request.set_timeout(left);
    }
    Ok(request)
}

#[async_trait]
impl Node for RemoteNode {
    async fn tenants(&self) -> Result<Vec<TenantStatus>, NodeError> {
        let mut client = self.client();
        let call = async move { client.list_tenants(pb::ListTenantsRequest {}).await };
        let answer = self.reach.ask(None, Wait::Lookup, call).await?;
        self.learn_backend(&answer.backend);
        self.parsed(answer.tenants.into_iter().map(from_proto::status).collect())
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let request = pb::GetTenantRequest {
            tenant: tenant.to_string(),
        };
        let mut client = self.client();
        let call = async move { client.get_tenant(request).await };
        let answer = self.reach.ask(Some(tenant), Wait::Lookup, call).await?;
        self.parsed(from_proto::status(answer))
    }

    async fn create_tenant(&self, spec: TenantSpec) -> Result<TenantStatus, NodeError> {
        let (mut client, request) = (self.client(), to_proto::spec(&spec));
        let call = async move { client.create_tenant(request).await };
        let answer = self.reach.ask(Some(&spec.id), CALL, call).await?;
        self.parsed(from_proto::status(answer))
    }

    async fn set_policy(&self, change: PolicyChange) -> Result<TenantStatus, NodeError> {
        let (mut client, request) = (self.client(), to_proto::policy_change(&change));
        let call = async move { client.set_policy(request).await };
        let answer = self.reach.ask(Some(&change.tenant), CALL, call).await?;
        self.parsed(from_proto::status(answer))
    }

    async fn drop_tenant(&self, tenant: &TenantId) -> Result<(), NodeError> {
        let request = pb::DropTenantRequest {
            tenant: tenant.to_string(),
        };
        let mut client = self.client();
        let call = async move { client.drop_tenant(request).await };
        self.reach.ask(Some(tenant), Wait::Work, call).await?;
        Ok(())
    }

    async fn rotate_data_key(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let request = pb::RotateDataKeyRequest {
            tenant: tenant.to_string(),
        };
        let mut client = self.client();
        let call = async move { client.rotate_data_key(request).await };
        let answer = self.reach.ask(Some(tenant), Wait::Work, call).await?;
        self.parsed(from_proto::status(answer))
    }

    async fn rotate_transform(
        &self,
        tenant: &TenantId,
        change: TransformChange,
    ) -> Result<TenantStatus, NodeError> {
        let messages = stream::iter(to_proto::transform_change(tenant, &change, PART_BYTES_MAX));
        let mut client = self.client();
        let call = async move { client.rotate_transform(messages).await };
        let answer = self.reach.ask(Some(tenant), Wait::Work, call).await?;
        self.parsed(from_proto::status(answer))
    }

    async fn search(&self, query: SearchQuery) -> Result<SearchAnswer, NodeError> {
        let request = until(to_proto::search(&query), query.deadline)?;
        let mut client = self.client();
        let call = async move { client.search(request).await };
        let wait = Wait::Until(query.deadline);
        let answer = self.reach.ask(Some(&query.tenant), wait, call).await?;
        self.learn_backend(&answer.backend);
        self.parsed(from_proto::answer(answer))
    }

    async fn rank(&self, query: RankQuery) -> Result<SearchAnswer, NodeError> {
        let request = until(to_proto::rank(&query), query.deadline)?;
        let mut client = self.client();
        let call = async move { client.rank(request).await };
        let wait = Wait::Until(query.deadline);
        let answer = self.reach.ask(Some(&query.tenant), wait, call).await?;
        self.learn_backend(&answer.backend);
        self.parsed(from_proto::answer(answer))
    }

    async fn compare(&self, query: CompareQuery) -> Result<f32, NodeError> {
        let request = until(to_proto::compare(&query), query.deadline)?;
        let mut client = self.client();
        let call = async move { client.compare(request).await };
        let wait = Wait::Until(query.deadline);
        let answer = self.reach.ask(Some(&query.tenant), wait, call).await?;
        Ok(answer.score)
    }

    async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, NodeError> {
        let (mut client, request) = (self.client(), to_proto::enroll(&enrollment));
        let call = async move { client.enroll(request).await };
        let answer = self.reach.ask(Some(&enrollment.tenant), CALL, call).await?;
        self.parsed(from_proto::enrolled(answer))
    }

    async fn import(&self, header: ImportHeader, chunks: ImportStream) -> Result<Imported, NodeError> {
        let failure = Arc::new(Mutex::new(None));
        let messages = import_messages(&header, chunks, Arc::clone(&failure));
        let mut client = self.client();
        let call = async move { client.import(messages).await };
        match self.reach.ask(Some(&header.tenant), Wait::Work, call).await {
            Ok(answer) => Ok(Imported {
                rows: answer.imported,
                sequence: answer.sequence,
            }),
            // What the sender met is the reason; the node only says that it was told to stop.
            Err(error) => Err(failure.lock().take().unwrap_or(error)),
        }
    }

    async fn import_progress(
        &self,
        tenant: &TenantId,
        request: &RequestId,
    ) -> Result<ImportProgress, NodeError> {
        let request = pb::GetImportRequest {
            tenant: tenant.to_string(),
            request_id: request.to_string(),
        };
        let mut client = self.client();
        let call = async move { client.get_import(request).await };
        let answer = self.reach.ask(Some(tenant), CALL, call).await?;
        Ok(from_proto::import_progress(answer))
    }

    async fn erase(&self, erasure: Erasure) -> Result<Erased, NodeError> {
        let (mut client, request) = (self.client(), to_proto::erase(&erasure));
        let call = async move { client.erase(request).await };
        let answer = self.reach.ask(Some(&erasure.tenant), CALL, call).await?;
        self.parsed(from_proto::erased(answer))
    }

    async fn erasure(&self, tenant: &TenantId, erasure: u64) -> Result<Erased, NodeError> {
        let request = pb::GetErasureRequest {
            tenant: tenant.to_string(),
            erasure,
        };
        let mut client = self.client();
        let call = async move { client.get_erasure(request).await };
        let answer = self.reach.ask(Some(tenant), CALL, call).await?;
        self.parsed(from_proto::erased(answer))
    }

    async fn due(&self, tenant: &TenantId, due: Due, limit: usize) -> Result<Vec<SubjectId>, NodeError> {
        let request = pb::ListDueRequest {
            tenant: tenant.to_string(),
            due: Some(to_proto::due(due)),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        let mut client = self.client();
        let call = async move { client.list_due(request).await };
        let answer = self.reach.ask(Some(tenant), CALL, call).await?;
        self.parsed(answer.subject_ids.iter().map(|id| id.parse()).collect())
    }

    async fn erasures_of(&self, tenant: &TenantId, subject: &SubjectId) -> Result<Vec<u64>, NodeError> {
        let request = pb::ListErasuresRequest {
            tenant: tenant.to_string(),
            subject_id: subject.to_string(),
        };
        let mut client = self.client();
        let call = async move { client.list_erasures(request).await };
        let answer = self.reach.ask(Some(tenant), CALL, call).await?;
        Ok(answer.erasures)
    }

    async fn subject(&self, tenant: &TenantId, subject: &SubjectRef) -> Result<SubjectRecord, NodeError> {
        let request = pb::GetSubjectRequest {
            tenant: tenant.to_string(),
            subject: Some(to_proto::subject_ref(subject)),
        };
        let mut client = self.client();
        let call = async move { client.get_subject(request).await };
        let answer = self.reach.ask(Some(tenant), CALL, call).await?;
        self.parsed(from_proto::subject(answer))
    }

    async fn record_usage(&self, tenant: &TenantId, record: UsageRecord) -> Result<(), NodeError> {
        let request = pb::RecordUsageRequest {
            tenant: tenant.to_string(),
            event: Some(vocabulary::usage_to_proto(&record.event)),
            event_id: record.id.0.to_vec().into(),
        };
        let mut client = self.client();
        let call = async move { client.record_usage(request).await };
        self.reach.ask(Some(tenant), CALL, call).await?;
        Ok(())
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsagePage, NodeError> {
        let (mut client, request) = (self.client(), to_proto::usage_query(&query));
        let call = async move { client.list_usage(request).await };
        let answer = self.reach.ask(Some(&query.tenant), CALL, call).await?;
        self.parsed(from_proto::usage_page(&answer))
    }

    async fn checkpoint(&self, tenant: &TenantId) -> Result<SignedCheckpoint, NodeError> {
        let request = pb::CheckpointHistoryRequest {
            tenant: tenant.to_string(),
        };
        let mut client = self.client();
        let call = async move { client.checkpoint_history(request).await };
        let answer = self.reach.ask(Some(tenant), CALL, call).await?;
        Ok(from_proto::checkpoint(answer))
    }

    /// The name that came with the last answer; `unknown` before the first.
    fn backend(&self) -> String {
        self.backend.lock().clone()
    }
}

/// The messages of an import. A type of its own, since the compiler can't prove the lifetimes of a
/// boxed stream inside the boxed future of the trait's method.
struct ImportMessages(BoxStream<'static, pb::ImportRequest>);

impl Stream for ImportMessages {
    type Item = pb::ImportRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

/// The header, then the rows; an error of the sender is kept in `failure` and told to the node.
fn import_messages(
    header: &ImportHeader,
    chunks: ImportStream,
    failure: Arc<Mutex<Option<NodeError>>>,
) -> ImportMessages {
    let first = to_proto::import_header(header);
    let rows = chunks
        .scan(false, move |aborted, chunk| {
            let messages = match chunk {
                _ if *aborted => return futures::future::ready(None),
                Ok(chunk) => split(chunk).into_iter().map(to_proto::import_rows).collect(),
                Err(error) => {
                    *aborted = true;
                    let last = to_proto::import_aborted(&error);
                    *failure.lock() = Some(error);
                    vec![last]
                }
            };
            futures::future::ready(Some(messages))
        })
        .flat_map(stream::iter);
    ImportMessages(stream::iter([first]).chain(rows).boxed())
}

/// Cuts a chunk into parts that fit into messages. One whose rows are not all of one length goes as it is: the node refuses it.
fn split(mut chunk: ImportChunk) -> Vec<ImportChunk> {
    let rows = chunk.subject_ids.len();
    if rows == 0 || !chunk.values.len().is_multiple_of(rows) {
        return vec![chunk];
    }
    let dimension = chunk.values.len() / rows;
    let rows_max = (PART_BYTES_MAX / (dimension.max(1) * size_of::<f32>())).max(1);
    let mut parts = Vec::new();
    while chunk.subject_ids.len() > rows_max {
        let subject_ids = chunk.subject_ids.split_off(rows_max);
        let values = chunk.values.split_off(rows_max * dimension);
        parts.push(std::mem::replace(&mut chunk, ImportChunk { values, subject_ids }));
    }
    parts.push(chunk);
    parts
}
