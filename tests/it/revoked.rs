//! Promise: certificates are exchanged and taken back while a server runs. Who was taken back is let in no more, and no longer served where it is in already.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use thenar::proto::v1;
use thenar::server::pki::NodeKind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;

use crate::harness::{Caller, Child, PATIENCE, World, palm, signature};
use crate::split_tiers::Split;

/// Takes back the certificate of this PEM on the command line.
fn revoke(world: &World, certificate: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("lost.pem");
    std::fs::write(&file, certificate).expect("written");
    let status = Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args(["cert", "revoke"])
        .arg(&file)
        .arg("--data")
        .arg(world.data())
        .stdout(Stdio::null())
        .status()
        .expect("it runs");
    assert!(status.success());
}

/// Puts what a command wrote in the place of what is there.
fn replace(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        std::fs::rename(from.join(name), to.join(name)).expect("moved");
    }
}

/// Asks until the answer is as it has to become.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
    }
}

/// A stream of probes that is left open, with one probe answered.
async fn open_stream(
    caller: &mut Caller,
) -> (
    mpsc::Sender<v1::IdentifyRequest>,
    tonic::Streaming<v1::IdentifyStreamResponse>,
) {
    let (sender, probes) = mpsc::channel(1);
    let probe = v1::IdentifyRequest {
        probe: Some(signature(&palm(1))),
        ..Default::default()
    };
    sender.send(probe).await.expect("it is read");
    let answers = caller.identity.identify_stream(ReceiverStream::new(probes)).await;
    let mut answers = answers.expect("a stream").into_inner();
    answers.message().await.expect("answered").expect("one");
    (sender, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_back_is_refused_where_it_is_in_already_and_at_the_door() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let lost = world.member("acme", "operator", "lost");
    let mut thief = world.connect(Some(lost.clone())).await.expect("let in");
    let mut keeper = world.operator("acme").await;
    thief.enroll("ada", &palm(1)).await.expect("enrolled");
    let (_open, mut answers) = open_stream(&mut thief).await;
    let (kept_open, mut kept) = open_stream(&mut keeper).await;
    let watched = thief.health.watch(HealthCheckRequest::default()).await;
    let mut watched = watched.expect("let watch").into_inner();
    watched.message().await.expect("told").expect("the state of now");

    revoke(&world, &lost.0);
    let refusal = until("a refusal", async || thief.identify(&palm(1)).await.err()).await;
    assert_eq!(refusal.code(), Code::Unauthenticated, "{refusal:?}");
    assert!(refusal.message().contains("revoked"), "{}", refusal.message());
    let end = tokio::time::timeout(PATIENCE, answers.message()).await;
    let end = end
        .expect("it ends by itself")
        .expect_err("not as if all were answered");
    assert_eq!(end.code(), Code::Unauthenticated, "{end:?}");
    let end = tokio::time::timeout(PATIENCE, watched.message()).await;
    let end = end
        .expect("it ends by itself")
        .expect_err("not as if the server stopped");
    assert_eq!(end.code(), Code::Unauthenticated, "{end:?}");
    world.connect(Some(lost)).await.err().expect("not let in again");

    assert_eq!(
        keeper.identify(&palm(1)).await.expect("answered").subject_id,
        "ada"
    );
    let probe = v1::IdentifyRequest {
        probe: Some(signature(&palm(1))),
        ..Default::default()
    };
    kept_open.send(probe).await.expect("nobody else's stream ends");
    kept.message().await.expect("it goes on").expect("an answer");
    world.operator("acme").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_one_who_was_taken_back_is_cut_off_and_told_why() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let lost = world.member("acme", "operator", "lost");
    let mut thief = world.connect(Some(lost.clone())).await.expect("let in");
    let rows: Vec<(String, Vec<f32>)> = (0..2_000).map(|n| (format!("i-{n}"), palm(n))).collect();
    let (sender, messages) = mpsc::channel(8);
    let mut all = crate::harness::import_messages("slow", &rows, 0);
    let last = all.pop().expect("rows");
    for message in all {
        sender.send(message).await.expect("it is read");
    }
    let import = thief.enrollment.import(ReceiverStream::new(messages));
    let (answer, ()) = tokio::join!(import, async { revoke(&world, &lost.0) });
    let refusal = answer.expect_err("the last rows never came");
    assert_eq!(refusal.code(), Code::Unauthenticated, "{refusal:?}");
    drop((sender, last));
    let mut operator = world.operator("acme").await;
    assert_eq!(
        operator.identify(&palm(1)).await.expect("answered").subject_id,
        ""
    );
    world.stop().await;
}

/// A connection that asks for a server of this name.
async fn reach(world: &World, address: &str, name: &str) -> Result<(), Status> {
    let (certificate, key) = world.administrator();
    let ca = Certificate::from_pem(std::fs::read(world.ca()).expect("readable"));
    let tls = ClientTlsConfig::new()
        .ca_certificate(ca)
        .domain_name(name)
        .identity(Identity::from_pem(certificate, key));
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
    let connected = endpoint.tls_config(tls).expect("sound").connect().await;
    connected
        .map(drop)
        .map_err(|error| Status::unavailable(error.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_certificate_is_shown_to_those_who_come_and_ends_nobodys_connection() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut before = world.operator("acme").await;
    before.enroll("ada", &palm(1)).await.expect("enrolled");
    let address = world.address();
    reach(&world, &address, "renewed.internal")
        .await
        .expect_err("the first certificate has another name");
    let (tls, new) = (world.data().join("tls"), world.data().join("new"));
    let status = Command::new(env!("CARGO_BIN_EXE_thenar"))
        .args(["cert", "server", "--dns", "renewed.internal", "--data"])
        .arg(world.data())
        .arg("--out")
        .arg(&new)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("it runs").success());
    // A key that comes later than its certificate is no moment without a certificate.
    replace(&new, &tls, &["server.pem"]);
    reach(&world, &address, "localhost")
        .await
        .expect("served meanwhile");
    replace(&new, &tls, &["server.key"]);
    until("the new name", async || {
        reach(&world, &address, "renewed.internal").await.ok()
    })
    .await;
    assert_eq!(
        before.identify(&palm(1)).await.expect("answered").subject_id,
        "ada"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_reads_the_files_at_once_and_what_does_not_fit_is_named() {
    let world = World::prepare();
    let log = world.data().join("../log");
    let file = std::fs::File::create(&log).expect("a log");
    let child = Child::start_with(&world, Stdio::from(file)).await;
    let logged = async |words: &str| {
        until(words, async || {
            let text = std::fs::read_to_string(&log).expect("a log");
            text.lines().any(|line| line.contains(words)).then_some(())
        })
        .await;
    };
    // Nothing changed, so only the signal brings it about.
    child.signal(Signal::HUP);
    logged("certificates were read again").await;
    std::fs::write(world.data().join("tls/crl.pem"), "nothing").expect("written");
    child.signal(Signal::HUP);
    logged("crl.pem: it holds no revocation list").await;
    let _ = child.admin().await;
    child.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_was_taken_back_reaches_no_node_until_it_has_a_new_certificate() {
    let split = Split::start().await;
    let mut admin = split.caller(split.home.administrator()).await;
    admin
        .create_tenant("acme", crate::harness::policy(0.5))
        .await
        .expect("created");
    let mut operator = split.caller(split.home.member("acme", "operator", "ops")).await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    let tls = split.front_dir.data().join("split");
    let lost = std::fs::read_to_string(tls.join("node.pem")).expect("readable");
    revoke(&split.home, &lost);
    let refusal = until("a refusal", async || operator.identify(&palm(1)).await.err()).await;
    assert_eq!(refusal.code(), Code::Unavailable, "never no match: {refusal:?}");
    assert!(refusal.message().contains("match-1"), "{}", refusal.message());
    let new = split.front_dir.data().join("new");
    let cert = split.home.pki().issue_node(NodeKind::Front, "f1", &[]);
    cert.expect("issued").write(&new, "node").expect("written");
    replace(&new, &tls, &["node.pem", "node.key"]);
    let found = until("an answer", async || operator.identify(&palm(1)).await.ok()).await;
    assert_eq!(found.subject_id, "ada");
    split.stop().await;
}
