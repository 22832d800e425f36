//! The skin between the lines: texture with a falling spectrum, blotches, ridges, mounds. Knows no lines.

#![expect(clippy::cast_precision_loss, reason = "pixels of a small map")]

use std::f32::consts::TAU;

use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

use super::random::Random;
use super::smooth::Smooth;
use super::style::{Skin, Span};

/// Brightness changes of the skin, as shares, on a square grid; row by row.
pub fn texture(style: &Skin, side: usize, per_unit: f32, random: &mut Random) -> Vec<f32> {
    let exponent = random.within(style.exponent);
    let strength = random.within(style.texture);
    let fine = spectral(side, exponent, [1.5 / per_unit * 4.0, 0.5], random);
    let blotches = Smooth::new(random, 9);
    let broad = random.within(style.blotches);
    let ridges = Ridges::new(style, random);
    let place = |k: usize| k as f32 / side as f32;
    let mut cells = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            let blotch = broad * blotches.at(place(x), place(y));
            cells.push(
                strength * fine[y * side + x]
                    + blotch
                    + ridges.at(place(x), place(y), side as f32 / per_unit),
            );
        }
    }
    cells
}

/// Heights of the mounds: one below each finger, the thenar, the hypothenar, and the hollow between.
pub fn mounds(style: &Skin, random: &mut Random) -> impl Fn(f32, f32) -> f32 {
    const USUAL: [[f32; 4]; 6] = [
        [0.1, 0.85, 0.33, 1.0],
        [0.95, 0.75, 0.33, 0.9],
        [0.12, 0.08, 0.16, 0.6],
        [0.4, 0.04, 0.14, 0.5],
        [0.68, 0.06, 0.14, 0.5],
        [0.92, 0.18, 0.15, 0.6],
    ];
    let height = random.within(style.mounds);
    let mounds = USUAL.map(|[x, y, wide, high]| {
        let stray = |random: &mut Random| random.normal(0.05);
        let (x, y) = (x + stray(random), y + stray(random));
        let (wide, high) = (
            wide * (1.0 + random.normal(0.2)).max(0.5),
            high * (1.0 + random.normal(0.3)),
        );
        [x, y, wide, height * high]
    });
    move |x, y| {
        let bell = |[mx, my, wide, high]: &[f32; 4]| {
            let squared = ((x - mx).powi(2) + (y - my).powi(2)) / (wide * wide);
            high * (-0.5 * squared).exp()
        };
        mounds.iter().map(bell).sum()
    }
}

/// Ridges in smoothly bent rows.
struct Ridges {
    strength: f32,
    along: [f32; 2],
    bend: Smooth,
    bent: f32,
    patches: Smooth,
}

impl Ridges {
    fn new(style: &Skin, random: &mut Random) -> Self {
        let Span { low, high } = style.ridge_period;
        let period = low + (high - low) * random.unit();
        let (sin, cos) = (TAU * random.unit()).sin_cos();
        let waves = super::anatomy::REGION / period;
        Self {
            strength: random.within(style.ridges),
            along: [waves * cos, waves * sin],
            bend: Smooth::new(random, 5),
            bent: 0.12 * waves,
            patches: Smooth::new(random, 6),
        }
    }

    fn at(&self, x: f32, y: f32, units: f32) -> f32 {
        if self.strength == 0.0 {
            return 0.0;
        }
        let waves = units * (self.along[0] * x + self.along[1] * y) + self.bent * self.bend.at(x, y);
        let patch = (0.7 + 0.5 * self.patches.at(x, y)).clamp(0.0, 1.5);
        self.strength * patch * (TAU * waves).sin()
    }
}

/// Noise of deviation 1 whose power falls with this power of the frequency, within a band of cycles a cell.
fn spectral(side: usize, exponent: f32, [low, high]: [f32; 2], random: &mut Random) -> Vec<f32> {
    let mut planner = FftPlanner::new();
    let (forward, inverse) = (planner.plan_fft_forward(side), planner.plan_fft_inverse(side));
    let mut field: Vec<Complex32> = (0..side * side)
        .map(|_| Complex32::new(random.normal(1.0), 0.0))
        .collect();
    let mut turned = field.clone();
    forward.process(&mut field);
    super::transpose(&field, &mut turned, side);
    forward.process(&mut turned);
    let frequency = |k: usize| k.min(side - k) as f32 / side as f32;
    for u in 0..side {
        for v in 0..side {
            let f = frequency(u).hypot(frequency(v));
            let gain = if (low..=high).contains(&f) {
                f.powf(-exponent / 2.0)
            } else {
                0.0
            };
            turned[u * side + v] *= gain;
        }
    }
    inverse.process(&mut turned);
    super::transpose(&turned, &mut field, side);
    inverse.process(&mut field);
    let squared: f32 = field.iter().map(|c| c.re * c.re).sum::<f32>() / field.len() as f32;
    let scale = squared.sqrt().max(f32::MIN_POSITIVE).recip();
    field.iter().map(|c| c.re * scale).collect()
}
