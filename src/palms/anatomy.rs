//! The lines of one palm: principal lines of the three known types, secondary creases, wrinkles. Draws no pixels.

use std::f32::consts::{PI, TAU};

use super::curve::{Line, Place};
use super::random::Random;
use super::style::{Anatomy, Span};

/// Pixels of a side of the region that widths are given in.
pub const REGION: f32 = 128.0;

/// How the principal lines run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Heart and head line apart; the head line ends within the palm.
    Normal,
    /// One line across the palm in the place of both.
    Simian,
    /// The head line crosses the whole palm.
    Sydney,
}

/// Lines of a palm, the deep ones apart from the fine ones.
pub struct Lines {
    /// Type of the principal lines.
    pub kind: Kind,
    /// Principal lines and secondary creases.
    pub deep: Vec<Line>,
    /// Wrinkles.
    pub fine: Vec<Line>,
}

const HEART: [Place; 6] = [
    [1.2, 0.43],
    [1.0, 0.37],
    [0.72, 0.28],
    [0.48, 0.18],
    [0.34, 0.04],
    [0.28, -0.12],
];
const HEAD: [Place; 6] = [
    [-0.2, 0.25],
    [0.0, 0.3],
    [0.25, 0.36],
    [0.5, 0.46],
    [0.74, 0.58],
    [0.9, 0.68],
];
const HEAD_SYDNEY: [Place; 6] = [
    [-0.2, 0.26],
    [0.0, 0.3],
    [0.3, 0.36],
    [0.6, 0.44],
    [0.9, 0.55],
    [1.2, 0.64],
];
const LIFE: [Place; 7] = [
    [-0.2, 0.26],
    [0.0, 0.33],
    [0.2, 0.44],
    [0.33, 0.62],
    [0.37, 0.82],
    [0.34, 1.02],
    [0.28, 1.2],
];
const SIMIAN: [Place; 6] = [
    [-0.2, 0.27],
    [0.0, 0.3],
    [0.3, 0.32],
    [0.6, 0.35],
    [0.85, 0.4],
    [1.2, 0.5],
];
const FATE: [Place; 5] = [[0.48, 1.2], [0.5, 0.9], [0.52, 0.62], [0.5, 0.36], [0.46, 0.1]];
const SUN: [Place; 4] = [[0.74, 0.8], [0.74, 0.55], [0.72, 0.32], [0.7, 0.1]];

impl Lines {
    /// The lines of a palm.
    pub fn new(style: &Anatomy, random: &mut Random) -> Self {
        let kind = match random.unit() {
            u if u < style.simian => Kind::Simian,
            u if u < style.simian + style.sydney => Kind::Sydney,
            _ => Kind::Normal,
        };
        let principal = Principal::new(style, random);
        let mut deep = Vec::new();
        match kind {
            Kind::Normal => deep.extend([
                principal.line(&HEART, 1.0, random),
                principal.line(&HEAD, 0.95, random),
            ]),
            Kind::Sydney => deep.extend([
                principal.line(&HEART, 1.0, random),
                principal.line(&HEAD_SYDNEY, 0.95, random),
            ]),
            Kind::Simian => deep.push(principal.line(&SIMIAN, 1.05, random)),
        }
        deep.push(principal.line(&LIFE, 1.0, random));
        for (line, share, strength) in [(&FATE[..], 0.6, 0.6), (&SUN[..], 0.4, 0.45)] {
            if random.chance(share) {
                let strength = strength * (0.5 + random.unit());
                let mut line = principal.line(line, strength, random);
                let cut = random.below(3);
                line.through.drain(..usize::from(cut == 1));
                line.tapered = true;
                deep.push(line);
            }
        }
        for _ in 0..number(style.creases, random) {
            let length = 0.25 + 0.5 * random.unit();
            let width = 0.7 * random.within(style.principal_width);
            let depth = random.within(style.crease_depth);
            deep.push(stray(length, width, depth, random));
        }
        let mut fine = Vec::new();
        let count = number(style.wrinkles, random);
        while fine.len() < count {
            bundle(style, random, &mut fine);
        }
        Self { kind, deep, fine }
    }
}

/// What the principal lines of a palm have in common.
struct Principal<'a> {
    style: &'a Anatomy,
    shift: Place,
    stretch: Place,
    lean: f32,
    width: f32,
    depth: f32,
}

