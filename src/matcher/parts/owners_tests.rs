//! Tests of what a node is to have.

use super::*;
use crate::cluster::members::Life;
use crate::model::id::TenantId;
use crate::model::timestamp::Timestamp;

const GROUP: NonZeroU32 = NonZeroU32::new(2).expect("not 0");

fn gallery() -> Gallery {
    let tenant: TenantId = "acme".parse().expect("an id");
    Gallery::of(&tenant, Timestamp(1))
}

/// Segments 1 and 2 live, 3 retired by 4, 5 warming.
fn view() -> View {
    let mut view = View::default();
    for number in 1..=5 {
        view.warm(number).expect("a new number");
    }
    for (number, retired) in [(1, None), (2, None), (3, None), (4, Some(3))] {
        let retired = retired.into_iter().collect();
        view.go_live(number, &retired).expect("it is warming");
    }
    view
}

#[test]
fn a_node_is_to_have_what_counts_or_soon_will() {
    let mut members = Members::default();
    let me = NodeId(1);
    let generation = members.register(me, 1);
    let pieces = |members: &Members| Owners::new(me, 2, members).pieces(gallery(), GROUP, &view());
    let all: BTreeSet<Piece> = [1, 2, 4, 5]
        .map(Piece::Segment)
        .into_iter()
        .chain([Piece::Fresh])
        .collect();
    for life in [Life::Joining, Life::Serving, Life::Draining] {
        members.advance(me, generation, life).expect("it is current");
        assert_eq!(pieces(&members), all, "{life:?}");
    }
    members
        .advance(me, generation, Life::Gone)
        .expect("it is current");
    assert_eq!(pieces(&members), BTreeSet::new());
}

/// Three nodes that serve.
fn three() -> Members {
    let mut members = Members::default();
    for node in 1..=3 {
        let generation = members.register(NodeId(node), 1);
        members
            .advance(NodeId(node), generation, Life::Serving)
            .expect("it is current");
    }
    members
}

#[test]
fn whoever_drains_has_heirs_for_what_it_owns_and_for_nothing_else() {
    let mut members = three();
    members
        .advance(NodeId(1), 1, Life::Draining)
        .expect("it is current");
    let owners = Owners::new(NodeId(1), 1, &members);
    let parts = (0..40).map(Part::Group).chain([Part::Fresh]);
    let (mine, others): (Vec<Part>, Vec<Part>) = parts.partition(|part| owners.has(gallery(), *part));
    assert!(mine.len() > 4 && others.len() > 4);
    for part in mine {
        let heirs = owners.heirs(gallery(), part).expect("it owns it");
        assert_eq!(heirs.len(), 1);
        assert_ne!(heirs[0], NodeId(1));
    }
    assert!(others.iter().all(|part| owners.heirs(gallery(), *part).is_none()));
}

#[test]
fn of_a_part_whose_first_owner_drains_the_next_one_is_first_as_well() {
    let mut members = three();
    let parts = (0..40).map(Part::Group).chain([Part::Fresh]);
    let firsts = |members: &Members, part: Part| -> Vec<u128> {
        let is_first = |node: &u128| Owners::new(NodeId(*node), 2, members).is_first(gallery(), part);
        (1..=3).filter(is_first).collect()
    };
    let before: Vec<(Part, Vec<u128>)> = parts.map(|part| (part, firsts(&members, part))).collect();
    assert!(before.iter().all(|(_, first)| first.len() == 1));
    members
        .advance(NodeId(1), 1, Life::Draining)
        .expect("it is current");
    for (part, first) in before {
        let now = firsts(&members, part);
        if first == [1] {
            assert!(now.len() == 2 && now[0] == 1, "{part:?}: {now:?}");
        } else {
            assert_eq!(now, first, "{part:?}");
        }
    }
}
