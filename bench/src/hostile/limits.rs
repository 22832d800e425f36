//! Calls at and over every limit of a message: size, headers, dimension, deadline, streams, resets, and bytes that are no message. Reads what they are answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use thenar::client::api;
use tonic::codegen::http;

use super::field::{Field, always};
use super::wire::speak;
use crate::Failure;

/// Connections at once.
const CONNECTIONS: u32 = 16;
/// Largest message of the Identity service, in bytes.
const MESSAGE_BYTES: usize = 32 << 10;
/// Largest list of headers, in bytes, less what is in it beside the padding.
const HEADER_BYTES: usize = 15 << 10;
/// Calls that are begun at once and taken back: more than a connection may have.
const STREAMS: usize = 300;
/// Longest wait for one more of them to begin.
const STREAM_WAIT_MAX: Duration = Duration::from_millis(5);
/// Time for what was written to leave.
const FLUSH: Duration = Duration::from_millis(50);

/// Name and value.
type Header = (&'static str, String);

/// Kinds of deeds, as they are counted.
pub const DEEDS: [&str; 10] = [
    "dimension",
    "size_at",
    "size_over",
    "headers_at",
    "headers_over",
    "deadline",
    "no_message",
    "no_frame",
    "streams",
    "resets",
];

/// What is asked, by the name under which it is counted, with headers beside the usual ones and a message.
fn questions() -> Vec<(&'static str, Vec<Header>, Bytes)> {
    let probe = |coordinates: usize| api::IdentifyRequest {
        probe: Some(thenar::cli::simulated::capture(
            vec![0x3c; 2 * coordinates].into(),
        )),
        ..Default::default()
    };
    let long = |bytes: usize| api::IdentifyRequest {
        request_id: "x".repeat(bytes),
        ..Default::default()
    };
    let padding = |bytes: usize| vec![("x-padding", "x".repeat(bytes))];
    let timeout = |text: &str| vec![("grpc-timeout", text.to_owned())];
    vec![
        ("dimension", vec![], framed(&probe(2_048).encode_to_vec())),
        ("dimension", vec![], framed(&probe(1).encode_to_vec())),
        // Its tag and length take four bytes.
        (
            "size_at",
            vec![],
            framed(&long(MESSAGE_BYTES - 4).encode_to_vec()),
        ),
        ("size_over", vec![], framed(&long(MESSAGE_BYTES).encode_to_vec())),
        ("headers_at", padding(HEADER_BYTES), framed(&[])),
        ("headers_over", padding(HEADER_BYTES + (2 << 10)), framed(&[])),
        ("deadline", timeout("99999999H"), framed(&[])),
        ("deadline", timeout("0n"), framed(&[])),
        ("deadline", timeout("soon"), framed(&[])),
        ("no_message", vec![], framed(&[0xff; 64])),
        ("no_frame", vec![], Bytes::from_static(&[0xff; 64])),
    ]
}

/// A message as gRPC sends it: not compressed, its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

/// A call of the Identity service.
pub fn request(method: &str, headers: &[Header]) -> Result<http::Request<()>, Failure> {
    let mut request = http::Request::post(format!("https://localhost/thenar.v1.Identity/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    Ok(request.body(())?)
}

/// Asks for as long as it is polled.
pub async fn run(field: Arc<Field>) {
    always(CONNECTIONS, move || {
        let field = Arc::clone(&field);
        async move {
            // The connection ends for its faults, and another one comes.
            let _ = one(&field).await;
            field.did("connections");
        }
    })
    .await;
}

async fn one(field: &Field) -> Result<(), Failure> {
    let stream = field.sources.connect(field.address).await?;
    let mut sender = speak(field.mask()?.shake_hands(stream).await?).await?;
    for (name, headers, message) in questions() {
        let (answer, mut body) = sender.send_request(request("Identify", &headers)?, false)?;
        body.send_data(message, true)?;
        match answer.await {
            // A refusal has no body, so that its status is among the headers.
            Ok(answer) if answer.status() == 200 && !answer.headers().contains_key("grpc-status") => {
                field.did("answered");
            }
            Err(error) if !error.is_reset() => return Err(error.into()),
            // Of a stream that is reset the call alone was refused.
            Ok(_) | Err(_) => field.did(name),
        }
        sender = sender.ready().await?;
    }
    many_streams(field, sender).await
}

/// More calls than a connection may have, all taken back.
async fn many_streams(field: &Field, mut sender: SendRequest<Bytes>) -> Result<(), Failure> {
    let mut begun = Vec::new();
    while begun.len() < STREAMS {
        // Beyond what the server allows at once the library waits for it.
        let Ok(ready) = tokio::time::timeout(STREAM_WAIT_MAX, sender.ready()).await else {
            break;
        };
        sender = ready?;
        begun.push(sender.send_request(request("Identify", &[])?, false)?);
        field.did("streams");
    }
    for (_, body) in &mut begun {
        body.send_reset(h2::Reason::CANCEL);
        field.did("resets");
    }
    // What was written leaves before the connection goes.
    tokio::time::sleep(FLUSH).await;
    Ok(())
}
