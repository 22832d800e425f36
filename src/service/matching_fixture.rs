//! For tests: a node that answers what it is expected to be asked, and the values that go to it and come back.

use std::time::{Duration, Instant};

use super::super::*;
use crate::keys::secret::SecretKey;
use crate::keys::transform::Rotation;
use crate::matcher::node::{
    CompareQuery, Enrolled, Enrollment, Erased, Erasure, ImportHeader, ImportProgress, ImportStream,
    Imported, PolicyChange, RankQuery, SearchQuery, SubjectRef, UsagePage, UsageQuery,
};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::consent::{Consent, ConsentMethod};
use crate::model::decision::SearchAnswer;
use crate::model::decision::{Candidate, Certificate};
use crate::model::erasure::SignedReceipt;
use crate::model::link::{LinkKind, SealedLink};
use crate::model::policy::{Policy, Retention, ThresholdRule};
use crate::model::retention::Due;
use crate::model::signature::{Dimension, Encoder, Signature};
use crate::model::subject::SubjectRecord;
use crate::model::subject::{Capture, Hand, PadVerdict, ReferenceInfo};
use crate::model::tenant::{TenantSpec, TenantStatus};
use crate::model::tenant::{TenantState, TenantStats, TransformId};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageKind};
use crate::model::usage::{UsageEvent, UsageRecord};

pub(super) fn tenant() -> TenantId {
    "acme".parse().expect("an id")
}

pub(super) fn probe() -> Signature {
    let mut values = vec![0.0; 32];
    values.splice(..2, [0.6, 0.8]);
    Signature::new(values, Dimension::new(32).expect("a dimension")).expect("a unit vector")
}

pub(super) fn transform() -> TransformId {
    TransformId {
        version: 3,
        digest: [7; 32],
    }
}

/// A change of rotation that is made up, but for its conversion.
pub(super) fn transform_change(dimension: usize) -> TransformChange {
    let dimension = Dimension::new(dimension).expect("a dimension");
    let rotation = |seed| Rotation::derive(&SecretKey::from_bytes([seed; 32]), 1, dimension);
    TransformChange {
        from: transform(),
        to: TransformId {
            version: 4,
            digest: [8; 32],
        },
        conversion: Arc::new(rotation(1).to(&rotation(2))),
    }
}

pub(super) fn spec() -> TenantSpec {
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
            retention: due().retention,
            sealed_probes: true,
        },
        created_at: Timestamp(-1_500_001),
    }
}

pub(super) fn policy_change() -> PolicyChange {
    PolicyChange {
        tenant: tenant(),
        request_id: "r-9".parse().expect("an id"),
        request_digest: [9; 32],
        policy: spec().policy,
    }
}

