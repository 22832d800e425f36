//! Which pixels of an image are the hand: bright against dark, the largest piece, without holes. Knows no fingers.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of a reduced image"
)]

use image::{GrayImage, Luma};
use imageproc::contrast::otsu_level;
use imageproc::definitions::Image;
use imageproc::drawing::flood_fill_mut;
use imageproc::filter::separable_filter_equal;
use imageproc::region_labelling::{Connectivity, connected_components};
use imageproc::stats::histogram;

use super::failure::FailureToAcquire;
use super::grey::Grey;

/// The highest level of those that are told apart in search of a threshold.
const TOP: f32 = 255.0;
/// Share of all variance that must lie between the two sides of the threshold. One bell has 0.64 of it
/// there and an even spread 0.75, so that two groups need more.
const SEPARATION_MIN: f64 = 0.75;
/// Between the two groups there must be a level that so much fewer pixels have than the summit of the lesser group.
const VALLEY_MAX: f64 = 0.6;
/// Where the threshold lies between the ground (0) and the mean of the hand (1), and how many deviations of the ground it
/// lies above it at least.
const NEARER: f32 = 0.3;
const SPREAD: f32 = 5.0;
/// Levels on each side that counts are averaged over in search of summits and the valley between them.
const NEAR: usize = 6;
/// The range of brightness is that of all pixels but this share at each end: a speck of dust or a lamp says nothing.
const TAIL: f32 = 0.01;
/// Least range, as the root of the brightness: about three steps of an image of 8 bits.
const RANGE_MIN: f32 = 0.04;
/// Where nothing is brighter than this, what can't be told apart is too dark.
const DARK: f32 = 0.2;
/// Share of the image that a hand takes.
const AREA: [f32; 2] = [0.06, 0.8];

/// Pixels of a hand, row by row.
pub struct Mask {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 where the hand is, 0 elsewhere and in a frame of one pixel around the image.
    pub inside: GrayImage,
    /// The size of the largest other piece that is as bright, as a share of the hand's.
    pub other: f32,
    /// Brightness beyond the threshold, for borders finer than a pixel.
    above: Image<Luma<f32>>,
}

impl Mask {
    /// Finds the hand, which must be brighter than what is behind it.
    pub fn of(image: &Grey) -> Result<Self, FailureToAcquire> {
        let (width, height) = (image.width(), image.height());
        // The root lets less of a hand that is lit from one side fall below the threshold.
        let roots = image.values().iter().map(|v| v.clamp(0.0, 1.0).sqrt()).collect();
        let roots = Image::<Luma<f32>>::from_raw(width as u32, height as u32, roots);
        // Noise of single pixels frays borders.
        let mut values = separable_filter_equal(&roots.expect("a root for every pixel"), &[0.25, 0.5, 0.25]);
        let [low, high] = range(&values);
        let brightest = values.iter().copied().fold(0.0, f32::max);
        let none = if brightest * brightest < DARK {
            FailureToAcquire::TooDark
        } else {
            FailureToAcquire::NoHand
        };
        if high - low < RANGE_MIN {
            return Err(none);
        }
        for value in values.iter_mut() {
            *value = (*value - low) / (high - low);
        }
        let threshold = threshold(&values).ok_or(none)?;
        for value in values.iter_mut() {
            *value -= threshold;
        }
        let above = values;
        let (piece, other) = largest(&above).ok_or(FailureToAcquire::NoHand)?;
        let inside = filled(piece);
        let share = inside.iter().filter(|shade| **shade > 0).count() as f32 / above.len() as f32;
        if !(AREA[0]..=AREA[1]).contains(&share) {
            return Err(FailureToAcquire::NoHand);
        }
        Ok(Self {
            width,
            height,
            inside,
            other,
            above,
        })
    }

    /// Where the border runs near one of its pixels: at most a pixel from it, along the slope of the brightness.
    pub fn border(&self, x: usize, y: usize) -> [f32; 2] {
        let value = |x: usize, y: usize| self.above[(x as u32, y as u32)][0];
        let (left, right) = (x.saturating_sub(1), (x + 1).min(self.width - 1));
        let (up, down) = (y.saturating_sub(1), (y + 1).min(self.height - 1));
        let slope = [
            (value(right, y) - value(left, y)) / 2.0,
            (value(x, down) - value(x, up)) / 2.0,
        ];
        let squared = (slope[0] * slope[0] + slope[1] * slope[1]).max(f32::MIN_POSITIVE);
        let reach = (value(x, y) / squared).clamp(-squared.sqrt().recip(), squared.sqrt().recip());
        [x as f32 - reach * slope[0], y as f32 - reach * slope[1]]
    }

    /// Whether a pixel belongs to the hand; none beyond the image does.
    pub fn has(&self, x: i32, y: i32) -> bool {
        let [x, y] = [x, y].map(|t| u32::try_from(t.saturating_add(1)).unwrap_or(0));
        self.inside
            .get_pixel_checked(x, y)
            .is_some_and(|shade| shade[0] > 0)
    }
}

