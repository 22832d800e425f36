//! Tests of the placement: known owners, fair shares, and that nothing moves but what must.

use proptest::prelude::*;

use super::*;

fn gallery(name: &str) -> Gallery {
    let tenant = name.parse().expect("a tenant's id");
    Gallery::of(&tenant, Timestamp(1_764_000_000_000_000))
}

/// Nodes 1, 2, 3 and so on, of these weights.
fn members(weights: &[u32]) -> Vec<Member> {
    let ids = (1..).map(NodeId);
    ids.zip(weights)
        .map(|(id, weight)| Member { id, weight: *weight })
        .collect()
}

#[track_caller]
fn placement(weights: &[u32]) -> Placement {
    Placement::new(members(weights)).expect("somebody may own something")
}

fn groups(count: u32) -> impl Iterator<Item = Part> {
    (0..count).map(Part::Group)
}

/// How many of so many groups each node comes to own.
fn shares(placement: &Placement, groups_count: u32, nodes: usize) -> Vec<f64> {
    let mut shares = vec![0.0; nodes];
    for part in groups(groups_count) {
        let owner = placement.owners(gallery("acme"), part, 1)[0];
        shares[usize::try_from(owner.0).expect("a small number") - 1] += 1.0;
    }
    shares
}

/// Fails where a node's count is off by more than four standard deviations of so many fair draws.
#[track_caller]
fn assert_fair(weights: &[u32], groups_count: u32) {
    let all = f64::from(weights.iter().sum::<u32>());
    let shares = shares(&placement(weights), groups_count, weights.len());
    for (share, weight) in shares.into_iter().zip(weights) {
        let fair = f64::from(*weight) / all;
        let mean = fair * f64::from(groups_count);
        let deviation = (mean * (1.0 - fair)).sqrt();
        let off = (share - mean) / deviation;
        assert!(
            off.abs() < 4.0,
            "{share} of {groups_count}, where {mean} are fair: {off} deviations"
        );
    }
}

#[test]
fn owners_are_those_that_every_other_node_finds() {
    let first = 0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF;
    let members = [(first, 64), (2, 128), (3, 64), (u128::MAX, 32)].map(|(id, weight)| Member {
        id: NodeId(id),
        weight,
    });
    let placement = Placement::new(members.to_vec()).expect("four nodes");
    let known: [(Part, &[u128]); 3] = [
        (Part::Fresh, &[first, 2, 3]),
        (Part::Group(0), &[first, 2, 3]),
        (Part::Group(4_000_000_000), &[3, 2, first]),
    ];
    for (part, owners) in known {
        let found: Vec<u128> = placement
            .owners(gallery("acme"), part, 3)
            .into_iter()
            .map(|owner| owner.0)
            .collect();
        assert_eq!(found, owners, "{part:?}");
    }
}

#[test]
fn the_order_of_the_members_means_nothing() {
    let mut reversed = members(&[3, 1, 4, 1, 5, 9]);
    reversed.reverse();
    assert_eq!(
        Placement::new(reversed),
        Placement::new(members(&[3, 1, 4, 1, 5, 9]))
    );
}

#[test]
fn three_equal_nodes_have_a_third_each() {
    assert_fair(&[64, 64, 64], 30_000);
}

#[test]
fn shares_follow_weights() {
    assert_fair(&[1_000, 2_000, 4_000], 30_000);
}

#[test]
fn a_second_owner_is_as_fair_as_the_first() {
    let placement = placement(&[64, 64, 64]);
    let mut second = [0.0; 3];
    for part in groups(30_000) {
        let owner = placement.owners(gallery("acme"), part, 2)[1];
        second[usize::try_from(owner.0).expect("a small number") - 1] += 1.0;
    }
    let deviation = (30_000.0_f64 * 2.0 / 9.0).sqrt();
    for share in second {
        let off: f64 = (share - 10_000.0) / deviation;
        assert!(off.abs() < 4.0, "{share} of 30,000");
    }
}

#[test]
fn a_thousand_nodes_spread_as_chance_does() {
    let mean = 100.0;
    let shares = shares(&placement(&[64; 1_000]), 100_000, 1_000);
    let squares: f64 = shares.iter().map(|share| (share - mean) * (share - mean)).sum();
    let deviation = (squares / 1_000.0).sqrt() / mean;
    // Of n draws a node, 1/√n.
    assert!((0.09..0.11).contains(&deviation), "{deviation}");
}

#[test]
fn a_node_without_weight_owns_nothing() {
    let placement = placement(&[5, 0, 5]);
    for part in groups(100) {
        assert!(!placement.owners(gallery("acme"), part, 3).contains(&NodeId(2)));
    }
    assert_eq!(Placement::new(members(&[0, 0])), Err(PlacementError::Nobody));
    assert_eq!(Placement::new(Vec::new()), Err(PlacementError::Nobody));
}

#[test]
fn all_own_a_part_where_they_are_fewer_than_replicas() {
    let mut owners = placement(&[1, 2]).owners(gallery("acme"), Part::Fresh, 3);
    owners.sort();
    assert_eq!(owners, [NodeId(1), NodeId(2)]);
}

