//! Named families of synthetic palms: one to train on, one to test on, and some that differ much from both. Draws nothing.

use super::style::{Anatomy, Capture, Skin, Style, span};

/// The family that the encoder's projection is trained on.
pub fn train() -> Style {
    Style {
        anatomy: Anatomy {
            simian: 0.04,
            sydney: 0.08,
            place: 0.035,
            size: 0.07,
            point: 0.03,
            principal_width: span(1.2, 2.6),
            principal_depth: span(0.15, 0.45),
            creases: span(4.0, 14.0),
            crease_depth: span(0.05, 0.25),
            wrinkles: span(30.0, 140.0),
            wrinkle_length: span(0.06, 0.35),
            wrinkle_width: span(0.5, 1.2),
            wrinkle_depth: span(0.02, 0.3),
        },
        skin: Skin {
            exponent: span(1.2, 2.6),
            texture: span(0.015, 0.05),
            blotches: span(0.01, 0.05),
            ridge_period: span(2.2, 4.0),
            ridges: span(0.0, 0.03),
            mounds: span(0.1, 0.5),
        },
        capture: Capture {
            rotation: 1.2,
            scale: 0.018,
            shift: 1.3,
            deformation: 0.55,
            habit: 0.25,
            spread: 0.45,
            visibility: 0.2,
            light: 0.25,
            relief: 0.4,
            folds: span(0.0, 4.0),
            fold_depth: span(0.03, 0.15),
            blur: span(0.3, 1.2),
            noise: span(0.003, 0.02),
            missing: 0.05,
            missing_part: 0.3,
        },
    }
}

/// The family that the encoder is tested on: other palms, other skin, other blur and noise. Hands are held about as in [`train`].
pub fn test() -> Style {
    Style {
        anatomy: Anatomy {
            simian: 0.06,
            sydney: 0.05,
            place: 0.03,
            size: 0.06,
            point: 0.035,
            principal_width: span(1.0, 2.0),
            principal_depth: span(0.2, 0.5),
            creases: span(2.0, 10.0),
            crease_depth: span(0.08, 0.3),
            wrinkles: span(20.0, 100.0),
            wrinkle_length: span(0.08, 0.45),
            wrinkle_width: span(0.6, 1.4),
            wrinkle_depth: span(0.03, 0.25),
        },
        skin: Skin {
            exponent: span(1.6, 3.0),
            texture: span(0.01, 0.04),
            blotches: span(0.02, 0.06),
            ridge_period: span(3.0, 5.0),
            ridges: span(0.0, 0.02),
            mounds: span(0.2, 0.7),
        },
        capture: Capture {
            rotation: 0.9,
            scale: 0.013,
            shift: 1.0,
            deformation: 0.4,
            habit: 0.35,
            spread: 0.55,
            visibility: 0.15,
            light: 0.2,
            relief: 0.5,
            folds: span(0.0, 3.0),
            fold_depth: span(0.02, 0.12),
            blur: span(0.3, 1.0),
            noise: span(0.003, 0.015),
            missing: 0.06,
            missing_part: 0.35,
        },
    }
}

/// Principal lines and hardly anything else.
pub fn plain() -> Style {
    let mut style = test();
    style.anatomy.wrinkles = span(0.0, 15.0);
    style.skin.texture = span(0.003, 0.01);
    style.skin.ridges = span(0.0, 0.0);
    style.skin.blotches = span(0.0, 0.02);
    style.skin.mounds = span(0.0, 0.1);
    style
}

/// Many wrinkles and faint principal lines.
pub fn wrinkled() -> Style {
    let mut style = test();
    style.anatomy.principal_depth = span(0.1, 0.3);
    style.anatomy.wrinkles = span(200.0, 450.0);
    style.anatomy.wrinkle_width = span(0.4, 0.9);
    style.anatomy.wrinkle_depth = span(0.05, 0.35);
    style
}

/// Blotched and rough skin, faint principal lines.
pub fn mottled() -> Style {
    let mut style = test();
    style.anatomy.principal_depth = span(0.1, 0.3);
    style.skin.exponent = span(2.4, 3.4);
    style.skin.texture = span(0.05, 0.12);
    style.skin.blotches = span(0.05, 0.12);
    style.skin.mounds = span(0.3, 1.0);
    style
}

/// Broad lines.
pub fn broad() -> Style {
    let mut style = test();
    style.anatomy.principal_width = span(2.5, 4.5);
    style.anatomy.wrinkle_width = span(1.2, 2.4);
    style.anatomy.wrinkles = span(10.0, 60.0);
    style
}

/// Lines far from where they usually are.
pub fn strayed() -> Style {
    let mut style = test();
    style.anatomy.place = 0.1;
    style.anatomy.size = 0.15;
    style.anatomy.point = 0.07;
    style
}

/// Posed carelessly: half as much again of every deviation.
pub fn posed() -> Style {
    let mut style = test();
    style.capture.rotation *= 1.5;
    style.capture.scale *= 1.5;
    style.capture.shift *= 1.5;
    style.capture.deformation *= 1.5;
    style
}

/// Taken in bad light: blurred, noisy, lines seen now more and now less.
pub fn dim() -> Style {
    let mut style = test();
    style.capture.visibility = 0.35;
    style.capture.light = 0.4;
    style.capture.relief = 1.0;
    style.capture.blur = span(0.6, 1.8);
    style.capture.noise = span(0.01, 0.04);
    style
}

/// Well posed, and taken so badly that much is lost: heavy blur or noise, parts missing.
pub fn ruined() -> Style {
    let mut style = dim();
    style.capture.rotation = 0.5;
    style.capture.scale = 0.006;
    style.capture.shift = 0.5;
    style.capture.deformation = 0.2;
    style.capture.blur = span(0.5, 5.0);
    style.capture.noise = span(0.01, 0.12);
    style.capture.missing = 0.3;
    style.capture.missing_part = 0.6;
    style
}
