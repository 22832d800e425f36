//! thenar: an open palm-identity back end. The layers, from the top down; ARCHITECTURE.md is the map. Holds no code itself.

pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod encode;
pub mod engine;
pub mod eval;
pub mod front;
pub mod keys;
pub mod matcher;
pub mod model;
pub mod palms;
pub mod population;
pub mod proto;
pub mod server;
pub mod service;
pub mod storage;
pub mod telemetry;
