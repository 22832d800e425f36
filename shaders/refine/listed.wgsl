// Stage 2 over the rows that stage 1 kept: one row and one probe an invocation. Behind common/codes.wgsl and common/words.wgsl.

fn refine_listed(span: Span, probe: u32, block: u32, lane: u32) {
    let stride = params.quads * 8u;
    var dot = 0;
    for (var q = 0u; q < params.quads; q++) {
        let quad = (span.first_block + block) * params.quads + q;
        let s = sign_plane[quad * ROWS + lane];
        let a = refine_plane[quad * 3u * ROWS + lane];
        let b = refine_plane[(quad * 3u + 1u) * ROWS + lane];
        let c = refine_plane[(quad * 3u + 2u) * ROWS + lane];
        let at = span.first_word + probe * stride + q * 8u;
        dot += dot_unit(low_codes(s.x, a.x, b.x), high_codes(s.x, a.x, b.x, c.x), at);
        dot += dot_unit(low_codes(s.y, a.y, b.y), high_codes(s.y, a.y, b.y, c.y), at + 2u);
        dot += dot_unit(low_codes(s.z, a.z, b.z), high_codes(s.z, a.z, b.z, c.z), at + 4u);
        dot += dot_unit(low_codes(s.w, a.w, b.w), high_codes(s.w, a.w, b.w, c.w), at + 6u);
    }
    let packed = figures[(span.first_block + block) * ROWS + lane];
    let row = span.first_row + block * ROWS + lane;
    judge(span, probe, row, packed, f32(2 * dot - marks[span.first_probe + probe].offset));
}
