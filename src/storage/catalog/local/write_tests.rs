//! Tests of what the writer of a catalog in a file meets alone: a disk that is full.

use super::*;
use crate::storage::catalog::pending::PendingSeal;
use crate::storage::store::CATALOG_FILE;
use crate::storage::testing::{House, enroll, id, key, signer, spec};

#[test]
fn a_full_disk_refuses_the_group_and_the_next_one_is_done() {
    let house = House::new();
    house.enroll("s1", 1);
    let tenant = Tenant {
        spec: spec("acme"),
        signer: signer(),
        seal: PendingSeal::new(&id("acme"), &key(1)),
    };
    let (path, seal) = (house.path().join(CATALOG_FILE), PageSeal::new(&key(1)));
    let mut catalog = LocalWriter::new(house.writer(), path, Arc::new(seal), Arc::new(tenant));
    let limit_pages = |catalog: &LocalWriter, pages: u32| {
        let conn = catalog.writer.connection();
        let count = conn.pragma_query_value(None, "page_count", |row| row.get::<_, u32>(0));
        let max = count.expect("counted").saturating_add(pages);
        conn.execute_batch(&format!("PRAGMA max_page_count = {max}"))
            .expect("limited");
    };
    let many = |request: &str| {
        (0..200)
            .map(|n| Write::Enroll(enroll(&format!("{request}-{n}"), &format!("{request}-{n}"), &[n])))
            .collect::<Vec<_>>()
    };
    let trace = |_, _| -> Result<_, StorageError> { panic!("nobody is erased") };
    let now = Timestamp::now();
    limit_pages(&catalog, 2);
    let full = catalog.commit(many("a"), now, &trace).expect_err("full");
    assert!(matches!(full, StorageError::Full(_)), "{full}");
    assert_eq!(catalog.state().subjects, 1);
    limit_pages(&catalog, 1_000_000);
    let answers = catalog.commit(many("b"), now, &trace).expect("room again");
    assert!(answers.iter().all(Result::is_ok));
    let stats = house.crash().store.stats().expect("figures");
    assert_eq!((stats.subjects, stats.sequence), (201, 201));
}
