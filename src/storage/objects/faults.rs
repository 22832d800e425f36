//! A server for tests that speaks as much of S3 as objects of one piece take, in memory, and fails as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Fault {
    /// A status, before anything is done.
    Status(u16, &'static str),
    /// The request is done and its answer never comes.
    Silence,
    /// The connection ends amid the body.
    Cut,
    /// Fewer bytes than were asked for, said to be all.
    Short,
    /// A bit is another.
    Wrong,
    /// Answers wait until the gate is opened.
    Gate,
}

/// The server. Its threads end with the test's process.
pub(in crate::storage) struct FaultyServer {
    /// Its address.
    pub(in crate::storage) endpoint: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    fault: Option<(Fault, usize)>,
    /// All requests of this method fail.
    refused: Option<&'static str>,
    /// Methods and ranges, in the order in which they came.
    requests: Vec<String>,
    is_open: bool,
    /// The version that each object has which is put, and whether that is kept.
    version: Option<(&'static str, bool)>,
    /// The version from the next deletion of a segment on.
    next_version: Option<(&'static str, bool)>,
}

struct Request {
    method: String,
    path: String,
    range: Option<(usize, usize)>,
    only_new: bool,
    body: Vec<u8>,
}

impl FaultyServer {
    pub(in crate::storage) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A client that goes away is no concern of the server.
                thread::spawn(move || shared.serve(stream).unwrap_or_default());
            }
        });
        Self {
            endpoint: format!("http://{address}"),
            shared,
        }
    }

    /// Lets the next so many requests fail.
    pub(in crate::storage) fn fail(&self, fault: Fault, times: usize) {
        self.shared.state.lock().fault = Some((fault, times));
    }

    /// Lets all requests of a method fail from now on, or none.
    pub(in crate::storage) fn refuse(&self, method: Option<&'static str>) {
        self.shared.state.lock().refused = method;
    }

    /// Lets waiting answers go, and no more wait.
    pub(in crate::storage) fn open_gate(&self) {
        let mut state = self.shared.state.lock();
        state.is_open = true;
        self.shared.changed.notify_all();
    }

    /// Waits until so many requests came.
    pub(in crate::storage) fn await_requests(&self, count: usize) {
        let mut state = self.shared.state.lock();
        while state.requests.len() < count {
            self.shared.changed.wait(&mut state);
        }
    }

    /// The requests since the last call.
    pub(in crate::storage) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state.lock().requests)
    }

    /// Objects that are there.
    pub(in crate::storage) fn len(&self) -> usize {
        self.shared.state.lock().objects.len()
    }

    /// Segments among them.
    pub(in crate::storage) fn segments(&self) -> usize {
        let state = self.shared.state.lock();
        state
            .objects
            .keys()
            .filter(|path| path.contains("/tenants/"))
            .count()
    }

    /// Changes all objects.
    pub(in crate::storage) fn change(&self, change: impl Fn(&mut Vec<u8>)) {
        self.shared.state.lock().objects.values_mut().for_each(change);
    }

    /// Removes all objects.
    pub(in crate::storage) fn clear(&self) {
        self.shared.state.lock().objects.clear();
    }

    /// How many requests came since [`FaultyServer::requests`] was last called.
    pub(super) fn count(&self) -> usize {
        self.shared.state.lock().requests.len()
    }

    /// Gives all that is put a version, which is kept when it is deleted or not.
    pub(super) fn version(&self, name: &'static str, is_kept: bool) {
        self.shared.state.lock().version = Some((name, is_kept));
    }

    /// The same as soon as a segment was deleted.
    pub(super) fn version_after_deletion(&self, name: &'static str, is_kept: bool) {
        self.shared.state.lock().next_version = Some((name, is_kept));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = read(&mut BufReader::new(stream.try_clone()?))?;
        let mut state = self.state.lock();
        let range = request
            .range
            .map_or_else(String::new, |(from, to)| format!(" {from}-{to}"));
        state.requests.push(format!("{}{range}", request.method));
        self.changed.notify_all();
        let is_refused = state.refused == Some(&*request.method);
        let fault = match &mut state.fault {
            Some((fault, times)) if *times > 0 => {
                *times -= 1;
                Some(*fault)
            }
            _ if is_refused => Some(Fault::Status(503, "SlowDown")),
            _ => None,
        };
        while fault == Some(Fault::Gate) && !state.is_open {
            self.changed.wait(&mut state);
        }
        if let Some(Fault::Status(status, code)) = fault {
            drop(state);
            let body = format!("<Error><Code>{code}</Code><Secret>known-secret</Secret></Error>");
            return write!(
                stream,
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
        let answer = state.answer(&request, fault);
        drop(state);
        match fault {
            Some(Fault::Silence) => {
                // Until the client has enough of it.
                stream.read_exact(&mut [0]).map(drop)
            }
            Some(Fault::Cut) => stream.write_all(answer.split_last().map_or(&[], |(_, rest)| rest)),
            _ => stream.write_all(&answer),
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request, fault: Option<Fault>) -> Vec<u8> {
        let missing = b"HTTP/1.1 404 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
        match request.method.as_str() {
            "PUT" if request.only_new && self.objects.contains_key(&request.path) => {
                b"HTTP/1.1 412 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
            }
            "PUT" => {
                self.objects.insert(request.path.clone(), request.body.clone());
                let version = self
                    .version
                    .map_or_else(String::new, |(name, _)| format!("x-amz-version-id: {name}\r\n"));
                format!(
                    "HTTP/1.1 200 x\r\netag: \"e\"\r\n{version}content-length: 0\r\nconnection: close\r\n\r\n"
                )
                .into_bytes()
            }
            "HEAD"
                if request.path.contains("versionId=")
                    && self.version.is_some_and(|(_, is_kept)| is_kept) =>
            {
                content(request, b"kept", None)
            }
            "DELETE" => {
                self.objects.remove(&request.path);
                if request.path.contains("/tenants/") {
                    self.version = self.next_version.take().or(self.version);
                }
                b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n".to_vec()
            }
            "GET" if request.path.contains("list-type=2") => self.listing(&request.path),
            _ => match self.objects.get(&request.path) {
                None => missing,
                Some(object) => content(request, object, fault),
            },
        }
    }
}

impl State {
    /// The objects of a bucket that begin as a query says.
    fn listing(&self, query: &str) -> Vec<u8> {
        let (bucket, query) = query.split_once('?').expect("a query");
        let prefix = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("prefix="))
            .unwrap_or_default()
            .replace("%2F", "/");
        let entry = |(path, object): (&String, &Vec<u8>)| {
            let key = path.strip_prefix(bucket)?.strip_prefix('/')?;
            key.starts_with(&prefix).then(|| {
                let size = object.len();
                format!("<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{size}</Size></Contents>")
            })
        };
        let entries: String = self.objects.iter().filter_map(entry).collect();
        let body = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>");
        format!(
            "HTTP/1.1 200 x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// An object, or a range of it, with what is wrong with it.
fn content(request: &Request, object: &[u8], fault: Option<Fault>) -> Vec<u8> {
    let (from, mut to) = request.range.unwrap_or((0, object.len()));
    to = to.min(object.len());
    if from >= to {
        return b"HTTP/1.1 416 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
    }
    if fault == Some(Fault::Short) && request.range.is_some() {
        to -= 1;
    }
    let mut body = object.get(from..to).unwrap_or_default().to_vec();
    if let (Some(Fault::Wrong), Some(byte)) = (fault, body.last_mut()) {
        *byte ^= 1;
    }
    let (status, place) = match request.range {
        None => (200, String::new()),
        Some(_) => (
            206,
            format!("content-range: bytes {from}-{}/{}\r\n", to - 1, object.len()),
        ),
    };
    let mut answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{place}etag: \"e\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    if request.method != "HEAD" {
        answer.extend_from_slice(&body);
    }
    answer
}

fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        range: None,
        only_new: false,
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => request.body = vec![0; value.parse().expect("a length")],
            "if-none-match" => request.only_new = true,
            "range" => {
                let (from, to) = value
                    .strip_prefix("bytes=")
                    .and_then(|range| range.split_once('-'))
                    .expect("a range");
                let number = |text: &str| text.parse::<usize>().expect("a number");
                request.range = Some((number(from), number(to) + 1));
            }
            _ => {}
        }
    }
    stream.read_exact(&mut request.body)?;
    Ok(request)
}
