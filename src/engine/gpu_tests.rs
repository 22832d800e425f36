//! Tests of the GPU backend on whatever adapter there is, lavapipe included. Without one they fail and say what to install.
#![expect(clippy::single_range_in_vec_init, reason = "one range of rows is meant")]

use super::*;
use crate::engine::bound::QuantizedProbe;
use crate::engine::code::Codes;
use crate::engine::config::Kernel;
use crate::engine::cpu::CpuBackend;
use crate::engine::gallery::PackedRows;
use crate::engine::residency::Residency;
use crate::engine::samples::{
    KINDS, check, dim, gallery, probes, quantized, resident, scan, scores, thresholds,
};
use wgpu::naga;

pub(super) fn open() -> GpuBackend {
    GpuBackend::open(true, 16)
        .unwrap_or_else(|reason| panic!("no Vulkan adapter: install mesa-vulkan-drivers ({reason})"))
}

fn update(
    gpu: &mut GpuBackend,
    residency: &Residency,
    id: GalleryId,
    changed: &[Range<u32>],
) -> Result<(), BackendError> {
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..view.rows(), changed)
}

fn rows(survivors: &Survivors) -> &[u32] {
    match survivors {
        Survivors::Rows(rows) => rows,
        Survivors::All => panic!("overflow"),
    }
}

#[test]
fn the_self_test_passes_and_leaves_nothing() {
    let mut gpu = open();
    assert_eq!(gpu.self_test(), Ok(()));
    assert!(gpu.galleries.is_empty());
    assert!(gpu.name().starts_with("gpu/"), "{}", gpu.name());
}

#[test]
fn the_gpu_keeps_every_row_at_or_above_the_threshold() {
    let mut gpu = open();
    for kind in KINDS {
        for (d, n) in [
            (32, 1_025),
            (96, 7),
            (96, 1_025),
            (256, 300),
            (512, 100),
            (32, 1),
            (32, 0),
        ] {
            let rows = gallery(kind, d, n, d as u64);
            let (residency, id) = resident(d, &rows);
            let view = residency.view(id).expect("open");
            gpu.update(view, 0..view.rows(), &[0..view.rows()])
                .expect("uploaded");
            for probe in probes(&rows, d, 3, 1) {
                let scores = scores(&probe, &rows);
                let thresholds = thresholds(&scores);
                let batch: Vec<QuantizedProbe> = thresholds.iter().map(|t| quantized(&probe, *t)).collect();
                let found = scan(&mut gpu, view, &batch.iter().collect::<Vec<_>>()).expect("scanned");
                for (survivors, threshold) in found.iter().zip(&thresholds) {
                    check(survivors, &scores, *threshold, &format!("{kind} {d} x {n}"));
                }
            }
            gpu.forget(id).expect("forgotten");
        }
    }
}

#[test]
fn a_full_batch_finds_what_the_cpu_finds() {
    let (mut gpu, mut cpu) = (open(), CpuBackend::new(Kernel::Portable, 1).expect("threads"));
    let all = gallery("clustered", 96, 3_000, 4);
    let (residency, id) = resident(96, &all);
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..view.rows(), &[0..3_000]).expect("uploaded");
    let batch: Vec<QuantizedProbe> = probes(&all, 96, 16, 5)
        .iter()
        .map(|p| quantized(p, 0.8))
        .collect();
    let batch: Vec<&QuantizedProbe> = batch.iter().collect();
    let (found, wanted) = (
        scan(&mut gpu, view, &batch).expect("scanned"),
        scan(&mut cpu, view, &batch).expect("scanned"),
    );
    let listed: usize = found.iter().map(|s| rows(s).len()).sum();
    assert!(listed > 1_000, "{listed} survivors take the second read");
    // Rounding may move a row whose bound meets the limit; none does here.
    assert_eq!(found, wanted);
}

