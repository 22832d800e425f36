//! Why the engine did not do what it was asked. Holds no probe and no code.

use std::time::Duration;

use thiserror::Error;

use crate::model::reject::Rejected;

use super::gallery::GalleryId;

/// Why the engine did not do what it was asked. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EngineError {
    /// Too many scans are waiting.
    #[error("engine.queue_max is reached: {max} scans are waiting; try again later or raise it")]
    QueueFull {
        /// The limit.
        max: usize,
    },
    /// The scans that wait would take too long.
    #[error("engine.wait_ms_max is reached: one more scan would wait {} ms, {} ms are allowed; try again later or add a node", wait.as_millis(), max.as_millis())]
    QueueLong {
        /// How long one more would wait.
        wait: Duration,
        /// The limit.
        max: Duration,
    },
    /// The caller may have stopped waiting before it is answered: the scans that wait take more than two thirds of the time.
    #[error("the deadline can't be met: one more scan would wait {} ms, more than two thirds of the time that is left; try again later", wait.as_millis())]
    TooLate {
        /// How long it would wait.
        wait: Duration,
    },
    /// The codes would not fit.
    #[error(
        "engine.resident_bytes_max is reached: {needed} bytes are needed, {max} are allowed; raise it or add a node"
    )]
    MemoryFull {
        /// Bytes all galleries would take.
        needed: u64,
        /// The limit.
        max: u64,
    },
    /// The operating system gave no memory or no thread.
    #[error("the system refuses memory for codes: {0}")]
    Memory(String),
    /// The operating system refuses to lock memory, and locking is required.
    #[error(
        "the system refuses to lock {bytes} bytes of codes: {reason}; raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) or set engine.lock_memory to prefer"
    )]
    MemoryLock {
        /// Bytes that were to be locked.
        bytes: usize,
        /// The system's words.
        reason: String,
    },
    /// Row numbers have 32 bits.
    #[error("a gallery holds {max} rows at most; {needed} are needed")]
    GalleryFull {
        /// Rows the gallery would have.
        needed: u64,
        /// The limit.
        max: u32,
    },
    /// The caller's deadline has passed.
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// No such gallery, or it was closed.
    #[error("{0} is not open")]
    GalleryUnknown(GalleryId),
    /// A row that was never appended.
    #[error("row {row} is not in the gallery, which has {rows} rows")]
    RowUnknown {
        /// The row.
        row: u32,
        /// Rows appended so far.
        rows: u32,
    },
    /// A refused input.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
    /// A GPU was asked for and there is none that can be used.
    #[error("no Vulkan adapter: install mesa-vulkan-drivers or set engine.backend to cpu ({0})")]
    NoAdapter(String),
    /// The named kernel is unknown or this processor doesn't run it.
    #[error(
        "kernel {0} is not one that this processor runs; use amx, avx512, avx2, neon or portable, or leave it out"
    )]
    KernelUnsupported(String),
    /// A probability out of its range.
    #[error("engine.miss_probability is {value}; above 0 and at most {max} is allowed")]
    MissProbability {
        /// Its value.
        value: String,
        /// The largest value.
        max: String,
    },
    /// A setting out of its range.
    #[error("{field} is {value}; 1 to {max} are allowed")]
    Config {
        /// Path of the setting.
        field: &'static str,
        /// Its value.
        value: usize,
        /// The largest value.
        max: usize,
    },
}
