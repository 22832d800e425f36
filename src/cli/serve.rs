//! `thenar serve | front | match`: runs a server until it is told to stop. Knows signals, not tiers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use crate::engine::Kernel;
use crate::server::Mode;

use super::error::CliError;
use super::local::{self, BackendOption, LocalError, Overrides};

/// Options of a server. They win over the environment (`THENAR_…`) and that over the file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file, TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address for gRPC
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// What searches
    #[arg(long, value_enum)]
    backend: Option<BackendOption>,
    /// Instruction set of a scan on the CPU: portable, neon, avx2, avx512, amx; the best that the machine has when not given
    #[arg(long, value_name = "NAME", value_parser = local::kernel)]
    kernel: Option<Kernel>,
    /// File to hold the address once the server is ready, for those who start it on port 0
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

impl Args {
    fn overrides(&self) -> Overrides {
        Overrides {
            data: self.data.clone(),
            listen: self.listen,
            backend: self.backend,
            kernel: self.kernel,
        }
    }
}

/// Runs it until SIGTERM or SIGINT, then drains. SIGHUP has it read the TLS files again.
pub async fn run(args: &Args, mode: Mode) -> Result<(), CliError> {
    // Installed before the start, so that a signal while loading is not lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(CliError::Runtime)?;
    let overrides = args.overrides();
    let server = tokio::select! {
        server = local::start(args.config.as_deref(), &overrides, mode) => server?,
        // What is being loaded is not waited for.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    if let Some(path) = &args.address_file {
        write_whole(path, &server.address().to_string()).map_err(|e| CliError::file(path, e))?;
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => server.reload(),
        }
    }
    server.stop().await.map_err(LocalError::Server)?;
    Ok(())
}

/// The file appears with its whole text or not at all, so that a reader may simply wait for it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, format!("{text}\n"))?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
