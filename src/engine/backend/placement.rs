//! Which rows of a gallery each device is to hold: pure decisions over numbers. Knows no device and moves nothing.
//!
//! A gallery is on one device where it fits; a large one is divided among several by their speed, so that they finish together; what
//! no device has room for is the CPU's, which takes its share by speed as well.

use std::ops::Range;

use super::PART_ROWS;

/// Rows from which on a gallery that would fit on one device is divided among several: below it, handing over costs what is gained.
pub(super) const SPLIT_ROWS_MIN: u32 = 1 << 20;
/// Expected time of a scan now, as a multiple of that after a move, from which on rows are moved.
pub(super) const REBALANCE_GAIN: f64 = 1.25;

/// What a device offers one gallery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seat {
    /// Rows of this gallery that it has room for, those that it holds included; 0 for a device that is not in use.
    pub(super) room: u32,
    /// Bytes that it is to hold of other galleries.
    pub(super) load: u64,
    /// Rows · probes a second.
    pub(super) speed: f64,
}

/// Rows for each seat, disjoint and ascending; the rest, at the end, is the CPU's. Each range begins at a multiple of [`PART_ROWS`]. `now` is
/// what the seats are to hold before this decision: a small gallery stays where it is.
pub(super) fn place(rows: u32, seats: &[Seat], cpu_speed: f64, now: &[Range<u32>]) -> Vec<Range<u32>> {
    let fits = |seat: &&(usize, &Seat)| seat.1.room >= rows;
    let usable = seats
        .iter()
        .filter(|seat| seat.room >= PART_ROWS.min(rows))
        .count();
    if rows < SPLIT_ROWS_MIN || usable <= 1 {
        let seated: Vec<(usize, &Seat)> = seats.iter().enumerate().collect();
        let held = |seat: usize| now.get(seat).map_or(0, ExactSizeIterator::len);
        let best = seated
            .iter()
            .filter(fits)
            .min_by_key(|(at, seat)| (std::cmp::Reverse(held(*at)), seat.load));
        if let Some((best, _)) = best {
            return (0..seats.len())
                .map(|at| if at == *best { 0..rows } else { 0..0 })
                .collect();
        }
    }
    let room: u64 = seats.iter().map(|seat| u64::from(seat.room)).sum();
    let cpu_speed = if room >= u64::from(rows) { 0.0 } else { cpu_speed };
    ranges(&divide(rows, seats, cpu_speed))
}

/// Rows in proportion to speed, none beyond its room, in whole parts but for the end of the gallery. Nothing is left over for a CPU of
/// speed 0 but what parts don't divide or rooms don't hold.
fn divide(rows: u32, seats: &[Seat], cpu_speed: f64) -> Vec<u32> {
    // A part of room is kept for the end of the gallery, which goes to the last device that takes rows.
    let kept = if rows.is_multiple_of(PART_ROWS) {
        0
    } else {
        PART_ROWS
    };
    let reduced = |seat: &Seat| Seat {
        room: (seat.room / PART_ROWS * PART_ROWS).saturating_sub(kept),
        ..*seat
    };
    let seats: &[Seat] = &seats.iter().map(reduced).collect::<Vec<_>>();
    let mut sizes = vec![0; seats.len()];
    let mut open: Vec<usize> = (0..seats.len()).collect();
    let mut left = rows;
    loop {
        let total: f64 = cpu_speed
            + open
                .iter()
                .filter_map(|at| seats.get(*at))
                .map(|s| s.speed)
                .sum::<f64>();
        let share = |seat: &Seat| whole_parts(f64::from(left) * (seat.speed / total));
        // One with less room than its share takes what it can; the others divide the rest anew.
        let tight = open
            .iter()
            .position(|at| seats.get(*at).is_some_and(|seat| seat.room < share(seat)));
        if let Some(position) = tight {
            let at = open.remove(position);
            if let (Some(size), Some(seat)) = (sizes.get_mut(at), seats.get(at)) {
                *size = seat.room;
                left -= *size;
            }
            continue;
        }
        for at in &open {
            if let (Some(size), Some(seat)) = (sizes.get_mut(*at), seats.get(*at)) {
                *size = share(seat);
            }
        }
        break;
    }
    top_up(rows, seats, cpu_speed, &mut sizes);
    sizes
}

