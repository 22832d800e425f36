//! Front and match as two processes' worth of servers, joined over the network.

use thenar::proto::matching::v1::match_client::MatchClient;
use thenar::proto::v1::{self, Decision};
use thenar::server::config::{Config, RemoteNode};
use thenar::server::pki::NodeKind;
use thenar::server::{Mode, Server};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::harness::{Caller, World, palm, policy};
use crate::imports::{go_on, hang_up};

/// A match node, and a front that has its own data directory and the node's authority.
pub struct Split {
    pub home: World,
    pub front_dir: World,
    node: Option<Server>,
    front: Server,
}

/// A match node on the directory of `home`, with settings as `change` makes them.
pub async fn match_node(home: &World, change: impl Fn(&mut Config)) -> Server {
    let cert = home
        .pki()
        .issue_node(NodeKind::Match, "match-1", &[])
        .expect("issued");
    cert.write(&home.data().join("tls"), "node").expect("written");
    let mut config = home.config();
    change(&mut config);
    Server::start(config, Mode::Match).await.expect("the node starts")
}

impl Split {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With settings of both as `change` makes them.
    pub async fn start_with(change: impl Fn(&mut Config)) -> Self {
        let home = World::prepare();
        let front_dir = World::prepare();
        let node = match_node(&home, &change).await;
        let tls = front_dir.data().join("split");
        let pki = home.pki();
        pki.issue_server(&[])
            .expect("issued")
            .write(&tls, "server")
            .expect("written");
        pki.issue_node(NodeKind::Front, "f1", &[])
            .expect("issued")
            .write(&tls, "node")
            .expect("written");
        let mut config = front_dir.config();
        config.tls.ca = Some(home.ca());
        config.tls.cert = Some(tls.join("server.pem"));
        config.tls.key = Some(tls.join("server.key"));
        config.tls.node_cert = Some(tls.join("node.pem"));
        config.tls.node_key = Some(tls.join("node.key"));
        let remote = RemoteNode {
            address: node.address().to_string(),
            server_name: Some("localhost".into()),
        };
        config.routes.nodes.insert("match-1".into(), remote);
        config.routes.default = Some("match-1".into());
        change(&mut config);
        let front = Server::start(config, Mode::Front)
            .await
            .expect("the front starts");
        Self {
            home,
            front_dir,
            node: Some(node),
            front,
        }
    }

    pub async fn caller(&self, certificate: (String, String)) -> Caller {
        let address = self.front.address().to_string();
        Caller::connect(&address, &self.home.ca(), Some(certificate))
            .await
            .expect("let in")
    }

