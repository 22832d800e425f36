//! The model check of freshness: the rules of this module in a world of databases, nodes and fronts that fail. `docs/cluster.md` says what it shows, and what not.
//!
//! `FRESHNESS_LONG=1` searches larger worlds, and walks a hundred times as far. With `--show-output` each test prints its figures.

use std::collections::BTreeMap;
use std::env;

use stateright::{Checker, HasDiscoveries, Model};

use broken::Broken;
use steps::Freshness;
use walk::Walker;
use world::Left;
use worlds::{
    ERASURE, ERASURE_AND_CRASH, FLUSH, FLUSHES, MADE_ANEW, MERGE, NOTHING, late, shared, slow, with_segments,
    world,
};

#[path = "freshness_tests/answers.rs"]
mod answers;
#[path = "freshness_tests/broken.rs"]
mod broken;
#[path = "freshness_tests/owners.rs"]
mod owners;
#[path = "freshness_tests/steps.rs"]
mod steps;
#[path = "freshness_tests/turns.rs"]
mod turns;
#[path = "freshness_tests/walk.rs"]
mod walk;
#[path = "freshness_tests/world.rs"]
mod world;
#[path = "freshness_tests/worlds.rs"]
mod worlds;

/// States of the short walks, of all of them together.
const WALKED_STATES: usize = 400_000;
const LONG_TIMES: usize = 100;

fn is_long() -> bool {
    env::var_os("FRESHNESS_LONG").is_some()
}

/// Visits every state that can be reached. Gives what happened on the way.
#[track_caller]
fn assert_holds(name: &str, model: Freshness) -> BTreeMap<&'static str, u64> {
    let happened = model.happened.clone();
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let (unique, all) = (checker.unique_state_count(), checker.state_count());
    println!(
        "{name}: {unique} states, {all} steps, at most {} in a row",
        checker.max_depth() - 1
    );
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{name}: {property} is broken by {:#?}", path.into_actions());
    }
    let happened = happened.lock().expect("nobody panicked with it");
    happened.clone()
}

#[track_caller]
fn assert_happened(happened: &BTreeMap<&'static str, u64>, expected: &[&str]) {
    for what in expected {
        assert!(happened.contains_key(what), "{what}: never in {happened:#?}");
    }
}

#[test]
fn an_enrolment_an_erasure_a_flush_and_a_question() {
    let left = Left { erasures: 1, ..FLUSH };
    let happened = assert_holds("an enrolment, an erasure, a flush", world(2, left));
    let expected = [
        "somebody was found",
        "nobody was there",
        "an erased one was not found",
        "an erasure was acknowledged",
        "a segment went live",
        "a row was erased while it was loaded",
        "UNAVAILABLE: a part was behind",
    ];
    assert_happened(&happened, &expected);
}

#[test]
fn batches_of_two() {
    let left = Left { erasures: 1, ..FLUSH };
    let model = Freshness {
        batch: 2,
        ..world(1, Left { crashes: 1, ..left })
    };
    let happened = assert_holds("a batch of two, an erasure, a flush, the node crashes", model);
    let expected = [
        "a row was no longer fresh when the feed was read",
        "a row was erased while it was loaded",
    ];
    assert_happened(&happened, &expected);
}

#[test]
fn parts_with_one_owner_each() {
    let left = Left { leaves: 1, ..FLUSH };
    let happened = assert_holds(
        "one owner a part: a flush beside a segment, a node leaves",
        shared(with_segments(1, world(2, left))),
    );
    assert_happened(
        &happened,
        &["somebody was found", "a view was gone and the head read again"],
    );
}

#[test]
fn late_reports_and_late_leaves() {
    let left = Left { leaves: 1, ..ERASURE };
    let mut happened = assert_holds("late reports: an erasure, a node leaves", late(world(2, left)));
    let left = Left { leaves: 1, ..FLUSH };
    happened.extend(assert_holds(
        "late reports: a flush, the node leaves",
        late(world(1, left)),
    ));
    let left = Left {
        enrolments: 1,
        leaves: 1,
        ..NOTHING
    };
    happened.extend(assert_holds(
        "the node leaves during a slow search",
        slow(world(1, left)),
    ));
    let expected = [
        "a node that let go of all left",
        "an erasure was acknowledged",
        "a segment went live",
        "a search of a former course ended",
    ];
    assert_happened(&happened, &expected);
}

