//! Settings of the engine and the relations between its limits. Reads no file; the one environment variable is `THENAR_KERNEL`.

use serde::{Deserialize, Serialize};

#[cfg(target_arch = "x86_64")]
use super::cpu::refine::amx;
use super::error::EngineError;

/// Environment variable that forces a CPU kernel where the configuration doesn't.
pub const KERNEL_VARIABLE: &str = "THENAR_KERNEL";
/// Most threads of the CPU scan.
const THREADS_MAX: usize = 1_024;
/// Most probes of one batch.
const BATCH_MAX_MAX: usize = 1_024;
/// Probability that the signs dismiss a reference at or above the threshold, unless configured otherwise.
pub const MISS_PROBABILITY: f64 = 1e-9;
/// The largest that may be configured.
const MISS_PROBABILITY_MAX: f64 = 0.1;
/// Most scans that may wait.
const QUEUE_MAX_MAX: usize = 1_048_576;

/// Where scans run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendChoice {
    /// The best hardware GPU, else the CPU. Never a software adapter.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, be it a software one such as lavapipe; an error if there is none.
    Gpu,
}

/// Instruction set of the CPU kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// Plain Rust.
    Portable,
    /// Advanced SIMD of AArch64, with dot products.
    Neon,
    /// AVX2.
    Avx2,
    /// AVX-512 with BW, VBMI and VNNI.
    Avx512,
    /// AMX int8 beside AVX-512.
    Amx,
}

impl Kernel {
    /// All kernels, best first.
    pub const ALL: [Kernel; 5] = [
        Kernel::Amx,
        Kernel::Avx512,
        Kernel::Avx2,
        Kernel::Neon,
        Kernel::Portable,
    ];

    /// Name as in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }

    /// Whether this processor runs it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => {
                cfg!(target_endian = "little")
                    && std::arch::is_aarch64_feature_detected!("neon")
                    && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Self::Avx512.is_supported() && amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Amx => false,
        }
    }

    /// The configured kernel, else the one `variable` (the value of [`KERNEL_VARIABLE`]) names, else the best supported.
    pub(super) fn choose(configured: Option<Kernel>, variable: Option<&str>) -> Result<Kernel, EngineError> {
        let named = match (configured, variable) {
            (Some(kernel), _) => Some(kernel),
            (None, Some(name)) if !name.is_empty() => {
                let known = Self::ALL.into_iter().find(|kernel| kernel.name() == name);
                Some(known.ok_or_else(|| EngineError::KernelUnsupported(name.to_owned()))?)
            }
            _ => None,
        };
        match named {
            Some(kernel) if kernel.is_supported() => Ok(kernel),
            Some(kernel) => Err(EngineError::KernelUnsupported(kernel.name().to_owned())),
            None => Ok(Self::ALL
                .into_iter()
                .find(|kernel| kernel.is_native())
                .expect("the portable kernel runs everywhere")),
        }
    }

    /// Whether this processor runs it without help. Tests emulate AMX where there is none, and only those that name it.
    fn is_native(self) -> bool {
        #[cfg(all(test, target_arch = "x86_64"))]
        if self == Self::Amx && !amx::is_native() {
            return false;
        }
        self.is_supported()
    }
}

/// Whether codes are locked in memory and kept out of core dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMemory {
    /// Refuse rows that can't be locked.
    Require,
    /// Lock; where the system refuses, warn once and go on unlocked.
    #[default]
    Prefer,
    /// Don't lock.
    Off,
}

/// Settings of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Where scans run.
    pub backend: BackendChoice,
    /// Threads of a CPU scan.
    pub threads: usize,
    /// Kernel of a CPU scan; the best supported one where absent.
    pub kernel: Option<Kernel>,
    /// Most probes of one batch.
    pub batch_max: usize,
    /// Most scans that wait or run; the next one is refused.
    pub queue_max: usize,
    /// Longest expected wait of a scan, in milliseconds; the next one is refused. A full round may always wait.
    pub wait_ms_max: u64,
    /// Most bytes of codes in host memory.
    pub resident_bytes_max: u64,
    /// Whether codes are locked in memory.
    pub lock_memory: LockMemory,
    /// Probability, for each reference at or above the threshold, that the signs of its coordinates dismiss it. Above 0, at most 0.1.
    pub miss_probability: f64,
    /// Whether the CPU keeps the signs a second time, in the order in which stage 1 reads them: D/8 + 2 bytes a row more. Without them no scan begins with stage 1.
    pub sign_plane: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            backend: BackendChoice::Auto,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: None,
            batch_max: 64,
            queue_max: 4_096,
            wait_ms_max: 100,
            resident_bytes_max: 64 << 30,
            lock_memory: LockMemory::Prefer,
            miss_probability: MISS_PROBABILITY,
            sign_plane: true,
        }
    }
}

impl EngineConfig {
    /// Checks every limit.
    pub fn check(&self) -> Result<(), EngineError> {
        for (field, value, max) in [
            ("engine.threads", self.threads, THREADS_MAX),
            ("engine.batch_max", self.batch_max, BATCH_MAX_MAX),
            ("engine.queue_max", self.queue_max, QUEUE_MAX_MAX),
        ] {
            if !(1..=max).contains(&value) {
                return Err(EngineError::Config { field, value, max });
            }
        }
        let p = self.miss_probability;
        if !(p > 0.0 && p <= MISS_PROBABILITY_MAX) {
            return Err(EngineError::MissProbability {
                value: p.to_string(),
                max: MISS_PROBABILITY_MAX.to_string(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
