//! What is done a row at a time: coding and the canonical score. Scans nothing.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::f16;
use thenar::engine::canonical;
use thenar::engine::code::Codes;
use thenar::model::signature::Dimension;
use thenar_bench::rows::{Rows, as_u64};

const DIMS: [usize; 3] = [128, 256, 512];
const ENCODED: usize = 16_384;
/// Rows scored in turn: few enough to stay in the second-level cache.
const SCORED: usize = 1_024;

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(as_u64(ENCODED)));
    for dim in DIMS {
        let dimension = Dimension::new(dim).expect("a multiple of 32");
        let mut values = vec![f16::ZERO; ENCODED * dim];
        Rows::new(1, dimension).fill(0, &mut values);
        group.bench_function(BenchmarkId::from_parameter(dim), |b| {
            b.iter(|| black_box(Codes::encode(dimension, &values)));
        });
    }
    group.finish();
}

fn score(c: &mut Criterion) {
    let mut group = c.benchmark_group("canonical score");
    group.throughput(Throughput::Elements(as_u64(SCORED)));
    for dim in DIMS {
        let rows = Rows::new(1, Dimension::new(dim).expect("a multiple of 32"));
        let mut values = vec![f16::ZERO; SCORED * dim];
        rows.fill(0, &mut values);
        let probe: Arc<[f32]> = rows.probe(0, as_u64(SCORED)).values;
        group.bench_function(BenchmarkId::from_parameter(dim), |b| {
            b.iter(|| {
                values
                    .chunks_exact(dim)
                    .map(|row| canonical::score(&probe, row))
                    .sum::<f32>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode, score);
criterion_main!(benches);
