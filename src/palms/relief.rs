//! The relief of one palm: what all its captures have in common, as maps. Knows no light.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of a small map"
)]

use super::anatomy::{Kind, Lines};
use super::curve::{Map, Place};
use super::random::{Purpose, Random};
use super::skin;
use super::style::Style;

/// Cells of a side of the region; the map goes a quarter beyond it on each side.
const PER_UNIT: f32 = 144.0;
const SIDE: usize = 216;
const ORIGIN: f32 = -0.25;

/// Maps of a palm.
pub struct Relief {
    /// Type of its principal lines.
    pub kind: Kind,
    /// Depth of deep and of fine lines, brightness of the skin, height: for each cell.
    cells: Vec<[f32; 4]>,
}

impl Relief {
    /// The relief of a palm, thumb to the left.
    pub fn new(style: &Style, seed: u64, palm: u64) -> Self {
        let random = &mut Random::new(seed, Purpose::Lines, palm, 0);
        let lines = Lines::new(&style.anatomy, random);
        let [mut deep, mut fine] = [Self::empty_map(), Self::empty_map()];
        for line in &lines.deep {
            deep.press(line, random);
        }
        for line in &lines.fine {
            fine.press(line, random);
        }
        let random = &mut Random::new(seed, Purpose::Skin, palm, 0);
        let texture = skin::texture(&style.skin, SIDE, PER_UNIT, random);
        let height = skin::mounds(&style.skin, random);
        let place = |k: usize| ORIGIN + k as f32 / PER_UNIT;
        let cell = |i: usize| {
            [
                deep.cells[i],
                fine.cells[i],
                texture[i],
                height(place(i % SIDE), place(i / SIDE)),
            ]
        };
        Self {
            kind: lines.kind,
            cells: (0..SIDE * SIDE).map(cell).collect(),
        }
    }

    /// A map of the size of a relief's.
    pub fn empty_map() -> Map {
        Map::new(SIDE, PER_UNIT, ORIGIN)
    }

    /// What is at a place, between the cells in proportion; beyond the map less and less of what is
    /// at its border.
    pub fn at(&self, place: Place) -> [f32; 4] {
        let (corners, [fx, fy]) = corners(place);
        let beyond = place.iter().map(|t| (t - 0.5).abs() - 0.7).fold(0.0, f32::max);
        let fade = (1.0 - beyond / 0.15).max(0.0);
        let [a, b, c, d] = corners.map(|i| self.cells[i]);
        let mut mixed = [0.0; 4];
        for (k, value) in mixed.iter_mut().enumerate() {
            let (top, bottom) = (a[k] + fx * (b[k] - a[k]), c[k] + fx * (d[k] - c[k]));
            *value = fade * (top + fy * (bottom - top));
        }
        mixed
    }

    /// The same for a map of one depth.
    pub fn look(map: &Map, place: Place) -> f32 {
        let (corners, [fx, fy]) = corners(place);
        let [a, b, c, d] = corners.map(|i| map.cells[i]);
        let (top, bottom) = (a + fx * (b - a), c + fx * (d - c));
        top + fy * (bottom - top)
    }
}

/// The four cells around a place, and how far it is from the first.
fn corners(place: Place) -> ([usize; 4], Place) {
    let [x, y] = place.map(|t| ((t - ORIGIN) * PER_UNIT).clamp(0.0, (SIDE - 2) as f32));
    let first = y as usize * SIDE + x as usize;
    (
        [first, first + 1, first + SIDE, first + SIDE + 1],
        [x.fract(), y.fract()],
    )
}
