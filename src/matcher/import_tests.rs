//! Tests of imports that break off: kept and resumed, or let go of, and then nothing is left.

use std::sync::Weak;

use futures::stream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::kept::KEPT_MAX;
use super::*;
use crate::matcher::fixture::*;
use crate::matcher::local::LocalNode;
use crate::matcher::node::{Node, SearchQuery};
use crate::model::signature::{Dimension, Signature};
use crate::storage::place::SEGMENT_ROWS_MAX;

/// Rows of an import.
const ROWS: u64 = 20;
/// Of them, those that come before it breaks off.
const CAME: u64 = 8;

type Item = Result<ImportChunk, NodeError>;

/// A palm that no other number below [`ROWS`] has.
fn palm(number: u64) -> Signature {
    let mut values = vec![0.0; DIM];
    values.splice(..1, [0.6]);
    values[1 + usize::try_from(number).expect("small") % (DIM - 1)] = 0.8;
    Signature::new(values, Dimension::new(DIM).expect("valid")).expect("a unit vector")
}

#[expect(clippy::unnecessary_wraps, reason = "an item of a stream")]
fn rows(numbers: std::ops::Range<u64>) -> Item {
    Ok(ImportChunk {
        values: numbers
            .clone()
            .flat_map(|number| palm(number).values().to_vec())
            .collect(),
        subject_ids: numbers
            .map(|number| format!("s{number}").parse().expect("an id"))
            .collect(),
    })
}

fn broken_off() -> Item {
    Err(NodeError::ImportBrokenOff {
        reason: "the caller hung up".to_owned(),
    })
}

fn header(request: &str, first_row: u64) -> ImportHeader {
    ImportHeader {
        request_id: request.parse().expect("an id"),
        first_row,
        ..import_header(transform(7), ROWS)
    }
}

async fn import(
    node: &Arc<LocalNode>,
    header: ImportHeader,
    items: Vec<Item>,
) -> Result<Imported, NodeError> {
    node.import(header, stream::iter(items).boxed()).await
}

/// As far as [`CAME`] rows.
async fn begin(node: &Arc<LocalNode>, request: &str) {
    let items = vec![rows(0..5), rows(5..CAME), broken_off(), rows(CAME..ROWS)];
    let refused = import(node, header(request, 0), items).await;
    assert!(
        matches!(refused, Err(NodeError::ImportBrokenOff { .. })),
        "{refused:?}"
    );
}

async fn progress(node: &Arc<LocalNode>, request: &str) -> ImportProgress {
    let request = request.parse().expect("an id");
    node.import_progress(&tenant(), &request).await.expect("answered")
}

fn taken(rows_taken: u64) -> ImportProgress {
    ImportProgress {
        rows_taken,
        rows: ROWS,
        done: None,
    }
}

/// Everybody is found, or nobody.
async fn check_found(node: &Arc<LocalNode>, all: bool) {
    for number in 0..ROWS {
        let query = SearchQuery {
            only: None,
            tenant: tenant(),
            transform: transform(7),
            probe: palm(number),
            threshold: 0.9,
            candidates_max: 2,
            links: Vec::new(),
            deterministic: true,
            deadline: None,
        };
        let found = node.search(query).await.expect("answered").candidates;
        let found = found.first().map(|found| found.subject_id.to_string());
        assert_eq!(found, all.then(|| format!("s{number}")));
    }
}

