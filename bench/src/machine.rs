//! What the figures were measured on: processor, memory, commit. Reads /proc and /sys; where a line is missing it says so.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// Features that decide which kernels run, as /proc/cpuinfo names them.
const FLAGS: [&str; 11] = [
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_vpopcntdq",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
];
/// Assumed where the system doesn't tell the size of its last-level cache.
const CACHE_BYTES_UNKNOWN: usize = 256 << 20;

/// Most that is touched to empty the caches: what a virtual machine reports may be the whole host's.
const FLUSH_BYTES_MAX: usize = 1 << 30;

/// A machine and the program on it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Logical processors that this process may use.
    pub cores: usize,
    /// Those it has of the ones that matter to a search.
    pub flags: Vec<String>,
    /// Memory, in GiB.
    pub memory_gib: f64,
    /// Last-level cache, in MiB; none where the system doesn't tell.
    pub cache_mib: Option<usize>,
    /// Kernel of the operating system.
    pub os: String,
    /// Commit of thenar, with `-dirty` where files were changed.
    pub commit: String,
}

impl Machine {
    /// Looks at this machine.
    pub fn this() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let os = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: field(&cpu, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            flags: flags(&cpu),
            memory_gib: kibibytes(&memory, "MemTotal")
                .map_or(0.0, |kib| (kib / 1_048_576.0 * 10.0).round() / 10.0),
            cache_mib: cache_bytes().map(|bytes| bytes >> 20),
            os: format!("{} {}", std::env::consts::OS, os.trim()),
            commit: commit(),
        }
    }

    /// Bytes to touch so that nothing is left in any cache.
    pub fn flush_bytes(&self) -> usize {
        self.cache_mib
            .map_or(0, |mib| mib << 21)
            .clamp(CACHE_BYTES_UNKNOWN, FLUSH_BYTES_MAX)
    }
}

/// Time that all cores together have spent since the machine was started, in ticks.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    all: u64,
    idle: u64,
}

impl Times {
    /// Share of the time since then that was not spent idle.
    pub fn busy_since(self, then: Self) -> f64 {
        let (all, idle) = (
            self.all.saturating_sub(then.all),
            self.idle.saturating_sub(then.idle),
        );
        #[expect(clippy::cast_precision_loss, reason = "ticks of a bench are far below 2^52")]
        let idle = idle as f64 / all.max(1) as f64;
        1.0 - idle
    }
}

/// Reads them.
pub fn times() -> Result<Times, crate::Failure> {
    times_of(&fs::read_to_string("/proc/stat")?).ok_or_else(|| "/proc/stat can't be read".into())
}

/// The first line: user, nice, system, idle, waiting for a device, and others.
fn times_of(stat: &str) -> Option<Times> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // What a guest took is in the first two already.
    let ticks = line.split_whitespace().take(8).map(str::parse);
    let ticks: Vec<u64> = ticks.collect::<Result<_, _>>().ok()?;
    Some(Times {
        all: ticks.iter().sum(),
        idle: ticks.get(3)? + ticks.get(4)?,
    })
}

/// Resident memory of this process in bytes; none where the system doesn't tell.
pub fn resident_bytes() -> Option<f64> {
    resident_bytes_of(std::process::id())
}

/// The same of the process of this number.
pub fn resident_bytes_of(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some(kibibytes(&status, "VmRSS")? * 1_024.0)
}

/// Memory in bytes that can be had without swapping; none where the system doesn't tell.
pub fn free_bytes() -> Option<usize> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: usize = field(&memory, "MemAvailable")?
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    Some(kib << 10)
}

/// Value of a line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn kibibytes(text: &str, name: &str) -> Option<f64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse().ok()
}

fn flags(cpuinfo: &str) -> Vec<String> {
    let has = field(cpuinfo, "flags")
        .or_else(|| field(cpuinfo, "Features"))
        .unwrap_or_default();
    let has: Vec<&str> = has.split_whitespace().collect();
    FLAGS
        .iter()
        .filter(|flag| has.contains(flag))
        .map(|flag| (*flag).to_owned())
        .collect()
}

/// The largest cache that the first processor sees.
fn cache_bytes() -> Option<usize> {
    let caches = fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?;
    let size_of = |path: std::path::PathBuf| size(fs::read_to_string(path.join("size")).ok()?.trim());
    caches.filter_map(|entry| size_of(entry.ok()?.path())).max()
}

/// Bytes of `32K`, `105M`.
fn size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(['K', 'M']);
    let shift = match text.get(digits.len()..)? {
        "K" => 10,
        "M" => 20,
        _ => 0,
    };
    Some(digits.parse::<usize>().ok()? << shift)
}

/// From the environment where a script took it along with a binary, else from git.
fn commit() -> String {
    if let Ok(commit) = std::env::var("THENAR_BENCH_COMMIT") {
        return commit;
    }
    let git = Command::new("git")
        .args([
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .output();
    match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
