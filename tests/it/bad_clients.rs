//! Promise: a client that trickles, rests, shouts or floods takes its own place and nobody else's.

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use h2::client::SendRequest;
use hyper::body::Bytes;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thenar::proto::v1;
use thenar::server::{Mode, Server};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Caller, PATIENCE, World, knock, palm};

/// What the server allows a request, and a margin for a busy machine.
const TRICKLE_MAX: Duration = Duration::from_secs(10 + 5);
/// What the server allows a message of an import, and such a margin.
const IMPORT_MESSAGE_MAX: Duration = Duration::from_secs(60 + 15);
/// An answer that waits for nobody.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Connections that one caller may have.
const PER_CALLER_MAX: usize = 128;
/// Lists that one caller may leave unread.
const LISTS_PER_CALLER_MAX: usize = 32;
/// Connections that rest.
const RESTING: usize = 1_000;

/// A TLS connection with a scanner's certificate, on which nothing was said.
async fn dial(world: &World, config: &ClientConfig) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(world.address()).await.expect("connected");
    shake_hands(stream, config).await
}

async fn shake_hands(stream: TcpStream, config: &ClientConfig) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(std::sync::Arc::new(config.clone()));
    connector.connect(name, stream).await.expect("a handshake")
}

fn scanner(world: &World) -> ClientConfig {
    certified(world, &world.member("acme", "scanner", "gate"))
}

fn certified(world: &World, (certificate, key): &(String, String)) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(world.ca()).expect("readable") {
        roots.add(authority.expect("a certificate")).expect("sound");
    }
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("known")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.expect("certificates"), key)
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// HTTP/2 on a connection of its own.
async fn speak(world: &World, config: &ClientConfig) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(world.address()).await.expect("connected");
    speak_on(stream, config).await
}

async fn speak_on(stream: TcpStream, config: &ClientConfig) -> SendRequest<Bytes> {
    let (sender, mut connection) = h2::client::handshake(shake_hands(stream, config).await)
        .await
        .expect("HTTP/2");
    let mut pings = connection.ping_pong().expect("not yet taken");
    tokio::spawn(connection);
    // Only who is let in is answered: from here on it isn't in its handshake any more, for the server either.
    pings.ping(h2::Ping::opaque()).await.expect("let in");
    sender.ready().await.expect("open")
}

fn request(padding: usize) -> http::Request<()> {
    call("thenar.v1.Identity/Identify", padding)
}

