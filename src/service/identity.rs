//! Identify, `IdentifyStream`, Verify, `GetProbeKey` and Investigate. Parses, asks the front, answers.

use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use prost::bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Request, Response, Status, Streaming};

use super::observe::{observed, record};
use super::{Counted, Rooms, deadline, from_proto, request_id, status, tell_of, to_proto};
use crate::front::Front;
use crate::front::identity::Caller;
use crate::matcher::remote::vocabulary::optional_id;
use crate::proto::v1 as pb;
use crate::proto::v1::identity_server::{Identity, SERVICE_NAME};
use crate::telemetry::traces;

/// Probes of one stream that are worked on at once; the stream is read no further meanwhile.
pub const STREAM_IN_FLIGHT_MAX: usize = 64;

/// The room of the Identity service.
pub struct IdentityRoom {
    rooms: Rooms,
}

impl IdentityRoom {
    /// A room that asks the front of `rooms`.
    pub fn new(rooms: Rooms) -> Self {
        Self { rooms }
    }
}

#[tonic::async_trait]
impl Identity for IdentityRoom {
    async fn identify(
        &self,
        request: Request<pb::IdentifyRequest>,
    ) -> Result<Response<pb::IdentifyResponse>, Status> {
        observed("Identify", async {
            let caller = self.rooms.caller(&request)?;
            let deadline = deadline::of(request.metadata().as_ref());
            let answer = identify(&self.rooms.front, &caller, request.into_inner(), deadline).await;
            answer.map(Response::new)
        })
        .await
    }

    type IdentifyStreamStream = BoxStream<'static, Result<pb::IdentifyStreamResponse, Status>>;

    async fn identify_stream(
        &self,
        request: Request<Streaming<pb::IdentifyRequest>>,
    ) -> Result<Response<Self::IdentifyStreamStream>, Status> {
        let caller = self.rooms.caller(&request)?;
        let deadline = deadline::of(request.metadata().as_ref());
        let rooms = Arc::new(self.rooms.clone());
        let end = end_of(Arc::clone(&caller), rooms.draining.clone()).shared();
        let answers = request
            .into_inner()
            .take_until(end.clone())
            .map(move |probe| {
                let (rooms, caller) = (Arc::clone(&rooms), Arc::clone(&caller));
                // A task each, so that the work of a stream spreads over the cores and ends with the stream.
                let task = tokio::spawn(async move {
                    let probe = probe.map_err(status::told)?;
                    Ok(answer_in_place(&rooms, &caller, probe, deadline).await)
                });
                AbortOnDropHandle::new(task)
            })
            .buffer_unordered(STREAM_IN_FLIGHT_MAX)
            // A probe counts until its answer is taken, not until it is made: what a caller does not read is bounded by what it may ask at once.
            .map(|task| match task {
                Ok(answered) => answered.map(|(answer, _counted)| answer),
                Err(error) => Err(status::internal(&error.to_string(), "")),
            });
        // What ended it from this side is its last word.
        let last = stream::iter(std::iter::once_with(move || end.now_or_never()))
            .filter_map(async |end| end.map(Err));
        Ok(Response::new(answers.chain(last).boxed()))
    }

    async fn verify(
        &self,
        request: Request<pb::VerifyRequest>,
    ) -> Result<Response<pb::VerifyResponse>, Status> {
        observed("Verify", async {
            let caller = self.rooms.caller(&request)?;
            let deadline = deadline::of(request.metadata().as_ref());
            let message = request.into_inner();
            let refused = |refusal| status::from_rejected(&refusal);
            let id = request_id::of_question(&message.request_id, message.sealed_probe.is_some())
                .map_err(refused)?;
            let text = id.to_string();
            let command = from_proto::verify(message, id, deadline).map_err(refused)?;
            let answer = self.rooms.front.verify(&caller, command).await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            Ok(Response::new(to_proto::verified(text, answer)))
        })
        .await
    }

