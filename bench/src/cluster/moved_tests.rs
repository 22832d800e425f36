//! A third of all copies goes to the third node, and nothing moves between the others.

use thenar::model::timestamp::Timestamp;

use super::*;

fn member(id: u128, weight: u32) -> Member {
    Member {
        id: NodeId(id),
        weight,
    }
}

fn segments(count: u32, group_segments: u32) -> Vec<Segment> {
    let gallery = Gallery::of(&"acme".parse().expect("an id"), Timestamp(7));
    let group_segments = NonZeroU32::new(group_segments).expect("not 0");
    let of = |number| Segment {
        gallery,
        number,
        group_segments,
    };
    (1..=count).map(of).collect()
}

#[test]
fn a_third_node_takes_about_a_third_and_nobody_else_takes_anything() {
    let before = [member(11, 256), member(12, 256)];
    let after = [member(11, 256), member(12, 256), member(13, 256)];
    let moved = Moved::of(&segments(2_000, 1), &before, &after, 2).expect("placed");
    assert_eq!(
        (moved.segments, moved.groups, moved.copies, moved.needless),
        (2_000, 2_000, 4_000, 0)
    );
    assert_eq!(moved.owned.get(&NodeId(13)), Some(&moved.moved));
    assert!((moved.share - 1.0 / 3.0).abs() < moved.chance, "{moved:?}");
    assert!((0.01..0.02).contains(&moved.chance), "{moved:?}");
    assert_eq!(moved.fault(), None);
}

#[test]
fn groups_move_as_a_whole_and_leave_more_to_chance() {
    let before = [member(11, 256), member(12, 256)];
    let after = [member(11, 256), member(12, 256), member(13, 256)];
    let moved = Moved::of(&segments(320, 16), &before, &after, 2).expect("placed");
    assert_eq!((moved.groups, moved.moved % 16), (20, 0));
    assert!((0.1..0.2).contains(&moved.chance), "{moved:?}");
}

#[test]
fn what_should_not_be_is_a_fault() {
    let before = [member(11, 256), member(12, 256)];
    let after = [member(11, 256), member(13, 256), member(14, 256)];
    let mut moved = Moved::of(&segments(500, 1), &before, &after, 2).expect("placed");
    assert!(moved.share > 0.4, "one came and one was replaced: {moved:?}");
    assert!(moved.fault().is_some());
    moved.share = moved.fair;
    assert_eq!(moved.fault(), None);
    moved.needless = 1;
    assert!(moved.fault().is_some());
}
