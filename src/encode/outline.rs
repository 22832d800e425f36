//! The outline of a hand, its fingertips and the valleys between them. Cuts no region.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "pixels of a reduced image"
)]

use super::failure::FailureToAcquire;
use super::hand::Position;
use super::mask::Mask;

/// A fingertip is so many radii of the palm away from its centre.
const TIP_MIN: f32 = 1.65;
/// A valley is so much nearer than the tips on both its sides, in radii of the palm.
const DEPTH_MIN: f32 = 0.35;
/// The bottom of a valley is what is no farther from the centre than this beyond its nearest point, in radii.
const FLOOR: f32 = 0.05;
/// Share of the outline that distances are averaged over, on each side.
const SMOOTH: f32 = 0.004;

/// What is found on an outline.
pub struct Found {
    /// Between index and middle, and between ring and little finger; which is which is not known.
    pub valleys: [Position; 2],
    /// Of the largest circle within the palm.
    pub centre: Position,
}

/// Finds the outer two of the three valleys between the four fingers.
pub fn valleys(mask: &Mask) -> Result<Found, FailureToAcquire> {
    let (centre, radius) = palm(mask);
    let outline = trace(mask);
    let tips = Tips::find(mask, &outline, centre, radius);
    let cut = tips.cut;
    let fail = || {
        if cut {
            FailureToAcquire::CutOff
        } else {
            FailureToAcquire::ClosedHand
        }
    };
    let gaps = tips.gaps(&outline);
    // Four fingers have three gaps; a thumb adds a fourth, at one of the ends and the widest.
    let [first, last] = match gaps.as_slice() {
        [a, _, c] => [*a, *c],
        [a, b, c, d] => {
            if a.angle > d.angle {
                [*b, *d]
            } else {
                [*a, *c]
            }
        }
        _ => return Err(fail()),
    };
    Ok(Found {
        valleys: [first.valley, last.valley],
        centre,
    })
}

/// Centre and radius of the largest circle inside the hand.
fn palm(mask: &Mask) -> (Position, f32) {
    let distances = distances(mask);
    let best = distances.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let (at, radius) = best.map_or((0, 0.0), |(at, radius)| (at, *radius));
    ([(at % mask.width) as f32, (at / mask.width) as f32], radius)
}

/// About how far each pixel is from the outside: a chamfer transform with steps of 1 and √2.
fn distances(mask: &Mask) -> Vec<f32> {
    let (width, height) = (mask.width as i32, mask.height as i32);
    let far = (width + height) as f32;
    let mut found: Vec<f32> = mask
        .inside
        .iter()
        .map(|inside| if *inside { far } else { 0.0 })
        .collect();
    let diagonal = std::f32::consts::SQRT_2;
    let before = [(-1, 0, 1.0), (0, -1, 1.0), (-1, -1, diagonal), (1, -1, diagonal)];
    for (order, sign) in [(false, 1), (true, -1)] {
        for step in 0..width * height {
            let at = if order { width * height - 1 - step } else { step };
            let (x, y) = (at % width, at / width);
            let nearest = before.iter().map(|(dx, dy, length)| {
                let (nx, ny) = (x + sign * dx, y + sign * dy);
                let inside = (0..width).contains(&nx) && (0..height).contains(&ny);
                // What lies beyond the image counts as far away: a wrist goes on.
                if inside {
                    found[(ny * width + nx) as usize] + length
                } else {
                    far
                }
            });
            let nearest = nearest.fold(found[at as usize], f32::min);
            found[at as usize] = nearest;
        }
    }
    found
}

/// The outer border of the hand, pixel by pixel, clockwise (Moore's neighbours).
fn trace(mask: &Mask) -> Vec<Position> {
    const AROUND: [(i32, i32); 8] = [
        (1, 0),
        (1, 1),
        (0, 1),
        (-1, 1),
        (-1, 0),
        (-1, -1),
        (0, -1),
        (1, -1),
    ];
    let Some(start) = mask.inside.iter().position(|inside| *inside) else {
        return Vec::new();
    };
    let start = ((start % mask.width) as i32, (start / mask.width) as i32);
    let (mut at, mut heading) = (start, 0);
    let mut border = Vec::new();
    // No border has more pixels than the image, each of them passed at most four times.
    for _ in 0..4 * mask.inside.len() {
        border.push([at.0 as f32, at.1 as f32]);
        // From behind on the left, clockwise, the first that belongs to the hand.
        let turn = (0..8).map(|k| (heading + 6 + k) % 8);
        let mut ahead = turn.filter(|d| mask.has(at.0 + AROUND[*d].0, at.1 + AROUND[*d].1));
        let Some(next) = ahead.next() else {
            break;
        };
        heading = next;
        at = (at.0 + AROUND[next].0, at.1 + AROUND[next].1);
        if at == start {
            break;
        }
    }
    border
}

