//! What many nodes decide alike, each for itself: who has which part of a gallery. Pure: asks nobody, keeps nothing, does no I/O.

mod draw;
pub mod placement;
