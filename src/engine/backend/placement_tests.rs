//! Tests of placement, as data.
#![expect(clippy::single_range_in_vec_init, reason = "one range of rows is meant")]

use super::*;

const P: u32 = PART_ROWS;
const LARGE: u32 = SPLIT_ROWS_MIN;
const ANY: u32 = u32::MAX;

fn seat(room: u32, load: u64, speed: f64) -> Seat {
    Seat { room, load, speed }
}

fn placed(rows: u32, seats: &[Seat], cpu_speed: f64) -> Vec<Range<u32>> {
    let now = vec![0..0; seats.len()];
    let goals = place(rows, seats, cpu_speed, &now);
    check(rows, seats, &goals);
    goals
}

/// Disjoint, ascending, in whole parts, within the gallery and the rooms.
fn check(rows: u32, seats: &[Seat], goals: &[Range<u32>]) {
    let mut end = 0;
    for (goal, seat) in goals.iter().zip(seats) {
        assert!(goal.len() <= seat.room as usize, "{goals:?} of {rows}");
        if goal.is_empty() {
            assert_eq!(*goal, 0..0);
        } else {
            assert!(
                goal.start >= end && goal.start.is_multiple_of(P),
                "{goals:?} of {rows}"
            );
            end = goal.end;
            assert!(end <= rows, "{goals:?} of {rows}");
        }
    }
}

#[test]
fn a_gallery_is_on_one_device_where_it_fits() {
    assert_eq!(placed(700, &[seat(ANY, 0, 1.0)], 1.0), [0..700]);
    assert_eq!(
        placed(50 * LARGE + 1, &[seat(ANY, 0, 1.0)], 1.0),
        [0..50 * LARGE + 1]
    );
    assert_eq!(
        placed(700, &[seat(0, 0, 1.0), seat(ANY, 9, 1.0)], 1.0),
        [0..0, 0..700]
    );
    assert!(placed(700, &[], 1.0).is_empty());
}

#[test]
fn a_small_gallery_goes_to_the_least_loaded_device_and_stays() {
    let seats = [seat(ANY, 5, 1.0), seat(ANY, 3, 1.0), seat(10, 0, 1.0)];
    assert_eq!(placed(700, &seats, 1.0), [0..0, 0..700, 0..0]);
    assert_eq!(
        place(700, &seats, 1.0, &[0..600, 0..0, 0..0]),
        [0..700, 0..0, 0..0]
    );
}

#[test]
fn a_large_gallery_is_divided_by_speed() {
    let two = [seat(ANY, 0, 3.0), seat(ANY, 0, 1.0)];
    assert_eq!(placed(4 * LARGE, &two, 1.0), [0..3 * LARGE, 3 * LARGE..4 * LARGE]);
    let odd = placed(4 * LARGE + 77, &two, 1.0);
    assert_eq!(odd.last().map(|range| range.end), Some(4 * LARGE + 77), "{odd:?}");
    // A device that is out of use leaves it whole to the other.
    let one = [seat(0, 0, 3.0), seat(ANY, 0, 1.0)];
    assert_eq!(placed(4 * LARGE + 77, &one, 1.0), [0..0, 0..4 * LARGE + 77]);
}

#[test]
fn what_no_device_has_room_for_is_shared_with_the_cpu() {
    let table = [
        // The CPU's share by speed is more than what does not fit.
        (10 * P, vec![seat(9 * P, 0, 4.0)], 1.0, vec![0..8 * P]),
        // It is less: the device is filled.
        (10 * P, vec![seat(6 * P + 5, 0, 99.0)], 1.0, vec![0..6 * P]),
        // One is filled, and the rest is divided between the other and the CPU.
        (
            12 * P,
            vec![seat(2 * P, 0, 50.0), seat(9 * P, 0, 4.0)],
            1.0,
            vec![0..2 * P, 2 * P..10 * P],
        ),
        (10 * P, vec![seat(P / 2, 0, 4.0)], 1.0, vec![0..0]),
        (
            10 * P,
            vec![seat(0, 0, 4.0), seat(0, 0, 4.0)],
            1.0,
            vec![0..0, 0..0],
        ),
    ];
    for (rows, seats, cpu, expected) in table {
        assert_eq!(placed(rows, &seats, cpu), expected, "{rows} {seats:?}");
    }
}

