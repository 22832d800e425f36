//! The byte layout of a segment file (docs/format.md): header, planes, blocks, nonces and associated data. Does no I/O.

use aws_lc_rs::digest;
use ulid::Ulid;

use crate::keys::aead::{NONCE_LEN, Sealer, TAG_LEN};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::signature::Dimension;
use crate::storage::place::{SCALE_LEN, SEGMENT_ROWS_MAX};

/// First bytes of a segment file.
pub(in crate::storage) const MAGIC: [u8; 8] = *b"THNRSEG\0";
/// Version of the layout.
pub(in crate::storage) const VERSION: u32 = 1;
/// Bytes of the header, its tag included.
pub(in crate::storage) const HEADER_LEN: usize = 4_096;
/// Most plaintext bytes of a block, unless a single row is longer.
pub(in crate::storage) const BLOCK_LEN_MAX: usize = 4_096;
/// Where the header says how many rows there are.
pub(in crate::storage) const ROWS_AT: u64 = 64;
/// Bytes that [`claimed_len`] looks at.
pub(in crate::storage) const CLAIM_LEN: usize = 68;
/// Reference and subject behind each exact row.
pub(in crate::storage) const ROW_ID_LEN: usize = 16;
/// Extension of a segment file.
const EXTENSION: &str = "seg";
/// The header is sealed as if it were block 0 of this plane.
const HEADER_PLANE: u32 = u32::MAX;
const HEADER_AUTHENTICATED_LEN: usize = HEADER_LEN - TAG_LEN;

/// What a row is split into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Plane {
    /// Sign bits.
    Sign,
    /// The lower bits of the code.
    Refine,
    /// Scale, residual and alpha.
    Scale,
    /// Half-precision coordinates, reference and subject.
    Exact,
}

impl Plane {
    /// In the order in which they stand in the file.
    pub(in crate::storage) const ALL: [Self; 4] = [Self::Sign, Self::Refine, Self::Scale, Self::Exact];

    /// Number in the file.
    pub(in crate::storage) fn code(self) -> u32 {
        match self {
            Self::Sign => 0,
            Self::Refine => 1,
            Self::Scale => 2,
            Self::Exact => 3,
        }
    }

    /// Name in messages.
    pub(in crate::storage) fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Refine => "refine",
            Self::Scale => "scale",
            Self::Exact => "exact",
        }
    }

    /// Plaintext bytes of a row.
    pub(in crate::storage) fn stride(self, dim: Dimension) -> usize {
        let dim = dim.get();
        match self {
            Self::Sign => dim / 8,
            Self::Refine => 3 * dim / 8,
            Self::Scale => SCALE_LEN,
            Self::Exact => 2 * dim + ROW_ID_LEN,
        }
    }
}

/// Where a plane and its blocks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct PlaneLayout {
    /// Which one.
    pub(in crate::storage) plane: Plane,
    /// Plaintext bytes of a row.
    pub(in crate::storage) stride: usize,
    /// Rows of a block, a power of two; the last block may have fewer.
    pub(in crate::storage) block_rows: usize,
    /// First byte in the file.
    pub(in crate::storage) offset: usize,
    /// Bytes in the file, tags included.
    pub(in crate::storage) len: usize,
    rows: usize,
}

impl PlaneLayout {
    fn new(plane: Plane, dim: Dimension, rows: usize, offset: usize) -> Self {
        let stride = plane.stride(dim);
        let fitting = (BLOCK_LEN_MAX / stride).max(1);
        let block_rows = 1 << fitting.ilog2();
        let len = rows * stride + rows.div_ceil(block_rows) * TAG_LEN;
        Self {
            plane,
            stride,
            block_rows,
            offset,
            len,
            rows,
        }
    }

    /// First byte of a block and its plaintext bytes; its tag follows them.
    pub(in crate::storage) fn block(&self, block: usize) -> (usize, usize) {
        let first_row = block * self.block_rows;
        let rows = self.block_rows.min(self.rows - first_row);
        let at = self.offset + block * (self.block_rows * self.stride + TAG_LEN);
        (at, rows * self.stride)
    }
}

/// Where everything is in a segment of so many rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Layout {
    /// The tenant's dimension.
    pub(in crate::storage) dimension: Dimension,
    /// Rows, holes included.
    pub(in crate::storage) rows: u32,
    planes: [PlaneLayout; 4],
}

