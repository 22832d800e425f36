//! Test of a whole cluster behind TLS, from a front's [`PlacedNode`] to its nodes, which come and go while it is asked.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::service::InterceptorLayer;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, ServerTlsConfig};

use super::super::*;
use super::fixture::*;
use super::parts::{EDITION, asked};
use crate::cluster::members::{Life, Registered};
use crate::cluster::placement::{Gallery, NodeId, Part};
use crate::cluster::question::{Refusal, Scope};
use crate::cluster::view::{Head, View};
use crate::matcher::node::{RankQuery, SearchQuery};
use crate::matcher::placed::heads::{GalleryHead, Heads, HeadsRead};
use crate::matcher::placed::holder::PartError;
use crate::matcher::placed::node::PlacedNode;
use crate::matcher::placed::register::{Dial, Entry, Link, Register, RegisterRead};
use crate::matcher::remote::RemoteNode;
use crate::matcher::remote::holder::RemoteHolder;
use crate::model::decision::{Candidate, Certificate as Proof, SearchAnswer};
use crate::model::signature::{Dimension, Signature};
use crate::model::subject::Hand;
use crate::model::timestamp::Timestamp;
use crate::service::caller::Peer;
use crate::service::routes;
use crate::telemetry::traces::Traces;

const DOMAIN: &str = "example.org";
const SEGMENTS: u32 = 6;
const NODES: u128 = 4;

/// Whose row, where, and which.
type Row = (String, Part, Signature);

/// Two rows of each of 40 subjects, in parts in turn.
fn gallery() -> Vec<Row> {
    let part = |number: u32| match number % (SEGMENTS + 1) {
        SEGMENTS => Part::Fresh,
        group => Part::Group(group),
    };
    let row = |number: u32| {
        let angle =
            |at: u32| f32::from(u8::try_from((number * 31 + at * 7) % 97).expect("below 97")) / 97.0 - 0.4;
        let values: Vec<f32> = (0..32).map(angle).collect();
        let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let values = values.iter().map(|value| value / norm).collect();
        let signature = Signature::new(values, Dimension::new(32).expect("a dimension"));
        (
            format!("s{:02}", number / 2),
            part(number),
            signature.expect("a unit vector"),
        )
    };
    (0..80).map(row).collect()
}

/// Every row of these parts looked at.
fn brute(
    rows: &[Row],
    has: impl Fn(Part) -> bool,
    probe: &Signature,
    threshold: f32,
    most: usize,
) -> SearchAnswer {
    let mut best: HashMap<&str, f32> = HashMap::new();
    let mut searched = 0;
    for (subject, _, row) in rows.iter().filter(|(_, part, _)| has(*part)) {
        searched += 1;
        let score: f32 = row.values().iter().zip(probe.values()).map(|(a, b)| a * b).sum();
        let known = best.entry(subject).or_insert(f32::NEG_INFINITY);
        *known = known.max(score);
    }
    let candidate = |(subject, score): (&str, f32)| Candidate {
        subject_id: subject.parse().expect("an id"),
        subject_since: Timestamp(1),
        hand: Hand::Left,
        score,
        links: Vec::new(),
    };
    let above = best.into_iter().filter(|(_, score)| *score >= threshold);
    let mut candidates: Vec<Candidate> = above.map(candidate).collect();
    candidates.sort_by(Candidate::best_first);
    candidates.truncate(most);
    SearchAnswer {
        candidates,
        certificate: Proof::Deterministic,
        backend: "cpu/brute".to_owned(),
        searched,
    }
}

/// Holds all parts, and says that it is behind for one of seven of them, another one a node.
struct Shelf(u32, Vec<Row>);

impl Shelf {
    fn answer(
        &self,
        probe: &Signature,
        threshold: f32,
        most: usize,
        scope: &Scope,
    ) -> Result<SearchAnswer, PartError> {
        let lacks = Part::Group(self.0);
        if scope.parts.contains(&lacks) {
            return Err(PartError::Refused(Refusal::PartsBehind([lacks].into())));
        }
        Ok(brute(
            &self.1,
            |part| scope.parts.contains(&part),
            probe,
            threshold,
            most,
        ))
    }
}

