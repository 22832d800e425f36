//! What a server says of itself at `/metrics`: the text, and sums over it. Knows no metric by name.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Failure;

/// The text, with the head of the answer.
pub fn read(address: &str) -> Result<String, Failure> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(b"GET /metrics HTTP/1.0\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}

/// Sum of all values of a metric that have this label, whatever else they have; 0 where there is none yet.
pub fn sum(text: &str, name: &str, label: &str, value: &str) -> f64 {
    let wanted = format!("{label}=\"{value}\"");
    let values = text.lines().filter_map(|line| {
        let (labels, number) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        let is_wanted = labels.split(',').any(|one| one == wanted);
        is_wanted.then(|| number.parse::<f64>().ok()).flatten()
    });
    values.sum()
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
