//! The `thenar` binary. Calls the command line and nothing else.

fn main() {}
