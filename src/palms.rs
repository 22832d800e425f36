//! Synthetic palms: images that stand in for real ones where none may be kept. Claims nothing about real palms.
//!
//! A palm is a relief: principal lines of the three known types, secondary creases, wrinkles, skin.
//! A capture is a view of it: pose, deformation, light, blur, noise, missing parts. Every image is
//! a pure function of the seed, the style and its own numbers, whatever the order or the thread.

use image::GrayImage;
use image::imageops::flip_horizontal_in_place;
use rustfft::num_complex::Complex32;

pub mod anatomy;
pub mod capture;
pub mod curve;
pub mod preset;
pub mod random;
pub mod relief;
pub mod skin;
pub mod smooth;
pub mod style;

use capture::View;
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

/// A family of palms.
pub struct Palms {
    seed: u64,
    style: Style,
    side: Side,
}

/// One palm.
pub struct Palm<'a> {
    palms: &'a Palms,
    number: u64,
    hardship: f32,
    relief: Relief,
}

impl Palms {
    /// Palms of a seed and a style.
    pub fn new(seed: u64, style: Style, side: Side) -> Self {
        Self { seed, style, side }
    }

    /// A palm by its number.
    pub fn palm(&self, number: u64) -> Palm<'_> {
        let mut habit = Random::new(self.seed, Purpose::Habit, number, 0);
        Palm {
            palms: self,
            number,
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
        if self.palms.side == Side::Right {
            flip_horizontal_in_place(&mut image);
        }
        image
    }
}

/// Exchanges the rows and columns of a square.
fn transpose(from: &[Complex32], to: &mut [Complex32], side: usize) {
    for (y, row) in from.chunks(side).enumerate() {
        for (x, value) in row.iter().enumerate() {
            to[x * side + y] = *value;
        }
    }
}
