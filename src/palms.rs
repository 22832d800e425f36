//! Synthetic palms: images that stand in for real ones where none may be kept. Claims nothing about real palms.
//!
//! A palm is a relief: principal lines of the three known types, secondary creases, wrinkles, skin.
//! A capture is a view of it: pose, deformation, light, blur, noise, missing parts. Every image is
//! a pure function of the seed, the style and its own numbers, whatever the order or the thread.

use std::io::Cursor;

use image::imageops::flip_horizontal_in_place;
use image::{GrayImage, ImageFormat};
use rustfft::num_complex::Complex32;

pub mod anatomy;
pub mod capture;
pub mod curve;
pub mod hand;
pub mod preset;
pub mod random;
pub mod relief;
pub mod skin;
pub mod smooth;
pub mod style;

use capture::{Scene, View};
use curve::Place;
use hand::{Outline, Placement};
use random::{Purpose, Random};
use relief::Relief;
use style::Style;

/// A hand, as its palm is seen with the fingers up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Thumb to the left.
    Left,
    /// Thumb to the right.
    Right,
}

impl Side {
    /// Left and right by turns.
    pub fn by_turns(number: u64) -> Self {
        if number.is_multiple_of(2) {
            Self::Left
        } else {
            Self::Right
        }
    }
}

/// A family of palms.
pub struct Palms {
    seed: u64,
    style: Style,
}

/// One palm.
pub struct Palm<'a> {
    palms: &'a Palms,
    number: u64,
    side: Side,
    hardship: f32,
    relief: Relief,
}

impl Palms {
    /// Palms of a seed and a style.
    pub fn new(seed: u64, style: Style) -> Self {
        Self { seed, style }
    }

    /// A palm by its number. The right hand is the mirror image of the left one of that number.
    pub fn palm(&self, number: u64, side: Side) -> Palm<'_> {
        let mut habit = Random::new(self.seed, Purpose::Habit, number, 0);
        Palm {
            palms: self,
            number,
            side,
            hardship: habit.normal(self.style.capture.habit).exp(),
            relief: Relief::new(&self.style, self.seed, number),
        }
    }
}

impl Palm<'_> {
    /// A capture of the region, 128 × 128 pixels.
    pub fn region(&self, sample: u64) -> GrayImage {
        let random = &mut Random::new(self.palms.seed, Purpose::Capture, self.number, sample);
        let view = View::new(&self.palms.style, self.hardship, random);
        let mut image = view.region(&self.relief, self.palms.style.capture.visibility, random);
        if self.side == Side::Right {
            flip_horizontal_in_place(&mut image);
        }
        image
    }

    /// A capture of the whole hand, fingers open and about up; of a fist where `closed`.
    pub fn hand(&self, sample: u64, closed: bool) -> Hand {
        let outline = Outline::new(&mut Random::new(self.palms.seed, Purpose::Hand, self.number, 0));
        let outline = if closed { outline.closed() } else { outline };
        let random = &mut Random::new(self.palms.seed, Purpose::Capture, self.number, sample);
        let view = View::new(&self.palms.style, self.hardship, random);
        let [width, height] = HAND_IMAGE.map(|side| u16::try_from(side).expect("some hundreds"));
        let placement = Placement::new([f32::from(width), f32::from(height)], random);
        let scene = Scene {
            relief: &self.relief,
            outline: &outline,
            placement: &placement,
        };
        let mut image = view.hand(&scene, HAND_IMAGE, self.palms.style.capture.visibility, random);
        let mut corners =
            [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]].map(|place| placement.pixel(place));
        if self.side == Side::Right {
            flip_horizontal_in_place(&mut image);
            corners = [1, 0, 3, 2].map(|k: usize| [f32::from(width) - 1.0 - corners[k][0], corners[k][1]]);
        }
        Hand { image, corners }
    }
}

/// Pixels of the image of a whole hand: width and height.
pub const HAND_IMAGE: [usize; 2] = [480, 640];

/// A capture of a whole hand.
pub struct Hand {
    /// The image.
    pub image: GrayImage,
    /// Corners of the region in pixels: first the two at the fingers, from left to right, then the
    /// two at the wrist.
    pub corners: [Place; 4],
}

/// An image as a PNG file.
pub fn png(image: &GrayImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image
        .write_to(&mut file, ImageFormat::Png)
        .expect("memory takes an image of any size");
    file.into_inner()
}

/// Exchanges the rows and columns of a square.
fn transpose(from: &[Complex32], to: &mut [Complex32], side: usize) {
    for (y, row) in from.chunks(side).enumerate() {
        for (x, value) in row.iter().enumerate() {
            to[x * side + y] = *value;
        }
    }
}

#[cfg(test)]
#[path = "palms_tests.rs"]
mod tests;
