//! A simulated scanner: one palm at a time, over single calls or one long stream. Judges nothing.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::client::api::identify_stream_response::Result as StreamResult;
use crate::client::{Client, api};

use super::super::simulated::Palm;

/// How a scanner calls.
pub(super) struct Scanner {
    client: Client,
    name: String,
    asked: u64,
    stream: Option<Stream>,
    streaming: bool,
}

struct Stream {
    requests: mpsc::Sender<api::IdentifyRequest>,
    answers: Streaming<api::IdentifyStreamResponse>,
}

impl Scanner {
    /// A scanner that makes a call a palm.
    pub(super) fn single(client: Client, name: &str) -> Self {
        Self {
            client,
            name: name.to_owned(),
            asked: 0,
            stream: None,
            streaming: false,
        }
    }

    /// A scanner that keeps one stream open.
    pub(super) fn streaming(client: Client, name: &str) -> Self {
        Self {
            streaming: true,
            ..Self::single(client, name)
        }
    }

    /// Asks whose palm it is.
    pub(super) async fn ask(&mut self, palm: &Palm) -> Result<api::IdentifyResponse, Status> {
        self.asked += 1;
        let request = api::IdentifyRequest {
            tenant: String::new(),
            request_id: format!("{}-{}", self.name, self.asked),
            probe: Some(palm.message()),
            site: "gate-1".to_owned(),
            candidates_max: 0,
            sealed_probe: None,
        };
        if !self.streaming {
            return Ok(self.client.identity().identify(request).await?.into_inner());
        }
        let answer = self.ask_stream(request).await;
        if answer.is_err() {
            // A stream that failed is over; the next palm opens another.
            self.stream = None;
        }
        answer?
    }

    /// The outer error is of the stream, the inner one of this probe alone.
    async fn ask_stream(
        &mut self,
        request: api::IdentifyRequest,
    ) -> Result<Result<api::IdentifyResponse, Status>, Status> {
        let request_id = request.request_id.clone();
        let stream = match &mut self.stream {
            Some(stream) => {
                let sent = stream.requests.send(request).await;
                sent.map_err(|_| Status::unavailable("the server has ended the stream"))?;
                stream
            }
            // The first request goes with the call, since a server may wait for it before it answers.
            None => self.stream.insert(open(&self.client, request).await?),
        };
        let answer = stream
            .answers
            .message()
            .await?
            .ok_or_else(|| Status::unavailable("the server has ended the stream"))?;
        if answer.request_id != request_id {
            return Err(Status::internal(format!(
                "the answer is to {:?}, asked was {request_id:?}",
                answer.request_id
            )));
        }
        Ok(match answer.result {
            Some(StreamResult::Response(response)) => Ok(response),
            Some(StreamResult::Error(error)) => Err(Status::new(Code::from(error.code), error.message)),
            None => Err(Status::internal("an answer without a result")),
        })
    }
}

async fn open(client: &Client, first: api::IdentifyRequest) -> Result<Stream, Status> {
    let (requests, receiver) = mpsc::channel(1);
    requests.send(first).await.expect("the receiver is right here");
    let answers = client
        .identity()
        .identify_stream(ReceiverStream::new(receiver))
        .await?
        .into_inner();
    Ok(Stream { requests, answers })
}
