//! cargo-fuzz: `image` of tests/fuzz/targets.rs. No logic of its own.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (targets::target("image").run)(bytes);
});
