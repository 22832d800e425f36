//! Scans of 100,000 rows, probe preparation included, by kernel and batch size. Checks no answer.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thenar::engine::{BackendChoice, Engine, EngineConfig, Kernel, ScanRequest};
use thenar::model::signature::Dimension;
use thenar_bench::gallery::{Search, append, requests, runtime};
use thenar_bench::rows::{Rows, as_u64};

const ROWS: usize = 100_000;
const DIM: usize = 256;
const BATCHES: [usize; 4] = [1, 4, 64, 256];
const BATCH_MAX: usize = 256;

/// Requests of the largest batch against a gallery of one engine.
fn prepare(engine: &Engine, deterministic: bool) -> Vec<ScanRequest> {
    let rows = Rows::new(1, Dimension::new(DIM).expect("a multiple of 32"));
    let gallery = engine.open_gallery(rows.dimension()).expect("room for one");
    append(engine, gallery, rows, 0, ROWS).expect("it fits");
    let probes = rows.probes(BATCH_MAX, as_u64(ROWS));
    let search = Search {
        threshold: 0.4,
        deterministic,
    };
    requests(
        gallery,
        probes.iter().map(|probe| -> &Arc<[f32]> { &probe.values }),
        search,
    )
}

fn scans(c: &mut Criterion) {
    let runtime = runtime().expect("a runtime takes nothing");
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_supported()) {
        for deterministic in [false, true] {
            let engine = Engine::start(EngineConfig {
                backend: BackendChoice::Cpu,
                kernel: Some(kernel),
                batch_max: BATCH_MAX,
                ..EngineConfig::default()
            })
            .expect("the processor has the kernel");
            let requests = prepare(&engine, deterministic);
            let proof = if deterministic {
                "deterministic"
            } else {
                "probabilistic"
            };
            let mut group = c.benchmark_group(format!("scan/{}/{proof}", kernel.name()));
            group.sample_size(10);
            for batch in BATCHES {
                let batch_requests = requests.get(..batch).expect("no batch is larger");
                group.throughput(Throughput::Elements(as_u64(ROWS * batch)));
                group.bench_function(BenchmarkId::from_parameter(batch), |b| {
                    b.iter(|| black_box(runtime.block_on(engine.scan_batch(batch_requests))));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, scans);
criterion_main!(benches);
