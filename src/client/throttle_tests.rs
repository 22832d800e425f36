//! Tests of what a client holds back: nothing while it is answered, however late, most of what is refused otherwise, and nothing again soon after.

use std::collections::VecDeque;

use super::*;

/// Calls that the server lets wait.
const QUEUE: u32 = 20;

/// A server that takes so many calls of each hundred that are wanted and answers after some time, and who asks it. Time is played: calls end by the clock of the last one that began.
struct Played {
    throttle: Arc<Throttle>,
    begun: Instant,
    millis: u32,
    room: u32,
    under_way: VecDeque<(u32, Admitted)>,
}

impl Played {
    fn new() -> Self {
        Self::with_room(100 * QUEUE)
    }

    /// The queue of a server that others keep full has none.
    fn with_room(room: u32) -> Self {
        let begun = Instant::now();
        Self {
            throttle: Arc::default(),
            begun,
            millis: 0,
            room,
            under_way: VecDeque::new(),
        }
    }

    /// A call each millisecond. Those that were sent and taken.
    fn play(&mut self, seconds: u32, taken_of_hundred: u32, answered_after_ms: u32) -> (u32, u32) {
        let (mut sent, mut taken) = (0, 0);
        for _ in 0..seconds * 1_000 {
            self.millis += 1;
            while let Some((_, call)) = self.under_way.pop_front_if(|(at, _)| *at <= self.millis) {
                call.accepted();
            }
            self.room = (self.room + taken_of_hundred).min(100 * QUEUE);
            let now = self.begun + self.millis * Duration::from_millis(1);
            let Some(call) = self.throttle.admit_at(now) else {
                continue;
            };
            sent += 1;
            if self.room >= 100 {
                self.room -= 100;
                taken += 1;
                self.under_way.push_back((self.millis + answered_after_ms, call));
            }
        }
        (sent, taken)
    }
}

#[test]
fn whoever_is_answered_holds_nothing_back_however_late() {
    for late in [0, 1, 100, 400] {
        assert_eq!(Played::new().play(5, 100, late), (5_000, 5_000), "{late} ms");
    }
}

#[test]
fn a_few_refusals_are_no_reason_to_hold_back() {
    let (sent, taken) = Played::new().play(20, 85, 100);
    assert!(sent >= 19_800, "{sent} of 20000 were sent");
    assert!(taken >= 16_800, "{taken} were taken");
}

#[test]
fn whoever_begins_with_refusals_that_come_sooner_than_answers_asks_on() {
    for late in [100, 400] {
        let mut played = Played::with_room(0);
        let (sent, _) = played.play(2, 85, late);
        assert!(sent >= 1_500, "{sent} of 2000 were sent, {late} ms");
        let (sent, _) = played.play(10, 85, late);
        assert!(sent >= 9_900, "{sent} of 10000 were sent later, {late} ms");
    }
}

#[test]
fn of_five_times_what_is_taken_half_as_much_again_is_sent() {
    let mut played = Played::new();
    played.play(10, 20, 100);
    let (sent, taken) = played.play(20, 20, 100);
    assert!((3_900..=4_000).contains(&taken), "{taken} of 4000 were taken");
    assert!((5_600..=6_400).contains(&sent), "{sent} were sent");
    // The server has room again.
    played.play(15, 100, 100);
    assert_eq!(played.play(5, 100, 100), (5_000, 5_000));
}

#[test]
fn a_server_that_takes_nothing_is_still_asked_now_and_then() {
    let mut played = Played::new();
    let (sent, _) = played.play(60, 0, 0);
    assert!((10..=200).contains(&sent), "{sent} of 60000 were sent");
    played.play(40, 100, 100);
    assert_eq!(played.play(5, 100, 100), (5_000, 5_000), "and found again");
}

#[test]
fn somebody_who_asks_seldom_is_held_back_too() {
    let throttle: Arc<Throttle> = Arc::default();
    let begun = Instant::now();
    let sent = (1..=200_u32).filter(|number| {
        // Refused at once, every two seconds.
        let now = begun + *number * Duration::from_secs(2);
        throttle.admit_at(now).is_some()
    });
    let sent = sent.count();
    assert!((100..=180).contains(&sent), "{sent} of 200");
}
