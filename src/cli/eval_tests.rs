//! Tests of the options, of signatures and images as they come, and of what is written.

use clap::Parser;

use super::*;
use crate::model::signature::Encoder;
use crate::population::Population;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parsed(line: &[&str]) -> Result<Args, clap::Error> {
    let line = ["eval"].iter().chain(line);
    Line::try_parse_from(line).map(|line| line.args)
}

/// Signatures of simulated palms, palm after palm.
fn simulated(palms: u64, samples: u64) -> Vec<(u64, Vec<f32>)> {
    let population = Population::new(3, Dimension::new(64).expect("valid"));
    let numbers = (0..palms).flat_map(|palm| (0..samples).map(move |sample| (palm, sample)));
    numbers
        .map(|(palm, sample)| (palm, population.probe(palm, sample)))
        .collect()
}

/// A report on simulated palms.
pub fn report_of(palms: u64, samples: u64) -> Report {
    let captures = simulated(palms, samples)
        .into_iter()
        .enumerate()
        .map(|(row, (palm, values))| Capture {
            palm: palm.to_string(),
            sample: row.to_string(),
            outcome: Ok(Signature::new(values, Dimension::new(64).expect("valid")).expect("of unit norm")),
        });
    let set = Set::new(captures.collect()).expect("a set");
    let encoder = Encoder::new("test", "1").expect("valid");
    Report::new(&set, Plan { enrol: 1, seed: 1 }, Some(encoder))
}

/// Files of signatures and labels, and a folder to report to.
fn files(rows: &[(u64, Vec<f32>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 64), }}\n",
        rows.len()
    );
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
    npy.extend(header.as_bytes());
    npy.extend(
        rows.iter()
            .flat_map(|(_, values)| values.iter().flat_map(|value| value.to_le_bytes())),
    );
    std::fs::write(dir.path().join("x.npy"), npy).expect("written");
    let labels: Vec<String> = rows.iter().map(|(palm, _)| palm.to_string()).collect();
    std::fs::write(dir.path().join("labels.txt"), labels.join("\n")).expect("written");
    dir
}

fn run_on(dir: &std::path::Path, more: &[&str]) -> Result<Report, CliError> {
    let path = |name: &str| dir.join(name).display().to_string();
    let (signatures, labels, report) = (path("x.npy"), path("labels.txt"), path("out/a"));
    let options = [
        "--signatures",
        &signatures,
        "--labels",
        &labels,
        "--report",
        &report,
    ];
    run(&parsed(&[&options, more].concat()).expect("options"))?;
    let text = std::fs::read(dir.join("out/a").join(REPORT_FILE)).expect("written");
    Ok(serde_json::from_slice(&text).expect("a report"))
}

#[test]
fn images_or_signatures_are_evaluated_and_not_both() {
    for line in [
        &[
            "d",
            "--pattern",
            "(?<palm>.)",
            "--roi",
            "--dim",
            "256",
            "--enrol",
            "2",
            "--report",
            "out",
            "--json",
        ][..],
        &["d", "--pattern", r"(?<index>\d)", "--per-palm", "10"],
        &[
            "--signatures",
            "x.npy",
            "--labels",
            "l",
            "--encoder",
            "mine/2",
            "--seed",
            "5",
        ],
    ] {
        assert!(parsed(line).is_ok(), "{line:?}");
    }
    for line in [
        &[][..],
        &["d"],
        &["d", "--pattern", "(?<sample>.)"],
        &["d", "--pattern", "(?<palm>.)", "--dim", "128"],
        &["d", "--pattern", "(?<palm>.)", "--enrol", "0"],
        &["d", "--pattern", "(?<palm>.)", "--encoder", "mine/2"],
        &[
            "d",
            "--pattern",
            "(?<palm>.)",
            "--signatures",
            "x.npy",
            "--labels",
            "l",
        ],
        &["--signatures", "x.npy"],
        &["--signatures", "x.npy", "--labels", "l", "--roi"],
        &["--signatures", "x.npy", "--labels", "l", "--dim", "256"],
    ] {
        assert!(parsed(line).is_err(), "{line:?}");
    }
}

