//! The stream of an import: a header, then rows. Holds one message at a time.

use std::sync::Arc;
use std::time::Duration;

use futures::future::ready;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::{body, from_proto, status};
use crate::front::command::{RawRowStream, RawRows};
use crate::front::identity::Caller;
use crate::matcher::node::NodeError;
use crate::model::reject::Rejected;
use crate::proto::v1 as pb;

/// Longest wait for a message, from when it is asked for until all of it is there. The import may go on after that ([`NodeError::ImportBrokenOff`]).
const MESSAGE_MAX: Duration = Duration::from_mins(1);

/// The messages of an import, each in its time.
pub type Messages = BoxStream<'static, Result<pb::ImportRequest, Status>>;

/// The messages of a call, which ends with the first that takes too long: bytes that come one by one are no message.
pub fn messages(call: Streaming<pb::ImportRequest>) -> Messages {
    timely(call, MESSAGE_MAX)
}

/// The time in which nobody asks for a message is not its sender's.
fn timely<S>(messages: S, limit: Duration) -> Messages
where
    S: Stream<Item = Result<pb::ImportRequest, Status>> + Send + Unpin + 'static,
{
    stream::unfold(messages, move |mut messages| async move {
        let late = |_| Some(Err(body::late("the next message", limit)));
        let next = timeout(limit, messages.next()).await.unwrap_or_else(late);
        Some((next?.map_err(status::told), messages))
    })
    .boxed()
}

/// The first message, which must be the header.
pub async fn header(messages: &mut Messages) -> Result<pb::ImportHeader, Status> {
    match messages
        .next()
        .await
        .transpose()?
        .and_then(|message| message.part)
    {
        Some(pb::import_request::Part::Header(header)) => Ok(header),
        Some(pb::import_request::Part::Rows(_)) | None => Err(status::from_rejected(&Rejected::new(
            "header",
            "is missing; the first message of an import must be the header",
        ))),
    }
}

/// The rows that follow, the first of which has the number `first`, unless the caller's certificate comes to its end before them.
pub fn rows(messages: Messages, mut first: u64, caller: Arc<Caller>) -> RawRowStream {
    let rows = messages.map(move |message| Some(next(message, &mut first)));
    let ended = async move {
        let reason = caller.ended().await.to_string();
        Some(Err(NodeError::ImportBrokenOff { reason }))
    };
    stream::select(rows.chain(stream::iter([None])), stream::once(ended))
        .take_while(|rows| ready(rows.is_some()))
        .filter_map(ready)
        .boxed()
}

/// What ended a stream of rows: a message that is too large, or that no more can come.
pub fn broken_off(status: &Status) -> NodeError {
    let reason = format!("the stream ended ({:?}): {}", status.code(), status.message());
    match status.code() {
        Code::OutOfRange => Rejected::new("rows", reason).into(),
        _ => NodeError::ImportBrokenOff { reason },
    }
}

fn next(message: Result<pb::ImportRequest, Status>, first: &mut u64) -> Result<RawRows, NodeError> {
    match message.map_err(|status| broken_off(&status))?.part {
        Some(pb::import_request::Part::Rows(rows)) => {
            let count = u64::try_from(rows.subject_ids.len()).expect("a length fits");
            let rows = from_proto::import_rows(rows, *first)?;
            *first += count;
            Ok(rows)
        }
        Some(pb::import_request::Part::Header(_)) => {
            Err(Rejected::new("header", "comes twice; one import has one header").into())
        }
        None => Err(Rejected::new("part", "is missing; rows are expected").into()),
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