#[test]
fn no_more_owners_than_the_limit() {
    let owners = placement(&[1; 20]).owners(gallery("acme"), Part::Fresh, 20);
    assert_eq!(owners.len(), REPLICAS_MAX);
}

#[test]
fn parts_and_galleries_are_placed_apart() {
    let placement = placement(&[64; 100]);
    let owners = |gallery, part| placement.owners(gallery, part, 4);
    let acme = owners(gallery("acme"), Part::Group(0));
    assert_eq!(acme, owners(gallery("acme"), Part::Fresh), "one call for both");
    assert_ne!(acme, owners(gallery("acme"), Part::Group(1)));
    assert_ne!(acme, owners(gallery("acne"), Part::Group(0)));
    let anew = Gallery::of(
        &"acme".parse().expect("a tenant's id"),
        Timestamp(1_764_000_000_000_001),
    );
    assert_ne!(acme, owners(anew, Part::Group(0)));
}

#[test]
fn segments_are_grouped_by_their_numbers() {
    let sixteen = NonZeroU32::new(16).expect("not 0");
    for (number, group) in [(1, 0), (16, 0), (17, 1), (u32::MAX, 268_435_455)] {
        assert_eq!(Part::of_segment(number, sixteen), Part::Group(group), "{number}");
    }
    assert_eq!(Part::of_segment(5, NonZeroU32::MIN), Part::Group(4));
}

#[test]
fn too_many_nodes_are_refused() {
    assert!(Placement::new(members(&vec![1; NODES_MAX])).is_ok());
    let refused = Placement::new(members(&vec![1; NODES_MAX + 1])).expect_err("one too many");
    assert_eq!(refused, PlacementError::TooMany { nodes: 4_097 });
    assert_eq!(
        refused.to_string(),
        "4097 nodes are too many: a placement has at most 4096"
    );
}

#[test]
fn a_node_that_is_there_twice_is_named() {
    let mut twice = members(&[1, 2, 3]);
    twice.push(Member {
        id: NodeId(2),
        weight: 0,
    });
    let refused = Placement::new(twice).expect_err("it is there twice");
    assert_eq!(refused, PlacementError::Twice(NodeId(2)));
    assert!(refused.to_string().contains("00000000000000000000000000000002"));
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(1_u32..=1_000, 1..=40)
}

proptest! {
    #[test]
    fn owners_differ_and_one_more_changes_none(weights in weights(), group in any::<u32>(), replicas in 1..REPLICAS_MAX) {
        let placement = placement(&weights);
        let owners = |replicas| placement.owners(gallery("acme"), Part::Group(group), replicas);
        let (some, more) = (owners(replicas), owners(replicas + 1));
        prop_assert_eq!(&some[..], &more[..some.len()]);
        prop_assert_eq!(some.len(), replicas.min(weights.len()));
        for (at, owner) in more.iter().enumerate() {
            prop_assert!(!more[at + 1..].contains(owner));
        }
    }

    #[test]
    fn who_comes_takes_for_itself_and_who_goes_leaves_its_own(
        weights in weights(),
        weight in 1_u32..=1_000,
        replicas in 1..=4_usize,
    ) {
        let mut with = weights.clone();
        with.push(weight);
        let newcomer = NodeId(with.len() as u128);
        let (without, with) = (placement(&weights), placement(&with));
        for part in groups(50) {
            let before = without.owners(gallery("acme"), part, replicas);
            let after = with.owners(gallery("acme"), part, replicas);
            // Without the newcomer, the owners that are left are the first of before, in their order.
            let stayed: Vec<NodeId> = after.iter().copied().filter(|owner| *owner != newcomer).collect();
            prop_assert_eq!(&stayed[..], &before[..stayed.len()]);
            let came = with.gained(&without, gallery("acme"), part, replicas);
            prop_assert_eq!(came.is_empty(), !after.contains(&newcomer));
            prop_assert!(came.iter().all(|owner| *owner == newcomer));
            // The same backwards: as many load as the one that goes leaves without.
            let took_over = without.gained(&with, gallery("acme"), part, replicas);
            let replaced = after.contains(&newcomer) && weights.len() >= replicas;
            prop_assert_eq!(took_over.len(), usize::from(replaced));
        }
    }

    #[test]
    fn more_weight_takes_from_others_and_gives_them_nothing(
        weights in weights(),
        chosen in any::<prop::sample::Index>(),
        more in 1_u32..=1_000,
        replicas in 1..=4_usize,
    ) {
        let chosen = chosen.index(weights.len());
        let mut raised = weights.clone();
        raised[chosen] += more;
        let id = NodeId(chosen as u128 + 1);
        let (before, after) = (placement(&weights), placement(&raised));
        for part in groups(50) {
            let gained = after.gained(&before, gallery("acme"), part, replicas);
            prop_assert!(gained.iter().all(|owner| *owner == id));
            // Whoever had it has it still.
            if before.owners(gallery("acme"), part, replicas).contains(&id) {
                prop_assert!(after.owners(gallery("acme"), part, replicas).contains(&id));
            }
        }
    }
}
