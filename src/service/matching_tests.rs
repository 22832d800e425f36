//! Tests of a node across the network, both ends: a small fake node behind the internal service on loopback.

use std::time::{Duration, Instant};

use futures::stream;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};

use super::*;
use crate::matcher::node::{
    CompareQuery, Enrolled, Enrollment, Erased, Erasure, ImportHeader, ImportStream, Imported, RankQuery,
    SearchQuery, SubjectRef, UsagePage, UsageQuery,
};
use crate::matcher::remote::RemoteNode;
use crate::model::consent::{Consent, ConsentMethod};
use crate::model::decision::SearchAnswer;
use crate::model::decision::{Candidate, Certificate};
use crate::model::erasure::SignedReceipt;
use crate::model::link::{LinkKind, SealedLink};
use crate::model::policy::{Policy, ThresholdRule};
use crate::model::signature::{Dimension, Encoder, Signature};
use crate::model::subject::SubjectRecord;
use crate::model::subject::{Capture, Hand, PadVerdict, ReferenceInfo};
use crate::model::tenant::{TenantSpec, TenantStatus};
use crate::model::tenant::{TenantState, TenantStats, TransformId};
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageEvent;
use crate::model::usage::{Outcome, UsageKind};
use crate::proto::matching::v1::match_server::MatchServer;

fn tenant() -> TenantId {
    "acme".parse().expect("an id")
}

fn probe() -> Signature {
    let mut values = vec![0.0; 32];
    values.splice(..2, [0.6, 0.8]);
    Signature::new(values, Dimension::new(32).expect("a dimension")).expect("a unit vector")
}

fn transform() -> TransformId {
    TransformId {
        version: 3,
        digest: [7; 32],
    }
}

fn spec() -> TenantSpec {
    TenantSpec {
        id: tenant(),
        dimension: Dimension::new(32).expect("a dimension"),
        encoder: Encoder::new("palm", "1").expect("an encoder"),
        transform: transform(),
        policy: Policy {
            threshold: ThresholdRule::TargetFpir {
                fpir: 1e-6,
                gallery_size: 1_000,
            },
            margin: 0.25,
            quality_min: 30,
            pad_required: true,
            links: [(crate::model::principal::Role::Scanner, vec![LinkKind::BadgeId])].into(),
            deterministic: true,
        },
        created_at: Timestamp(-1_500_001),
    }
}

fn status() -> TenantStatus {
    TenantStatus {
        spec: Some(spec()),
        id: tenant(),
        state: TenantState::Ready,
        stats: TenantStats {
            subjects: 1,
            references: 2,
            pending: 3,
            segments: 4,
            segment_bytes: 5,
            resident_bytes: 6,
            sequence: 7,
        },
    }
}

fn link() -> SealedLink {
    SealedLink {
        kind: LinkKind::LoyaltyId,
        lookup: [9; 32],
        sealed: vec![1, 2, 3],
    }
}

fn consent() -> Consent {
    Consent {
        policy_version: "2".to_owned(),
        purpose: "doors".to_owned(),
        given_at: Timestamp(1),
        expires_at: Timestamp(2),
        method: ConsentMethod::InApp,
    }
}

fn usage_event() -> UsageEvent {
    UsageEvent {
        at: Timestamp(5),
        kind: UsageKind::Identify,
        outcome: Outcome::Retake(crate::model::decision::RetakeReason::Ambiguous),
        subject_id: Some("ada".parse().expect("an id")),
        site: None,
        principal: "gate-1".parse().expect("a name"),
        request_id: "r-1".parse().expect("an id"),
    }
}

fn capture() -> Capture {
    Capture {
        hand: None,
        quality: 90,
        captured_at: Timestamp(4),
        pad: PadVerdict::BonaFide,
    }
}

