//! One match node: which rows sit where (residency), changes (apply) and search (scan, then exact rescore). Sees protected signatures only; knows nothing of TLS, roles or policies.

pub mod node;
pub mod remote;
