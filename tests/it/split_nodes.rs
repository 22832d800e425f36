//! Promise: a match node that is killed, stands still or is cut off makes its tenants UNAVAILABLE by name and nobody else's, never "no match", and its return needs nobody's help.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use thenar::proto::v1;
use thenar::server::pki::NodeKind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::harness::{
    Caller, PATIENCE, Process, SETTINGS, World, copy_tree, import_messages, knock, palm, policy, signature,
};

#[path = "../../bench/src/split/network.rs"]
mod network;

use network::Network;

/// Which node has which tenant.
const TENANTS: [(&str, &str); 2] = [("acme", "match-1"), ("beta", "match-2")];
/// Rows of each tenant.
const ROWS: u64 = 50;
/// A refusal that nothing is waited for comes within this, on a busy machine too.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A front and two match nodes, each a process with a data directory of its own, under one authority.
struct Deployment {
    home: World,
    places: [World; 2],
    front_place: World,
    nodes: Vec<Option<Process>>,
    front: Process,
}

/// Puts the certificates of a tier into `place`, and gives the settings that name them.
fn certificates(home: &World, place: &World, kind: NodeKind, name: &str) -> String {
    let tls = place.data().join("split");
    let pki = home.pki();
    pki.issue_server(&[])
        .expect("issued")
        .write(&tls, "server")
        .expect("written");
    let node = pki.issue_node(kind, name, &[]).expect("issued");
    node.write(&tls, "node").expect("written");
    let file = |name: &str| tls.join(name).display().to_string();
    format!(
        "{SETTINGS}[tls]\nca = {:?}\ncert = {:?}\nkey = {:?}\nnode_cert = {:?}\nnode_key = {:?}\n",
        home.ca().display().to_string(),
        file("server.pem"),
        file("server.key"),
        file("node.pem"),
        file("node.key"),
    )
}

fn routes(addresses: &[String]) -> String {
    let tenants = TENANTS.map(|(tenant, node)| format!("{tenant} = \"{node}\"\n"));
    let nodes = TENANTS.iter().zip(addresses).map(|((_, node), address)| {
        format!("[routes.nodes.{node}]\naddress = \"{address}\"\nserver_name = \"localhost\"\n")
    });
    let head = "[routes]\ndefault = \"match-1\"\n[routes.tenants]\n".to_owned();
    [head].into_iter().chain(tenants).chain(nodes).collect()
}

impl Deployment {
    async fn start() -> Self {
        let binary = || Command::new(env!("CARGO_BIN_EXE_thenar"));
        Self::start_as(binary(), "127.0.0.1:0").await
    }

    /// The first node is started by `first` and listens there.
    async fn start_as(first: Command, listen: &str) -> Self {
        let home = World::prepare();
        let places = [World::prepare(), World::prepare()];
        let front_place = World::prepare();
        let settings = |place: &World, name: &str| certificates(&home, place, NodeKind::Match, name);
        let [one, two] = [&places[0], &places[1]];
        let text = settings(one, "match-1");
        let node_1 = Process::start_as(first, "match", &one.data(), &text, listen, Stdio::null()).await;
        let text = settings(two, "match-2");
        let node_2 = Process::start("match", &two.data(), &text, "127.0.0.1:0", Stdio::null()).await;
        let addresses = [&node_1, &node_2].map(|node| node.address().to_owned());
        let text = certificates(&home, &front_place, NodeKind::Front, "f1") + &routes(&addresses);
        std::fs::write(front_place.data().join("split.toml"), &text).expect("written");
        let front = Process::start("front", &front_place.data(), &text, "127.0.0.1:0", Stdio::null()).await;
        let deployment = Self {
            home,
            places,
            front_place,
            nodes: vec![Some(node_1), Some(node_2)],
            front,
        };
        deployment.fill().await;
        deployment
    }

    async fn fill(&self) {
        let certificate = self.home.administrator();
        let admin = knock(self.front.address(), &self.home.ca(), Some(certificate)).await;
        let mut admin = admin.expect("let in");
        let rows: Vec<(String, Vec<f32>)> = (0..ROWS).map(|n| (format!("i-{n}"), palm(n))).collect();
        for (tenant, _) in TENANTS {
            admin.create_tenant(tenant, policy(0.5)).await.expect("created");
            let mut operator = self.operator(tenant).await;
            operator.import("first", &rows).await.expect("imported");
        }
    }

    async fn operator(&self, tenant: &str) -> Caller {
        self.operator_at(self.front.address(), tenant).await
    }

