//! The outline of a hand, its fingers and the valleys between them. Cuts no region.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "pixels of a reduced image"
)]

use std::f32::consts::TAU;
use std::ops::RangeInclusive;

use imageproc::contours::find_contours;
use imageproc::point::Point;

use super::failure::FailureToAcquire;
use super::hand::Position;
use super::mask::Mask;

// Lengths are in radii of the palm, the largest circle within the hand, where nothing else is said.
// The bands of what a hand may be are wide: they keep out forks and stars, not people.

/// A fingertip is so far from the palm's centre.
const TIP_MIN: f32 = 1.65;
/// A valley is so much nearer than the tips on both its sides.
const DEPTH_MIN: f32 = 0.35;
/// Share of the outline that distances are averaged over, on each side.
const SMOOTH: f32 = 0.004;
/// How far from its tip, along the outline, a finger's width is taken.
const KNUCKLE: f32 = 0.65;
/// Width of a finger. Two that are held together are wider, and so is a wrist.
const WIDTH: RangeInclusive<f32> = 0.2..=0.68;
/// Length of a finger, beyond the valleys beside it.
const LENGTH: RangeInclusive<f32> = 0.6..=2.4;
/// The widest finger and the longest one, as multiples of the narrowest and the shortest.
const WIDTHS_APART: f32 = 1.7;
const LENGTHS_APART: RangeInclusive<f32> = 1.08..=2.2;
/// Greatest angle between neighbouring fingertips as seen from the palm's centre; a thumb's is greater.
const GAP_MAX: f32 = 45.0;
/// Greatest such angle that is surely of two fingers and not of a thumb beside one.
const NEIGHBOUR_MAX: f32 = 30.0;
/// Greatest of the three angles, as a multiple of the middle one.
const GAPS_APART: f32 = 2.3;
/// From the first valley to the third.
const VALLEYS: RangeInclusive<f32> = 0.8..=1.7;
/// How far the middle valley is from the middle of the outer two, along their line and above it, in distances of these.
const ASIDE_MAX: f32 = 0.18;
const ABOVE: RangeInclusive<f32> = -0.1..=0.3;
/// How far aside the palm's centre is, in distances of the outer valleys: those on both sides of an index finger are off it.
const CENTRE_ASIDE_MAX: f32 = 0.27;
/// The sides of a gap are followed from here to there above its bottom.
const SIDES: [f32; 2] = [0.06, 0.4];
/// What of the image's edge a wrist takes at most.
const WRIST: f32 = 2.4;

/// What is found on an outline.
pub struct Found {
    /// Between index and middle, and between ring and little finger; which is which is not known.
    pub valleys: [Position; 2],
    /// Of the largest circle within the palm.
    pub centre: Position,
}

