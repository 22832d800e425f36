//! Tests of the settings: limits, kernel choice, spelling.

use super::*;

#[test]
fn defaults_pass_and_zero_is_refused_by_name() {
    assert_eq!(EngineConfig::default().check(), Ok(()));
    let config = EngineConfig {
        batch_max: 0,
        ..EngineConfig::default()
    };
    let refusal = config.check().expect_err("refused").to_string();
    assert_eq!(refusal, "engine.batch_max is 0; 1 to 1024 are allowed");
}

#[test]
fn the_configuration_wins_over_the_variable() {
    assert_eq!(
        Kernel::choose(Some(Kernel::Portable), Some("nonsense")),
        Ok(Kernel::Portable)
    );
    assert_eq!(Kernel::choose(None, Some("portable")), Ok(Kernel::Portable));
    let best = Kernel::choose(None, None).expect("there is one");
    assert!(best.is_supported());
    assert_eq!(Kernel::choose(None, Some("")), Ok(best));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_emulated_kernel_is_never_the_best() {
    let best = Kernel::choose(None, None).expect("there is one");
    assert_eq!(
        best == Kernel::Amx,
        Kernel::Amx.is_supported() && amx::is_native()
    );
}

#[test]
fn an_unknown_kernel_is_named() {
    let refusal = Kernel::choose(None, Some("sse9"))
        .expect_err("refused")
        .to_string();
    assert!(
        refusal.contains("sse9") && refusal.contains("portable"),
        "{refusal}"
    );
}

#[test]
fn names_are_those_of_the_configuration() {
    for kernel in Kernel::ALL {
        assert_eq!(serde_json::json!(kernel), kernel.name());
    }
    let config: EngineConfig =
        serde_json::from_str(r#"{"backend": "gpu", "lock_memory": "require"}"#).expect("valid");
    assert_eq!(
        (config.backend, config.lock_memory),
        (BackendChoice::Gpu, LockMemory::Require)
    );
    assert!(serde_json::from_str::<EngineConfig>(r#"{"threds": 2}"#).is_err());
}
