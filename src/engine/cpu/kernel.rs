//! Which functions run on which instruction set. Computes nothing.

use crate::engine::config::Kernel;
use crate::engine::error::EngineError;

use super::refine::{self, Layout, PagesFn, RowsFn};
use super::sign::{self, SignFn, SignLayout};

/// The functions of an instruction set.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Functions {
    /// Stage 1.
    pub(in crate::engine) sign: SignFn,
    /// How stage 1 wants the sums of the probes.
    pub(in crate::engine) sign_layout: SignLayout,
    /// Most probes for which stage 1 comes first; with more, stage 2 alone is faster.
    pub(in crate::engine) sign_probes_max: usize,
    /// Stage 2 over all rows of pages.
    pub(in crate::engine) pages: PagesFn,
    /// Stage 2 over some rows of a page.
    pub(in crate::engine) rows: RowsFn,
    /// What stage 2 wants the probes to look like.
    pub(in crate::engine) layout: Layout,
}

const PORTABLE: Functions = Functions {
    sign: sign::portable::page,
    sign_layout: SignLayout::Tables,
    sign_probes_max: usize::MAX,
    pages: refine::portable::pages,
    rows: refine::portable::rows,
    layout: Layout::Wide,
};

#[cfg(target_arch = "aarch64")]
const NEON: Functions = Functions {
    sign: sign::neon::page,
    sign_layout: SignLayout::Entries,
    pages: refine::neon::pages,
    rows: refine::neon::rows,
    layout: Layout::Vectors,
    ..PORTABLE
};

#[cfg(target_arch = "x86_64")]
const AVX2: Functions = Functions {
    sign: sign::avx2::page,
    sign_layout: SignLayout::Entries,
    pages: refine::avx2::pages,
    rows: refine::avx2::rows,
    layout: Layout::Vectors,
    ..PORTABLE
};

#[cfg(target_arch = "x86_64")]
const AVX512: Functions = Functions {
    sign: sign::avx512::page,
    sign_layout: SignLayout::Entries,
    sign_probes_max: usize::MAX,
    pages: refine::avx512::pages,
    rows: refine::avx512::rows,
    layout: Layout::Vectors,
};

#[cfg(target_arch = "x86_64")]
const AMX: Functions = Functions {
    sign_probes_max: 4,
    pages: refine::amx::pages,
    layout: Layout::Tiles,
    ..AVX512
};

/// The functions of a kernel; an error if this processor doesn't run it.
pub(in crate::engine) fn functions(kernel: Kernel) -> Result<Functions, EngineError> {
    let functions = match kernel {
        Kernel::Portable => Some(PORTABLE),
        #[cfg(target_arch = "aarch64")]
        Kernel::Neon => Some(NEON),
        #[cfg(not(target_arch = "aarch64"))]
        Kernel::Neon => None,
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => Some(AVX2),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512 => Some(AVX512),
        #[cfg(target_arch = "x86_64")]
        Kernel::Amx => Some(AMX),
        #[cfg(not(target_arch = "x86_64"))]
        Kernel::Avx2 | Kernel::Avx512 | Kernel::Amx => None,
    };
    functions
        .filter(|_| kernel.is_supported())
        .ok_or_else(|| EngineError::KernelUnsupported(kernel.name().to_owned()))
}
