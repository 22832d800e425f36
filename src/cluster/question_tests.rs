//! Tests of questions: which answers and refusals count.

use super::*;

const GROUP: NonZeroU32 = NonZeroU32::MIN;

fn view(segments: u32) -> View {
    let mut view = View::default();
    for number in 1..=segments {
        view.warm(number).expect("a new number");
        view.go_live(number, &BTreeSet::new()).expect("it is warming");
    }
    view
}

fn head(view: &View, sequence: u64) -> Head {
    Head {
        edition: Edition {
            incarnation: 1,
            key_generation: 1,
        },
        sequence,
        list: view.list(),
        group_segments: GROUP,
    }
}

fn question(segments: u32) -> Question {
    let view = view(segments);
    Question::new(head(&view, 7), &view).expect("of one reading")
}

#[test]
fn it_needs_every_part_of_its_view_once() {
    let mut question = question(2);
    assert_eq!(question.missing().len(), 3);
    for part in [Part::Group(1), Part::Fresh, Part::Fresh] {
        assert!(question.answered(&question.scope([part])));
    }
    assert_eq!(question.missing(), &[Part::Group(0)].into());
    assert!(question.answered(&question.scope([Part::Group(0)])));
    assert!(question.missing().is_empty());
}

#[test]
fn a_view_that_is_newer_than_the_head_is_read_as_of_the_head() {
    let newer = view(3);
    let question = Question::new(head(&view(1), 7), &newer).expect("no older");
    assert_eq!(question.missing(), &[Part::Fresh, Part::Group(0)].into());
}

#[test]
fn a_node_is_asked_for_some_parts_as_of_the_head() {
    let question = question(1);
    let scope = question.scope([Part::Group(0)]);
    assert_eq!((scope.at_least, scope.list), (7, 1));
    assert_eq!(scope.parts, [Part::Group(0)].into());
    assert_eq!(question.whole().parts, [Part::Fresh, Part::Group(0)].into());
}

#[test]
fn answers_to_an_earlier_reading_do_not_count() {
    let before = question(1);
    let mut answered = before.clone();
    assert!(answered.answered(&before.scope([Part::Fresh])));
    // Once with a newer list, and once with nothing newer than a change.
    for view in [view(2), view(1)] {
        let mut again = answered.again(head(&view, 8), &view).expect("of one reading");
        let whole = again.whole().parts.clone();
        assert_eq!(again.missing(), &whole, "the former answer is gone");
        assert!(!again.answered(before.whole()));
        assert_eq!(again.missing(), &whole);
        assert_eq!(again.refused(before.whole(), Refusal::ViewGone), Next::Ignore);
    }
}

#[test]
fn parts_that_are_behind_are_asked_for_elsewhere() {
    let question = question(2);
    let behind: BTreeSet<Part> = [Part::Fresh, Part::Group(1)].into();
    let next = question.refused(question.whole(), Refusal::PartsBehind(behind.clone()));
    assert_eq!(next, Next::Elsewhere(behind));
}

#[test]
fn the_head_is_read_four_times_at_most() {
    let view = view(1);
    let mut question = question(1);
    for sequence in 8..=10 {
        assert_eq!(
            question.refused(question.whole(), Refusal::ViewGone),
            Next::ReadAgain
        );
        question = question
            .again(head(&view, sequence), &view)
            .expect("of one reading");
    }
    assert_eq!(
        question.refused(question.whole(), Refusal::ViewGone),
        Next::GiveUp
    );
}

#[test]
fn a_view_that_lacks_the_heads_version_is_refused() {
    let older = Question::new(head(&view(2), 7), &view(1)).expect_err("it lacks segment 2");
    assert_eq!((older.asked, older.since, older.until), (2, 0, 1));
    let mut forgot = view(3);
    forgot.forget(2);
    assert!(Question::new(head(&view(1), 7), &forgot).is_err());
    assert!(Question::new(head(&view(2), 7), &forgot).is_ok());
    assert!(question(1).again(head(&view(2), 8), &view(1)).is_err());
}

#[test]
fn answers_by_groups_of_another_size_do_not_count() {
    let mut question = question(1);
    let mut other = question.whole().clone();
    other.group_segments = NonZeroU32::new(2).expect("not 0");
    assert!(!question.answered(&other));
}
