//! Enroll, Erase, `GetErasure`, `GetSubject`, `ExportSubject`, `ListUsage`, Import and `GetImport`. Parses, asks the front, answers.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::observe::{observed, to_the_end};
use super::{Counted, Rooms, from_proto, import, page, request_id, status, to_proto};
use crate::matcher::remote::to_proto::import_progress;
use crate::matcher::remote::vocabulary::optional_id;
use crate::model::id::{SubjectId, TenantId};
use crate::model::reject::Rejected;
use crate::proto::v1 as pb;
use crate::proto::v1::enrollment_server::Enrollment;

/// The room of the Enrollment service.
pub struct EnrollmentRoom {
    rooms: Rooms,
}

impl EnrollmentRoom {
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
impl Enrollment for EnrollmentRoom {
    async fn enroll(
        &self,
        request: Request<pb::EnrollRequest>,
    ) -> Result<Response<pb::EnrollResponse>, Status> {
        observed("Enroll", async {
            let caller = self.rooms.caller(&request)?;
            let counted = request.extensions().get::<Counted>().cloned();
            let command = from_proto::enroll(request.into_inner()).map_err(refused)?;
            let text = command.request_id.to_string();
            let front = Arc::clone(&self.rooms.front);
            let answer = to_the_end(async move {
                // Its caller may hang up before it has ended.
                let _counted = counted;
                let answer = front.enroll(&caller, command).await;
                answer.map_err(|error| status::from_front(&error, &text))
            });
            Ok(Response::new(to_proto::enrollment(answer.await?)))
        })
        .await
    }

    async fn erase(&self, request: Request<pb::EraseRequest>) -> Result<Response<pb::EraseResponse>, Status> {
        observed("Erase", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let tenant: Option<TenantId> = optional_id(&message.tenant).map_err(refused)?;
            let id = request_id::required(&message.request_id).map_err(refused)?;
            let subject = from_proto::erase_subject(message.subject).map_err(refused)?;
            let text = id.to_string();
            let front = Arc::clone(&self.rooms.front);
            let answer = to_the_end(async move {
                let answer = front.erase(&caller, tenant, id, subject).await;
                answer.map_err(|error| status::from_front(&error, &text))
            });
            Ok(Response::new(to_proto::erased(answer.await?)))
        })
        .await
    }

    async fn get_subject(
        &self,
        request: Request<pb::GetSubjectRequest>,
    ) -> Result<Response<pb::Subject>, Status> {
        observed("GetSubject", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let tenant: Option<TenantId> = optional_id(&message.tenant).map_err(refused)?;
            let subject = from_proto::get_subject(message.subject).map_err(refused)?;
            let text = request_id::made().to_string();
            let answer = self.rooms.front.subject(&caller, tenant, subject).await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            Ok(Response::new(to_proto::subject(&answer)))
        })
        .await
    }

    async fn export_subject(
        &self,
        request: Request<pb::ExportSubjectRequest>,
    ) -> Result<Response<pb::ExportSubjectResponse>, Status> {
        observed("ExportSubject", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let tenant: Option<TenantId> = optional_id(&message.tenant).map_err(refused)?;
            let subject = from_proto::export_subject(message.subject).map_err(refused)?;
            let text = request_id::made().to_string();
            let answer = self.rooms.front.export(&caller, tenant, subject).await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            Ok(Response::new(to_proto::export(answer)))
        })
        .await
    }

    async fn list_usage(
        &self,
        request: Request<pb::ListUsageRequest>,
    ) -> Result<Response<pb::ListUsageResponse>, Status> {
        observed("ListUsage", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let tenant: Option<TenantId> = optional_id(&message.tenant).map_err(refused)?;
            let subject_id: Option<SubjectId> = optional_id(&message.subject_id).map_err(refused)?;
            let limit = page::size(message.page_size).map_err(refused)?;
            let scope = format!("usage/{}/{}", message.tenant, message.subject_id);
            let before = page::number(&scope, &message.page_token).map_err(refused)?;
            let text = request_id::made().to_string();
            let answer = self
                .rooms
                .front
                .usage(&caller, tenant, subject_id, before, limit)
                .await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            let next = answer
                .next_before
                .map(|before| page::token(&scope, &before.to_be_bytes()));
            Ok(Response::new(to_proto::usage(&answer, next.unwrap_or_default())))
        })
        .await
    }

    async fn get_erasure(
        &self,
        request: Request<pb::GetErasureRequest>,
    ) -> Result<Response<pb::EraseResponse>, Status> {
        observed("GetErasure", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let tenant: Option<TenantId> = optional_id(&message.tenant).map_err(refused)?;
            let text = request_id::made().to_string();
            let answer = self.rooms.front.erasure(&caller, tenant, message.erasure).await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            Ok(Response::new(to_proto::erased(answer)))
        })
        .await
    }

    async fn import(
        &self,
        request: Request<Streaming<pb::ImportRequest>>,
    ) -> Result<Response<pb::ImportResponse>, Status> {
        observed("Import", async {
            let caller = self.rooms.caller(&request)?;
            let mut messages = import::messages(request.into_inner());
            let header = import::header(&mut messages).await?;
            let command = from_proto::import(header).map_err(refused)?;
            let text = command.request_id.to_string();
            let rows = import::rows(messages, command.first_row, caller.clone());
            let front = Arc::clone(&self.rooms.front);
            let answer = to_the_end(async move {
                let answer = front.import(&caller, command, rows).await;
                // Whose certificate ended meanwhile is told that.
                answer.map_err(|error| status::from_front(&caller.check().err().unwrap_or(error), &text))
            });
            Ok(Response::new(to_proto::imported(answer.await?)))
        })
        .await
    }

    async fn get_import(
        &self,
        request: Request<pb::GetImportRequest>,
    ) -> Result<Response<pb::ImportProgress>, Status> {
        observed("GetImport", async {
            let caller = self.rooms.caller(&request)?;
            let message = request.into_inner();
            let tenant: Option<TenantId> = optional_id(&message.tenant).map_err(refused)?;
            let id = request_id::required(&message.request_id).map_err(refused)?;
            let answer = self.rooms.front.import_progress(&caller, tenant, &id).await;
            let answer = answer.map_err(|error| status::from_front(&error, id.as_str()))?;
            Ok(Response::new(import_progress(answer)))
        })
        .await
    }
}
