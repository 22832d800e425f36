//! Tests of the command tree: every command parses, and slips are usage errors.

use clap::CommandFactory;

use super::*;

fn parses(line: &str) -> bool {
    Cli::try_parse_from(line.split_whitespace()).is_ok()
}

#[test]
fn the_tree_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_parses() {
    let consent = "--policy-version 1 --purpose doors --expires 2099-01-01T00:00:00Z --consent-method in-app";
    for line in [
        "thenar init --data d --name db.example",
        "thenar serve --config thenar.toml",
        "thenar front --listen 0.0.0.0:7443",
        "thenar match --data d --backend gpu",
        "thenar tenant create acme --dim 512 --target-fpir 0.01 --gallery-size 5",
        "thenar tenant list --json",
        "thenar tenant show acme",
        "thenar tenant drop acme --confirm acme",
        "thenar cert issue --role scanner --tenant acme --name door-1",
        "thenar identify p.npy --hand left --candidates 5",
        "thenar verify ada p.npy --seal",
        "thenar keys probe --tenant acme",
        "thenar investigate p.npy --candidates 1000",
        "thenar serve --kernel portable",
        "thenar tenant create acme --deterministic",
        "thenar erase ada --wait 30",
        "thenar erase --link badge-id=7",
        "thenar receipt verify r.json --data d --config c --json",
        "thenar receipt verify - --public-key 0000000000000000000000000000000000000000000000000000000000000000",
        "thenar history --subject ada",
        "thenar audit checkpoint --tenant acme",
        "thenar audit verify --data d --tenant acme --against c.json --against - --json",
        "thenar export --tenant acme --subject ada",
        "thenar export --link badge-id=7",
        "thenar stats acme",
        "thenar demo --palms 1000 --dim 512 --scanners 4 --seconds 1 --backend cpu --kernel portable --data d --json",
        "thenar load --tenant a=5 --tenant b --rate 2 --bursts 5:100 --seconds 3 --scanners 4 --deadline-ms 100 --enroll 50",
        "thenar load --data d --config c --server https://db:1 --yes-aim-at db --tenant a --html r.html --json",
        r"thenar eval images --pattern (?<palm>\d+)_(?<sample>\d+) --roi --enrol 2 --dim 256 --report out --json",
        "thenar eval --signatures x.npy --labels l.csv --encoder mine/1",
        "thenar calibrate out --target-fpir 0.01 --gallery-size 5000 --tenant acme --data d --json",
        "thenar top --metrics http://db:9464 --interval 0.5 --once",
        "thenar config check --config thenar.toml",
        "thenar data verify --data d --tenant acme",
        "thenar data backup --data d --tenant acme --tenant other --to -",
        "thenar data restore - --data d --journal j",
        "thenar data restore b --data d --without-journal --json",
    ] {
        assert!(parses(line), "{line}");
    }
    assert!(parses(&format!(
        "thenar import p.npy --ids i --hand left --encoder mine/1 {consent}"
    )));
    assert!(!parses(&format!(
        "thenar import p.npy --ids i --hand left {consent}"
    )));
    assert!(parses(&format!(
        "thenar enroll --left a.npy --right b.npy {consent}"
    )));
}

#[test]
fn slips_are_refused() {
    let consent = "--policy-version 1 --purpose doors --expires 2099-01-01T00:00:00Z --consent-method in-app";
    for line in [
        "thenar",
        "thenar dmeo",
        "thenar tenant create ACME",
        "thenar tenant create acme --dim 100",
        "thenar tenant drop acme",
        "thenar cert issue --role boss --name x",
        "thenar identify p.npy --quality 101",
        "thenar identify p.npy --candidates 1001",
        "thenar investigate p.npy --candidates 0",
        "thenar serve --kernel mmx",
        "thenar erase",
        "thenar erase ada --link badge-id=7",
        "thenar export",
        "thenar export --subject ada --link badge-id=7",
        "thenar receipt verify",
        "thenar receipt verify r.json --public-key 00",
        "thenar enroll --left a.npy",
        "thenar import p.npy --hand left",
        "thenar demo --palms 0",
        "thenar data backup --data d",
        "thenar data restore b --data d",
        "thenar data restore b --journal j",
        "thenar data restore b --data d --journal j --without-journal",
        "thenar demo --backend tpu",
        "thenar eval images",
        "thenar eval images --pattern (?<sample>.)",
        "thenar eval --signatures x.npy",
        "thenar calibrate",
        "thenar calibrate out --target-fpir 0",
        "thenar calibrate out --gallery-size 0",
    ] {
        assert!(!parses(line), "{line}");
    }
    assert!(!parses(&format!("thenar enroll {consent}")), "no palm");
}

#[test]
fn usage_has_an_exit_code_of_its_own() {
    assert_eq!(CliError::Usage(String::new()).exit_code(), 2);
    assert_eq!(CliError::TimedOut(String::new()).exit_code(), 1);
}
