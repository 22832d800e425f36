// Stage 2 on the GPU: the bound of every row against every probe's limit. The CPU twin is src/engine/cpu/refine.rs.
//
// A workgroup takes one block of 64 rows and 8 probes; an invocation takes one row. Word w of row r of a block lies at
// block * words * 64 + w * 64 + r, so that neighbours read neighbouring words. A word holds eight nibbles u.

struct Params {
    // Rows of this chunk, the number of its first row, words of a row.
    rows: u32,
    first_row: u32,
    words: u32,
    // Probes in the batch, and how many survivors of each are kept.
    probes: u32,
    slots: u32,
}

// The probe's side of the bound; see src/engine/bound.rs.
struct Figures {
    offset: i32,
    weight: f32,
    limit: f32,
}

// The row's side.
struct Row {
    scale: f32,
    residual: f32,
}

// Products of one word with eight probes: the four low nibbles of its bytes, then the four high ones.
struct Word {
    low_a: vec4<u32>,
    low_b: vec4<u32>,
    high_a: vec4<u32>,
    high_b: vec4<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read> probes: array<Word>;
@group(0) @binding(4) var<storage, read> figures: array<Figures>;
// The number of survivors of each probe, then slot 0 of every probe, slot 1 of every probe, ...
@group(0) @binding(5) var<storage, read_write> hits: array<atomic<u32>>;

const BLOCK_ROWS: u32 = 64u;
const GROUP: u32 = 8u;

fn dots(nibbles: u32, probes: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(
        dot4I8Packed(nibbles, probes.x),
        dot4I8Packed(nibbles, probes.y),
        dot4I8Packed(nibbles, probes.z),
        dot4I8Packed(nibbles, probes.w),
    );
}

fn judge(probe: u32, row: u32, dot: i32) {
    if probe >= params.probes {
        return;
    }
    let own = figures[probe];
    let integer = f32(2 * dot - own.offset);
    if rows[row].scale * integer + own.weight * rows[row].residual >= own.limit {
        let slot = atomicAdd(&hits[probe], 1u);
        if slot < params.slots {
            atomicStore(&hits[params.probes * (slot + 1u) + probe], params.first_row + row);
        }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup.x * BLOCK_ROWS + lane;
    if row >= params.rows {
        return;
    }
    let group = workgroup.y;
    let block = workgroup.x * params.words * BLOCK_ROWS;
    var a = vec4<i32>(0);
    var b = vec4<i32>(0);
    for (var w = 0u; w < params.words; w++) {
        let packed = codes[block + w * BLOCK_ROWS + lane];
        let low = packed & 0x0f0f0f0fu;
        let high = (packed >> 4u) & 0x0f0f0f0fu;
        let at = group * params.words + w;
        a += dots(low, probes[at].low_a) + dots(high, probes[at].high_a);
        b += dots(low, probes[at].low_b) + dots(high, probes[at].high_b);
    }
    let first = group * GROUP;
    judge(first, row, a.x);
    judge(first + 1u, row, a.y);
    judge(first + 2u, row, a.z);
    judge(first + 3u, row, a.w);
    judge(first + 4u, row, b.x);
    judge(first + 5u, row, b.y);
    judge(first + 6u, row, b.z);
    judge(first + 7u, row, b.w);
}