fn call(method: &str, padding: usize) -> http::Request<()> {
    http::Request::post(format!("https://localhost/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-padding", "x".repeat(padding))
        .body(())
        .expect("sound")
}

async fn world() -> (World, Caller) {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    (world, operator)
}

async fn assert_served(caller: &mut Caller) {
    let start = Instant::now();
    assert_eq!(
        caller.identify(&palm(1)).await.expect("answered").subject_id,
        "ada"
    );
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_is_given_up_while_others_are_served() {
    let (world, mut operator) = world().await;
    let mut sender = speak(&world, &scanner(&world)).await;
    let start = Instant::now();
    let (answer, mut body) = sender.send_request(request(0), false).expect("sent");
    let trickle = tokio::spawn(async move {
        // A message of 10,000 bytes, of which one comes at a time.
        body.send_data(Bytes::from_static(&[0, 0, 0, 0x27, 0x10]), false)?;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            body.send_data(Bytes::from_static(&[0]), false)?;
        }
        #[expect(unreachable_code, reason = "the type of the block")]
        Ok::<(), h2::Error>(())
    });
    let answer = async {
        match tokio::time::timeout(TRICKLE_MAX, answer).await.expect("given up") {
            Ok(answer) => {
                let status = answer.headers().get("grpc-status").expect("no body follows");
                assert_eq!(status, "4", "DEADLINE_EXCEEDED");
            }
            Err(reset) => assert!(reset.is_reset(), "{reset}"),
        }
    };
    let others = async {
        while start.elapsed() < Duration::from_secs(5) {
            assert_served(&mut operator).await;
        }
    };
    tokio::join!(answer, others);
    trickle.abort();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_that_rest_hinder_nobody() {
    let (world, mut operator) = world().await;
    let mut resting = Vec::new();
    while resting.len() < RESTING {
        let name = format!("gate-{}", resting.len());
        let config = certified(&world, &world.member("acme", "scanner", &name));
        resting.extend(join_all((0..50).map(|_| speak(&world, &config))).await);
        assert_served(&mut operator).await;
    }
    assert_served(&mut world.operator("acme").await).await;
    // They are there, and none of them is refused when it asks.
    let mut last = resting.pop().expect("many");
    let (answer, _) = last.send_request(request(0), true).expect("sent");
    assert_eq!(answer.await.expect("answered").status(), 200);
    drop(resting);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_one_callers_share_are_closed_and_another_gets_in() {
    let (world, mut operator) = world().await;
    let config = scanner(&world);
    let mut resting = join_all((0..PER_CALLER_MAX).map(|_| speak(&world, &config))).await;
    let mut closed = dial(&world, &config).await;
    let end = async {
        let mut buffer = [0; 1_024];
        while closed.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    // A place that was given would keep the connection for longer.
    tokio::time::timeout(AT_ONCE, end).await.expect("closed at once");
    assert_served(&mut operator).await;
    assert_served(&mut world.caller("acme", "operator", "other").await).await;
    resting.pop();
    let served = async {
        // Its place is free once the server knows that it went.
        loop {
            let mut sender = match h2::client::handshake(dial(&world, &config).await).await {
                Ok((sender, connection)) => {
                    tokio::spawn(connection);
                    sender
                }
                Err(_) => continue,
            };
            let Ok((answer, _)) = sender.send_request(request(0), true) else {
                continue;
            };
            if answer.await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, served)
        .await
        .expect("let in again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_handshakes_of_one_address_leave_room_for_others() {
    let world = World::prepare();
    let mut config = world.config();
    config.listen.handshakes_per_address_max = 3;
    let server = Server::start(config, Mode::Serve).await.expect("it starts");
    let address = server.address();
    let connect = async |from: [u8; 4]| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind((from, 0).into())
            .expect("all of 127.0.0.0/8 is this machine");
        socket.connect(address).await.expect("connected")
    };
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(connect([127, 0, 0, 2]).await);
    }
    let mut fourth = connect([127, 0, 0, 2]).await;
    let end = tokio::time::timeout(AT_ONCE, fourth.read_u8()).await;
    end.expect("at once").expect_err("closed");
    knock(&address.to_string(), &world.ca(), Some(world.administrator()))
        .await
        .expect("another address gets in");
    drop(silent);
    server.stop().await.expect("it stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_drain_waits_for_whoever_watches_the_health() {
    let world = World::prepare();
    let mut config = world.config();
    // Whoever is waited for is waited for in vain.
    config.drain_seconds_max = 3_600;
    let server = Server::start(config, Mode::Serve).await.expect("it starts");
    let stream = TcpStream::connect(server.address()).await.expect("connected");
    let mut sender = speak_on(stream, &scanner(&world)).await;
    let (answer, mut body) = sender
        .send_request(call("grpc.health.v1.Health/Watch", 0), false)
        .expect("sent");
    // The empty message: the whole.
    body.send_data(Bytes::from_static(&[0; 5]), true).expect("sent");
    let mut told = answer.await.expect("answered").into_body();
    let mut next = async || told.data().await.map(|part| part.expect("sound"));
    assert_eq!(next().await.expect("told")[..], [0, 0, 0, 0, 2, 8, 1], "SERVING");
    let stopped = tokio::spawn(server.stop());
    assert_eq!(
        next().await.expect("told")[..],
        [0, 0, 0, 0, 2, 8, 2],
        "NOT_SERVING"
    );
    assert!(next().await.is_none(), "let go");
    let stopped = tokio::time::timeout(PATIENCE, stopped).await.expect("soon");
    stopped.expect("it ends").expect("it stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_never_begins_is_shown_out() {
    let (world, mut operator) = world().await;
    let config = scanner(&world);
    let mut silent = dial(&world, &config).await;
    assert_served(&mut operator).await;
    let end = async {
        let mut buffer = [0; 1_024];
        // The server's own first words come before.
        while silent.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    tokio::time::timeout(PATIENCE / 2, end)
        .await
        .expect("ended by the server");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_over_the_limit_are_refused_and_the_connection_goes_on() {
    let (world, mut operator) = world().await;
    let mut sender = speak(&world, &scanner(&world)).await;
    let (answer, _) = sender.send_request(request(15 << 10), true).expect("sent");
    assert_eq!(answer.await.expect("answered").status(), 200, "below the limit");
    let (answer, _) = sender.send_request(request(17 << 10), true).expect("sent");
    if let Ok(answer) = answer.await {
        assert_eq!(answer.status(), 431, "refused as too large");
    }
    let (answer, _) = sender
        .send_request(request(0), true)
        .expect("the connection goes on");
    assert_eq!(answer.await.expect("answered").status(), 200);
    assert_served(&mut operator).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_beyond_one_callers_share_are_refused_and_its_other_calls_are_not() {
    let (world, mut operator) = world().await;
    let enrollment = operator.enrollment.clone();
    let mut calls: FuturesUnordered<_> = (0..6)
        .map(|_| {
            let mut enrollment = enrollment.clone();
            async move { enrollment.import(tokio_stream::pending()).await }
        })
        .collect();
    for _ in 0..2 {
        let answer = timeout(PATIENCE, calls.next()).await.expect("two are refused");
        let refusal = answer.expect("six were begun").expect_err("it has no messages");
        assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal:?}");
    }
    assert_served(&mut operator).await;
    assert!(
        calls.next().now_or_never().is_none(),
        "four wait for their messages"
    );
    drop(calls);
    assert_served(&mut operator).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_or_no_method_is_told_so() {
    let (world, mut operator) = world().await;
    let mut sender = speak(&world, &scanner(&world)).await;
    // A field that ends behind the message.
    let torn = Bytes::from_static(&[0, 0, 0, 0, 2, 0x0a, 9]);
    let compressed = Bytes::from_static(&[1, 0, 0, 0, 0]);
    for (method, message, code, reason) in [
        ("thenar.v1.Identity/Identify", &torn, "3", "MESSAGE_MALFORMED"),
        (
            "thenar.v1.Identity/Identify",
            &compressed,
            "3",
            "MESSAGE_MALFORMED",
        ),
        ("thenar.v1.Identity/Guess", &torn, "12", "METHOD_UNKNOWN"),
        ("thenar.v1.Oracle/Guess", &torn, "12", "METHOD_UNKNOWN"),
    ] {
        let (answer, mut body) = sender.send_request(call(method, 0), false).expect("sent");
        body.send_data(message.clone(), true).expect("sent");
        let answer = answer.await.expect("answered");
        let status = Status::from_header_map(answer.headers()).expect("no body follows");
        assert_eq!(
            answer.headers().get("grpc-status").expect("there"),
            code,
            "{status:?}"
        );
        let info = status.get_details_error_info().expect("ErrorInfo");
        assert_eq!((info.domain.as_str(), info.reason.as_str()), ("thenar", reason));
    }
    assert_served(&mut operator).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_nobody_reads_are_few() {
    let (world, mut operator) = world().await;
    let config = certified(&world, &world.member("acme", "operator", "ops"));
    let stream = TcpStream::connect(world.address()).await.expect("connected");
    // Nothing of a body may be sent.
    let unread = h2::client::Builder::new().initial_window_size(0).clone();
    let (sender, connection) = unread
        .handshake::<_, Bytes>(shake_hands(stream, &config).await)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("open");
    let mut held = Vec::new();
    let mut list = async || {
        let list = call("thenar.v1.Enrollment/ListUsage", 0);
        let (answer, mut body) = sender.send_request(list, false).expect("sent");
        body.send_data(Bytes::from_static(&[0; 5]), true).expect("sent");
        answer.await.expect("answered")
    };
    for _ in 0..LISTS_PER_CALLER_MAX {
        let answer = list().await;
        assert_eq!(answer.headers().get("grpc-status"), None, "a body follows");
        held.push(answer);
    }
    let refused = list().await;
    let status = refused.headers().get("grpc-status").expect("no body follows");
    assert_eq!(status, "8", "RESOURCE_EXHAUSTED");
    assert_served(&mut operator).await;
    held.pop();
    let again = async {
        // Its place is free once the server knows that nobody reads it any more.
        while list().await.headers().contains_key("grpc-status") {}
    };
    timeout(PATIENCE, again).await.expect("let in again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_calls_of_one_caller_are_as_many_as_the_settings_say() {
    let world = World::prepare().boot_with(|config| config.listen.calls_per_caller_max = 2);
    let world = world.await;
    world.create_tenant("acme").await;
    let mut scanner = world.caller("acme", "scanner", "gate").await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let stream = scanner.identity.identify_stream(tokio_stream::pending()).await;
        streams.push(stream.expect("a place"));
    }
    let refused = scanner.identify(&palm(1)).await.expect_err("one too many");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let told = refused.message();
    assert!(
        told.contains("listen.calls_per_caller_max") && told.contains('2'),
        "{told}"
    );
    let mut other = world.caller("acme", "scanner", "other").await;
    other.identify(&palm(1)).await.expect("a place of its own");
    drop(streams);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_message_drips_in_gives_its_place_back() {
    let (world, mut operator) = world().await;
    let config = certified(&world, &world.member("acme", "operator", "ops"));
    let mut sender = speak(&world, &config).await;
    let import = call("thenar.v1.Enrollment/Import", 0);
    let (answer, mut body) = sender.send_request(import, false).expect("sent");
    let drip = tokio::spawn(async move {
        // A message of 10,000 bytes, of which one comes now and then.
        let mut part = Bytes::from_static(&[0, 0, 0, 0x27, 0x10]);
        while body.send_data(part, false).is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            part = Bytes::from_static(&[0]);
        }
    });
    let answer = timeout(IMPORT_MESSAGE_MAX, answer).await.expect("given up");
    let answer = answer.expect("answered");
    let status = answer.headers().get("grpc-status").expect("no body follows");
    assert_eq!(status, "4", "DEADLINE_EXCEEDED");
    drip.abort();
    assert_served(&mut operator).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_at_the_limit_is_read_and_one_over_it_is_not() {
    let (world, mut operator) = world().await;
    // Names of callers' making fill the messages; those that are read are refused for them.
    let identify = |size: usize| {
        let mut request = v1::IdentifyRequest {
            request_id: "x".repeat(size),
            ..Default::default()
        };
        request.request_id.truncate(2 * size - request.encoded_len());
        request
    };
    let enroll = |size: usize| {
        let mut request = v1::EnrollRequest {
            request_id: "x".repeat(size),
            ..Default::default()
        };
        request.request_id.truncate(2 * size - request.encoded_len());
        request
    };
    for (over, code) in [(0, Code::InvalidArgument), (1, Code::OutOfRange)] {
        let (small, large) = (identify((32 << 10) + over), enroll((256 << 10) + over));
        assert_eq!(small.encoded_len(), (32 << 10) + over);
        assert_eq!(large.encoded_len(), (256 << 10) + over);
        let refusal = operator.identity.identify(small).await.expect_err("refused");
        assert_eq!(refusal.code(), code, "{refusal:?}");
        let refusal = operator.enrollment.enroll(large).await.expect_err("refused");
        assert_eq!(refusal.code(), code, "{refusal:?}");
        let info = refusal.get_details_error_info().expect("ErrorInfo");
        assert_eq!(info.reason == "MESSAGE_TOO_LARGE", over == 1, "{info:?}");
    }
    assert_served(&mut operator).await;
    world.stop().await;
}
