//! What a family of synthetic palms looks like, in numbers. Draws nothing.

/// From one value to another, both of them included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The least.
    pub low: f32,
    /// The most.
    pub high: f32,
}

/// A span, briefly.
pub const fn span(low: f32, high: f32) -> Span {
    Span { low, high }
}

/// A family of palms and the way they are captured. Lengths are in sides of the region where
/// nothing else is said; depths and strengths are shares of the brightness of skin.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    /// Lines.
    pub anatomy: Anatomy,
    /// What is between them.
    pub skin: Skin,
    /// How captures of one palm differ.
    pub capture: Capture,
}

/// Lines of a palm.
#[derive(Debug, Clone, PartialEq)]
pub struct Anatomy {
    /// Share of palms whose heart and head lines are one.
    pub simian: f32,
    /// Share of palms whose head line crosses the whole palm.
    pub sydney: f32,
    /// Deviation of where the lines lie as a whole.
    pub place: f32,
    /// Deviation of their size, as a share.
    pub size: f32,
    /// Deviation of each of their points.
    pub point: f32,
    /// Width of principal lines, in pixels of a region.
    pub principal_width: Span,
    /// Depth of principal lines.
    pub principal_depth: Span,
    /// Number of secondary creases.
    pub creases: Span,
    /// Depth of secondary creases.
    pub crease_depth: Span,
    /// Number of wrinkles.
    pub wrinkles: Span,
    /// Length of wrinkles.
    pub wrinkle_length: Span,
    /// Width of wrinkles, in pixels of a region.
    pub wrinkle_width: Span,
    /// Depth of wrinkles.
    pub wrinkle_depth: Span,
}

/// The skin between the lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Skin {
    /// Power of the frequency that the spectrum of the texture falls with.
    pub exponent: Span,
    /// Strength of the texture.
    pub texture: Span,
    /// Strength of blotches some tenths of the region wide.
    pub blotches: Span,
    /// Period of ridges, in pixels of a region.
    pub ridge_period: Span,
    /// Strength of ridges.
    pub ridges: Span,
    /// Height of the mounds.
    pub mounds: Span,
}

/// How captures of one palm differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// Median deviation of the rotation, in degrees.
    pub rotation: f32,
    /// Median deviation of the scale, as a share.
    pub scale: f32,
    /// Median deviation of the position on each axis, in pixels of a region.
    pub shift: f32,
    /// Median deviation of the non-linear deformation, in pixels of a region.
    pub deformation: f32,
    /// How much worse posed some palms are: deviation of the logarithm.
    pub habit: f32,
    /// How much worse posed some captures are: deviation of the logarithm.
    pub spread: f32,
    /// How much the visibility of lines differs: deviation of the logarithm.
    pub visibility: f32,
    /// How much the light differs, as a deviation.
    pub light: f32,
    /// Strength of the shading by the relief.
    pub relief: f32,
    /// Number of creases that come and go with the pose of the hand.
    pub folds: Span,
    /// Their depth.
    pub fold_depth: Span,
    /// Blur, in pixels of a region.
    pub blur: Span,
    /// Noise, as a share of the full range.
    pub noise: Span,
    /// Share of captures with a part missing.
    pub missing: f32,
    /// The largest part that is missing, as a share of the side.
    pub missing_part: f32,
}
