//! Where a secret comes from, the key-encryption key above all: a file, the environment, or a command, so that any KMS or vault fits. Never stores what it read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::encoding::{from_base64, from_hex, to_hex};
use super::error::KeyError;
use super::file;
use super::secret::{SECRET_LEN, SecretKey};

/// How long a key command may take.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes that are read from a source; a key takes 64 and some white space.
pub const SOURCE_LEN_MAX: u64 = 1_024;
/// How often the end of a command is looked for.
const COMMAND_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A source of the key-encryption key (32 bytes as hexadecimal digits or in base64), or of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KekSource {
    /// A file that its owner alone may read.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A program and its arguments; the key is its standard output.
    Command(Vec<String>),
}

impl KekSource {
    /// Reads the key.
    pub fn load(&self) -> Result<SecretKey, KeyError> {
        parse(&self.text()?, &self.origin())
    }

    /// Reads a password: what the source holds, without the end of its line.
    pub fn password(&self) -> Result<Zeroizing<String>, KeyError> {
        let text = self.text()?;
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(KeyError::NoPassword(self.origin()));
        }
        Ok(Zeroizing::new(password.to_owned()))
    }

    /// What it holds, as it stands there.
    fn text(&self) -> Result<Zeroizing<String>, KeyError> {
        match self {
            Self::File(path) => read_file(path),
            Self::Env(name) => std::env::var(name)
                .map(Zeroizing::new)
                .map_err(|_| KeyError::EnvMissing(name.clone())),
            Self::Command(argv) => run_command(argv, COMMAND_TIMEOUT),
        }
    }

    /// What it is called in errors.
    fn origin(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Env(name) => format!("the environment variable {name}"),
            Self::Command(argv) => format!(
                "the output of the key command {:?}",
                argv.first().map_or("", String::as_str)
            ),
        }
    }

    /// Makes a key file with a new random key, mode 0600. A file that is there already is left alone and refused.
    pub fn create_file(path: &Path) -> Result<SecretKey, KeyError> {
        let key = SecretKey::random();
        let text = Zeroizing::new(to_hex(key.expose().as_slice()) + "\n");
        file::create(path, &text)?;
        Ok(key)
    }

    /// The key that a key file will have next: a new random one in a file beside it, `<name>.next`, or the one that is there already.
    pub fn next_of_file(path: &Path) -> Result<SecretKey, KeyError> {
        let next = next(path);
        if next.exists() {
            load_file(&next)
        } else {
            Self::create_file(&next)
        }
    }

    /// Clears away what a replacement that was cut off left of a former key. The caller holds the data directory.
    pub fn clear_leftovers(&self) -> Result<(), KeyError> {
        match self {
            Self::File(path) => file::clear(path),
            Self::Env(_) | Self::Command(_) => Ok(()),
        }
    }

    /// Puts the next key in the place of the present one, which is overwritten. Durable when it returns.
    pub fn promote_next_of_file(path: &Path) -> Result<(), KeyError> {
        file::promote(&next(path), path)
    }
}

fn next(path: &Path) -> PathBuf {
    file::beside(path, ".next")
}

fn load_file(path: &Path) -> Result<SecretKey, KeyError> {
    KekSource::File(path.to_owned()).load()
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let file = File::open(path).map_err(KeyError::io(path))?;
    let mode = file.metadata().map_err(KeyError::io(path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(SOURCE_LEN_MAX)
        .read_to_string(&mut text)
        .map_err(KeyError::io(path))?;
    Ok(text)
}

fn run_command(argv: &[String], timeout: Duration) -> Result<Zeroizing<String>, KeyError> {
    let (program, arguments) = argv.split_first().ok_or_else(|| KeyError::Command {
        command: String::new(),
        problem: "names no program".to_owned(),
    })?;
    let failed = |problem: String| KeyError::Command {
        command: program.clone(),
        problem,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("can't be started: {error}")))?;
    match finish(&mut child, timeout) {
        Ok(text) => Ok(text),
        Err(problem) => {
            // It may have ended by itself meanwhile; either way nothing of it stays.
            let _ = child.kill();
            let _ = child.wait();
            Err(failed(problem))
        }
    }
}

/// Waits for output and end. The pipe is read on a thread of its own, for a grandchild can hold it open after the child is gone.
fn finish(child: &mut Child, timeout: Duration) -> Result<Zeroizing<String>, String> {
    let until = Instant::now() + timeout;
    let late = || format!("did not finish within {} s", timeout.as_secs_f32());
    let stdout = child.stdout.take().expect("the pipe was asked for");
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut text = Zeroizing::new(String::new());
        let read = stdout.take(SOURCE_LEN_MAX).read_to_string(&mut text);
        // Nobody listens any more after the time limit.
        let _ = sender.send(read.map(|_| text));
    });
    let text = receiver
        .recv_timeout(timeout)
        .map_err(|_| late())?
        .map_err(|error| format!("gave no text: {error}"))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(text),
            Ok(Some(status)) => return Err(format!("failed: {status}")),
            Ok(None) if Instant::now() < until => std::thread::sleep(COMMAND_POLL_INTERVAL),
            Ok(None) => return Err(late()),
            Err(error) => return Err(format!("can't be waited for: {error}")),
        }
    }
}

fn parse(text: &str, origin: &str) -> Result<SecretKey, KeyError> {
    let text = text.trim();
    let not_a_key = |problem: String| KeyError::NotAKey {
        origin: origin.to_owned(),
        problem,
    };
    let bytes = if text.len() == SECRET_LEN * 2 {
        from_hex(text)
    } else {
        from_base64(text)
    };
    let bytes = bytes.ok_or_else(|| {
        not_a_key(format!(
            "its {} characters are neither hexadecimal nor base64",
            text.len()
        ))
    })?;
    let bytes = Zeroizing::new(
        <[u8; SECRET_LEN]>::try_from(bytes.as_slice())
            .map_err(|_| not_a_key(format!("it holds {} bytes", bytes.len())))?,
    );
    Ok(SecretKey::from_bytes(*bytes))
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
