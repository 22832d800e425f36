//! For tests: a match node in memory that searches by brute force. Keeps the node's contract as far as the front can tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::tenant::{FakeTenant, dot};
use super::fixture::{DIM, consent, id};
use crate::keys::secret::SecretKey;
use crate::matcher::node::*;
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::decision::{Candidate, Certificate, SearchAnswer};
use crate::model::erasure::{ErasureReceipt, ErasureState};
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::link::LinkKind;
use crate::model::retention::Due;
use crate::model::subject::{ReferenceInfo, SubjectRecord};
use crate::model::tenant::{TenantSpec, TenantState, TenantStats, TenantStatus, TransformId};
use crate::model::timestamp::Timestamp;
use crate::model::usage::{UsageEvent, UsageRecord};

mod tenant;

/// What the fake node holds, and what it was asked.
#[derive(Default)]
pub(super) struct FakeState {
    pub(super) tenants: BTreeMap<TenantId, FakeTenant>,
    /// The next calls of these methods fail, each once.
    pub(super) failures: BTreeMap<&'static str, NodeError>,
    /// Names of the methods that were called.
    pub(super) calls: Vec<&'static str>,
    pub(super) unavailable: BTreeMap<TenantId, String>,
    /// Whether every rotation is refused.
    pub(super) always_stale: bool,
    pub(super) last_import: Option<ImportHeader>,
    /// Whether the last search or ranking had to be proved.
    pub(super) deterministic: bool,
    /// Holds up the next search's answer: the first is told when it is found, the second lets it go.
    pub(super) gate: Option<(Arc<Notify>, Arc<Notify>)>,
}

/// A match node in memory.
#[derive(Default)]
pub(super) struct FakeNode(pub(super) Mutex<FakeState>);

impl FakeNode {
    fn on<T>(
        &self,
        method: &'static str,
        tenant: &TenantId,
        work: impl FnOnce(&mut FakeTenant) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let mut state = self.0.lock();
        state.calls.push(method);
        if let Some(error) = state.failures.remove(method) {
            return Err(error);
        }
        let tenant = state
            .tenants
            .get_mut(tenant)
            .ok_or_else(|| NodeError::TenantUnknown(tenant.clone()))?;
        work(tenant)
    }

    /// The same for what is protected with a rotation.
    fn on_gallery<T>(
        &self,
        method: &'static str,
        tenant: &TenantId,
        transform: &TransformId,
        work: impl FnOnce(&mut FakeTenant) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let always_stale = self.0.lock().always_stale;
        self.on(method, tenant, |held| {
            if !always_stale && held.spec.transform == *transform {
                return work(held);
            }
            Err(NodeError::TransformStale {
                tenant: tenant.clone(),
            })
        })
    }

    fn status(state: &FakeState, id: &TenantId) -> Result<TenantStatus, NodeError> {
        let tenant = state
            .tenants
            .get(id)
            .ok_or_else(|| NodeError::TenantUnknown(id.clone()))?;
        Ok(TenantStatus {
            spec: Some(tenant.spec.clone()),
            id: id.clone(),
            state: match state.unavailable.get(id) {
                Some(reason) => TenantState::Unavailable(reason.clone()),
                None => TenantState::Ready,
            },
            rotating: false,
            stats: TenantStats {
                references: tenant.rows.len() as u64,
                ..TenantStats::default()
            },
        })
    }

    pub(super) fn fail(&self, method: &'static str, error: NodeError) {
        self.0.lock().failures.insert(method, error);
    }

    pub(super) fn usage_of(&self, tenant: &str) -> Vec<UsageEvent> {
        self.0.lock().tenants[&id(tenant)].usage.clone()
    }

    pub(super) fn calls(&self, method: &str) -> usize {
        self.0.lock().calls.iter().filter(|name| **name == method).count()
    }
}

