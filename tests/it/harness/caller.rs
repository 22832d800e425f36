//! A caller of the public API with one certificate.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thenar::proto::v1;
use thenar::proto::v1::admin_client::AdminClient;
use thenar::proto::v1::enrollment_client::EnrollmentClient;
use thenar::proto::v1::identity_client::IdentityClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;

use super::palms::{consent, encoder, signature};

/// Rows of one message of an import.
const IMPORT_ROWS: usize = 1_000;
/// Longest wait for a condition that must come about.
pub const PATIENCE: Duration = Duration::from_mins(1);

static NEXT_REQUEST: AtomicU64 = AtomicU64::new(0);

/// The generated clients over one connection.
pub struct Caller {
    pub identity: IdentityClient<Channel>,
    pub enrollment: EnrollmentClient<Channel>,
    pub admin: AdminClient<Channel>,
    pub health: HealthClient<Channel>,
}

type Answer<T> = Result<T, Status>;

impl Caller {
    /// Connects, trusting the authority in `ca`, as the holder of this certificate.
    pub async fn connect(
        address: &str,
        ca: &Path,
        certificate: Option<(String, String)>,
    ) -> Result<Self, tonic::transport::Error> {
        let ca = Certificate::from_pem(std::fs::read(ca).expect("the authority's certificate"));
        let mut tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
        if let Some((certificate, key)) = certificate {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?;
        let channel = endpoint.connect().await?;
        Ok(Self {
            identity: IdentityClient::new(channel.clone()),
            enrollment: EnrollmentClient::new(channel.clone()),
            admin: AdminClient::new(channel.clone()),
            health: HealthClient::new(channel),
        })
    }

    pub async fn identify(&mut self, values: &[f32]) -> Answer<v1::IdentifyResponse> {
        self.identify_as("", values).await
    }

    pub async fn identify_as(&mut self, request_id: &str, values: &[f32]) -> Answer<v1::IdentifyResponse> {
        let request = v1::IdentifyRequest {
            request_id: request_id.into(),
            probe: Some(repeatable(values)),
            ..Default::default()
        };
        self.identity.identify(request).await.map(Response::into_inner)
    }

    /// With as many scored candidates as there may be.
    pub async fn identify_all(&mut self, values: &[f32]) -> Answer<v1::IdentifyResponse> {
        let request = v1::IdentifyRequest {
            probe: Some(signature(values)),
            candidates_max: 1_000,
            ..Default::default()
        };
        self.identity.identify(request).await.map(Response::into_inner)
    }

    /// The nearest subjects, as many as `candidates_max`.
    pub async fn investigate(
        &mut self,
        values: &[f32],
        candidates_max: u32,
    ) -> Answer<v1::InvestigateResponse> {
        let request = v1::InvestigateRequest {
            probe: Some(signature(values)),
            candidates_max,
            ..Default::default()
        };
        self.identity.investigate(request).await.map(Response::into_inner)
    }

    pub async fn identify_stream(
        &mut self,
        probes: &[(String, Vec<f32>)],
    ) -> Answer<HashMap<String, Result<v1::IdentifyResponse, v1::StreamError>>> {
        use v1::identify_stream_response::Result as Part;
        let requests: Vec<v1::IdentifyRequest> = probes
            .iter()
            .map(|(id, values)| v1::IdentifyRequest {
                request_id: id.clone(),
                probe: Some(signature(values)),
                ..Default::default()
            })
            .collect();
        let stream = self
            .identity
            .identify_stream(tokio_stream::iter(requests))
            .await?;
        let mut stream = stream.into_inner();
        let mut answers = HashMap::new();
        while let Some(answer) = stream.message().await? {
            let part = match answer.result.expect("a response or an error") {
                Part::Response(response) => Ok(response),
                Part::Error(error) => Err(error),
            };
            let before = answers.insert(answer.request_id, part);
            assert!(before.is_none(), "one answer a request");
        }
        Ok(answers)
    }

    pub async fn verify(&mut self, subject_id: &str, values: &[f32]) -> Answer<v1::VerifyResponse> {
        let request = v1::VerifyRequest {
            subject_id: subject_id.into(),
            probe: Some(signature(values)),
            ..Default::default()
        };
        self.identity.verify(request).await.map(Response::into_inner)
    }

    pub async fn enroll(&mut self, subject_id: &str, values: &[f32]) -> Answer<v1::EnrollResponse> {
        let request_id = fresh_request_id();
        self.enroll_as(&request_id, subject_id, values).await
    }

    /// The same arguments make the same request, byte for byte.
    pub async fn enroll_as(
        &mut self,
        request_id: &str,
        subject_id: &str,
        values: &[f32],
    ) -> Answer<v1::EnrollResponse> {
        let request = v1::EnrollRequest {
            request_id: request_id.into(),
            subject_id: subject_id.into(),
            signatures: vec![repeatable(values)],
            consent: Some(lasting_consent()),
            ..Default::default()
        };
        self.enrollment.enroll(request).await.map(Response::into_inner)
    }

    /// With a badge.
    pub async fn enroll_linked(
        &mut self,
        subject_id: &str,
        values: &[f32],
        badge: &str,
    ) -> Answer<v1::EnrollResponse> {
        let request = v1::EnrollRequest {
            request_id: fresh_request_id(),
            subject_id: subject_id.into(),
            signatures: vec![repeatable(values)],
            consent: Some(lasting_consent()),
            links: vec![v1::Link {
                kind: v1::LinkKind::BadgeId.into(),
                value: badge.into(),
            }],
            ..Default::default()
        };
        self.enrollment.enroll(request).await.map(Response::into_inner)
    }

    pub async fn subject(&mut self, subject_id: &str) -> Answer<v1::Subject> {
        let request = v1::GetSubjectRequest {
            tenant: String::new(),
            subject: Some(v1::get_subject_request::Subject::SubjectId(subject_id.into())),
        };
        self.enrollment
            .get_subject(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn enroll_into(
        &mut self,
        tenant: &str,
        subject_id: &str,
        values: &[f32],
    ) -> Answer<v1::EnrollResponse> {
        let request = v1::EnrollRequest {
            tenant: tenant.into(),
            request_id: fresh_request_id(),
            subject_id: subject_id.into(),
            signatures: vec![signature(values)],
            consent: Some(consent()),
            ..Default::default()
        };
        self.enrollment.enroll(request).await.map(Response::into_inner)
    }

    pub async fn import(
        &mut self,
        request_id: &str,
        rows: &[(String, Vec<f32>)],
    ) -> Answer<v1::ImportResponse> {
        let messages = import_messages(request_id, rows, 0);
        let request = Request::new(tokio_stream::iter(messages));
        self.enrollment.import(request).await.map(Response::into_inner)
    }

    pub async fn import_progress(&mut self, request_id: &str) -> Answer<v1::ImportProgress> {
        let request = v1::GetImportRequest {
            tenant: String::new(),
            request_id: request_id.into(),
        };
        let answer = self.enrollment.get_import(request).await;
        answer.map(Response::into_inner)
    }

    pub async fn erase(&mut self, request_id: &str, subject_id: &str) -> Answer<v1::EraseResponse> {
        let request = v1::EraseRequest {
            tenant: String::new(),
            request_id: request_id.into(),
            subject: Some(v1::erase_request::Subject::SubjectId(subject_id.into())),
        };
        self.enrollment.erase(request).await.map(Response::into_inner)
    }

    pub async fn erasure(&mut self, erasure: u64) -> Answer<v1::EraseResponse> {
        let request = v1::GetErasureRequest {
            tenant: String::new(),
            erasure,
        };
        self.enrollment
            .get_erasure(request)
            .await
            .map(Response::into_inner)
    }

    /// Waits until there is an erasure of this number, and its files are clean.
    pub async fn await_erasure(&mut self, erasure: u64) -> v1::EraseResponse {
        let known = async {
            while let Err(status) = self.erasure(erasure).await {
                assert_eq!(status.code(), tonic::Code::NotFound, "{status:?}");
            }
        };
        tokio::time::timeout(PATIENCE, known)
            .await
            .expect("erased within the bound");
        self.await_purged(erasure).await
    }

    /// Waits until the files are clean.
    pub async fn await_purged(&mut self, erasure: u64) -> v1::EraseResponse {
        let purged = async {
            loop {
                let answer = self.erasure(erasure).await.expect("known");
                if answer.state() == v1::ErasureState::Purged {
                    return answer;
                }
            }
        };
        tokio::time::timeout(PATIENCE, purged)
            .await
            .expect("purged within the bound")
    }

    pub async fn usage(&mut self, subject_id: &str) -> Answer<v1::ListUsageResponse> {
        let request = v1::ListUsageRequest {
            subject_id: subject_id.into(),
            ..Default::default()
        };
        self.enrollment
            .list_usage(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn stats(&mut self, tenant: &str) -> Answer<v1::Stats> {
        let request = v1::GetStatsRequest {
            tenant: tenant.into(),
        };
        self.admin.get_stats(request).await.map(Response::into_inner)
    }

    pub async fn checkpoint(&mut self, tenant: &str) -> Answer<v1::HistoryCheckpoint> {
        let request = v1::CheckpointHistoryRequest {
            tenant: tenant.into(),
        };
        self.admin
            .checkpoint_history(request)
            .await
            .map(Response::into_inner)
    }

    pub async fn tenant(&mut self, tenant: &str) -> Answer<v1::Tenant> {
        let request = v1::GetTenantRequest {
            tenant: tenant.into(),
        };
        self.admin.get_tenant(request).await.map(Response::into_inner)
    }

    pub async fn create_tenant(&mut self, tenant: &str, policy: v1::Policy) -> Answer<v1::Tenant> {
        let request = v1::CreateTenantRequest {
            request_id: fresh_request_id(),
            tenant: tenant.into(),
            dimension: super::DIM as u32,
            encoder: Some(encoder()),
            policy: Some(policy),
        };
        self.admin.create_tenant(request).await.map(Response::into_inner)
    }

    pub async fn drop_tenant(&mut self, tenant: &str) -> Answer<()> {
        let request = v1::DropTenantRequest {
            request_id: fresh_request_id(),
            tenant: tenant.into(),
        };
        self.admin.drop_tenant(request).await.map(drop)
    }
}

/// A signature without the time of day in it, so that the same palm makes the same bytes.
fn repeatable(values: &[f32]) -> v1::Signature {
    v1::Signature {
        capture_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..signature(values)
    }
}

/// A consent without the time of day in it, which holds until 2096.
fn lasting_consent() -> v1::Consent {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    v1::Consent {
        give_time: at(1_700_000_000),
        expire_time: at(4_000_000_000),
        ..consent()
    }
}

fn fresh_request_id() -> String {
    format!("request-{}", NEXT_REQUEST.fetch_add(1, Ordering::Relaxed))
}

/// Header and rows of an import of all of these, from number `first_row` on.
pub fn import_messages(
    request_id: &str,
    rows: &[(String, Vec<f32>)],
    first_row: usize,
) -> Vec<v1::ImportRequest> {
    use v1::import_request::Part;
    let header = v1::ImportHeader {
        tenant: String::new(),
        request_id: request_id.into(),
        encoder: Some(encoder()),
        element_type: v1::ElementType::F32.into(),
        hand: v1::Hand::Right.into(),
        quality: 80,
        consent: Some(lasting_consent()),
        rows: rows.len() as u64,
        first_row: first_row as u64,
    };
    let parts = rows[first_row..].chunks(IMPORT_ROWS).map(|chunk| {
        let data: Vec<u8> = chunk
            .iter()
            .flat_map(|(_, row)| row)
            .flat_map(|v| v.to_le_bytes())
            .collect();
        Part::Rows(v1::ImportRows {
            data: data.into(),
            subject_ids: chunk.iter().map(|(id, _)| id.clone()).collect(),
        })
    });
    std::iter::once(Part::Header(header))
        .chain(parts)
        .map(|part| v1::ImportRequest { part: Some(part) })
        .collect()
}
