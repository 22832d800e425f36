//! Tests of labels: both kinds of lines, and refusals that name file and line.

use super::*;

fn parsed(text: &str, rows: u64) -> Result<Vec<(String, String)>, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("labels.csv");
    std::fs::write(&path, text).expect("written");
    let told = |error: CliError| error.to_string().replace(&path.display().to_string(), "FILE");
    read(&path, rows).map_err(told)
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = labels
        .iter()
        .map(|(palm, sample)| ((*palm).to_owned(), (*sample).to_owned()));
    owned.collect()
}

#[test]
fn captures_are_numbered_where_they_have_no_sample() {
    assert_eq!(
        parsed("a\nb\na\r\n", 3),
        Ok(owned(&[("a", "1"), ("b", "1"), ("a", "2")]))
    );
    assert_eq!(parsed("palm\na\n", 1), Ok(owned(&[("a", "1")])));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_label() {
    let expected = Ok(owned(&[("a", "1"), ("a", "2")]));
    assert_eq!(parsed("\u{feff}a\na\n", 2), expected);
    assert_eq!(parsed("\u{feff}palm,sample\na,1\na,2\n", 2), expected);
    // Anywhere else it is a character as any other.
    assert_eq!(
        parsed("a\n\u{feff}a\n", 2),
        Ok(owned(&[("a", "1"), ("\u{feff}a", "1")]))
    );
}

#[test]
fn a_sample_may_stand_behind_the_palm() {
    let expected = Ok(owned(&[("a b", "7"), ("c", "x,y")]));
    assert_eq!(parsed("palm,sample\na b, 7\nc,x,y", 2), expected);
    assert_eq!(parsed("a b\t7\nc\tx,y\n", 2), expected);
}

#[test]
fn labels_that_don_t_fit_are_refused_by_line() {
    let refused = |text: &str, rows| parsed(text, rows).expect_err("refused");
    assert_eq!(
        refused("a\n\n", 2),
        "FILE: line 2: a label of 0 bytes; 1 to 256 are expected"
    );
    assert_eq!(
        refused("a,\n", 1),
        "FILE: line 1: a label of 0 bytes; 1 to 256 are expected"
    );
    assert!(refused(&"x".repeat(257), 1).contains("257 bytes"));
    assert_eq!(
        refused("a\nb,1\n", 2),
        "FILE: line 2: PALM and PALM,SAMPLE don't mix"
    );
    assert_eq!(
        refused("a\n", 2),
        "FILE: holds 1 labels for 2 rows; one a row is expected"
    );
    assert_eq!(
        refused("a\nb\nc\nd\n", 2),
        "FILE: holds 3 labels for 2 rows; one a row is expected"
    );
}
