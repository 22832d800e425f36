//! What a subject has a right to: erasure with its receipt, what is held, the history. Sees links in the clear, no signature.

use super::Front;
use super::authorize::{self, Method};
use super::command::{SubjectExport, SubjectSelector, SubjectView};
use super::error::FrontError;
use super::identify::{open_all_links, open_links};
use super::identity::Caller;
use super::tenants::Tenant;
use crate::matcher::node::{Erased, Erasure, NodeError, SubjectRef, UsagePage, UsageQuery};
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::principal::Role;
use crate::model::reject::Rejected;

/// Most events of a page of the history.
pub const USAGE_PAGE_MAX: usize = 1_000;

impl Front {
    /// Forgets a subject: no search or remembered answer finds it once this returns.
    pub async fn erase(
        &self,
        caller: &Caller,
        named: Option<TenantId>,
        request_id: RequestId,
        subject: SubjectSelector,
    ) -> Result<Erased, FrontError> {
        let member = authorize::gallery(caller, Method::Erase, named.as_ref())?;
        let tenant = self.tenant_of(&member).await?;
        let erasure = Erasure {
            tenant: tenant.id().clone(),
            request_id,
            request_digest: tenant.digests.erase(&subject),
            subject: reference(&tenant, &subject),
            only_if: None,
        };
        let answer = self.routes.node(tenant.id())?.erase(erasure).await;
        // After the erasure, for an answer found before it must not stay; and whatever came of it, for the
        // erasure may be durable although its answer got lost.
        self.tenants.outdate_answers(&tenant);
        match &answer {
            Ok(erased) => self.tenants.recents.forget(tenant.id(), &erased.subject_id),
            Err(NodeError::SubjectUnknown(_)) => {}
            Err(_) => self.tenants.recents.forget_all(&tenant),
        }
        self.heard(&tenant, answer)
    }

    /// An earlier erasure as it is now, with its receipt.
    pub async fn erasure(
        &self,
        caller: &Caller,
        named: Option<TenantId>,
        erasure: u64,
    ) -> Result<Erased, FrontError> {
        let member = authorize::gallery(caller, Method::GetErasure, named.as_ref())?;
        let tenant = self.tenant_of(&member).await?;
        let answer = self.routes.node(tenant.id())?.erasure(tenant.id(), erasure).await;
        self.heard(&tenant, answer)
    }

    /// What is held on a subject, with the links that the caller's role may see.
    pub async fn subject(
        &self,
        caller: &Caller,
        named: Option<TenantId>,
        subject: SubjectSelector,
    ) -> Result<SubjectView, FrontError> {
        let member = authorize::gallery(caller, Method::GetSubject, named.as_ref())?;
        let tenant = self.tenant_of(&member).await?;
        let reference = reference(&tenant, &subject);
        let answer = self
            .routes
            .node(tenant.id())?
            .subject(tenant.id(), &reference)
            .await;
        let mut record = self.heard(&tenant, answer)?;
        let links = open_links(&tenant, &member, std::mem::take(&mut record.links))?;
        Ok(SubjectView { record, links })
    }

    /// All that is held on a subject, with every link. One that was erased and is not enrolled again is known by its erasures.
    pub async fn export(
        &self,
        caller: &Caller,
        named: Option<TenantId>,
        subject: SubjectSelector,
    ) -> Result<SubjectExport, FrontError> {
        let member = authorize::gallery(caller, Method::ExportSubject, named.as_ref())?;
        let tenant = self.tenant_of(&member).await?;
        let node = self.routes.node(tenant.id())?;
        let reference = reference(&tenant, &subject);
        let found = node.subject(tenant.id(), &reference).await;
        let (view, erasures_of) = match (found, subject) {
            (Err(NodeError::SubjectUnknown(_)), SubjectSelector::Id(id)) => (None, id),
            (answer, _) => {
                let mut record = self.heard(&tenant, answer)?;
                let links = open_all_links(&tenant, std::mem::take(&mut record.links))?;
                let id = record.subject_id.clone();
                (Some(SubjectView { record, links }), id)
            }
        };
        let answer = node.erasures_of(tenant.id(), &erasures_of).await;
        let erasures = self.heard(&tenant, answer)?;
        if view.is_none() && erasures.is_empty() {
            return Err(NodeError::SubjectUnknown(tenant.id().clone()).into());
        }
        Ok(SubjectExport {
            subject: view,
            dimension: tenant.spec.dimension,
            erasures,
        })
    }

    /// A page of the history, newest first: of one subject, or for operators of everybody.
    pub async fn usage(
        &self,
        caller: &Caller,
        named: Option<TenantId>,
        subject_id: Option<SubjectId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<UsagePage, FrontError> {
        let member = authorize::gallery(caller, Method::ListUsage, named.as_ref())?;
        if subject_id.is_none() && member.role != Role::Operator {
            return Err(Rejected::new(
                "subject_id",
                format!(
                    "is required of role {}; the history of everybody is for operators",
                    member.role
                ),
            )
            .into());
        }
        if !(1..=USAGE_PAGE_MAX).contains(&limit) {
            return Err(
                Rejected::new("page_size", format!("{limit} is not from 1 to {USAGE_PAGE_MAX}")).into(),
            );
        }
        let tenant = self.tenant_of(&member).await?;
        let query = UsageQuery {
            tenant: tenant.id().clone(),
            subject_id,
            before,
            limit,
        };
        let answer = self.routes.node(tenant.id())?.usage(query).await;
        self.heard(&tenant, answer)
    }
}

/// A link in the clear never leaves the front; the node is asked by its keyed hash.
fn reference(tenant: &Tenant, subject: &SubjectSelector) -> SubjectRef {
    match subject {
        SubjectSelector::Id(id) => SubjectRef::Id(id.clone()),
        SubjectSelector::Link(link) => SubjectRef::Link {
            kind: link.kind,
            lookup: tenant.links.lookup(link),
        },
    }
}

#[cfg(test)]
#[path = "subjects_tests.rs"]
mod tests;
