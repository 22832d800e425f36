//! Codes of one gallery in host memory: rows of nibbles in pages. Scans nothing.
//!
//! A page holds up to 1,024 rows: first the nibble rows (D/2 bytes each, byte i holds u of coordinates 2i, low, and 2i + 1), then the
//! scales, the residuals and the alphas, one f32 a row each. All pages but the last are full; the capacity of the last one is the
//! smallest class that holds its rows, so that a gallery wastes an eighth of a page at most. Rows without content are dead.

use std::fmt;
use std::ops::Range;

use bytemuck::cast_slice;
use zeroize::{Zeroize, Zeroizing};

use crate::model::reject::Rejected;
use crate::model::signature::Dimension;

use super::code::{Codes, Scale};
use super::error::EngineError;
use super::memory::{Arena, Block};

/// Rows of a full page.
pub(super) const PAGE_ROWS: u32 = 1_024;
/// The same, to count bytes with.
const PAGE_LEN: usize = PAGE_ROWS as usize;
/// Kernels take this many rows at a time; the capacity of a page is a multiple of it.
pub(super) const TILE_ROWS: usize = 16;
/// Bytes of a row's figures.
const FIGURES_LEN: usize = size_of::<Scale>();

/// Number of a gallery; never given twice by one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GalleryId(pub(super) u64);

impl fmt::Display for GalleryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gallery {}", self.0)
    }
}

/// Codes as they lie in pages. Wiped when dropped.
pub(super) struct PackedRows {
    dim: Dimension,
    nibbles: Vec<u8>,
    scales: Vec<Scale>,
}

impl Drop for PackedRows {
    fn drop(&mut self) {
        self.nibbles.zeroize();
        self.scales.fill(Scale::DEAD);
    }
}

impl PackedRows {
    /// Interleaves the bit planes into nibbles, and wipes them. Refuses planes that don't hold whole rows.
    pub(super) fn pack(mut codes: Codes) -> Result<Self, Rejected> {
        let bytes = codes.dim.get() / 8;
        for (field, len, expected) in [
            ("codes.sign", codes.sign.len(), codes.len() * bytes),
            ("codes.refine", codes.refine.len(), codes.len() * bytes * 3),
        ] {
            if len != expected {
                let problem = format!("is {len} bytes long; {} rows take {expected}", codes.len());
                return Err(Rejected::new(field, problem));
            }
        }
        let mut nibbles = Vec::with_capacity(codes.len() * bytes * 4);
        for (sign, refine) in codes
            .sign
            .chunks_exact(bytes)
            .zip(codes.refine.chunks_exact(bytes * 3))
        {
            let (bit2, low) = refine.split_at(bytes);
            let (bit1, bit0) = low.split_at(bytes);
            for (((b3, b2), b1), b0) in sign.iter().zip(bit2).zip(bit1).zip(bit0) {
                let word = spread(*b3) << 3 | spread(*b2) << 2 | spread(*b1) << 1 | spread(*b0);
                nibbles.extend_from_slice(&word.to_le_bytes());
            }
        }
        let scales = codes
            .scale
            .iter()
            .map(|scale| if scale.is_dead() { Scale::DEAD } else { *scale })
            .collect();
        let dim = codes.dim;
        codes.wipe();
        Ok(Self { dim, nibbles, scales })
    }

    pub(super) fn dim(&self) -> Dimension {
        self.dim
    }

    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    fn live(&self) -> u64 {
        self.scales.iter().map(|scale| u64::from(!scale.is_dead())).sum()
    }
}

/// Bit i of a byte becomes the lowest bit of nibble i.
#[inline]
fn spread(byte: u8) -> u32 {
    let x = u32::from(byte);
    let x = (x | x << 12) & 0x000f_000f;
    let x = (x | x << 6) & 0x0303_0303;
    (x | x << 3) & 0x1111_1111
}

struct Page {
    block: Block,
    capacity: usize,
}

/// What a kernel reads of a page; `scale.len()` rows, a multiple of [`TILE_ROWS`], those beyond the gallery's end dead.
#[derive(Clone, Copy)]
pub(super) struct PageView<'a> {
    /// Number of the first row.
    pub(super) first_row: u32,
    /// Nibble rows.
    pub(super) nibbles: &'a [u8],
    /// Steps s.
    pub(super) scale: &'a [f32],
    /// Residuals r.
    pub(super) residual: &'a [f32],
    /// Alphas α.
    pub(super) alpha: &'a [f32],
}

