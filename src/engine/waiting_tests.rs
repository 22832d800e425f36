//! Tests of who is in the next round.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::*;
use crate::engine::bound::QuantizedProbe;
use crate::engine::samples::{config, dim, rng, unit};
use crate::engine::shared::Shared;
use crate::engine::{EngineError, Scanned};

/// Scans of galleries; each is known by the time at which it came.
struct Line {
    shared: Arc<Shared>,
    waiting: Waiting,
    start: Instant,
    callers: Vec<oneshot::Receiver<Result<Scanned, EngineError>>>,
}

impl Line {
    fn new() -> Self {
        Self {
            shared: Arc::new(Shared::new(&config())),
            waiting: Waiting::default(),
            start: Instant::now(),
            callers: Vec::new(),
        }
    }

    fn push(&mut self, gallery: u64, name: u64, deadline_seconds: Option<u64>) {
        let id = GalleryId(gallery);
        self.shared.open_gallery(id, dim(32));
        let line = self.shared.gallery(id).expect("open");
        let (reply, answer) = oneshot::channel();
        self.callers.push(answer);
        let probe = QuantizedProbe::new(&unit(32, &mut rng(1)).into(), dim(32), 0.5, None).expect("a probe");
        self.waiting.push(ScanJob {
            gallery: id,
            probe: Arc::new(probe),
            since: self.start + Duration::from_millis(name),
            deadline: deadline_seconds.map(|seconds| self.start + Duration::from_secs(seconds)),
            reply,
            ticket: self.shared.ticket(&line, None).expect("room"),
        });
    }

    fn name(&self, scan: &ScanJob) -> u64 {
        u64::try_from((scan.since - self.start).as_millis()).expect("small")
    }

    /// Galleries and names of the next round.
    fn round(&mut self, scans_max: usize) -> Vec<(u64, Vec<u64>)> {
        let round = self.waiting.take_round(scans_max, |_, _, _| true);
        let of = |batch: &Vec<ScanJob>| {
            let gallery = batch.first().expect("not empty").gallery.0;
            (gallery, batch.iter().map(|scan| self.name(scan)).collect())
        };
        round.iter().map(of).collect()
    }
}

#[test]
fn all_go_together_where_there_is_room() {
    let mut line = Line::new();
    for name in 0..6 {
        line.push(name % 2, name, None);
    }
    assert_eq!(line.round(8), [(0, vec![0, 2, 4]), (1, vec![1, 3, 5])]);
    assert!(line.waiting.is_empty());
    assert_eq!(line.round(8), []);
}

#[test]
fn a_gallery_with_many_scans_leaves_others_their_share() {
    let mut line = Line::new();
    for name in 0..100 {
        line.push(0, name, None);
    }
    for name in 100..103 {
        line.push(1, name, None);
    }
    for name in 110..114 {
        line.push(2, name, None);
    }
    assert_eq!(
        line.round(9),
        [
            (0, vec![0, 1, 2]),
            (1, vec![100, 101, 102]),
            (2, vec![110, 111, 112])
        ]
    );
    // What the others don't need is not left empty.
    assert_eq!(line.round(9), [(0, (3..11).collect()), (2, vec![113])]);
}

#[test]
fn galleries_that_found_no_room_come_first_the_next_time() {
    let mut line = Line::new();
    for gallery in 0..5 {
        line.push(gallery, gallery, None);
        line.push(gallery, gallery + 10, None);
    }
    assert_eq!(line.round(2), [(0, vec![0]), (1, vec![1])]);
    assert_eq!(line.round(2), [(2, vec![2]), (3, vec![3])]);
    assert_eq!(line.round(2), [(4, vec![4]), (0, vec![10])]);
    assert_eq!(line.round(2), [(1, vec![11]), (2, vec![12])]);
}

#[test]
fn whose_deadline_is_nearest_goes_first() {
    let mut line = Line::new();
    line.push(0, 1, None);
    line.push(0, 2, Some(3_600));
    line.push(0, 3, Some(5));
    line.push(0, 4, Some(1));
    // One that would wait for an hour is served like one that says nothing.
    assert_eq!(line.round(3), [(0, vec![4, 3, 1])]);
    line.push(0, 5, None);
    assert_eq!(line.round(1), [(0, vec![2])]);
}

#[test]
fn whoever_waits_no_longer_is_taken_out_wherever_it_stands() {
    let mut line = Line::new();
    line.push(0, 1, Some(2));
    line.push(0, 2, Some(1));
    line.push(0, 3, None);
    line.push(1, 4, Some(1));
    let late = line.waiting.take_late(line.start + Duration::from_secs(1));
    let mut names: Vec<u64> = late.iter().map(|scan| line.name(scan)).collect();
    names.sort_unstable();
    assert_eq!(names, [2, 4]);
    assert_eq!(line.round(8), [(0, vec![1, 3])]);
}

#[test]
fn who_has_hung_up_is_dropped() {
    let mut line = Line::new();
    for name in 0..3 {
        line.push(0, name, None);
    }
    drop(line.callers.remove(1));
    assert!(line.waiting.take_late(line.start).is_empty());
    assert_eq!(line.round(8), [(0, vec![0, 2])]);
    assert_eq!(line.shared.waiting(), 0);
}

#[test]
fn a_round_ends_where_it_gets_too_long_for_others_and_who_found_no_room_is_first_then() {
    let mut line = Line::new();
    for name in 0..6 {
        line.push(name / 2, name, None);
    }
    let round = |line: &mut Line| {
        let round = line.waiting.take_round(8, |_, scans, _| scans <= 3);
        round
            .iter()
            .flatten()
            .map(|scan| line.name(scan))
            .collect::<Vec<_>>()
    };
    assert_eq!(round(&mut line), [0, 1, 2]);
    assert_eq!(round(&mut line), [4, 5, 3]);
    // As long as others asked lately: they may come again while it runs.
    for name in 6..12 {
        line.push(0, name, None);
    }
    assert_eq!(round(&mut line), [6, 7, 8]);
    assert_eq!(round(&mut line), [9, 10, 11]);
    // Alone it may be as long as it likes.
    for name in 2_000..2_006 {
        line.push(0, name, None);
    }
    assert_eq!(round(&mut line), [2_000, 2_001, 2_002, 2_003, 2_004, 2_005]);
}

#[test]
fn shares_fill_the_room_and_are_fair() {
    assert_eq!(fair_share(vec![], 8), 8);
    assert_eq!(fair_share(vec![3], 8), 8);
    assert_eq!(fair_share(vec![100], 8), 8);
    assert_eq!(fair_share(vec![100, 1], 8), 7);
    assert_eq!(fair_share(vec![100, 100, 100], 8), 3);
    assert_eq!(fair_share(vec![2, 100, 1, 100], 9), 3);
}