#[test]
fn rows_follow_appends_and_erasures_through_growth() {
    let mut gpu = open();
    let all = gallery("random", 32, 5_000, 6);
    let (mut residency, id) = resident(32, &all[..32 * 100]);
    update(&mut gpu, &residency, id, &[0..100]).expect("uploaded");
    for (from, to) in [(100, 101), (101, 1_030), (1_030, 5_000)] {
        let codes = Codes::encode(dim(32), &all[from * 32..to * 32]);
        let packed = PackedRows::pack(codes).expect("whole rows");
        let range = residency.append(id, &packed).expect("memory");
        update(&mut gpu, &residency, id, &[range]).expect("uploaded");
    }
    let probe_of = |row: usize| -> Vec<f32> {
        let row = all[row * 32..(row + 1) * 32].iter().map(|v| v.to_f32()).collect();
        crate::engine::samples::normalized(row)
    };
    let find = |gpu: &mut GpuBackend, residency: &Residency, row: usize| {
        let probe = quantized(&probe_of(row), 0.98);
        let found = scan(gpu, residency.view(id).expect("open"), &[&probe]).expect("scanned");
        rows(&found[0]).iter().any(|found| *found as usize == row)
    };
    for row in [0, 99, 100, 1_023, 1_024, 1_029, 4_999] {
        assert!(find(&mut gpu, &residency, row), "row {row}");
    }
    residency.erase(id, &[99, 100, 4_999]).expect("there");
    update(&mut gpu, &residency, id, &[99..101, 4_999..5_000]).expect("uploaded");
    for (row, found) in [
        (99, false),
        (100, false),
        (4_999, false),
        (98, true),
        (4_998, true),
    ] {
        assert_eq!(find(&mut gpu, &residency, row), found, "row {row}");
    }
}

#[test]
fn too_many_survivors_are_noticed() {
    let mut gpu = open();
    let all = gallery("duplicated", 32, 60_000, 3);
    let (residency, id) = resident(32, &all);
    let view = residency.view(id).expect("open");
    gpu.update(view, 0..view.rows(), &[0..60_000]).expect("uploaded");
    let same: Vec<f32> = all[..32].iter().map(|v| v.to_f32()).collect();
    let other = quantized(&same.iter().map(|v| -v).collect::<Vec<_>>(), 0.99);
    let found = scan(&mut gpu, view, &[&quantized(&same, 0.9), &other]).expect("scanned");
    assert_eq!(found[0], Survivors::All);
    assert!(matches!(&found[1], Survivors::Rows(_)));
}

#[test]
fn a_gallery_that_was_never_uploaded_is_an_error_unless_empty() {
    let mut gpu = open();
    let all = gallery("random", 32, 3, 3);
    let probe = quantized(&probes(&[], 32, 1, 1)[0], 0.5);
    let (residency, id) = resident(32, &all);
    assert!(scan(&mut gpu, residency.view(id).expect("open"), &[&probe]).is_err());
    let (empty, id) = resident(32, &[]);
    let found = scan(&mut gpu, empty.view(id).expect("open"), &[&probe]).expect("scanned");
    assert_eq!(found, [Survivors::Rows(Vec::new())]);
}

#[test]
fn every_shader_is_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let mut shaders = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of shaders") {
        let path = entry.expect("readable").path();
        let source = std::fs::read_to_string(&path).expect("readable");
        let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|error| {
            panic!(
                "{}",
                error.emit_to_string_with_path(&source, &path.display().to_string())
            )
        });
        let mut validator = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::empty(),
        );
        validator
            .validate(&module)
            .unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        shaders += 1;
    }
    assert!(shaders > 0);
}

#[test]
fn structs_lie_in_memory_as_the_shader_reads_them() {
    use std::mem::offset_of;
    let module = naga::front::wgsl::parse_str(refine::SHADER).expect("valid");
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
            assert_eq!((span, members), (size_of::<$ty>(), ours), $name);
        };
    }
    same!("Params", refine::Params, rows, first_row, words, probes, slots);
    same!("Figures", refine::Figures, offset, weight, limit);
    same!("Row", chunk::Row, scale, residual);
    same!("Word", refine::Word, low_a, low_b, high_a, high_b);
}
