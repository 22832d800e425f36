//! Tests of cutting and joining.
#![expect(clippy::single_range_in_vec_init, reason = "one range of rows is meant")]

use super::*;

type Ranges = Vec<Range<u32>>;

fn found(by_sign: bool, survivors: Vec<Survivors>) -> Found {
    Found { survivors, by_sign }
}

fn rows(rows: impl IntoIterator<Item = u32>) -> Survivors {
    Survivors::Rows(rows.into_iter().collect())
}

#[test]
fn the_cpu_gets_what_no_device_holds() {
    let p = PART_ROWS;
    let table: [(u32, Ranges, Ranges); 8] = [
        (0, vec![], vec![0..0]),
        (5, vec![], vec![0..5]),
        (5, vec![0..5], vec![]),
        (3 * p + 7, vec![0..p], vec![p..3 * p + 7]),
        (3 * p, vec![p..2 * p], vec![0..p, 2 * p..3 * p]),
        (3 * p, vec![2 * p..3 * p, 0..p], vec![p..2 * p]),
        (3 * p, vec![0..2 * p, p..3 * p], vec![]),
        // A gallery that grew behind a device: the part that holds the border is scanned by both.
        (2 * p, vec![0..p + 9], vec![p..2 * p]),
    ];
    for (total, mut held, expected) in table {
        assert_eq!(rest(total, &mut held), expected, "{total} {held:?}");
    }
}

#[test]
fn joined_survivors_are_sorted_and_counted_once() {
    let parts = vec![
        found(false, vec![rows([7, 9]), rows([])]),
        found(true, vec![rows([1, 7]), rows([3])]),
    ];
    assert_eq!(join(2, parts), found(true, vec![rows([1, 7, 9]), rows([3])]));
}

#[test]
fn too_many_in_one_part_or_in_all_is_everything() {
    let half = u32::try_from(SURVIVORS_MAX).expect("small") / 2;
    let parts = |second: Survivors| vec![found(false, vec![rows(0..half)]), found(false, vec![second])];
    assert_eq!(join(1, parts(Survivors::All)).survivors, [Survivors::All]);
    assert_eq!(join(1, parts(rows(half..=2 * half))).survivors, [Survivors::All]);
    assert_eq!(
        join(1, parts(rows(half..2 * half))).survivors,
        [rows(0..2 * half)]
    );
    // All first, rows later.
    let parts = vec![found(false, vec![Survivors::All]), found(false, vec![rows([1])])];
    assert_eq!(join(1, parts).survivors, [Survivors::All]);
}

#[test]
fn a_lone_part_is_handed_through() {
    let part = found(true, vec![rows([1, 2])]);
    assert_eq!(join(1, vec![part]), found(true, vec![rows([1, 2])]));
}
