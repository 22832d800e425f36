//! Tests of palms given as images: what is sent for one, and what is refused.

use super::*;
use crate::palms::{Palms, Side, preset};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    palm: PalmOptions,
    #[command(flatten)]
    capture: CaptureOptions,
}

fn parse(args: &[&str]) -> Result<Line, clap::Error> {
    clap::Parser::try_parse_from([&["probe"], args].concat())
}

/// The signature that a command line with an image of a palm sends.
fn signature(image: &image::GrayImage, args: &[&str]) -> Result<api::Signature, CliError> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("palm.png");
    image.save(&path).expect("written");
    let file = path.to_str().expect("a name");
    let line = parse(&[&["--image", file], args].concat()).expect("a valid line");
    line.palm.signature(Some(HandOption::Left), &line.capture)
}

#[test]
fn an_image_becomes_a_signature() {
    let palms = Palms::new(3, preset::test());
    let palm = palms.palm(1, Side::Left);
    for (image, args) in [(palm.region(0), &["--roi"][..]), (palm.hand(0, false).image, &[])] {
        let sent = signature(&image, args).expect("a palm");
        assert_eq!(sent.data.len(), 4 * DIM_USUAL);
        assert_eq!(sent.hand(), api::Hand::Left);
        assert!((1..=100).contains(&sent.quality));
    }
    let long = signature(&palm.region(0), &["--roi", "--image-dim", "512"]).expect("a palm");
    assert_eq!(long.data.len(), 4 * 512);
}

#[test]
fn the_lower_quality_counts() {
    let region = Palms::new(3, preset::test()).palm(1, Side::Left).region(0);
    let own = signature(&region, &["--roi"]).expect("a palm").quality;
    assert_eq!(
        signature(&region, &["--roi", "--quality", "1"])
            .expect("a palm")
            .quality,
        1.min(own)
    );
}

#[test]
fn an_image_without_a_hand_names_file_and_reason() {
    let refused = signature(&image::GrayImage::new(200, 200), &[]).expect_err("blank");
    let text = refused.to_string();
    assert!(text.contains("palm.png") && text.contains("(blank)"), "{text}");
}

#[test]
fn another_encoder_does_not_go_with_an_image() {
    let region = Palms::new(3, preset::test()).palm(1, Side::Left).region(0);
    let refused = signature(&region, &["--roi", "--encoder", "other/2"]).expect_err("another encoder");
    assert!(
        matches!(&refused, CliError::Usage(text) if text.contains("other/2")),
        "{refused}"
    );
    let sent = signature(&region, &["--roi", "--encoder", "thenar-palm/1"]).expect("its own");
    assert_eq!(
        sent,
        api::Signature {
            capture_time: sent.capture_time,
            ..signature(&region, &["--roi"]).expect("a palm")
        }
    );
}

#[test]
fn a_file_of_a_signature_needs_its_encoder() {
    let line = parse(&["a.npy"]).expect("a valid line");
    let refused = line.palm.signature(None, &line.capture).expect_err("no encoder");
    assert!(
        matches!(&refused, CliError::Usage(text) if text.contains("--encoder") && text.contains("a.npy")),
        "{refused}"
    );
}

#[test]
fn a_palm_is_a_signature_or_an_image() {
    assert!(parse(&[]).is_err());
    assert!(parse(&["a.npy", "--image", "b.png"]).is_err());
    assert!(parse(&["a.npy"]).is_ok() && parse(&["--image", "b.png"]).is_ok());
}

#[test]
fn a_file_larger_than_any_image_is_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.png");
    // A file of no bytes on disk that claims more than any image has.
    let file = std::fs::File::create(&path).expect("made");
    file.set_len(FILE_BYTES_MAX + 1).expect("a sparse file");
    let refused = FailureToAcquire::FileTooLarge {
        bytes_max: FILE_BYTES_MAX,
    };
    assert_eq!(read(&path).expect("read"), Err(refused));
}
