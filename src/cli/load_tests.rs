//! Tests of the options of `load`: tenants with their rates, shares, and what can't be.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parsed(line: &str) -> Result<Args, clap::Error> {
    let words = std::iter::once("load").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args)
}

#[test]
fn tenants_may_have_rates_of_their_own() {
    let args = parsed("--tenant a=2.5 --tenant b --rate 7").expect("valid");
    let rates: Vec<Option<f64>> = args.tenants.iter().map(|one| one.rate).collect();
    assert_eq!(rates, [Some(2.5), None]);
    assert_eq!(args.tenants[1].tenant.to_string(), "b");
}

#[test]
fn a_tenant_must_be_named() {
    for odd in [
        "",
        "--rate 5",
        "--tenant a=-1",
        "--tenant a=x",
        "--tenant UPPER",
        "--tenant a --rate 1e7",
        "--tenant a --rate NaN",
        "--tenant a --strangers 1.1",
        "--tenant a --scanners 0",
        "--tenant a --bursts 5",
        "--tenant a --deadline-ms 0",
    ] {
        assert!(parsed(odd).is_err(), "{odd}");
    }
}

#[test]
fn shares_are_of_everybody() {
    let args = parsed("--tenant a --strangers 0.6 --regulars 0.5").expect("valid each");
    let text = check(&args).expect_err("more than everybody").to_string();
    assert!(text.contains("0.6") && text.contains("0.5"), "{text}");
    assert!(check(&parsed("--tenant a --strangers 0.5 --regulars 0.5").expect("valid")).is_ok());
}
