//! What chance picks.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

#[test]
fn nodes_that_may_be_hit_are_hit_in_every_way_and_no_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let blows: Vec<Blow> = (0..500)
        .filter_map(|_| of_nodes(&[0, 2], true, &mut rng))
        .collect();
    assert_eq!(blows.len(), 500);
    let mut hit = BTreeSet::new();
    for blow in &blows {
        let Part::Node(node) = blow.fault.part() else {
            panic!("{:?} happens to no node", blow.fault);
        };
        hit.insert((blow.fault.name(), node));
    }
    let every = [
        "node killed",
        "node paused",
        "node drained",
        "node cut off",
        "node unreachable",
        "node without database",
        "node slow",
        "node's clock wrong",
    ];
    let every: BTreeSet<_> = every.iter().flat_map(|name| [(*name, 0), (*name, 2)]).collect();
    assert_eq!(hit, every);
    let is_fenced = |blow: &&Blow| blow.hold >= Duration::from_millis(FENCED_MS);
    let fenced = blows.iter().filter(is_fenced).count();
    assert!(
        (50..300).contains(&fenced),
        "{fenced} of 500 last until the node is fenced"
    );
    assert!(blows.iter().any(|blow| blow.again.is_some()));
}

#[test]
fn nothing_happens_where_no_node_may_be_hit() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert_eq!(of_nodes(&[], true, &mut rng), None);
}

#[test]
fn everything_else_is_hit_too_and_a_store_that_is_no_server_is_not() {
    for (is_store_server, kinds) in [(true, 13), (false, 8)] {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut fronts = BTreeSet::new();
        let (mut names, mut tenants) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..300 {
            let blow = of_others(2, 2, is_store_server, &mut rng);
            if let Fault::FrontKilled(front) = blow.fault {
                fronts.insert(front);
            }
            if let Fault::DataKeyRotated(tenant) = blow.fault {
                tenants.insert(tenant);
            }
            names.insert(blow.fault.name());
        }
        assert_eq!(
            (fronts, tenants),
            (BTreeSet::from([0, 1]), BTreeSet::from([0, 1]))
        );
        assert_eq!(names.len(), kinds, "{names:?}");
        assert_eq!(names.contains("store paused"), is_store_server);
    }
}

#[test]
fn a_seed_gives_the_same_again() {
    let drawn = |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let blows: Vec<_> = (0..20).map(|_| of_nodes(&[0, 1, 2], false, &mut rng)).collect();
        blows
    };
    assert_eq!(drawn(5), drawn(5));
    assert_ne!(drawn(5), drawn(6));
}