#[test]
fn groups_of_another_size() {
    let left = Left {
        enrolments: 1,
        regroups: 1,
        ..NOTHING
    };
    let happened = assert_holds(
        "an enrolment beside two segments, groups change",
        with_segments(2, world(1, left)),
    );
    let expected = [
        "a node met other groups",
        "a view was gone and the head read again",
    ];
    assert_happened(&happened, &expected);
}

#[test]
fn readings_that_lag() {
    let left = Left {
        leaves: 1,
        lags: 1,
        ..ERASURE
    };
    let happened = assert_holds("an erasure, a node leaves, a reading lags", world(1, left));
    assert_happened(&happened, &["a reading was too early for a load"]);
}

#[test]
fn objects_that_are_deleted() {
    let happened = assert_holds(
        "a merge, a deletion, the node leaves",
        with_segments(2, world(1, MERGE)),
    );
    assert_happened(&happened, &["an object was deleted"]);
}

#[test]
fn former_views_that_are_given_up() {
    let left = Left { forgets: 1, ..FLUSH };
    let mut happened = assert_holds(
        "a flush during a slow search, a former view is given up",
        slow(world(1, left)),
    );
    let left = Left { forgets: 1, ..MERGE };
    happened.extend(assert_holds(
        "a merge, a former view is given up, a deletion, the node leaves",
        with_segments(2, world(1, left)),
    ));
    let expected = [
        "a former view was given up with its rows",
        "a view was gone and the head read again",
        "an object was deleted",
    ];
    assert_happened(&happened, &expected);
}

#[test]
fn segments_that_are_taken_back() {
    let left = Left {
        withdrawals: 1,
        ..ERASURE
    };
    let left = Left { merges: 1, ..left };
    let mut happened = assert_holds(
        "an enrolment, an erasure, a merge that may be taken back",
        with_segments(2, world(1, left)),
    );
    let left = Left {
        withdrawals: 1,
        ..FLUSH
    };
    happened.extend(assert_holds(
        "a flush that may be taken back",
        slow(world(2, left)),
    ));
    assert_happened(&happened, &["a segment was taken back", "a segment went live"]);
}

#[test]
fn nodes_that_fail_beside_a_flush() {
    let mut happened = assert_holds("a flush, a node is fenced", world(2, Left { fences: 1, ..FLUSH }));
    happened.extend(assert_holds(
        "a flush, a node crashes",
        world(2, Left { crashes: 1, ..FLUSH }),
    ));
    let expected = [
        "a fenced node answered",
        "a fenced node was told so",
        "a row was no longer fresh when the feed was read",
        "a view was gone and the head read again",
    ];
    assert_happened(&happened, &expected);
}

#[test]
fn nodes_that_fail_beside_an_erasure_and_a_feed_that_is_cut() {
    let crash = Left {
        cuts: 1,
        ..ERASURE_AND_CRASH
    };
    let mut happened = assert_holds("an erasure, a node crashes, the feed is cut", world(2, crash));
    let fence = Left {
        fences: 1,
        cuts: 1,
        ..ERASURE
    };
    happened.extend(assert_holds(
        "an erasure, a node is fenced, the feed is cut",
        world(2, fence),
    ));
    assert_happened(
        &happened,
        &[
            "a node was behind the feed's floor",
            "an erasure was acknowledged",
        ],
    );
}

#[test]
fn a_tenant_that_is_made_anew() {
    let mut happened = assert_holds("a tenant is made anew", world(2, MADE_ANEW));
    let left = Left {
        leaves: 1,
        ..MADE_ANEW
    };
    happened.extend(assert_holds(
        "a tenant is made anew, the node leaves, a reading lags",
        world(1, left),
    ));
    assert_happened(&happened, &["a load met another edition"]);
    assert_happened(
        &happened,
        &[
            "a node met another edition",
            "a change of the former incarnation came",
            "a view was gone and the head read again",
        ],
    );
}

