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
            rotation: 2.2,
            scale: 0.03,
            shift: 2.6,
            deformation: 1.0,
            habit: 0.3,
            spread: 0.4,
            visibility: 0.3,
            light: 0.25,
            relief: 0.5,
            folds: span(0.0, 6.0),
            fold_depth: span(0.02, 0.12),
            blur: span(0.3, 1.4),
            noise: span(0.004, 0.03),
            missing: 0.05,
            missing_part: 0.3,
        },
    }
}

/// The family that the encoder is tested on: other ranges everywhere.
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
            rotation: 2.5,
            scale: 0.035,
            shift: 3.0,
            deformation: 1.2,
            habit: 0.35,
            spread: 0.4,
            visibility: 0.35,
            light: 0.3,
            relief: 0.7,
            folds: span(1.0, 8.0),
            fold_depth: span(0.02, 0.15),
            blur: span(0.4, 1.6),
            noise: span(0.005, 0.035),
            missing: 0.06,
            missing_part: 0.35,
        },
    }
}
