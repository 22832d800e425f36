//! Tests of a cluster as one node: who is asked for what is no identification, what is repeated, and who comes and goes with the register.

use crate::model::usage::EventId;
use futures::StreamExt;

use super::*;
use crate::cluster::members::{Life, Registered};
use crate::cluster::placement::NodeId;
use crate::matcher::node::ImportChunk;
use crate::matcher::placed::fixture::{Act, Counting, Fake, fake, gallery_head, query, rows, tenant};
use crate::matcher::placed::holder::Holder;
use crate::matcher::placed::register::{Entry, Link, READ_EVERY, RegisterRead};
use crate::model::consent::{Consent, ConsentMethod};
use crate::model::policy::Retention;
use crate::model::subject::{Capture, Hand, PadVerdict};
use crate::model::tenant::TenantStats;
use crate::model::timestamp::Timestamp;

#[path = "node_tests/late.rs"]
mod late;

/// What a node answers to everything that is no identification.
#[derive(Default)]
struct Says {
    fails: Mutex<Option<NodeError>>,
    /// How long it takes to record an event.
    takes: Mutex<Duration>,
    /// Under what events were told to it.
    told: Mutex<Vec<EventId>>,
    calls: Mutex<Vec<&'static str>>,
    sequence: u64,
}

impl Says {
    fn hear<T>(&self, method: &'static str, answer: T) -> Result<T, NodeError> {
        self.calls.lock().push(method);
        self.fails.lock().clone().map_or(Ok(answer), Err)
    }

    fn status(&self) -> TenantStatus {
        TenantStatus {
            spec: None,
            id: tenant(),
            state: TenantState::Ready,
            rotating: false,
            stats: TenantStats {
                sequence: self.sequence,
                resident_bytes: 1_000,
                ..TenantStats::default()
            },
        }
    }
}

#[derive(Clone)]
struct Stub(Arc<Says>);

#[async_trait]
impl Node for Stub {
    async fn tenants(&self) -> Result<Vec<TenantStatus>, NodeError> {
        self.0.hear("tenants", vec![self.0.status()])
    }
    async fn tenant(&self, _: &TenantId) -> Result<TenantStatus, NodeError> {
        self.0.hear("tenant", self.0.status())
    }
    async fn create_tenant(&self, _: TenantSpec) -> Result<TenantStatus, NodeError> {
        self.0.hear("create", self.0.status())
    }
    async fn set_policy(&self, _: PolicyChange) -> Result<TenantStatus, NodeError> {
        self.0.hear("policy", self.0.status())
    }
    async fn drop_tenant(&self, _: &TenantId) -> Result<(), NodeError> {
        self.0.hear("drop", ())
    }
    async fn rotate_data_key(&self, _: &TenantId) -> Result<TenantStatus, NodeError> {
        self.0.hear("rotate", self.0.status())
    }
    async fn rotate_transform(&self, _: &TenantId, _: TransformChange) -> Result<TenantStatus, NodeError> {
        self.0.hear("rotate", self.0.status())
    }
    async fn search(&self, _: SearchQuery) -> Result<SearchAnswer, NodeError> {
        panic!("a cluster searches parts")
    }
    async fn rank(&self, _: RankQuery) -> Result<SearchAnswer, NodeError> {
        panic!("a cluster searches parts")
    }
    async fn compare(&self, _: CompareQuery) -> Result<f32, NodeError> {
        self.0.hear("compare", 0.5)
    }
    async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, NodeError> {
        let enrolled = Enrolled {
            subject_id: enrollment.subject_id,
            references: Vec::new(),
            sequence: 1,
        };
        self.0.hear("enroll", enrolled)
    }
    async fn import(&self, _: ImportHeader, chunks: ImportStream) -> Result<Imported, NodeError> {
        let rows = chunks.count().await as u64;
        self.0.hear("import", Imported { rows, sequence: 1 })
    }
    async fn import_progress(&self, _: &TenantId, _: &RequestId) -> Result<ImportProgress, NodeError> {
        self.0.hear("progress", ImportProgress::default())
    }
    async fn erase(&self, _: Erasure) -> Result<Erased, NodeError> {
        self.0.hear("erase", ())?;
        Err(NodeError::SubjectUnknown(tenant()))
    }
    async fn due(&self, _: &TenantId, _: Due, _: usize) -> Result<Vec<SubjectId>, NodeError> {
        self.0.hear("due", Vec::new())
    }
    async fn erasure(&self, _: &TenantId, erasure: u64) -> Result<Erased, NodeError> {
        self.0.hear("erasure", ())?;
        Err(NodeError::ErasureUnknown(erasure))
    }
    async fn erasures_of(&self, _: &TenantId, _: &SubjectId) -> Result<Vec<u64>, NodeError> {
        self.0.hear("erasures", vec![self.0.sequence])
    }
    async fn subject(&self, _: &TenantId, _: &SubjectRef) -> Result<SubjectRecord, NodeError> {
        self.0.hear("subject", ())?;
        Err(NodeError::SubjectUnknown(tenant()))
    }
    async fn record_usage(&self, _: &TenantId, record: UsageRecord) -> Result<(), NodeError> {
        self.0.told.lock().push(record.id);
        let (answer, takes) = (self.0.hear("usage", ()), *self.0.takes.lock());
        tokio::time::sleep(takes).await;
        answer
    }
    async fn usage(&self, _: UsageQuery) -> Result<UsagePage, NodeError> {
        let page = UsagePage {
            events: Vec::new(),
            next_before: None,
        };
        self.0.hear("events", page)
    }
    async fn checkpoint(&self, _: &TenantId) -> Result<SignedCheckpoint, NodeError> {
        self.0.hear("checkpoint", ())?;
        Err(NodeError::DeadlineExceeded)
    }
    fn backend(&self) -> String {
        format!("cpu/{}", self.0.sequence)
    }
}

