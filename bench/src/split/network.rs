//! A network of its own for one process, joined to this one by a pair of ends, and cut off at will. Needs to be root on Linux.
//! `tests/it/split_nodes.rs` is in need of one too and has this file as its own.

use std::process::Command;

/// The number of a port there; nobody else listens there.
const PORT: u16 = 7_444;

/// Such a network. Dropped, it is taken away.
pub struct Network {
    name: String,
    octet: u32,
}

impl Network {
    /// Makes it, joined. The error says why none can be made.
    pub fn make() -> Result<Self, String> {
        let octet = std::process::id() % 250;
        let name = format!("thenar-split-{}", std::process::id());
        ip(&format!("netns add {name}"))?;
        // From here on it is taken away whatever happens.
        let network = Self { name, octet };
        let (name, here) = (&network.name, format!("ths{octet}a"));
        let there = format!("ths{octet}b");
        for line in [
            format!("link add {here} type veth peer name {there} netns {name}"),
            format!("addr add 10.214.{octet}.1/30 dev {here}"),
            format!("link set {here} up"),
            format!("-n {name} link set {there} up"),
        ] {
            ip(&line)?;
        }
        network.join()?;
        Ok(network)
    }

    /// Where a process in it listens.
    pub fn listen(&self) -> String {
        format!("{}:{PORT}", self.address())
    }

    /// What runs a command in it, in its own place.
    pub fn command(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// What is sent to the other end arrives there.
    pub fn join(&self) -> Result<(), String> {
        self.change("add")
    }

    /// What is sent arrives, and nobody there takes it or answers.
    pub fn cut(&self) -> Result<(), String> {
        self.change("del")
    }

    fn change(&self, how: &str) -> Result<(), String> {
        let (name, octet) = (&self.name, self.octet);
        ip(&format!(
            "-n {name} addr {how} {}/30 dev ths{octet}b",
            self.address()
        ))
    }

    fn address(&self) -> String {
        format!("10.214.{}.2", self.octet)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Nothing else can be done about it here; the message names it.
        if let Err(error) = ip(&format!("netns del {}", self.name)) {
            eprintln!("{error}");
        }
    }
}

fn ip(line: &str) -> Result<(), String> {
    let output = Command::new("ip").args(line.split_whitespace()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "ip {line}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