/// One gallery. Its pages lie in an arena that is handed to each call and must always be the same.
pub(super) struct Gallery {
    id: GalleryId,
    dim: Dimension,
    pages: Vec<Page>,
    rows: u32,
    live: u64,
}

/// A gallery and its memory, to be read.
#[derive(Clone, Copy)]
pub(super) struct GalleryView<'a> {
    pub(super) gallery: &'a Gallery,
    pub(super) arena: &'a Arena,
}

impl Gallery {
    pub(super) fn new(id: GalleryId, dim: Dimension) -> Self {
        Self {
            id,
            dim,
            pages: Vec::new(),
            rows: 0,
            live: 0,
        }
    }

    pub(super) fn dim(&self) -> Dimension {
        self.dim
    }

    /// Rows appended so far.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// Rows that are not dead.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// Bytes of the pages of a gallery of `rows` rows.
    pub(super) fn bytes(dim: Dimension, rows: u64) -> u64 {
        let row = (dim.get() / 2 + FIGURES_LEN) as u64;
        let full = rows / PAGE_LEN as u64 * PAGE_LEN as u64;
        let tail = usize::try_from(rows - full).expect("less than a page");
        (full + capacity(tail) as u64) * row
    }

    /// Appends rows; nothing is changed when memory is refused. The caller has checked dimension and number.
    pub(super) fn append(&mut self, arena: &mut Arena, rows: &PackedRows) -> Result<Range<u32>, EngineError> {
        let first = self.rows;
        let end = first + u32::try_from(rows.len()).expect("the number of rows was checked");
        let mut fresh = self.allocate(arena, end as usize)?.into_iter();
        let mut figures = rows.scales.iter();
        let mut nibbles = rows.nibbles.chunks_exact(self.dim.get() / 2);
        let mut row = first as usize;
        while row < end as usize {
            let index = row / PAGE_LEN;
            let page_end = (end as usize).min((index + 1) * PAGE_LEN);
            let has_room = self
                .pages
                .get(index)
                .is_some_and(|page| page.capacity >= page_end - index * PAGE_LEN);
            if !has_room {
                let page = fresh
                    .next()
                    .expect("one was allocated for each page without room");
                self.replace(arena, index, page);
            }
            for at in row..page_end {
                let (Some(scale), Some(nibbles)) = (figures.next(), nibbles.next()) else {
                    unreachable!("as many as were counted");
                };
                self.write(arena, at, nibbles, *scale);
            }
            row = page_end;
        }
        self.rows = end;
        self.live += rows.live();
        Ok(first..end)
    }

    /// Zeroes a row and makes it dead.
    pub(super) fn kill(&mut self, arena: &mut Arena, row: u32) {
        let zeros = vec![0; self.dim.get() / 2];
        if self.write(arena, row as usize, &zeros, Scale::DEAD) {
            self.live -= 1;
        }
    }

    /// Gives all memory back, zeroed.
    pub(super) fn clear(&mut self, arena: &mut Arena) {
        for page in self.pages.drain(..) {
            arena.release(page.block);
        }
        (self.rows, self.live) = (0, 0);
    }

    /// The pages that an end at row `end` takes beyond those that are there, in order.
    fn allocate(&self, arena: &mut Arena, end: usize) -> Result<Vec<Page>, EngineError> {
        let mut fresh: Vec<Page> = Vec::new();
        for index in self.rows as usize / PAGE_LEN..end.div_ceil(PAGE_LEN) {
            let capacity = capacity((end - index * PAGE_LEN).min(PAGE_LEN));
            if self
                .pages
                .get(index)
                .is_some_and(|page| page.capacity >= capacity)
            {
                continue;
            }
            match arena.allocate(capacity * (self.dim.get() / 2 + FIGURES_LEN)) {
                Ok(block) => {
                    self.bury(arena.bytes_mut(&block), capacity);
                    fresh.push(Page { block, capacity });
                }
                Err(error) => {
                    for page in fresh {
                        arena.release(page.block);
                    }
                    return Err(error);
                }
            }
        }
        Ok(fresh)
    }

    /// Makes every row of a zeroed page dead.
    fn bury(&self, bytes: &mut [u8], capacity: usize) {
        let at = capacity * (self.dim.get() / 2 + size_of::<f32>());
        let end = at + capacity * size_of::<f32>();
        for residual in bytes
            .get_mut(at..end)
            .expect("a page has residuals")
            .as_chunks_mut()
            .0
        {
            *residual = Scale::DEAD.residual.to_ne_bytes();
        }
    }

