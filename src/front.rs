//! The front tier: admission on domain types. Authenticates, admits, protects, routes, decides; keeps no gallery and touches no file.

pub mod command;
pub mod error;
