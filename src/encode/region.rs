//! A region of interest, and which of its pixels show skin. Knows no features.
//!
//! Where a region reaches beyond the hand, or something dark or blinding covers a part of it, there
//! is an edge that is far stronger than any line of a palm and that strangers share. So what can't
//! be seen is marked, and filled from what can be.

use std::collections::BTreeMap;

use image::{GrayImage, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};

use super::grey::Grey;

/// Side of a region in pixels.
pub const SIDE: usize = 128;
/// Skin is not darker than this share of the brighter parts: lines are narrow, and shade is soft.
const DARK: f32 = 0.25;
/// One pixel in so many is brighter than what stands for the brighter parts.
const BRIGHTER: usize = 10;
/// From here on a sensor is blinded.
const BLINDING: f32 = 0.985;
/// A sensor's noise alone makes pixels of skin differ by more: half a level of 8 bits. Where they don't, something was painted over, or is lost.
const FLAT: f32 = 0.002;
/// Half the side of the window in which most pixels must be dark, or bright, for its middle to be hidden. Lines are narrower.
const AROUND: usize = 3;
/// Pixels in a row of a piece, or in a column, whose whole window is flat, from which on it is lost: what is flat is 7 more. Of a block of a JPEG, 8 pixels wide, it is one or
/// two, and smooth skin may be one block flat.
const LOST: u32 = 10;
/// What is hidden is taken that much wider, in pixels: edges are soft.
const SOFT: usize = 2;

/// A region of [`SIDE`] × [`SIDE`] pixels.
#[derive(Debug, Clone)]
pub struct Region {
    grey: Grey,
    seen: Vec<bool>,
}

impl Region {
    /// Marks what can't be seen of a picture of [`SIDE`] × [`SIDE`] pixels, values 0 (black) to 1.
    pub fn of(picture: &Grey) -> Self {
        assert_eq!(
            (picture.width(), picture.height()),
            (SIDE, SIDE),
            "a region's size"
        );
        let values = picture.values();
        let dark = DARK * bright(values);
        let outside = |at: usize| values[at] < dark || values[at] >= BLINDING;
        let alike = |a: usize, b: usize| (values[a] - values[b]).abs() < FLAT;
        // The pixel to the right and the one below; at the edges the ones on the other side.
        let next =
            |at: usize, step: usize, place: usize| if place + 1 < SIDE { at + step } else { at - step };
        let flat = |at: usize| alike(at, next(at, 1, at % SIDE)) && alike(at, next(at, SIDE, at / SIDE));
        let [outside, flat] = [
            crowd(&mut (0..SIDE * SIDE).map(outside), AROUND),
            crowd(&mut (0..SIDE * SIDE).map(flat), AROUND),
        ];
        let window = (2 * AROUND as u32 + 1).pow(2);
        let lost = lost(flat.iter().map(|count| *count == window));
        let hidden = |at: usize| 2 * outside[at] > window || lost[at];
        let near = crowd(&mut (0..SIDE * SIDE).map(hidden), SOFT);
        let seen: Vec<bool> = near.iter().map(|hidden| *hidden == 0).collect();
        if !seen.contains(&false) {
            return Self {
                grey: picture.clone(),
                seen,
            };
        }
        Self {
            grey: filled(values, &seen),
            seen,
        }
    }

    /// The picture; where nothing can be seen it goes on as what is seen nearby.
    pub fn grey(&self) -> &Grey {
        &self.grey
    }

    /// Whether each pixel shows skin, row by row.
    pub fn seen(&self) -> &[bool] {
        &self.seen
    }

    /// Share of the pixels that show skin.
    pub fn coverage(&self) -> f32 {
        let seen = self.seen.iter().filter(|seen| **seen).count();
        seen as f32 / self.seen.len() as f32
    }
}

