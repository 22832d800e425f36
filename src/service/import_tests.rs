//! Tests of the stream of an import.

use super::*;

fn rows_message(ids: &[&str]) -> pb::ImportRequest {
    pb::ImportRequest {
        part: Some(pb::import_request::Part::Rows(pb::ImportRows {
            data: prost::bytes::Bytes::new(),
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