fn search_answer() -> SearchAnswer {
    SearchAnswer {
        candidates: vec![Candidate {
            subject_id: "ada".parse().expect("an id"),
            hand: Hand::Right,
            score: 0.812_345_6,
            links: vec![link()],
        }],
        certificate: Certificate::Probabilistic {
            miss_probability: 1e-9,
        },
        backend: "cpu/fake".to_owned(),
        searched: 12,
    }
}

fn record() -> SubjectRecord {
    SubjectRecord {
        subject_id: "ada".parse().expect("an id"),
        created_at: Timestamp(1),
        consent: consent(),
        references: vec![ReferenceInfo {
            reference: 1,
            hand: Hand::Left,
            quality: 3,
            captured_at: Timestamp(2),
            enrolled_at: Timestamp(3),
        }],
        links: vec![link()],
    }
}

fn erased() -> Erased {
    Erased {
        erasure: 4,
        subject_id: "ada".parse().expect("an id"),
        purged: true,
        receipt: SignedReceipt {
            receipt_json: "{}".to_owned(),
            signature: vec![1; 64],
            public_key: vec![2; 32],
        },
    }
}

/// Answers with the fixtures above, after checking that what was asked arrived unchanged.
struct FakeNode;

fn expect_same(
    what: &str,
    left: &impl std::fmt::Debug,
    right: &impl std::fmt::Debug,
) -> Result<(), NodeError> {
    let (left, right) = (format!("{left:?}"), format!("{right:?}"));
    if left == right {
        return Ok(());
    }
    Err(NodeError::Internal(format!("{what}: {left} is not {right}")))
}

fn enrollment() -> Enrollment {
    Enrollment {
        tenant: tenant(),
        transform: transform(),
        request_id: "r-1".parse().expect("an id"),
        request_digest: [5; 32],
        subject_id: "ada".parse().expect("an id"),
        references: vec![crate::matcher::node::NewReference {
            signature: probe(),
            hand: Hand::Left,
            capture: capture(),
        }],
        consent: consent(),
        links: vec![link()],
        usage: usage_event(),
    }
}

fn erasure() -> Erasure {
    Erasure {
        tenant: tenant(),
        request_id: "r-2".parse().expect("an id"),
        request_digest: [6; 32],
        subject: SubjectRef::Link {
            kind: LinkKind::PhoneNumber,
            lookup: [8; 32],
        },
    }
}

fn import_header(rows: u64) -> ImportHeader {
    ImportHeader {
        tenant: tenant(),
        transform: transform(),
        request_id: "r-3".parse().expect("an id"),
        request_digest: [6; 32],
        rows,
        hand: Hand::Right,
        capture: capture(),
        consent: consent(),
    }
}

