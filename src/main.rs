//! The `thenar` binary. Calls the command line and nothing else.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes every piece of the heap that is given back: buffers of the libraries below had signatures in them too. What is in C (`SQLite`) takes from the same heap and gives back unwiped.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    thenar::cli::run()
}
