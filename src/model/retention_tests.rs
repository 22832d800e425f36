//! Tests of who is due.

use super::*;

const HOUR: i64 = 3_600_000_000;

fn due(idle_days_max: Option<u32>, consent_end: bool, hours: i64) -> Due {
    Due {
        retention: Retention {
            idle_days_max,
            consent_end,
        },
        as_of: Timestamp(hours * HOUR),
    }
}

#[test]
fn nothing_is_due_unless_it_was_asked_for() {
    let off = due(None, false, 100);
    assert!(off.retention.is_off());
    assert_eq!((off.consent_ended_by(), off.idle_since()), (None, None));
    assert_eq!(
        due(None, true, 100).consent_ended_by(),
        Some(Timestamp(100 * HOUR))
    );
    assert_eq!(due(Some(2), false, 100).idle_since(), Some(Timestamp(51 * HOUR)));
}

#[test]
fn the_earlier_clock_counts() {
    let asked = due(Some(1), true, 100);
    assert_eq!(asked.no_later_than(Timestamp(200 * HOUR)), asked);
    assert_eq!(asked.no_later_than(Timestamp(50 * HOUR)), due(Some(1), true, 50));
}
