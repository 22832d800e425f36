// Stage 1: which rows may reach the threshold by their signs; what is left goes through stage 2 at once. The CPU twin is
// src/engine/cpu/sign.rs.
//
// A workgroup takes BLOCKS blocks and PROBES probes (1, 2 or 4). The rows that stage 1 keeps are listed in workgroup memory, which has
// room for all of them, and then shared out among the invocations. Behind common/codes.wgsl, common/words.wgsl, refine/listed.wgsl and
// one of sign/plain.wgsl and sign/subgroup.wgsl, which say where in the list a row goes.

// Low half: number of the row in the task's blocks. High half: the probe.
var<workgroup> list: array<u32, BLOCKS * ROWS * PROBES>;

// Sums for the signs at bits 0 to 3 and 4 to 7 of each byte, times the worth of the bit: of coordinates whose sign is +.
struct Pluses {
    low: vec4<i32>,
    high: vec4<i32>,
}

fn plus(before: Pluses, s: u32, at: u32) -> Pluses {
    let a = words[at];
    let b = words[at + 1u];
    let low = vec4<i32>(
        dot4I8Packed(s & 0x01010101u, a.x),
        dot4I8Packed(s & 0x02020202u, a.y),
        dot4I8Packed(s & 0x04040404u, a.z),
        dot4I8Packed(s & 0x08080808u, a.w),
    );
    let high = vec4<i32>(
        dot4I8Packed(s & 0x10101010u, b.x),
        dot4I8Packed(s & 0x20202020u, b.y),
        dot4I8Packed(s & 0x40404040u, b.z),
        dot4I8Packed(s & 0x80808080u, b.w),
    );
    return Pluses(before.low + low, before.high + high);
}

fn plus_quad(before: Pluses, s: vec4<u32>, at: u32) -> Pluses {
    return plus(plus(plus(plus(before, s.x, at), s.y, at + 2u), s.z, at + 4u), s.w, at + 6u);
}

// The bound of stage 1; a row without an alpha always survives. Bit 7 of a byte counts -128.
fn survives(probe: u32, sums: Pluses, alpha: u32) -> bool {
    let own = marks[probe];
    let low = sums.low.x + (sums.low.y >> 1u) + (sums.low.z >> 2u) + (sums.low.w >> 3u);
    let high = (sums.high.x >> 4u) + (sums.high.y >> 5u) + (sums.high.z >> 6u) - (sums.high.w >> 7u);
    let integer = f32(2 * (low + high) - own.sum);
    let limit = own.slope * bitcast<f32>(alpha << 16u) + own.intercept;
    return alpha == 0u || own.step * integer + own.rounding >= limit;
}

fn keep(span: Span, probe: u32, sums: Pluses, alpha: u32, row: u32) {
    let keeps = probe < span.probes && survives(span.first_probe + probe, sums, alpha);
    let at = place(keeps);
    if keeps {
        list[at] = row | (probe << 16u);
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
    let first = (task - span.first_task) * BLOCKS;
    let stride = params.quads * 8u;
    if lane == 0u {
        atomicStore(&listed, 0u);
    }
    workgroupBarrier();
    let blocks = min(BLOCKS, span.blocks - first);
    for (var i = 0u; i < blocks; i++) {
        let block = span.first_block + first + i;
        var x = Pluses();
        var y = Pluses();
        var z = Pluses();
        var w = Pluses();
        for (var q = 0u; q < params.quads; q++) {
            let s = sign_plane[(block * params.quads + q) * ROWS + lane];
            let at = span.first_word + q * 8u;
            x = plus_quad(x, s, at);
            if PROBES > 1u {
                y = plus_quad(y, s, at + stride);
            }
            if PROBES > 2u {
                z = plus_quad(z, s, at + 2u * stride);
                w = plus_quad(w, s, at + 3u * stride);
            }
        }
        let pair = alphas[(block * ROWS + lane) / 2u];
        let alpha = (pair >> (16u * (lane % 2u))) & 0xffffu;
        let row = i * ROWS + lane;
        keep(span, 0u, x, alpha, row);
        if PROBES > 1u {
            keep(span, 1u, y, alpha, row);
        }
        if PROBES > 2u {
            keep(span, 2u, z, alpha, row);
            keep(span, 3u, w, alpha, row);
        }
    }
    workgroupBarrier();
    let count = atomicLoad(&listed);
    for (var i = lane; i < count; i += ROWS) {
        let row = list[i] & 0xffffu;
        refine_listed(span, list[i] >> 16u, first + row / ROWS, row % ROWS);
    }
}
