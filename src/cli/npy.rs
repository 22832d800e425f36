//! `NumPy` files of signatures and lists of ids: refuses what a server would refuse, naming file and row. Sends nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use thiserror::Error;

use crate::model::id::SubjectId;
use crate::model::reject::Rejected;
use crate::model::signature::{Dimension, ElementType, Signature};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;
/// First bytes of a file, up to the version.
const MAGIC: [u8; 6] = *b"\x93NUMPY";
/// Longest text of a header, in bytes: what `NumPy` itself reads. A table's has about 120.
const HEADER_BYTES_MAX: usize = 10_000;
/// Most brackets that a header opens. A table's opens two; the parser takes time and stack that grow with how deep they stand.
const HEADER_BRACKETS_MAX: usize = 8;
/// Most decimal digits in a header: the size of an element and a shape whose product is within 64 bits.
const HEADER_DIGITS_MAX: usize = 20;

/// A checked header: a C-ordered, little-endian table of half or single precision, as long as it says.
#[derive(Debug, Clone)]
pub struct Matrix {
    path: PathBuf,
    data_start: u64,
    /// How the coordinates lie.
    pub element: ElementType,
    /// Rows, one signature each; at least 1.
    pub rows: u64,
    /// Coordinates of a row.
    pub dim: Dimension,
}

impl Matrix {
    /// Checks header and length of a 2-D file. Rows are checked by [`Matrix::check_rows`].
    pub fn open(path: &Path) -> Result<Self, NpyError> {
        Self::with_shape(path, |shape| match shape {
            [rows, columns] => Some((*rows, *columns)),
            _ => None,
        })
    }

    /// One signature: a 1-D file, or a 2-D file of one row. Gives the bytes of its coordinates.
    pub fn open_signature(path: &Path) -> Result<(Self, Vec<u8>), NpyError> {
        let matrix = Self::with_shape(path, |shape| match shape {
            [columns] | [1, columns] => Some((1, *columns)),
            _ => None,
        })?;
        let mut values = Vec::new();
        matrix.for_each_chunk(0, 1, |_, bytes| {
            values.extend_from_slice(bytes);
            matrix.signature(0, bytes).map(|_| ())
        })?;
        Ok((matrix, values))
    }

    fn with_shape(path: &Path, take: impl Fn(&[u64]) -> Option<(u64, u64)>) -> Result<Self, NpyError> {
        let refuse = |problem: Problem| NpyError::new(path, problem);
        let file = File::open(path).map_err(|e| refuse(Problem::Read(e)))?;
        let found = file.metadata().map_err(|e| refuse(Problem::Read(e)))?.len();
        if found == 0 {
            return Err(refuse(Problem::Empty));
        }
        let mut reader = BufReader::new(file);
        let bytes = read_header(&mut reader).map_err(|e| refuse(Problem::Header(e)))?;
        let header = NpyHeader::from_reader(&bytes[..]).map_err(|e| refuse(Problem::Header(e)))?;
        let element =
            element_type(&header.dtype()).ok_or_else(|| refuse(Problem::Type(header.dtype().descr())))?;
        let (rows, columns) =
            take(header.shape()).ok_or_else(|| refuse(Problem::Shape(header.shape().to_vec())))?;
        if header.order() == Order::Fortran && rows > 1 {
            return Err(refuse(Problem::Fortran));
        }
        if rows == 0 {
            return Err(refuse(Problem::Empty));
        }
        let dim = usize::try_from(columns)
            .map_err(|_| Rejected::new("dimension", format!("{columns} is too large")))
            .and_then(Dimension::new)
            .map_err(|e| refuse(Problem::Dimension(e)))?;
        let data_start = bytes.len() as u64;
        let matrix = Self {
            path: path.to_owned(),
            data_start,
            element,
            rows,
            dim,
        };
        let expected = u128::from(data_start) + u128::from(rows) * matrix.row_bytes() as u128;
        if u128::from(found) != expected {
            return Err(refuse(Problem::Length { expected, found }));
        }
        Ok(matrix)
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.dim.get() * self.element.size()
    }

