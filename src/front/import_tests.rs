//! Tests of import: rows are numbered through, checked, protected and cut to size; one bad row keeps all out.

use super::*;
use crate::front::command::Identify;
use crate::front::fixture::*;
use crate::model::decision::Decision;
use crate::model::subject::Hand;

const OPERATOR: &str = "/tenant/acme/operator/o";

fn header(rows: u64) -> Import {
    Import {
        tenant: None,
        request_id: id("import"),
        encoder: encoder(),
        element: ElementType::F32,
        hand: Hand::Left,
        quality: 50,
        consent: Some(consent()),
        rows,
        first_row: 0,
    }
}

fn message(numbers: std::ops::Range<u32>) -> RawRows {
    RawRows {
        data: numbers
            .flat_map(|number| bytes(&palm(number)))
            .collect::<Vec<u8>>()
            .into(),
        subject_ids: Vec::new(),
    }
}

fn rows(messages: Vec<RawRows>) -> RawRowStream {
    stream::iter(messages.into_iter().map(Ok)).boxed()
}

async fn refusal(header: Import, messages: Vec<RawRows>) -> String {
    let fixture = Fixture::new().await;
    let result = fixture
        .front
        .import(&caller(OPERATOR), header, rows(messages))
        .await;
    assert_eq!(fixture.node.calls("import"), 0, "nothing was changed");
    result.expect_err("refused").to_string()
}

#[tokio::test]
async fn imported_palms_are_found() {
    let fixture = Fixture::new().await;
    let messages = vec![message(0..3), message(3..4), message(4..10)];
    let imported = fixture
        .front
        .import(&caller(OPERATOR), header(10), rows(messages))
        .await
        .expect("imported");
    assert_eq!(imported.rows, 10);
    let mut found = Vec::new();
    for number in 0..10 {
        let asked: Identify = identify(&format!("{number}"), &palm(number));
        let answer = fixture
            .front
            .identify(&caller(OPERATOR), asked)
            .await
            .expect("answered");
        let Decision::Match { candidate, .. } = answer.decision else {
            panic!("{number} is not found");
        };
        assert!(candidate.score > 0.9999 && candidate.hand == Hand::Left);
        found.push(candidate.subject_id);
    }
    let state = fixture.node.0.lock();
    let held: Vec<&SubjectId> = state.tenants[&id("acme")].rows.iter().map(|row| &row.0).collect();
    assert_eq!(held, found.iter().collect::<Vec<_>>(), "in the order of the rows");
    let header = state.last_import.as_ref().expect("kept");
    assert_eq!((header.rows, header.capture.quality), (10, 50));
}

#[tokio::test]
async fn given_ids_are_taken() {
    let fixture = Fixture::new().await;
    let mut message = message(0..2);
    message.subject_ids = vec![id("ada"), id("bob")];
    fixture
        .front
        .import(&caller(OPERATOR), header(2), rows(vec![message]))
        .await
        .expect("imported");
    let state = fixture.node.0.lock();
    let held: Vec<&str> = state.tenants[&id("acme")]
        .rows
        .iter()
        .map(|row| row.0.as_str())
        .collect();
    assert_eq!(held, ["ada", "bob"]);
}

#[tokio::test]
async fn large_messages_are_cut_to_chunks_of_the_node() {
    let fixture = Fixture::new().await;
    let count = u32::try_from(IMPORT_CHUNK_ROWS_MAX).expect("small") + 5;
    let messages = vec![message(0..count), message(count..count + 1)];
    let imported = fixture
        .front
        .import(&caller(OPERATOR), header(u64::from(count) + 1), rows(messages))
        .await
        .expect("imported");
    assert_eq!(imported.rows, u64::from(count) + 1);
    let state = fixture.node.0.lock();
    let held = &state.tenants[&id("acme")].rows;
    let ids: std::collections::BTreeSet<&SubjectId> = held.iter().map(|row| &row.0).collect();
    assert_eq!(ids.len(), held.len(), "made ids differ");
}

