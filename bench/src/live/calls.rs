//! The requests to one tenant over its three certificates. Interprets no answer but the kind of an error.

use std::time::Duration;

use thenar::client::{Client, ClientError, Credentials, api};
use tonic::{Code, Request, Status};

use super::palms::{bytes, consent, encoder, signature};

/// Longest wait for an answer. A server that is busy with an import in a debug build takes its time; one that hangs doesn't end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rows of a message of an import.
const MESSAGE_ROWS: usize = 4_096;
/// Name in the server's certificate; it is called by its address.
const SERVER_NAME: &str = "localhost";
/// Events of one page of the history.
pub const PAGE: u32 = 1_000;

/// An answer or a refusal.
pub type Answer<T> = Result<T, Status>;

/// Certificates of a tenant, one a role.
#[derive(Clone)]
pub struct Badges {
    /// Enrols and erases.
    pub enroller: Credentials,
    /// Imports, and reads everything.
    pub operator: Credentials,
    /// Identifies and verifies.
    pub scanner: Credentials,
}

/// Connections of one tenant. Clones share them.
#[derive(Clone)]
pub struct Desk {
    enroller: Client,
    operator: Client,
    scanner: Client,
}

/// What an error says about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Done or not: the connection broke, the disk failed, time ran out.
    Unknown,
    /// The server says that it can't be done.
    Refused,
    /// The server says that it has a defect.
    Defect,
}

/// Reads an error. What the server says itself has details; what the connection says has none.
pub fn fate(status: &Status) -> Fate {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss => Fate::Refused,
        Code::Internal if !status.details().is_empty() => Fate::Defect,
        _ => Fate::Unknown,
    }
}

