//! The vocabulary of thenar (ISO/IEC 2382-37): plain values that every layer shares. Imports nothing of ours and does no I/O.

pub mod checkpoint;
pub mod consent;
pub mod decision;
pub mod erasure;
pub mod id;
pub mod link;
pub mod policy;
pub mod principal;
pub mod probe;
pub mod reject;
pub mod retention;
pub mod signature;
pub mod subject;
pub mod tenant;
pub mod timestamp;
pub mod usage;
