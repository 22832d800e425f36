//! One capture of a region: pose, deformation, light, blur, noise, missing parts. Knows no anatomy.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of a small image"
)]

use std::f32::consts::TAU;

use image::{GrayImage, ImageBuffer};

use super::anatomy::{REGION, stray};
use super::curve::{Map, Place};
use super::hand::{Outline, Placement};
use super::random::Random;
use super::relief::Relief;
use super::smooth::Smooth;
use super::style::Style;

/// Side of a region in pixels.
const SIDE: usize = 128;
/// From where the relief is looked at for its slope, in sides of the region.
const SLOPE: f32 = 0.012;

/// How a palm is seen in one capture.
pub struct View {
    pose: Pose,
    light: Light,
    visibility: [f32; 3],
    uneven: Smooth,
    folds: Map,
    blur: Place,
    noise: f32,
    missing: Option<Missing>,
}

/// A whole hand before the camera.
pub struct Scene<'a> {
    /// The palm.
    pub relief: &'a Relief,
    /// The hand around it.
    pub outline: &'a Outline,
    /// Where it lies.
    pub placement: &'a Placement,
}

/// From a place in the image to one in the palm.
struct Pose {
    turn: [[f32; 2]; 2],
    shift: Place,
    tilt: Place,
    bend: [Smooth; 2],
    bent: f32,
}

struct Light {
    from: Place,
    level: f32,
    slope: Place,
    strength: f32,
    patches: Smooth,
    relief: f32,
    gamma: f32,
}

/// What of the region can't be seen.
enum Missing {
    /// Beyond a border: dark, where the hand ends.
    Beyond { normal: Place, from: f32 },
    /// Blinded by a reflection: centre and radii.
    Glare { at: Place, radii: Place },
}

impl View {
    /// A view; `hardship` is that of the palm, as a factor.
    pub fn new(style: &Style, hardship: f32, random: &mut Random) -> Self {
        let capture = &style.capture;
        let severity = hardship * random.normal(capture.spread).exp();
        let mut folds = Relief::empty_map();
        let wanted = random.within(capture.folds).round() as usize;
        for _ in 0..wanted {
            let (length, width) = (0.15 + 0.4 * random.unit(), 1.0 + 1.5 * random.unit());
            let depth = random.within(capture.fold_depth);
            folds.press(&stray(length, width, depth, random), random);
        }
        let blur = random.within(capture.blur);
        Self {
            pose: Pose::new(style, severity, random),
            light: Light::new(style, random),
            visibility: [0, 1, 2].map(|_| random.normal(capture.visibility).exp()),
            uneven: Smooth::new(random, 3),
            folds,
            blur: [
                blur * (0.8 + 0.4 * random.unit()),
                blur * (0.8 + 0.4 * random.unit()),
            ],
            noise: random.within(capture.noise),
            missing: random
                .chance(capture.missing)
                .then(|| Missing::new(capture.missing_part, random)),
        }
    }

    /// The region as this view shows it.
    pub fn region(&self, relief: &Relief, uneven: f32, random: &mut Random) -> GrayImage {
        let mut shades = vec![0.0_f32; SIDE * SIDE];
        for (y, row) in shades.chunks_mut(SIDE).enumerate() {
            for (x, shade) in row.iter_mut().enumerate() {
                let seen = [(x as f32 + 0.5) / REGION, (y as f32 + 0.5) / REGION];
                *shade = self.shade(relief, seen, uneven);
                if let Some(missing) = &self.missing {
                    *shade = missing.apply(*shade, seen);
                }
            }
        }
        self.develop(shades, SIDE, self.blur, random)
    }