#[async_trait]
impl Node for FakeNode {
    async fn tenants(&self) -> Result<Vec<TenantStatus>, NodeError> {
        let mut state = self.0.lock();
        state.calls.push("tenants");
        if let Some(error) = state.failures.remove("tenants") {
            return Err(error);
        }
        state.tenants.keys().map(|id| Self::status(&state, id)).collect()
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let mut state = self.0.lock();
        state.calls.push("tenant");
        if let Some(error) = state.failures.remove("tenant") {
            return Err(error);
        }
        Self::status(&state, tenant)
    }

    async fn create_tenant(&self, spec: TenantSpec) -> Result<TenantStatus, NodeError> {
        let mut state = self.0.lock();
        if let Some(error) = state.failures.remove("create_tenant") {
            return Err(error);
        }
        let (id, created_at) = (spec.id.clone(), spec.created_at);
        let tenant = state.tenants.entry(id.clone()).or_insert(FakeTenant {
            spec: spec.clone(),
            rows: Vec::new(),
            links: Vec::new(),
            usage: Vec::new(),
            enrolled: BTreeMap::new(),
            erasures: Vec::new(),
            consents: BTreeMap::new(),
            returns: None,
        });
        let same = TenantSpec {
            created_at,
            ..tenant.spec.clone()
        } == spec;
        if same {
            Self::status(&state, &id)
        } else {
            Err(NodeError::TenantExists(id))
        }
    }

    async fn drop_tenant(&self, tenant: &TenantId) -> Result<(), NodeError> {
        let mut state = self.0.lock();
        let dropped = state.tenants.remove(tenant).map(drop);
        dropped.ok_or_else(|| NodeError::TenantUnknown(tenant.clone()))
    }

    async fn set_policy(&self, change: PolicyChange) -> Result<TenantStatus, NodeError> {
        self.on("set_policy", &change.tenant, |tenant| {
            tenant.spec.policy = change.policy;
            Ok(())
        })?;
        Self::status(&self.0.lock(), &change.tenant)
    }

    async fn rotate_data_key(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let mut state = self.0.lock();
        state.calls.push("rotate_data_key");
        Self::status(&state, tenant)
    }

    async fn rotate_transform(
        &self,
        tenant: &TenantId,
        change: TransformChange,
    ) -> Result<TenantStatus, NodeError> {
        self.on("rotate_transform", tenant, |held| {
            if held.spec.transform == change.to {
                return Ok(());
            }
            if held.spec.transform != change.from {
                return Err(NodeError::TransformStale {
                    tenant: tenant.clone(),
                });
            }
            for (_, _, row) in &mut held.rows {
                change.conversion.convert_rows(row);
            }
            held.spec.transform = change.to.clone();
            Ok(())
        })?;
        if let Some(error) = self.0.lock().failures.remove("rotated") {
            return Err(error);
        }
        Self::status(&self.0.lock(), tenant)
    }

    fn check_room(&self, _: &TenantId, _: Option<Instant>) -> Result<(), NodeError> {
        self.0.lock().failures.remove("check_room").map_or(Ok(()), Err)
    }

    async fn search(&self, query: SearchQuery) -> Result<SearchAnswer, NodeError> {
        self.0.lock().deterministic = query.deterministic;
        let method = if query.only.is_none() {
            "search"
        } else {
            "search_one"
        };
        let answer = self.on_gallery(method, &query.tenant, &query.transform, |tenant| {
            let mut best: BTreeMap<&SubjectId, Candidate> = BTreeMap::new();
            if let Some(only) = &query.only {
                tenant.find(&SubjectRef::Id(only.clone()))?;
            }
            let looked_at = |id: &SubjectId| query.only.as_ref().is_none_or(|only| only == id);
            for (subject_id, hand, row) in tenant.rows.iter().filter(|row| looked_at(&row.0)) {
                let score = dot(row, query.probe.values());
                if score >= query.threshold && best.get(subject_id).is_none_or(|found| found.score < score) {
                    let links = tenant.links_of(subject_id, &query.links);
                    let (subject, hand) = (subject_id.clone(), *hand);
                    best.insert(
                        subject_id,
                        Candidate {
                            subject_since: tenant.since(&subject),
                            subject_id: subject,
                            hand,
                            score,
                            links,
                        },
                    );
                }
            }
            let mut candidates: Vec<Candidate> = best.into_values().collect();
            candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
            candidates.truncate(query.candidates_max);
            Ok(SearchAnswer {
                candidates,
                certificate: Certificate::Deterministic,
                backend: "fake".to_owned(),
                searched: tenant.rows.len() as u64,
            })
        });
        let gate = self.0.lock().gate.take();
        if let Some((found, go)) = gate {
            found.notify_one();
            go.notified().await;
        }
        answer
    }

