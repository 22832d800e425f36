//! The kernels and their texts: each is put together from files of `shaders/`, constants first. Compiles nothing.

use super::planes::BLOCK_ROWS;

/// Survivors of each probe that the first read brings; more take a second one.
pub(super) const NEAR: u32 = 15;
/// Blocks that a task of stage 1 lists before it refines what is listed.
const SIGN_BLOCKS: u32 = 4;
/// Probes of a task on matrix units.
const MATRIX_PROBES: u32 = 64;

const CODES: &str = include_str!("../../../shaders/common/codes.wgsl");
const WORDS: &str = include_str!("../../../shaders/common/words.wgsl");
const REFINE: &str = include_str!("../../../shaders/refine.wgsl");
const LISTED: &str = include_str!("../../../shaders/refine/listed.wgsl");
const MATRIX: &str = include_str!("../../../shaders/refine/matrix.wgsl");
const SIGN: &str = include_str!("../../../shaders/sign.wgsl");
const PLAIN: &str = include_str!("../../../shaders/sign/plain.wgsl");
const SUBGROUP: &str = include_str!("../../../shaders/sign/subgroup.wgsl");
/// What a text begins with that uses matrix units.
const ENABLE: &str = "enable f16;\nenable wgpu_cooperative_matrix;\n";

/// A compute pipeline. Probes are those that a task takes; fewer leave some idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kernel {
    /// Stage 1, and stage 2 for the rows it keeps.
    Sign { probes: u32, subgroups: bool },
    /// Stage 2 over all rows.
    Refine { probes: u32 },
    /// The same on matrix units.
    Matrix,
}

impl Kernel {
    /// All that there are.
    #[cfg(test)]
    pub(super) const ALL: [Kernel; 11] = [
        Kernel::Sign {
            probes: 1,
            subgroups: false,
        },
        Kernel::Sign {
            probes: 2,
            subgroups: false,
        },
        Kernel::Sign {
            probes: 4,
            subgroups: false,
        },
        Kernel::Sign {
            probes: 1,
            subgroups: true,
        },
        Kernel::Sign {
            probes: 2,
            subgroups: true,
        },
        Kernel::Sign {
            probes: 4,
            subgroups: true,
        },
        Kernel::Refine { probes: 1 },
        Kernel::Refine { probes: 4 },
        Kernel::Refine { probes: 8 },
        Kernel::Refine { probes: 16 },
        Kernel::Matrix,
    ];

    /// Stage 1 for up to 4 probes.
    pub(super) fn sign(probes: usize, subgroups: bool) -> Self {
        let probes = match probes {
            0..=1 => 1,
            2 => 2,
            _ => 4,
        };
        Self::Sign { probes, subgroups }
    }

    /// Stage 2 for any number of probes.
    pub(super) fn refine(probes: usize) -> Self {
        let probes = match probes {
            0..=1 => 1,
            2..=4 => 4,
            5..=8 => 8,
            _ => 16,
        };
        Self::Refine { probes }
    }

    /// Probes of a task.
    pub(super) fn probes(self) -> u32 {
        match self {
            Self::Sign { probes, .. } | Self::Refine { probes } => probes,
            Self::Matrix => MATRIX_PROBES,
        }
    }

    /// Blocks of a task.
    pub(super) fn blocks(self) -> u32 {
        match self {
            Self::Sign { .. } => SIGN_BLOCKS,
            Self::Refine { .. } | Self::Matrix => 1,
        }
    }

    /// WGSL of the pipeline; the entry point is `main`.
    pub(super) fn source(self) -> String {
        let parts: &[&str] = match self {
            Self::Sign { subgroups: false, .. } => &[CODES, WORDS, LISTED, PLAIN, SIGN],
            Self::Sign { subgroups: true, .. } => &[CODES, WORDS, LISTED, SUBGROUP, SIGN],
            Self::Refine { .. } => &[CODES, WORDS, REFINE],
            Self::Matrix => &[CODES, MATRIX],
        };
        let constants = [
            ("ROWS", BLOCK_ROWS),
            ("NEAR", NEAR),
            ("BLOCKS", self.blocks()),
            ("PROBES", self.probes()),
        ];
        let constants = constants.map(|(name, value)| format!("const {name}: u32 = {value}u;\n"));
        let enable = if self == Self::Matrix { ENABLE } else { "" };
        [enable, &constants.concat(), &parts.concat()].concat()
    }
}

#[cfg(test)]
#[path = "shader_tests.rs"]
mod tests;