/// Nodes 0 to 3, of which a test says how they stand in the register.
#[derive(Clone)]
struct World {
    nodes: Arc<Vec<(Arc<Says>, Arc<Fake>)>>,
    read: Arc<Mutex<Result<RegisterRead, NodeError>>>,
    dialled: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Register for World {
    async fn read(&self) -> Result<RegisterRead, NodeError> {
        self.read.lock().clone()
    }
}

impl Dial for World {
    fn dial(&self, id: NodeId, address: &str) -> Result<Link, NodeError> {
        self.dialled.lock().push(address.to_owned());
        if address.is_empty() {
            return Err(unreachable());
        }
        let (says, fake) = &self.nodes[usize::try_from(id.0).expect("few")];
        let holder: Arc<dyn Holder> = Arc::new(Arc::clone(fake));
        Ok(Link {
            node: Arc::new(Stub(Arc::clone(says))),
            holder,
        })
    }
}

fn unreachable() -> NodeError {
    NodeError::NodeUnavailable {
        node: "match-1".to_owned(),
        reason: "connection refused".to_owned(),
    }
}

impl World {
    fn new() -> Self {
        let rows = Arc::new(rows(0));
        let node = |sequence| {
            let says = Says {
                sequence,
                ..Says::default()
            };
            (Arc::new(says), Arc::new(fake(&rows, 1, sequence)))
        };
        Self {
            nodes: Arc::new((0..4).map(node).collect()),
            read: Arc::new(Mutex::new(Ok(RegisterRead::default()))),
            dialled: Arc::default(),
        }
    }

