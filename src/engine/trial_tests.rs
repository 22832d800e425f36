//! Tests of the trial.

use super::super::samples::config;
use super::*;

#[test]
fn a_trial_finds_a_speed_whatever_room_there_is_for_palms() {
    for resident_bytes_max in [1, 64 << 30] {
        let config = EngineConfig {
            resident_bytes_max,
            ..config()
        };
        let speed = bytes_per_second(&config).expect("found");
        // A disk is faster than the first, and no memory as fast as the second.
        assert!((10 << 20..1 << 50).contains(&speed), "{speed}");
    }
}

#[test]
fn a_trial_of_an_engine_that_would_not_start_is_refused() {
    let config = EngineConfig {
        threads: 0,
        ..config()
    };
    let refused = bytes_per_second(&config).expect_err("no thread");
    assert!(
        matches!(
            refused,
            EngineError::Config {
                field: "engine.threads",
                ..
            }
        ),
        "{refused}"
    );
}
