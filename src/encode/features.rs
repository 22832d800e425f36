//! Orientation features of a region: which way its lines run, pooled on a grid. Knows no hands, learns nothing.
//!
//! The family of Competitive Code (Kong and Zhang, 2004): a bank of even Gabor filters whose
//! strongest negative response says which way a dark line runs at a pixel. Here every pixel shares
//! itself out among the orientations (softmax), and overlapping windows add the shares up, so that
//! a shift of some pixels moves little.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "pixels, filters and windows number a few hundred"
)]

use std::f32::consts::PI;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::grey::Grey;

/// Side of a region in pixels.
pub const SIDE: usize = 128;
/// Directions of lines that are told apart, 15 degrees from one to the next.
pub const ORIENTATIONS: usize = 12;
/// Pooling windows in a row and in a column.
pub const GRID: usize = 12;
/// Length of a feature vector: windows row by row, the orientations of a window together.
pub const FEATURES: usize = GRID * GRID * ORIENTATIONS;

/// Spread of a filter across the line, in pixels.
const ACROSS: f32 = 4.2;
/// Spread along the line, in spreads across it.
const ELONGATION: f32 = 1.92;
/// Pixels of a period. A Gabor filter whose half-amplitude bandwidth is three octaves, as that of
/// Competitive Code, has a period of 2π/κ spreads with κ = √(2 ln 2)·(2³+1)/(2³−1) = 1.514. Half a
/// period, 8.7 pixels, is about the width of a principal line with its shoulders.
const WAVELENGTH: f32 = 17.43;
/// Softness of the assignment, in deviations of the responses.
const SOFTNESS: f32 = 0.1;
/// From the centre of a pooling window, where it counts 1, to where it counts 0, in pixels.
const REACH: f32 = 15.0;

/// Beside the region as it is, its features are taken turned by these angles, in degrees, and the
/// sum is what counts: hands are never held quite the same way.
const TURNS: [f32; 2] = [-3.0, 3.0];

/// Mirrored pixels on each side, as far as a filter reaches (four spreads along the line).
const MARGIN: usize = 32;
const PADDED: usize = SIDE + 2 * MARGIN;
/// Responses have next to nothing above a quarter of the sampling rate, so every second is enough.
const STEP: usize = 2;
const COARSE: usize = PADDED / STEP;
const KEPT: usize = SIDE / STEP;
const FIRST: usize = MARGIN / STEP;

/// Extracts features; holds the filters. Shared among threads.
pub struct Extractor {
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    /// Two filters each, one as the real and one as the imaginary part, so that one transform
    /// gives two responses.
    filters: Vec<Vec<Complex32>>,
    windows: Vec<Window>,
}

/// A pooling window on one axis: the weights of the responses from `first` on.
struct Window {
    first: usize,
    weights: Vec<f32>,
}

impl Extractor {
    /// Makes the filters.
    pub fn new() -> Self {
        let mut planner = FftPlanner::new();
        let filters = (0..ORIENTATIONS / 2)
            .map(|pair| {
                let (a, b) = (spectrum(2 * pair), spectrum(2 * pair + 1));
                a.into_iter().zip(b).map(|(a, b)| Complex32::new(a, b)).collect()
            })
            .collect();
        Self {
            forward: planner.plan_fft_forward(PADDED),
            inverse: planner.plan_fft_inverse(COARSE),
            filters,
            windows: (0..GRID).map(window).collect(),
        }
    }

    /// The features of a region of [`SIDE`] × [`SIDE`] grey values, row by row: [`FEATURES`] numbers
    /// of unit norm. All zero for a region that is the same everywhere. Brightness and contrast
    /// don't matter, and a small turn matters little.
    pub fn extract(&self, region: &Grey) -> Vec<f32> {
        assert_eq!((region.width(), region.height()), (SIDE, SIDE), "a region's size");
        let mut sum = self.upright(region.values());
        for degrees in TURNS {
            let turned = self.upright(turned(region, degrees).values());
            for (sum, value) in sum.iter_mut().zip(turned) {
                *sum += value;
            }
        }
        super::normalize(&mut sum);
        sum
    }

    fn upright(&self, region: &[f32]) -> Vec<f32> {
        let mut responses = self.responses(region);
        soften(&mut responses);
        let mut features = vec![0.0; FEATURES];
        for (orientation, map) in responses.iter().enumerate() {
            self.pool(map, orientation, &mut features);
        }
        for block in features.chunks_mut(ORIENTATIONS) {
            let mean = block.iter().sum::<f32>() / ORIENTATIONS as f32;
            for value in block {
                *value -= mean;
                *value = value.abs().sqrt().copysign(*value);
            }
        }
        super::normalize(&mut features);
        features
    }

    /// What each filter says at every second pixel of every second row.
    fn responses(&self, region: &[f32]) -> Vec<Vec<f32>> {
        let spectrum = self.spectrum_of(region);
        let mut maps = Vec::with_capacity(ORIENTATIONS);
        let mut product = vec![Complex32::default(); COARSE * COARSE];
        for pair in &self.filters {
            for ((out, value), filter) in product.iter_mut().zip(&spectrum).zip(pair) {
                *out = value * filter;
            }
            transform(&*self.inverse, &mut product, COARSE);
            let kept = |row: usize| {
                let begin = (FIRST + row) * COARSE + FIRST;
                product[begin..begin + KEPT].iter()
            };
            maps.push((0..KEPT).flat_map(kept).map(|c| c.re).collect());
            maps.push((0..KEPT).flat_map(kept).map(|c| c.im).collect());
        }
        maps
    }