#[test]
fn searches_that_take_long_while_segments_are_flushed_and_merged() {
    let left = Left { merges: 1, ..FLUSHES };
    let happened = assert_holds(
        "two flushes and a merge during a slow search",
        slow(world(1, left)),
    );
    let expected = [
        "a search was under way when the list moved",
        "the last search of a former view let go of rows",
        "a view was gone and the head read again",
    ];
    assert_happened(&happened, &expected);
}

/// What may happen on a walk.
const WALKED: Left = Left {
    enrolments: 5,
    erasures: 3,
    flushes: 4,
    merges: 1,
    cuts: 2,
    questions: 8,
    fences: 2,
    crashes: 1,
    drains: 1,
    dropped: 1,
    given_up: 2,
    regroups: 1,
    deletions: 1,
    leaves: 1,
    lags: 1,
    forgets: 2,
    withdrawals: 1,
};

/// Three nodes, two owners a part, two fronts, and all there is.
#[test]
fn walks_at_random() {
    let model = Freshness {
        fronts: 2,
        late: true,
        ..slow(world(3, WALKED))
    };
    let happened = model.happened.clone();
    let walker = Walker::default();
    let times = if is_long() { LONG_TIMES } else { 1 };
    let builder = model.checker().finish_when(HasDiscoveries::AnyFailures);
    let builder = builder.target_state_count(WALKED_STATES * times);
    let checker = builder.spawn_simulation(1, walker.clone()).join();
    let (steps, longest) = (checker.state_count(), checker.max_depth());
    println!(
        "{} walks, {steps} steps, at most {longest} in a row",
        walker.walks()
    );
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{property} is broken by {:#?}", path.into_actions());
    }
    let happened = happened.lock().expect("nobody panicked with it");
    println!("{happened:#?}");
    assert!(
        walker.walks() >= 2_000,
        "{} walks: they became longer",
        walker.walks()
    );
    let expected = [
        "somebody was found",
        "nobody was there",
        "an erased one was not found",
        "UNAVAILABLE: a part was behind",
        "UNAVAILABLE: the deadline passed",
        "a view was gone and the head read again",
        "an answer to an earlier reading came",
        "an answer came too late",
        "a fenced node answered",
        "a fenced node was told so",
        "a node met another edition",
        "a node was behind the feed's floor",
        "a node that let go of all left",
        "a row was no longer fresh when the feed was read",
        "a row was erased while it was loaded",
        "a load took too long",
        "rows came where nobody waits for them",
        "a piece moved",
        "a search kept a piece that moved",
        "a search of a former course ended",
        "a reading was too early for a load",
        "a node met other groups",
        "an object was deleted",
        "a search was under way when the list moved",
        "the last search of a former view let go of rows",
        "a former view was given up with its rows",
        "a segment was taken back",
    ];
    assert_happened(&happened, &expected);
}

/// What takes minutes.
#[test]
fn larger_worlds_in_the_long_form() {
    if !is_long() {
        return;
    }
    let crash = Left {
        flushes: 1,
        ..ERASURE_AND_CRASH
    };
    assert_holds("an erasure, a flush, a node crashes", world(2, crash));
    let two = Left {
        enrolments: 2,
        erasures: 1,
        ..FLUSH
    };
    assert_holds("two enrolments, an erasure, a flush", world(2, two));
    assert_holds("two flushes and a merge", world(2, Left { merges: 1, ..FLUSHES }));
    assert_holds(
        "a crash beside a segment",
        with_segments(1, world(2, Left { crashes: 1, ..FLUSH })),
    );
    assert_holds(
        "an erasure and a flush during a slow search",
        slow(world(2, Left { erasures: 1, ..FLUSH })),
    );
}

/// With one rule broken the check fails, and by this property.
#[track_caller]
fn assert_fails(broken: Broken, property: &'static str, model: Freshness) {
    let model = Freshness {
        broken: Some(broken),
        ..model
    };
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyOf([property].into()))
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    println!(
        "{broken:?}: {:?} after {} steps",
        found.keys(),
        checker.state_count()
    );
    assert!(found.contains_key(property), "{broken:?}: {:?}", found.keys());
}