pub(super) fn status() -> TenantStatus {
    TenantStatus {
        spec: Some(spec()),
        id: tenant(),
        state: TenantState::Ready,
        rotating: true,
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

pub(super) fn link() -> SealedLink {
    SealedLink {
        kind: LinkKind::LoyaltyId,
        lookup: [9; 32],
        sealed: vec![1, 2, 3],
    }
}

pub(super) fn consent() -> Consent {
    Consent {
        policy_version: "2".to_owned(),
        purpose: "doors".to_owned(),
        given_at: Timestamp(1),
        expires_at: Timestamp(2),
        method: ConsentMethod::InApp,
    }
}

pub(super) fn usage_record() -> UsageRecord {
    UsageRecord {
        id: crate::model::usage::EventId([5; 16]),
        event: usage_event(),
    }
}

pub(super) fn usage_event() -> UsageEvent {
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

pub(super) fn capture() -> Capture {
    Capture {
        hand: None,
        quality: 90,
        captured_at: Timestamp(4),
        pad: PadVerdict::BonaFide,
    }
}

pub(super) fn search_answer() -> SearchAnswer {
    SearchAnswer {
        candidates: vec![Candidate {
            subject_id: "ada".parse().expect("an id"),
            subject_since: Timestamp(5),
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

pub(super) fn record() -> SubjectRecord {
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

pub(super) fn erased() -> Erased {
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
pub(super) struct FakeNode;

pub(super) fn expect_same(
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

pub(super) fn enrollment() -> Enrollment {
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

pub(super) fn checkpoint() -> SignedCheckpoint {
    SignedCheckpoint {
        checkpoint_json: "{}".to_owned(),
        signature: vec![1; 64],
        public_key: vec![2; 32],
    }
}

pub(super) fn erasure() -> Erasure {
    Erasure {
        tenant: tenant(),
        request_id: "r-2".parse().expect("an id"),
        request_digest: [6; 32],
        subject: SubjectRef::Link {
            kind: LinkKind::PhoneNumber,
            lookup: [8; 32],
        },
        only_if: Some(due()),
    }
}

pub(super) fn due() -> Due {
    Due {
        retention: Retention {
            idle_days_max: Some(90),
            consent_end: true,
        },
        as_of: Timestamp(1_700_000_000_000_001),
    }
}

pub(super) fn rank_query(candidates_max: usize, deadline: Option<Instant>) -> RankQuery {
    RankQuery {
        tenant: tenant(),
        transform: transform(),
        probe: probe(),
        candidates_max,
        deterministic: true,
        deadline,
    }
}

pub(super) fn import_header(rows: u64) -> ImportHeader {
    ImportHeader {
        tenant: tenant(),
        transform: transform(),
        request_id: "r-3".parse().expect("an id"),
        request_digest: [6; 32],
        rows,
        first_row: 7,
        hand: Hand::Right,
        capture: capture(),
        consent: consent(),
    }
}

pub(super) fn import_progress() -> ImportProgress {
    ImportProgress {
        rows_taken: 5,
        rows: 7,
        done: Some(Imported { rows: 8, sequence: 9 }),
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
    async fn set_policy(&self, change: PolicyChange) -> Result<TenantStatus, NodeError> {
        expect_same("change", &change, &policy_change())?;
        Ok(status())
    }
    async fn rotate_data_key(&self, _: &TenantId) -> Result<TenantStatus, NodeError> {
        Ok(status())
    }
    async fn rotate_transform(
        &self,
        given: &TenantId,
        change: TransformChange,
    ) -> Result<TenantStatus, NodeError> {
        let expected = transform_change(change.conversion.dimension().get());
        expect_same("tenant", given, &tenant())?;
        expect_same("from", &change.from, &expected.from)?;
        expect_same("to", &change.to, &expected.to)?;
        let (given, expected) = (change.conversion.values(), expected.conversion.values());
        expect_same("conversion", &given, &expected)?;
        Ok(status())
    }
    async fn search(&self, query: SearchQuery) -> Result<SearchAnswer, NodeError> {
        expect_same("transform", &query.transform, &transform())?;
        expect_same("deterministic", &query.deterministic, &true)?;
        let only: Option<SubjectId> = (query.candidates_max == 1).then(|| "ada".parse().expect("an id"));
        expect_same("only", &query.only, &only)?;
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
    async fn import_progress(
        &self,
        tenant: &TenantId,
        request: &RequestId,
    ) -> Result<ImportProgress, NodeError> {
        expect_same("progress", &(tenant, request.as_str()), &(&self::tenant(), "r-3"))?;
        Ok(import_progress())
    }
    async fn erase(&self, given: Erasure) -> Result<Erased, NodeError> {
        expect_same("erasure", &given, &erasure())?;
        Ok(erased())
    }
    async fn erasure(&self, _: &TenantId, erasure: u64) -> Result<Erased, NodeError> {
        Err(NodeError::ErasureUnknown(erasure))
    }
    async fn due(&self, _: &TenantId, given: Due, limit: usize) -> Result<Vec<SubjectId>, NodeError> {
        expect_same("due", &given, &due())?;
        expect_same("limit", &limit, &7)?;
        Ok(vec!["ada".parse().expect("an id"), "bob".parse().expect("an id")])
    }
    async fn erasures_of(&self, tenant: &TenantId, subject: &SubjectId) -> Result<Vec<u64>, NodeError> {
        expect_same("subject", &subject.as_str(), &"ada")?;
        expect_same("tenant", tenant, &self::tenant())?;
        Ok(vec![3, 4])
    }
    async fn subject(&self, _: &TenantId, _: &SubjectRef) -> Result<SubjectRecord, NodeError> {
        Ok(record())
    }
    async fn record_usage(&self, _: &TenantId, record: UsageRecord) -> Result<(), NodeError> {
        expect_same("event", &record, &usage_record())
    }
    async fn usage(&self, query: UsageQuery) -> Result<UsagePage, NodeError> {
        Ok(UsagePage {
            events: vec![usage_event()],
            next_before: query.before,
        })
    }
    async fn checkpoint(&self, tenant: &TenantId) -> Result<SignedCheckpoint, NodeError> {
        expect_same("tenant", tenant, &self::tenant())?;
        Ok(checkpoint())
    }
    fn backend(&self) -> String {
        "cpu/fake".to_owned()
    }
}