    /// The lower frequencies of the region with mirrored margins, column by column.
    fn spectrum_of(&self, region: &[f32]) -> Vec<Complex32> {
        let mut field = Vec::with_capacity(PADDED * PADDED);
        for y in 0..PADDED {
            let row = mirrored(y) * SIDE;
            field.extend((0..PADDED).map(|x| Complex32::new(region[row + mirrored(x)], 0.0)));
        }
        transform(&*self.forward, &mut field, PADDED);
        let from = |k: usize| if k < COARSE / 2 { k } else { k + PADDED - COARSE };
        (0..COARSE)
            .flat_map(|x| (0..COARSE).map(move |y| (x, y)))
            .map(|(x, y)| field[from(x) * PADDED + from(y)])
            .collect()
    }

    fn pool(&self, map: &[f32], orientation: usize, features: &mut [f32]) {
        for (gy, down) in self.windows.iter().enumerate() {
            let mut sums = [0.0_f32; KEPT];
            for (row, weight) in map.chunks_exact(KEPT).skip(down.first).zip(&down.weights) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += weight * value;
                }
            }
            for (gx, across) in self.windows.iter().enumerate() {
                let pooled: f32 = sums[across.first..]
                    .iter()
                    .zip(&across.weights)
                    .map(|(sum, weight)| sum * weight)
                    .sum();
                features[(gy * GRID + gx) * ORIENTATIONS + orientation] = pooled;
            }
        }
    }
}

impl Default for Extractor {
    fn default() -> Self {
        Self::new()
    }
}

/// The region turned about its centre.
fn turned(region: &Grey, degrees: f32) -> Grey {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = (SIDE - 1) as f32 / 2.0;
    let side = SIDE as u32;
    Grey::from_fn(side, side, |x, y| {
        let (x, y) = (x - centre, y - centre);
        region.at(cos * x - sin * y + centre, sin * x + cos * y + centre)
    })
}

/// Turns responses into shares: at each pixel they sum to one, and the most negative has the most.
fn soften(responses: &mut [Vec<f32>]) {
    let count = (ORIENTATIONS * KEPT * KEPT) as f64;
    let sum_of =
        |f: &dyn Fn(f64) -> f64| -> f64 { responses.iter().flatten().map(|r| f(f64::from(*r))).sum() };
    let mean = sum_of(&|r| r) / count;
    let deviation = (sum_of(&|r| (r - mean).powi(2)) / count).sqrt() as f32;
    let scale = -1.0 / (SOFTNESS * deviation).max(f32::MIN_POSITIVE);
    let mut shares = [0.0_f32; ORIENTATIONS];
    for pixel in 0..KEPT * KEPT {
        for (share, map) in shares.iter_mut().zip(responses.iter()) {
            *share = map[pixel] * scale;
        }
        let best = shares.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut total = 0.0;
        for share in &mut shares {
            *share = (*share - best).exp();
            total += *share;
        }
        for (share, map) in shares.iter().zip(responses.iter_mut()) {
            map[pixel] = share / total;
        }
    }
}

/// The spectrum of an even Gabor filter for lines in one direction, without a constant part, column
/// by column. Orientation 0 is for a line that runs along x.
fn spectrum(orientation: usize) -> Vec<f32> {
    let (sin, cos) = (PI * orientation as f32 / ORIENTATIONS as f32).sin_cos();
    let bell = |across: f32, along: f32| {
        let exponent = (ACROSS * across).powi(2) + (ACROSS * ELONGATION * along).powi(2);
        (-2.0 * PI * PI * exponent).exp()
    };
    let centre = 1.0 / WAVELENGTH;
    let constant = 2.0 * bell(centre, 0.0);
    let frequency = |k: usize| {
        let signed = if k < COARSE / 2 {
            k as i32
        } else {
            k as i32 - COARSE as i32
        };
        signed as f32 / PADDED as f32
    };
    let mut values = Vec::with_capacity(COARSE * COARSE);
    for u in (0..COARSE).map(frequency) {
        for v in (0..COARSE).map(frequency) {
            let (along, across) = (u * cos + v * sin, v * cos - u * sin);
            let sides = bell(across - centre, along) + bell(across + centre, along);
            values.push(sides - constant * bell(across, along));
        }
    }
    values
}

fn window(number: usize) -> Window {
    let centre = (number as f32 + 0.5) * SIDE as f32 / GRID as f32 - 0.5;
    let weight = |k: usize| (1.0 - ((k * STEP) as f32 - centre).abs() / REACH).max(0.0);
    let first = (0..KEPT).find(|&k| weight(k) > 0.0).unwrap_or(0);
    let weights = (first..KEPT).map(weight).take_while(|w| *w > 0.0).collect();
    Window { first, weights }
}

/// The pixel of the region that stands at a padded position.
fn mirrored(at: usize) -> usize {
    let at = at as i32 - MARGIN as i32;
    let last = SIDE as i32 - 1;
    let inside = if at < 0 {
        -at
    } else if at > last {
        2 * last - at
    } else {
        at
    };
    inside as usize
}

/// A transform in two dimensions that leaves rows and columns exchanged; the second one puts them back.
fn transform(fft: &dyn Fft<f32>, field: &mut Vec<Complex32>, side: usize) {
    let mut scratch = vec![Complex32::default(); fft.get_inplace_scratch_len()];
    let mut turned = vec![Complex32::default(); side * side];
    fft.process_with_scratch(field, &mut scratch);
    turn(field, &mut turned, side);
    fft.process_with_scratch(&mut turned, &mut scratch);
    *field = turned;
}

fn turn(from: &[Complex32], to: &mut [Complex32], side: usize) {
    const TILE: usize = 16;
    for top in (0..side).step_by(TILE) {
        for left in (0..side).step_by(TILE) {
            for y in top..(top + TILE).min(side) {
                for x in left..(left + TILE).min(side) {
                    to[x * side + y] = from[y * side + x];
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod tests;
