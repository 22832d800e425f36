//! Smooth random fields over the unit square: cubic B-splines on a coarse grid. Knows no palms.

use super::random::Random;

/// A field with mean 0 and deviation of about 1.
pub struct Smooth {
    cells: usize,
    knots: Vec<f32>,
}

/// Deviation of the spline where that of its knots is 1, averaged over the cells.
const DEVIATION: f32 = 0.48;

impl Smooth {
    /// A field that changes over about `1 / cells` of the square.
    pub fn new(random: &mut Random, cells: u8) -> Self {
        let cells = usize::from(cells);
        let count = (cells + 3) * (cells + 3);
        Self {
            cells,
            knots: (0..count).map(|_| random.normal(1.0 / DEVIATION)).collect(),
        }
    }

    /// The value at a place; places outside count as the border.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a grid of a few cells"
    )]
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let place = |t: f32| {
            let scaled = t.clamp(0.0, 1.0) * self.cells as f32;
            let cell = (scaled as usize).min(self.cells - 1);
            (cell, weights(scaled - cell as f32))
        };
        let ((left, across), (top, down)) = (place(x), place(y));
        let stride = self.cells + 3;
        let mut sum = 0.0;
        for (row, wy) in down.iter().enumerate() {
            let begin = (top + row) * stride + left;
            let part: f32 = self.knots[begin..begin + 4]
                .iter()
                .zip(&across)
                .map(|(k, w)| k * w)
                .sum();
            sum += wy * part;
        }
        sum
    }
}

fn weights(t: f32) -> [f32; 4] {
    let s = 1.0 - t;
    [
        s * s * s / 6.0,
        (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
        (3.0 * s * s * s - 6.0 * s * s + 4.0) / 6.0,
        t * t * t / 6.0,
    ]
}