    async fn rank(&self, query: RankQuery) -> Result<SearchAnswer, NodeError> {
        self.0.lock().calls.push("rank");
        self.search(SearchQuery {
            tenant: query.tenant,
            transform: query.transform,
            probe: query.probe,
            only: None,
            threshold: -2.0,
            candidates_max: query.candidates_max,
            links: Vec::new(),
            deterministic: query.deterministic,
            deadline: query.deadline,
        })
        .await
    }

    async fn compare(&self, query: CompareQuery) -> Result<f32, NodeError> {
        self.on_gallery("compare", &query.tenant, &query.transform, |tenant| {
            tenant.find(&SubjectRef::Id(query.subject_id.clone()))?;
            let rows = tenant.rows.iter().filter(|row| row.0 == query.subject_id);
            Ok(rows
                .map(|row| dot(&row.2, query.probe.values()))
                .fold(-1.0, f32::max))
        })
    }

    async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, NodeError> {
        self.on_gallery("enroll", &enrollment.tenant, &enrollment.transform, |tenant| {
            if let Some((digest, answer)) = tenant.enrolled.get(&enrollment.request_id) {
                return if *digest == enrollment.request_digest {
                    Ok(answer.clone())
                } else {
                    Err(NodeError::RequestIdReused(enrollment.request_id.clone()))
                };
            }
            let first = tenant.rows.len() as u64;
            for reference in &enrollment.references {
                let values = reference.signature.values().to_vec();
                tenant
                    .rows
                    .push((enrollment.subject_id.clone(), reference.hand, values));
            }
            let owned = enrollment
                .links
                .iter()
                .map(|link| (enrollment.subject_id.clone(), link.clone()));
            tenant.links.extend(owned);
            tenant.usage.push(enrollment.usage.clone());
            let answer = Enrolled {
                subject_id: enrollment.subject_id.clone(),
                references: (first..tenant.rows.len() as u64).collect(),
                sequence: tenant.rows.len() as u64,
            };
            tenant.enrolled.insert(
                enrollment.request_id.clone(),
                (enrollment.request_digest, answer.clone()),
            );
            Ok(answer)
        })
    }

