//! Which pixels of an image are the hand: bright against dark, the largest piece, without holes. Knows no fingers.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of a reduced image"
)]

use super::failure::FailureToAcquire;
use super::grey::Grey;

/// Levels that are told apart in search of a threshold.
const LEVELS: usize = 256;
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
    /// Whether a pixel is of the hand.
    pub inside: Vec<bool>,
    /// The size of the largest other piece that is as bright, as a share of the hand's.
    pub other: f32,
    /// Brightness beyond the threshold, for borders finer than a pixel.
    above: Vec<f32>,
}

impl Mask {
    /// Finds the hand, which must be brighter than what is behind it.
    pub fn of(image: &Grey) -> Result<Self, FailureToAcquire> {
        let (width, height) = (image.width(), image.height());
        // The root lets less of a hand that is lit from one side fall below the threshold.
        let roots: Vec<f32> = image.values().iter().map(|v| v.clamp(0.0, 1.0).sqrt()).collect();
        let roots = softened(&roots, width);
        let [low, high] = range(&roots);
        let brightest = roots.iter().copied().fold(0.0, f32::max);
        let none = if brightest * brightest < DARK {
            FailureToAcquire::TooDark
        } else {
            FailureToAcquire::NoHand
        };
        if high - low < RANGE_MIN {
            return Err(none);
        }
        let stretched: Vec<f32> = roots.iter().map(|v| (v - low) / (high - low)).collect();
        let threshold = threshold(&stretched).ok_or(none)?;
        let above: Vec<f32> = stretched.iter().map(|v| v - threshold).collect();
        let all = Self {
            width,
            height,
            inside: above.iter().map(|v| *v > 0.0).collect(),
            other: 0.0,
            above,
        };
        let mask = all.largest().ok_or(FailureToAcquire::NoHand)?.filled();
        let share = mask.inside.iter().filter(|i| **i).count() as f32 / mask.inside.len() as f32;
        if !(AREA[0]..=AREA[1]).contains(&share) {
            return Err(FailureToAcquire::NoHand);
        }
        Ok(mask)
    }

    /// Where the border runs near one of its pixels: at most a pixel from it, along the slope of the brightness.
    pub fn border(&self, x: usize, y: usize) -> [f32; 2] {
        let value = |x: usize, y: usize| self.above[y * self.width + x];
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
        let within = |t: i32, count: usize| usize::try_from(t).ok().filter(|t| *t < count);
        match (within(x, self.width), within(y, self.height)) {
            (Some(x), Some(y)) => self.inside[y * self.width + x],
            _ => false,
        }
    }

    /// The largest connected piece.
    fn largest(mut self) -> Option<Self> {
        let (mut seen, mut best, mut second) = (vec![false; self.inside.len()], Vec::new(), 0);
        for start in 0..self.inside.len() {
            if !seen[start] && self.inside[start] {
                let piece = self.piece(start, &mut seen);
                if piece.len() > best.len() {
                    second = best.len();
                    best = piece;
                } else {
                    second = second.max(piece.len());
                }
            }
        }
        self.inside.fill(false);
        for at in &best {
            self.inside[*at] = true;
        }
        self.other = second as f32 / best.len().max(1) as f32;
        (!best.is_empty()).then_some(self)
    }

    /// The pixels that hang together with one.
    fn piece(&self, start: usize, seen: &mut [bool]) -> Vec<usize> {
        let mut piece = vec![start];
        seen[start] = true;
        let mut next = 0;
        while let Some(&at) = piece.get(next) {
            next += 1;
            let (x, y) = (at % self.width, at / self.width);
            let sides = [
                (x > 0).then(|| at - 1),
                (x + 1 < self.width).then(|| at + 1),
                (y > 0).then(|| at - self.width),
                (y + 1 < self.height).then(|| at + self.width),
            ];
            for side in sides.into_iter().flatten() {
                if !seen[side] && self.inside[side] == self.inside[start] {
                    seen[side] = true;
                    piece.push(side);
                }
            }
        }
        piece
    }

    /// The same with everything inside that the edge of the image can't reach.
    fn filled(mut self) -> Self {
        let (width, height) = (self.width, self.height);
        let (mut reached, mut outside) = (vec![false; self.inside.len()], Vec::new());
        let rim = (0..self.inside.len()).filter(|at| {
            let (x, y) = (at % width, at / width);
            x == 0 || y == 0 || x + 1 == width || y + 1 == height
        });
        for at in rim {
            if !reached[at] && !self.inside[at] {
                outside.extend(self.piece(at, &mut reached));
            }
        }
        self.inside.fill(true);
        for at in outside {
            self.inside[at] = false;
        }
        self
    }
}

/// The mean of each pixel and its neighbours, the nearer ones counting more: noise of single pixels frays borders.
fn softened(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width;
    let mean = |before: f32, at: f32, after: f32| (before + 2.0 * at + after) / 4.0;
    let row = |row: &[f32]| -> Vec<f32> {
        let value = |x: usize| row[x.min(width - 1)];
        (0..width)
            .map(|x| mean(value(x.saturating_sub(1)), value(x), value(x + 1)))
            .collect()
    };
    let rows: Vec<Vec<f32>> = values.chunks(width).map(row).collect();
    let column = |y: usize| {
        let (up, at, down) = (
            &rows[y.saturating_sub(1)],
            &rows[y],
            &rows[(y + 1).min(height - 1)],
        );
        (0..width).map(move |x| mean(up[x], at[x], down[x]))
    };
    (0..height).flat_map(column).collect()
}

/// The least and the greatest value but for the tails.
fn range(values: &[f32]) -> [f32; 2] {
    let mut values = values.to_vec();
    let last = values.len() - 1;
    let tail = (TAIL * last as f32) as usize;
    [tail, last - tail].map(|at| *values.select_nth_unstable_by(at, f32::total_cmp).1)
}

/// The brightness that parts two groups best (Otsu, 1979), if there are two.
fn threshold(values: &[f32]) -> Option<f32> {
    let mut counts = [0.0_f64; LEVELS];
    let top = (LEVELS - 1) as f32;
    for value in values {
        counts[(value.clamp(0.0, 1.0) * top) as usize] += 1.0;
    }
    let total = values.len() as f64;
    let level = |k: usize| k as f64 / f64::from(top);
    let sum: f64 = counts.iter().enumerate().map(|(k, n)| n * level(k)).sum();
    let mean = sum / total;
    let variance = counts
        .iter()
        .enumerate()
        .map(|(k, n)| n * (level(k) - mean).powi(2))
        .sum::<f64>()
        / total;
    let (mut below, mut sum_below) = (0.0, 0.0);
    let mut best = (0.0, 0);
    for (k, count) in counts.iter().enumerate().take(LEVELS - 1) {
        below += count;
        sum_below += count * level(k);
        let above = total - below;
        if below > 0.0 && above > 0.0 {
            let difference = (sum - sum_below) / above - sum_below / below;
            let between = below * above * (difference / total).powi(2);
            if between > best.0 {
                best = (between, k);
            }
        }
    }
    let (between, k) = best;
    let apart = between >= SEPARATION_MIN * variance && parted(&counts, k);
    apart.then(|| lowered(&counts, k) / top)
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
