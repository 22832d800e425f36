//! Tests of a node across the network, both ends: a small fake node behind the internal service on loopback.

use std::time::{Duration, Instant};

use futures::stream;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};

use super::*;
use crate::matcher::node::{CompareQuery, SearchQuery, SubjectRef, UsageQuery};
use crate::matcher::remote::RemoteNode;
use crate::model::link::LinkKind;
use crate::proto::matching::v1::match_server::MatchServer;

#[path = "matching_fixture.rs"]
mod fixture;

use fixture::*;

#[path = "cluster_tests.rs"]
mod cluster;
#[path = "parts_tests.rs"]
mod parts;

async fn connect() -> RemoteNode {
    serve(MatchRoom::new(Arc::new(FakeNode))).await
}

async fn serve(room: MatchRoom) -> RemoteNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let service = MatchServer::new(room);
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    RemoteNode::connect("match-1".to_owned(), channel.connect_lazy())
}

fn query(candidates_max: usize, deadline: Option<Instant>) -> SearchQuery {
    SearchQuery {
        only: None,
        tenant: tenant(),
        transform: transform(),
        probe: probe(),
        threshold: 0.5,
        candidates_max,
        links: vec![LinkKind::BadgeId],
        deterministic: true,
        deadline,
    }
}

fn chunk(rows: usize, dimension: usize) -> ImportChunk {
    ImportChunk {
        values: vec![0.5; rows * dimension],
        subject_ids: (0..rows)
            .map(|row| format!("s-{row}").parse().expect("an id"))
            .collect(),
    }
}

#[tokio::test]
async fn tenants_cross_unchanged_and_bring_the_backends_name() {
    let node = connect().await;
    assert_eq!(node.backend(), "unknown");
    assert_eq!(node.tenants().await.expect("answers"), vec![status()]);
    assert_eq!(node.backend(), "cpu/fake");
    assert_eq!(node.create_tenant(spec()).await.expect("answers"), status());
    assert_eq!(node.set_policy(policy_change()).await.expect("answers"), status());
    let rotated = node.rotate_data_key(&tenant()).await.expect("answers");
    assert_eq!(rotated, status());
    let rotated = node.rotate_data_key(&tenant()).await.expect("answers");
    assert_eq!(rotated, status());
    node.drop_tenant(&tenant()).await.expect("answers");
}

#[tokio::test]
async fn a_change_of_rotation_crosses_whole_whatever_its_size() {
    let node = connect().await;
    // One message of rows; 1,024 dimensions take four.
    for dimension in [32, 1_024] {
        let change = transform_change(dimension);
        let answer = node.rotate_transform(&tenant(), change).await.expect("answers");
        assert_eq!(answer, status());
    }
}

#[test]
fn a_change_of_rotation_that_comes_in_part_or_in_excess_is_refused() {
    use pb::rotate_transform_request::Part;
    let parts = |rows_left_out: usize, extra: usize| {
        let messages = to_proto::transform_change(&tenant(), &transform_change(32), 32 * 4);
        let mut parts = messages.into_iter().map(|message| message.part.expect("a part"));
        let Some(Part::Header(header)) = parts.next() else {
            panic!("the header is first");
        };
        let mut coming = ComingChange::new(header).expect("sound");
        let mut rows: Vec<Part> = parts.collect();
        assert_eq!(rows.len(), 32, "one row a message");
        rows.truncate(32 - rows_left_out);
        rows.extend(rows.clone().into_iter().take(extra));
        for part in rows {
            let Part::Rows(rows) = part else {
                panic!("rows follow");
            };
            coming.push(rows)?;
        }
        coming.finish()
    };
    assert!(parts(0, 0).is_ok());
    let short = parts(1, 0).err().expect("a row is missing");
    assert!(short.problem.contains("992 coordinates"), "{short}");
    let twice = parts(1, 1).err().expect("a row came twice");
    assert!(twice.problem.contains("not orthogonal"), "{twice}");
    let long = parts(0, 1).err().expect("one too many");
    assert!(long.problem.contains("more than"), "{long}");
}

#[tokio::test]
async fn errors_keep_their_variant() {
    let node = connect().await;
    let error = node.tenant(&tenant()).await.expect_err("unknown");
    assert!(
        matches!(&error, NodeError::TenantUnknown(id) if *id == tenant()),
        "{error:?}"
    );
    let error = node.erasure(&tenant(), 11).await.expect_err("unknown");
    assert!(matches!(error, NodeError::ErasureUnknown(11)), "{error:?}");
}

#[tokio::test]
async fn searches_and_comparisons_cross_to_the_last_bit() {
    let node = connect().await;
    assert_eq!(
        node.search(query(5, None)).await.expect("answers"),
        search_answer()
    );
    let of_one = SearchQuery {
        only: Some("ada".parse().expect("an id")),
        ..query(1, None)
    };
    assert_eq!(node.search(of_one).await.expect("answers"), search_answer());
    let ranked = node.rank(rank_query(1_000, None)).await.expect("answers");
    assert_eq!(ranked, search_answer());
    let score = node
        .compare(CompareQuery {
            tenant: tenant(),
            transform: transform(),
            subject_id: "ada".parse().expect("an id"),
            probe: probe(),
            deadline: Some(Instant::now() + Duration::from_secs(20)),
        })
        .await
        .expect("answers");
    assert_eq!(score.to_bits(), 0.25f32.to_bits());
}