/// Finds the outer two of the three valleys between the four fingers.
pub fn valleys(mask: &Mask) -> Result<Found, FailureToAcquire> {
    let outline = Outline::of(mask);
    let fingers = outline.fingers();
    let four = outline.four(&fingers).ok_or_else(|| outline.why_not(&fingers))?;
    if four.iter().any(|finger| finger.cut) {
        return Err(FailureToAcquire::CutOff);
    }
    let valleys = outline.refined(&four);
    outline.check(&four, valleys)?;
    Ok(Found {
        valleys: [valleys[0], valleys[2]],
        centre: outline.centre,
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
// An exact transform makes lengths in radii 3.5 % longer and loses hands that are hard to see.
fn distances(mask: &Mask) -> Vec<f32> {
    let (width, height) = (mask.width as i32, mask.height as i32);
    let far = (width + height) as f32;
    let has = |at: i32| mask.has(at % width, at / width);
    let mut found: Vec<f32> = (0..width * height)
        .map(|at| if has(at) { far } else { 0.0 })
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

/// The outer border of the hand, pixel by pixel, clockwise.
fn trace(mask: &Mask) -> Vec<(usize, usize)> {
    // One piece without holes has one border, found counter-clockwise; the mask has a frame around it.
    let borders = find_contours(&mask.inside);
    let points = borders
        .first()
        .into_iter()
        .flat_map(|border| border.points.iter().rev());
    points.map(|p: &Point<usize>| (p.x - 1, p.y - 1)).collect()
}

/// An outline around its palm.
struct Outline {
    centre: Position,
    /// Of the palm, in pixels.
    radius: f32,
    /// Clockwise, to fractions of a pixel.
    points: Vec<Position>,
    /// Whether a point lies at the edge of the image.
    at_edge: Vec<bool>,
    /// From the centre, averaged along the outline.
    distances: Vec<f32>,
}

/// A finger, a thumb, or something else as narrow that sticks out.
#[derive(Debug, Clone, Copy)]
struct Finger {
    /// Number of its outermost point.
    tip: usize,
    /// Numbers of the points nearest to the centre before and behind it.
    feet: [usize; 2],
    width: f32,
    /// It goes on beyond the edge of the image.
    cut: bool,
}

impl Outline {
    fn of(mask: &Mask) -> Self {
        let (centre, radius) = palm(mask);
        let border = trace(mask);
        let edge =
            |(x, y): &(usize, usize)| *x == 0 || *y == 0 || x + 1 == mask.width || y + 1 == mask.height;
        let points: Vec<Position> = border.iter().map(|(x, y)| mask.border(*x, *y)).collect();
        let reach = ((SMOOTH * points.len() as f32) as usize).max(1);
        let raw: Vec<f32> = points
            .iter()
            .map(|p| apart(*p, centre) / radius.max(1.0))
            .collect();
        let mean = |k: usize| {
            let near = (raw.len() + k - reach.min(k + raw.len())..).take(2 * reach + 1);
            near.map(|j| raw[j % raw.len()]).sum::<f32>() / (2 * reach + 1) as f32
        };
        Self {
            centre,
            radius: radius.max(1.0),
            at_edge: border.iter().map(edge).collect(),
            distances: (0..points.len()).map(mean).collect(),
            points,
        }
    }

    /// A number of a point, counted round the outline.
    fn number(&self, at: usize, offset: isize) -> usize {
        (at as isize + offset).rem_euclid(self.points.len() as isize) as usize
    }

    /// Numbers of the points from one on to another.
    fn stretch(&self, from: usize, to: usize) -> impl DoubleEndedIterator<Item = usize> + Clone + use<'_> {
        let count = (to + self.points.len() - from) % self.points.len();
        (0..=count).map(move |k| (from + k) % self.points.len())
    }

    fn nearest(&self, from: usize, to: usize) -> usize {
        self.stretch(from, to)
            .min_by(|a, b| self.distances[*a].total_cmp(&self.distances[*b]))
            .unwrap_or(from)
    }

    /// All that is as far out and as narrow as a finger, clockwise.
    fn fingers(&self) -> Vec<Finger> {
        let peaks = self.peaks();
        let neighbour = |k: usize, by: usize| peaks[(k + by) % peaks.len()];
        let reach = (KNUCKLE * self.radius) as isize;
        let finger = |(k, tip): (usize, &usize)| {
            // The tip of a finger is the middle of what is beyond a circle just within it.
            let beyond = |step: isize| {
                (1..reach).find(|j| self.distances[self.number(*tip, j * step)] < self.distances[*tip] - 0.1)
            };
            let (before, behind) = (beyond(-1).unwrap_or(0), beyond(1).unwrap_or(0));
            let middle = self.number(*tip, (behind - before) / 2);
            let sides = [-reach, reach].map(|offset| self.points[self.number(middle, offset)]);
            Finger {
                tip: *tip,
                feet: [
                    self.nearest(neighbour(k, peaks.len() - 1), *tip),
                    self.nearest(*tip, neighbour(k, 1)),
                ],
                width: apart(sides[0], sides[1]) / self.radius,
                cut: self.at_edge[*tip],
            }
        };
        let narrow = |finger: &Finger| finger.width <= *WIDTH.end() && self.distances[finger.tip] >= TIP_MIN;
        peaks.iter().enumerate().map(finger).filter(narrow).collect()
    }

    /// The outermost points between valleys that are deep enough, round the outline.
    fn peaks(&self) -> Vec<usize> {
        let all = 0..self.points.len();
        let Some(start) = all.min_by(|a, b| self.distances[*a].total_cmp(&self.distances[*b])) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let (mut rising, mut extreme) = (true, start);
        // To the nearest point again, where the last peak is behind.
        for k in (0..=self.points.len()).map(|k| (start + k) % self.points.len()) {
            let (value, best) = (self.distances[k], self.distances[extreme]);
            if if rising { value > best } else { value < best } {
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

    fn angle(&self, from: &Finger, to: &Finger) -> f32 {
        let direction = |finger: &Finger| {
            let [x, y] = self.points[finger.tip];
            (y - self.centre[1]).atan2(x - self.centre[0])
        };
        (direction(to) - direction(from)).rem_euclid(TAU).to_degrees()
    }

    /// The four fingers: neighbours whose tips are near one another. The thumb's is far, and so is
    /// the little finger's from the thumb's, with the wrist between them.
    fn four(&self, fingers: &[Finger]) -> Option<[Finger; 4]> {
        let count = fingers.len();
        if count < 4 {
            return None;
        }
        let angle = |k: usize| self.angle(&fingers[k % count], &fingers[(k + 1) % count]);
        let near: Vec<bool> = (0..count).map(|k| angle(k) <= GAP_MAX).collect();
        let gaps = near.iter().filter(|near| **near).count();
        // Gaps that follow one another begin behind the one that doesn't.
        let starts = (0..count).filter(|k| near[*k] && !near[(k + count - 1) % count]);
        let run = |from: usize| (0..count).take_while(|k| near[(from + k) % count]).count();
        let start = starts.max_by_key(|from| run(*from))?;
        let start = match (gaps, run(start)) {
            // A thumb held near the index finger: at one of the ends, and still the widest gap.
            (4, 4) if angle(start) > angle(start + 3) => start + 1,
            (3, 3) | (4, 4) => start,
            _ => return None,
        };
        Some([0, 1, 2, 3].map(|k| fingers[(start + k) % count]))
    }

    /// Why four fingers are not found.
    fn why_not(&self, fingers: &[Finger]) -> FailureToAcquire {
        let contact = self.at_edge.iter().filter(|at| **at).count() as f32 / self.radius;
        // A thumb may be cut: it isn't needed. What has a neighbour near it is another finger.
        let near = |a: &Finger, b: &Finger| {
            a.tip != b.tip && self.angle(a, b).min(self.angle(b, a)) <= NEIGHBOUR_MAX
        };
        let needed = |finger: &Finger| finger.cut && fingers.iter().any(|other| near(finger, other));
        if fingers.iter().any(needed) || (!fingers.is_empty() && contact > WRIST) {
            FailureToAcquire::CutOff
        } else if !fingers.is_empty() || (contact > 0.5 && contact <= WRIST) {
            FailureToAcquire::ClosedHand
        } else {
            FailureToAcquire::NoHand
        }
    }

    /// The three valleys to fractions of a pixel: where the middle line between two fingers meets the
    /// bottom of their gap. "Bottom" is seen from the line of the outer valleys, as a ruler laid
    /// against both would touch them (Zhang et al.), so that it doesn't matter where the palm's centre is.
    fn refined(&self, four: &[Finger; 4]) -> [Position; 3] {
        let mut valleys = [0, 1, 2].map(|k| self.points[self.nearest(four[k].tip, four[k + 1].tip)]);
        for _ in 0..3 {
            let frame = Frame::new(valleys[0], valleys[2], self.centre);
            valleys = [0, 1, 2].map(|k| self.bottom(&four[k], &four[k + 1], &frame).unwrap_or(valleys[k]));
        }
        valleys
    }

    fn bottom(&self, left: &Finger, right: &Finger, frame: &Frame) -> Option<Position> {
        let placed: Vec<[f32; 2]> = self
            .stretch(left.tip, right.tip)
            .map(|k| frame.place(self.points[k]))
            .collect();
        let deepest = (0..placed.len()).min_by(|a, b| placed[*a][1].total_cmp(&placed[*b][1]))?;
        let [from, to] = SIDES.map(|part| placed[deepest][1] + part * self.radius);
        // Upwards from the bottom, to where a side first leaves the band.
        let side = |points: &mut dyn Iterator<Item = &[f32; 2]>| {
            let band: Vec<[f32; 2]> = points
                .take_while(|p| p[1] <= to)
                .filter(|p| p[1] >= from)
                .copied()
                .collect();
            fitted(&band, placed[deepest][1])
        };
        let a = side(&mut placed[..deepest].iter().rev())?;
        let b = side(&mut placed[deepest..].iter())?;
        let middle = f32::midpoint(a, b);
        let reach = (0.5 * (b - a).abs()).max(1.5);
        let floor = placed
            .iter()
            .filter(|p| (p[0] - middle).abs() <= reach && p[1] < from);
        let (sum, count) = floor.fold((0.0, 0.0), |(sum, count), p| (sum + p[1], count + 1.0));
        (count > 0.0).then(|| frame.back([middle, sum / count]))
    }

    /// Whether four fingers and their valleys are a hand's.
    fn check(&self, four: &[Finger; 4], valleys: [Position; 3]) -> Result<(), FailureToAcquire> {
        let frame = Frame::new(valleys[0], valleys[2], self.centre);
        let span = apart(valleys[0], valleys[2]);
        let [aside, above] = frame.place(valleys[1]);
        let centre = frame.place(self.centre)[0] / span;
        let mut gaps = [0, 1, 2].map(|k| self.angle(&four[k], &four[k + 1]));
        gaps.sort_by(f32::total_cmp);
        let spread = VALLEYS.contains(&(span / self.radius))
            && (aside / span).abs() <= ASIDE_MAX
            && ABOVE.contains(&(above / span))
            && centre.abs() <= CENTRE_ASIDE_MAX
            && gaps[2] <= GAPS_APART * gaps[1];
        if !spread {
            return Err(FailureToAcquire::ClosedHand);
        }
        let range = |values: [f32; 4]| {
            let [least, greatest] =
                [f32::min, f32::max].map(|of| values.into_iter().reduce(of).unwrap_or(0.0));
            (least, greatest)
        };
        let lengths = four.map(|finger| {
            let foot = finger
                .feet
                .map(|at| self.distances[at])
                .into_iter()
                .fold(0.0, f32::max);
            self.distances[finger.tip] - foot
        });
        let heights = range(four.map(|finger| frame.place(self.points[finger.tip])[1]));
        let (widths, lengths) = (range(four.map(|finger| finger.width)), range(lengths));
        let slender = WIDTH.contains(&widths.0)
            && widths.1 <= WIDTHS_APART * widths.0
            && LENGTH.contains(&lengths.0)
            && LENGTH.contains(&lengths.1)
            && LENGTHS_APART.contains(&(heights.1 / heights.0));
        if slender {
            Ok(())
        } else {
            Err(FailureToAcquire::NoHand)
        }
    }
}

/// Coordinates along the line of the outer valleys, from its middle, and up from it to the fingers.
struct Frame {
    middle: Position,
    along: Position,
    up: Position,
}

impl Frame {
    fn new(a: Position, b: Position, palm: Position) -> Self {
        let length = apart(a, b).max(f32::MIN_POSITIVE);
        let along = [(b[0] - a[0]) / length, (b[1] - a[1]) / length];
        let middle = [f32::midpoint(a[0], b[0]), f32::midpoint(a[1], b[1])];
        let frame = Self {
            middle,
            along,
            up: [along[1], -along[0]],
        };
        if frame.place(palm)[1] > 0.0 {
            return Self {
                up: frame.up.map(|t| -t),
                ..frame
            };
        }
        frame
    }

    fn place(&self, at: Position) -> [f32; 2] {
        let offset = [at[0] - self.middle[0], at[1] - self.middle[1]];
        [self.along, self.up].map(|axis| axis[0] * offset[0] + axis[1] * offset[1])
    }

    fn back(&self, [along, up]: [f32; 2]) -> Position {
        [0, 1].map(|k| self.middle[k] + along * self.along[k] + up * self.up[k])
    }
}

/// Where a straight line through points (across, height) is at a height.
fn fitted(points: &[[f32; 2]], height: f32) -> Option<f32> {
    let count = points.len() as f32;
    if points.len() < 4 {
        return None;
    }
    let mean = [0, 1].map(|k| points.iter().map(|p| p[k]).sum::<f32>() / count);
    let sum = |f: &dyn Fn([f32; 2]) -> f32| {
        points
            .iter()
            .map(|p| f([p[0] - mean[0], p[1] - mean[1]]))
            .sum::<f32>()
    };
    let slope = sum(&|[x, y]| x * y) / sum(&|[_, y]| y * y).max(f32::MIN_POSITIVE);
    Some(mean[0] + slope * (height - mean[1]))
}

fn apart(a: Position, b: Position) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

#[cfg(test)]
#[path = "outline_tests.rs"]
mod tests;
