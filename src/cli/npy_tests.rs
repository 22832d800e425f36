//! Tests of the files: every refusal names the file, what was found and what is expected.

use half::f16;
use tempfile::TempDir;

use super::*;

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    fn npy(&self, dtype: &str, fortran: bool, shape: &str, data: &[u8]) -> PathBuf {
        let order = if fortran { "True" } else { "False" };
        let header = format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}");
        let padding = 64 - (10 + header.len() + 1) % 64;
        let text = format!("{header}{}\n", " ".repeat(padding));
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(text.len()).expect("short").to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(data);
        self.write("rows.npy", &bytes)
    }
}

/// Rows of unit norm at dimension 32: one coordinate each.
fn rows_f32(rows: usize) -> Vec<f32> {
    let mut values = vec![0.0; rows * 32];
    for row in 0..rows {
        values[row * 32 + row % 32] = 1.0;
    }
    values
}

fn bytes_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[track_caller]
fn refused(path: &Path, words: &[&str]) {
    let error = Matrix::open(path)
        .and_then(|matrix| matrix.check_rows(|_| {}))
        .expect_err("refused")
        .to_string();
    let name = path.file_name().and_then(|n| n.to_str()).expect("named");
    for word in words.iter().chain(&[name]) {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

#[test]
fn single_and_half_precision_are_read() {
    let files = Files::new();
    let values = rows_f32(40);
    let path = files.npy("<f4", false, "(40, 32)", &bytes_f32(&values));
    let matrix = Matrix::open(&path).expect("valid");
    assert_eq!(
        (matrix.rows, matrix.dim.get(), matrix.element),
        (40, 32, ElementType::F32)
    );
    matrix.check_rows(|_| {}).expect("unit vectors");

    let halves: Vec<u8> = values
        .iter()
        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
        .collect();
    let matrix = Matrix::open(&files.npy("<f2", false, "(40, 32)", &halves)).expect("valid");
    assert_eq!((matrix.element, matrix.row_bytes()), (ElementType::F16, 64));
    matrix.check_rows(|_| {}).expect("unit vectors");
}

#[test]
fn chunks_give_every_row_once_and_in_order() {
    let files = Files::new();
    let data = bytes_f32(&rows_f32(40));
    let matrix = Matrix::open(&files.npy("<f4", false, "(40, 32)", &data)).expect("valid");
    for (start, expected) in [(0, &[0, 16, 32][..]), (20, &[20, 36]), (40, &[])] {
        let mut all = Vec::new();
        let mut firsts = Vec::new();
        matrix
            .for_each_chunk::<NpyError>(start, 16, |first, bytes| {
                firsts.push(first);
                all.extend_from_slice(bytes);
                Ok(())
            })
            .expect("read");
        assert_eq!(firsts, expected);
        assert_eq!(all, data[usize::try_from(start).expect("small") * 32 * 4..]);
    }
}

#[test]
fn a_truncated_or_overlong_file_tells_both_lengths() {
    let files = Files::new();
    let data = bytes_f32(&rows_f32(3));
    let path = files.npy("<f4", false, "(3, 32)", &data[..data.len() - 4]);
    refused(&path, &["508 bytes", "512", "truncated"]);
    let mut longer = data;
    longer.push(0);
    refused(
        &files.npy("<f4", false, "(3, 32)", &longer),
        &["513 bytes", "512", "follow"],
    );
}

#[test]
fn other_types_and_byte_orders_are_refused() {
    let files = Files::new();
    for dtype in ["<f8", ">f4", "<i4", "|u1"] {
        refused(
            &files.npy(dtype, false, "(1, 32)", &[0; 32 * 8]),
            &[dtype, "<f2", "<f4"],
        );
    }
}

#[test]
fn fortran_order_is_refused() {
    let files = Files::new();
    let data = bytes_f32(&rows_f32(2));
    refused(
        &files.npy("<f4", true, "(2, 32)", &data),
        &["Fortran", "ascontiguousarray"],
    );
}

#[test]
fn other_shapes_are_refused() {
    let files = Files::new();
    let data = bytes_f32(&rows_f32(2));
    refused(&files.npy("<f4", false, "(1, 2, 32)", &data), &["[1, 2, 32]"]);
    refused(
        &files.npy("<f4", false, "(64,)", &data),
        &["[64]", "rows × coordinates"],
    );
    refused(
        &files.npy("<f4", false, "(64, 1)", &data),
        &["1 is not a multiple of 32"],
    );
    refused(&files.npy("<f4", false, "(0, 32)", &[]), &["is empty"]);
}

#[test]
fn a_nan_names_its_row_and_coordinate() {
    let files = Files::new();
    let mut values = rows_f32(7_200);
    values[7_123 * 32 + 5] = f32::NAN;
    let path = files.npy("<f4", false, "(7200, 32)", &bytes_f32(&values));
    refused(&path, &["row 7123: coordinate 5 is not a finite number"]);
}

#[test]
fn zero_and_long_rows_are_refused() {
    let files = Files::new();
    let mut values = rows_f32(3);
    values[2 * 32 + 2] = 0.0;
    refused(
        &files.npy("<f4", false, "(3, 32)", &bytes_f32(&values)),
        &["row 2", "norm 0.0000"],
    );
    values[2 * 32 + 2] = 2.0;
    refused(
        &files.npy("<f4", false, "(3, 32)", &bytes_f32(&values)),
        &["row 2", "norm 2.0000"],
    );
}

#[test]
fn empty_and_foreign_files_are_refused() {
    let files = Files::new();
    refused(&files.write("empty.npy", b""), &["is empty"]);
    refused(&files.write("text.npy", b"palm,palm,palm"), &["header"]);
    refused(Path::new("no-such-file.npy"), &["can't be read"]);
}

#[test]
fn a_signature_is_one_row_of_one_or_two_axes() {
    let files = Files::new();
    let data = bytes_f32(&rows_f32(1));
    for shape in ["(32,)", "(1, 32)"] {
        let path = files.npy("<f4", false, shape, &data);
        let (matrix, bytes) = Matrix::open_signature(&path).expect(shape);
        assert_eq!((matrix.dim.get(), &bytes), (32, &data), "{shape}");
    }
    let two = files.npy("<f4", false, "(2, 32)", &bytes_f32(&rows_f32(2)));
    let error = Matrix::open_signature(&two).expect_err("two rows").to_string();
    assert!(error.contains("[2, 32]") && error.contains("one row"), "{error}");
}

#[test]
fn ids_are_one_a_line() {
    let files = Files::new();
    let ids = read_ids(&files.write("ids", b"ada\nbob\r\ncy"), 3).expect("valid");
    let text: Vec<&str> = ids.iter().map(SubjectId::as_str).collect();
    assert_eq!(text, ["ada", "bob", "cy"]);
}

#[test]
fn ids_that_are_too_few_double_or_malformed_are_refused() {
    let files = Files::new();
    let told = |bytes: &[u8], rows| {
        read_ids(&files.write("ids", bytes), rows)
            .expect_err("refused")
            .to_string()
    };
    assert!(told(b"ada\nbob\n", 3).contains("2 ids for 3 rows"));
    assert!(told(b"ada\nbob\nada\n", 3).contains("line 3: ada stands on line 1 already"));
    let text = told(b"ada\n\ncy\n", 3);
    assert!(text.contains("line 2") && text.contains("subject_id"), "{text}");
    assert!(told(b"a b\n", 1).contains("line 1"));
}

#[test]
fn a_header_that_its_parser_can_not_be_trusted_with_is_refused() {
    let files = Files::new();
    // The length field alone: nothing of that size is there, nor made room for.
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend(u32::MAX.to_le_bytes());
    refused(&files.write("rows.npy", &bytes), &["4294967295 bytes", "10000"]);
    // Each level would double the parser's time; a thousand would end its stack.
    for depth in [7, 40, 2_000] {
        let shape = "[".repeat(depth) + &"]".repeat(depth);
        refused(
            &files.npy("<f4", false, &shape, &[]),
            &[if depth == 7 { "dimension" } else { "brackets" }],
        );
    }
    // A product beyond 64 bits.
    refused(
        &files.npy("<f4", false, "(4294967296, 4294967296)", &[]),
        &["21 digits", "20"],
    );
    refused(
        &files.npy("<f4", false, "(0xffffffffff, 0xffffffffff)", &[]),
        &["decimal"],
    );
}
