//! Tests of what is read back: counts and slots become survivors, in both reads.

use super::*;

/// The buffer as the shaders leave it: for each probe its rows, or only how many there were.
fn hits(found: &[Vec<u32>]) -> (Vec<u32>, Vec<u32>) {
    let total = found.len();
    let mut near = vec![0; total * (1 + NEAR_LEN)];
    let mut far = Vec::new();
    for (probe, rows) in found.iter().enumerate() {
        near[probe] = u32::try_from(rows.len()).expect("few");
        for (slot, row) in rows.iter().enumerate() {
            if slot < NEAR_LEN {
                near[total * (1 + slot) + probe] = *row;
            } else if rows.len() <= SURVIVORS_MAX {
                far.push(*row);
            }
        }
    }
    (near, far)
}

#[test]
fn survivors_come_from_both_reads_in_order() {
    let lens = [0_u32, 1, 15, 16, 40, 16_384, 16_385, 17];
    let found: Vec<Vec<u32>> = lens.iter().map(|len| (0..*len).rev().collect()).collect();
    let (near, far) = hits(&found);
    let survivors = collect(&near, &far, found.len());
    for (len, survivors) in lens.into_iter().zip(survivors) {
        let expected = if len as usize > SURVIVORS_MAX {
            Survivors::All
        } else {
            Survivors::Rows((0..len).collect())
        };
        assert_eq!(survivors, expected, "{len} survivors");
    }
}

#[test]
fn only_probes_with_more_than_the_first_slots_are_read_again() {
    let parts = far_parts(&[15, 16, 0, 16_384, 16_385]);
    let start = 5 * 16;
    let room = (SURVIVORS_MAX - NEAR_LEN) as u64;
    assert_eq!(parts, [(start + room, 1), (start + 3 * room, room)]);
    assert_eq!(far_parts(&[15, 0, 16_385]), []);
}
