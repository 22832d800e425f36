//! Tests of the shaders' texts, without a device: valid, all used, structs as the host writes them.

use std::mem::offset_of;

use wgpu::naga;
use wgpu::naga::valid::Capabilities;

use super::*;
use crate::engine::gpu::plan::{Params, Span};
use crate::engine::gpu::probes::Mark;

/// `OpCooperativeMatrixMulAddKHR` of SPIR-V.
const OP_COOPERATIVE_MATRIX_MUL_ADD: u32 = 4459;

fn parse(kernel: Kernel) -> naga::Module {
    let source = kernel.source();
    naga::front::wgsl::parse_str(&source).unwrap_or_else(|error| {
        panic!(
            "{}",
            error.emit_to_string_with_path(&source, &format!("{kernel:?}"))
        )
    })
}

/// What a kernel may use beyond plain WGSL.
fn capabilities(kernel: Kernel) -> Capabilities {
    match kernel {
        Kernel::Sign { subgroups: true, .. } => Capabilities::SUBGROUP,
        Kernel::Sign { .. } | Kernel::Refine { .. } => Capabilities::empty(),
        Kernel::Matrix => {
            Capabilities::SUBGROUP
                | Capabilities::COOPERATIVE_MATRIX
                | Capabilities::SHADER_FLOAT16
                | Capabilities::SHADER_FLOAT16_IN_FLOAT32
        }
    }
}

fn validate(kernel: Kernel, capabilities: Capabilities) -> Result<naga::valid::ModuleInfo, String> {
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&parse(kernel))
        .map_err(|error| format!("{kernel:?}: {error:?}"))
}

#[test]
fn every_kernel_is_valid() {
    for kernel in Kernel::ALL {
        validate(kernel, capabilities(kernel)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn kernels_use_no_more_than_they_should() {
    for kernel in Kernel::ALL {
        let plain = validate(kernel, Capabilities::empty());
        assert_eq!(plain.is_ok(), capabilities(kernel).is_empty(), "{kernel:?}");
    }
}

#[test]
fn every_file_of_the_shaders_is_part_of_a_kernel() {
    let sources: Vec<String> = Kernel::ALL.iter().map(|kernel| kernel.source()).collect();
    let mut folders = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/shaders").into()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir::<std::path::PathBuf>(folder).expect("a folder of shaders");
        for entry in entries {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("readable");
            assert!(
                sources.iter().any(|source| source.contains(&text)),
                "{}",
                path.display()
            );
            files += 1;
        }
    }
    assert_eq!(files, 8);
}

#[test]
fn structs_lie_in_memory_as_the_shaders_read_them() {
    for kernel in Kernel::ALL {
        let module = parse(kernel);
        let layout = |name: &str| -> (usize, Vec<(String, usize)>) {
            module
                .types
                .iter()
                .find_map(|(_, ty)| match &ty.inner {
                    naga::TypeInner::Struct { members, span } if ty.name.as_deref() == Some(name) => {
                        let members = members
                            .iter()
                            .map(|m| (m.name.clone().expect("named"), m.offset as usize));
                        Some((*span as usize, members.collect()))
                    }
                    _ => None,
                })
                .unwrap_or_else(|| panic!("no struct {name}"))
        };
        macro_rules! same {
            ($name:literal, $ty:ty, $($field:ident),+) => {
                let (span, members) = layout($name);
                let ours = vec![$((stringify!($field).to_owned(), offset_of!($ty, $field))),+];
                assert_eq!((span, members), (size_of::<$ty>(), ours), "{} of {kernel:?}", $name);
            };
        }
        same!("Params", Params, tasks, first_span, spans, quads, total, slots);
        same!(
            "Span",
            Span,
            first_task,
            first_block,
            blocks,
            first_row,
            low,
            end,
            first_probe,
            probes,
            first_word
        );
        same!(
            "Mark", Mark, offset, weight, limit, sum, step, rounding, slope, intercept
        );
    }
}

#[test]
fn workgroups_have_as_many_invocations_as_a_block_has_rows() {
    for kernel in Kernel::ALL {
        let module = parse(kernel);
        let point = module.entry_points.first().expect("one entry point");
        assert_eq!(
            (point.name.as_str(), point.workgroup_size),
            ("main", [BLOCK_ROWS, 1, 1])
        );
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).expect("sized types");
        let used: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
            .map(|(_, variable)| layouter[variable.ty].size)
            .sum();
        assert!(
            used <= 16_384,
            "{kernel:?} takes {used} bytes of workgroup memory"
        );
    }
}

#[test]
fn the_smallest_group_that_holds_the_probes_is_taken() {
    for (probes, sign, refine) in [
        (1, 1, 1),
        (2, 2, 4),
        (3, 4, 4),
        (4, 4, 4),
        (5, 4, 8),
        (9, 4, 16),
        (70, 4, 16),
    ] {
        assert_eq!(Kernel::sign(probes, true).probes(), sign);
        assert_eq!(Kernel::refine(probes).probes(), refine);
    }
}

/// A matrix unit adds halves' products in single precision: exact while the sums are integers below 2²⁴.
#[test]
fn sums_on_matrix_units_are_exact_for_every_dimension() {
    let longest = crate::model::signature::DIM_MAX;
    assert!(127 * 15 * longest < 1 << 24);
    for value in -127_i8..=127 {
        let half = half::f16::from_f32(f32::from(value));
        assert_eq!(half.to_f64().to_bits(), f64::from(value).to_bits());
    }
}

/// What the device's driver is given, also of kernels that no adapter here runs.
#[test]
fn every_kernel_becomes_spir_v() {
    use naga::back::spv;
    for kernel in Kernel::ALL {
        let info = validate(kernel, capabilities(kernel)).unwrap_or_else(|error| panic!("{error}"));
        let options = spv::Options {
            lang_version: (1, 6),
            ..spv::Options::default()
        };
        let words = spv::write_vec(&parse(kernel), &info, &options, None);
        let words = words.unwrap_or_else(|error| panic!("{kernel:?}: {error}"));
        // Behind the header an instruction begins with its length and its number.
        let (mut at, mut products) = (5, 0);
        while let Some(word) = words.get(at) {
            products += usize::from(word & 0xffff == OP_COOPERATIVE_MATRIX_MUL_ADD);
            at += (word >> 16) as usize;
        }
        assert_eq!(products, if kernel == Kernel::Matrix { 8 } else { 0 });
    }
}
