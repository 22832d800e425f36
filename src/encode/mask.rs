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
/// Share of all variance that must lie between the two sides of the threshold: two bells of equal
/// size need more, and no image of a hand before a dark ground has less.
const SEPARATION_MIN: f64 = 0.6;
/// Least difference between the means of the two sides.
const DIFFERENCE_MIN: f64 = 0.08;
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
}

impl Mask {
    /// Finds the hand, which must be brighter than what is behind it.
    pub fn of(image: &Grey) -> Result<Self, FailureToAcquire> {
        let threshold = threshold(image.values()).ok_or(FailureToAcquire::NoHand)?;
        let bright: Vec<bool> = image.values().iter().map(|v| *v > threshold).collect();
        let (width, height) = (image.width(), image.height());
        let all = Self {
            width,
            height,
            inside: bright,
        };
        let hand = all.largest(true).ok_or(FailureToAcquire::NoHand)?;
        let mask = hand.filled();
        let share = mask.inside.iter().filter(|i| **i).count() as f32 / mask.inside.len() as f32;
        if !(AREA[0]..=AREA[1]).contains(&share) {
            return Err(FailureToAcquire::NoHand);
        }
        Ok(mask)
    }

    /// Whether a pixel belongs to the hand; none beyond the image does.
    pub fn has(&self, x: i32, y: i32) -> bool {
        let within = |t: i32, count: usize| usize::try_from(t).ok().filter(|t| *t < count);
        match (within(x, self.width), within(y, self.height)) {
            (Some(x), Some(y)) => self.inside[y * self.width + x],
            _ => false,
        }
    }

    /// The largest connected piece of what is inside, or of what is not.
    fn largest(&self, inside: bool) -> Option<Self> {
        let (mut seen, mut best) = (vec![false; self.inside.len()], Vec::new());
        for start in 0..self.inside.len() {
            if !seen[start] && self.inside[start] == inside {
                let piece = self.piece(start, &mut seen);
                if piece.len() > best.len() {
                    best = piece;
                }
            }
        }
        let mut chosen = vec![false; self.inside.len()];
        for at in &best {
            chosen[*at] = true;
        }
        (!best.is_empty()).then_some(Self {
            width: self.width,
            height: self.height,
            inside: chosen,
        })
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
    fn filled(self) -> Self {
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
        let mut inside = vec![true; self.inside.len()];
        for at in outside {
            inside[at] = false;
        }
        Self {
            width,
            height,
            inside,
        }
    }
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
    let mut best = (0.0, 0, 0.0);
    for (k, count) in counts.iter().enumerate().take(LEVELS - 1) {
        below += count;
        sum_below += count * level(k);
        let above = total - below;
        if below > 0.0 && above > 0.0 {
            let difference = (sum - sum_below) / above - sum_below / below;
            let between = below * above * (difference / total).powi(2);
            if between > best.0 {
                best = (between, k, difference);
            }
        }
    }
    let (between, k, difference) = best;
    let apart = between >= SEPARATION_MIN * variance && difference >= DIFFERENCE_MIN;
    apart.then(|| (k as f32 + 0.5) / top)
}
