//! A server as its callers have it: a process, certificates, requests, palms. Measures and judges nothing.

pub mod calls;
pub mod child;
pub mod filled;
pub mod metrics;
pub mod palms;
