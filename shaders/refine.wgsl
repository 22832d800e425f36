// Stage 2 over all rows: the bound of every row against every probe's limit. The CPU twin is src/engine/cpu/refine.rs.
//
// A workgroup takes a block and PROBES probes (1, 4, 8 or 16), an invocation takes one row. Behind common/codes.wgsl and common/words.wgsl.

struct Sums {
    a: vec4<i32>,
    b: vec4<i32>,
    c: vec4<i32>,
    d: vec4<i32>,
}

// Four probes' products with a unit.
fn four(low: vec4<u32>, high: vec4<u32>, at: u32, stride: u32) -> vec4<i32> {
    return vec4<i32>(
        dot_unit(low, high, at),
        dot_unit(low, high, at + stride),
        dot_unit(low, high, at + 2u * stride),
        dot_unit(low, high, at + 3u * stride),
    );
}

fn add(before: Sums, low: vec4<u32>, high: vec4<u32>, at: u32) -> Sums {
    let stride = params.quads * 8u;
    var sums = before;
    if PROBES == 1u {
        sums.a.x += dot_unit(low, high, at);
    } else {
        sums.a += four(low, high, at, stride);
    }
    if PROBES > 4u {
        sums.b += four(low, high, at + 4u * stride, stride);
    }
    if PROBES > 8u {
        sums.c += four(low, high, at + 8u * stride, stride);
        sums.d += four(low, high, at + 12u * stride, stride);
    }
    return sums;
}

fn settle(span: Span, probe: u32, row: u32, packed: u32, dot: i32) {
    if probe < span.probes {
        judge(span, probe, row, packed, f32(2 * dot - marks[span.first_probe + probe].offset));
    }
}

fn settle_four(span: Span, probe: u32, row: u32, packed: u32, dots: vec4<i32>) {
    settle(span, probe, row, packed, dots.x);
    if PROBES > 1u {
        settle(span, probe + 1u, row, packed, dots.y);
        settle(span, probe + 2u, row, packed, dots.z);
        settle(span, probe + 3u, row, packed, dots.w);
    }
}

@compute @workgroup_size(ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let task = workgroup.y * grid.x + workgroup.x;
    if task >= params.tasks {
        return;
    }
    let span = span_of(task);
    // Neighbouring workgroups take the same block, which the cache then holds.
    let groups = (span.probes + PROBES - 1u) / PROBES;
    let local = (task - span.first_task) / groups;
    let first = (task - span.first_task) % groups * PROBES;
    let block = span.first_block + local;
    var sums = Sums();
    for (var q = 0u; q < params.quads; q++) {
        let quad = block * params.quads + q;
        let s = sign_plane[quad * ROWS + lane];
        let a = refine_plane[quad * 3u * ROWS + lane];
        let b = refine_plane[(quad * 3u + 1u) * ROWS + lane];
        let c = refine_plane[(quad * 3u + 2u) * ROWS + lane];
        let at = span.first_word + (first * params.quads + q) * 8u;
        sums = add(sums, low_codes(s.x, a.x, b.x), high_codes(s.x, a.x, b.x, c.x), at);
        sums = add(sums, low_codes(s.y, a.y, b.y), high_codes(s.y, a.y, b.y, c.y), at + 2u);
        sums = add(sums, low_codes(s.z, a.z, b.z), high_codes(s.z, a.z, b.z, c.z), at + 4u);
        sums = add(sums, low_codes(s.w, a.w, b.w), high_codes(s.w, a.w, b.w, c.w), at + 6u);
    }
    let packed = figures[block * ROWS + lane];
    let row = span.first_row + local * ROWS + lane;
    settle_four(span, first, row, packed, sums.a);
    if PROBES > 4u {
        settle_four(span, first + 4u, row, packed, sums.b);
    }
    if PROBES > 8u {
        settle_four(span, first + 8u, row, packed, sums.c);
        settle_four(span, first + 12u, row, packed, sums.d);
    }
}
