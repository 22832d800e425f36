//! A real implementation of S3 for tests: moto's server, where a python that has it is named. Checks nothing itself.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::ObjectStore;
use super::testing::bucket;

/// Names a python that has what `tests/moto/requirements.txt` wants; `./check` makes one.
const PYTHON: &str = "MOTO_PYTHON";

/// A server that ends with the test.
pub(in crate::storage) struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    /// `None` where there is none, which is said.
    pub(in crate::storage) fn start() -> Option<Self> {
        let Ok(python) = std::env::var(PYTHON) else {
            println!(
                "SKIPPED: no S3 server: {PYTHON} names no python that has what tests/moto/requirements.txt wants"
            );
            return None;
        };
        // Its end of the pipe closes with this process however that ends, and the server with it.
        let script = "import sys, threading\nfrom moto.server import ThreadedMotoServer\nserver = ThreadedMotoServer(ip_address='127.0.0.1', port=0)\nserver.start()\nprint('ready', server.get_host_and_port()[1], flush=True)\nsys.stdin.read()\nserver.stop()\n";
        let mut child = Command::new(python)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the named python runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.find_map(|line| line.ok()?.strip_prefix("ready ").map(str::to_owned));
        let address = format!("127.0.0.1:{}", port.expect("the named python has moto[server]"));
        while TcpStream::connect(&address).is_err() {
            std::thread::yield_now();
        }
        Some(Self { child, address })
    }

    /// Makes a bucket.
    pub(in crate::storage) fn make(&self, name: &str, is_versioned: bool) {
        self.send(&format!("/{name}"), "");
        if is_versioned {
            self.version(name);
        }
    }

    /// Has a bucket keep versions from now on.
    pub(in crate::storage) fn version(&self, name: &str) {
        let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        self.send(&format!("/{name}?versioning"), body);
    }

    /// A bucket as a store.
    pub(in crate::storage) fn store(&self, name: &str, remnants_days: Option<u16>) -> ObjectStore {
        let mut config = bucket(&format!("http://{}", self.address), name);
        config.remnants_days = remnants_days;
        ObjectStore::connect(&config).expect("settings")
    }

    fn send(&self, path: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.address).expect("there");
        write!(
            stream,
            "PUT {path} HTTP/1.1\r\nhost: {}\r\nauthorization: AWS4-HMAC-SHA256 Credential=known-id/20260101/us-east-1/s3/aws4_request\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .expect("sent");
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).expect("answered");
        assert!(status.contains(" 200 "), "{status}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Its input ends first, by which it ends itself.
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