impl Layout {
    /// The layout of a segment.
    pub(in crate::storage) fn new(dimension: Dimension, rows: u32) -> Self {
        assert!(
            (1..=SEGMENT_ROWS_MAX).contains(&rows),
            "a segment has 1 to {SEGMENT_ROWS_MAX} rows"
        );
        let mut offset = HEADER_LEN;
        let planes = Plane::ALL.map(|plane| {
            let layout = PlaneLayout::new(plane, dimension, rows as usize, offset);
            offset += layout.len;
            layout
        });
        Self {
            dimension,
            rows,
            planes,
        }
    }

    /// Where a plane is.
    pub(in crate::storage) fn plane(&self, plane: Plane) -> &PlaneLayout {
        let [sign, refine, scale, exact] = &self.planes;
        match plane {
            Plane::Sign => sign,
            Plane::Refine => refine,
            Plane::Scale => scale,
            Plane::Exact => exact,
        }
    }

    /// Bytes of the file.
    pub(in crate::storage) fn file_len(&self) -> u64 {
        let exact = self.plane(Plane::Exact);
        (exact.offset + exact.len) as u64
    }
}

/// How long a file is by what stands at its beginning, which nobody has authenticated; `None` where that is no segment's.
pub(in crate::storage) fn claimed_len(head: &[u8; CLAIM_LEN]) -> Option<u64> {
    let number = |from: usize| {
        let bytes = head.get(from..from + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let dimension = Dimension::new(number(12)? as usize).ok()?;
    let rows = number(64)?;
    let is_segment = head.starts_with(&MAGIC) && number(8)? == VERSION;
    (is_segment && (1..=SEGMENT_ROWS_MAX).contains(&rows)).then(|| Layout::new(dimension, rows).file_len())
}

/// What all segments of a tenant share.
#[derive(Clone)]
pub(in crate::storage) struct SegmentContext {
    /// SHA-256 of the tenant's id.
    tenant_digest: [u8; 32],
    /// The tenant's dimension.
    pub(in crate::storage) dimension: Dimension,
    data_key: SecretKey,
}

impl SegmentContext {
    /// For one tenant.
    pub(in crate::storage) fn new(tenant: &TenantId, dimension: Dimension, data_key: &SecretKey) -> Self {
        let digest = digest::digest(&digest::SHA256, tenant.as_str().as_bytes());
        Self {
            tenant_digest: digest.as_ref().try_into().expect("SHA-256 has 32 bytes"),
            dimension,
            data_key: data_key.clone(),
        }
    }

    /// Key and associated data of one file.
    pub(in crate::storage) fn seal(&self, ulid: Ulid) -> SegmentSeal {
        let key = self.data_key.derive(&[b"segment", &ulid.to_bytes()]);
        SegmentSeal {
            sealer: Sealer::new(&key),
            tenant_digest: self.tenant_digest,
            ulid,
        }
    }
}

/// Seals and opens the blocks of one file.
pub(in crate::storage) struct SegmentSeal {
    sealer: Sealer,
    tenant_digest: [u8; 32],
    /// The file.
    pub(in crate::storage) ulid: Ulid,
}

impl SegmentSeal {
    /// Encrypts a block in place and appends its tag. A block of a file is sealed once.
    pub(in crate::storage) fn seal_block(&self, plane: Plane, block: usize, data: &mut Vec<u8>, from: usize) {
        let (nonce, aad) = self.bind(plane.code(), block);
        let plain = data.get_mut(from..).expect("the block begins within the buffer");
        let tag = self.sealer.seal_at(nonce, &aad, plain);
        data.extend_from_slice(&tag);
    }

    /// Decrypts a block in place; `false` when it is not what was sealed there.
    pub(in crate::storage) fn open_block(
        &self,
        plane: Plane,
        block: usize,
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> bool {
        let (nonce, aad) = self.bind(plane.code(), block);
        self.sealer.open_at(nonce, &aad, data, tag).is_ok()
    }

    /// The header page of a file with this layout.
    pub(in crate::storage) fn header(&self, layout: &Layout) -> Vec<u8> {
        let mut page = Vec::with_capacity(HEADER_LEN);
        page.extend_from_slice(&MAGIC);
        page.extend_from_slice(&VERSION.to_le_bytes());
        page.extend_from_slice(&to_u32(layout.dimension.get()).to_le_bytes());
        page.extend_from_slice(&self.ulid.to_bytes());
        page.extend_from_slice(&self.tenant_digest);
        page.extend_from_slice(&layout.rows.to_le_bytes());
        page.extend_from_slice(&to_u32(Plane::ALL.len()).to_le_bytes());
        for plane in &layout.planes {
            page.extend_from_slice(&plane.plane.code().to_le_bytes());
            page.extend_from_slice(&to_u32(plane.stride).to_le_bytes());
            page.extend_from_slice(&to_u32(plane.block_rows).to_le_bytes());
            page.extend_from_slice(&0_u32.to_le_bytes());
            page.extend_from_slice(&(plane.offset as u64).to_le_bytes());
            page.extend_from_slice(&(plane.len as u64).to_le_bytes());
        }
        page.resize(HEADER_AUTHENTICATED_LEN, 0);
        let tag = self.header_tag(&page);
        page.extend_from_slice(&tag);
        page
    }

    /// Says what is wrong with a header, or nothing. `layout` is what the catalog expects.
    pub(in crate::storage) fn header_fault(&self, page: &[u8], layout: &Layout) -> Option<HeaderFault> {
        let field = |from: usize, len: usize| page.get(from..from + len).unwrap_or_default();
        if page.len() != HEADER_LEN || field(0, 8) != MAGIC {
            return Some(HeaderFault::Text("it does not begin like a segment".to_owned()));
        }
        let (authenticated, tag) = page
            .split_last_chunk::<TAG_LEN>()
            .expect("the page is longer than a tag");
        let authentic = self.header_tag(authenticated) == *tag;
        let number = |from| field(from, 4).try_into().map_or(0, u32::from_le_bytes);
        let text = if number(8) > VERSION {
            return Some(HeaderFault::Newer(number(8)));
        } else if field(16, 16) != self.ulid.to_bytes() {
            "its header is of another segment".to_owned()
        } else if field(32, 32) != self.tenant_digest {
            "its header is of another tenant".to_owned()
        } else if !authentic {
            "its header fails authentication".to_owned()
        } else if number(12) as usize != layout.dimension.get() {
            format!(
                "it has dimension {}; the tenant has {}",
                number(12),
                layout.dimension.get()
            )
        } else if number(64) != layout.rows {
            format!("it has {} rows; the catalog has {}", number(64), layout.rows)
        } else if self.header(layout) != page {
            "its table of planes is not that of its rows".to_owned()
        } else {
            return None;
        };
        Some(HeaderFault::Text(text))
    }

    fn header_tag(&self, authenticated: &[u8]) -> [u8; TAG_LEN] {
        let (nonce, _) = self.bind(HEADER_PLANE, 0);
        self.sealer.seal_at(nonce, authenticated, &mut [])
    }

    fn bind(&self, plane: u32, block: usize) -> ([u8; NONCE_LEN], [u8; 60]) {
        let mut nonce = [0; NONCE_LEN];
        let (nonce_plane, nonce_block) = nonce.split_at_mut(4);
        nonce_plane.copy_from_slice(&plane.to_le_bytes());
        nonce_block.copy_from_slice(&(block as u64).to_le_bytes());
        let mut aad = [0; 60];
        let (tenant, rest) = aad.split_at_mut(32);
        let (ulid, position) = rest.split_at_mut(16);
        tenant.copy_from_slice(&self.tenant_digest);
        ulid.copy_from_slice(&self.ulid.to_bytes());
        position.copy_from_slice(&nonce);
        (nonce, aad)
    }
}

/// What is wrong with a header.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::storage) enum HeaderFault {
    /// Damage, in words.
    Text(String),
    /// A version that this release doesn't read.
    Newer(u32),
}

/// The name of a segment's file.
pub(in crate::storage) fn file_name(ulid: Ulid) -> String {
    format!("{ulid}.{EXTENSION}")
}

/// Whose file has this name; `None` for a name that no segment's file has.
pub(in crate::storage) fn ulid_of(name: &str) -> Option<Ulid> {
    let stem = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let ulid = Ulid::from_string(stem).ok()?;
    (file_name(ulid) == name).then_some(ulid)
}

fn to_u32(size: usize) -> u32 {
    u32::try_from(size).expect("sizes in a header are far below 4 GiB")
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
