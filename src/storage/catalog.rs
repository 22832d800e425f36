//! The catalog of one tenant: subjects, references, consent, links, history, erasures and pending rows, in `SQLite`. Touches no segment file.

pub(super) mod chain;
pub(super) mod code;
pub(super) mod connection;
pub(super) mod enroll;
pub(super) mod erase;
pub(super) mod import;
pub(super) mod page;
pub(super) mod pending;
pub(super) mod request;
pub(super) mod schema;
pub(super) mod segments;
pub(super) mod state;
pub(super) mod subject;
pub(super) mod tenant;
pub(super) mod usage;
mod vfs;
