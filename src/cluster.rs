//! What many nodes decide alike, each for itself: who has which part of a gallery, and what may be answered, acknowledged or let go of so that nobody is told of an earlier
//! gallery. Pure: asks nobody, keeps nothing, does no I/O.

pub mod course;
mod draw;
pub mod followers;
pub mod loads;
pub mod members;
pub mod placement;
pub mod question;
pub mod suspect;
pub mod view;
pub mod weight;

#[cfg(test)]
mod freshness_tests;
