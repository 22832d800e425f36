//! How well a region can be compared, in one number: coverage, contrast, clarity, sharpness. Refuses nothing.

#![expect(clippy::cast_precision_loss, reason = "pixels of a region")]

use super::grey::Grey;
use super::region::Region;

/// Pixels on a side that the region is looked at with for its noise, its finer and its coarser lines.
/// At the coarsest a pixel is as wide as half a principal line with its shoulders.
const SIDES: [usize; 3] = [128, 32, 16];
/// From these on more is no better.
const CONTRAST_FULL: f32 = 0.02;
const CLARITY_FULL: f32 = 0.8;
const SHARPNESS_FULL: f32 = 0.7;

/// What a quality is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Share of the region that can be seen.
    pub coverage: f32,
    /// Strength of the lines, as a share of the brightness.
    pub contrast: f32,
    /// Strength of the lines beside that of single pixels: less where noise is.
    pub clarity: f32,
    /// Strength of finer lines beside that of coarser ones: less where blurred.
    pub sharpness: f32,
}

impl Quality {
    /// Looks at a region.
    pub fn of(region: &Region) -> Self {
        let grey = region.grey();
        let [pixels, fine, coarse] = SIDES.map(|side| detail(&grey.resized(side, side)));
        let mean = grey.values().iter().sum::<f32>() / grey.values().len() as f32;
        let beside = |strength: f32, other: f32| strength / other.max(f32::MIN_POSITIVE);
        Self {
            coverage: region.coverage(),
            contrast: beside(coarse, mean),
            clarity: beside(coarse, pixels),
            sharpness: beside(fine, coarse),
        }
    }

    /// 0 (worst) to 100. A part that is missing counts twice.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    pub fn score(self) -> u8 {
        let share = |value: f32, full: f32| (value / full).clamp(0.0, 1.0);
        let lines = share(self.contrast, CONTRAST_FULL)
            * share(self.clarity, CLARITY_FULL)
            * share(self.sharpness, SHARPNESS_FULL);
        (100.0 * self.coverage * lines.sqrt()).round() as u8
    }
}

/// Mean distance of a pixel from what lies around it.
fn detail(image: &Grey) -> f32 {
    let (wide, high) = (image.width(), image.height());
    let value = |x: usize, y: usize| image.values()[y * wide + x];
    let mut sum = 0.0;
    for y in 1..high - 1 {
        for x in 1..wide - 1 {
            let around = value(x - 1, y) + value(x + 1, y) + value(x, y - 1) + value(x, y + 1);
            sum += (value(x, y) - around / 4.0).abs();
        }
    }
    sum / ((wide - 2) * (high - 2)) as f32
}

#[cfg(test)]
#[path = "quality_tests.rs"]
mod tests;
