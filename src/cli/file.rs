//! Files that are read as a whole, up to a limit. Knows no format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::CliError;

/// What is in a file; nothing if that is more than `bytes_max`.
pub fn read_up_to(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, CliError> {
    let failed = |error| CliError::file(path, error);
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(failed)?;
    let read = opened
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok((read as u64 <= bytes_max).then_some(bytes))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