#[tonic::async_trait]
impl Node for FakeNode {
    async fn tenants(&self) -> Result<Vec<TenantStatus>, NodeError> {
        Ok(vec![status()])
    }
    async fn tenant(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        Err(NodeError::TenantUnknown(tenant.clone()))
    }
    async fn create_tenant(&self, given: TenantSpec) -> Result<TenantStatus, NodeError> {
        expect_same("spec", &given, &spec())?;
        Ok(status())
    }
    async fn drop_tenant(&self, _: &TenantId) -> Result<(), NodeError> {
        Ok(())
    }
    async fn search(&self, query: SearchQuery) -> Result<SearchAnswer, NodeError> {
        expect_same("transform", &query.transform, &transform())?;
        expect_same("deterministic", &query.deterministic, &true)?;
        if query.candidates_max == 99 {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        if query.probe.values() != probe().values() {
            return Err(NodeError::Internal("the probe changed".to_owned()));
        }
        Ok(search_answer())
    }
    async fn rank(&self, given: RankQuery) -> Result<SearchAnswer, NodeError> {
        if given.candidates_max == 99 {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        let given = RankQuery {
            deadline: None,
            ..given
        };
        expect_same("question", &given, &rank_query(1_000, None))?;
        Ok(search_answer())
    }
    async fn compare(&self, query: CompareQuery) -> Result<f32, NodeError> {
        expect_same("transform", &query.transform, &transform())?;
        expect_same("deadline", &query.deadline.is_some(), &true)?;
        Ok(0.25)
    }
    async fn enroll(&self, given: Enrollment) -> Result<Enrolled, NodeError> {
        expect_same("enrollment", &given, &enrollment())?;
        Ok(Enrolled {
            subject_id: given.subject_id,
            references: vec![1, 2],
            sequence: 3,
        })
    }
    async fn import(&self, header: ImportHeader, mut chunks: ImportStream) -> Result<Imported, NodeError> {
        expect_same("header", &header, &import_header(header.rows))?;
        let mut rows = 0;
        let mut chunk_count = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            expect_same("row length", &(chunk.values.len() % chunk.subject_ids.len()), &0)?;
            rows += chunk.subject_ids.len() as u64;
            chunk_count += 1;
        }
        expect_same("rows", &rows, &header.rows)?;
        Ok(Imported {
            rows,
            sequence: chunk_count,
        })
    }
    async fn erase(&self, given: Erasure) -> Result<Erased, NodeError> {
        expect_same("erasure", &given, &erasure())?;
        Ok(erased())
    }
    async fn erasure(&self, _: &TenantId, erasure: u64) -> Result<Erased, NodeError> {
        Err(NodeError::ErasureUnknown(erasure))
    }
    async fn subject(&self, _: &TenantId, _: &SubjectRef) -> Result<SubjectRecord, NodeError> {
        Ok(record())
    }
    async fn record_usage(&self, _: &TenantId, event: UsageEvent) -> Result<(), NodeError> {
        expect_same("event", &event, &usage_event())
    }
    async fn usage(&self, query: UsageQuery) -> Result<UsagePage, NodeError> {
        Ok(UsagePage {
            events: vec![usage_event()],
            next_before: query.before,
        })
    }
    fn backend(&self) -> String {
        "cpu/fake".to_owned()
    }
}

async fn connect() -> RemoteNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let service = MatchServer::new(MatchRoom::new(Arc::new(FakeNode)));
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    RemoteNode::connect("match-1".to_owned(), channel.connect_lazy())
}

fn query(candidates_max: usize, deadline: Option<Instant>) -> SearchQuery {
    SearchQuery {
        tenant: tenant(),
        transform: transform(),
        probe: probe(),
        threshold: 0.5,
        candidates_max,
        links: vec![LinkKind::BadgeId],
        deterministic: true,
        deadline,
    }
}

fn rank_query(candidates_max: usize, deadline: Option<Instant>) -> RankQuery {
    RankQuery {
        tenant: tenant(),
        transform: transform(),
        probe: probe(),
        candidates_max,
        deterministic: true,
        deadline,
    }
}

fn chunk(rows: usize, dimension: usize) -> ImportChunk {
    ImportChunk {
        values: vec![0.5; rows * dimension],
        subject_ids: (0..rows)
            .map(|row| format!("s-{row}").parse().expect("an id"))
            .collect(),
    }
}

#[tokio::test]
async fn tenants_cross_unchanged_and_bring_the_backends_name() {
    let node = connect().await;
    assert_eq!(node.backend(), "unknown");
    assert_eq!(node.tenants().await.expect("answers"), vec![status()]);
    assert_eq!(node.backend(), "cpu/fake");
    assert_eq!(node.create_tenant(spec()).await.expect("answers"), status());
    node.drop_tenant(&tenant()).await.expect("answers");
}

#[tokio::test]
async fn errors_keep_their_variant() {
    let node = connect().await;
    let error = node.tenant(&tenant()).await.expect_err("unknown");
    assert!(
        matches!(&error, NodeError::TenantUnknown(id) if *id == tenant()),
        "{error:?}"
    );
    let error = node.erasure(&tenant(), 11).await.expect_err("unknown");
    assert!(matches!(error, NodeError::ErasureUnknown(11)), "{error:?}");
}

