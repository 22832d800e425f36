//! Curves over two scales, even or logarithmic: score histograms, DET. What lies beyond a scale isn't drawn.

use super::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, across, below, head, polyline};

/// Lines of an even scale.
const EVEN_LINES: u32 = 5;

/// From where to where, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// In equal steps.
    Even {
        /// The lower end.
        low: f64,
        /// The upper end, above it.
        high: f64,
    },
    /// In powers of ten.
    Decades {
        /// The lower end, 10 to the power of it.
        low: i32,
        /// The upper end, above it.
        high: i32,
    },
}

impl Scale {
    /// Where a value lies, from 0 at the lower to 1 at the upper end. None beyond the ends.
    fn place(self, value: f64) -> Option<f64> {
        let (at, low, high) = match self {
            Self::Even { low, high } => (value, low, high),
            Self::Decades { low, high } => (value.log10(), f64::from(low), f64::from(high)),
        };
        let place = (at - low) / (high - low);
        // What is at an end may come out a little beyond it.
        (-1e-9..=1.0 + 1e-9)
            .contains(&place)
            .then(|| place.clamp(0.0, 1.0))
    }

    /// Places of the lines, with labels.
    fn lines(self) -> Vec<(f64, String)> {
        let labelled = |value: f64, label: String| Some((self.place(value)?, label));
        match self {
            Self::Even { low, high } => (0..=EVEN_LINES)
                .filter_map(|line| {
                    let value = low + (high - low) * f64::from(line) / f64::from(EVEN_LINES);
                    labelled(value, format!("{value:.2}"))
                })
                .collect(),
            Self::Decades { low, high } => (low..=high)
                .filter_map(|power| {
                    let label = if power < -3 {
                        format!("1e{power}")
                    } else {
                        10_f64.powi(power).to_string()
                    };
                    labelled(10_f64.powi(power), label)
                })
                .collect(),
        }
    }
}

/// A line through points.
#[derive(Debug, Clone)]
pub struct Curve {
    /// Shown in the legend.
    pub name: &'static str,
    /// As CSS writes it.
    pub color: &'static str,
    /// In order; a point beyond a scale is left out.
    pub points: Vec<[f64; 2]>,
}

/// The curves over a scale along the bottom, named in the legend, and one up the side.
pub fn draw(x_name: &str, x: Scale, y: Scale, curves: &[Curve]) -> String {
    let across_at = |place: f64| LEFT + (WIDTH - LEFT - RIGHT) * place;
    let up_at = |place: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * place;
    let legend = curves.iter().map(|curve| (curve.name, curve.color));
    let mut svg = head(legend.chain([(x_name, "none")]));
    for (place, label) in y.lines() {
        svg.push_str(&across(up_at(place), &label));
    }
    for (place, label) in x.lines() {
        svg.push_str(&below(across_at(place), &label));
    }
    for curve in curves {
        let places = curve
            .points
            .iter()
            .filter_map(|[h, v]| Some((x.place(*h)?, y.place(*v)?)));
        let points: Vec<String> = places
            .map(|(h, v)| format!("{:.1},{:.1}", across_at(h), up_at(v)))
            .collect();
        svg.push_str(&polyline(curve.color, &points));
    }
    svg + "</svg>"
}

#[cfg(test)]
#[path = "curves_tests.rs"]
mod tests;
