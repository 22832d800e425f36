//! Tests of NumPy files, against the reader that the command line has.

use super::*;

#[test]
fn the_header_is_aligned_and_says_the_shape() {
    let header = header("<f2", 12, 256);
    assert!(header.len().is_multiple_of(64));
    assert!(header.ends_with(b"\n"));
    let text = String::from_utf8_lossy(&header);
    assert!(
        text.contains("'shape': (12, 256)") && text.contains("'descr': '<f2'"),
        "{text}"
    );
}

#[test]
fn the_values_follow_the_header() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("values.npy");
    write(&path, "<f4", 2, &[1.0_f32, 2.0, 3.0, 4.0])?;
    let bytes = std::fs::read(path)?;
    assert_eq!(bytes.len(), 128 + 16);
    assert!(bytes.ends_with(&4.0_f32.to_le_bytes()));
    Ok(())
}
