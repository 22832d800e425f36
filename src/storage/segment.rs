//! Segments: immutable sealed files of rows in planes. Knows nothing of the catalog.

pub(super) mod blocks;
pub(super) mod format;
pub(super) mod reader;
pub(super) mod writer;