#[tokio::test]
async fn an_import_that_breaks_off_goes_on_from_where_it_was() {
    let none: Box<dyn FnOnce() -> ImportStream> = Box::new(|| stream::empty().boxed());
    let broken: Box<dyn FnOnce() -> ImportStream> = Box::new(|| stream::iter([broken_off()]).boxed());
    for (end, words) in [(none, "8 came"), (broken, "hung up")] {
        let (node, _dir) = node().await;
        let chunks = stream::iter([rows(0..5), rows(5..CAME)]).chain(end());
        let refused = node.import(header("r", 0), chunks.boxed()).await;
        let Err(NodeError::ImportBrokenOff { reason }) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains(words), "{reason}");
        assert_eq!(progress(&node, "r").await, taken(CAME));
        check_found(&node, false).await;
        // It breaks off once more.
        let refused = import(&node, header("r", CAME), vec![rows(CAME..12), broken_off()]).await;
        assert!(
            matches!(refused, Err(NodeError::ImportBrokenOff { .. })),
            "{refused:?}"
        );
        assert_eq!(progress(&node, "r").await, taken(12));
        let imported = import(&node, header("r", 12), vec![rows(12..ROWS)])
            .await
            .expect("imported");
        assert_eq!(imported.rows, ROWS);
        let done = ImportProgress {
            done: Some(imported),
            ..taken(ROWS)
        };
        assert_eq!(progress(&node, "r").await, done);
        check_found(&node, true).await;
        // Repeated, from wherever, it is answered the same.
        for first_row in [0, 12] {
            let again = import(&node, header("r", first_row), vec![]).await;
            assert_eq!(again.expect("answered"), imported);
        }
        node.drain().await;
    }
}

#[tokio::test]
async fn a_refused_row_ends_an_import_for_good() {
    let (node, _dir) = node().await;
    let refusals = [
        Err(Rejected::new("rows[9]", "holds NaN").into()),
        rows(7..9),
        rows(CAME..ROWS + 1),
    ];
    for refusal in refusals {
        let refused = import(&node, header("r", 0), vec![rows(0..CAME), refusal]).await;
        refused.expect_err("refused");
        assert_eq!(progress(&node, "r").await, ImportProgress::default());
    }
    import(&node, header("r", 0), vec![rows(0..ROWS)])
        .await
        .expect("imported");
    node.drain().await;
}

#[tokio::test]
async fn it_goes_on_from_no_other_row_and_under_no_other_header() {
    let (node, _dir) = node().await;
    begin(&node, "r").await;
    for first_row in [5, CAME - 1, CAME + 1, ROWS, u64::MAX] {
        let refused = import(&node, header("r", first_row), vec![rows(5..ROWS)]).await;
        assert!(
            matches!(refused, Err(NodeError::ImportPosition { held: CAME })),
            "{refused:?}"
        );
    }
    let refused = import(&node, header("other", CAME), vec![rows(CAME..ROWS)]).await;
    assert!(
        matches!(refused, Err(NodeError::ImportPosition { held: 0 })),
        "{refused:?}"
    );
    let other = ImportHeader {
        request_digest: [7; 32],
        ..header("r", CAME)
    };
    let refused = import(&node, other, vec![rows(CAME..ROWS)]).await;
    assert!(
        matches!(refused, Err(NodeError::RequestIdReused(_))),
        "{refused:?}"
    );
    // None of that let go of it.
    assert_eq!(progress(&node, "r").await, taken(CAME));
    import(&node, header("r", CAME), vec![rows(CAME..ROWS)])
        .await
        .expect("imported");
    check_found(&node, true).await;
    node.drain().await;
}

#[tokio::test]
async fn an_import_from_the_beginning_lets_go_of_the_one_that_is_kept() {
    let (node, _dir) = node().await;
    begin(&node, "r").await;
    begin(&node, "r").await;
    begin(&node, "other").await;
    assert_eq!(progress(&node, "r").await, ImportProgress::default());
    let refused = import(&node, header("r", CAME), vec![rows(CAME..ROWS)]).await;
    assert!(
        matches!(refused, Err(NodeError::ImportPosition { held: 0 })),
        "{refused:?}"
    );
    import(&node, header("other", CAME), vec![rows(CAME..ROWS)])
        .await
        .expect("imported");
    check_found(&node, true).await;
    node.drain().await;
}

#[tokio::test]
async fn one_under_way_tells_how_far_it_is_and_keeps_others_out() {
    let (node, _dir) = node().await;
    let (sender, receiver) = mpsc::channel(1);
    let running = tokio::spawn({
        let (node, chunks) = (Arc::clone(&node), ReceiverStream::new(receiver).boxed());
        async move { node.import(header("r", 0), chunks).await }
    });
    sender.send(rows(0..CAME)).await.expect("taken");
    while progress(&node, "r").await != taken(CAME) {
        tokio::task::yield_now().await;
    }
    for request in ["r", "other"] {
        let refused = import(&node, header(request, CAME), vec![]).await;
        assert!(matches!(refused, Err(NodeError::Exhausted { .. })), "{refused:?}");
    }
    sender.send(rows(CAME..ROWS)).await.expect("taken");
    drop(sender);
    running.await.expect("ended").expect("imported");
    node.drain().await;
}

