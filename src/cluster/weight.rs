//! The weight of a node: what it holds in memory, or what it scans in time where that is less. Measures nothing.

/// The codes by which a node gets its share, in MiB, at least 1: `memory_mib`, unless a scan of so many would take longer than it is to take, and then `scanned_mib`, what is scanned in that time.
///
/// Scans are never measured twice alike, and each other weight moves parts between nodes. So a node whose weight was `former` keeps that, as far as its memory goes, where it scans no more than half as much again, nor less than two thirds.
pub fn weigh(memory_mib: u32, scanned_mib: u32, former: Option<u32>) -> u32 {
    let is_near = |former: u32| {
        let (former, scanned) = (u64::from(former), u64::from(scanned_mib));
        2 * former <= 3 * scanned && 2 * scanned <= 3 * former
    };
    let known = former.filter(|former| is_near(*former));
    known.unwrap_or(scanned_mib).min(memory_mib).max(1)
}

#[cfg(test)]
#[path = "weight_tests.rs"]
mod tests;