#[tokio::test]
async fn writes_and_records_cross_unchanged() {
    let node = connect().await;
    let enrolled = node.enroll(enrollment()).await.expect("answers");
    assert_eq!((enrolled.references, enrolled.sequence), (vec![1, 2], 3));
    assert_eq!(node.erase(erasure()).await.expect("answers"), erased());
    let subject = SubjectRef::Id("ada".parse().expect("an id"));
    assert_eq!(
        node.subject(&tenant(), &subject).await.expect("answers"),
        record()
    );
    let found = node.due(&tenant(), due(), 7).await.expect("answers");
    assert_eq!(
        found.iter().map(SubjectId::as_str).collect::<Vec<_>>(),
        ["ada", "bob"]
    );
    let ada = "ada".parse().expect("an id");
    let erasures = node.erasures_of(&tenant(), &ada).await.expect("answers");
    assert_eq!(erasures, [3, 4]);
    let signed = node.checkpoint(&tenant()).await.expect("answers");
    assert_eq!(signed, checkpoint());
    node.record_usage(&tenant(), usage_record())
        .await
        .expect("answers");
    let page = node.usage(UsageQuery {
        tenant: tenant(),
        subject_id: None,
        before: Some(0),
        limit: 10,
    });
    let page = page.await.expect("answers");
    assert_eq!((page.events, page.next_before), (vec![usage_event()], Some(0)));
}

#[tokio::test]
async fn an_import_is_cut_into_messages_that_fit() {
    let node = connect().await;
    let chunks = vec![Ok(chunk(1_000, 4_096)), Ok(chunk(10, 4_096))];
    let chunks = stream::iter(chunks).boxed();
    let imported = node.import(import_header(1_010), chunks).await.expect("imports");
    assert_eq!(imported.rows, 1_010);
    assert!(imported.sequence > 10, "{} messages of 16 MB", imported.sequence);
}

#[tokio::test]
async fn an_import_that_the_sender_breaks_off_fails_with_the_senders_error() {
    let node = connect().await;
    let broken = Err(NodeError::Rejected(Rejected::new("row 7123", "holds NaN")));
    let chunks = stream::iter(vec![Ok(chunk(10, 32)), broken, Ok(chunk(10, 32))]).boxed();
    let error = node
        .import(import_header(20), chunks)
        .await
        .expect_err("broken off");
    assert!(
        matches!(&error, NodeError::Rejected(refusal) if refusal.field == "row 7123"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_node_is_told_whether_rows_broke_off_or_were_refused() {
    let told = |error: NodeError| {
        let message = to_proto::import_aborted(&error);
        next(Ok(message)).expect_err("the end")
    };
    let told_off = told(NodeError::ImportBrokenOff {
        reason: "hung up".to_owned(),
    });
    assert!(
        matches!(&told_off, NodeError::ImportBrokenOff { reason } if reason == "hung up"),
        "{told_off:?}"
    );
    let refused = told(Rejected::new("rows[7]", "holds NaN").into());
    assert!(matches!(refused, NodeError::Rejected(_)), "{refused:?}");
    let gone = next(Err(Status::unknown("the front is gone"))).expect_err("the end");
    assert!(matches!(gone, NodeError::ImportBrokenOff { .. }), "{gone:?}");
}

#[tokio::test]
async fn progress_of_an_import_crosses_unchanged() {
    let node = connect().await;
    let request = "r-3".parse().expect("an id");
    let progress = node.import_progress(&tenant(), &request).await;
    assert_eq!(progress.expect("answers"), import_progress());
}

#[tokio::test]
async fn deadlines_end_searches_on_both_sides() {
    let node = connect().await;
    let past = Instant::now().checked_sub(Duration::from_millis(1));
    let error = node.search(query(5, past)).await.expect_err("late");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error:?}");
    let soon = Instant::now() + Duration::from_millis(100);
    let error = node.search(query(99, Some(soon))).await.expect_err("late");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error:?}");
    let soon = Instant::now() + Duration::from_millis(100);
    let error = node.rank(rank_query(99, Some(soon))).await.expect_err("late");
    assert!(matches!(error, NodeError::DeadlineExceeded), "{error:?}");
}

#[tokio::test]
async fn a_front_that_asks_for_too_many_or_no_candidates_is_told() {
    let node = connect().await;
    for count in [0, 1_001] {
        let error = node.rank(rank_query(count, None)).await.expect_err("refused");
        assert!(
            matches!(&error, NodeError::Rejected(refusal) if refusal.field == "candidates_max"
                && refusal.problem.contains(&count.to_string()) && refusal.problem.contains("1000")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_is_unavailable_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let node = RemoteNode::connect("match-7".to_owned(), channel.connect_lazy());
    let error = node.search(query(5, None)).await.expect_err("nobody there");
    assert!(
        matches!(&error, NodeError::NodeUnavailable { node, .. } if node == "match-7"),
        "{error:?}"
    );
}
