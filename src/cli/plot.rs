//! Plots as inline SVG: lines, and areas on top of each other; curves over scales. Knows nothing of what is plotted.

use std::fmt::Write;

use super::page::escaped;

pub mod curves;

/// Size of a plot and of the room around it for labels.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 24.0;
/// Lines across.
const GRID: u32 = 4;
/// Labels along the bottom, about.
const LABELS_MAX: usize = 12;

/// Values over equal steps; none where there is nothing to draw.
#[derive(Debug, Clone)]
pub struct Series {
    /// Shown in the legend.
    pub name: String,
    /// As CSS writes it.
    pub color: &'static str,
    /// One a step.
    pub values: Vec<Option<f64>>,
}

/// One line a series. `labels` are those of the steps.
pub fn lines(labels: &[String], unit: &str, series: &[Series]) -> String {
    let largest = series.iter().flat_map(|one| one.values.iter().flatten());
    let frame = Frame::new(labels.len(), largest.copied().fold(0.0, f64::max));
    let mut svg = frame.open(labels, unit, series);
    for one in series {
        let points: Vec<String> = (0..)
            .zip(&one.values)
            .filter_map(|(step, value)| Some(frame.point(step, (*value)?)))
            .collect();
        svg.push_str(&polyline(one.color, &points));
    }
    svg + "</svg>"
}

/// One area a series, each on top of those before it.
pub fn stacked(labels: &[String], unit: &str, series: &[Series]) -> String {
    let mut floor = vec![0.0; labels.len()];
    let mut areas = Vec::new();
    for one in series {
        let top: Vec<f64> = floor
            .iter()
            .zip(&one.values)
            .map(|(floor, value)| floor + value.unwrap_or(0.0))
            .collect();
        areas.push((one.color, floor, top.clone()));
        floor = top;
    }
    let frame = Frame::new(labels.len(), floor.iter().copied().fold(0.0, f64::max));
    let mut svg = frame.open(labels, unit, series);
    for (color, floor, top) in areas {
        let there = (0..).zip(&top).map(|(step, value)| frame.point(step, *value));
        let mut back: Vec<String> = (0..)
            .zip(&floor)
            .map(|(step, value)| frame.point(step, *value))
            .collect();
        back.reverse();
        let points: Vec<String> = there.chain(back).collect();
        write!(svg, "<polygon fill=\"{color}\" points=\"{}\"/>", points.join(" "))
            .expect("a String takes any text");
    }
    svg + "</svg>"
}

/// Where values lie in the picture.
struct Frame {
    steps: usize,
    top: f64,
}

impl Frame {
    fn new(steps: usize, largest: f64) -> Self {
        Self {
            steps,
            top: round_up(largest),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few hundred steps")]
    fn x(&self, step: usize) -> f64 {
        let last = self.steps.saturating_sub(1).max(1);
        LEFT + (WIDTH - LEFT - RIGHT) * step as f64 / last as f64
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top
    }

    fn point(&self, step: usize, value: f64) -> String {
        format!("{:.1},{:.1}", self.x(step), self.y(value))
    }

    /// The beginning of the picture: legend, grid and labels.
    fn open(&self, labels: &[String], unit: &str, series: &[Series]) -> String {
        let mut svg = head(series.iter().map(|one| (one.name.as_str(), one.color)));
        for line in 0..=GRID {
            let value = self.top * f64::from(line) / f64::from(GRID);
            svg.push_str(&across(self.y(value), &short(value)));
        }
        let every = labels.len().div_ceil(LABELS_MAX).max(1);
        for (step, label) in labels.iter().enumerate().step_by(every) {
            svg.push_str(&below(self.x(step), &format!("{label} {unit}")));
        }
        svg
    }
}

/// The beginning of any picture: size and legend.
fn head<'a>(legend: impl Iterator<Item = (&'a str, &'static str)>) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    let mut at = LEFT;
    for (name, color) in legend {
        let drawn = write!(
            svg,
            "<rect x=\"{at:.0}\" y=\"6\" width=\"10\" height=\"10\" fill=\"{color}\"/><text x=\"{:.0}\" y=\"15\">{}</text>",
            at + 14.0,
            escaped(name)
        );
        drawn.expect("a String takes any text");
        at += 30.0 + 7.5 * f64::from(u16::try_from(name.len()).unwrap_or(u16::MAX));
    }
    svg
}

/// A line across with its label on the left.
fn across(y: f64, label: &str) -> String {
    format!(
        "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
        WIDTH - RIGHT,
        LEFT - 6.0,
        y + 4.0,
    )
}

/// A label along the bottom.
fn below(x: f64, label: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
        HEIGHT - 6.0
    )
}

/// A line through points.
fn polyline(color: &str, points: &[String]) -> String {
    format!(
        "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\" points=\"{}\"/>",
        points.join(" ")
    )
}

/// The next of 1, 2, 2.5, 5 times a power of ten; 1 for nothing.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

/// A number of a scale, with decimals only where it has some.
fn short(value: f64) -> String {
    let digits = if value.fract() == 0.0 { 0 } else { 2 };
    format!("{value:.digits$}")
}

#[cfg(test)]
#[path = "plot_tests.rs"]
mod tests;
