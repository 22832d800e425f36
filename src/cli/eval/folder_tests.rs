//! Tests of folders: the layouts of the public research sets, what is left out, and what is refused by name.

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for file in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "").expect("written");
    }
    dir
}

/// Palm and sample of each file.
fn labels(pattern: &str, per_palm: Option<u64>, files: &[&str]) -> Vec<(String, String)> {
    let dir = folder(files);
    let found = find(dir.path(), &pattern.parse().expect("a pattern"), per_palm).expect("found");
    assert_eq!(found.images.len() + found.skipped, files.len());
    let labels = found.images.into_iter().map(|image| (image.palm, image.sample));
    labels.collect()
}

fn refused(pattern: &str, per_palm: Option<u64>, files: &[&str]) -> String {
    let dir = folder(files);
    let told = find(dir.path(), &pattern.parse().expect("a pattern"), per_palm);
    let told = told.expect_err("refused").to_string();
    told.replace(&dir.path().display().to_string(), "DIR")
}

/// The patterns that docs/accuracy.md gives, on paths as the sets have them.
#[test]
fn the_layouts_of_the_research_sets_are_told_apart() {
    for (pattern, per_palm, files, expected) in [
        (
            r"(?<palm>\d+)_(?<sample>\d+)",
            None,
            ["0001_0002.bmp", "0012_0001.bmp"],
            [("0001", "0002"), ("0012", "0001")],
        ),
        (
            r"session(?<session>\d)/(?<index>\d+)",
            Some(10),
            ["session1/00010.bmp", "session2/00011.bmp"],
            [("1", "1/10"), ("2", "2/1")],
        ),
        (
            r"(?<hand>[LR])[a-z]+[^/]*/(?<palm>\d+)_(?<sample>\d+)",
            None,
            ["Segmented/Left/001_1.bmp", "Segmented/Right/001_1.bmp"],
            [("001/L", "1"), ("001/R", "1")],
        ),
        (
            r"PolyU_(?<palm>\d+)_(?<session>[FS])_(?<sample>\d+)",
            None,
            ["PolyU_001_F_01.bmp", "PolyU_001_S_01.bmp"],
            [("001", "F/01"), ("001", "S/01")],
        ),
        (
            r"(?<palm>\d+)_[mf]_(?<hand>[lr])_(?<sample>\d+)",
            None,
            ["0001/0001_m_l_01.jpg", "0001/0001_m_r_01.jpg"],
            [("0001/l", "01"), ("0001/r", "01")],
        ),
    ] {
        let expected = expected.map(|(palm, sample)| (palm.to_owned(), sample.to_owned()));
        assert_eq!(labels(pattern, per_palm, &files), expected, "{pattern}");
    }
}

#[test]
fn without_a_sample_the_path_tells_captures_apart() {
    let found = labels("^(?<palm>[^/]+)/", None, &["ada/b.png", "ada/a.png"]);
    let sample = |name: &str| ("ada".to_owned(), name.to_owned());
    assert_eq!(found, [sample("ada/a.png"), sample("ada/b.png")]);
}

#[test]
fn files_that_don_t_fit_are_left_out_and_counted() {
    // In the second the group took no part.
    assert_eq!(
        labels(
            r"(?:p(?<palm>\d)|x)\.png",
            None,
            &["p1.png", "x.png", "Thumbs.db"]
        )
        .len(),
        1
    );
}

#[cfg(unix)]
#[test]
fn links_to_files_are_files_and_other_links_are_counted() {
    use std::os::unix::fs::symlink;

    let dir = folder(&["a/1_1.png", "b/keep"]);
    let link = |to: &str, at: &str| symlink(dir.path().join(to), dir.path().join(at)).expect("linked");
    link("a/1_1.png", "b/1_2.png");
    link("a", "b/a");
    link(".", "b/round");
    link("nowhere", "b/1_3.png");
    let pattern = r"(?<palm>\d+)_(?<sample>\d+)".parse().expect("a pattern");
    let found = find(dir.path(), &pattern, None).expect("found");
    let names: Vec<&str> = found.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["a/1_1.png", "b/1_2.png"]);
    assert_eq!((found.skipped, found.not_followed), (1, 3));
}

#[test]
fn what_gives_no_labels_is_refused_by_name() {
    let plain = r"(?<palm>\d+)_(?<sample>\d+)";
    assert_eq!(refused(plain, None, &[]), "DIR: no file is in it or below");
    assert_eq!(
        refused(plain, None, &["b/a.png", "c.png"]),
        format!("DIR: --pattern {plain} is found in none of 2 paths, as b/a.png")
    );
    assert_eq!(
        refused(plain, None, &["a/1_2.png", "b/1_2.png"]),
        "a/1_2.png and b/1_2.png are both palm \"1\", sample \"2\" by --pattern"
    );
    assert!(refused(plain, Some(10), &["1_2.png"]).contains("--per-palm"));
    assert!(refused(r"(?<index>\d+)", None, &["1.png"]).contains("--per-palm"));
    assert_eq!(
        refused("(?<palm>)", None, &["1.png"]),
        "1.png: the palm's label by --pattern is empty"
    );
    assert_eq!(
        refused(r"(?<index>\d+)", Some(10), &["000.png"]),
        "000.png: \"000\" is no running number from 1 on"
    );
    assert!(
        refused(r"(?<index>\d+)", Some(10), &["99999999999999999999999.png"]).contains("no running number")
    );
    let nowhere = find(
        Path::new("no/such/folder"),
        &plain.parse().expect("a pattern"),
        None,
    );
    assert!(
        nowhere
            .expect_err("refused")
            .to_string()
            .starts_with("no/such/folder: ")
    );
}

#[test]
fn a_pattern_names_the_palm() {
    let refused = |text: &str| text.parse::<Pattern>().expect_err("refused");
    assert!(refused(r"(?<sample>\d+)").contains("(?<palm>…) is needed"));
    assert!(refused(r"(?<palm>\d)(?<index>\d)").contains("is needed"));
    assert_eq!(
        refused(r"(?<palm>\d)(?<finger>\d)"),
        "group finger is none of palm, hand, session, sample, index"
    );
    assert!(refused("(").contains("unclosed group"));
}