/// Files of segments on disk.
fn segments(dir: &tempfile::TempDir) -> usize {
    let path = dir.path().join("data/tenants/acme/segments");
    std::fs::read_dir(path).expect("readable").count()
}

/// An import of more rows than a segment has, which breaks off.
async fn begin_large(node: &Arc<LocalNode>) -> u64 {
    let all = u64::from(SEGMENT_ROWS_MAX) + 1;
    let mut items: Vec<Item> = (0..all)
        .step_by(8_192)
        .map(|first| rows(first..all.min(first + 8_192)))
        .collect();
    items.push(broken_off());
    let header = ImportHeader {
        rows: all,
        ..header("large", 0)
    };
    let refused = import(node, header, items).await;
    assert!(
        matches!(refused, Err(NodeError::ImportBrokenOff { .. })),
        "{refused:?}"
    );
    assert_eq!(progress(node, "large").await.rows_taken, all);
    all
}

#[tokio::test]
async fn after_some_minutes_it_is_let_go_and_leaves_no_file() {
    let (node, dir) = node().await;
    let all = begin_large(&node).await;
    let first = Instant::now();
    assert_eq!(segments(&dir), 1);
    let imports = &node.live(&tenant()).expect("live").imports;
    imports.let_go_of_outdated(first).await;
    // All rows came, so that it has but to end; it breaks off before that once more.
    let again = ImportHeader {
        rows: all,
        ..header("large", all)
    };
    import(&node, again, vec![broken_off()])
        .await
        .expect_err("broken off");
    imports.let_go_of_outdated(first + KEPT_MAX).await;
    assert_eq!(
        progress(&node, "large").await.rows_taken,
        all,
        "the time counts from the last break"
    );
    imports.let_go_of_outdated(Instant::now() + KEPT_MAX).await;
    assert_eq!(progress(&node, "large").await, ImportProgress::default());
    assert_eq!(segments(&dir), 0);
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_up_no_rotation_and_ends_with_it() {
    let (node, dir) = node().await;
    begin_large(&node).await;
    let former = Arc::downgrade(&node.live(&tenant()).expect("live"));
    let rotated = tokio::time::timeout(Duration::from_mins(1), node.rotate_data_key(&tenant())).await;
    rotated.expect("at once").expect("rotated");
    gone(former).await;
    assert_eq!(progress(&node, "large").await, ImportProgress::default());
    assert_eq!(segments(&dir), 0);
    begin(&node, "r").await;
    import(&node, header("r", CAME), vec![rows(CAME..ROWS)])
        .await
        .expect("imported");
    check_found(&node, true).await;
    node.drain().await;
}

async fn gone(tenant: Weak<Tenant>) {
    let start = Instant::now();
    while tenant.strong_count() > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it is held by what is kept"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_of_the_tenant_and_the_end_of_the_node_let_go_of_it() {
    let (node, dir) = node().await;
    begin_large(&node).await;
    let dropped = Arc::downgrade(&node.live(&tenant()).expect("live"));
    let spec = dropped.upgrade().expect("live").spec.clone();
    node.drop_tenant(&tenant()).await.expect("dropped");
    gone(dropped).await;
    node.create_tenant(spec).await.expect("made anew");
    begin_large(&node).await;
    let (_sender, receiver) = mpsc::channel(1);
    node.drain().await;
    assert_eq!(progress(&node, "large").await, ImportProgress::default());
    assert_eq!(segments(&dir), 0);
    // One that comes yet is not waited for.
    let refused = node
        .import(header("r", 0), ReceiverStream::new(receiver).boxed())
        .await;
    assert!(
        matches!(refused, Err(NodeError::TenantUnavailable { .. })),
        "{refused:?}"
    );
}