    /// A whole hand as this view shows it, `width` × `height` pixels, the hand brighter than what is behind it.
    pub fn hand(
        &self,
        scene: &Scene,
        [width, height]: [usize; 2],
        uneven: f32,
        random: &mut Random,
    ) -> GrayImage {
        let ground = 0.02 + 0.1 * random.unit();
        let mut shades = vec![0.0_f32; width * height];
        for (y, row) in shades.chunks_mut(width).enumerate() {
            for (x, shade) in row.iter_mut().enumerate() {
                let at = scene.placement.palm([x as f32, y as f32]);
                // Round at the edge, and a soft step into what is behind.
                let depth = scene.outline.depth(at);
                let round = 0.55 + 0.45 * (depth / 0.12).clamp(0.0, 1.0).sqrt();
                let within = (depth / 0.012 + 0.5).clamp(0.0, 1.0);
                let skin = if within > 0.0 {
                    round * self.shade(scene.relief, at, uneven)
                } else {
                    0.0
                };
                *shade = ground + within * (skin - ground);
            }
        }
        let wide = self
            .blur
            .map(|deviation| deviation * scene.placement.side() / REGION);
        self.develop(shades, width, wide, random)
    }

    fn develop(
        &self,
        mut shades: Vec<f32>,
        width: usize,
        deviations: Place,
        random: &mut Random,
    ) -> GrayImage {
        blur(&mut shades, width, deviations);
        let height = shades.len() / width;
        let noisy = |shade: &f32| {
            let value = 255.0 * shade.max(0.0).powf(self.light.gamma) + random.normal(255.0 * self.noise);
            value.round().clamp(0.0, 255.0) as u8
        };
        let bytes = shades.iter().map(noisy).collect();
        ImageBuffer::from_raw(width as u32, height as u32, bytes).expect("as many bytes as pixels")
    }

    /// Brightness, 0 to about 1, at a place in the image.
    fn shade(&self, relief: &Relief, seen: Place, uneven: f32) -> f32 {
        let at = self.pose.palm(seen);
        let [deep, fine, skin, height] = relief.at(at);
        let towards = [
            at[0] + SLOPE * self.light.from[0],
            at[1] + SLOPE * self.light.from[1],
        ];
        let [deep_by, fine_by, _, height_by] = relief.at(towards);
        let fold = Relief::look(&self.folds, at);
        let local = (uneven * self.uneven.at(seen[0], seen[1])).exp();
        let [see_deep, see_fine, see_skin] = self.visibility;
        let lines = (1.0 - (see_deep * local * deep).min(0.95))
            * (1.0 - (see_fine * local * fine).min(0.9))
            * (1.0 - fold);
        // A slope that faces the light is brighter: lines press the height down.
        let pressed =
            |deep: f32, fine: f32, height: f32| height - see_deep * local * deep - see_fine * local * fine;
        let slope = pressed(deep, fine, height) - pressed(deep_by, fine_by, height_by);
        self.light.at(seen) * lines * (1.0 + see_skin * skin) * (1.0 + self.light.relief * slope)
    }
}

impl Pose {
    fn new(style: &Style, severity: f32, random: &mut Random) -> Self {
        let capture = &style.capture;
        let angle = random
            .normal(severity * capture.rotation)
            .clamp(-25.0, 25.0)
            .to_radians();
        let scale = (1.0 + random.normal(severity * capture.scale)).clamp(0.7, 1.4);
        let aspect = 1.0 + random.normal(0.3 * severity * capture.scale).clamp(-0.15, 0.15);
        let (sin, cos) = angle.sin_cos();
        let shift = |random: &mut Random| {
            random
                .normal(severity * capture.shift / REGION)
                .clamp(-0.25, 0.25)
        };
        let tilt = |random: &mut Random| random.normal(0.5 * severity * capture.scale).clamp(-0.15, 0.15);
        Self {
            turn: [
                [scale * cos, -scale * aspect * sin],
                [scale * sin, scale * aspect * cos],
            ],
            shift: [shift(random), shift(random)],
            tilt: [tilt(random), tilt(random)],
            bend: [Smooth::new(random, 3), Smooth::new(random, 3)],
            bent: (severity * capture.deformation).min(8.0) / REGION,
        }
    }

