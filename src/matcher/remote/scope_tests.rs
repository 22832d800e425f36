//! Tests of scopes and refusals as they travel: they come as they went, and what does not fit is refused by name.

use proptest::prelude::*;

use super::*;

fn scope(parts: impl IntoIterator<Item = Part>) -> Scope {
    Scope {
        edition: Edition {
            incarnation: u64::MAX,
            key_generation: 7,
        },
        at_least: 1 << 40,
        list: 12,
        group_segments: NonZeroU32::new(16).expect("not 0"),
        parts: parts.into_iter().collect(),
    }
}

fn some() -> Scope {
    scope([Part::Fresh, Part::Group(0), Part::Group(u32::MAX)])
}

#[track_caller]
fn refused(change: impl Fn(&mut pb::Scope), field: &str, problem: &str) {
    let mut message = to_proto(&some());
    change(&mut message);
    let refusal = from_proto(Some(message)).expect_err("it does not fit");
    assert_eq!(refusal.field, field);
    assert!(refusal.problem.contains(problem), "{refusal}");
}

#[test]
fn a_scope_comes_as_it_went() {
    let all = scope((0..65_536).map(Part::Group).chain([Part::Fresh]));
    for sent in [some(), all, scope([Part::Fresh]), scope([Part::Group(3)])] {
        assert_eq!(from_proto(Some(to_proto(&sent))).expect("sound"), sent);
    }
}

#[test]
fn a_scope_that_does_not_fit_is_refused_by_field() {
    let missing = from_proto(None).expect_err("none");
    assert_eq!(missing.field, "scope");
    refused(|scope| scope.edition = None, "scope.edition", "missing");
    refused(|scope| scope.group_segments = 0, "scope.group_segments", "is 0");
    refused(|scope| scope.groups.push(0), "scope.groups", "has 0 twice");
    let empty = |scope: &mut pb::Scope| {
        scope.fresh = false;
        scope.groups.clear();
    };
    refused(empty, "scope.groups", "at least one part");
    let many = |scope: &mut pb::Scope| scope.groups = (0..65_537).collect();
    refused(many, "scope.groups", "has 65537 entries; at most 65536");
}

#[test]
fn a_refusal_that_names_nothing_that_was_asked_for_is_none() {
    let asked = scope([Part::Fresh, Part::Group(2), Part::Group(9)]);
    let named = |text: &str| parts_from_text(text, &asked);
    assert_eq!(named("fresh,0-4"), Some([Part::Fresh, Part::Group(2)].into()));
    assert_eq!(named("9-4294967295"), Some([Part::Group(9)].into()));
    assert_eq!(named("all"), Some(asked.parts.clone()));
    for text in [
        "",
        "3-8",
        "7",
        "2,2",
        "9,2",
        "4-2",
        "2,fresh",
        "2-",
        "-",
        "x",
        "2,",
        "fresh,fresh",
        "4294967295,0-9",
        "2,all",
    ] {
        assert_eq!(named(text), None, "{text:?}");
    }
}

#[test]
fn a_refusal_stays_short_and_names_the_first_parts() {
    let asked = scope((0..65_536).map(Part::Group));
    let every_other: BTreeSet<Part> = (0..65_536).step_by(2).map(Part::Group).collect();
    let text = parts_text(&every_other, &asked);
    assert!(
        text.len() <= PARTS_TEXT_MAX && text.len() > PARTS_TEXT_MAX - 8,
        "{}",
        text.len()
    );
    let named = parts_from_text(&text, &asked).expect("some");
    assert!(
        named.is_subset(&every_other) && named.len() > 400,
        "{}",
        named.len()
    );
    assert_eq!(parts_text(&asked.parts, &asked), "all");
    let in_a_row: BTreeSet<Part> = (1..65_536).map(Part::Group).collect();
    assert_eq!(parts_text(&in_a_row, &asked), "1-65535");
}

proptest! {
    #[test]
    fn the_parts_of_a_refusal_come_as_they_went(
        fresh in any::<bool>(),
        groups in prop::collection::btree_set(0..40_u32, 1..30),
        behind in prop::collection::vec(any::<bool>(), 40),
    ) {
        let fresh = fresh.then_some(Part::Fresh);
        let asked = scope(groups.into_iter().map(Part::Group).chain(fresh));
        let is_behind = |part: &&Part| matches!(part, Part::Group(number) if behind[*number as usize]) || **part == Part::Fresh;
        let parts: BTreeSet<Part> = asked.parts.iter().filter(is_behind).copied().collect();
        prop_assume!(!parts.is_empty());
        prop_assert_eq!(parts_from_text(&parts_text(&parts, &asked), &asked), Some(parts));
    }
}
