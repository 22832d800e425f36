//! A network of one process's own: a namespace of Linux that has a loopback interface and nothing else. What joins it to others are wires, whose sockets on its side are within it. Knows no process.
//!
//! With the interface down packets are lost on their way, in both directions, and neither side is told: that is a cable that was pulled.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpSocket;

use super::processes::WITH_US;

/// Longest wait for the system to make one.
const MADE_MAX: Duration = Duration::from_secs(10);
/// How often that is looked for.
const POLL: Duration = Duration::from_millis(2);

/// The namespace. It is gone with the last of those who have it and of the processes and sockets within.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes one. Takes root, and the programs `unshare`, `nsenter` and `ip`.
    pub fn make() -> Result<Self> {
        let (program, words) = WITH_US.split_first().expect("a program");
        let mut holder = Command::new(program)
            .args(words)
            .args(["unshare", "--net", "--", "sleep", "infinity"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let made = held_by(holder.id());
        // Whoever has its file keeps it. An error means that the process has ended.
        let _ = holder.kill();
        let _ = holder.wait();
        let namespace = Self(made?);
        namespace.set(true)?;
        Ok(namespace)
    }

    /// What runs a command that follows it within, in its own place; as long as this lives.
    pub fn within(&self) -> Vec<String> {
        let file = format!("--net=/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd());
        ["nsenter".to_owned(), file, "--".to_owned()].into()
    }

    /// A free port of its loopback interface.
    pub fn bind(&self) -> Result<TcpListener> {
        let listener = self.enter(|| TcpListener::bind("127.0.0.1:0"))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// A socket of whoever connects to somebody within.
    pub fn socket(&self) -> Result<TcpSocket> {
        self.enter(TcpSocket::new_v4)
    }

    /// Has packets arrive within it, or not.
    pub fn set(&self, is_up: bool) -> Result<()> {
        let to = if is_up { "up" } else { "down" };
        let set = || Command::new("ip").args(["link", "set", "dev", "lo", to]).output();
        let output = self.enter(set)?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::other(format!("ip ended with {}: {why}", output.status)))
    }

    /// Does something on a thread that is within.
    fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let within = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        thread::scope(|scope| scope.spawn(within).join().expect("it does not panic"))
    }
}

/// The network of a process, once it is another one than this process's.
fn held_by(process: u32) -> Result<File> {
    let (own, path) = (
        fs::read_link("/proc/self/ns/net")?,
        format!("/proc/{process}/ns/net"),
    );
    let begun = Instant::now();
    while begun.elapsed() < MADE_MAX {
        // One that may not have another network ends.
        if fs::read_link(&path)? != own {
            return File::open(path);
        }
        thread::sleep(POLL);
    }
    Err(Error::new(
        ErrorKind::TimedOut,
        "the system gives no other network",
    ))
}

#[cfg(test)]
#[path = "namespace_tests.rs"]
mod tests;
