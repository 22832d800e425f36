//! One match node: which rows sit where (residency), changes (apply) and search (scan, then exact rescore). Sees protected signatures only; knows nothing of TLS, roles or policies.

mod apply;
pub mod cluster_home;
mod convert;
mod error;
#[cfg(test)]
mod fixture;
pub mod home;
mod import;
mod load;
pub mod local;
pub mod member;
pub mod node;
pub mod on_cluster;
pub mod parts;
pub mod placed;
mod rank;
pub mod remote;
mod reopen;
mod residency;
mod rotate;
mod rotations;
mod scorers;
mod search;
mod searched;
mod slot;
mod tenant;
mod upkeep;
mod writes;
