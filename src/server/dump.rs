//! Keeps a server's memory out of core dumps and from debuggers of the same user. Hides nothing from root.

/// Forbids core dumps of this process, for all of its life.
pub fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        // The limit is not asked where dumps are handed to a program; that program is not started for what is not dumpable.
        let outcome =
            set_dumpable_behavior(DumpableBehavior::NotDumpable).and(setrlimit(Resource::Core, none));
        if let Err(error) = outcome {
            tracing::warn!(%error, "core dumps can't be forbidden; set RLIMIT_CORE to 0 for this process");
        }
    }
}
