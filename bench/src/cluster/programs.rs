//! Programs of others that a cluster needs: PostgreSQL's, a python that has moto, and perhaps libfaketime. Installs nothing.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Failure;

/// Names the folder of PostgreSQL's programs where Debian's packages are not installed (`./check`).
const POSTGRES: &str = "POSTGRES_PROGRAMS";
/// Names libfaketime where Debian's package is not installed.
const FAKETIME: &str = "FAKETIME_LIBRARY";
/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Names a python that has what `tests/moto/requirements.txt` wants.
const PYTHON: &str = "MOTO_PYTHON";

/// Something that is not installed here. It says what, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking(String);

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lacking {}

/// The folder of PostgreSQL's newest programs.
pub fn postgres() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(POSTGRES) {
        let named = PathBuf::from(named);
        if named.join("initdb").exists() {
            return Ok(named);
        }
        let text = format!("{POSTGRES} names {}, which has no initdb", named.display());
        return Err(Lacking(text).into());
    }
    let versions = fs::read_dir(DEBIAN).into_iter().flatten();
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let newest = folders.filter(|path| path.join("initdb").exists()).max();
    newest.ok_or_else(|| {
        let text = format!(
            "PostgreSQL is not installed: no initdb in {DEBIAN}. On Debian: apt-get install postgresql; elsewhere {POSTGRES} names the folder of its programs"
        );
        Lacking(text).into()
    })
}

/// The library that gives a process another clock, where it is installed.
pub fn faketime() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(FAKETIME) {
        return Some(PathBuf::from(named)).filter(|path| path.exists());
    }
    let folders = fs::read_dir("/usr/lib").into_iter().flatten();
    let mut libraries =
        folders.filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")));
    libraries.find(|path| path.exists())
}

/// A python that has moto's server.
pub fn python() -> Result<PathBuf, Failure> {
    let named = std::env::var_os(PYTHON).map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let has_moto = Command::new(&named)
        .args(["-c", "from moto.server import ThreadedMotoServer"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_moto {
        return Ok(named);
    }
    let text = format!(
        "no S3 server: {} has no moto[server] (tests/moto/requirements.txt); {PYTHON} names a python that has it, and --directory-store does without",
        named.display()
    );
    Err(Lacking(text).into())
}
