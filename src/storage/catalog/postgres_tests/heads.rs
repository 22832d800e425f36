//! Heads of many tenants in one reading, and what of them is noticed when it was changed.

use std::collections::BTreeMap;

use super::nodes::Nodes;
use super::*;

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