    pub async fn stop(self) {
        self.front.stop().await.expect("stopped");
        if let Some(node) = self.node {
            node.stop().await.expect("stopped");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_job_runs_across_the_network() {
    let mut split = Split::start().await;
    let mut admin = split.caller(split.home.administrator()).await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let mut operator = split.caller(split.home.member("acme", "operator", "ops")).await;
    let rows: Vec<(String, Vec<f32>)> = (0..300).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("first", &rows).await.expect("imported");
    operator.enroll("new", &palm(1_000)).await.expect("enrolled");
    for (seed, subject) in [(0, "i-0"), (299, "i-299"), (1_000, "new")] {
        assert_eq!(
            operator.identify(&palm(seed)).await.expect("answered").subject_id,
            subject
        );
    }
    let nearest = operator.investigate(&palm(7), 1_000).await.expect("answered");
    assert_eq!((nearest.candidates.len(), nearest.searched), (301, 301));
    assert_eq!(nearest.candidates.first().expect("all").subject_id, "i-7");
    assert!(nearest.certificate.is_some() && nearest.backend.starts_with("cpu/"));
    operator.erase("erase", "i-7").await.expect("erased");
    let nearest = operator.investigate(&palm(7), 1_000).await.expect("answered");
    assert_eq!(nearest.candidates.len(), 300);
    assert_eq!(
        operator.identify(&palm(7)).await.expect("answered").decision(),
        Decision::NoMatch
    );
    let duplicate = operator
        .import("again", &rows)
        .await
        .expect_err("they are there already");
    assert_eq!(duplicate.code(), Code::AlreadyExists, "{duplicate:?}");
    let rotate = v1::RotateKeyRequest {
        request_id: "rotate".into(),
        tenant: "acme".into(),
        purpose: v1::KeyPurpose::Transform.into(),
    };
    let rotated = admin
        .admin
        .rotate_key(rotate)
        .await
        .expect("rotated")
        .into_inner();
    assert_eq!((rotated.transform_version, rotated.rotating), (2, false));
    for (seed, subject) in [(0, "i-0"), (7, ""), (299, "i-299"), (1_000, "new")] {
        assert_eq!(
            operator.identify(&palm(seed)).await.expect("answered").subject_id,
            subject
        );
    }
    // An import that breaks off is kept by the node.
    let more: Vec<(String, Vec<f32>)> = (5_000..8_000).map(|n| (format!("i-{n}"), palm(n))).collect();
    hang_up(&mut operator, &more, 1_000).await;
    let imported = go_on(&mut operator, &more, 1_000).await.expect("imported");
    assert_eq!(imported.imported, 3_000);
    for seed in [5_000, 7_999] {
        let found = operator.identify(&palm(seed)).await.expect("answered");
        assert_eq!(found.subject_id, format!("i-{seed}"));
    }
    // The front keeps no gallery and the node no transform key.
    assert!(!split.front_dir.tenant_path("acme").exists());
    assert!(split.home.tenant_path("acme").exists());

    let node = split.node.take().expect("it runs");
    node.stop().await.expect("stopped");
    let refusal = operator.identify(&palm(1)).await.expect_err("the node is down");
    assert_eq!(refusal.code(), Code::Unavailable, "never no match: {refusal:?}");
    assert!(refusal.message().contains("match-1"), "{}", refusal.message());
    split.front.stop().await.expect("stopped");
}

/// A client of the internal service, with whatever certificate.
pub async fn node_client(
    home: &World,
    address: &str,
    (certificate, key): (String, String),
) -> MatchClient<Channel> {
    let ca = Certificate::from_pem(std::fs::read(home.ca()).expect("the authority"));
    let tls = ClientTlsConfig::new()
        .ca_certificate(ca)
        .domain_name("localhost")
        .identity(Identity::from_pem(certificate, key));
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
    let channel = endpoint.tls_config(tls).expect("sound").connect().await;
    MatchClient::new(channel.expect("connected"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_match_service_lets_fronts_in_alone() {
    use thenar::proto::matching::v1::ListTenantsRequest;

    let home = World::prepare();
    let node = match_node(&home, |_| {}).await;
    let address = node.address().to_string();
    let ask = async |certificate| {
        let mut client = node_client(&home, &address, certificate).await;
        client.list_tenants(ListTenantsRequest::default()).await
    };
    let refusal = ask(home.administrator())
        .await
        .expect_err("an administrator is no front");
    assert!(
        matches!(refusal.code(), Code::PermissionDenied | Code::Unauthenticated),
        "{refusal:?}"
    );
    let front = home.pki().issue_node(NodeKind::Front, "f1", &[]).expect("issued");
    ask((front.cert_pem.clone(), front.key_pem.to_string()))
        .await
        .expect("a front is let in");
    let other = home.pki().issue_node(NodeKind::Match, "m2", &[]).expect("issued");
    let refusal = ask((other.cert_pem.clone(), other.key_pem.to_string()))
        .await
        .expect_err("no front");
    assert!(
        matches!(refusal.code(), Code::PermissionDenied | Code::Unauthenticated),
        "{refusal:?}"
    );
    node.stop().await.expect("stopped");
}
