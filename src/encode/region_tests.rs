//! Tests of what of a region is seen, and what takes the place of the rest.

use super::*;

/// Skin of one brightness with a dark line of two pixels down the middle; `paint` changes pixels.
fn picture(paint: impl Fn(usize, usize) -> Option<f32>) -> Grey {
    let side = u32::try_from(SIDE).expect("small");
    // Skin is never quite the same from pixel to pixel.
    let grain = |x: usize, y: usize| 0.004 * ((x + 2 * y) % 3) as f32;
    let skin = |x: usize, y: usize| paint(x, y).unwrap_or(if x / 2 == 32 { 0.1 } else { 0.5 + grain(x, y) });
    let values = (0..SIDE * SIDE).map(|at| skin(at % SIDE, at / SIDE)).collect();
    Grey::new(side, side, values)
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() < 0.01
}

#[test]
fn a_palm_with_a_dark_line_is_seen_all_over() {
    let plain = picture(|_, _| None);
    let region = Region::of(&plain);
    assert!(near(region.coverage(), 1.0));
    assert_eq!(region.grey().values(), plain.values());
}

#[test]
fn what_lies_beyond_the_hand_is_hidden_and_skin_goes_on_there() {
    for width in [4, 8, 16, 40] {
        let region = Region::of(&picture(|x, _| (x < width).then_some(0.02)));
        let wide = region.seen()[60 * SIDE..][..SIDE]
            .iter()
            .take_while(|seen| !**seen)
            .count();
        assert!((width..=width + 2 * SOFT).contains(&wide), "{width}: {wide}");
        assert!(
            region
                .grey()
                .values()
                .iter()
                .enumerate()
                .all(|(at, value)| at % SIDE / 2 == 32 || near(*value, 0.5))
        );
    }
}

#[test]
fn glare_is_hidden_too() {
    let region = Region::of(&picture(|x, y| {
        (x.abs_diff(30) + y.abs_diff(90) < 12).then_some(1.0)
    }));
    assert!(!region.seen()[90 * SIDE + 30]);
    assert!(near(region.grey().values()[90 * SIDE + 30], 0.5));
    assert!(region.coverage() > 0.95);
}

#[test]
fn where_nothing_is_seen_nothing_is_made_up() {
    let region = Region::of(&picture(|_, _| Some(1.0)));
    assert!(near(region.coverage(), 0.0));
    assert!(near(region.grey().values()[0], 1.0));
}

#[test]
fn what_has_no_grain_is_no_skin() {
    // As a decoder fills in what is lost of a file.
    let region = Region::of(&picture(|_, y| (y > 90).then_some(0.5)));
    assert!(region.seen()[80 * SIDE + 10] && !region.seen()[100 * SIDE + 10]);
    // And a narrow strip.
    for from in [0, 60, SIDE - 8] {
        let strip = from..from + 8;
        let region = Region::of(&picture(|x, _| strip.contains(&x).then_some(0.6)));
        assert!(!region.seen()[64 * SIDE + from + 4], "{from}");
    }
}

#[test]
fn smooth_blocks_of_a_jpeg_are_skin() {
    // A chequer of blocks of 8 pixels, each of one brightness.
    let blocks = picture(|x, y| Some(if (x / 8 + y / 8) % 2 == 0 { 0.5 } else { 0.52 }));
    assert!(near(Region::of(&blocks).coverage(), 1.0));
}

#[test]
fn crowds_are_of_the_mirrored_picture() {
    let marked = [0, SIDE + 1, SIDE * SIDE - 1];
    let crowd = |half| crowd(&mut (0..SIDE * SIDE).map(|at| marked.contains(&at)), half);
    // At the corner: itself, and the mark beside it four times.
    assert_eq!([0, 1, SIDE + 1, 3].map(|at| crowd(1)[at]), [5, 3, 2, 0]);
    assert_eq!(
        [4 * SIDE + 4, 5 * SIDE + 4, SIDE * SIDE - 2].map(|at| crowd(3)[at]),
        [1, 0, 1]
    );
}
