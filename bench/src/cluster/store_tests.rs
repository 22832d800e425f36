//! The store is there, can be stopped and goes on. Skipped, and said so, where there is no moto.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::cluster::programs;

/// Whether a server answers within a moment.
fn answers(address: &str, patience: Duration) -> bool {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(patience))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    asked().is_ok_and(|answer| answer.starts_with("HTTP/1.1 "))
}

#[test]
fn moto_has_a_bucket_and_answers_but_while_it_is_paused() {
    let python = match programs::python() {
        Ok(python) => python,
        Err(lacking) => {
            println!("SKIPPED: {lacking}");
            return;
        }
    };
    let folder = TempDir::new().expect("a folder");
    let store = Store::moto(&python, folder.path()).expect("started");
    let Store::Moto { address, .. } = &store else {
        panic!("it is a server");
    };
    assert!(
        store
            .settings(None)
            .contains(&format!("endpoint = \"http://{address}\""))
    );
    assert!(answers(address, Duration::from_mins(1)));
    store.pause().expect("paused");
    assert!(!answers(address, Duration::from_millis(300)));
    store.resume().expect("resumed");
    assert!(answers(address, Duration::from_mins(1)));
}

#[test]
fn a_directory_is_named_by_its_url_and_can_t_be_paused() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::directory(folder.path()).expect("made");
    let url = format!("url = \"file://{}/objects\"\n", folder.path().display());
    assert_eq!(store.settings(None), url);
    assert_eq!(store.address(), None);
    store.pause().expect_err("nothing stands still");
}