/// The brightness that one pixel in [`BRIGHTER`] exceeds, of those that don't blind; 0 of none.
fn bright(values: &[f32]) -> f32 {
    let mut skin: Vec<f32> = values.iter().copied().filter(|v| *v < BLINDING).collect();
    let place = skin.len() - skin.len() / BRIGHTER;
    let Some(place) = place.checked_sub(1) else {
        return 0.0;
    };
    *skin.select_nth_unstable_by(place, f32::total_cmp).1
}

/// The marks that hang together with so many others that they are no block of a JPEG.
fn lost(marks: impl Iterator<Item = bool>) -> Vec<bool> {
    let side = SIDE as u32;
    let marks = marks.map(u8::from).collect();
    let marks = GrayImage::from_raw(side, side, marks).expect("a mark for every pixel");
    let pieces = connected_components(&marks, Connectivity::Eight, Luma([0]));
    let mut boxes: BTreeMap<u32, [u32; 4]> = BTreeMap::new();
    for (x, y, piece) in pieces.enumerate_pixels().filter(|(_, _, piece)| piece[0] > 0) {
        let [left, top, right, bottom] = boxes.entry(piece[0]).or_insert([x, y, x, y]);
        (*left, *top) = (x.min(*left), y.min(*top));
        (*right, *bottom) = (x.max(*right), y.max(*bottom));
    }
    boxes.retain(|_, [left, top, right, bottom]| (*right - *left).max(*bottom - *top) + 1 >= LOST);
    pieces
        .pixels()
        .map(|piece| boxes.contains_key(&piece[0]))
        .collect()
}

/// How many marks are in the window around each pixel; beyond the edge the picture is mirrored.
fn crowd(marks: &mut dyn Iterator<Item = bool>, half: usize) -> Vec<u32> {
    let pass = |values: &[u32]| {
        // Along the rows, and transposed: two passes are back where one began.
        let mut sums = vec![0; SIDE * SIDE];
        for (line, row) in values.chunks(SIDE).enumerate() {
            let value = |at: usize| row[mirrored(at, half)];
            let mut sum: u32 = (0..2 * half).map(value).sum();
            for at in 0..SIDE {
                sum += value(at + 2 * half);
                sums[at * SIDE + line] = sum;
                sum -= value(at);
            }
        }
        sums
    };
    let marks: Vec<u32> = marks.map(u32::from).collect();
    pass(&pass(&marks))
}

/// The pixel at a position that is counted from `half` pixels before the first one on.
fn mirrored(at: usize, half: usize) -> usize {
    let at = at.abs_diff(half);
    if at < SIDE { at } else { 2 * (SIDE - 1) - at }
}

/// Each pixel that isn't seen becomes the mean of its neighbours that are, ring by ring. As it was where nothing is seen.
fn filled(values: &[f32], seen: &[bool]) -> Grey {
    let mut values = values.to_vec();
    let mut known = seen.to_vec();
    let mut open: Vec<usize> = (0..known.len()).filter(|at| !known[*at]).collect();
    while !open.is_empty() && open.len() < known.len() {
        let mut ring = Vec::new();
        open.retain(|at| {
            let (sum, count) = around(*at)
                .filter(|next| known[*next])
                .fold((0.0, 0.0), |(sum, count), next| (sum + values[next], count + 1.0));
            if count > 0.0 {
                ring.push((*at, sum / count));
            }
            count == 0.0
        });
        for (at, value) in ring {
            values[at] = value;
            known[at] = true;
        }
    }
    let side = SIDE as u32;
    Grey::new(side, side, values)
}

/// The neighbours of a pixel: up to eight.
fn around(at: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (at % SIDE, at / SIDE);
    let near = |t: usize| t.saturating_sub(1)..(t + 2).min(SIDE);
    near(y)
        .flat_map(move |y| near(x).map(move |x| y * SIDE + x))
        .filter(move |next| *next != at)
}

#[cfg(test)]
#[path = "region_tests.rs"]
mod tests;
