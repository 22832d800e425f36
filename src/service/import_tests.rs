//! Tests of the stream of an import.

use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use prost::Message;
use tonic::codec::Codec;
use tonic_prost::ProstCodec;

use super::*;

fn rows_message(ids: &[&str]) -> pb::ImportRequest {
    pb::ImportRequest {
        part: Some(pb::import_request::Part::Rows(pb::ImportRows {
            // Of the smallest dimension, in half precision.
            data: vec![0; 64 * ids.len()].into(),
            subject_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        })),
    }
}

fn refused_field(outcome: Result<RawRows, NodeError>) -> String {
    match outcome {
        Err(NodeError::Rejected(refusal)) => refusal.field,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("taken"),
    }
}

#[test]
fn rows_are_numbered_over_messages() {
    let mut first = 0;
    assert!(next(Ok(rows_message(&["a", "b"])), &mut first).is_ok());
    assert_eq!(first, 2);
    let refused = next(Ok(rows_message(&["c", "!"])), &mut first);
    assert_eq!(refused_field(refused), "subject_ids[3]");
}

#[test]
fn more_ids_than_rows_can_be_there_are_refused_before_any_is_looked_at() {
    let mut message = rows_message(&["!", "!"]);
    if let Some(pb::import_request::Part::Rows(rows)) = &mut message.part {
        rows.data = rows.data.slice(1..);
    }
    let refused = next(Ok(message), &mut 0);
    assert_eq!(refused_field(refused), "rows.subject_ids");
}

#[test]
fn a_second_header_an_empty_message_and_a_broken_stream_end_the_import() {
    let mut first = 0;
    let header = pb::ImportRequest {
        part: Some(pb::import_request::Part::Header(pb::ImportHeader::default())),
    };
    assert_eq!(refused_field(next(Ok(header), &mut first)), "header");
    let empty = pb::ImportRequest { part: None };
    assert_eq!(refused_field(next(Ok(empty), &mut first)), "part");
    let broken = next(Err(Status::out_of_range("too large: limit 4194304")), &mut first);
    let Err(NodeError::Rejected(refusal)) = broken else {
        panic!("taken");
    };
    assert!(refusal.problem.contains("4194304"), "{refusal}");
    let gone = next(Err(Status::unknown("h2 protocol error")), &mut first);
    assert!(matches!(gone, Err(NodeError::ImportBrokenOff { .. })));
}

/// So many messages as they come on the wire, in parts of `part` bytes, each so long after the other.
fn on_the_wire(messages: usize, part: usize, every: Duration) -> Streaming<pb::ImportRequest> {
    let message = rows_message(&["ada", "eve"]);
    let length = u32::try_from(message.encoded_len()).expect("short");
    let framed = [&[0][..], &length.to_be_bytes(), &message.encode_to_vec()].concat();
    let bytes = framed.repeat(messages);
    let parts: Vec<_> = bytes.chunks(part).map(Bytes::copy_from_slice).collect();
    let parts = stream::iter(parts).then(move |part| async move {
        tokio::time::sleep(every).await;
        Ok::<_, Status>(Frame::data(part))
    });
    let decoder = ProstCodec::<(), pb::ImportRequest>::default().decoder();
    Streaming::new_request(decoder, StreamBody::new(parts.boxed()), None, None)
}

const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_message_that_drips_in_is_not_waited_for() {
    let mut dripping = timely(on_the_wire(2, 1, PAUSE), 4 * PAUSE);
    let late = dripping.next().await.expect("an end").expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    let kept = broken_off(&late);
    assert!(matches!(kept, NodeError::ImportBrokenOff { .. }), "{kept:?}");
}

#[tokio::test]
async fn each_message_has_a_time_of_its_own_which_begins_when_it_is_asked_for() {
    let count = 12;
    let whole = 5 + rows_message(&["ada", "eve"]).encoded_len();
    let mut messages = timely(on_the_wire(count, whole, PAUSE), 10 * PAUSE);
    messages.next().await.expect("the first").expect("in time");
    // Whoever works on a message for long asks late, and the next is on its way only then.
    tokio::time::sleep(12 * PAUSE).await;
    let rest: Vec<_> = messages.collect().await;
    assert_eq!(rest.len(), count - 1);
    for message in rest {
        message.expect("in time");
    }
}