/// The largest connected piece, in a frame of a pixel, and the size of the largest other one as a share of it.
fn largest(above: &Image<Luma<f32>>) -> Option<(GrayImage, f32)> {
    let (width, height) = above.dimensions();
    let bright = GrayImage::from_fn(width, height, |x, y| Luma([u8::from(above[(x, y)][0] > 0.0)]));
    let pieces = connected_components(&bright, Connectivity::Four, Luma([0]));
    let mut sizes = vec![0_u32; *pieces.iter().max()? as usize + 1];
    for piece in pieces.iter().filter(|piece| **piece > 0) {
        sizes[*piece as usize] += 1;
    }
    // The first of those that are as large.
    let best = (1..sizes.len()).rev().max_by_key(|piece| sizes[*piece])?;
    let size = std::mem::take(&mut sizes[best]);
    let other = sizes.into_iter().max()? as f32 / size as f32;
    let mut framed = GrayImage::new(width + 2, height + 2);
    for (x, y, piece) in pieces.enumerate_pixels() {
        if piece[0] as usize == best {
            framed.put_pixel(x + 1, y + 1, Luma([1]));
        }
    }
    Some((framed, other))
}

/// The same with everything inside that the frame can't reach.
fn filled(mut framed: GrayImage) -> GrayImage {
    flood_fill_mut(&mut framed, 0, 0, Luma([2]));
    for shade in framed.iter_mut() {
        *shade = u8::from(*shade != 2);
    }
    framed
}

/// The least and the greatest value but for the tails.
fn range(values: &[f32]) -> [f32; 2] {
    let mut values = values.to_vec();
    let last = values.len() - 1;
    let tail = (TAIL * last as f32) as usize;
    [tail, last - tail].map(|at| *values.select_nth_unstable_by(at, f32::total_cmp).1)
}

/// The brightness that parts two groups best (Otsu, 1979), if there are two.
fn threshold(values: &Image<Luma<f32>>) -> Option<f32> {
    let level = |x, y| Luma([(values[(x, y)][0].clamp(0.0, 1.0) * TOP) as u8]);
    let levels = GrayImage::from_fn(values.width(), values.height(), level);
    let k = usize::from(otsu_level(&levels));
    let counts = histogram(&levels).channels[0].map(f64::from);
    let moment = |counts: &[f64], power| -> f64 {
        let terms = counts.iter().enumerate().map(|(k, n)| n * (k as f64).powi(power));
        terms.sum::<f64>() / values.len() as f64
    };
    let mean = moment(&counts, 1);
    let variance = moment(&counts, 2) - mean * mean;
    let [below, sum_below] = [0, 1].map(|power| moment(&counts[..=k], power));
    let between = (mean * below - sum_below).powi(2) / (below * (1.0 - below));
    let apart = between >= SEPARATION_MIN * variance && parted(&counts, k);
    apart.then(|| lowered(&counts, k) / TOP)
}

/// A threshold nearer to what is behind the hand than the one that parts best: a ground is of one
/// brightness, while parts of a hand lie in its own shadow. Never so near that the ground's own spread
/// reaches it, which is taken from its darker half: the brighter one may hold fingers in the dark.
fn lowered(counts: &[f64], level: usize) -> f32 {
    let (ground, hand) = counts.split_at(level + 1);
    let total: f64 = ground.iter().sum();
    let quantile = |part: f64| {
        let mut sum = 0.0;
        let reached = |count: &f64| {
            sum += count;
            sum >= part * total
        };
        ground.iter().position(reached).unwrap_or(0) as f32
    };
    let (middle, lower) = (quantile(0.5), quantile(0.16));
    let weight: f64 = hand.iter().sum();
    let mean = hand.iter().enumerate().map(|(k, n)| n * k as f64).sum::<f64>() / weight + level as f64 + 1.0;
    let nearer = (NEARER * (mean as f32 - middle)).max(SPREAD * (middle - lower + 1.0));
    (middle + nearer).min(level as f32 + 0.5)
}

/// Whether the counts have a valley between a summit on each side of a level.
fn parted(counts: &[f64], level: usize) -> bool {
    let near = |k: usize| {
        let part = &counts[k.saturating_sub(NEAR)..(k + NEAR + 1).min(counts.len())];
        part.iter().sum::<f64>() / part.len() as f64
    };
    let summit = |range: std::ops::Range<usize>| range.max_by(|a, b| near(*a).total_cmp(&near(*b)));
    let (Some(below), Some(above)) = (summit(0..level + 1), summit(level + 1..counts.len())) else {
        return false;
    };
    let valley = (below..=above).map(near).fold(f64::INFINITY, f64::min);
    valley <= VALLEY_MAX * near(below).min(near(above))
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
