//! The object store of a cluster: moto's S3 server, an implementation of S3 in this machine's memory, or a directory. Reads no object.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::processes::WITH_US;
use crate::Failure;

/// Credentials of the store; it takes any.
pub const CREDENTIALS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "known-id"),
    ("AWS_SECRET_ACCESS_KEY", "known-secret"),
];
const BUCKET: &str = "thenar";
const REGION: &str = "us-east-1";
/// Its end of the pipe closes with this process, and the server with it.
const SCRIPT: &str = "import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0)
server.start()
print('ready', server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
";

/// Where segments are.
pub enum Store {
    /// A server. Its objects end with it.
    Moto {
        /// The process.
        child: Child,
        /// Where it listens.
        address: String,
    },
    /// A directory.
    Directory(PathBuf),
}

impl Store {
    /// Starts moto's server in this python, with an empty bucket; it logs into `folder`.
    pub fn moto(python: &Path, folder: &Path) -> Result<Self, Failure> {
        let log = std::fs::File::create(folder.join("moto.log"))?;
        let mut words = WITH_US.iter();
        let mut child = Command::new(words.next().expect("the program at least"))
            .args(words)
            .arg(python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let port = lines.find_map(|line| line.ok()?.strip_prefix("ready ").map(str::to_owned));
        let port = port.ok_or("moto's server ended before it was ready; its log is moto.log")?;
        let address = format!("127.0.0.1:{port}");
        make_bucket(&address)?;
        Ok(Self::Moto { child, address })
    }

    /// A new directory in `folder`.
    pub fn directory(folder: &Path) -> Result<Self, Failure> {
        let directory = folder.join("objects");
        std::fs::create_dir(&directory)?;
        Ok(Self::Directory(directory))
    }

    /// In words.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Moto { .. } => "s3 (moto)",
            Self::Directory(_) => "directory",
        }
    }

    /// Host and port of a server.
    pub fn address(&self) -> Option<&str> {
        match self {
            Self::Moto { address, .. } => Some(address),
            Self::Directory(_) => None,
        }
    }

    /// Lines of a configuration, below `[storage.objects]`. A server may be reached elsewhere, by somebody who leads there.
    pub fn settings(&self, elsewhere: Option<&str>) -> String {
        match self {
            Self::Moto { address, .. } => {
                let endpoint = elsewhere.unwrap_or(address);
                format!(
                    "url = \"s3://{BUCKET}/bench\"\nregion = \"{REGION}\"\nendpoint = \"http://{endpoint}\"\nallow_http = true\n"
                )
            }
            Self::Directory(directory) => {
                let url = format!("file://{}", directory.display());
                format!("url = {url:?}\n")
            }
        }
    }

    /// SIGSTOP.
    pub fn pause(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let Self::Moto { child, .. } = self else {
            return Err("a directory can't be stopped".into());
        };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has a number above 0"), signal)?;
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Self::Moto { child, .. } = self {
            // An error means that it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn make_bucket(address: &str) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address)?;
    let [(_, id), _] = CREDENTIALS;
    write!(
        stream,
        "PUT /{BUCKET} HTTP/1.1\r\nhost: {address}\r\nauthorization: AWS4-HMAC-SHA256 Credential={id}/20260101/{REGION}/s3/aws4_request\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(format!("moto made no bucket: {answer}").into())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
