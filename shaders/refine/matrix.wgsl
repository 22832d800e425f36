// Stage 2 over all rows on matrix units, for batches: tiles of 16 rows by 16 probes, half precision into single.
//
// Codes become 2u - 15 and coordinates stay integers up to 127, so that products and sums are integers below 127 * 15 * 2,048 < 2^24: exact
// in single precision in any order, and so I comes out. A workgroup takes a block and PROBES (64) probes; each of its subgroups, which must have
// 32 invocations, takes 32 rows. Behind common/codes.wgsl.

const SUBGROUP: u32 = 32u;
const TILE: u32 = 16u;
// Vectors of a row of `codes`: 8 for the unit's 32 codes, and 2 that keep neighbouring rows in different banks.
const PITCH: u32 = 10u;

// The coordinates of each probe, in the order in which `halves_of` gives the codes.
@group(1) @binding(4) var<storage, read> halves: array<vec4<f16>>;

var<workgroup> codes: array<vec4<f16>, ROWS * PITCH>;
// One tile of results of each subgroup.
var<workgroup> results: array<f32, ROWS / SUBGROUP * TILE * TILE>;

// 2u - 15 for the four bytes of a word, in the order 0, 2, 1, 3: 0x6400 | n is 1,024 + n in half precision.
fn halves_of(word: u32) -> vec4<f16> {
    let even = unpack2x16float(((word << 1u) & 0x001e001eu) | 0x64006400u);
    let odd = unpack2x16float(((word >> 7u) & 0x001e001eu) | 0x64006400u);
    return vec4<f16>(vec4<f32>(even, odd) - vec4<f32>(1039.0));
}

fn unpack(at: u32, low: vec4<u32>, high: vec4<u32>) {
    codes[at] = halves_of(low.x);
    codes[at + 1u] = halves_of(low.y);
    codes[at + 2u] = halves_of(low.z);
    codes[at + 3u] = halves_of(low.w);
    codes[at + 4u] = halves_of(high.x);
    codes[at + 5u] = halves_of(high.y);
    codes[at + 6u] = halves_of(high.z);
    codes[at + 7u] = halves_of(high.w);
}

// Judges the tile that the subgroup has in `results`: an invocation takes half a row.
fn settle(span: Span, first: u32, probe: u32, in_block: u32, block: u32, subgroup: u32, lane: u32) {
    workgroupBarrier();
    let column = lane % 2u * 8u;
    let at = subgroup * TILE * TILE + lane / 2u * TILE + column;
    let in_tile = in_block + lane / 2u;
    let packed = figures[block * ROWS + in_tile];
    for (var i = 0u; i < 8u; i++) {
        if probe + column + i < span.probes {
            judge(span, probe + column + i, first + in_tile, packed, results[at + i]);
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) in_subgroup: u32,
) {
    let task = workgroup.y * grid.x + workgroup.x;
    if task >= params.tasks {
        return;
    }
    let span = span_of(task);
    let groups = (span.probes + PROBES - 1u) / PROBES;
    let local = (task - span.first_task) / groups;
    let probe = (task - span.first_task) % groups * PROBES;
    let block = span.first_block + local;
    let stride = params.quads * 32u;
    let in_block = subgroup * SUBGROUP;
    var c00 = coop_mat16x16<f32, C>();
    var c01 = coop_mat16x16<f32, C>();
    var c02 = coop_mat16x16<f32, C>();
    var c03 = coop_mat16x16<f32, C>();
    var c10 = coop_mat16x16<f32, C>();
    var c11 = coop_mat16x16<f32, C>();
    var c12 = coop_mat16x16<f32, C>();
    var c13 = coop_mat16x16<f32, C>();
    for (var q = 0u; q < params.quads; q++) {
        let quad = block * params.quads + q;
        let s = sign_plane[quad * ROWS + lane];
        let a = refine_plane[quad * 3u * ROWS + lane];
        let b = refine_plane[(quad * 3u + 1u) * ROWS + lane];
        let c = refine_plane[(quad * 3u + 2u) * ROWS + lane];
        for (var u = 0u; u < 4u; u++) {
            unpack(lane * PITCH, low_codes(s[u], a[u], b[u]), high_codes(s[u], a[u], b[u], c[u]));
            workgroupBarrier();
            for (var step = 0u; step < 2u; step++) {
                let row = in_block * PITCH + step * 4u;
                let at = span.first_word + probe * stride + (q * 4u + u) * 8u + step * 4u;
                let rows0 = coopLoadT<coop_mat16x16<f16, A>>(&codes[row], PITCH);
                let rows1 = coopLoadT<coop_mat16x16<f16, A>>(&codes[row + TILE * PITCH], PITCH);
                let probes0 = coopLoad<coop_mat16x16<f16, B>>(&halves[at], stride);
                let probes1 = coopLoad<coop_mat16x16<f16, B>>(&halves[at + TILE * stride], stride);
                let probes2 = coopLoad<coop_mat16x16<f16, B>>(&halves[at + 2u * TILE * stride], stride);
                let probes3 = coopLoad<coop_mat16x16<f16, B>>(&halves[at + 3u * TILE * stride], stride);
                c00 = coopMultiplyAdd(rows0, probes0, c00);
                c01 = coopMultiplyAdd(rows0, probes1, c01);
                c02 = coopMultiplyAdd(rows0, probes2, c02);
                c03 = coopMultiplyAdd(rows0, probes3, c03);
                c10 = coopMultiplyAdd(rows1, probes0, c10);
                c11 = coopMultiplyAdd(rows1, probes1, c11);
                c12 = coopMultiplyAdd(rows1, probes2, c12);
                c13 = coopMultiplyAdd(rows1, probes3, c13);
            }
            workgroupBarrier();
        }
    }
    let first = span.first_row + local * ROWS;
    let result = subgroup * TILE * TILE;
    coopStoreT(c00, &results[result], TILE);
    settle(span, first, probe, in_block, block, subgroup, in_subgroup);
    coopStoreT(c01, &results[result], TILE);
    settle(span, first, probe + TILE, in_block, block, subgroup, in_subgroup);
    coopStoreT(c02, &results[result], TILE);
    settle(span, first, probe + 2u * TILE, in_block, block, subgroup, in_subgroup);
    coopStoreT(c03, &results[result], TILE);
    settle(span, first, probe + 3u * TILE, in_block, block, subgroup, in_subgroup);
    coopStoreT(c10, &results[result], TILE);
    settle(span, first, probe, in_block + TILE, block, subgroup, in_subgroup);
    coopStoreT(c11, &results[result], TILE);
    settle(span, first, probe + TILE, in_block + TILE, block, subgroup, in_subgroup);
    coopStoreT(c12, &results[result], TILE);
    settle(span, first, probe + 2u * TILE, in_block + TILE, block, subgroup, in_subgroup);
    coopStoreT(c13, &results[result], TILE);
    settle(span, first, probe + 3u * TILE, in_block + TILE, block, subgroup, in_subgroup);
}
