//! Tests of how the system's files are read.

use super::*;

const CPUINFO: &str =
    "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f amx_int8\n";

#[test]
fn the_processor_is_described() {
    assert_eq!(field(CPUINFO, "model name"), Some("Some CPU @ 2 GHz"));
    assert_eq!(flags(CPUINFO), ["avx2", "avx512f", "amx_int8"]);
    assert_eq!(flags(""), [""; 0]);
}

#[test]
fn sizes_have_units() {
    assert_eq!(size("48K"), Some(48 << 10));
    assert_eq!(size("105M"), Some(105 << 20));
    assert_eq!(size("many"), None);
}

#[test]
fn memory_is_in_kibibytes() {
    assert_eq!(kibibytes("MemTotal:       1024 kB\n", "MemTotal"), Some(1_024.0));
    assert_eq!(kibibytes("MemTotal: 1 GB\n", "MemTotal"), None);
}

#[test]
fn the_flushed_buffer_is_twice_the_cache_at_least() {
    let mut machine = Machine::this();
    machine.cache_mib = Some(400);
    assert_eq!(machine.flush_bytes(), 800 << 20);
    machine.cache_mib = None;
    assert_eq!(machine.flush_bytes(), CACHE_BYTES_UNKNOWN);
}

#[test]
fn busy_is_what_was_not_idle_since() {
    let then = times_of("cpu  10 0 10 70 10 0 0 0 5 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n").expect("a line");
    let now = times_of("cpu  40 0 30 100 30 0 0 0 9 9\n").expect("a line");
    assert!((now.busy_since(then) - 0.5).abs() < 1e-9, "{then:?} {now:?}");
    assert!(times_of("cpu0 1 1 1 1 1\n").is_none());
}
