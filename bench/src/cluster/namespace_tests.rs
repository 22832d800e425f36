//! Tests of networks of their own; skipped, and said so, where none can be made.

use std::io::{Read, Write};
use std::time::Duration;

use super::*;

/// What nothing arrives within, where nothing should. Short: what waits is sent again after the double of its last wait.
const SHORT: Duration = Duration::from_millis(300);

fn namespace() -> Option<Namespace> {
    let made = Namespace::make();
    if let Err(error) = &made {
        println!("SKIPPED: no network namespace can be made here: {error}");
    }
    made.ok()
}

#[tokio::test]
async fn who_is_within_is_reached_by_a_socket_from_within_alone() {
    let Some(namespace) = namespace() else { return };
    let listener = namespace.bind().expect("a port");
    let address = listener.local_addr().expect("it has one");
    let listener = tokio::net::TcpListener::from_std(listener).expect("taken");
    let outside = std::net::TcpStream::connect(address);
    assert!(outside.is_err(), "another network has this port");
    let socket = namespace.socket().expect("made");
    let (dialled, taken) = tokio::join!(socket.connect(address), listener.accept());
    let (mut near, mut far) = (dialled.expect("connected"), taken.expect("connected").0);
    tokio::io::AsyncWriteExt::write_all(&mut near, b"here")
        .await
        .expect("sent");
    let mut heard = [0; 4];
    tokio::io::AsyncReadExt::read_exact(&mut far, &mut heard)
        .await
        .expect("heard");
    assert_eq!(&heard, b"here");
}

#[test]
fn what_is_sent_while_it_is_down_arrives_once_it_is_up() {
    let Some(namespace) = namespace() else { return };
    let listener = namespace.bind().expect("a port");
    listener.set_nonblocking(false).expect("set");
    let address = listener.local_addr().expect("it has one");
    let dial = || std::net::TcpStream::connect_timeout(&address, SHORT);
    let mut near = namespace.enter(dial).expect("connected");
    let (mut far, _) = listener.accept().expect("connected");
    namespace.set(false).expect("down");
    near.write_all(b"late").expect("the system keeps it");
    far.set_read_timeout(Some(SHORT)).expect("set");
    let mut heard = [0; 4];
    far.read_exact(&mut heard).expect_err("nothing arrives");
    namespace.enter(dial).expect_err("nobody is there");
    namespace.set(true).expect("up");
    far.set_read_timeout(Some(Duration::from_mins(1))).expect("set");
    far.read_exact(&mut heard).expect("it is sent again");
    assert_eq!(&heard, b"late");
}

#[test]
fn a_command_within_has_that_network() {
    let Some(namespace) = namespace() else { return };
    let within = namespace.within();
    let (program, words) = within.split_first().expect("a program");
    let link = Command::new(program)
        .args(words)
        .args(["readlink", "/proc/self/ns/net"])
        .output();
    let link = String::from_utf8(link.expect("it runs").stdout).expect("text");
    let own = fs::read_link("/proc/self/ns/net").expect("it is there");
    assert_ne!(link.trim(), own.display().to_string());
    assert!(link.starts_with("net:["), "{link}");
}
