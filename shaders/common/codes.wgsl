// What every stage reads and writes: rows in planes, the work of a dispatch, the survivors.
//
// In front of this text come the constants ROWS, NEAR, BLOCKS and PROBES; see src/engine/gpu/shader.rs.
//
// Rows lie in blocks of ROWS. A row is cut into quads of 128 coordinates: four units of 32. Each unit is four words, in which byte l
// holds eight codes: of code u_k the bits 3 are bit k of the sign word, the bits 2 to 0 are in words a (k = 0, 1, and two bits of 6),
// b (2, 3, and two bits of 7) and c (4, 5, and the bits 2 of 6 and 7). Quad q of row r of a block is at (block * quads + q) * ROWS + r
// of the sign plane, so that neighbours read neighbouring vectors, and so do the refine plane's three vectors a, b and c of it.

struct Params {
    // Workgroups that have something to do; the grid may be larger.
    tasks: u32,
    // The dispatch's spans.
    first_span: u32,
    spans: u32,
    // Quads of a row.
    quads: u32,
    // Probes whose survivors are counted, and how many survivors of each are kept.
    total: u32,
    slots: u32,
}

// Consecutive blocks of one gallery, and the probes that search them.
struct Span {
    // The dispatch's tasks in front of this span's.
    first_task: u32,
    first_block: u32,
    blocks: u32,
    // Row number of the first block's first row, and the row numbers that are searched.
    first_row: u32,
    low: u32,
    end: u32,
    first_probe: u32,
    probes: u32,
    // Where the first probe's coordinates begin, in vectors.
    first_word: u32,
}

// The probe's side of the bounds; see src/engine/bound.rs and src/engine/bound/sign.rs.
struct Mark {
    offset: i32,
    weight: f32,
    limit: f32,
    // The sum of the probe's 8-bit coordinates.
    sum: i32,
    step: f32,
    rounding: f32,
    slope: f32,
    intercept: f32,
}

@group(0) @binding(0) var<storage, read> sign_plane: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> refine_plane: array<vec4<u32>>;
// Step (low half) and residual (high half) as bfloat16; all zeros for a dead row.
@group(0) @binding(2) var<storage, read> figures: array<u32>;
// Alpha as bfloat16, two rows a word.
@group(0) @binding(3) var<storage, read> alphas: array<u32>;

@group(1) @binding(0) var<uniform> params: Params;
@group(1) @binding(1) var<storage, read> spans: array<Span>;
@group(1) @binding(2) var<storage, read> marks: array<Mark>;
// The number of survivors of each probe; then slot 0 of every probe, slot 1, ... up to NEAR; then the other slots of probe 0, of probe 1, ...
@group(1) @binding(3) var<storage, read_write> hits: array<atomic<u32>>;

// The span of a task: the last one that does not begin behind it.
fn span_of(task: u32) -> Span {
    var low = params.first_span;
    var count = params.spans;
    while count > 1u {
        let half = count / 2u;
        if spans[low + half].first_task <= task {
            low += half;
        }
        count -= half;
    }
    return spans[low];
}

// Codes u_0 to u_3 of the four bytes.
fn low_codes(s: u32, a: u32, b: u32) -> vec4<u32> {
    return vec4<u32>(
        (a & 0x07070707u) | ((s << 3u) & 0x08080808u),
        ((a >> 3u) & 0x07070707u) | ((s << 2u) & 0x08080808u),
        (b & 0x07070707u) | ((s << 1u) & 0x08080808u),
        ((b >> 3u) & 0x07070707u) | (s & 0x08080808u),
    );
}

// Codes u_4 to u_7.
fn high_codes(s: u32, a: u32, b: u32, c: u32) -> vec4<u32> {
    return vec4<u32>(
        (c & 0x07070707u) | ((s >> 1u) & 0x08080808u),
        ((c >> 3u) & 0x07070707u) | ((s >> 2u) & 0x08080808u),
        ((a >> 6u) & 0x03030303u) | ((c >> 4u) & 0x04040404u) | ((s >> 3u) & 0x08080808u),
        ((b >> 6u) & 0x03030303u) | ((c >> 5u) & 0x04040404u) | ((s >> 4u) & 0x08080808u),
    );
}

// Keeps a row as a survivor of a probe.
fn append(probe: u32, row: u32) {
    // Once there are too many, their number no longer matters.
    if atomicLoad(&hits[probe]) > params.slots {
        return;
    }
    let slot = atomicAdd(&hits[probe], 1u);
    if slot < NEAR {
        atomicStore(&hits[params.total * (1u + slot) + probe], row);
    } else if slot < params.slots {
        let far = params.total * (1u + NEAR) + probe * (params.slots - NEAR);
        atomicStore(&hits[far + slot - NEAR], row);
    }
}

// The bound of stage 2, given I. A dead row's residual is not above 0.
fn judge(span: Span, probe: u32, row: u32, packed: u32, integer: f32) {
    let own = marks[span.first_probe + probe];
    let scale = bitcast<f32>(packed << 16u);
    let residual = bitcast<f32>(packed & 0xffff0000u);
    if scale * integer + own.weight * residual >= own.limit && residual > 0.0 {
        if row >= span.low && row < span.end {
            append(span.first_probe + probe, row);
        }
    }
}
