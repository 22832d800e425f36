//! Tests of the output: columns line up, and a closed pipe is no failure.

use super::*;

struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn columns_line_up_and_rows_may_be_short() {
    let cells = |row: &[&str]| row.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
    let text = table(&[
        cells(&["a", "bb", "c"]),
        cells(&["ääää"]),
        cells(&["x", "y", "z"]),
    ]);
    assert_eq!(text, "a     bb  c\nääää\nx     y   z\n");
    assert_eq!(table(&[]), "");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    assert!(write(&mut Broken(io::ErrorKind::BrokenPipe), "x").is_ok());
    let error = write(&mut Broken(io::ErrorKind::StorageFull), "x").expect_err("full");
    assert!(error.to_string().contains("standard output"));
}

#[test]
fn a_line_is_written_whole() {
    let mut out = Vec::new();
    write(&mut out, "{}").expect("memory takes it");
    assert_eq!(out, b"{}\n");
}
