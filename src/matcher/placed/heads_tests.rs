//! Tests of readings of heads: who is given which one.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::*;
use crate::matcher::placed::fixture::{Counting, gallery_head, tenant};

/// A catalog whose sequence a test moves. A reading has it as of its beginning, and ends when it is let through.
#[derive(Clone)]
struct Catalog {
    sequence: Arc<Mutex<u64>>,
    /// Tenants of each reading that began.
    readings: Arc<Mutex<Vec<usize>>>,
    gate: Arc<Semaphore>,
    failure: Arc<Mutex<Option<NodeError>>>,
}

impl Catalog {
    fn new() -> Self {
        Self {
            sequence: Arc::default(),
            readings: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            failure: Arc::default(),
        }
    }
}

#[async_trait]
impl Heads for Catalog {
    async fn read(&self, tenants: &BTreeSet<TenantId>) -> Result<HeadsRead, NodeError> {
        let sequence = *self.sequence.lock();
        self.readings.lock().push(tenants.len());
        self.gate.acquire().await.expect("never closed").forget();
        if let Some(error) = self.failure.lock().clone() {
            return Err(error);
        }
        let head = Arc::new(gallery_head(0, sequence));
        let known = tenants.iter().filter(|id| id.as_str() != "nobody");
        Ok(known.map(|id| (id.clone(), Ok(Arc::clone(&head)))).collect())
    }
}

/// Lets all tasks go as far as they can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn ask(reader: &Arc<HeadReader>, tenant: &str) -> tokio::task::JoinHandle<Result<u64, NodeError>> {
    let (reader, tenant) = (Arc::clone(reader), tenant.parse().expect("an id"));
    tokio::spawn(async move { Ok(reader.read(&tenant).await?.head.sequence) })
}

#[tokio::test]
async fn who_comes_in_during_a_reading_is_given_the_next_one_together_with_all_others() {
    let catalog = Catalog::new();
    let reader = Arc::new(HeadReader::new(catalog.clone()));
    let first = ask(&reader, "acme");
    settle().await;
    *catalog.sequence.lock() = 1;
    let later = ["acme", "acme", "blue", "nobody"].map(|tenant| ask(&reader, tenant));
    settle().await;
    assert_eq!(*catalog.readings.lock(), [1], "one at a time");
    catalog.gate.add_permits(2);
    assert_eq!(first.await.expect("no panic").expect("read"), 0);
    for (place, answer) in later.into_iter().enumerate() {
        match answer.await.expect("no panic") {
            Ok(sequence) => assert_eq!(sequence, 1, "the change was committed before it came in"),
            Err(NodeError::TenantUnknown(_)) => assert_eq!(place, 3),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(*catalog.readings.lock(), [1, 3], "one query for all");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_ever_given_a_reading_that_began_before() {
    let readings = Counting::default();
    let begun = Arc::clone(&readings.readings);
    let reader = Arc::new(HeadReader::new(readings));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500_u64 {
        let (reader, begun) = (Arc::clone(&reader), Arc::clone(&begun));
        tasks.spawn(async move {
            sleep(Duration::from_micros(number * 7_919 % 20_000)).await;
            // The number of the last reading that began: its own has to be a later one.
            let before = *begun.lock();
            let head = reader.read(&tenant()).await.expect("read");
            assert!(
                head.head.sequence > before,
                "{} after {before}",
                head.head.sequence
            );
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    assert!(*begun.lock() <= 25, "{} readings of 1 ms in 20 ms", begun.lock());
}

#[tokio::test]
async fn an_error_is_told_to_all_who_wait_and_ends_nothing() {
    let catalog = Catalog::new();
    let reader = Arc::new(HeadReader::new(catalog.clone()));
    *catalog.failure.lock() = Some(NodeError::StorageRefused("down".to_owned()));
    let both = ["acme", "blue"].map(|tenant| ask(&reader, tenant));
    settle().await;
    catalog.gate.add_permits(1);
    for answer in both {
        let error = answer.await.expect("no panic").expect_err("it is down");
        assert!(matches!(error, NodeError::StorageRefused(_)), "{error}");
    }
    *catalog.failure.lock() = None;
    catalog.gate.add_permits(1);
    assert!(ask(&reader, "acme").await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn while_a_catalog_is_silent_one_at_a_time_waits_for_it() {
    let catalog = Catalog::new();
    let reader = Arc::new(HeadReader::new(catalog.clone()));
    let began = tokio::time::Instant::now();
    let first = ask(&reader, "acme");
    settle().await;
    // It waits for the next reading, which is not begun.
    for answer in [first, ask(&reader, "blue")] {
        let error = answer.await.expect("no panic").expect_err("no answer");
        assert!(matches!(error, NodeError::NodeUnavailable { .. }), "{error}");
    }
    let waited = began.elapsed();
    assert!((READING_MAX..READING_MAX * 3 / 2).contains(&waited), "{waited:?}");
    assert_eq!(*catalog.readings.lock(), [1]);
    let probe = ask(&reader, "acme");
    settle().await;
    let began = tokio::time::Instant::now();
    ask(&reader, "blue")
        .await
        .expect("no panic")
        .expect_err("refused");
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Once it answers everybody is served.
    catalog.gate.add_permits(3);
    assert!(probe.await.expect("no panic").is_ok());
    assert!(ask(&reader, "blue").await.expect("no panic").is_ok());
}

#[tokio::test]
async fn who_went_away_is_read_for_no_more() {
    let catalog = Catalog::new();
    let reader = Arc::new(HeadReader::new(catalog.clone()));
    let first = ask(&reader, "acme");
    settle().await;
    let gone = ["acme", "blue"].map(|tenant| ask(&reader, tenant));
    settle().await;
    for task in gone {
        task.abort();
    }
    settle().await;
    catalog.gate.add_permits(2);
    first.await.expect("no panic").expect("read");
    settle().await;
    assert_eq!(*catalog.readings.lock(), [1], "nobody waits");
    ask(&reader, "blue").await.expect("no panic").expect("read");
    assert_eq!(*catalog.readings.lock(), [1, 1]);
}

/// Panics, then hangs, then answers.
#[derive(Default)]
struct Broken(Mutex<u32>);

#[async_trait]
impl Heads for Broken {
    async fn read(&self, tenants: &BTreeSet<TenantId>) -> Result<HeadsRead, NodeError> {
        let call = {
            let mut calls = self.0.lock();
            *calls += 1;
            *calls
        };
        assert!(call != 1, "a defect");
        if call == 2 {
            std::future::pending::<()>().await;
        }
        let head = Arc::new(gallery_head(0, u64::from(call)));
        let heads: HashMap<_, _> = tenants
            .iter()
            .map(|id| (id.clone(), Ok(Arc::clone(&head))))
            .collect();
        Ok(heads)
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_breaks_or_never_ends_is_an_error_and_the_next_one_is_another() {
    let reader = HeadReader::new(Broken::default());
    let error = reader.read(&tenant()).await.expect_err("a panic");
    assert!(matches!(error, NodeError::Internal(_)), "{error}");
    let error = reader.read(&tenant()).await.expect_err("it hangs");
    assert!(matches!(error, NodeError::NodeUnavailable { .. }), "{error}");
    let head = reader.read(&tenant()).await.expect("read");
    assert_eq!(head.head.sequence, 3);
}
