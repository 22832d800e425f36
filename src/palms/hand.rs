//! The outline of a hand around its palm, and where it lies in an image. Draws no lines.

use super::curve::Place;
use super::random::Random;

/// How far below the line between the valleys the region begins, and how far beyond them it reaches
/// on each side, in sides of the region: the square of Zhang et al. (2003) with its side in
/// proportion to the hand.
const VALLEY_ABOVE: f32 = 0.1;
const VALLEY_INSIDE: f32 = 1.0 / 12.0;
/// Half the gap between two fingers where they part.
const HALF_GAP: f32 = 0.024;
/// What of a folded finger is seen above the palm.
const FOLDED: f32 = 0.08;
/// Fingers from the index to the little one: lengths, and how far each leans away from the thumb, in degrees.
const FINGERS: [[f32; 2]; 4] = [[0.95, -11.0], [1.1, -3.0], [1.0, 5.0], [0.76, 17.0]];
/// The palm's outline from the index finger round to the thumb; the edge below the fingers goes
/// through the valleys and is put in between.
const ULNAR: [Place; 4] = [[1.25, 0.02], [1.28, 0.6], [1.13, 1.2], [0.98, 1.6]];
const WRIST: [Place; 2] = [[1.02, 4.0], [0.0, 4.0]];
const RADIAL: [Place; 4] = [[0.04, 1.6], [-0.14, 1.15], [-0.36, 0.7], [-0.32, 0.0]];

/// A hand, thumb to the left, in places of the palm.
pub struct Outline {
    palm: Vec<Place>,
    /// Fingers and thumb.
    fingers: Vec<Finger>,
}

struct Finger {
    root: Place,
    tip: Place,
    radii: [f32; 2],
}

/// Where a hand lies in an image: from pixels to places in the palm.
pub struct Placement {
    centre: Place,
    turn: Place,
    side: f32,
}

impl Outline {
    /// A hand with open fingers.
    pub fn new(random: &mut Random) -> Self {
        let middle = 0.5 + random.normal(0.015);
        let valleys = [
            [VALLEY_INSIDE, -VALLEY_ABOVE],
            [middle, -VALLEY_ABOVE - 0.05],
            [1.0 - VALLEY_INSIDE, -VALLEY_ABOVE],
        ];
        let edges = [-0.29, VALLEY_INSIDE, middle, 1.0 - VALLEY_INSIDE, 1.24];
        let mut fingers: Vec<Finger> = FINGERS
            .iter()
            .zip(edges.windows(2))
            .map(|([length, lean], edge)| {
                let (sin, cos) = (lean + random.normal(1.5)).to_radians().sin_cos();
                let radius = (edge[1] - edge[0]) / 2.0 - HALF_GAP;
                let root = [f32::midpoint(edge[0], edge[1]), -VALLEY_ABOVE];
                let length = length * (1.0 + random.normal(0.05));
                Finger {
                    root,
                    tip: [root[0] + length * sin, root[1] - length * cos],
                    radii: [radius, 0.82 * radius],
                }
            })
            .collect();
        let lean = random.normal(0.08);
        fingers.push(Finger {
            root: [-0.05, 0.9],
            tip: [-0.85 + lean, 0.2 + lean],
            radii: [0.22, 0.15],
        });
        let palm = valleys
            .into_iter()
            .chain(ULNAR)
            .chain(WRIST)
            .chain(RADIAL)
            .collect();
        Self { palm, fingers }
    }

    /// A fist: the fingers folded upon the palm, one against the other, and the thumb across them.
    #[must_use]
    pub fn closed(mut self) -> Self {
        for finger in &mut self.fingers {
            finger.tip = [finger.root[0], finger.root[1] - FOLDED];
            finger.radii = [finger.radii[0] + HALF_GAP + 0.01; 2];
        }
        if let Some(thumb) = self.fingers.last_mut() {
            (thumb.root, thumb.tip) = ([-0.05, 0.9], [0.3, 0.5]);
        }
        self
    }

    /// One finger (0 is the index) held against the next one, so that no gap is between them.
    #[cfg(test)]
    #[must_use]
    pub fn joined(mut self, first: usize) -> Self {
        let [one, next] = [0, 1].map(|k| &self.fingers[first + k]);
        let lean = [0, 1].map(|k| (one.tip[k] - one.root[k] + next.tip[k] - next.root[k]) / 2.0);
        for finger in &mut self.fingers[first..first + 2] {
            finger.tip = [finger.root[0] + lean[0], finger.root[1] + lean[1]];
            finger.radii = [finger.radii[0] + HALF_GAP + 0.01; 2];
        }
        self
    }

    /// How far inside the hand a place is, in sides of the region; negative outside.
    pub fn depth(&self, at: Place) -> f32 {
        let fingers = self.fingers.iter().map(|finger| finger.depth(at));
        fingers.fold(self.palm_depth(at), f32::max)
    }

    fn palm_depth(&self, [x, y]: Place) -> f32 {
        let (mut inside, mut nearest) = (false, f32::INFINITY);
        let ends = self.palm.iter().zip(self.palm.iter().cycle().skip(1));
        for (a, b) in ends {
            if (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) {
                inside = !inside;
            }
            nearest = nearest.min(along([x, y], *a, *b).1);
        }
        if inside { nearest } else { -nearest }
    }
}

impl Finger {
    fn depth(&self, at: Place) -> f32 {
        let (part, distance) = along(at, self.root, self.tip);
        self.radii[0] + part * (self.radii[1] - self.radii[0]) - distance
    }
}

/// How far along a stretch, from 0 to 1, the point of it lies that is nearest to a place, and how far from it.
fn along(at: Place, from: Place, to: Place) -> (f32, f32) {
    let (stretch, offset) = (
        [to[0] - from[0], to[1] - from[1]],
        [at[0] - from[0], at[1] - from[1]],
    );
    let squared = stretch[0] * stretch[0] + stretch[1] * stretch[1];
    let part = ((offset[0] * stretch[0] + offset[1] * stretch[1]) / squared).clamp(0.0, 1.0);
    (
        part,
        (offset[0] - part * stretch[0]).hypot(offset[1] - part * stretch[1]),
    )
}

impl Placement {
    /// Somewhere near the middle of an image, fingers about up.
    pub fn new([width, height]: Place, random: &mut Random) -> Self {
        let (sin, cos) = random.normal(6.0).clamp(-18.0, 18.0).to_radians().sin_cos();
        Self {
            centre: [
                0.53 * width + random.normal(0.02 * width),
                0.57 * height + random.normal(0.015 * height),
            ],
            turn: [cos, sin],
            side: 0.245 * height * (1.0 + random.normal(0.05)).clamp(0.85, 1.1),
        }
    }

    /// Side of the region, in pixels.
    pub fn side(&self) -> f32 {
        self.side
    }

    /// The place in the palm of a position in pixels.
    pub fn palm(&self, [x, y]: Place) -> Place {
        let ([cos, sin], dx, dy) = (
            self.turn,
            (x - self.centre[0]) / self.side,
            (y - self.centre[1]) / self.side,
        );
        [cos * dx + sin * dy + 0.5, cos * dy - sin * dx + 0.5]
    }

    /// The position in pixels of a place in the palm.
    pub fn pixel(&self, [x, y]: Place) -> Place {
        let ([cos, sin], u, v) = (self.turn, (x - 0.5) * self.side, (y - 0.5) * self.side);
        [
            cos * u - sin * v + self.centre[0],
            sin * u + cos * v + self.centre[1],
        ]
    }
}