    async fn import(&self, header: ImportHeader, mut chunks: ImportStream) -> Result<Imported, NodeError> {
        let mut rows = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            assert!(chunk.subject_ids.len() <= IMPORT_CHUNK_ROWS_MAX);
            assert_eq!(chunk.values.len(), chunk.subject_ids.len() * DIM);
            let values = chunk.values.chunks_exact(DIM).map(<[f32]>::to_vec);
            rows.extend(
                chunk
                    .subject_ids
                    .into_iter()
                    .zip(values)
                    .map(|(id, row)| (id, header.hand, row)),
            );
        }
        self.0.lock().last_import = Some(header.clone());
        self.on_gallery("import", &header.tenant, &header.transform, |tenant| {
            let imported = Imported {
                rows: rows.len() as u64,
                sequence: 1,
            };
            tenant.rows.extend(rows);
            Ok(imported)
        })
    }

    async fn import_progress(
        &self,
        tenant: &TenantId,
        request: &RequestId,
    ) -> Result<ImportProgress, NodeError> {
        self.on("import_progress", tenant, |_| {
            Ok(ImportProgress {
                rows_taken: request.as_str().len() as u64,
                ..ImportProgress::default()
            })
        })
    }

    async fn due(&self, tenant: &TenantId, due: Due, limit: usize) -> Result<Vec<SubjectId>, NodeError> {
        self.on("due", tenant, |tenant| {
            let mut found: Vec<SubjectId> = tenant.rows.iter().map(|row| row.0.clone()).collect();
            found.retain(|id| tenant.is_due(id, &due));
            found.truncate(limit);
            Ok(found)
        })
    }

    async fn erase(&self, erasure: Erasure) -> Result<Erased, NodeError> {
        self.on("erase", &erasure.tenant, |tenant| {
            let subject_id = tenant.find(&erasure.subject)?;
            if let Some(subject_id) = tenant.returns.take() {
                tenant.consents.insert(subject_id, Timestamp(i64::MAX));
            }
            if erasure.only_if.is_some_and(|due| {
                due.retention != tenant.spec.policy.retention || !tenant.is_due(&subject_id, &due)
            }) {
                return Err(NodeError::NotDue(erasure.tenant.clone()));
            }
            tenant.rows.retain(|row| row.0 != subject_id);
            tenant.links.retain(|link| link.0 != subject_id);
            let number = tenant.erasures.len() as u64 + 1;
            let signer = crate::keys::receipt::ReceiptSigner::new(&SecretKey::from_bytes([1; 32]));
            let erased = Erased {
                erasure: number,
                receipt: signer.sign(&ErasureReceipt {
                    erasure: number,
                    tenant: erasure.tenant.clone(),
                    subject_id: subject_id.clone(),
                    erased_at: Timestamp::now(),
                    purged_at: None,
                    state: ErasureState::Erased,
                    sealed_row_sha256: Vec::new(),
                    sealed_row_search: Vec::new(),
                    removed: None,
                }),
                subject_id,
                purged: false,
            };
            tenant.erasures.push(erased.clone());
            Ok(erased)
        })
    }

    async fn erasure(&self, tenant: &TenantId, erasure: u64) -> Result<Erased, NodeError> {
        self.on("erasure", tenant, |tenant| {
            let found = tenant.erasures.iter().find(|erased| erased.erasure == erasure);
            found.cloned().ok_or(NodeError::ErasureUnknown(erasure))
        })
    }

    async fn erasures_of(&self, tenant: &TenantId, subject: &SubjectId) -> Result<Vec<u64>, NodeError> {
        self.on("erasures_of", tenant, |tenant| {
            let of = tenant
                .erasures
                .iter()
                .filter(|erased| erased.subject_id == *subject);
            Ok(of.map(|erased| erased.erasure).collect())
        })
    }

    async fn subject(&self, tenant: &TenantId, subject: &SubjectRef) -> Result<SubjectRecord, NodeError> {
        self.on("subject", tenant, |tenant| {
            let subject_id = tenant.find(subject)?;
            let own = tenant.rows.iter().filter(|row| row.0 == subject_id);
            Ok(SubjectRecord {
                created_at: tenant.since(&subject_id),
                consent: consent(),
                references: own
                    .map(|row| ReferenceInfo {
                        reference: 1,
                        hand: row.1,
                        quality: 80,
                        captured_at: Timestamp(1),
                        enrolled_at: Timestamp(1),
                    })
                    .collect(),
                links: tenant.links_of(&subject_id, &LinkKind::ALL),
                subject_id,
            })
        })
    }

    async fn record_usage(&self, tenant: &TenantId, record: UsageRecord) -> Result<(), NodeError> {
        self.on("record_usage", tenant, |tenant| {
            tenant.usage.push(record.event);
            Ok(())
        })
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsagePage, NodeError> {
        self.on("usage", &query.tenant, |tenant| {
            let wanted =
                |event: &&UsageEvent| query.subject_id.is_none() || event.subject_id == query.subject_id;
            let events = tenant.usage.iter().rev().filter(wanted).take(query.limit);
            Ok(UsagePage {
                events: events.cloned().collect(),
                next_before: None,
            })
        })
    }

    async fn checkpoint(&self, tenant: &TenantId) -> Result<SignedCheckpoint, NodeError> {
        self.on("checkpoint", tenant, |tenant| {
            Ok(SignedCheckpoint {
                checkpoint_json: tenant.usage.len().to_string(),
                signature: Vec::new(),
                public_key: Vec::new(),
            })
        })
    }

    fn backend(&self) -> String {
        "fake".to_owned()
    }
}
