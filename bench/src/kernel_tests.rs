//! Tests of kernel names and the peers' levels.

use super::*;

#[test]
fn every_kernel_is_found_by_its_name() {
    for kernel in Kernel::ALL {
        assert_eq!(parse(kernel.name()), Ok(kernel));
    }
}

#[test]
fn an_unknown_kernel_is_refused_with_the_names_there_are() {
    let problem = parse("sse9").expect_err("no such kernel");
    assert!(
        problem.contains("portable") && problem.contains("avx2"),
        "{problem}"
    );
}

#[test]
fn the_portable_kernel_meets_peers_without_vectors() {
    assert_eq!(peer_level("portable").map(|level| level.faiss), Some("NONE"));
    assert_eq!(peer_level("avx512"), None, "the peers have nothing beyond it");
    assert_eq!(peer_level("neon"), None, "nobody is held back on AArch64");
}