#[tokio::test]
async fn a_bad_row_is_named_by_its_number() {
    let mut second = message(7_000..7_200);
    let mut data = second.data.to_vec();
    let at = 123 * DIM * 4 + 5 * 4;
    data[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    second.data = data.into();
    let text = refusal(header(7_200), vec![message(0..7_000), second]).await;
    assert_eq!(text, "rows[7123]: coordinate 5 is not a finite number");
}

#[tokio::test]
async fn an_import_that_goes_on_is_numbered_through() {
    let from = |first_row| Import {
        first_row,
        ..header(5)
    };
    let fixture = Fixture::new().await;
    let made = async |first_row, message| {
        let imported = fixture
            .front
            .import(&caller(OPERATOR), from(first_row), rows(vec![message]))
            .await;
        imported.expect("imported");
        let mut state = fixture.node.0.lock();
        assert_eq!(state.last_import.as_ref().expect("kept").first_row, first_row);
        let held = &mut state.tenants.get_mut(&id("acme")).expect("there").rows;
        held.drain(..).map(|row| row.0).collect::<Vec<_>>()
    };
    let whole: Vec<SubjectId> = made(0, message(0..5)).await;
    assert_eq!(made(3, message(3..5)).await, whole[3..]);
    let mut bad = message(0..2);
    bad.data = vec![0; bad.data.len()].into();
    let text = refusal(from(3), vec![bad]).await;
    assert!(text.starts_with("rows[3]: "), "{text}");
    let text = refusal(from(3), vec![message(3..4)]).await;
    assert!(text.contains("announces 5 rows and 4 came"), "{text}");
    let text = refusal(from(3), vec![message(3..6)]).await;
    assert!(text.contains("announces 5 and at least 6 came"), "{text}");
}

#[tokio::test]
async fn the_number_of_rows_must_be_the_announced_one() {
    let text = refusal(header(3), vec![message(0..2)]).await;
    assert!(text.contains("the header announces 3 rows and 2 came"), "{text}");
    let text = refusal(header(3), vec![message(0..2), message(2..4)]).await;
    assert_eq!(text, "rows: the header announces 3 and at least 4 came");
    let text = refusal(header(0), vec![]).await;
    assert!(text.starts_with("rows: is 0"), "{text}");
}

#[tokio::test]
async fn malformed_messages_are_refused() {
    let mut cut = message(0..2);
    cut.data = cut.data.slice(..DIM * 4 + 9);
    let mut ids = message(0..2);
    ids.subject_ids = vec![id("ada")];
    for (message, rows, words) in [
        (cut, 1, "rows.data: is 265 bytes long; whole rows of 256 bytes"),
        (ids, 2, "rows.subject_ids: has 1 entries for 2 rows"),
        (message(0..0), 1, "rows.data: is 0 bytes long"),
    ] {
        let text = refusal(header(rows), vec![message]).await;
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn the_header_is_checked_before_any_row() {
    let check = async |change: fn(&mut Import), words: &str| {
        let mut header = header(1);
        change(&mut header);
        let text = refusal(header, vec![message(0..1)]).await;
        assert!(text.contains(words), "{text}");
    };
    check(|h| h.consent = None, "consent: is required").await;
    check(|h| h.encoder.name = "x".to_owned(), "encoder: is x/1").await;
    check(
        |h| h.quality = 29,
        "quality: 29 is below the tenant's minimum of 30",
    )
    .await;
    check(|h| h.quality = 101, "quality: 101 is not from 0 to 100").await;
    check(|h| h.tenant = Some(id("other")), "another tenant").await;
    check(
        |h| h.first_row = u64::MAX,
        "first_row: is 18446744073709551615; the header announces 1 rows",
    )
    .await;
    check(
        |h| (h.rows, h.first_row) = (u64::MAX, u64::MAX),
        "at least 18446744073709551615 came",
    )
    .await;
}

#[tokio::test]
async fn a_stream_that_breaks_ends_the_import() {
    let fixture = Fixture::new().await;
    let broken = stream::iter(vec![
        Ok(message(0..2)),
        Err(NodeError::Rejected(Rejected::new("rows", "the sender went away"))),
        Ok(message(2..4)),
    ]);
    let result = fixture
        .front
        .import(&caller(OPERATOR), header(4), broken.boxed())
        .await;
    assert!(
        result
            .expect_err("refused")
            .to_string()
            .contains("the sender went away")
    );
    assert_eq!(fixture.node.calls("import"), 0);
}

#[tokio::test]
async fn operators_are_told_how_far_an_import_is() {
    let fixture = Fixture::new().await;
    let ask = |path: &str, named: Option<&str>| {
        let (caller, named) = (caller(path), named.map(id));
        let front = &fixture.front;
        async move { front.import_progress(&caller, named, &id("import")).await }
    };
    let progress = ask(OPERATOR, Some("acme")).await.expect("told");
    assert_eq!(progress.rows_taken, 6, "what the node says");
    let denied = ask("/tenant/acme/enroller/e", None).await;
    assert!(matches!(denied, Err(FrontError::RoleDenied { .. })), "{denied:?}");
    let denied = ask(OPERATOR, Some("other")).await;
    assert!(matches!(denied, Err(FrontError::TenantDenied(_))), "{denied:?}");
}

#[tokio::test]
async fn enrollers_may_not_import() {
    let fixture = Fixture::new().await;
    let result = fixture
        .front
        .import(
            &caller("/tenant/acme/enroller/e"),
            header(1),
            rows(vec![message(0..1)]),
        )
        .await;
    assert!(matches!(result, Err(FrontError::RoleDenied { .. })));
}

#[tokio::test]
async fn an_import_for_a_former_tenant_changes_nothing_and_the_next_goes_to_the_new_one() {
    let fixture = Fixture::new().await;
    let elsewhere = front(&fixture.keyring, &fixture.node);
    elsewhere.warm().await.expect("loaded");
    let root = caller("/admin/root");
    let dropped = fixture.front.drop_tenant(&root, id("d"), id("acme")).await;
    dropped.expect("dropped");
    let created = fixture.front.create_tenant(&root, create("acme")).await;
    created.expect("made anew");
    let operator = caller(OPERATOR);
    let import = || elsewhere.import(&operator, header(3), rows(vec![message(0..3)]));
    let refused = import().await.expect_err("refused");
    assert!(refused.is_stale(), "{refused}");
    assert!(fixture.node.0.lock().tenants[&id("acme")].rows.is_empty());
    assert_eq!(import().await.expect("imported").rows, 3);
    let asked = identify("1", &palm(2));
    let found = fixture.front.identify(&caller(OPERATOR), asked).await;
    assert!(matches!(
        found.expect("answered").decision,
        Decision::Match { .. }
    ));
}