/// Fingertips along an outline.
struct Tips {
    /// Distance from the palm's centre, in radii, at each point from the wrist round to the wrist.
    distances: Vec<f32>,
    /// Directions from the centre.
    angles: Vec<f32>,
    /// Where the distances begin on the outline.
    shift: usize,
    /// Points that are tips.
    at: Vec<usize>,
    /// Whether more than the wrist lies at the edge of the image.
    cut: bool,
}

/// Between two fingertips.
#[derive(Clone, Copy)]
struct Gap {
    /// The middle of its bottom.
    valley: Position,
    /// Between the directions of the tips.
    angle: f32,
}

impl Tips {
    fn find(mask: &Mask, outline: &[Position], centre: Position, radius: f32) -> Self {
        let edge = |[x, y]: Position| {
            let (x, y) = (x as usize, y as usize);
            [x == 0, y == 0, x + 1 == mask.width, y + 1 == mask.height]
        };
        let at_edge: Vec<bool> = outline.iter().map(|p| edge(*p).contains(&true)).collect();
        let sides = [0, 1, 2, 3].map(|k| outline.iter().any(|p| edge(*p)[k]));
        // The outline begins in the middle of the longest stretch along the edge: the wrist.
        let shift = longest(&at_edge);
        let turned = |k: usize| outline[(k + shift) % outline.len()];
        let reach = ((SMOOTH * outline.len() as f32) as usize).max(1);
        let distance = |p: Position| (p[0] - centre[0]).hypot(p[1] - centre[1]) / radius.max(1.0);
        let raw: Vec<f32> = (0..outline.len()).map(|k| distance(turned(k))).collect();
        let distances: Vec<f32> = (0..raw.len())
            .map(|k| {
                let part = &raw[k.saturating_sub(reach)..(k + reach + 1).min(raw.len())];
                part.iter().sum::<f32>() / part.len() as f32
            })
            .collect();
        let angles = (0..outline.len())
            .map(|k| (turned(k)[1] - centre[1]).atan2(turned(k)[0] - centre[0]))
            .collect();
        let on_wrist = |k: usize| at_edge[(k + shift) % outline.len()];
        let at = peaks(&distances)
            .into_iter()
            .filter(|k| distances[*k] >= TIP_MIN && !on_wrist(*k))
            .collect();
        let cut = sides.iter().filter(|s| **s).count() > 1;
        Self {
            distances,
            angles,
            shift,
            at,
            cut,
        }
    }

    fn gaps(&self, outline: &[Position]) -> Vec<Gap> {
        let between = |pair: &[usize]| {
            let (from, to) = (pair[0], pair[1]);
            let nearest = (from..to).min_by(|a, b| self.distances[*a].total_cmp(&self.distances[*b]))?;
            let floor = |k: &usize| self.distances[*k] <= self.distances[nearest] + FLOOR;
            let bottom = (from..=nearest)
                .rev()
                .take_while(floor)
                .chain((nearest + 1..to).take_while(floor));
            let (mut sum, mut count) = ([0.0, 0.0], 0.0);
            for at in bottom.map(|k| outline[(k + self.shift) % outline.len()]) {
                sum = [sum[0] + at[0], sum[1] + at[1]];
                count += 1.0;
            }
            let turn = (self.angles[to] - self.angles[from]).abs();
            Some(Gap {
                valley: sum.map(|s| s / count),
                angle: turn.min(std::f32::consts::TAU - turn),
            })
        };
        self.at.windows(2).filter_map(between).collect()
    }
}

/// Where the longest run of `true` on a circle has its middle; 0 where there is none.
fn longest(circle: &[bool]) -> usize {
    let (mut best, mut run) = ((0, 0), 0);
    for k in 0..2 * circle.len() {
        run = if circle[k % circle.len()] { run + 1 } else { 0 };
        if run > best.0 && run <= circle.len() {
            best = (run, k);
        }
    }
    let (length, end) = best;
    if length == 0 {
        0
    } else {
        (end - length / 2) % circle.len()
    }
}

/// The highest points between valleys that are deep enough.
fn peaks(distances: &[f32]) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut rising, mut extreme) = (true, 0);
    for (k, value) in distances.iter().enumerate() {
        let best = distances[extreme];
        if if rising { *value > best } else { *value < best } {
            extreme = k;
        } else if (value - best).abs() >= DEPTH_MIN {
            if rising {
                found.push(extreme);
            }
            (rising, extreme) = (!rising, k);
        }
    }
    found
}
