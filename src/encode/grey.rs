//! Grey images and how they are sampled. Reads no file.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of an image of some megapixels"
)]

use image::GrayImage;

/// Grey values, 0 (black) to 1, row by row.
#[derive(Debug, Clone)]
pub struct Grey {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl From<&GrayImage> for Grey {
    fn from(image: &GrayImage) -> Self {
        let shades = image.as_raw().iter().map(|shade| f32::from(*shade) / 255.0);
        Self::new(image.width(), image.height(), shades.collect())
    }
}

impl Grey {
    /// An image; `values` has `width` × `height` of them.
    pub fn new(width: u32, height: u32, values: Vec<f32>) -> Self {
        let (width, height) = (width as usize, height as usize);
        assert_eq!(values.len(), width * height, "as many values as pixels");
        Self {
            width,
            height,
            values,
        }
    }

    /// An image whose value at each pixel (column, row) is computed.
    pub fn from_fn(width: u32, height: u32, value: impl Fn(f32, f32) -> f32) -> Self {
        let row = |y: u32| (0..width).map(move |x| (x as f32, y as f32));
        let values = (0..height).flat_map(row).map(|(x, y)| value(x, y)).collect();
        Self::new(width, height, values)
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The same picture on `width` × `height` pixels: the mean over each new pixel's area where it
    /// gets smaller, in proportion between the nearest pixels where it gets larger.
    #[must_use]
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let across = Taps::all(self.width, width);
        let down = Taps::all(self.height, height);
        let mut narrow = Vec::with_capacity(width * self.height);
        for row in self.values.chunks(self.width) {
            narrow.extend(across.iter().map(|taps| taps.sum(|i| row[i])));
        }
        let mut values = Vec::with_capacity(width * height);
        for taps in &down {
            values.extend((0..width).map(|x| taps.sum(|y| narrow[y * width + x])));
        }
        Self {
            width,
            height,
            values,
        }
    }

    /// The value at a position in pixels, in proportion between the four around it; beyond the
    /// edge as at it.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let clamp = |t: f32, count: usize| t.clamp(0.0, (count - 1) as f32);
        let (x, y) = (clamp(x, self.width), clamp(y, self.height));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let value = |x: usize, y: usize| self.values[y * self.width + x];
        let mix = |a: f32, b: f32, t: f32| a + t * (b - a);
        let upper = mix(value(left, top), value(right, top), x.fract());
        let lower = mix(value(left, bottom), value(right, bottom), x.fract());
        mix(upper, lower, y.fract())
    }
}

/// The old pixels that a new one is made of, with their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Taps {
    fn all(old: usize, new: usize) -> Vec<Self> {
        let ratio = old as f32 / new as f32;
        let tap = |at: usize| {
            if ratio > 1.0 {
                Self::area(at as f32 * ratio, ratio, old)
            } else {
                Self::between((at as f32 + 0.5) * ratio - 0.5, old)
            }
        };
        (0..new).map(tap).collect()
    }

    fn area(from: f32, length: f32, old: usize) -> Self {
        let first = (from as usize).min(old - 1);
        let last = ((from + length).ceil() as usize).clamp(first + 1, old);
        let covered = |i: usize| ((i as f32 + 1.0).min(from + length) - (i as f32).max(from)).max(0.0);
        let weights: Vec<f32> = (first..last).map(covered).collect();
        let total = weights.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        Self {
            first,
            weights: weights.into_iter().map(|w| w / total).collect(),
        }
    }

    fn between(at: f32, old: usize) -> Self {
        let at = at.clamp(0.0, (old - 1) as f32);
        let first = (at as usize).min(old.saturating_sub(2));
        let part = at - first as f32;
        let weights = if old > 1 {
            vec![1.0 - part, part]
        } else {
            vec![1.0]
        };
        Self { first, weights }
    }

    fn sum(&self, value: impl Fn(usize) -> f32) -> f32 {
        self.weights
            .iter()
            .enumerate()
            .map(|(k, w)| w * value(self.first + k))
            .sum()
    }
}
