//! The `thenar` binary. Calls the command line and nothing else.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Wipes every piece of the heap that is given back: buffers of the libraries below had signatures in them too. What is in C (`SQLite`) has the heap of the C library.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    thenar::cli::run()
}