macro_rules! broken {
    ($($name:ident: $broken:ident, $property:literal, $model:expr;)*) => {$(
        #[test]
        fn $name() {
            assert_fails(Broken::$broken, $property, $model);
        }
    )*};
}

broken! {
    fails_with_a_head_read_before: HeadReadBefore, "no wrong no-match", world(2, FLUSH);
    fails_without_the_sequence: SequenceIgnored, "no wrong no-match", world(2, FLUSH);
    resurrects_without_the_sequence: SequenceIgnored, "no resurrected", world(2, ERASURE);
    fails_without_the_edition: EditionIgnored, "no crossed", world(2, MADE_ANEW);
    fails_if_views_are_never_gone: GoneViewAnswered, "no wrong no-match", world(1, FLUSHES);
    fails_if_a_node_answers_for_what_it_has_not_loaded: UnloadedAnswered, "no wrong no-match", world(2, ERASURE_AND_CRASH);
    fails_with_an_answer_without_a_part: PartLeftOut, "no wrong no-match", with_segments(1, world(1, FLUSH));
    fails_with_answers_to_two_readings: ReadingsMixed, "no wrong no-match", shared(with_segments(1, world(2, Left { leaves: 1, ..FLUSH })));
    fails_with_a_flush_of_one_step: FreshLeftAtOnce, "no wrong no-match", world(2, FLUSH);
    fails_without_the_former_view: FormerViewDropped, "no wrong no-match", world(2, FLUSH);
    fails_if_a_search_protects_nothing: SearchUnprotected, "no wrong no-match", slow(world(1, FLUSHES));
    fails_if_an_erasure_does_not_wait: ErasureNotAwaited, "nothing kept", world(2, ERASURE);
    fails_if_a_fenced_node_keeps_its_rows: MemoryKept, "nothing kept", world(2, Left { fences: 1, ..ERASURE_AND_CRASH });
    fails_if_a_gap_is_passed_over: GapPassedOver, "no wrong no-match", world(2, Left { fences: 1, cuts: 1, ..ERASURE });
    fails_if_a_load_keeps_what_was_erased: LoadKeepsErased, "no resurrected", world(2, ERASURE_AND_CRASH);
    fails_if_rows_that_are_gone_count_as_placed: GoneTakenForPlaced, "no wrong no-match", world(2, Left { fences: 1, ..FLUSH });
    fails_if_loads_begin_anew_with_a_course: NumberedAnew, "nothing kept", world(1, Left { regroups: 1, leaves: 1, ..ERASURE });
    fails_if_searches_begin_anew_with_a_course: NumberedAnew, "no wrong no-match", slow(world(1, Left { enrolments: 1, regroups: 1, ..NOTHING }));
    fails_if_any_edition_is_taken: AnyEditionTaken, "no crossed", world(2, MADE_ANEW);
    fails_with_a_head_that_was_read_apart: HeadReadApart, "no wrong no-match", world(1, Left { enrolments: 1, leaves: 1, lags: 1, ..NOTHING });
    fails_with_an_old_view: OldViewTaken, "no wrong no-match", world(1, FLUSHES);
    fails_without_the_size_of_groups: GroupSizeIgnored, "no wrong no-match", with_segments(2, world(1, Left { regroups: 1, ..NOTHING }));
    fails_if_a_late_leave_is_taken: LateLeaveTaken, "nothing kept", late(world(1, Left { leaves: 1, ..ERASURE }));
    fails_if_an_erasure_does_not_wait_for_loads: LoadsNotAwaited, "nothing kept", world(1, ERASURE_AND_CRASH);
    fails_if_a_node_leaves_before_its_loads_end: LeftWithLoads, "nothing kept", world(1, Left { leaves: 1, ..ERASURE_AND_CRASH });
    fails_if_an_object_is_deleted_at_once: DeletedAtOnce, "nothing missing", with_segments(2, world(1, MERGE));
    fails_if_a_missing_object_is_taken_for_empty: MissingTakenForEmpty, "no wrong no-match", with_segments(2, world(1, MERGE));
}
