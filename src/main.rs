//! The `thenar` binary. Calls the command line and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    thenar::cli::run()
}