    /// Checks every row as the server would: finite and of unit norm. `seen` is told how many rows are done.
    pub fn check_rows(&self, seen: impl Fn(u64)) -> Result<(), NpyError> {
        self.for_each_chunk(0, self.chunk_rows(), |first, bytes| {
            for (row, values) in (first..).zip(bytes.chunks_exact(self.row_bytes())) {
                self.signature(row, values)?;
            }
            seen(first + (bytes.len() / self.row_bytes()) as u64);
            Ok(())
        })
    }

    /// Gives every row in order as a signature; refuses the first one that is none.
    pub fn for_each_signature(&self, mut take: impl FnMut(Signature)) -> Result<(), NpyError> {
        self.for_each_chunk(0, self.chunk_rows(), |first, bytes| {
            for (row, values) in (first..).zip(bytes.chunks_exact(self.row_bytes())) {
                take(self.signature(row, values)?);
            }
            Ok(())
        })
    }

    fn signature(&self, row: u64, bytes: &[u8]) -> Result<Signature, NpyError> {
        Signature::parse(bytes, self.element, self.dim)
            .map_err(|Rejected { problem, .. }| NpyError::new(&self.path, Problem::Row { row, problem }))
    }

    /// Rows that are read at a time.
    fn chunk_rows(&self) -> usize {
        (READ_BYTES / self.row_bytes()).max(1)
    }

    /// Gives the rows from number `first` on in order, up to `chunk_rows` at a time, with the number of the first of them.
    pub fn for_each_chunk<E: From<NpyError>>(
        &self,
        mut first: u64,
        chunk_rows: usize,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |source| NpyError::new(&self.path, Problem::Read(source));
        let mut file = File::open(&self.path).map_err(failed)?;
        let start = self.data_start + first * self.row_bytes() as u64;
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut buffer = vec![0; chunk_rows * self.row_bytes()];
        while first < self.rows {
            let rows = (self.rows - first).min(chunk_rows as u64);
            let length = usize::try_from(rows).expect("at most chunk_rows") * self.row_bytes();
            let (chunk, _) = buffer.split_at_mut(length);
            file.read_exact(chunk).map_err(failed)?;
            take(first, chunk)?;
            first += rows;
        }
        Ok(())
    }
}