    async fn get_probe_key(
        &self,
        request: Request<pb::GetProbeKeyRequest>,
    ) -> Result<Response<pb::ProbeKey>, Status> {
        observed("GetProbeKey", async {
            let caller = self.rooms.caller(&request)?;
            let named = optional_id(&request.get_ref().tenant);
            let named = named.map_err(|refusal| status::from_rejected(&refusal))?;
            let answer = self.rooms.front.probe_key(&caller, named).await;
            let (tenant, key) = answer.map_err(|error| status::from_front(&error, ""))?;
            Ok(Response::new(to_proto::probe_key(
                &tenant,
                &caller.principal,
                &key,
            )))
        })
        .await
    }

    async fn investigate(
        &self,
        request: Request<pb::InvestigateRequest>,
    ) -> Result<Response<pb::InvestigateResponse>, Status> {
        observed("Investigate", async {
            let caller = self.rooms.caller(&request)?;
            let deadline = deadline::of(request.metadata().as_ref());
            let message = request.into_inner();
            let refused = |refusal| status::from_rejected(&refusal);
            let id = request_id::given_or_made(&message.request_id).map_err(refused)?;
            let text = id.to_string();
            let command = from_proto::investigate(message, id, deadline).map_err(refused)?;
            let answer = self.rooms.front.investigate(&caller, command).await;
            let answer = answer.map_err(|error| status::from_front(&error, &text))?;
            Ok(Response::new(to_proto::investigated(text, answer)))
        })
        .await
    }
}

/// What ends a stream of probes from this side: the server drains, or the caller's certificate ends or is taken back.
async fn end_of(caller: Arc<Caller>, draining: CancellationToken) -> Status {
    tokio::select! {
        () = draining.cancelled() => status::draining(),
        error = caller.ended() => status::from_front(&error, ""),
    }
}

async fn identify(
    front: &Front,
    caller: &Caller,
    message: pb::IdentifyRequest,
    deadline: Option<Instant>,
) -> Result<pb::IdentifyResponse, Status> {
    let refused = |refusal| status::from_rejected(&refusal);
    let id = request_id::of_question(&message.request_id, message.sealed_probe.is_some()).map_err(refused)?;
    let text = id.to_string();
    let command = from_proto::identify(message, id, deadline).map_err(refused)?;
    let answer = front.identify(caller, command).await;
    let answer = answer.map_err(|error| status::from_front(&error, &text))?;
    Ok(to_proto::identified(text, answer))
}

/// What Identify would have answered, or the error it would have failed with, and the place by which the probe counts.
async fn answer_in_place(
    rooms: &Rooms,
    caller: &Caller,
    message: pb::IdentifyRequest,
    deadline: Option<Instant>,
) -> (pb::IdentifyStreamResponse, Option<Counted>) {
    use pb::identify_stream_response::Result as Answer;
    let started = Instant::now();
    let asked_id = message.request_id.clone();
    let span = rooms.traces.begin(SERVICE_NAME, "IdentifyStream");
    let mut counted = None;
    let outcome = traces::within(span.as_ref(), async {
        tell_of(caller);
        counted = rooms.count(caller)?;
        identify(&rooms.front, caller, message, deadline).await
    })
    .await;
    record("IdentifyStream", started, outcome.as_ref().err());
    if let Some(span) = span {
        span.answered(outcome.as_ref().err().map_or(Code::Ok, Status::code));
    }
    let (request_id, result) = match outcome {
        Ok(response) => (response.request_id.clone(), Answer::Response(response)),
        Err(status) => (asked_id, Answer::Error(stream_error(&status))),
    };
    let answer = pb::IdentifyStreamResponse {
        request_id,
        result: Some(result),
    };
    (answer, counted)
}

fn stream_error(status: &Status) -> pb::StreamError {
    pb::StreamError {
        code: status.code().into(),
        message: status.message().to_owned(),
        status: Bytes::copy_from_slice(status.details()),
    }
}