#[test]
fn signatures_of_a_file_become_a_report() {
    let dir = files(&simulated(12, 3));
    let report = run_on(dir.path(), &["--encoder", "mine/2", "--enrol", "2"]).expect("a report");
    assert_eq!(report.encoder, Some(Encoder::new("mine", "2").expect("valid")));
    assert_eq!(
        (report.dimension, report.summary.palms, report.summary.enrol),
        (64, 12, 2)
    );
    assert_eq!((report.summary.mated, report.identification.searches), (36, 12));
    assert!(report.rates().is_ok());
    let page = std::fs::read_to_string(dir.path().join("out/a").join(PAGE_FILE)).expect("written");
    assert!(page.contains("12 palms, 36 captures"));
    assert!(!dir.path().join("out/a").join(FAILED_FILE).exists());
}

#[test]
fn signatures_that_can_t_be_compared_are_refused() {
    let rows = simulated(3, 2);
    let labelled = |labels: &str| {
        let dir = files(&rows);
        std::fs::write(dir.path().join("labels.txt"), labels).expect("written");
        run_on(dir.path(), &[]).expect_err("refused").to_string()
    };
    assert!(labelled("a\na\nb\nb\nc\n").contains("holds 5 labels for 6 rows"));
    assert!(labelled("a\nb\nc\nd\ne\nf\n").contains("none of 6 palms has two signatures"));
    assert!(labelled("a\na\na\na\na\na\n").contains("1 palms with a signature"));
    assert!(labelled("a,1\na,1\nb,1\nb,2\nc,1\nc,2\n").contains("two captures are palm \"a\", sample \"1\""));
    let mut long = rows.clone();
    long[4].1[0] = 2.0;
    let refused = run_on(files(&long).path(), &[]).expect_err("refused").to_string();
    assert!(refused.contains("x.npy: row 4: has norm"), "{refused}");
}

#[test]
fn images_without_a_signature_are_listed_with_their_reasons() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["1_1.png", "1_2.png", "2_1.png", "2_\"2.png"] {
        std::fs::write(dir.path().join(name), "no image").expect("written");
    }
    let folder = dir.path().display().to_string();
    let args = parsed(&[&folder, "--pattern", r"(?<palm>\d)_"]).expect("options");
    let (captures, failed) = images(&args).expect("read");
    assert!(
        captures
            .iter()
            .all(|capture| capture.outcome == Err("not-an-image".to_owned()))
    );
    assert_eq!(failed[0], ("1_1.png".to_owned(), "not-an-image"));
    prepare(&dir.path().join("out")).expect("made");
    let told = told(&failed).expect("some failed");
    assert_eq!(
        told,
        "4 images gave no signature (4 not-an-image), the first is 1_1.png: not-an-image"
    );
    let out = dir.path().join("out");
    write(&out, &report_of(3, 2)).expect("written");
    list(&out, &failed).expect("written");
    assert!(
        !out.join(REPORT_FILE).exists() && !out.join(PAGE_FILE).exists(),
        "an earlier run's"
    );
    let list_text = std::fs::read_to_string(dir.path().join("out").join(FAILED_FILE)).expect("written");
    assert_eq!(list_text.lines().next(), Some("reason,file"));
    assert!(
        list_text.contains("not-an-image,\"2_\"\"2.png\"\n"),
        "{list_text}"
    );
    let told = run(&args).expect_err("refused").to_string();
    assert!(told.starts_with("0 palms with a signature"), "{told}");

    list(&out, &[]).expect("removed");
    assert!(
        !out.join(FAILED_FILE).exists(),
        "nothing failed, and the list of an earlier run is gone"
    );
}

#[test]
fn what_is_no_signature_is_a_failure_to_acquire() {
    let image = || Image {
        path: "a/1_1.png".into(),
        name: "1_1.png".to_owned(),
        palm: "1".to_owned(),
        sample: "1".to_owned(),
    };
    let dim = Dimension::new(32).expect("valid");
    let (sound, failed) = capture(image(), Ok([vec![1.0], vec![0.0; 31]].concat()), dim);
    assert!(sound.outcome.is_ok() && failed.is_none());
    for values in [vec![0.0; 32], vec![f32::NAN; 32], vec![1.0; 31]] {
        let (capture, failed) = capture(image(), Ok(values), dim);
        assert_eq!(capture.outcome, Err("no-signature".to_owned()));
        assert_eq!(failed, Some(("1_1.png".to_owned(), "no-signature")));
    }
}

#[test]
fn a_folder_that_can_t_be_written_to_is_told_before_anything_is_read() {
    let dir = files(&simulated(3, 2));
    std::fs::write(dir.path().join("out"), "a file where the folder should be").expect("written");
    std::fs::write(dir.path().join("labels.txt"), "not read").expect("written");
    let told = run_on(dir.path(), &[]).expect_err("refused").to_string();
    assert!(told.contains("out/a: "), "{told}");
}