impl<'a> Principal<'a> {
    fn new(style: &'a Anatomy, random: &mut Random) -> Self {
        Self {
            style,
            shift: [random.normal(style.place), random.normal(style.place)],
            stretch: [1.0 + random.normal(style.size), 1.0 + random.normal(style.size)],
            lean: random.normal(style.size),
            width: random.within(style.principal_width),
            depth: random.within(style.principal_depth),
        }
    }

    fn line(&self, points: &[Place], strength: f32, random: &mut Random) -> Line {
        // A line as a whole strays, and bends, and then each of its points does.
        let whole = [random.normal(self.style.point), random.normal(self.style.point)];
        let bend = [random.normal(self.style.point), random.normal(self.style.point)];
        let mut along = -1.0;
        let step = 2.0 / f32::from(u8::try_from(points.len() - 1).expect("a few points"));
        let mut through = Vec::with_capacity(points.len());
        for [x, y] in points {
            let place = |value: f32, axis: usize, random: &mut Random| {
                0.5 + (value - 0.5) * self.stretch[axis]
                    + self.shift[axis]
                    + whole[axis]
                    + bend[axis] * along
                    + random.normal(0.6 * self.style.point)
            };
            let (px, py) = (place(*x, 0, random), place(*y, 1, random));
            through.push([px, py + self.lean * (px - 0.5)]);
            along += step;
        }
        Line {
            through,
            width: self.width * (0.8 + 0.4 * random.unit()) / REGION,
            depth: self.depth * strength * (0.75 + 0.5 * random.unit()),
            uneven: 0.3 + 0.4 * random.unit(),
            tapered: false,
        }
    }
}

/// A crease of its own somewhere in the palm.
pub fn stray(length: f32, width: f32, depth: f32, random: &mut Random) -> Line {
    let at = [random.unit() * 1.2 - 0.1, random.unit() * 1.2 - 0.1];
    let angle = direction(at, random);
    let through = arc(at, angle, length, random.normal(1.0), random);
    Line {
        through,
        width: width / REGION,
        depth,
        uneven: 0.6,
        tapered: true,
    }
}

/// Wrinkles that lie side by side.
fn bundle(style: &Anatomy, random: &mut Random, fine: &mut Vec<Line>) {
    let at = [random.unit() * 1.3 - 0.15, random.unit() * 1.3 - 0.15];
    let angle = direction(at, random);
    let (length, curvature) = (random.within(style.wrinkle_length), random.normal(1.5));
    let gap = 0.02 + 0.06 * random.unit();
    for number in 0..=random.below(5) {
        let aside = gap * f32::from(u16::try_from(number).expect("a few"));
        let at = [
            at[0] - aside * angle.sin() + random.normal(0.01),
            at[1] + aside * angle.cos() + random.normal(0.01),
        ];
        let turned = angle + random.normal(0.12);
        // Few are deep.
        let shallow = random.unit() * random.unit();
        let depth = style.wrinkle_depth.low + (style.wrinkle_depth.high - style.wrinkle_depth.low) * shallow;
        fine.push(Line {
            through: arc(
                at,
                turned,
                length * (0.6 + 0.8 * random.unit()),
                curvature,
                random,
            ),
            width: random.within(style.wrinkle_width) / REGION,
            depth,
            uneven: 0.7,
            tapered: true,
        });
    }
}

/// An arc through `at` with some trembling.
fn arc(at: Place, angle: f32, length: f32, curvature: f32, random: &mut Random) -> Vec<Place> {
    let mut place = at;
    let mut heading = angle - curvature * length / 2.0;
    let step = length / 4.0;
    let mut through = Vec::with_capacity(5);
    for _ in 0..5 {
        through.push(place);
        place = [place[0] + step * heading.cos(), place[1] + step * heading.sin()];
        heading += curvature * step + random.normal(0.12);
    }
    through
}

/// Which way wrinkles run: it depends on the part of the palm, loosely.
fn direction([x, y]: Place, random: &mut Random) -> f32 {
    if random.chance(0.3) {
        return TAU * random.unit();
    }
    let usual = if x < 0.35 && y > 0.4 {
        // The thenar: across, falling towards the thumb's root.
        -0.25 * PI
    } else if x > 0.65 && y > 0.45 {
        // The hypothenar: aslant towards the wrist.
        0.2 * PI
    } else if y < 0.25 {
        // Below the fingers: along them.
        0.5 * PI
    } else {
        0.4 * PI * (x - 0.5) + 0.35 * PI
    };
    usual + random.normal(0.45)
}

fn number(span: Span, random: &mut Random) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few hundred lines"
    )]
    let count = random.within(span).round() as usize;
    count
}
