//! Tests of the logging set-up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[test]
fn filters_are_parsed_and_refused_with_an_example() {
    assert!(parse("info,thenar=debug").is_ok());
    let error = parse("info,thenar=loudest").expect_err("no such level");
    assert!(error.contains("loudest") && error.contains("info,thenar=debug"));
}

/// What is logged under a filter of a warning of each of these.
fn logged(filter: &str) -> Vec<&'static str> {
    let subscriber = tracing_subscriber::registry().with(parse(filter).expect("sound"));
    tracing::subscriber::with_default(subscriber, || {
        let warned = [
            (
                "thenar",
                tracing::enabled!(target: "thenar::server", tracing::Level::WARN),
            ),
            (
                "h2",
                tracing::enabled!(target: "h2::proto::streams", tracing::Level::WARN),
            ),
            (
                "hyper",
                tracing::enabled!(target: "hyper::proto", tracing::Level::WARN),
            ),
            (
                "rustls",
                tracing::enabled!(target: "rustls::msgs", tracing::Level::WARN),
            ),
        ];
        warned
            .iter()
            .filter(|(_, is_on)| *is_on)
            .map(|(name, _)| *name)
            .collect()
    })
}

#[test]
fn warnings_that_callers_bring_about_are_left_out_unless_they_are_asked_for() {
    for filter in ["info", "trace", "warn,thenar=debug", ""] {
        let expected = if filter.is_empty() { vec![] } else { vec!["thenar"] };
        assert_eq!(logged(filter), expected, "{filter}");
    }
    assert_eq!(logged("info,h2=debug,rustls=warn"), ["thenar", "h2", "rustls"]);
}

/// Words of a text that look like a metric, without what Prometheus appends to a histogram's.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("thenar_"))
        .map(|word| {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end));
            base.unwrap_or(word).to_owned()
        })
        .collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    entries
        .map(|entry| entry.expect("readable").path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn whoever_names_a_metric_names_one_that_there_is_and_each_is_documented() {
    let known = named(include_str!("telemetry.rs"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut asked = 0;
    for file in files(&root.join("docker"))
        .into_iter()
        .chain(files(&root.join("docs")))
        .filter(|file| file.extension().is_none_or(|kind| kind != "png"))
    {
        let names = named(&std::fs::read_to_string(&file).expect("text"));
        asked += names.len();
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", file.display());
    }
    assert!(asked > known.len(), "rules and dashboard were read");
    let documented = named(&std::fs::read_to_string(root.join("docs/operations.md")).expect("text"));
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "docs/operations.md does not tell of {missing:?}"
    );
}
