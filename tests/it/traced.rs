//! Promise: traces tell where the time of a call went, and nothing of whom it was about; they hold up nobody, and no caller has a say in them.

use std::collections::BTreeSet;

use thenar::proto::matching::v1::ListTenantsRequest;
use thenar::proto::v1;
use thenar::server::config::Config;
use thenar::server::pki::NodeKind;
use thenar::server::{Mode, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Request};

use crate::harness::{Caller, Collector, PATIENCE, Told, World, attribute, contains, knock, palm, policy};
use crate::split_tiers::{Split, match_node, node_client};

/// A trace that somebody else began.
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
/// The span of it that asks.
const ASKS: u64 = 0xb7ad_6b71_6920_3331;

/// Settings that record every call.
fn every_call(collector: &Collector) -> impl Fn(&mut Config) + use<> {
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    move |config| {
        config.traces.endpoint = Some(endpoint.clone());
        config.traces.share = 1.0;
    }
}

/// A request that asks to be traced.
fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE:032x}-{ASKS:016x}-01");
    let parent = parent.parse().expect("a header");
    request.metadata_mut().insert("traceparent", parent);
    request
}

/// The spans of the trace that this call began, each with those above it.
fn tree(spans: &[Told], root: &Told) -> BTreeSet<String> {
    let of_trace = spans
        .iter()
        .filter(|told| told.span.trace_id == root.span.trace_id);
    of_trace.map(|told| path(spans, told)).collect()
}

fn path(spans: &[Told], told: &Told) -> String {
    let name = told.span.name.rsplit('/').next().expect("a name");
    let name = format!("{} {name}", told.service.trim_start_matches("thenar-"));
    let above = spans
        .iter()
        .find(|above| above.span.span_id == told.span.parent_span_id);
    match above {
        Some(above) => format!("{} > {name}", path(spans, above)),
        None => name,
    }
}

/// The calls of this name that began a trace, in the order of their coming.
fn roots(spans: &[Told], name: &str) -> Vec<Told> {
    let roots = spans
        .iter()
        .filter(|told| told.span.name == name && told.span.parent_span_id.is_empty());
    let mut roots: Vec<Told> = roots.cloned().collect();
    roots.sort_by_key(|told| told.span.start_time_unix_nano);
    roots
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(|line| line.trim().to_owned()).collect()
}

