//! Why no signature was made of an image (failure to acquire, ISO/IEC 19795-1). Decides nothing.

use thiserror::Error;

/// Why an image gives no signature. Never holds anything of the image but its size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FailureToAcquire {
    /// The bytes begin like no image.
    #[error("not an image: PNG, JPEG, BMP and PNM are read")]
    NotAnImage,
    /// An image of a kind that is not read.
    #[error("an image of a kind that is not read: PNG, JPEG, BMP and PNM are")]
    Unsupported,
    /// It begins like an image and can't be read to its end.
    #[error("the image is damaged or cut short")]
    Broken,
    /// More pixels than are read; found in the header, before anything is decoded.
    #[error("the image has {width} × {height} pixels; at most {pixels_max} are read")]
    TooLarge {
        /// Of the image.
        width: u32,
        /// Of the image.
        height: u32,
        /// The limit.
        pixels_max: u64,
    },
    /// A file that holds more than any image that is read.
    #[error("the file has more than {bytes_max} bytes")]
    FileTooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// Too few pixels to show a palm.
    #[error("{width} × {height} pixels are too few; a palm needs at least {side_min} on each side")]
    TooSmall {
        /// Of the image, or of the region in it.
        width: u32,
        /// Of the image, or of the region in it.
        height: u32,
        /// The limit.
        side_min: u32,
    },
    /// Not a region of interest, which is a square.
    #[error("the image has {width} × {height} pixels; a region of interest is a square")]
    NotSquare {
        /// Of the image.
        width: u32,
        /// Of the image.
        height: u32,
    },
    /// A black frame, or one that shows the same everywhere.
    #[error("the image is blank")]
    Blank,
    /// Too much of the palm is covered, in the dark, or blinded.
    #[error("{percent} % of the palm can be seen; at least {percent_min} % are needed")]
    Hidden {
        /// How much can be seen.
        percent: u8,
        /// The limit.
        percent_min: u8,
    },
    /// Nothing in the image is of a hand's size and shape.
    #[error("no hand in the image")]
    NoHand,
    /// A hand whose fingers are not spread: a fist, or fingers held together.
    #[error("the gaps between the fingers are not to be seen: open the hand, spread the fingers")]
    ClosedHand,
    /// More than one hand, and nothing says which is meant.
    #[error("more than one hand in the image")]
    TwoHands,
    /// Too little light to tell a hand from what is behind it.
    #[error("the image is too dark to tell a hand from what is behind it")]
    TooDark,
    /// The palm goes beyond the image.
    #[error("a part of the hand is beyond the edge of the image")]
    CutOff,
}

impl FailureToAcquire {
    /// A short word for the reason that stays the same between releases.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAnImage => "not-an-image",
            Self::Unsupported => "unsupported",
            Self::Broken => "broken",
            Self::TooLarge { .. } => "too-large",
            Self::FileTooLarge { .. } => "file-too-large",
            Self::TooSmall { .. } => "too-small",
            Self::NotSquare { .. } => "not-square",
            Self::Blank => "blank",
            Self::Hidden { .. } => "hidden",
            Self::NoHand => "no-hand",
            Self::ClosedHand => "closed-hand",
            Self::TwoHands => "two-hands",
            Self::TooDark => "too-dark",
            Self::CutOff => "cut-off",
        }
    }
}
