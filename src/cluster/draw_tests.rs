//! Tests of the numbers: known answers, since another bit is another cluster; costs against the logarithm of the machine.

use super::*;

/// 2⁶⁴.
const RANGE: f64 = 18_446_744_073_709_551_616.0;

#[expect(clippy::cast_precision_loss, reason = "a millionth is compared")]
fn bits(cost: u64) -> f64 {
    cost as f64 / ONE as f64
}

#[test]
fn draws_are_those_of_every_other_node() {
    let known = [
        ((0, 0), 0x4821_8226_FF3C_D4BF),
        ((0, 1), 0x0397_AB29_7406_81D9),
        ((1, 0), 0xDCE4_23FC_82C0_D5B8),
        ((u64::MAX, 7), 0x69F2_ABAD_6AB3_12C9),
        (
            (0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210),
            0x1D8C_660D_66E4_042A,
        ),
    ];
    for ((part, node), answer) in known {
        assert_eq!(
            draw(part, node),
            answer,
            "{part:#x}, {node:#x}: {:#x}",
            draw(part, node)
        );
    }
}

#[test]
fn costs_are_those_of_every_other_node() {
    let known = [
        (0, 64 << FRACTION_BITS),
        (1, 64 << FRACTION_BITS),
        (1 << 63, 1 << FRACTION_BITS),
        (3 << 62, 456_338_556_421),
        (0x0123_4567_89AB_CDEF, 8_591_343_284_810),
        (u64::MAX - (1 << 40), 94_555),
        (u64::MAX, 1),
    ];
    for (draw, answer) in known {
        assert_eq!(cost(draw), answer, "{draw:#x}");
    }
}

#[test]
fn keys_are_the_digest_of_their_parts() {
    // SHA-256 of nothing begins with e3b0c44298fc1c14.
    assert_eq!(key(&[]), 0x141C_FC98_42C4_B0E3);
    let told_apart = [
        key(&[b"ab", b"c"]),
        key(&[b"a", b"bc"]),
        key(&[b"abc"]),
        key(&[b"abc", b""]),
    ];
    for (at, one) in told_apart.iter().enumerate() {
        assert!(!told_apart[at + 1..].contains(one));
    }
}

#[test]
fn a_cost_never_rises_with_the_draw() {
    let steps = 1 << 20;
    let mut last = u64::MAX;
    // Over the whole range, across every entry of the table, and where costs are least.
    let whole = (0..steps).map(|step| step << 44);
    let dense = (0..steps).map(|step| u64::MAX - (steps << 20) + (step << 20));
    let highest = (0..steps).map(|step| u64::MAX - steps + 1 + step);
    for draw in whole.chain(dense).chain(highest) {
        let cost = cost(draw);
        assert!(
            cost <= last && cost > 0,
            "{draw:#x} costs {cost}, a lower one {last}"
        );
        last = cost;
    }
}

#[test]
fn costs_are_logarithms() {
    // Draws at random, and more and more of them towards 1, where owners are.
    let draws = (0..200_000_u64).map(|at| u64::MAX - (mix(at) >> (at % 24)));
    for draw in draws.filter(|draw| *draw < u64::MAX - (1 << 40)) {
        // ln(1 − d) without loss near 1.
        #[expect(clippy::cast_precision_loss, reason = "a part in 10,000 is compared")]
        let expected = if draw < 1 << 63 {
            -(draw.max(1) as f64 / RANGE).log2()
        } else {
            -(-((u64::MAX - draw) as f64 + 1.0) / RANGE).ln_1p() / std::f64::consts::LN_2
        };
        let error = (bits(cost(draw)) - expected).abs() / expected;
        assert!(error < 1e-4, "{draw:#x}: {} for {expected}", bits(cost(draw)));
    }
}

#[test]
fn the_table_goes_from_nothing_to_one() {
    assert_eq!(
        (LOG2[0], LOG2[INTERVALS / 2], LOG2[INTERVALS]),
        (0, 643_173_071_355, ONE)
    );
    for (one, next) in LOG2.iter().zip(LOG2.iter().skip(1)) {
        let rise = next - one;
        assert!(rise > 0 && rise < 1 << (u64::BITS - BETWEEN_BITS - 2));
    }
}
