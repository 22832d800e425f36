//! gRPC handlers: parses messages into domain commands and turns answers and errors back. Decides nothing.

pub mod admin;
mod body;
pub mod caller;
pub mod deadline;
pub mod enrollment;
pub mod from_proto;
pub mod identity;
pub mod import;
pub mod matching;
pub mod observe;
pub mod page;
pub mod request_id;
pub mod routes;
pub mod shares;
pub mod status;
pub mod to_proto;

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tonic::codegen::http;
use tonic::{Request, Status};

use crate::front::Front;
use crate::front::authorize::{self, Method};
use crate::front::error::FrontError;
use crate::front::identity::Caller;
use crate::front::quota::Place;
use crate::front::revocation::Revocations;
use crate::matcher::node::NodeError;
use crate::model::principal::Principal;
use crate::telemetry::traces::{self, Traces};

/// The place of a call that quotas count, among its extensions.
type Counted = Arc<Place>;

/// What every room of the public API shares.
#[derive(Clone)]
pub struct Rooms {
    /// Answers the questions.
    pub front: Arc<Front>,
    /// Trust domain of the callers' certificates.
    pub trust_domain: Arc<str>,
    /// Which of them were taken back.
    pub revocations: Revocations,
    /// Cancelled when the server starts to drain: streams take no further probes.
    pub draining: CancellationToken,
    /// When the server started.
    pub started: Instant,
    /// Which calls are recorded.
    pub traces: Traces,
}

impl Rooms {
    /// Who calls. A call whose deadline has passed is refused before anything is done for it.
    fn caller<T>(&self, request: &Request<T>) -> Result<Arc<Caller>, Status> {
        let caller = caller::of(request.extensions(), &self.trust_domain, &self.revocations)
            .map_err(|error| status::from_front(&error, ""))?;
        tell_of(&caller);
        if deadline::of(request.metadata().as_ref()).is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(status::from_front(&NodeError::DeadlineExceeded.into(), ""));
        }
        Ok(caller)
    }

    /// Who calls, or a refusal by the head of a call, before anything else of it is read: of whoever may not call the method, and an identification that would find no
    /// room. So a refusal costs as little as may be. `None` is a service that all callers may ask.
    fn admit<B>(&self, request: &http::Request<B>, method: Option<Method>) -> Result<Arc<Caller>, Status> {
        let admit = || {
            let caller = caller::of(request.extensions(), &self.trust_domain, &self.revocations)?;
            if let Some(method) = method {
                authorize::before_the_body(&caller, method)?;
            }
            if method == Some(Method::Identify) {
                let deadline = deadline::of(request.headers());
                self.front.room_to_identify(&caller, deadline)?;
            }
            Ok(caller)
        };
        admit().map_err(|error: FrontError| status::from_front(&error, ""))
    }

    /// Counts a call of `caller` by its head, or a probe of a stream.
    fn count(&self, caller: &Caller) -> Result<Option<Counted>, Status> {
        let place = self.front.count(caller);
        let place = place.map_err(|error| status::from_front(&error, ""))?;
        Ok(place.map(Counted::new))
    }
}

/// Tells the trace of the call at hand who makes it: never which principal.
fn tell_of(caller: &Caller) {
    let tenant = match &caller.principal {
        Principal::Member { tenant, .. } => Some(tenant.as_str()),
        Principal::Admin { .. } => None,
    };
    traces::caller(tenant, caller.principal.role().as_str());
}
