//! Heads of many tenants in one reading, and what of them is noticed when it was changed.

use std::collections::BTreeMap;

use super::nodes::{Nodes, object};
use super::*;
use crate::storage::catalog::seam::WriteCatalog;

#[test]
fn heads_of_many_tenants_are_read_at_once_and_what_was_changed_is_told_of_one_alone() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    one.enroll("s1");
    let database = connect(&nodes.kept.address);
    let dir = TempDir::new().expect("a temporary directory");
    create(&database, dir.path(), &spec("other"), &keys()).expect("made");
    let asked = ["acme", "other", "nobody"].map(|name| (id(name), keys().secret));
    let read = || one.cluster.heads(&BTreeMap::from(asked.clone())).expect("read");
    assert_eq!(read().len(), 1, "one is in the making, and one unknown");
    // Each opening is a change, of which the one that is made anew has fewer.
    for _ in 0..3 {
        super::super::open(&database, dir.path(), &id("other"), &keys(), signer()).expect("made");
    }
    let mut heads = read();
    let mut head = |name: &str| {
        *heads
            .remove(&id(name))
            .expect("there")
            .expect("read")
            .reading
            .head()
    };
    let (acme, other) = (head("acme"), head("other"));
    assert_eq!((acme.sequence, acme.edition.incarnation), (1, 1));
    assert_eq!((other.sequence, other.edition.incarnation), (0, 2));
    for change in [
        "list = 1",
        "group_segments = 8",
        "key_generation = 2",
        "sequence = 0",
    ] {
        let former = nodes
            .kept
            .sql("SELECT list, group_segments, key_generation, sequence FROM tenant WHERE name = 'acme'");
        nodes
            .kept
            .sql(&format!("UPDATE tenant SET {change} WHERE name = 'acme'"));
        let mut heads = read();
        let refused = heads.remove(&id("acme")).expect("told").expect_err(change);
        assert!(
            matches!(refused, StorageError::CatalogDamaged { .. }),
            "{refused}"
        );
        assert!(heads.remove(&id("other")).expect("told").is_ok());
        let [list, group, generation, sequence] = former.split('|').collect::<Vec<_>>()[..] else {
            panic!("four columns")
        };
        nodes.kept.sql(&format!(
            "UPDATE tenant SET list = {list}, group_segments = {group}, key_generation = {generation}, sequence = {sequence} WHERE name = 'acme'"
        ));
    }
    // A tenant that is made anew is a later one, of fewer changes.
    nodes.kept.sql("DELETE FROM tenant WHERE name = 'other'");
    let dir = TempDir::new().expect("a temporary directory");
    create(&database, dir.path(), &spec("other"), &keys()).expect("made");
    super::super::open(&database, dir.path(), &id("other"), &keys(), signer()).expect("made");
    let anew = read().remove(&id("other")).expect("there").expect("read");
    assert!(anew.reading.head().edition > other.edition);
}

#[test]
fn a_front_reads_the_list_again_where_it_moved_and_nothing_but_heads_where_not() {
    let Some(nodes) = Nodes::new() else { return };
    let one = nodes.node(1);
    let asked = BTreeMap::from([(id("acme"), keys().secret)]);
    let views = || {
        one.cluster
            .views(&asked)
            .expect("read")
            .remove(&id("acme"))
            .expect("there")
    };
    let as_all_read = || {
        let view = views().expect("read");
        let all = one.cluster.heads(&asked).expect("read").remove(&id("acme"));
        let reading = all.expect("there").expect("read").reading;
        assert_eq!(view.head, *reading.head());
        assert_eq!(view.view.parts(&view.head), reading.view().parts(reading.head()));
        view
    };
    let empty = as_all_read();
    one.enroll("s1");
    let enrolled = as_all_read();
    assert!(Arc::ptr_eq(&empty.view, &enrolled.view), "no list moved");
    assert_eq!(enrolled.head.sequence, empty.head.sequence + 1);
    let written = object(1).written();
    let flushed = one
        .catalog
        .writer
        .lock()
        .flush(&written, &one.fresh(), &mut |_| Ok(()));
    let number = flushed.expect("nobody follows").entry.number;
    let moved = as_all_read();
    assert_eq!(moved.head.list, empty.head.list + 1);
    assert!(!Arc::ptr_eq(&empty.view, &moved.view) && moved.view.segments().contains_key(&number));
    // What can't be read is told where it has to be read, and not taken from before.
    nodes.kept.sql("UPDATE segment SET rows = rows + 1");
    assert!(Arc::ptr_eq(&views().expect("no list moved").view, &moved.view));
    let other = nodes.node(2).cluster;
    let refused = other
        .views(&asked)
        .expect("read")
        .remove(&id("acme"))
        .expect("there");
    assert!(
        matches!(refused, Err(StorageError::CatalogDamaged { .. })),
        "{refused:?}"
    );
}