#[test]
fn many_divisions_hold_their_rules() {
    for rows in [
        1,
        P,
        LARGE - 1,
        LARGE,
        LARGE + 1,
        3 * LARGE + 1_025,
        4_000_000_000,
    ] {
        for rooms in [
            [ANY, ANY, ANY],
            [0, ANY, 5 * P],
            [LARGE, LARGE, LARGE],
            [P, 3 * P + 1, ANY],
        ] {
            for speeds in [[1.0, 1.0, 1.0], [1e3, 1.0, 7.0], [1e-3, 5.0, 1e9]] {
                let seats: Vec<Seat> = rooms
                    .into_iter()
                    .zip(speeds)
                    .map(|(room, speed)| seat(room, 0, speed))
                    .collect();
                let goals = placed(rows, &seats, 0.5);
                if rooms.contains(&ANY) {
                    let held: usize = goals.iter().map(ExactSizeIterator::len).sum();
                    assert_eq!(
                        held, rows as usize,
                        "{goals:?} of {rows} by {speeds:?} in {rooms:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn rows_move_only_where_it_is_worth_it() {
    let free = [seat(ANY, 0, 1.0), seat(ANY, 0, 1.0)];
    let full = [seat(4 * P, 0, 10.0), seat(0, 0, 10.0)];
    let table = [
        ("the same", &free, [0..8 * P, 0..0], [0..8 * P, 0..0], true, false),
        (
            "twice as fast",
            &free,
            [0..8 * P, 0..0],
            [0..4 * P, 4 * P..8 * P],
            true,
            true,
        ),
        (
            "too soon",
            &free,
            [0..8 * P, 0..0],
            [0..4 * P, 4 * P..8 * P],
            false,
            false,
        ),
        (
            "a little",
            &free,
            [0..4 * P, 4 * P..8 * P],
            [0..5 * P, 5 * P..8 * P],
            true,
            false,
        ),
        (
            "all of it on devices",
            &free,
            [0..4 * P, 0..0],
            [0..8 * P, 0..0],
            false,
            true,
        ),
        (
            "from the CPU alone",
            &full,
            [0..0, 0..0],
            [0..4 * P, 0..0],
            false,
            true,
        ),
        (
            "no room any more",
            &full,
            [0..6 * P, 0..0],
            [0..4 * P, 0..0],
            false,
            true,
        ),
    ];
    for (what, seats, now, then, settled, expected) in table {
        assert_eq!(
            worth(8 * P, seats, 0.1, (&now, &then), settled),
            expected,
            "{what}"
        );
    }
}

#[test]
fn a_slow_device_is_no_gain() {
    let slow = [seat(4 * P, 0, 1.0)];
    assert!(!worth(8 * P, &slow, 100.0, (&[0..0], &[0..4 * P]), true));
}

#[test]
fn steps_lead_to_the_goal_in_slices() {
    let walk = |held: Range<u32>, goal: Range<u32>| {
        let (mut at, mut path) = (held, Vec::new());
        while let Some((next, changed)) = step(&at, &goal, 2 * P) {
            assert!(changed.len() <= 2 * P as usize, "{changed:?}");
            assert!(changed.is_empty() || (changed.start >= next.start && changed.end <= next.end));
            at = next.clone();
            path.push(next);
            assert!(path.len() < 10, "{path:?}");
        }
        path
    };
    assert_eq!(walk(0..5 * P, 0..5 * P), []);
    assert_eq!(walk(0..0, P..5 * P + 3), [P..3 * P, P..5 * P, P..5 * P + 3]);
    // From an end that is no multiple: whole parts from there on.
    assert_eq!(walk(0..P + 5, 0..4 * P), [0..3 * P, 0..4 * P]);
    // What is too much goes first; then rows come behind, then before.
    assert_eq!(walk(2 * P..6 * P, P..4 * P), [2 * P..4 * P, P..4 * P]);
    assert_eq!(walk(3 * P..4 * P, 0..5 * P), [3 * P..5 * P, P..5 * P, 0..5 * P]);
    assert_eq!(walk(0..P, 4 * P..5 * P), [0..0, 4 * P..5 * P]);
    assert_eq!(walk(0..P, 0..0), [0..0]);
}
