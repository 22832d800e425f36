//! Health of every service and of the whole (gRPC health protocol): ready only when everything is loaded, not while draining. The GPUs have
//! a name of their own there, since a server without them serves as before.

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::HealthReporter;

use super::Mode;
use super::build::DeviceWatch;
use crate::engine::{DeviceState, DeviceStatus};
use crate::service::caller::Ends;

/// The health of one listener.
#[derive(Clone)]
pub(super) struct Health {
    reporter: HealthReporter,
    services: &'static [&'static str],
}

/// The empty name stands for the whole.
const PUBLIC: &[&str] = &[
    "",
    "thenar.v1.Identity",
    "thenar.v1.Enrollment",
    "thenar.v1.Admin",
];
const INTERNAL: &[&str] = &["", "thenar.match.v1.Match"];
/// Name of the GPUs.
const GPU: &str = "thenar.engine.gpu";

impl Health {
    /// Nothing is ready yet.
    pub(super) async fn new(mode: Mode) -> Self {
        let services = match mode {
            Mode::Serve | Mode::Front => PUBLIC,
            Mode::Match => INTERNAL,
        };
        let health = Self {
            reporter: HealthReporter::new(),
            services,
        };
        health.set(ServingStatus::NotServing).await;
        health
    }

    /// What answers the health protocol until `stop` is cancelled, to those who watch no longer than their certificates hold.
    pub(super) fn service(&self, stop: CancellationToken, ends: Ends) -> HealthServer<Answering> {
        let inner = tonic_health::server::HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(Answering { inner, stop, ends })
    }

    /// Everything is loaded.
    pub(super) async fn ready(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// The server finishes what it has, or can't serve for now.
    pub(super) async fn not_ready(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Follows the GPUs until the engine ends; where there are none their name stays unknown.
    pub(super) async fn follow(self, mut devices: DeviceWatch) {
        loop {
            let status = gpu_status(&devices.borrow_and_update());
            if let Some(status) = status {
                self.reporter.set_service_status(GPU, status).await;
            }
            if devices.changed().await.is_err() {
                return;
            }
        }
    }

    async fn set(&self, status: ServingStatus) {
        for service in self.services {
            self.reporter.set_service_status(*service, status).await;
        }
    }
}

/// Answers the health protocol. Those who watch are told what changed last and then let go, so that no drain waits for them;
/// so are those whose certificates end or are taken back.
pub(super) struct Answering {
    inner: tonic_health::server::HealthService,
    stop: CancellationToken,
    ends: Ends,
}

#[tonic::async_trait]
impl HealthService for Answering {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.inner.check(request).await
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let end = (self.ends)(request.extensions())?.shared();
        let changes = self.inner.watch(request).await?.into_inner();
        let stop = self.stop.clone().cancelled_owned().shared();
        let told = stream::unfold(Some(changes), move |changes| {
            let (stop, end) = (stop.clone(), end.clone());
            async move {
                let mut changes = changes?;
                tokio::select! {
                    biased;
                    change = changes.next() => Some((change?, Some(changes))),
                    () = stop => None,
                    refusal = end => Some((Err(refusal), None)),
                }
            }
        });
        Ok(Response::new(told.boxed()))
    }
}

/// Serving while every GPU works and has room for what it should hold.
fn gpu_status(devices: &[DeviceStatus]) -> Option<ServingStatus> {
    let ready = devices.iter().all(|device| device.state == DeviceState::Ready);
    let status = if ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    (!devices.is_empty()).then_some(status)
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
