//! From a whole hand to the region of interest: outline, valleys between the fingers, the square below them. Reads no lines.
//!
//! After Zhang et al. (2003): the line from the valley between index and middle finger to the one
//! between ring and little finger is the axis, and the square lies below its middle. Its side is in
//! proportion to their distance, so that it doesn't matter how far the hand is from the camera.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of an image"
)]

use super::failure::FailureToAcquire;
use super::grey::Grey;
use super::mask::Mask;
use super::outline;
use super::region::SIDE;

/// Longer side of the image that the outline is looked for in.
const WORK_SIDE: f32 = 640.0;
/// Side of the square, in distances of the valleys.
const SQUARE: f32 = 1.2;
/// From the line of the valleys to the square, in sides of it.
const BELOW: f32 = 0.1;
/// A second piece of this size, as a share of the hand's, is another hand: which is meant can't be told.
const OTHER_MAX: f32 = 0.3;
/// Share of the square that must be of the hand.
const WITHIN_MIN: f32 = 0.93;

/// Positions on each axis of the square that are looked at.
const STEPS: usize = 24;

/// A position in pixels of an image.
pub type Position = [f32; 2];

/// Where a region lies in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Square {
    /// The corner that becomes the region's first pixel.
    pub corner: Position,
    /// From there along the fingers' roots, and towards the wrist: as long as the square.
    pub across: Position,
    /// Turned a quarter from `across`.
    pub down: Position,
}

impl Square {
    /// The corners: two at the fingers, from left to right as seen with the fingers up, and two at
    /// the wrist.
    pub fn corners(&self) -> [Position; 4] {
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]].map(|[u, v]| self.at(u, v))
    }

    fn at(&self, u: f32, v: f32) -> Position {
        [0, 1].map(|k| self.corner[k] + u * self.across[k] + v * self.down[k])
    }

    /// Its side in pixels.
    pub fn side(&self) -> f32 {
        self.across[0].hypot(self.across[1])
    }

    /// The region, resampled to its size.
    pub fn cut(&self, image: &Grey) -> Grey {
        // Every pixel of the image has its share: as many samples as there are pixels, then their mean.
        let each = ((self.side() / SIDE as f32).ceil() as usize).clamp(1, 16);
        let count = SIDE * each;
        let step = 1.0 / count as f32;
        let samples = Grey::from_fn(count as u32, count as u32, |x, y| {
            let [x, y] = self.at((x + 0.5) * step, (y + 0.5) * step);
            image.at(x, y)
        });
        samples.resized(SIDE, SIDE)
    }
}

/// The region of interest of a whole hand.
pub fn square(image: &Grey) -> Result<Square, FailureToAcquire> {
    let longer = image.width().max(image.height()) as f32;
    let factor = (longer / WORK_SIDE).max(1.0);
    let reduced = |side: usize| ((side as f32 / factor).round() as usize).max(1);
    let small = image.resized(reduced(image.width()), reduced(image.height()));
    let mask = Mask::of(&small)?;
    let found = outline::valleys(&mask)?;
    let square = below(found.valleys, found.centre);
    check(&mask, &square)?;
    if mask.other > OTHER_MAX {
        return Err(FailureToAcquire::TwoHands);
    }
    let scale = [
        image.width() as f32 / small.width() as f32,
        image.height() as f32 / small.height() as f32,
    ];
    let larger = |p: Position| [p[0] * scale[0], p[1] * scale[1]];
    let moved = |p: Position| [(p[0] + 0.5) * scale[0] - 0.5, (p[1] + 0.5) * scale[1] - 0.5];
    Ok(Square {
        corner: moved(square.corner),
        across: larger(square.across),
        down: larger(square.down),
    })
}

/// The square below two valleys, on the side of the palm's centre.
fn below([a, b]: [Position; 2], centre: Position) -> Square {
    let middle = [f32::midpoint(a[0], b[0]), f32::midpoint(a[1], b[1])];
    let along = [SQUARE * (b[0] - a[0]), SQUARE * (b[1] - a[1])];
    let down = [-along[1], along[0]];
    let facing = down[0] * (centre[0] - middle[0]) + down[1] * (centre[1] - middle[1]);
    // Never mirrored: where the palm is on the other side, left and right are exchanged as well.
    let sign = if facing < 0.0 { -1.0 } else { 1.0 };
    let (across, down) = (along.map(|t| sign * t), down.map(|t| sign * t));
    let corner = [0, 1].map(|k| middle[k] - across[k] / 2.0 + BELOW * down[k]);
    Square { corner, across, down }
}

/// The square lies in the image and on the hand.
fn check(mask: &Mask, square: &Square) -> Result<(), FailureToAcquire> {
    let beyond = |[x, y]: Position| x < -1.0 || y < -1.0 || x > mask.width as f32 || y > mask.height as f32;
    if square.corners().into_iter().any(beyond) {
        return Err(FailureToAcquire::CutOff);
    }
    let place = |k: usize| (k as f32 + 0.5) / STEPS as f32;
    let positions = (0..STEPS * STEPS).map(|k| square.at(place(k % STEPS), place(k / STEPS)));
    let within = positions
        .filter(|[x, y]| mask.has(x.round() as i32, y.round() as i32))
        .count();
    if (within as f32) < WITHIN_MIN * (STEPS * STEPS) as f32 {
        return Err(FailureToAcquire::NoHand);
    }
    Ok(())
}

#[cfg(test)]
#[path = "hand_tests.rs"]
mod tests;
