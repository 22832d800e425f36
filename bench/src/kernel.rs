//! Which kernel thenar is held to, and the instruction set that holds the peers to the same. Detects nothing itself.

use thenar::engine::Kernel;

/// What Faiss and OpenBLAS are told so that they use no more than a kernel does.
///
/// Faiss 1.15 has one library that chooses at run time: `FAISS_OPT_LEVEL` changes nothing in it, `SIMDConfig.set_level` does. Its
/// matrix products come from the OpenBLAS in its wheel, which reads `OPENBLAS_CORETYPE` when it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLevel {
    /// Name of Faiss' level, without `SIMDLevel_`; none where it may use all that the processor has.
    pub faiss: Option<&'static str>,
    /// OpenBLAS' kernels. By itself it gives a processor that it does not know those of an old one.
    pub openblas: &'static str,
}

/// A kernel by the name that the configuration has for it.
pub fn parse(name: &str) -> Result<Kernel, String> {
    let known = Kernel::ALL.into_iter().find(|kernel| kernel.name() == name);
    known.ok_or_else(|| {
        let names: Vec<&str> = Kernel::ALL.iter().map(|kernel| kernel.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

/// Level of the peers beside a kernel, by its name, to which thenar is held or which it chose; none where they may choose by themselves. Beside kernels of AVX-512 Faiss may, since it has nothing beyond it.
pub fn peer_level(kernel: &str, is_held: bool) -> Option<PeerLevel> {
    let (faiss, openblas) = match (kernel, is_held) {
        ("portable", true) => (Some("NONE"), "Prescott"),
        ("avx2", true) => (Some("AVX2"), "Haswell"),
        ("avx512" | "amx", _) => (None, "SkylakeX"),
        _ => return None,
    };
    Some(PeerLevel { faiss, openblas })
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
