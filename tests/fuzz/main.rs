//! The bounded run of the fuzz targets: every saved input and a few thousand mutations of them, each within its bound of memory. cargo-fuzz goes on from there.
//!
//! `THENAR_WRITE_CORPUS=1 cargo test --test fuzz corpus` writes the valid inputs anew, with the code under test.

mod allocator;
mod corpus;
mod mutate;
mod pictures;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use allocator::measure;
use mutate::Mutator;
use targets::{TARGETS, Target, target};

/// Mutations of a target.
const ROUNDS: usize = 3_000;
/// Where they begin. Another number gives other mutations.
const SEED: u64 = 20_261_127;

/// Targets that may take nothing but what was written.
const AUTHENTICATED: [&str; 3] = ["segment", "mark", "keyring"];

/// What a reader may take, in bytes: so much for any input and so much for each byte of it.
struct Bound {
    fixed: usize,
    each: usize,
}

fn bound(target: &str) -> Bound {
    let (fixed, each) = match target {
        // Two buffers: a block or the file, and what is made of it.
        "segment" | "mark" => (32 << 10, 2),
        "keyring" | "receipt" => (32 << 10, 16),
        // Rows are read a mebibyte at a time, however few there are.
        "npy" => ((1 << 20) + (64 << 10), 4),
        // A mutated header may claim what the limit on pixels allows, and a file of a few bytes may hold it all: a row
        // of zeros packs to nothing. Two buffers of four bytes a pixel and the decoder's own.
        "image" => (400 << 20, 0),
        "config" => (256 << 10, 600),
        // An empty signature takes two bytes and becomes 136, and a list that grows is there twice.
        "public_request" | "match_request" => (32 << 10, 300),
        other => panic!("{other} has no bound"),
    };
    Bound { fixed, each }
}

fn saved(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = corpus::folder(target.name);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has inputs", dir.display());
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("readable");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Gives a target an input and holds it to its bound; whether it took it.
fn hold(target: &Target, origin: &str, bytes: &[u8]) -> bool {
    let (outcome, taken) = measure(|| catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))));
    let Bound { fixed, each } = bound(target.name);
    let most = fixed + each * bytes.len();
    let told = || {
        let path = std::env::temp_dir().join(format!("thenar-fuzz-{}", target.name));
        std::fs::write(&path, bytes).expect("written");
        format!(
            "{} on {origin} (seed {SEED}), kept as {}",
            target.name,
            path.display()
        )
    };
    assert!(taken.peak <= most, "{}: {taken:?}; at most {most} bytes", told());
    assert!(taken.pieces <= 4_096 + 8 * bytes.len(), "{}: {taken:?}", told());
    outcome.unwrap_or_else(|_| panic!("{} panics", told()))
}

fn run(name: &str) {
    let target = target(name);
    let inputs = saved(target);
    let mut taken = 0;
    for (path, bytes) in &inputs {
        let valid = hold(target, &path.display().to_string(), bytes);
        let file = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(valid, !file.starts_with("bad-"), "{}", path.display());
    }
    let mut mutator = Mutator::new(SEED);
    for round in 0..ROUNDS {
        let (path, bytes) = &inputs[mutator.below(inputs.len())];
        let (_, other) = &inputs[mutator.below(inputs.len())];
        let mutated = mutator.mutate(bytes, other);
        let origin = format!("mutation {round} of {}", path.display());
        let is_taken = hold(target, &origin, &mutated);
        taken += usize::from(is_taken);
        let is_saved = inputs.iter().any(|(_, input)| *input == mutated);
        assert!(
            !is_taken || is_saved || !AUTHENTICATED.contains(&name),
            "{name} takes {origin}"
        );
    }
    println!(
        "{name}: {} inputs, {ROUNDS} mutations, {taken} of them taken, seed {SEED}",
        inputs.len()
    );
}

macro_rules! runs {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_target_is_run_and_has_a_target_of_cargo_fuzz() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
            let manifest = include_str!("../../fuzz/Cargo.toml");
            for name in names {
                assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name}");
            }
        }
    };
}

runs! { segment mark keyring npy image config receipt public_request match_request }

#[test]
fn a_piece_that_is_taken_is_counted() {
    let (kept, taken) = measure(|| vec![0_u8; 1 << 20]);
    assert_eq!(kept.len(), 1 << 20);
    assert!(taken.largest >= 1 << 20 && taken.peak >= 1 << 20, "{taken:?}");
}