async fn identify_at(caller: &mut Caller, request_id: &str, site: &str, values: &[f32]) {
    let request = v1::IdentifyRequest {
        request_id: request_id.into(),
        site: site.into(),
        probe: Some(crate::harness::signature(values)),
        ..Default::default()
    };
    let answer = caller.identity.identify(traced(request)).await.expect("answered");
    assert_eq!(answer.into_inner().subject_id, "subject-7391");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_joins_front_and_match_node_and_tells_of_nobody() {
    let collector = Collector::start().await;
    let split = Split::start_with(every_call(&collector)).await;
    let mut admin = split.caller(split.home.administrator()).await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let mut operator = split
        .caller(split.home.member("acme", "operator", "ops-5512"))
        .await;
    operator.enroll("subject-7391", &palm(1)).await.expect("enrolled");
    let mut scanner = split
        .caller(split.home.member("acme", "scanner", "gate-8264"))
        .await;
    for request_id in ["request-id-9173", "request-id-9174"] {
        identify_at(&mut scanner, request_id, "lobby-4711", &palm(1)).await;
    }
    let refusal = operator
        .verify("subject-9999", &palm(1))
        .await
        .expect_err("nobody");
    assert_eq!(refusal.code(), Code::NotFound);
    split.stop().await;

    let spans = collector.spans();
    let identified = roots(&spans, "thenar.v1.Identity/Identify");
    let [first, second] = identified.as_slice() else {
        panic!("{} calls", identified.len());
    };
    assert_eq!(tree(&spans, first), lines(SEARCHED));
    assert_eq!(tree(&spans, second), lines(REMEMBERED));
    let of = |key| attribute(&first.span.attributes, key).unwrap_or_default();
    assert_eq!(
        (of("thenar.tenant"), of("thenar.role")),
        ("acme".into(), "scanner".into())
    );
    assert_eq!(of("rpc.grpc.status_code"), "0");
    let verified = roots(&spans, "thenar.v1.Identity/Verify");
    let code = attribute(
        &verified.first().expect("told").span.attributes,
        "rpc.grpc.status_code",
    );
    assert_eq!(code.as_deref(), Some("5"));
    tells_of_nobody(&collector);
}

const SEARCHED: &str = "front Identify
    front Identify > front receive
    front Identify > front admission
    front Identify > front recents
    front Identify > front Search
    front Identify > front Search > match Search
    front Identify > front Search > match Search > match receive
    front Identify > front Search > match Search > match queue
    front Identify > front Search > match Search > match scan
    front Identify > front Search > match Search > match rescore
    front Identify > front RecordUsage
    front Identify > front RecordUsage > match RecordUsage
    front Identify > front RecordUsage > match RecordUsage > match receive
    front Identify > front RecordUsage > match RecordUsage > match commit";

const REMEMBERED: &str = "front Identify
    front Identify > front receive
    front Identify > front admission
    front Identify > front recents
    front Identify > front recents > front Search
    front Identify > front recents > front Search > match Search
    front Identify > front recents > front Search > match Search > match receive
    front Identify > front recents > front Search > match Search > match rescore
    front Identify > front RecordUsage
    front Identify > front RecordUsage > match RecordUsage
    front Identify > front RecordUsage > match RecordUsage > match receive
    front Identify > front RecordUsage > match RecordUsage > match commit";

/// What was sent has nothing of persons, scanners and requests, and nothing of what callers said of traces.
fn tells_of_nobody(collector: &Collector) {
    let expected = [
        "rpc.grpc.status_code",
        "rpc.method",
        "rpc.service",
        "rpc.system",
        "service.name",
        "service.version",
        "thenar.role",
        "thenar.tenant",
    ];
    assert_eq!(collector.keys(), expected.map(str::to_owned).into());
    for told in collector.spans() {
        let span = told.span;
        assert!(span.events.is_empty() && span.links.is_empty() && span.trace_state.is_empty());
        assert_ne!(span.trace_id, TRACE.to_be_bytes(), "a caller's word on traces");
        let status = span.status.expect("it is told");
        assert!(status.message.is_empty(), "{}", status.message);
    }
    let bytes = collector.bytes();
    assert!(contains(&bytes, b"acme"), "it would be found");
    for name in [
        "subject-",
        "ops-5512",
        "gate-8264",
        "lobby-4711",
        "request-",
        "root",
        "match-1",
    ] {
        assert!(!contains(&bytes, name.as_bytes()), "{name}");
    }
    let probe = crate::harness::signature(&palm(1)).data;
    assert!(!contains(&bytes, probe.get(..16).expect("it is longer")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_node_believes_a_front_alone() {
    let collector = Collector::start().await;
    let home = World::prepare();
    let node = match_node(&home, every_call(&collector)).await;
    let address = node.address().to_string();
    let front = home.pki().issue_node(NodeKind::Front, "f1", &[]).expect("issued");
    let front = (front.cert_pem.clone(), front.key_pem.to_string());
    for (certificate, is_front) in [(home.administrator(), false), (front, true)] {
        let mut client = node_client(&home, &address, certificate).await;
        let answer = client.list_tenants(traced(ListTenantsRequest::default())).await;
        assert_eq!(answer.is_ok(), is_front, "{answer:?}");
        // Nor is a call recorded that no front records.
        let answer = client.list_tenants(ListTenantsRequest::default()).await;
        assert_eq!(answer.is_ok(), is_front, "{answer:?}");
    }
    node.stop().await.expect("stopped");
    let mut spans = collector.spans();
    spans.retain(|told| told.span.name != "receive");
    let [told] = spans.as_slice() else {
        panic!("{} spans", spans.len());
    };
    assert_eq!(told.span.name, "thenar.match.v1.Match/ListTenants");
    assert_eq!(told.span.trace_id, TRACE.to_be_bytes());
    assert_eq!(told.span.parent_span_id, ASKS.to_be_bytes());
}

/// A server of both tiers, with a tenant of one subject, and its operator.
async fn serve(world: &World, change: impl Fn(&mut Config)) -> (Server, Caller) {
    let mut config = world.config();
    change(&mut config);
    let server = Server::start(config, Mode::Serve).await.expect("it starts");
    let address = server.address().to_string();
    let knock = async |certificate| {
        knock(&address, &world.ca(), Some(certificate))
            .await
            .expect("let in")
    };
    let mut admin = knock(world.administrator()).await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let mut operator = knock(world.member("acme", "operator", "ops")).await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    (server, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_both_tiers_tells_its_stages_through_tls_also_of_probes_of_a_stream() {
    let world = World::prepare();
    let cert = world.pki().issue_server(&[]).expect("issued");
    let collector = Collector::start_sealed(&cert.cert_pem, &cert.key_pem).await;
    let change = |config: &mut Config| {
        config.traces.endpoint = Some(format!("https://localhost:{}", collector.port));
        config.traces.ca = Some(world.ca());
        config.traces.share = 1.0;
    };
    let (server, mut operator) = serve(&world, change).await;
    operator.identify(&palm(1)).await.expect("answered");
    let probes = ["a", "b"].map(|id| (id.to_owned(), palm(1)));
    operator.identify_stream(&probes).await.expect("answered");
    drop(operator);
    server.stop().await.expect("it stops well");

    let spans = collector.spans();
    let stages = |root: &Told| {
        let tree = tree(&spans, root).into_iter();
        tree.filter_map(|path| path.split_once(" > serve ").map(|(_, stage)| stage.to_owned()))
            .collect::<BTreeSet<_>>()
    };
    let expected = ["receive", "admission", "queue", "scan", "rescore", "commit"].map(str::to_owned);
    let identified = roots(&spans, "thenar.v1.Identity/Identify");
    assert_eq!(stages(identified.first().expect("told")), expected.clone().into());
    // A probe of a stream has come when it is looked at.
    let expected: BTreeSet<_> = expected.into_iter().filter(|stage| stage != "receive").collect();
    let streamed = roots(&spans, "thenar.v1.Identity/IdentifyStream");
    assert_eq!(streamed.len(), 2);
    for probe in &streamed {
        assert_eq!(stages(probe), expected);
        assert_eq!(
            attribute(&probe.span.attributes, "thenar.tenant").as_deref(),
            Some("acme")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_nothing_sends_nothing_whatever_a_caller_asks_for() {
    let collector = Collector::start().await;
    let world = World::prepare();
    let all = every_call(&collector);
    let (server, mut operator) = serve(&world, |config| {
        all(config);
        config.traces.share = 0.0;
    })
    .await;
    let request = v1::GetTenantRequest {
        tenant: "acme".into(),
    };
    operator
        .admin
        .get_tenant(traced(request))
        .await
        .expect("answered");
    drop(operator);
    server.stop().await.expect("it stops well");
    assert!(collector.bytes().is_empty());
}

/// How often this was counted.
async fn counted(metrics: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(metrics).await.expect("it listens");
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .await
        .expect("it answers and ends");
    let count = text.lines().find_map(|line| line.strip_prefix(name));
    count.map_or(0, |count| count.trim().parse().expect("a count"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_nobody_and_what_it_does_not_take_is_counted() {
    let collector = Collector::start_hanging().await;
    let world = World::prepare();
    let all = every_call(&collector);
    let (server, mut operator) = serve(&world, |config| {
        all(config);
        config.traces.queue_max = 8;
        config.traces.answer_seconds_max = 1;
        config.metrics.enabled = true;
        config.metrics.address = ([127, 0, 0, 1], 0).into();
    })
    .await;
    let metrics = server.metrics_address().expect("metrics are told").to_string();
    let lost = async {
        for outcome in ["dropped", "failed"] {
            let name = format!("thenar_spans_total{{outcome=\"{outcome}\"}}");
            while counted(&metrics, &name).await == 0 {
                operator.identify(&palm(1)).await.expect("answered");
            }
        }
    };
    tokio::time::timeout(PATIENCE, lost)
        .await
        .expect("within the bound");
    drop(operator);
    let stopped = tokio::time::timeout(PATIENCE, server.stop()).await;
    stopped.expect("within the bound").expect("it stops well");
}
