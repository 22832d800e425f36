//! Tests of who finds a place in the queue.

use super::*;
use crate::engine::samples::{config, dim};

const MS: Duration = Duration::from_millis(1);
/// How many times as large a round is learned from.
const SCALE: u32 = 1_000;

struct Room {
    shared: Arc<Shared>,
    tickets: Vec<Ticket>,
}

impl Room {
    /// Room for 10 probes a round and 90 in the queue.
    fn new() -> Self {
        let config = EngineConfig {
            batch_max: 10,
            queue_max: 90,
            wait_ms_max: 250,
            ..config()
        };
        let shared = Arc::new(Shared::new(&config));
        for id in 0..3 {
            shared.open_gallery(GalleryId(id), dim(32));
        }
        Self {
            shared,
            tickets: Vec::new(),
        }
    }

    /// Rounds of 10 probes take so long.
    fn at_pace(self, round: Duration) -> Self {
        // So large a round that what a round takes by itself is nothing.
        self.shared.pace.learn(10, u64::MAX >> 16, round * SCALE);
        for id in 0..3 {
            self.shared
                .set_bytes(GalleryId(id), (u64::MAX >> 16) / 10 / u64::from(SCALE));
        }
        self
    }

    fn ask(&mut self, gallery: u64, deadline: Option<Duration>) -> Result<(), EngineError> {
        let line = self.shared.gallery(GalleryId(gallery)).expect("open");
        let deadline = deadline.map(|left| Instant::now() + left);
        self.tickets.push(self.shared.ticket(&line, deadline)?);
        Ok(())
    }

    /// How many scans of a gallery find a place.
    fn fill(&mut self, gallery: u64) -> (usize, EngineError) {
        for taken in 0..1_000 {
            if let Err(refusal) = self.ask(gallery, None) {
                return (taken, refusal);
            }
        }
        panic!("no limit");
    }
}

#[test]
fn one_gallery_leaves_places_for_others() {
    let mut room = Room::new();
    assert_eq!(room.fill(0), (80, EngineError::QueueFull { max: 90 }));
    assert!(room.fill(1).0 >= 8);
    assert!(room.fill(2).0 >= 1);
    room.tickets.clear();
    assert_eq!(room.fill(1).0, 80, "places were given back");
}

#[test]
fn the_expected_wait_bounds_the_queue() {
    let mut room = Room::new().at_pace(100 * MS);
    let (taken, refusal) = room.fill(0);
    assert_eq!(taken, 24, "as many as take 250 ms");
    let text = refusal.to_string();
    assert!(
        matches!(refusal, EngineError::QueueLong { max, .. } if max == 250 * MS),
        "{text}"
    );
    assert!(
        text.contains("engine.wait_ms_max") && text.contains("250 ms"),
        "{text}"
    );
    // Whoever has few before it is served before them.
    assert!(room.fill(1).0 >= 10);
}

#[test]
fn a_full_round_may_wait_however_long_it_takes() {
    let mut room = Room::new().at_pace(10_000 * MS);
    assert_eq!(room.fill(0).0, 10);
}

#[test]
fn a_deadline_that_cant_be_met_is_refused_at_once() {
    let mut room = Room::new().at_pace(100 * MS);
    // Nothing waits: it is tried.
    assert_eq!(room.ask(0, Some(MS)), Ok(()));
    for _ in 1..10 {
        room.ask(0, None).expect("a place");
    }
    assert_eq!(room.ask(0, Some(1_000 * MS)), Ok(()));
    let refusal = room.ask(0, Some(90 * MS)).expect_err("refused");
    assert!(matches!(refusal, EngineError::TooLate { wait } if wait > 100 * MS && wait < 150 * MS));
    // Of another gallery one is served before it.
    assert_eq!(room.ask(1, Some(90 * MS)), Ok(()));
}

#[test]
fn a_part_of_the_time_until_a_deadline_is_not_for_waiting() {
    let mut room = Room::new().at_pace(400 * MS);
    for _ in 0..9 {
        room.ask(0, None).expect("a place");
    }
    // The tenth is expected after 400 ms.
    let refusal = room
        .ask(0, Some(500 * MS))
        .expect_err("333 ms of it are for waiting");
    assert!(matches!(refusal, EngineError::TooLate { .. }), "{refusal}");
    assert_eq!(room.ask(0, Some(700 * MS)), Ok(()), "467 ms");
}

#[test]
fn a_flood_of_one_large_gallery_lets_small_ones_in() {
    let mut room = Room::new().at_pace(100 * MS);
    let large = room.shared.gallery(GalleryId(0)).expect("open").bytes() * 20;
    room.shared.set_bytes(GalleryId(0), large);
    assert_eq!(room.fill(0).0, 10, "one round, of two seconds");
    assert_eq!(
        room.ask(1, Some(500 * MS)),
        Ok(()),
        "one of the large ones is before it"
    );
    assert!(room.ask(0, Some(500 * MS)).is_err());
}

#[test]
fn many_galleries_are_not_expected_at_the_pace_of_one() {
    let share = |galleries: u64| {
        let mut room = Room::new().at_pace(100 * MS);
        // Batches of one take three times as long for each.
        room.shared.pace.learn(1, u64::MAX >> 16, 300 * MS * SCALE);
        for gallery in 1..galleries {
            room.ask(gallery, None).expect("room");
        }
        room.fill(0).0
    };
    assert_eq!(
        (share(1), share(3)),
        (24, 8),
        "250 ms of large batches; one round of small ones"
    );
}

#[test]
fn galleries_that_nobody_waits_for_are_not_looked_through() {
    let mut room = Room::new();
    let busy = |room: &Room| room.shared.busy.read().len();
    for gallery in [0, 2, 2] {
        room.ask(gallery, None).expect("room");
    }
    assert_eq!(busy(&room), 2);
    room.tickets.pop();
    assert_eq!(busy(&room), 2, "one of its two is left");
    room.tickets.clear();
    assert_eq!(busy(&room), 0);
}

#[test]
fn however_many_come_and_go_at_once_it_is_known_who_waits() {
    let room = Room::new();
    let line = room.shared.gallery(GalleryId(1)).expect("open");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    drop(room.shared.ticket(&line, None).expect("room"));
                }
            });
        }
    });
    assert_eq!(room.shared.busy.read().len(), 0);
    let _stays = room.shared.ticket(&line, None).expect("room");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    drop(room.shared.ticket(&line, None).expect("room"));
                    assert!(room.shared.busy.read().contains_key(&GalleryId(1)));
                }
            });
        }
    });
}
