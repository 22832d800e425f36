//! Tests of what a node is told of a catalog and of segments that can't be read.

use std::time::Duration;

use super::*;
use crate::cluster::members::Fenced;
use crate::keys::error::KeyError;
use crate::matcher::fixture::{tenant, transform};
use crate::matcher::parts::ground::Ground;
use crate::matcher::parts::real::Real;
use crate::model::signature::Signature;

fn object(error: impl FnOnce(String, String) -> ObjectError) -> StorageError {
    StorageError::Object(error("file:///store".to_owned(), "some/object.seg".to_owned()))
}

#[test]
fn what_is_away_what_is_damaged_and_who_is_fenced_are_told_apart() {
    let server = || "host:5432/thenar".to_owned();
    let missing = object(|store, object| ObjectError::Missing { store, object });
    let busy = object(|store, object| ObjectError::Unreachable {
        store,
        object,
        problem: "busy".to_owned(),
    });
    let damaged = StorageError::CatalogDamaged {
        server: server(),
        tenant: tenant(),
        fault: "table segment".to_owned(),
    };
    let away = StorageError::Unreachable {
        server: server(),
        problem: "connection refused".to_owned(),
    };
    for (error, names) in [(missing, "some/object.seg"), (damaged, "table segment")] {
        let told = of_tenant(&tenant(), &error);
        assert!(
            matches!(&told, CatalogError::Node(NodeError::TenantUnavailable { tenant: of, reason }) if *of == tenant() && reason.contains(names)),
            "{told}"
        );
    }
    for (error, whose) in [(busy, "objects"), (away, "catalog")] {
        let told = of_tenant(&tenant(), &error);
        assert!(
            matches!(&told, CatalogError::Node(NodeError::NodeUnavailable { node, .. }) if node == whose),
            "{told}"
        );
    }
    let fenced = Fenced {
        node: NodeId(7),
        generation: 3,
    };
    for told in [of_cluster(fenced.into()), of_tenant(&tenant(), &fenced.into())] {
        assert!(matches!(told, CatalogError::Fenced(of) if of == fenced), "{told}");
    }
    let cut = StorageError::FeedCut {
        tenant: tenant(),
        after: 4,
        sequence: 9,
    };
    let told = of_tenant(&tenant(), &cut);
    assert!(matches!(told, CatalogError::FeedCut { after: 4 }), "{told}");
}

#[test]
fn a_segment_is_read_by_its_list_and_one_that_is_missing_is_named() {
    let Some(ground) = Real::new() else { return };
    let signature = crate::matcher::fixture::palm(1);
    for name in ["s1", "s2"] {
        ground.enrol(name, std::slice::from_ref::<Signature>(&signature));
    }
    let segment = ground.warm(2).expect("two rows");
    ground.erase("s1").expect("enrolled");
    let node = NodeId(1);
    let register = ground.register(node);
    let gallery = register.open(&tenant());
    let deadline = Instant::now() + Duration::from_mins(1);
    let told = gallery.segment(segment, deadline).map(drop);
    assert!(
        matches!(told, Err(CatalogError::Node(NodeError::NodeUnavailable { .. }))),
        "the node is not registered"
    );
    let generation = register.register(node, 1).expect("registered");
    assert_eq!(register.galleries().expect("read").len(), 1);
    let (head, copy) = gallery.segment(segment, deadline).expect("read");
    assert_eq!((head.sequence, copy.references), (4, vec![0, 2]));
    let rows = gallery.exact((segment, &transform(7)), &[1, 0]).expect("read");
    let ids: Vec<_> = rows.into_iter().flatten().map(|row| row.id.reference).collect();
    assert_eq!(
        ids,
        [2, 1],
        "the object has who is erased until it is written anew"
    );
    let missing = gallery
        .segment(segment + 1, deadline)
        .map(drop)
        .expect_err("not listed");
    assert!(missing.to_string().contains("is not in its list"), "{missing}");
    // Another node has nothing in its cache.
    for file in ground.object_files() {
        std::fs::remove_file(file).expect("removed");
    }
    let other = ground.register(NodeId(2));
    other.register(NodeId(2), 1).expect("registered");
    other.galleries().expect("read");
    let gallery = other.open(&tenant());
    let missing = gallery
        .segment(segment, deadline)
        .map(drop)
        .expect_err("it is gone");
    assert!(
        matches!(&missing, CatalogError::Node(NodeError::TenantUnavailable { reason, .. }) if reason.contains(".seg is missing")),
        "{missing}"
    );
    let missing = gallery
        .exact((segment, &transform(7)), &[1])
        .map(drop)
        .expect_err("it is gone");
    assert!(missing.to_string().contains(".seg is missing"), "{missing}");
    // Who is fenced is told by each transaction.
    assert!(ground.fence_now(node));
    let told = register.beat(node, generation).map(drop);
    assert!(matches!(told, Err(CatalogError::Fenced(_))));
}

#[test]
fn keys_that_are_out_of_reach_are_no_damage() {
    let acme: TenantId = "acme".parse().expect("valid");
    let away = KeyError::Store {
        path: "keyrings/match".into(),
        passing: true,
        problem: "no answer came".to_owned(),
    };
    let told = of_tenant(&acme, &StorageError::Keys(away));
    assert!(
        matches!(told, CatalogError::Node(NodeError::NodeUnavailable { .. })),
        "{told}"
    );
    // Another node may have been told the key that this one was not.
    let path = "keyrings/match".into();
    let told = of_tenant(&acme, &StorageError::Keys(KeyError::WrongKek { path }));
    assert!(
        matches!(
            told,
            CatalogError::PassedOver(NodeError::TenantUnavailable { .. })
        ),
        "{told}"
    );
    let outdated = StorageError::Outdated {
        tenant: acme.clone(),
        journal: "journal".into(),
        problem: "it has later ones".to_owned(),
    };
    let told = of_tenant(&acme, &outdated);
    assert!(
        matches!(told, CatalogError::Node(NodeError::TenantUnavailable { .. })),
        "{told}"
    );
}
