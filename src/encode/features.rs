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
use super::region::{Region, SIDE};

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
/// Responses of a picture with values from 0 to 1 that differ by less are rounding, not lines.
const DEVIATION_MIN: f32 = 1e-5;
/// Shares whose sum over a window differs from the mean by less are equal but for rounding.
const EQUAL: f32 = 1e-5;
/// How far a response is from what isn't seen, in pixels, if it counts: a filter's spread across the line.
const CLEAR: f32 = 4.0;
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

    /// The features of a region: [`FEATURES`] numbers of unit norm. All zero where nothing is seen, or
    /// the same everywhere. Brightness and contrast don't matter, a small turn matters little, and
    /// what isn't seen says nothing.
    pub fn extract(&self, region: &Region) -> Vec<f32> {
        let mut sum = self.upright(region.grey().values(), &clear(region.seen(), 0.0));
        for degrees in TURNS {
            let turned = turned(region.grey(), degrees);
            let turned = self.upright(turned.values(), &clear(region.seen(), degrees));
            for (sum, value) in sum.iter_mut().zip(turned) {
                *sum += value;
            }
        }
        super::normalize(&mut sum);
        sum
    }

    /// `clear` says of each response whether it counts.
    fn upright(&self, region: &[f32], clear: &[bool]) -> Vec<f32> {
        let mut responses = self.responses(region);
        soften(&mut responses, clear);
        let mut features = vec![0.0; FEATURES];
        for (orientation, map) in responses.iter().enumerate() {
            self.pool(map, orientation, &mut features);
        }
        for block in features.chunks_mut(ORIENTATIONS) {
            let mean = block.iter().sum::<f32>() / ORIENTATIONS as f32;
            for value in block {
                *value -= mean;
                // What rounding leaves of equal shares is nothing.
                *value = if value.abs() < EQUAL {
                    0.0
                } else {
                    value.abs().sqrt().copysign(*value)
                };
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

/// Which responses are of skin alone, in a region turned by some degrees: a filter's middle doesn't reach what isn't seen.
fn clear(seen: &[bool], degrees: f32) -> Vec<bool> {
    if !seen.contains(&false) {
        return vec![true; KEPT * KEPT];
    }
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = (SIDE - 1) as f32 / 2.0;
    let is_seen = |x: f32, y: f32| {
        let [x, y] = [cos * x - sin * y, sin * x + cos * y]
            .map(|t| (t + centre).round().clamp(0.0, (SIDE - 1) as f32) as usize);
        seen[y * SIDE + x]
    };
    let near = [-CLEAR, 0.0, CLEAR];
    let all_seen = |at: usize| {
        let [x, y] = [at % KEPT, at / KEPT].map(|t| (t * STEP) as f32 - centre);
        near.iter()
            .all(|dy| near.iter().all(|dx| is_seen(x + dx, y + dy)))
    };
    (0..KEPT * KEPT).map(all_seen).collect()
}

/// Turns responses into shares: at each pixel they sum to one, and the most negative has the most.
/// Where nothing is clear, or all responses are alike, shares are equal.
fn soften(responses: &mut [Vec<f32>], clear: &[bool]) {
    let deviation = deviation(responses, clear);
    let scale = -1.0 / (SOFTNESS * deviation);
    let equal = 1.0 / ORIENTATIONS as f32;
    let mut shares = [0.0_f32; ORIENTATIONS];
    for (pixel, clear) in clear.iter().enumerate() {
        if !clear || deviation < DEVIATION_MIN {
            for map in responses.iter_mut() {
                map[pixel] = equal;
            }
            continue;
        }
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

/// Deviation of the responses that count, over all orientations; 0 where none does.
fn deviation(responses: &[Vec<f32>], clear: &[bool]) -> f32 {
    let counted = || {
        let all = responses.iter().flat_map(|map| map.iter().zip(clear));
        all.filter(|(_, clear)| **clear).map(|(r, _)| f64::from(*r))
    };
    let count = counted().count().max(1) as f64;
    let mean = counted().sum::<f64>() / count;
    (counted().map(|r| (r - mean).powi(2)).sum::<f64>() / count).sqrt() as f32
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