/// The bytes of a header that its parser can be trusted with: it believes the length that a file states, and nests as deep as the text does.
fn read_header(file: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let refused = |problem: String| std::io::Error::new(std::io::ErrorKind::InvalidData, problem);
    let mut bytes = vec![0; MAGIC.len() + 4];
    file.read_exact(&mut bytes)
        .map_err(|_| refused("it is too short for one".to_owned()))?;
    let (magic, version, length) = match *bytes.as_slice() {
        [a, b, c, d, e, f, version, _, low, high] => (
            [a, b, c, d, e, f],
            version,
            u32::from(u16::from_le_bytes([low, high])),
        ),
        _ => unreachable!("as long as it was made"),
    };
    if magic != MAGIC {
        return Err(refused("it does not begin with \\x93NUMPY".to_owned()));
    }
    let length = if version == 1 {
        length
    } else {
        // From version 2 on the length has four bytes.
        let mut rest = [0; 2];
        file.read_exact(&mut rest)?;
        bytes.extend_from_slice(&rest);
        length | u32::from(u16::from_le_bytes(rest)) << 16
    };
    let start = bytes.len();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > HEADER_BYTES_MAX {
        return Err(refused(format!(
            "its length is {length} bytes; at most {HEADER_BYTES_MAX} are read"
        )));
    }
    bytes.resize(start + length, 0);
    let text = bytes.get_mut(start..).expect("just made");
    file.read_exact(text)?;
    let count = |of: fn(&u8) -> bool| text.iter().filter(|byte| of(byte)).count();
    let brackets = count(|byte| b"([{".contains(byte));
    let digits = count(u8::is_ascii_digit);
    // Anything but decimal digits, as 0xff, is no shape that `NumPy` writes.
    let radix = text
        .windows(2)
        .any(|pair| matches!(pair, [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B']));
    if brackets > HEADER_BRACKETS_MAX || digits > HEADER_DIGITS_MAX || radix {
        return Err(refused(format!(
            "it opens {brackets} brackets and has {digits} digits; at most {HEADER_BRACKETS_MAX} and {HEADER_DIGITS_MAX} decimal ones are read"
        )));
    }
    Ok(bytes)
}

fn element_type(dtype: &DType) -> Option<ElementType> {
    let DType::Plain(text) = dtype else {
        return None;
    };
    match (text.endianness(), text.type_char(), text.size_field()) {
        (Endianness::Little, TypeChar::Float, 2) => Some(ElementType::F16),
        (Endianness::Little, TypeChar::Float, 4) => Some(ElementType::F32),
        _ => None,
    }
}

/// Reads subject ids, one a line, for `rows` rows. Refuses a wrong count, a malformed id and one that comes twice.
pub fn read_ids(path: &Path, rows: u64) -> Result<Vec<SubjectId>, NpyError> {
    let refuse = |problem: Problem| NpyError::new(path, problem);
    let file = File::open(path).map_err(|e| refuse(Problem::Read(e)))?;
    let mut ids = Vec::new();
    let mut lines_by_id: HashMap<SubjectId, u64> = HashMap::new();
    for (line, text) in (1..).zip(BufReader::new(file).lines()) {
        let text = text.map_err(|e| refuse(Problem::Read(e)))?;
        let id: SubjectId = text
            .trim_end_matches('\r')
            .parse()
            .map_err(|problem| refuse(Problem::Id { line, problem }))?;
        if let Some(first) = lines_by_id.insert(id.clone(), line) {
            return Err(refuse(Problem::IdTwice { id, first, line }));
        }
        ids.push(id);
    }
    if ids.len() as u64 != rows {
        return Err(refuse(Problem::IdCount {
            ids: ids.len() as u64,
            rows,
        }));
    }
    Ok(ids)
}

/// A refused file. Rows count from 0, as in `NumPy`; lines from 1.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct NpyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

impl NpyError {
    fn new(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum Problem {
    /// The system can't read it.
    #[error("can't be read: {0}")]
    Read(std::io::Error),
    /// No byte or no row.
    #[error("is empty; at least one row is expected")]
    Empty,
    /// No `NumPy` header.
    #[error("has no readable .npy header: {0}")]
    Header(std::io::Error),
    /// Another type.
    #[error(
        "holds elements of type {0}; '<f2' or '<f4' (little-endian half or single precision) is expected"
    )]
    Type(String),
    /// Another number of axes, or more rows than one.
    #[error("has shape {0:?}; rows × coordinates is expected (one row for a single signature)")]
    Shape(Vec<u64>),
    /// Column after column.
    #[error("is in Fortran order; C order is expected (numpy.ascontiguousarray)")]
    Fortran,
    /// Not a possible number of coordinates.
    #[error("{0}")]
    Dimension(Rejected),
    /// Shorter or longer than its header says.
    #[error("is {found} bytes long; its header asks for {expected} ({})", if u128::from(*found) < *expected { "truncated" } else { "bytes follow the last row" })]
    Length {
        /// Bytes by the header.
        expected: u128,
        /// Bytes of the file.
        found: u64,
    },
    /// No signature.
    #[error("row {row}: {problem}")]
    Row {
        /// From 0.
        row: u64,
        /// Why.
        problem: String,
    },
    /// No subject id.
    #[error("line {line}: {problem}")]
    Id {
        /// From 1.
        line: u64,
        /// Why.
        problem: Rejected,
    },
    /// The same id on two lines.
    #[error("line {line}: {id} stands on line {first} already; one row a subject is expected")]
    IdTwice {
        /// Which.
        id: SubjectId,
        /// Where first.
        first: u64,
        /// Where again.
        line: u64,
    },
    /// Not one id a row.
    #[error("holds {ids} ids for {rows} rows; one id a row is expected")]
    IdCount {
        /// Ids in the list.
        ids: u64,
        /// Rows in the file.
        rows: u64,
    },
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
