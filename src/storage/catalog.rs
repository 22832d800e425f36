//! The catalog of one tenant: subjects, references, consent, links, history, erasures and pending rows. Touches no segment file.
//!
//! [`seam`] says what it does for the tenant; behind it are `SQLite` (`local`) and PostgreSQL (`postgres`). The rules of a group of writes (`group`, `enroll`, `erase`, `usage`, `request`, `tenant`,
//! `chain`) work on rows as [`tables`] has them and know no engine; `schema`, `connection`, `segments`, `pending`, `import`, `code`, `state`, `page` and `vfs` know `SQLite`.

pub(super) mod chain;
pub(super) mod code;
pub(super) mod connection;
mod draft;
mod enroll;
pub(super) mod erase;
mod group;
pub(super) mod import;
pub(super) mod local;
pub(super) mod page;
pub(super) mod pending;
pub(super) mod postgres;
pub(super) mod relocate;
mod request;
pub(super) mod schema;
pub(super) mod seam;
pub(super) mod segments;
pub(super) mod state;
mod tables;
mod tenant;
mod usage;
mod vfs;

#[cfg(test)]
mod contract_tests;
