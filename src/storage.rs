//! What is on disk: one directory a tenant with a catalog (`SQLite`) and sealed, memory-mapped segments. Knows nothing of GPUs, codes or gRPC: planes are bytes to it.
//!
//! A catalog may be in a PostgreSQL [`database`] instead.
//!
//! [`data_dir::DataDir`] is the directory that one process holds; [`store::Store`] is one tenant in it.
//! The layout of every file is in `docs/format.md`.

pub mod absence;
pub mod archive;
pub mod audit;
pub mod backup;
mod bridge;
mod catalog;
pub mod cluster;
mod commit;
pub mod data_dir;
pub mod database;
mod durable;
pub mod error;
mod files;
mod flush;
#[doc(hidden)]
pub mod fuzzing;
pub mod import;
pub mod journal;
mod map;
mod mark;
pub mod objects;
pub mod on_cluster;
pub mod on_database;
pub mod place;
mod purge;
mod read;
mod recover;
pub mod relocate;
pub mod restore;
pub mod rotate;
mod segment;
pub mod store;
mod traces;
pub mod verify;
pub mod write;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod due_tests;

#[cfg(test)]
mod on_database_tests;

#[cfg(test)]
mod on_database_drop_tests;

#[cfg(test)]
mod on_objects_tests;