#[async_trait]
impl Holder for Shelf {
    async fn search(&self, query: &SearchQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        self.answer(&query.probe, query.threshold, query.candidates_max, scope)
    }
    async fn rank(&self, query: &RankQuery, scope: &Scope) -> Result<SearchAnswer, PartError> {
        self.answer(&query.probe, f32::NEG_INFINITY, query.candidates_max, scope)
    }
}

/// The catalog and the register in one: where the nodes are.
#[derive(Clone, Default)]
struct Site(Arc<Mutex<RegisterRead>>);

#[async_trait]
impl Heads for Site {
    async fn read(&self, tenants: &BTreeSet<TenantId>) -> Result<HeadsRead, NodeError> {
        let mut view = View::default();
        for number in 1..=SEGMENTS {
            view.warm(number).expect("a new number");
            view.go_live(number, &BTreeSet::new()).expect("it is warming");
        }
        let head = Head {
            edition: EDITION,
            sequence: 80,
            list: view.list(),
            group_segments: NonZeroU32::MIN,
        };
        let gallery = Gallery::of(&tenant(), Timestamp(1));
        let view = Arc::new(view);
        let head = Arc::new(GalleryHead { gallery, head, view });
        Ok(tenants
            .iter()
            .map(|id| (id.clone(), Ok(Arc::clone(&head))))
            .collect())
    }
}

#[async_trait]
impl Register for Site {
    async fn read(&self) -> Result<RegisterRead, NodeError> {
        Ok(self.0.lock().clone())
    }
}

/// An authority, and what its certificates show.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    fn identity(&self, path: &str) -> Identity {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let uri = format!("spiffe://{DOMAIN}{path}").try_into().expect("ASCII");
        params.subject_alt_names.push(SanType::URI(uri));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        Identity::from_pem(certificate.pem(), key.serialize_pem())
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.0.pem())
    }

    fn channel(&self, address: &str, path: &str) -> Channel {
        let tls = ClientTlsConfig::new()
            .ca_certificate(self.certificate())
            .identity(self.identity(path))
            .domain_name("localhost");
        let endpoint = Channel::from_shared(format!("https://{address}")).expect("an address");
        endpoint.tls_config(tls).expect("sound").connect_lazy()
    }

    /// A match node that lacks one group; its address, and what ends it.
    fn node(&self, number: u32) -> (String, Machine) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let room = MatchRoom::with_parts(Arc::new(FakeNode), Arc::new(Shelf(number, gallery())));
        let revocations = Revocations::new(watch::channel(Arc::default()).1);
        let routes = routes::internal(room, DOMAIN.into(), revocations, Traces::default());
        let tls = ServerTlsConfig::new()
            .identity(self.identity(&format!("/node/match/m{number}")))
            .client_ca_root(self.certificate());
        let peer = |mut request: Request<()>| {
            let shown = request
                .peer_certs()
                .map(|certs| certs.to_vec())
                .unwrap_or_default();
            request.extensions_mut().insert(Peer::new(shown));
            Ok(request)
        };
        let server = super::Server::builder()
            .tls_config(tls)
            .expect("sound")
            .layer(InterceptorLayer::new(peer))
            .add_routes(routes);
        let machine = Machine::new();
        machine.runtime().spawn(async move {
            listener.set_nonblocking(true).expect("set");
            let listener = super::TcpListener::from_std(listener).expect("a listener");
            let incoming = super::TcpListenerStream::new(listener);
            server.serve_with_incoming(incoming).await.expect("it serves");
        });
        (address, machine)
    }
}

/// What a node runs on. With it all its connections end.
struct Machine(Option<Runtime>);

impl Machine {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build();
        Self(Some(runtime.expect("a runtime")))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it runs")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.0.take().expect("it runs").shutdown_background();
    }
}

struct ByTls(Arc<Authority>);

impl Dial for ByTls {
    fn dial(&self, id: NodeId, address: &str) -> Result<Link, NodeError> {
        let channel = self.0.channel(address, "/node/front/f1");
        Ok(RemoteNode::connect(id.to_string(), channel).into())
    }
}

