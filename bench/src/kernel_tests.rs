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
fn peers_have_what_the_kernel_has() {
    let level = |kernel, is_held| peer_level(kernel, is_held).map(|level| (level.faiss, level.openblas));
    assert_eq!(level("portable", true), Some((Some("NONE"), "Prescott")));
    assert_eq!(level("avx2", false), None, "they may have more");
    for held in [false, true] {
        assert_eq!(level("avx512", held), Some((None, "SkylakeX")));
        assert_eq!(level("amx", held), Some((None, "SkylakeX")));
        assert_eq!(level("neon", held), None, "nobody is held back on AArch64");
    }
}
