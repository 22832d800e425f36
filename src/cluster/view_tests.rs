//! Tests of views: which segments count when.

use super::*;

fn group(segments: u32) -> NonZeroU32 {
    NonZeroU32::new(segments).expect("not 0")
}

fn head(list: u64, segments: u32) -> Head {
    Head {
        edition: Edition {
            incarnation: 1,
            key_generation: 1,
        },
        sequence: 7,
        list,
        group_segments: group(segments),
    }
}

/// Segments 1 and 2 live from versions 1 and 2, merged into 3 at version 3; 4 is warming.
fn merged() -> View {
    let mut view = View::default();
    for (number, retired) in [(1, vec![]), (2, vec![]), (3, vec![1, 2])] {
        view.warm(number).expect("a new number");
        view.go_live(number, &retired.into_iter().collect())
            .expect("it is warming");
    }
    view.warm(4).expect("a new number");
    view
}

fn holding(view: &View, list: u64) -> Vec<u32> {
    view.holding(list).collect()
}

#[test]
fn each_version_has_its_own_segments() {
    let view = merged();
    assert_eq!(view.list(), 3);
    assert!(holding(&view, 0).is_empty());
    assert_eq!(holding(&view, 1), [1]);
    assert_eq!(holding(&view, 2), [1, 2]);
    assert_eq!(holding(&view, 3), [3]);
}

#[test]
fn a_view_has_the_fresh_part_and_the_groups_of_its_segments() {
    let view = merged();
    let parts = |list, segments| {
        let parts = view.parts(&head(list, segments)).expect("it has it");
        parts.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(parts(0, 2), [Part::Fresh]);
    assert_eq!(parts(2, 2), [Part::Fresh, Part::Group(0)]);
    assert_eq!(parts(2, 1), [Part::Fresh, Part::Group(0), Part::Group(1)]);
    assert_eq!(parts(3, 2), [Part::Fresh, Part::Group(1)]);
}

#[test]
fn what_is_forgotten_is_in_no_later_view() {
    let mut view = merged();
    view.forget(2);
    assert_eq!(holding(&view, 2), [1, 2]);
    view.forget(3);
    assert_eq!(view.segments().keys().copied().collect::<Vec<_>>(), [3, 4]);
    assert_eq!(holding(&view, 3), [3]);
}

#[test]
fn a_segment_counts_once_it_is_live() {
    let segments = merged().segments().clone();
    let live_from = |number| {
        segments
            .get(&number)
            .and_then(|segment: &Segment| segment.live_from())
    };
    assert_eq!(live_from(1), Some(1));
    assert_eq!(live_from(3), Some(3));
    assert_eq!(live_from(4), None);
}

#[test]
fn a_list_changes_as_it_may_or_not_at_all() {
    let before = merged();
    let mut view = before.clone();
    assert_eq!(view.warm(2), Err(ListError::Listed(2)));
    assert_eq!(view.go_live(3, &BTreeSet::new()), Err(ListError::NotWarming(3)));
    assert_eq!(view.go_live(5, &BTreeSet::new()), Err(ListError::NotWarming(5)));
    let refused = view.go_live(4, &[3, 1].into()).expect_err("1 is retired already");
    assert_eq!(
        refused.to_string(),
        "segment 1 is not live: only one that is can be retired"
    );
    assert_eq!(view, before);
}

#[test]
fn a_view_knows_which_versions_it_has() {
    let mut view = merged();
    view.forget(2);
    assert_eq!((view.since(), view.list()), (2, 3));
    view.forget(1);
    assert_eq!(view.since(), 2, "what is forgotten stays so");
    for (list, is_there) in [(1, false), (2, true), (3, true), (4, false)] {
        assert_eq!(view.parts(&head(list, 1)).is_ok(), is_there, "{list}");
    }
    view.forget(9);
    assert_eq!(view.since(), 3, "it has its last one");
}

#[test]
fn a_head_and_a_view_of_two_readings_are_refused() {
    for (list, is_one) in [(2, false), (3, true), (4, false)] {
        assert_eq!(Reading::new(head(list, 1), merged()).is_ok(), is_one, "{list}");
    }
}