impl Site {
    fn add(&self, id: u128, address: String) {
        let mut read = self.0.lock();
        read.generation += 1;
        read.nodes.retain(|entry| entry.id != NodeId(id));
        read.nodes.push(Entry {
            id: NodeId(id),
            address,
            registered: Registered {
                generation: 1,
                life: Life::Serving,
                beat: 0,
                weight: 1,
            },
        });
    }
}

fn nth(number: u32) -> SearchQuery {
    SearchQuery {
        probe: gallery().swap_remove(number as usize % 80).2,
        threshold: 0.2,
        deadline: Some(Instant::now() + Duration::from_secs(20)),
        ..super::query(7, None)
    }
}

/// Exact, or nobody answered for a part. Whether it was answered.
async fn ask(cluster: &PlacedNode, number: u32) -> bool {
    let rows = gallery();
    let query = nth(number);
    let (probe, threshold) = (query.probe.clone(), query.threshold);
    let found = cluster.search(query.clone()).await;
    let ranking = RankQuery {
        probe: probe.clone(),
        deadline: query.deadline,
        ..rank_query(5, None)
    };
    let ranked = cluster.rank(ranking).await;
    let mut is_answered = true;
    let expected = [(found, threshold, 7), (ranked, f32::NEG_INFINITY, 5)];
    for (answer, threshold, most) in expected {
        match answer {
            Ok(answer) => assert_eq!(answer, brute(&rows, |_| true, &probe, threshold, most)),
            Err(NodeError::PartUnavailable { .. }) => is_answered = false,
            Err(error) => panic!("{error}"),
        }
    }
    is_answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_behind_tls_answers_exactly_while_nodes_come_and_go() {
    let (authority, site) = (Arc::new(Authority::new()), Site::default());
    let mut nodes = HashMap::new();
    for id in 0..NODES {
        let (address, machine) = authority.node(u32::try_from(id).expect("few"));
        site.add(id, address);
        nodes.insert(id, machine);
    }
    let cluster = PlacedNode::new(site.clone(), site.clone(), ByTls(Arc::clone(&authority)), 3);
    let mut placed = cluster.is_placed();
    placed.wait_for(|is_placed| *is_placed).await.expect("it is read");
    for number in 0..20 {
        assert!(ask(&cluster, number).await, "all are there");
    }
    assert_eq!(
        cluster.enroll(enrollment()).await.expect("one takes it").sequence,
        3
    );
    // One of three owners of each part is gone, and another is behind.
    drop(nodes.remove(&1).expect("there"));
    let mut answered = 0;
    for number in 0..30 {
        answered += u32::from(ask(&cluster, number).await);
        cluster.enroll(enrollment()).await.expect("another takes it");
    }
    assert!(answered >= 20, "{answered} of 30");
    // All are gone.
    nodes.clear();
    for number in 0..5 {
        assert!(!ask(&cluster, number).await, "nobody is there");
    }
    let error = cluster.enroll(enrollment()).await.expect_err("nobody is there");
    assert!(matches!(error, NodeError::NodeUnavailable { .. }), "{error}");
    // Others come in their places.
    for id in 0..NODES {
        let (address, machine) = authority.node(u32::try_from(id).expect("few"));
        site.add(id, address);
        nodes.insert(id, machine);
    }
    let is_back = async { while !ask(&cluster, 1).await {} };
    tokio::time::timeout(Duration::from_mins(1), is_back)
        .await
        .expect("they answer");
}

#[tokio::test]
async fn parts_are_for_fronts_alone() {
    let authority = Authority::new();
    let (address, _machine) = authority.node(0);
    let scope = asked([Part::Fresh]);
    let ask = async |path: &str| {
        let node = RemoteNode::connect("m0".to_owned(), authority.channel(&address, path));
        RemoteHolder::new(node).search(&nth(1), &scope).await
    };
    ask("/node/front/f1").await.expect("a front");
    for other in ["/node/match/m1", "/tenant/acme/scanner/gate-1"] {
        ask(other).await.expect_err(other);
    }
}