    async fn operator_at(&self, address: &str, tenant: &str) -> Caller {
        let certificate = self.home.member(tenant, "operator", "ops");
        knock(address, &self.home.ca(), Some(certificate))
            .await
            .expect("let in")
    }

    fn node(&self) -> &Process {
        self.nodes[0].as_ref().expect("it runs")
    }

    /// Starts the first node again where it was.
    async fn restart_node(&mut self, listen: &str) {
        let place = &self.places[0];
        let tls = place.data().join("split");
        std::fs::remove_dir_all(&tls).expect("removed");
        let text = certificates(&self.home, place, NodeKind::Match, "match-1");
        let node = Process::start("match", &place.data(), &text, listen, Stdio::null()).await;
        self.nodes[0] = Some(node);
    }
}

/// Identifies `palm(n)` with a deadline.
async fn identify_within(caller: &mut Caller, n: u64, deadline: Duration) -> Result<String, Status> {
    let mut request = Request::new(v1::IdentifyRequest {
        probe: Some(signature(&palm(n))),
        ..Default::default()
    });
    request.set_timeout(deadline);
    let answer = caller.identity.identify(request).await?;
    Ok(answer.into_inner().subject_id)
}

/// It is there, and says who and where is not.
fn assert_unavailable(refusal: &Status) {
    assert_eq!(refusal.code(), Code::Unavailable, "never no match: {refusal:?}");
    for name in ["match-1", "acme"] {
        assert!(refusal.message().contains(name), "{}", refusal.message());
    }
    assert!(refusal.get_details_retry_info().is_some(), "{refusal:?}");
}

/// The other tenant is answered, at once.
async fn assert_served(caller: &mut Caller, n: u64) {
    let found = identify_within(caller, n, AT_ONCE).await.expect("answered");
    assert_eq!(found, format!("i-{n}"));
}