    /// Another generation with these nodes, each with its address.
    fn register(&self, nodes: impl IntoIterator<Item = (u128, Life, &'static str)>) {
        let entry = |(id, life, address): (u128, Life, &str)| Entry {
            id: NodeId(id),
            address: address.to_owned(),
            registered: Registered {
                generation: 1,
                life,
                beat: 0,
                weight: 1,
            },
        };
        let generation = self.read.lock().as_ref().map_or(0, |read| read.generation) + 1;
        let nodes = nodes.into_iter().map(entry).collect();
        *self.read.lock() = Ok(RegisterRead { generation, nodes });
    }

    /// The cluster, once it has read the register.
    async fn start(&self) -> PlacedNode {
        let node = PlacedNode::new(Counting::default(), self.clone(), self.clone(), 2);
        settle().await;
        node
    }

    /// Who was asked, and for what, since the last time.
    fn calls(&self) -> Vec<(usize, &'static str)> {
        let of = |(number, (says, _)): (usize, &(Arc<Says>, Arc<Fake>))| {
            let calls = std::mem::take(&mut *says.calls.lock());
            calls
                .into_iter()
                .map(move |call| (number, call))
                .collect::<Vec<_>>()
        };
        self.nodes.iter().enumerate().flat_map(of).collect()
    }

    fn fail(&self, node: usize, error: Option<NodeError>) {
        *self.nodes[node].0.fails.lock() = error;
    }
}

/// Longer than until the register is read again.
async fn settle() {
    tokio::time::sleep(READ_EVERY * 2).await;
}

async fn four() -> (World, PlacedNode, usize, usize) {
    let world = World::new();
    world.register([0, 1, 2, 3].map(|id| (id, Life::Serving, "a")));
    let node = world.start().await;
    let nodes = node.asker.nodes.load();
    let owners = nodes.owners_of_fresh(&tenant(), gallery_head(0, 0).gallery);
    let [first, second] = [0, 1].map(|place| usize::try_from(owners[place].0.0).expect("few"));
    drop(owners);
    drop(nodes);
    (world, node, first, second)
}

fn due() -> Due {
    Due {
        retention: Retention::default(),
        as_of: Timestamp(0),
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_repeated_is_asked_of_the_next_owner_and_nothing_else_is() {
    let (world, node, first, second) = four().await;
    node.due(&tenant(), due(), 1).await.expect("the first");
    assert_eq!(world.calls(), [(first, "due")]);
    world.fail(first, Some(unreachable()));
    node.due(&tenant(), due(), 1).await.expect("the second");
    let mut calls = world.calls();
    calls.sort_by_key(|(node, _)| *node != first);
    assert_eq!(calls, [(first, "due"), (second, "due")]);
    let unavailable = NodeError::TenantUnavailable {
        tenant: tenant(),
        reason: "it can't be told whether a commit was done".to_owned(),
    };
    for fails in [unreachable(), unavailable] {
        for method in ["drop", "rotate"] {
            // Anew, so that nothing is known of who is out of reach.
            let (world, node, first, _) = four().await;
            world.fail(first, Some(fails.clone()));
            let error = match method {
                "drop" => node.drop_tenant(&tenant()).await.expect_err("it may be done"),
                _ => node.rotate_data_key(&tenant()).await.expect_err("it may be done"),
            };
            assert_eq!(error.to_string(), fails.to_string());
            assert_eq!(world.calls(), [(first, method)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_known_to_be_out_of_reach_is_asked_last() {
    let (world, node, first, second) = four().await;
    world.fail(first, Some(unreachable()));
    node.drop_tenant(&tenant()).await.expect_err("it may be done");
    world.calls();
    node.drop_tenant(&tenant()).await.expect("the second");
    assert_eq!(world.calls(), [(second, "drop")]);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_unknown_where_all_owners_say_so() {
    let (world, node, first, second) = four().await;
    let unknown = NodeError::TenantUnknown(tenant());
    world.fail(first, Some(unknown.clone()));
    node.drop_tenant(&tenant()).await.expect("the second knows it");
    world.fail(second, Some(unknown));
    let error = node.drop_tenant(&tenant()).await.expect_err("unknown");
    assert!(matches!(error, NodeError::TenantUnknown(_)), "{error}");
    world.fail(second, Some(unreachable()));
    let error = node.due(&tenant(), due(), 1).await.expect_err("nobody knows");
    assert!(matches!(error, NodeError::NodeUnavailable { .. }), "{error}");
    let nobody = "nobody".parse().expect("an id");
    world.fail(first, Some(NodeError::TransformStale { tenant: tenant() }));
    world.calls();
    let error = node.drop_tenant(&tenant()).await.expect_err("stale");
    assert!(matches!(error, NodeError::TransformStale { .. }), "{error}");
    assert_eq!(
        world.calls(),
        [(first, "drop")],
        "no other is asked to write by a former rotation"
    );
    // The fixture's catalog knows one tenant: no node is asked for another.
    let error = node.drop_tenant(&nobody).await.expect_err("unknown");
    assert!(matches!(error, NodeError::TenantUnknown(_)), "{error}");
    assert_eq!(world.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_tenants_memory_is_that_of_all_nodes_and_the_rest_that_of_one() {
    let (world, node, ..) = four().await;
    let status = node.tenant(&tenant()).await.expect("all answer");
    assert_eq!(status.stats.resident_bytes, 4_000);
    world.fail(2, Some(unreachable()));
    let statuses = node.tenants().await.expect("three answer");
    assert_eq!(statuses.len(), 1);
    let stats = &statuses[0].stats;
    assert_eq!((stats.resident_bytes, stats.sequence), (3_000, 3));
    for number in 0..4 {
        world.fail(number, Some(unreachable()));
    }
    let error = node.tenants().await.expect_err("nobody looked");
    assert!(matches!(error, NodeError::NodeUnavailable { .. }), "{error}");
    assert_eq!(node.backend(), "cpu/0 + cpu/1 + cpu/2 + cpu/3");
}

#[tokio::test(start_paused = true)]
async fn nodes_come_and_go_with_the_register() {
    let world = World::new();
    let node = world.start().await;
    let placed = node.is_placed();
    assert!(!*placed.borrow());
    assert!(node.check_room(&tenant(), None).is_err());
    let error = node.search(query(None)).await.expect_err("nobody is there");
    assert!(matches!(error, NodeError::PartUnavailable { .. }), "{error}");
    // Who joins owns nothing yet, and who drains still does.
    world.register([
        (0, Life::Joining, "a"),
        (1, Life::Draining, "b"),
        (2, Life::Gone, "c"),
    ]);
    settle().await;
    assert!(*placed.borrow());
    node.search(query(None)).await.expect("the one that drains");
    assert_eq!(*world.dialled.lock(), ["b"]);
    node.check_room(&tenant(), None).expect("there is one");
    // A reading that fails, or says nothing new, changes nothing.
    let read = std::mem::replace(&mut *world.read.lock(), Err(unreachable()));
    settle().await;
    node.search(query(None)).await.expect("the same");
    *world.read.lock() = read;
    world.register([(0, Life::Serving, "a"), (1, Life::Draining, "b")]);
    settle().await;
    assert_eq!(
        *world.dialled.lock(),
        ["b", "a"],
        "the connection of who stays is kept"
    );
    world.register([(0, Life::Serving, "a2"), (3, Life::Serving, "")]);
    settle().await;
    world.nodes[1].1.acts.lock().push_back(Act::Hang);
    node.search(query(None)).await.expect("the other");
    let dialled = world.dialled.lock().split_off(2);
    assert_eq!(dialled[0..2].iter().filter(|address| *address == "a2").count(), 1);
    assert!(
        dialled.iter().filter(|address| address.is_empty()).count() > 1,
        "it is tried again"
    );
    world.register([]);
    settle().await;
    assert!(!*placed.borrow());
    node.search(query(None)).await.expect_err("nobody is left");
}

fn header() -> ImportHeader {
    ImportHeader {
        tenant: tenant(),
        transform: query(None).transform,
        request_id: "r-1".parse().expect("an id"),
        request_digest: [1; 32],
        rows: 3,
        first_row: 0,
        hand: Hand::Left,
        capture: Capture {
            hand: None,
            quality: 90,
            captured_at: Timestamp(1),
            pad: PadVerdict::BonaFide,
        },
        consent: Consent {
            policy_version: "2".to_owned(),
            purpose: "doors".to_owned(),
            given_at: Timestamp(1),
            expires_at: Timestamp(2),
            method: ConsentMethod::InApp,
        },
    }
}

#[tokio::test(start_paused = true)]
async fn the_rows_of_an_import_go_to_one_node_whatever_it_says() {
    let rows = || {
        let chunk = |_| {
            Ok(ImportChunk {
                values: Vec::new(),
                subject_ids: Vec::new(),
            })
        };
        futures::stream::iter((0..3).map(chunk)).boxed()
    };
    let (world, node, first, _) = four().await;
    let imported = node.import(header(), rows()).await.expect("the first");
    assert_eq!(imported.rows, 3);
    world.fail(first, Some(NodeError::TenantUnknown(tenant())));
    node.import(header(), rows())
        .await
        .expect_err("the rows are gone");
    assert_eq!(world.calls(), [(first, "import"), (first, "import")]);
    let progress = node.import_progress(&tenant(), &header().request_id).await;
    assert_eq!(progress.expect("the second knows it"), ImportProgress::default());
}
