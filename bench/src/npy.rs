//! Writes matrices as NumPy files, version 1.0. Reads none.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Magic number and version.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// The header's length is a multiple of this, so that the values are aligned in a mapping.
const ALIGNMENT: usize = 64;

/// Writes `values`, `columns` to a row. `kind` is NumPy's name of their little-endian type, `<f2` or `<f4`.
pub fn write<T: bytemuck::NoUninit>(path: &Path, kind: &str, columns: usize, values: &[T]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&header(kind, values.len() / columns, columns))?;
    file.write_all(bytemuck::cast_slice(values))?;
    file.flush()
}

fn header(kind: &str, rows: usize, columns: usize) -> Vec<u8> {
    let mut text =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}").into_bytes();
    let before = MAGIC.len() + size_of::<u16>();
    let length = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - before;
    text.resize(length - 1, b' ');
    text.push(b'\n');
    let length = u16::try_from(length).expect("the header is short");
    [MAGIC, &length.to_le_bytes(), &text].concat()
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
