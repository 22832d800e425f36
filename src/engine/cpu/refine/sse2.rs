//! The decision about four rows of a list with SSE2: what the kernels of x86-64 share. Multiplies no codes.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_add_ps, _mm_and_si128, _mm_castsi128_ps, _mm_cmpge_ps, _mm_cvtepi32_ps,
    _mm_movemask_ps, _mm_mul_ps, _mm_set1_epi32, _mm_set1_ps, _mm_setr_epi32, _mm_slli_epi32, _mm_sub_epi32,
};

use crate::engine::gallery::{Figure, PageView};

use super::Figures;
use super::listed::Four;

impl Four {
    /// Which of the rows survive with these sums, a bit each: as [`Figures::survives`] says it.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn survivors(&self, page: &PageView<'_>, dots: __m128i, own: Figures) -> u32 {
        // One by one into a register: a vector can't be loaded from what was just stored in parts.
        let figure = |i: usize| bytemuck::cast::<Figure, i32>(page.figures[usize::from(self.positions[i])]);
        let figures = _mm_setr_epi32(figure(0), figure(1), figure(2), figure(3));
        let scale = _mm_castsi128_ps(_mm_slli_epi32::<16>(figures));
        let residual = _mm_castsi128_ps(_mm_and_si128(figures, _mm_set1_epi32(i32::MIN >> 15)));
        let integer = _mm_sub_epi32(_mm_add_epi32(dots, dots), _mm_set1_epi32(own.offset));
        let product = _mm_mul_ps(scale, _mm_cvtepi32_ps(integer));
        let bound = _mm_add_ps(product, _mm_mul_ps(residual, _mm_set1_ps(own.weight)));
        let reached = _mm_movemask_ps(_mm_cmpge_ps(bound, _mm_set1_ps(own.limit)));
        reached.cast_unsigned() & self.filled
    }
}
