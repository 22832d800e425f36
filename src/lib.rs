//! thenar: an open palm-identity back end. The layers, from the top down; ARCHITECTURE.md is the map. Holds no code itself.

pub mod model;