/// Gives the rows that rounding left to devices with room for them, unless the CPU takes part: whole parts to the first, the end of the
/// gallery to the one whose range is last.
fn top_up(rows: u32, seats: &[Seat], cpu_speed: f64, sizes: &mut [u32]) {
    if cpu_speed > 0.0 {
        return;
    }
    let left = rows - sizes.iter().sum::<u32>();
    let parts = left / PART_ROWS * PART_ROWS;
    let with_room = sizes
        .iter_mut()
        .zip(seats)
        .find(|(size, seat)| **size > 0 && seat.room - **size >= parts);
    if let Some((size, _)) = with_room {
        *size += parts;
        if let Some(last) = sizes.iter_mut().rfind(|size| **size > 0) {
            *last += left - parts;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is at least 0 and at most all rows"
)]
fn whole_parts(share: f64) -> u32 {
    share as u32 / PART_ROWS * PART_ROWS
}

fn ranges(sizes: &[u32]) -> Vec<Range<u32>> {
    let mut at = 0;
    let range = |size: &u32| {
        if *size == 0 {
            return 0..0;
        }
        // After a size that is no multiple of a part nothing follows: it ends the gallery.
        let range = at..at + size;
        at = range.end;
        range
    };
    sizes.iter().map(range).collect()
}

/// Whether rows should move from `now` to `then`. `settled`: nothing moved for a while.
pub(super) fn worth(
    rows: u32,
    seats: &[Seat],
    cpu_speed: f64,
    (now, then): (&[Range<u32>], &[Range<u32>]),
    settled: bool,
) -> bool {
    if now == then {
        return false;
    }
    let held = |ranges: &[Range<u32>]| ranges.iter().map(ExactSizeIterator::len).sum::<usize>();
    let tight = |(range, seat): (&Range<u32>, &Seat)| range.len() > seat.room as usize;
    if now.iter().zip(seats).any(tight) || (held(then) == rows as usize && held(now) < rows as usize) {
        return true;
    }
    let gain = seconds(rows, seats, cpu_speed, now) / seconds(rows, seats, cpu_speed, then);
    gain >= REBALANCE_GAIN && (settled || held(now) == 0)
}

/// Expected time of a scan with one probe: that of the device that finishes last.
fn seconds(rows: u32, seats: &[Seat], cpu_speed: f64, ranges: &[Range<u32>]) -> f64 {
    let mut left = f64::from(rows);
    let mut last: f64 = 0.0;
    for (range, seat) in ranges.iter().zip(seats) {
        let rows = f64::from(range.end - range.start);
        left -= rows;
        if rows > 0.0 {
            last = last.max(rows / seat.speed);
        }
    }
    last.max(left / cpu_speed)
}

/// What a device holds after its next change on the way from `held` to `goal`, and the rows that it must be given for it: what is not wanted
/// goes first, then at most `rows_max` rows come, behind the others and then before them. `None` when it is there.
pub(super) fn step(held: &Range<u32>, goal: &Range<u32>, rows_max: u32) -> Option<(Range<u32>, Range<u32>)> {
    if held == goal {
        return None;
    }
    let rows_max = (rows_max / PART_ROWS).max(1) * PART_ROWS;
    let kept = held.start.max(goal.start)..held.end.min(goal.end);
    if !held.is_empty() && kept != *held {
        return Some(if kept.is_empty() {
            (0..0, 0..0)
        } else {
            (kept, 0..0)
        });
    }
    let base = if held.is_empty() {
        goal.start..goal.start
    } else {
        kept
    };
    if base.end < goal.end {
        // Whole parts, also behind an end that is none.
        let end = (base.end / PART_ROWS * PART_ROWS)
            .saturating_add(rows_max)
            .min(goal.end);
        return Some((base.start..end, base.end..end));
    }
    let start = base.start.saturating_sub(rows_max).max(goal.start);
    Some((start..base.end, start..base.start))
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
