//! The catalog of one tenant: subjects, references, consent, links, history, erasures and pending rows. Touches no segment file.
//!
//! [`seam`] says what it does for the tenant; behind it is `SQLite` (`local`), and all other modules here know it.

pub(super) mod chain;
pub(super) mod code;
pub(super) mod connection;
mod enroll;
pub(super) mod erase;
pub(super) mod import;
pub(super) mod local;
pub(super) mod page;
pub(super) mod pending;
mod request;
pub(super) mod schema;
pub(super) mod seam;
pub(super) mod segments;
pub(super) mod state;
mod subject;
mod tables;
mod tenant;
mod usage;
mod vfs;

#[cfg(test)]
mod contract_tests;
