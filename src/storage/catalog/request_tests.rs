//! Tests of how long answers are kept.

use super::*;
use crate::storage::catalog::local::tables::LocalTables;
use crate::storage::catalog::pending::PendingSeal;
use crate::storage::testing::id as name;
use crate::storage::testing::{House, key};
use crate::storage::write::Durability;

#[test]
fn outdated_answers_are_pruned_and_others_stay() {
    let house = House::new();
    let now = Timestamp::now();
    let day = i64::try_from(REQUEST_KEPT.as_micros()).expect("fits");
    let mut writer = house.writer();
    let seal = PendingSeal::new(&name("acme"), &key(1));
    let kept = writer.transact(Durability::Power, |conn, _| {
        let tables = &mut LocalTables::new(conn, &seal);
        for (id, at) in [("old", now.0 - day - 1), ("edge", now.0 - day), ("new", now.0)] {
            let id: RequestId = id.parse().expect("valid");
            insert(tables, (&id, Method::Import, &[1; 32]), &7, None, Timestamp(at))?;
        }
        prune(tables, now)?;
        ["old", "edge", "new"]
            .map(|id| find::<u64>(tables, (&name(id), Method::Import, &[1; 32])))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(kept.expect("committed"), [None, Some(7), Some(7)]);
}

#[test]
fn an_id_is_bound_to_method_and_digest() {
    let house = House::new();
    let id: RequestId = "r".parse().expect("valid");
    let mut writer = house.writer();
    let seal = PendingSeal::new(&name("acme"), &key(1));
    writer
        .transact(Durability::Power, |conn, _| {
            let tables = &mut LocalTables::new(conn, &seal);
            insert(tables, (&id, Method::Enroll, &[1; 32]), &7, None, Timestamp(1))?;
            let reused = |method, digest| {
                matches!(
                    find::<u64>(tables, (&id, method, digest)),
                    Err(StorageError::Write(WriteError::RequestIdReused))
                )
            };
            assert!(reused(Method::Erase, &[1; 32]));
            assert!(reused(Method::Enroll, &[2; 32]));
            assert!(!reused(Method::Enroll, &[1; 32]));
            Ok(())
        })
        .expect("committed");
}

#[test]
fn an_answer_that_can_t_be_read_is_an_error_of_that_request_and_no_damage() {
    let kept = StoredRequest {
        method: Method::Enroll,
        digest: vec![1; 32],
        answer: Some(r#"{"subject_id":"ada"}"#.to_owned()),
        subject: Some(1),
        at: Timestamp(1),
    };
    let error = answer::<u64>(Some(kept), Method::Enroll, Some(&[1; 32])).expect_err("no number");
    assert!(matches!(error, StorageError::StoredAnswer(_)), "{error}");
    assert!(!error.to_string().contains("ada"), "{error}");
}
