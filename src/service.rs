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
pub mod status;
pub mod to_proto;

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tonic::codegen::http;
use tonic::{Request, Status};

use crate::front::Front;
use crate::front::identity::Caller;
use crate::front::revocation::Revocations;
use crate::matcher::node::NodeError;

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
}

impl Rooms {
    /// Who calls. A call whose deadline has passed is refused before anything is done for it.
    fn caller<T>(&self, request: &Request<T>) -> Result<Arc<Caller>, Status> {
        let caller = caller::of(request.extensions(), &self.trust_domain, &self.revocations)
            .map_err(|error| status::from_front(&error, ""))?;
        if deadline::of(request.metadata().as_ref()).is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(status::from_front(&NodeError::DeadlineExceeded.into(), ""));
        }
        Ok(caller)
    }

    /// Refuses an identification that would find no room, before anything of it is read: at saturation a refusal is to cost as little as may be.
    /// Whoever may not ask is told so once it is read.
    fn room_to_identify<B>(&self, request: &http::Request<B>) -> Result<(), Status> {
        let Ok(caller) = caller::of(request.extensions(), &self.trust_domain, &self.revocations) else {
            return Ok(());
        };
        let room = self
            .front
            .room_to_identify(&caller, deadline::of(request.headers()));
        room.map_err(|error| status::from_front(&error, ""))
    }
}
