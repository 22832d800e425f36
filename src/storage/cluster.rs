//! A database as many nodes and fronts share it: who the nodes are, the heads of galleries, and the catalog of a tenant that any of them writes. Keeps what the rules in
//! [`crate::cluster`] decide, and decides nothing itself.

pub mod backup;
pub mod copies;
pub mod import;
pub mod journal;
mod merge;
pub mod rotate;
pub mod segments;

pub use super::catalog::postgres::feed::FEED_MAX;
pub use super::catalog::postgres::heads::{Cluster, Figures, GalleryReading, GalleryView};
pub use super::catalog::postgres::register::{ADDRESS_MAX, Register, Standing};
pub use super::catalog::postgres::shared::reads::SubjectRows;
pub use super::catalog::postgres::shared::{ListedSegment, SegmentObject, SharedCatalog};
