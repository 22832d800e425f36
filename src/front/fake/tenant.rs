//! For tests: one tenant of the node in memory, and what is looked up in it.

use std::collections::BTreeMap;

use crate::matcher::node::*;
use crate::model::id::{RequestId, SubjectId};
use crate::model::link::{LinkKind, SealedLink};
use crate::model::retention::Due;
use crate::model::subject::Hand;
use crate::model::tenant::TenantSpec;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageEvent;

/// One tenant of the fake node.
pub(in crate::front) struct FakeTenant {
    pub(in crate::front) spec: TenantSpec,
    pub(in crate::front) rows: Vec<(SubjectId, Hand, Vec<f32>)>,
    pub(in crate::front) links: Vec<(SubjectId, SealedLink)>,
    pub(in crate::front) usage: Vec<UsageEvent>,
    pub(in crate::front) enrolled: BTreeMap<RequestId, ([u8; 32], Enrolled)>,
    pub(in crate::front) erasures: Vec<Erased>,
    /// Until when consents hold.
    pub(in crate::front) consents: BTreeMap<SubjectId, Timestamp>,
    /// Who renews the consent just before the next erasure.
    pub(in crate::front) returns: Option<SubjectId>,
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl FakeTenant {
    /// Another time after each erasure.
    pub(super) fn since(&self, subject: &SubjectId) -> Timestamp {
        let erased = self
            .erasures
            .iter()
            .filter(|erased| erased.subject_id == *subject);
        Timestamp(i64::try_from(erased.count()).expect("few"))
    }

    pub(super) fn find(&self, subject: &SubjectRef) -> Result<SubjectId, NodeError> {
        match subject {
            SubjectRef::Id(id) => self.rows.iter().find(|row| row.0 == *id).map(|row| row.0.clone()),
            SubjectRef::Link { kind, lookup } => self
                .links
                .iter()
                .find(|(_, link)| link.kind == *kind && link.lookup == *lookup)
                .map(|(id, _)| id.clone()),
        }
        .ok_or_else(|| NodeError::SubjectUnknown(self.spec.id.clone()))
    }

    pub(super) fn is_due(&self, subject: &SubjectId, due: &Due) -> bool {
        let ended = self.consents.get(subject).zip(due.consent_ended_by());
        ended.is_some_and(|(at, by)| *at <= by)
    }

    pub(super) fn links_of(&self, subject: &SubjectId, kinds: &[LinkKind]) -> Vec<SealedLink> {
        let own = self
            .links
            .iter()
            .filter(|(id, link)| id == subject && kinds.contains(&link.kind));
        own.map(|(_, link)| link.clone()).collect()
    }
}