#[tokio::test]
async fn searches_and_comparisons_cross_to_the_last_bit() {
    let node = connect().await;
    assert_eq!(
        node.search(query(5, None)).await.expect("answers"),
        search_answer()
    );
    let ranked = node.rank(rank_query(1_000, None)).await.expect("answers");
    assert_eq!(ranked, search_answer());
    let score = node
        .compare(CompareQuery {
            tenant: tenant(),
            transform: transform(),
            subject_id: "ada".parse().expect("an id"),
            probe: probe(),
            deadline: Some(Instant::now() + Duration::from_secs(20)),
        })
        .await
        .expect("answers");
    assert_eq!(score.to_bits(), 0.25f32.to_bits());
}

#[tokio::test]
async fn writes_and_records_cross_unchanged() {
    let node = connect().await;
    let enrolled = node.enroll(enrollment()).await.expect("answers");
    assert_eq!((enrolled.references, enrolled.sequence), (vec![1, 2], 3));
    assert_eq!(node.erase(erasure()).await.expect("answers"), erased());
    let subject = SubjectRef::Id("ada".parse().expect("an id"));
    assert_eq!(
        node.subject(&tenant(), &subject).await.expect("answers"),
        record()
    );
    node.record_usage(&tenant(), usage_event())
        .await
        .expect("answers");
    let page = node.usage(UsageQuery {
        tenant: tenant(),
        subject_id: None,
        before: Some(0),
        limit: 10,
    });
    let page = page.await.expect("answers");
    assert_eq!((page.events, page.next_before), (vec![usage_event()], Some(0)));
}

#[tokio::test]
async fn an_import_is_cut_into_messages_that_fit() {
    let node = connect().await;
    let chunks = vec![Ok(chunk(1_000, 4_096)), Ok(chunk(10, 4_096))];
    let chunks = stream::iter(chunks).boxed();
    let imported = node.import(import_header(1_010), chunks).await.expect("imports");
    assert_eq!(imported.rows, 1_010);
    assert!(imported.sequence > 10, "{} messages of 16 MB", imported.sequence);
}

#[tokio::test]
async fn an_import_that_the_sender_breaks_off_fails_with_the_senders_error() {
    let node = connect().await;
    let broken = Err(NodeError::Rejected(Rejected::new("row 7123", "holds NaN")));
    let chunks = stream::iter(vec![Ok(chunk(10, 32)), broken, Ok(chunk(10, 32))]).boxed();
    let error = node
        .import(import_header(20), chunks)
        .await
        .expect_err("broken off");
    assert!(
        matches!(&error, NodeError::Rejected(refusal) if refusal.field == "row 7123"),
        "{error:?}"
    );
}

#[tokio::test]
async fn deadlines_end_searches_on_both_sides() {
    let node = connect().await;
    let past = Instant::now().checked_sub(Duration::from_millis(1));
    let error = node.search(query(5, past)).await.expect_err("late");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error:?}");
    let soon = Instant::now() + Duration::from_millis(100);
    let error = node.search(query(99, Some(soon))).await.expect_err("late");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error:?}");
    let soon = Instant::now() + Duration::from_millis(100);
    let error = node.rank(rank_query(99, Some(soon))).await.expect_err("late");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error:?}");
}

#[tokio::test]
async fn a_front_that_asks_for_too_many_or_no_candidates_is_told() {
    let node = connect().await;
    for count in [0, 1_001] {
        let error = node.rank(rank_query(count, None)).await.expect_err("refused");
        assert!(
            matches!(&error, NodeError::Rejected(refusal) if refusal.field == "candidates_max"
                && refusal.problem.contains(&count.to_string()) && refusal.problem.contains("1000")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_is_unavailable_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let node = RemoteNode::connect("match-7".to_owned(), channel.connect_lazy());
    let error = node.search(query(5, None)).await.expect_err("nobody there");
    assert!(
        matches!(&error, NodeError::NodeUnavailable { node, .. } if node == "match-7"),
        "{error:?}"
    );
}