async fn until_served(caller: &mut Caller) {
    let start = Instant::now();
    loop {
        match caller.identify(&palm(1)).await {
            Ok(found) => {
                assert_eq!(found.subject_id, "i-1", "never no match");
                return;
            }
            Err(refusal) => assert_unavailable(&refusal),
        }
        assert!(start.elapsed() < PATIENCE, "it does not come back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_takes_nobody_elses_tenant_along_and_comes_back() {
    let mut deployment = Deployment::start().await;
    let mut acme = deployment.operator("acme").await;
    let mut beta = deployment.operator("beta").await;
    let address = deployment.node().address().to_owned();
    deployment.nodes[0].take().expect("it runs").kill();
    let mut last = String::new();
    for n in 0..10 {
        let start = Instant::now();
        let refusal = acme.identify(&palm(n)).await.expect_err("its node is gone");
        assert_unavailable(&refusal);
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        refusal.message().clone_into(&mut last);
        assert_served(&mut beta, n).await;
    }
    assert!(
        last.contains("in a row"),
        "nobody asks a dead node any more: {last}"
    );
    let refusal = acme
        .enroll("new", &palm(900))
        .await
        .expect_err("nowhere to keep it");
    assert_unavailable(&refusal);
    deployment.restart_node(&address).await;
    until_served(&mut acme).await;
    assert_eq!(acme.identify(&palm(900)).await.expect("answered").subject_id, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_is_told_before_the_callers_deadline() {
    let deployment = Deployment::start().await;
    let mut acme = deployment.operator("acme").await;
    let mut beta = deployment.operator("beta").await;
    deployment.node().signal(Signal::STOP);
    for millis in [2_000, 500] {
        let deadline = Duration::from_millis(millis);
        let start = Instant::now();
        let refusal = identify_within(&mut acme, 1, deadline)
            .await
            .expect_err("it stands still");
        assert_unavailable(&refusal);
        assert!(start.elapsed() < deadline, "{:?}", start.elapsed());
    }
    assert_served(&mut beta, 1).await;
    // Without a deadline it is the connection's pings that end the wait: 10 s.
    let start = Instant::now();
    let mut other = deployment.operator("acme").await;
    let waits = async {
        let refusal = other.identify(&palm(2)).await.expect_err("it stands still");
        (refusal, start.elapsed())
    };
    let beside = async {
        for n in 0..20 {
            assert_served(&mut beta, n).await;
        }
    };
    let ((refusal, waited), ()) = tokio::join!(waits, beside);
    assert_unavailable(&refusal);
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    deployment.node().signal(Signal::CONT);
    until_served(&mut acme).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_finishes_what_it_has_and_gets_nothing_new() {
    let mut deployment = Deployment::start().await;
    let mut acme = deployment.operator("acme").await;
    let mut beta = deployment.operator("beta").await;
    let address = deployment.node().address().to_owned();
    let rows: Vec<(String, Vec<f32>)> = (1_000..5_000).map(|n| (format!("i-{n}"), palm(n))).collect();
    let mut messages = import_messages("second", &rows, 0);
    let last = messages.pop().expect("rows");
    let (sender, receiver) = mpsc::channel(8);
    let mut importer = deployment.operator("acme").await;
    let import = tokio::spawn(async move { importer.enrollment.import(ReceiverStream::new(receiver)).await });
    for message in messages {
        sender.send(message).await.expect("it is read");
    }
    let start = Instant::now();
    while acme
        .import_progress("second")
        .await
        .map_or(0, |progress| progress.rows_taken)
        == 0
    {
        assert!(start.elapsed() < PATIENCE, "no row arrives");
    }
    deployment.node().signal(Signal::TERM);
    // What is under way when the signal comes may still be answered.
    let start = Instant::now();
    let refusal = loop {
        match acme.identify(&palm(1)).await {
            Ok(found) => assert_eq!(found.subject_id, "i-1"),
            Err(refusal) => break refusal,
        }
        assert!(start.elapsed() < PATIENCE, "it does not drain");
    };
    assert_unavailable(&refusal);
    let start = Instant::now();
    assert_unavailable(&acme.identify(&palm(1)).await.expect_err("nothing new"));
    assert!(start.elapsed() < AT_ONCE);
    assert_served(&mut beta, 1).await;
    sender.send(last).await.expect("it is read");
    drop(sender);
    let imported = import.await.expect("it ended").expect("finished").into_inner();
    assert_eq!(imported.imported, 4_000);
    assert_eq!(deployment.nodes[0].take().expect("it ran").wait(), Some(0));
    deployment.restart_node(&address).await;
    until_served(&mut acme).await;
    assert_eq!(
        acme.identify(&palm(4_999)).await.expect("answered").subject_id,
        "i-4999"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fronts_side_by_side_give_the_same_answers() {
    let deployment = Deployment::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    // The same keyring and key; the settings and certificates are the first one's.
    copy_tree(&deployment.front_place.data(), &data, &[]);
    let settings = std::fs::read_to_string(data.join("split.toml")).expect("readable");
    let second = Process::start("front", &data, &settings, "127.0.0.1:0", Stdio::null()).await;
    for (tenant, _) in TENANTS {
        let mut first = deployment.operator(tenant).await;
        let mut other = deployment.operator_at(second.address(), tenant).await;
        first.enroll("late", &palm(777)).await.expect("enrolled");
        for n in [0, 7, ROWS - 1, 777, 5_000] {
            let answers = [&mut first, &mut other].map(async |caller| {
                let answer = caller.identify_all(&palm(n)).await.expect("answered");
                let candidates = answer.candidates.iter();
                let scores = candidates.map(|found| (found.subject_id.clone(), found.score.to_bits()));
                (
                    answer.decision,
                    answer.subject_id.clone(),
                    scores.collect::<Vec<_>>(),
                )
            });
            let [one, two] = answers;
            let (one, two) = (one.await, two.await);
            assert_eq!(one, two);
            assert_eq!(one.1.is_empty(), n == 5_000, "{n}");
        }
        other.erase("erase", "late").await.expect("erased");
        assert_eq!(first.identify(&palm(777)).await.expect("answered").subject_id, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_is_told_before_the_callers_deadline() {
    let network = match Network::make() {
        Ok(network) => network,
        Err(reason) => {
            println!("SKIPPED: no network namespace can be made: {reason}");
            return;
        }
    };
    let mut within = network.command().into_iter();
    let mut command = Command::new(within.next().expect("a program"));
    command.args(within).arg(env!("CARGO_BIN_EXE_thenar"));
    let deployment = Deployment::start_as(command, &network.listen()).await;
    let mut acme = deployment.operator("acme").await;
    let mut beta = deployment.operator("beta").await;
    network.cut().expect("cut");
    let deadline = Duration::from_secs(2);
    for n in 0..3 {
        let start = Instant::now();
        let refusal = identify_within(&mut acme, n, deadline)
            .await
            .expect_err("it is cut off");
        assert_unavailable(&refusal);
        assert!(start.elapsed() < deadline, "{:?}", start.elapsed());
        assert_served(&mut beta, n).await;
    }
    network.join().expect("joined");
    until_served(&mut acme).await;
}
