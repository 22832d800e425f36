//! Smooth curves and how they are pressed into a relief. Knows no anatomy.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of a small map"
)]

use super::random::Random;

/// A place in the palm: the region is the unit square, x away from the thumb, y towards the wrist.
pub type Place = [f32; 2];

/// A line of the palm.
pub struct Line {
    /// Places that it goes through.
    pub through: Vec<Place>,
    /// Deviation of its profile, in sides of the region.
    pub width: f32,
    /// How much darker it is in its middle, as a share.
    pub depth: f32,
    /// How much the depth changes along the line, from 0 to 1: chains and gaps.
    pub uneven: f32,
    /// Whether it ends thin on both sides.
    pub tapered: bool,
}

/// Depths on a square grid.
pub struct Map {
    /// Cells on a side.
    pub side: usize,
    /// Cells of a side of the region.
    pub per_unit: f32,
    /// Place of the first cell, on both axes.
    pub origin: f32,
    /// Row by row.
    pub cells: Vec<f32>,
}

impl Map {
    /// A map without lines.
    pub fn new(side: usize, per_unit: f32, origin: f32) -> Self {
        Self {
            side,
            per_unit,
            origin,
            cells: vec![0.0; side * side],
        }
    }

    /// Presses lines in. Where lines cross the deeper one counts.
    pub fn press(&mut self, line: &Line, random: &mut Random) {
        let steps = self.steps(&line.through);
        let (mut swell, mut drift) = (0.0_f32, 0.0_f32);
        let count = steps.len().max(2) as f32;
        for (number, at) in steps.iter().enumerate() {
            // A slow random walk that is drawn back to 0.
            drift = 0.9 * drift + random.normal(0.1);
            swell = 0.97 * swell + 0.25 * drift;
            let along = number as f32 / (count - 1.0);
            let taper = if line.tapered {
                (4.0 * along * (1.0 - along)).sqrt()
            } else {
                1.0
            };
            let depth = line.depth * taper * (1.0 + line.uneven * swell).clamp(0.0, 1.6);
            let width = line.width * (0.5 + 0.5 * taper) * (1.0 + 0.3 * line.uneven * swell).clamp(0.5, 1.5);
            self.stamp(*at, width * self.per_unit, depth);
        }
    }

    /// Points of a curve (Catmull and Rom) about 0.7 cells apart, in cells.
    fn steps(&self, through: &[Place]) -> Vec<Place> {
        let mut steps = Vec::new();
        let point = |i: usize| through[i.min(through.len() - 1)];
        for i in 0..through.len().saturating_sub(1) {
            let (a, b, c, d) = (point(i.saturating_sub(1)), point(i), point(i + 1), point(i + 2));
            let length = (c[0] - b[0]).hypot(c[1] - b[1]) * self.per_unit;
            let count = ((length / 0.7).ceil() as usize).max(1);
            for step in 0..count {
                let t = step as f32 / count as f32;
                let on = |k: usize| {
                    let (cubic, square) = (
                        3.0 * (b[k] - c[k]) + d[k] - a[k],
                        2.0 * a[k] - 5.0 * b[k] + 4.0 * c[k] - d[k],
                    );
                    b[k] + 0.5 * t * (c[k] - a[k] + t * (square + t * cubic))
                };
                steps.push([
                    (on(0) - self.origin) * self.per_unit,
                    (on(1) - self.origin) * self.per_unit,
                ]);
            }
        }
        steps
    }

    fn stamp(&mut self, at: Place, width: f32, depth: f32) {
        let width = width.max(0.35);
        let reach = 2.5 * width;
        let range = |centre: f32| {
            let low = (centre - reach).ceil().max(0.0) as usize;
            let high = ((centre + reach).floor() + 1.0).clamp(0.0, self.side as f32) as usize;
            low..high.max(low)
        };
        let (columns, rows) = (range(at[0]), range(at[1]));
        for y in rows {
            let dy = (y as f32 - at[1]) / width;
            for x in columns.clone() {
                let dx = (x as f32 - at[0]) / width;
                let profile = 1.0 - (dx * dx + dy * dy) * (1.0 / 6.25);
                if profile > 0.0 {
                    // (1 - r²/6.25)³ is close to a Gaussian bell and ends at 2.5 deviations.
                    let cell = &mut self.cells[y * self.side + x];
                    *cell = cell.max(depth * profile * profile * profile);
                }
            }
        }
    }
}
