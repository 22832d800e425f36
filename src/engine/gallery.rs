//! Codes of one gallery in host memory, in pages of up to 1,024 rows. Scans nothing; `page` says how a page lies in memory.
//!
//! All pages but the last are full; the capacity of the last one is the smallest class that holds its rows, so that a gallery wastes an
//! eighth of a page at most. Rows without content are dead.

mod packed;
mod page;

use std::fmt;
use std::ops::Range;

use bytemuck::{bytes_of, cast_slice_mut};
use half::bf16;
use zeroize::Zeroizing;

use crate::model::signature::Dimension;

use super::code::Scale;
use super::error::EngineError;
use super::memory::{Arena, Block};
use packed::PackedRow;

pub(super) use packed::PackedRows;
pub(super) use page::{Figure, PageLayout, PageView, TILE_ROWS, WORD_SIGNS};

/// Rows of a full page.
pub(super) const PAGE_ROWS: u32 = 1_024;
/// The same, to count bytes with.
pub(super) const PAGE_LEN: usize = PAGE_ROWS as usize;

/// Number of a gallery; never given twice by one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GalleryId(pub(super) u64);

impl fmt::Display for GalleryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gallery {}", self.0)
    }
}

struct Page {
    block: Block,
    capacity: usize,
}

/// One gallery. Its pages lie in an arena that is handed to each call and must always be the same.
pub(super) struct Gallery {
    id: GalleryId,
    layout: PageLayout,
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
    pub(super) fn new(id: GalleryId, layout: PageLayout) -> Self {
        Self {
            id,
            layout,
            pages: Vec::new(),
            rows: 0,
            live: 0,
        }
    }

    pub(super) fn dim(&self) -> Dimension {
        self.layout.dim
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
    pub(super) fn bytes(layout: PageLayout, rows: u64) -> u64 {
        let full = rows / u64::from(PAGE_ROWS);
        let tail = usize::try_from(rows % u64::from(PAGE_ROWS)).expect("less than a page");
        full * layout.page_len(PAGE_LEN) as u64 + layout.page_len(capacity(tail)) as u64
    }

    /// Bytes of its pages once it has `rows` rows.
    pub(super) fn bytes_with(&self, rows: u64) -> u64 {
        Self::bytes(self.layout, rows)
    }

    /// Appends rows; nothing is changed when memory is refused. The caller has checked dimension and number.
    pub(super) fn append(&mut self, arena: &mut Arena, rows: &PackedRows) -> Result<Range<u32>, EngineError> {
        let first = self.rows;
        let end = first + u32::try_from(rows.len()).expect("the number of rows was checked");
        let mut fresh = self.allocate(arena, end as usize)?.into_iter();
        let mut contents = rows.rows();
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
                let content = contents.next().expect("as many as were counted");
                self.write(arena, at, content);
            }
            row = page_end;
        }
        self.rows = end;
        self.live += rows.live();
        Ok(first..end)
    }

    /// Zeroes a row and makes it dead.
    pub(super) fn kill(&mut self, arena: &mut Arena, row: u32) {
        let zeros = vec![0; self.dim().get() / 2];
        let (signs, _) = zeros.split_at(self.dim().get() / 8);
        let dead = PackedRow {
            nibbles: &zeros,
            signs,
            figure: Figure::DEAD,
            alpha: bf16::INFINITY,
        };
        if self.write(arena, row as usize, dead) {
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
            match arena.allocate(self.layout.page_len(capacity)) {
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
        let parts = self.layout.cut_mut(bytes, capacity);
        cast_slice_mut(parts.figures).fill(Figure::DEAD);
        cast_slice_mut(parts.alphas).fill(bf16::INFINITY);
    }

    /// Puts a larger page in the place of page `index`, or behind the last one, and moves the rows.
    fn replace(&mut self, arena: &mut Arena, index: usize, page: Page) {
        let Some(place) = self.pages.get_mut(index) else {
            self.pages.push(page);
            return;
        };
        let old = std::mem::replace(place, page);
        let bytes = Zeroizing::new(arena.bytes(&old.block).to_vec());
        let from = self.layout.cut(&bytes, old.capacity);
        let new = self.pages.get(index).expect("just replaced");
        let to = self.layout.cut_mut(arena.bytes_mut(&new.block), new.capacity);
        for (to, from) in [
            (to.nibbles, from.nibbles),
            (to.signs, from.signs),
            (to.figures, from.figures),
            (to.alphas, from.alphas),
        ] {
            to.get_mut(..from.len())
                .expect("the new page is larger")
                .copy_from_slice(from);
        }
        arena.release(old.block);
    }

    /// Writes one row; true if the row that was there was live.
    fn write(&mut self, arena: &mut Arena, row: usize, content: PackedRow<'_>) -> bool {
        let page = self.pages.get(row / PAGE_LEN).expect("the row has a page");
        let row = row % PAGE_LEN;
        let parts = self.layout.cut_mut(arena.bytes_mut(&page.block), page.capacity);
        at(parts.nibbles, row, content.nibbles.len()).copy_from_slice(content.nibbles);
        let (tile, lane) = (row / TILE_ROWS, row % TILE_ROWS);
        let words = content.signs.as_chunks::<4>().0;
        if self.layout.has_signs {
            for (j, word) in words.iter().enumerate() {
                at(parts.signs, (tile * words.len() + j) * TILE_ROWS + lane, 4).copy_from_slice(word);
            }
            at(parts.alphas, row, 2).copy_from_slice(bytes_of(&content.alpha));
        }
        let figure: &mut [Figure] = cast_slice_mut(at(parts.figures, row, size_of::<Figure>()));
        let [figure] = figure else {
            unreachable!("the length of one");
        };
        !std::mem::replace(figure, content.figure).is_dead()
    }
}

/// Element `index` of a part whose elements are `len` bytes long.
fn at(part: &mut [u8], index: usize, len: usize) -> &mut [u8] {
    part.get_mut(index * len..(index + 1) * len)
        .expect("the page has room")
}

impl<'a> GalleryView<'a> {
    pub(super) fn id(&self) -> GalleryId {
        self.gallery.id
    }

    pub(super) fn dim(&self) -> Dimension {
        self.gallery.dim()
    }

    pub(super) fn rows(&self) -> u32 {
        self.gallery.rows
    }

    /// Whether its pages hold what stage 1 reads.
    pub(super) fn has_signs(&self) -> bool {
        self.gallery.layout.has_signs
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
        PageView::new(self.gallery.layout, bytes, page.capacity, index * PAGE_ROWS)
    }

    /// Nibbles and figures of one row; α is 0 where it has none or the gallery keeps none.
    pub(super) fn row(self, row: u32) -> Option<(&'a [u8], Scale)> {
        let index = row / PAGE_ROWS;
        let view = self.page(index, self.gallery.pages.get(index as usize)?);
        let (row, row_len) = ((row % PAGE_ROWS) as usize, self.dim().get() / 2);
        let nibbles = view.nibbles.get(row * row_len..(row + 1) * row_len)?;
        let figure = view.figures.get(row)?;
        if figure.is_dead() {
            return Some((nibbles, Scale::DEAD));
        }
        let scale = Scale {
            scale: figure.scale(),
            residual: figure.residual(),
            alpha: view.alphas.get(row).map_or(0.0, |alpha| alpha.to_f32().max(0.0)),
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