    /// Puts a larger page in the place of page `index`, or behind the last one, and moves the rows.
    fn replace(&mut self, arena: &mut Arena, index: usize, page: Page) {
        let Some(place) = self.pages.get_mut(index) else {
            self.pages.push(page);
            return;
        };
        let old = std::mem::replace(place, page);
        let bytes = Zeroizing::new(arena.bytes(&old.block).to_vec());
        let row_len = self.dim.get() / 2;
        let (nibbles, figures) = bytes.split_at(old.capacity * row_len);
        let figures: Vec<&[u8]> = figures.chunks_exact(old.capacity * size_of::<f32>()).collect();
        let new = self.pages.get(index).expect("just replaced");
        let target = arena.bytes_mut(&new.block);
        let parts = [(0, nibbles)].into_iter().chain(
            figures
                .into_iter()
                .enumerate()
                .map(|(i, part)| (new.capacity * (row_len + i * size_of::<f32>()), part)),
        );
        for (at, part) in parts {
            target
                .get_mut(at..at + part.len())
                .expect("the new page is larger")
                .copy_from_slice(part);
        }
        arena.release(old.block);
    }

    /// Writes one row; true if the row that was there was live.
    fn write(&mut self, arena: &mut Arena, row: usize, nibbles: &[u8], scale: Scale) -> bool {
        let page = self.pages.get(row / PAGE_LEN).expect("the row has a page");
        let (row, row_len) = (row % PAGE_LEN, self.dim.get() / 2);
        let (codes, figures) = arena.bytes_mut(&page.block).split_at_mut(page.capacity * row_len);
        codes
            .chunks_exact_mut(row_len)
            .nth(row)
            .expect("the page has room")
            .copy_from_slice(nibbles);
        let mut was_live = false;
        let values = [scale.scale, scale.residual, scale.alpha];
        let columns = figures.chunks_exact_mut(page.capacity * size_of::<f32>());
        for (i, (column, value)) in columns.zip(values).enumerate() {
            let cell = column.as_chunks_mut().0.get_mut(row).expect("the page has room");
            was_live |= i == 1 && f32::from_ne_bytes(*cell) >= 0.0;
            *cell = value.to_ne_bytes();
        }
        was_live
    }
}

impl<'a> GalleryView<'a> {
    pub(super) fn id(&self) -> GalleryId {
        self.gallery.id
    }

    pub(super) fn dim(&self) -> Dimension {
        self.gallery.dim
    }

    pub(super) fn rows(&self) -> u32 {
        self.gallery.rows
    }

    /// The pages of rows that begin with a page, in order.
    pub(super) fn pages(self, rows: Range<u32>) -> impl Iterator<Item = PageView<'a>> {
        let first = rows.start / PAGE_ROWS;
        let pages = self.gallery.pages.iter().skip(first as usize);
        (first..rows.end.div_ceil(PAGE_ROWS))
            .zip(pages)
            .map(move |(index, page)| self.page(index, page))
    }

    fn page(self, index: u32, page: &'a Page) -> PageView<'a> {
        let bytes = self.arena.bytes(&page.block);
        let (nibbles, figures) = bytes.split_at(page.capacity * (self.gallery.dim.get() / 2));
        let (scale, figures) = figures.split_at(page.capacity * size_of::<f32>());
        let (residual, alpha) = figures.split_at(page.capacity * size_of::<f32>());
        PageView {
            first_row: index * PAGE_ROWS,
            nibbles,
            scale: cast_slice(scale),
            residual: cast_slice(residual),
            alpha: cast_slice(alpha),
        }
    }

    /// Nibbles and figures of one row.
    pub(super) fn row(self, row: u32) -> Option<(&'a [u8], Scale)> {
        let index = row / PAGE_ROWS;
        let view = self.page(index, self.gallery.pages.get(index as usize)?);
        let (row, row_len) = ((row % PAGE_ROWS) as usize, self.gallery.dim.get() / 2);
        let nibbles = view.nibbles.get(row * row_len..(row + 1) * row_len)?;
        let scale = Scale {
            scale: *view.scale.get(row)?,
            residual: *view.residual.get(row)?,
            alpha: *view.alpha.get(row)?,
        };
        Some((nibbles, scale))
    }
}

/// The smallest capacity of a page that holds `rows` rows: 16 and then steps of an eighth, in whole tiles.
fn capacity(rows: usize) -> usize {
    let mut class = 0;
    while class < rows {
        class = (class + class / 8 + 1).next_multiple_of(TILE_ROWS).min(PAGE_LEN);
    }
    class
}

#[cfg(test)]
#[path = "gallery_tests.rs"]
mod tests;
