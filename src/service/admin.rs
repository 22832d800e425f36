//! Making, listing and dropping tenants, and their figures. Parses, asks the front, answers.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::observe::{observed, to_the_end};
use super::{Rooms, from_proto, page, request_id, status, to_proto};
use crate::front::identity::Caller;
use crate::keys::keyring::Renewable;
use crate::model::id::TenantId;
use crate::model::principal::Principal;
use crate::model::reject::Rejected;
use crate::proto::v1 as pb;
use crate::proto::v1::admin_server::Admin;

const TENANTS_SCOPE: &str = "tenants";

/// The room of the Admin service.
pub struct AdminRoom {
    rooms: Rooms,
}

impl AdminRoom {
    /// A room that asks the front of `rooms`.
    pub fn new(rooms: Rooms) -> Self {
        Self { rooms }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn refused(refusal: Rejected) -> Status {
    status::from_rejected(&refusal)
}

#[tonic::async_trait]
impl Admin for AdminRoom {
    async fn create_tenant(
        &self,
        request: Request<pb::CreateTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        observed("CreateTenant", async {
            let caller = self.rooms.caller(&request)?;
            let command = from_proto::create_tenant(request.into_inner()).map_err(refused)?;
            let text = command.request_id.to_string();
            let front = Arc::clone(&self.rooms.front);
            let answer = to_the_end(async move {
                let answer = front.create_tenant(&caller, command).await;
                answer.map_err(|error| status::from_front(&error, &text))
            });
            Ok(Response::new(to_proto::tenant(&answer.await?)))
        })
        .await
    }

    async fn get_tenant(
        &self,
        request: Request<pb::GetTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        observed("GetTenant", async {
            let caller = self.rooms.caller(&request)?;
            let tenant = tenant_or_own(&caller, &request.get_ref().tenant)?;
            let text = request_id::made().to_string();
            let answer = self.rooms.front.tenant(&caller, tenant).await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            Ok(Response::new(to_proto::tenant(&answer)))
        })
        .await
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Result<Response<pb::ListTenantsResponse>, Status> {
        observed("ListTenants", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let size = page::size(message.page_size).map_err(refused)?;
            let after = page::position(TENANTS_SCOPE, &message.page_token).map_err(refused)?;
            let text = request_id::made().to_string();
            let answer = self.rooms.front.tenants(&caller).await;
            let mut tenants = answer.map_err(|error| status::from_front(&error, &text))?;
            tenants.sort_by(|left, right| left.status.id.cmp(&right.status.id));
            tenants.retain(|view| {
                let id = view.status.id.as_str().as_bytes();
                after.as_deref().is_none_or(|after| id > after)
            });
            let more = tenants.len() > size;
            tenants.truncate(size);
            let next_page_token = tenants
                .last()
                .filter(|_| more)
                .map(|last| page::token(TENANTS_SCOPE, last.status.id.as_str().as_bytes()))
                .unwrap_or_default();
            Ok(Response::new(pb::ListTenantsResponse {
                tenants: tenants.iter().map(to_proto::tenant).collect(),
                next_page_token,
            }))
        })
        .await
    }

    async fn update_policy(
        &self,
        request: Request<pb::UpdatePolicyRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        observed("UpdatePolicy", async {
            let caller = self.rooms.caller(&request)?;
            let command = from_proto::update_policy(request.into_inner()).map_err(refused)?;
            let text = command.request_id.to_string();
            let front = Arc::clone(&self.rooms.front);
            let answer = to_the_end(async move {
                let answer = front.update_policy(&caller, command).await;
                answer.map_err(|error| status::from_front(&error, &text))
            });
            Ok(Response::new(to_proto::tenant(&answer.await?)))
        })
        .await
    }

    async fn drop_tenant(
        &self,
        request: Request<pb::DropTenantRequest>,
    ) -> Result<Response<pb::DropTenantResponse>, Status> {
        observed("DropTenant", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let id = request_id::required(&message.request_id).map_err(refused)?;
            let tenant: TenantId = message.tenant.parse().map_err(refused)?;
            let text = id.to_string();
            let front = Arc::clone(&self.rooms.front);
            to_the_end(async move {
                let answer = front.drop_tenant(&caller, id, tenant).await;
                answer.map_err(|error| status::from_front(&error, &text))
            })
            .await?;
            Ok(Response::new(pb::DropTenantResponse {}))
        })
        .await
    }

    async fn rotate_key(
        &self,
        request: Request<pb::RotateKeyRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        observed("RotateKey", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let id = request_id::required(&message.request_id).map_err(refused)?;
            let tenant: TenantId = message.tenant.parse().map_err(refused)?;
            let key = match message.purpose() {
                pb::KeyPurpose::Data => Renewable::Data,
                pb::KeyPurpose::Transform => Renewable::Transform,
                pb::KeyPurpose::Unspecified => {
                    let problem = format!(
                        "is {}; KEY_PURPOSE_DATA (1) or KEY_PURPOSE_TRANSFORM (2) is expected",
                        message.purpose
                    );
                    return Err(refused(Rejected::new("purpose", problem)));
                }
            };
            let text = id.to_string();
            let front = Arc::clone(&self.rooms.front);
            let answer = to_the_end(async move {
                let answer = front.rotate_key(&caller, id, tenant, key).await;
                answer.map_err(|error| status::from_front(&error, &text))
            });
            Ok(Response::new(to_proto::tenant(&answer.await?)))
        })
        .await
    }

    async fn get_stats(&self, request: Request<pb::GetStatsRequest>) -> Result<Response<pb::Stats>, Status> {
        observed("GetStats", async {
            let caller = self.rooms.caller(&request)?;
            let tenant = tenant_or_own(&caller, &request.get_ref().tenant)?;
            let text = request_id::made().to_string();
            let answer = self.rooms.front.stats(&caller, tenant.clone()).await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            let backend = self.rooms.front.backend(&tenant);
            let uptime = self.rooms.started.elapsed();
            Ok(Response::new(to_proto::stats(&answer, backend, uptime)))
        })
        .await
    }

    async fn checkpoint_history(
        &self,
        request: Request<pb::CheckpointHistoryRequest>,
    ) -> Result<Response<pb::HistoryCheckpoint>, Status> {
        observed("CheckpointHistory", async {
            let caller = self.rooms.caller(&request)?;
            let tenant = tenant_or_own(&caller, &request.get_ref().tenant)?;
            let text = request_id::made().to_string();
            let answer = self.rooms.front.checkpoint(&caller, &tenant).await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            Ok(Response::new(to_proto::checkpoint(answer)))
        })
        .await
    }
}

/// The tenant that a request names, or the caller's own where it names none.
fn tenant_or_own(caller: &Caller, text: &str) -> Result<TenantId, Status> {
    match &caller.principal {
        Principal::Member { tenant, .. } if text.is_empty() => Ok(tenant.clone()),
        _ => text.parse().map_err(refused),
    }
}