    fn palm(&self, [x, y]: Place) -> Place {
        let (u, v) = (x - 0.5, y - 0.5);
        let depth = 1.0 + self.tilt[0] * u + self.tilt[1] * v;
        let (u, v) = (u / depth, v / depth);
        let turned = |row: usize| self.turn[row][0] * u + self.turn[row][1] * v + 0.5 + self.shift[row];
        [
            turned(0) + self.bent * self.bend[0].at(x, y),
            turned(1) + self.bent * self.bend[1].at(x, y),
        ]
    }
}

impl Light {
    fn new(style: &Style, random: &mut Random) -> Self {
        let capture = &style.capture;
        let (sin, cos) = (TAU * random.unit()).sin_cos();
        Self {
            from: [cos, sin],
            level: (0.55 * random.normal(0.5 * capture.light).exp()).clamp(0.2, 0.9),
            slope: [random.normal(capture.light), random.normal(capture.light)],
            strength: 0.4 * capture.light,
            patches: Smooth::new(random, 2),
            relief: capture.relief * (0.3 + 1.4 * random.unit()),
            gamma: random.normal(0.5 * capture.light).exp(),
        }
    }

    fn at(&self, place: Place) -> f32 {
        // Fingers and wrist have the light of the palm's border.
        let [x, y] = place.map(|t| t.clamp(-0.2, 1.2));
        let gradient = self.slope[0] * (x - 0.5) + self.slope[1] * (y - 0.5);
        self.level * (1.0 + gradient + self.strength * self.patches.at(x, y)).max(0.1)
    }
}

impl Missing {
    fn new(part: f32, random: &mut Random) -> Self {
        let share = part * random.unit();
        if random.chance(0.5) {
            let (sin, cos) = (TAU * random.unit()).sin_cos();
            let corner = 0.5 * (cos.abs() + sin.abs());
            return Self::Beyond {
                normal: [cos, sin],
                from: corner - share,
            };
        }
        let radius = 0.5 * share;
        Self::Glare {
            at: [random.unit(), random.unit()],
            radii: [radius * (0.5 + random.unit()), radius * (0.5 + random.unit())],
        }
    }

    fn apply(&self, shade: f32, [x, y]: Place) -> f32 {
        match self {
            Self::Beyond { normal, from } => {
                let out = normal[0] * (x - 0.5) + normal[1] * (y - 0.5) - from;
                shade * (1.0 - (out / 0.03).clamp(0.0, 0.95))
            }
            Self::Glare { at, radii } => {
                let squared =
                    ((x - at[0]) / radii[0].max(0.01)).powi(2) + ((y - at[1]) / radii[1].max(0.01)).powi(2);
                shade + (1.0 - shade) * (1.5 - squared).clamp(0.0, 1.0)
            }
        }
    }
}

/// Gaussian blur with a deviation for each axis, in pixels.
pub fn blur(shades: &mut [f32], width: usize, deviations: Place) {
    let height = shades.len() / width;
    let kernels = deviations.map(|deviation| {
        let reach = (3.0 * deviation).ceil() as usize;
        let bell = |k: usize| (-0.5 * (k as f32 / deviation.max(0.05)).powi(2)).exp();
        let total = (1..=reach).map(|k| 2.0 * bell(k)).sum::<f32>() + 1.0;
        (0..=reach).map(|k| bell(k) / total).collect::<Vec<_>>()
    });
    let mut line = Vec::new();
    for row in shades.chunks_mut(width) {
        line.clear();
        line.extend_from_slice(row);
        spread(&line, &kernels[0], |x, value| row[x] = value);
    }
    for x in 0..width {
        line.clear();
        line.extend((0..height).map(|y| shades[y * width + x]));
        spread(&line, &kernels[1], |y, value| shades[y * width + x] = value);
    }
}

fn spread(line: &[f32], kernel: &[f32], mut put: impl FnMut(usize, f32)) {
    let last = line.len() - 1;
    for at in 0..line.len() {
        let sides = kernel.iter().enumerate().skip(1);
        let sum: f32 = sides
            .map(|(k, w)| w * (line[at.saturating_sub(k)] + line[(at + k).min(last)]))
            .sum();
        put(at, kernel[0] * line[at] + sum);
    }
}
