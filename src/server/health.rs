//! Health of every service and of the whole (gRPC health protocol): ready only when everything is loaded, not while draining.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::HealthReporter;

use super::Mode;

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

    /// What answers the health protocol.
    pub(super) fn service(&self) -> HealthServer<impl HealthService + use<>> {
        HealthServer::new(tonic_health::server::HealthService::from_health_reporter(
            self.reporter.clone(),
        ))
    }

    /// Everything is loaded.
    pub(super) async fn ready(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// The server finishes what it has.
    pub(super) async fn draining(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in self.services {
            self.reporter.set_service_status(*service, status).await;
        }
    }
}
