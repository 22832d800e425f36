// Probes in 8 bits for packed dot products. A unit of 32 coordinates is two vectors: word k holds the coordinates that meet u_k.

@group(1) @binding(4) var<storage, read> words: array<vec4<u32>>;

// The products of a unit's 32 codes with the coordinates at `at`.
fn dot_unit(low: vec4<u32>, high: vec4<u32>, at: u32) -> i32 {
    let a = words[at];
    let b = words[at + 1u];
    return dot4I8Packed(low.x, a.x) + dot4I8Packed(low.y, a.y) + dot4I8Packed(low.z, a.z) + dot4I8Packed(low.w, a.w)
        + dot4I8Packed(high.x, b.x) + dot4I8Packed(high.y, b.y) + dot4I8Packed(high.z, b.z) + dot4I8Packed(high.w, b.w);
}