/// Whether the server says that its disk or its files are at fault, not a limit of its own.
pub fn blames_disk(status: &Status) -> bool {
    let said = !status.details().is_empty();
    let refuses = status.message().starts_with("storage refuses writes");
    // Keys may be rotated twice in a row; that is no fault.
    let is_stale = status.message().ends_with("ask again");
    said && (refuses || status.code() == Code::Unavailable) && !is_stale
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// Connects with one certificate.
pub async fn connect(address: &str, credentials: &Credentials) -> Result<Client, ClientError> {
    Client::connect_with(&format!("https://{address}"), Some(SERVER_NAME), credentials).await
}

impl Desk {
    /// Connects all three.
    pub async fn connect(address: &str, badges: &Badges) -> Result<Self, ClientError> {
        Ok(Self {
            enroller: connect(address, &badges.enroller).await?,
            operator: connect(address, &badges.operator).await?,
            scanner: connect(address, &badges.scanner).await?,
        })
    }

    /// The same arguments make the same request to the byte.
    pub async fn enroll(
        &self,
        request_id: &str,
        subject_id: &str,
        palm: &[f32],
    ) -> Answer<api::EnrollResponse> {
        let request = api::EnrollRequest {
            request_id: request_id.to_owned(),
            subject_id: subject_id.to_owned(),
            signatures: vec![signature(palm)],
            consent: Some(consent()),
            ..Default::default()
        };
        let answer = self.enroller.enrollment().enroll(timed(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// All of the rows or none.
    pub async fn import(
        &self,
        request_id: &str,
        rows: Vec<(String, Vec<f32>)>,
    ) -> Answer<api::ImportResponse> {
        use api::import_request::Part;
        let header = api::ImportHeader {
            tenant: String::new(),
            request_id: request_id.to_owned(),
            encoder: Some(encoder()),
            element_type: api::ElementType::F32.into(),
            hand: api::Hand::Right.into(),
            quality: 80,
            consent: Some(consent()),
            rows: rows.len() as u64,
            first_row: 0,
        };
        let message = |rows: &[(String, Vec<f32>)]| {
            let data: Vec<u8> = rows.iter().flat_map(|(_, palm)| bytes(palm)).collect();
            Part::Rows(api::ImportRows {
                data: data.into(),
                subject_ids: rows.iter().map(|(id, _)| id.clone()).collect(),
            })
        };
        let mut parts = vec![Part::Header(header)];
        parts.extend(rows.chunks(MESSAGE_ROWS).map(message));
        let messages = parts
            .into_iter()
            .map(|part| api::ImportRequest { part: Some(part) });
        let request = timed(tokio_stream::iter(messages));
        let answer = self.operator.enrollment().import(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Forgets a subject.
    pub async fn erase(&self, request_id: &str, subject_id: &str) -> Answer<api::EraseResponse> {
        let request = api::EraseRequest {
            tenant: String::new(),
            request_id: request_id.to_owned(),
            subject: Some(api::erase_request::Subject::SubjectId(subject_id.to_owned())),
        };
        let answer = self.enroller.enrollment().erase(timed(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// The state of an erasure.
    pub async fn erasure(&self, erasure: u64) -> Answer<api::EraseResponse> {
        let request = api::GetErasureRequest {
            tenant: String::new(),
            erasure,
        };
        let answer = self.operator.enrollment().get_erasure(timed(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// As a scanner.
    pub async fn identify(&self, request_id: &str, palm: &[f32]) -> Answer<api::IdentifyResponse> {
        self.identify_within(request_id, palm, PATIENCE).await
    }

    /// As a scanner who waits so long.
    pub async fn identify_within(
        &self,
        request_id: &str,
        palm: &[f32],
        deadline: Duration,
    ) -> Answer<api::IdentifyResponse> {
        let mut request = Request::new(api::IdentifyRequest {
            request_id: request_id.to_owned(),
            probe: Some(signature(palm)),
            ..Default::default()
        });
        request.set_timeout(deadline);
        let answer = self.scanner.identity().identify(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// As a scanner.
    pub async fn verify(
        &self,
        request_id: &str,
        subject_id: &str,
        palm: &[f32],
    ) -> Answer<api::VerifyResponse> {
        let request = api::VerifyRequest {
            request_id: request_id.to_owned(),
            subject_id: subject_id.to_owned(),
            probe: Some(signature(palm)),
            ..Default::default()
        };
        let answer = self.scanner.identity().verify(timed(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// References of a subject; `None` when it is unknown.
    pub async fn references(&self, subject_id: &str) -> Answer<Option<usize>> {
        let request = api::GetSubjectRequest {
            tenant: String::new(),
            subject: Some(api::get_subject_request::Subject::SubjectId(
                subject_id.to_owned(),
            )),
        };
        match self.operator.enrollment().get_subject(timed(request)).await {
            Ok(answer) => Ok(Some(answer.into_inner().references.len())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// A page of the history of all subjects, newest first.
    pub async fn usage(&self, page_token: String) -> Answer<api::ListUsageResponse> {
        let request = api::ListUsageRequest {
            page_size: PAGE,
            page_token,
            ..Default::default()
        };
        let answer = self.operator.enrollment().list_usage(timed(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// The tenant's figures.
    pub async fn stats(&self) -> Answer<api::Stats> {
        let request = api::GetStatsRequest {
            tenant: String::new(),
        };
        let answer = self.operator.admin().get_stats(timed(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// A checkpoint of the history.
    pub async fn checkpoint(&self) -> Answer<api::HistoryCheckpoint> {
        let request = api::CheckpointHistoryRequest {
            tenant: String::new(),
        };
        let answer = self.operator.admin().checkpoint_history(timed(request)).await;
        answer.map(tonic::Response::into_inner)
    }
}

/// Makes a tenant, as the server's administrator.
pub async fn create_tenant(
    admin: &Client,
    tenant: &str,
    dimension: u32,
    policy: api::Policy,
) -> Answer<api::Tenant> {
    let request = api::CreateTenantRequest {
        request_id: format!("create-{tenant}"),
        tenant: tenant.to_owned(),
        dimension,
        encoder: Some(encoder()),
        policy: Some(policy),
    };
    let answer = admin.admin().create_tenant(timed(request)).await;
    answer.map(tonic::Response::into_inner)
}

/// Drops a tenant, as the server's administrator.
pub async fn drop_tenant(admin: &Client, tenant: &str) -> Answer<()> {
    let request = api::DropTenantRequest {
        request_id: format!("drop-{tenant}"),
        tenant: tenant.to_owned(),
    };
    admin.admin().drop_tenant(timed(request)).await.map(drop)
}

/// Puts a new key in the place of one of a tenant's.
pub async fn rotate_key(
    admin: &Client,
    request_id: String,
    tenant: &str,
    purpose: api::KeyPurpose,
) -> Answer<()> {
    let request = api::RotateKeyRequest {
        request_id,
        tenant: tenant.to_owned(),
        purpose: purpose.into(),
    };
    admin.admin().rotate_key(timed(request)).await.map(drop)
}

/// All tenants; there are far fewer than fill a page.
pub async fn tenants(admin: &Client) -> Answer<Vec<api::Tenant>> {
    let request = api::ListTenantsRequest {
        page_size: PAGE,
        page_token: String::new(),
    };
    let answer = admin.admin().list_tenants(timed(request)).await;
    answer.map(|answer| answer.into_inner().tenants)
}
