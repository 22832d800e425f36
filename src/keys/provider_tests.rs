//! Tests of key sources: each gives the key, and each way it can fail is said in words.

use std::fs;

use super::*;

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn key() -> SecretKey {
    SecretKey::from_bytes(std::array::from_fn(|i| u8::try_from(i).expect("below 32")))
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

#[test]
fn a_made_file_is_private_and_loads() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("kek");
    let made = KekSource::create_file(&path).expect("made");
    let bits = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(bits & 0o777, 0o600);
    assert_eq!(KekSource::File(path.clone()).load().expect("loads"), made);
    assert!(matches!(KekSource::create_file(&path), Err(KeyError::Io { .. })));
    assert_eq!(KekSource::File(path).load().expect("unchanged"), made);
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("kek");
    fs::write(&path, HEX).expect("written");
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
        let error = KekSource::File(path.clone()).load().expect_err("exposed");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("changed");
    assert_eq!(KekSource::File(path).load().expect("private"), key());
}

#[test]
fn both_texts_of_a_key_are_read_and_others_are_not() {
    assert_eq!(parse(&format!(" {HEX}\n"), "x").expect("hex"), key());
    assert_eq!(parse(BASE64, "x").expect("base64"), key());
    for (text, words) in [
        ("", "0 bytes"),
        ("AAEC", "3 bytes"),
        (&HEX[1..], "neither"),
        (&format!("{}g", &HEX[1..]), "64 characters are neither"),
    ] {
        let error = parse(text, "the source").expect_err("not a key").to_string();
        assert!(error.contains(words) && error.contains("the source"), "{error}");
        assert!(text.len() < 8 || !error.contains(text), "shows the text: {error}");
    }
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let error = KekSource::Env("THENAR_TEST_NO_SUCH_VARIABLE".to_owned())
        .load()
        .expect_err("missing");
    assert!(
        error
            .to_string()
            .contains("THENAR_TEST_NO_SUCH_VARIABLE is not set")
    );
}

#[test]
fn a_command_gives_the_key() {
    let argv = shell(&format!("echo {BASE64}"));
    assert_eq!(KekSource::Command(argv).load().expect("a key"), key());
}

#[test]
fn a_command_that_fails_hangs_or_is_missing_is_refused() {
    let second = Duration::from_millis(300);
    for (argv, words) in [
        (vec![], "names no program"),
        (vec!["/no/such/program".to_owned()], "can't be started"),
        (shell(&format!("echo {HEX}; exit 3")), "exit status: 3"),
        (shell("sleep 20"), "did not finish within 0.3 s"),
        (
            shell(&format!("echo {HEX}; exec >&-; sleep 20")),
            "did not finish",
        ),
        (shell("echo nonsense"), "does not hold a key"),
    ] {
        let begun = Instant::now();
        let error = run_command(&argv, second)
            .and_then(|text| parse(&text, "the command"))
            .expect_err(words)
            .to_string();
        assert!(error.contains(words), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{words}");
    }
}

#[test]
fn sources_have_a_text_form() {
    for (source, json) in [
        (KekSource::File("/k".into()), r#"{"file":"/k"}"#),
        (KekSource::Env("K".to_owned()), r#"{"env":"K"}"#),
        (KekSource::Command(vec!["a".to_owned()]), r#"{"command":["a"]}"#),
    ] {
        assert_eq!(serde_json::to_string(&source).expect("json"), json);
        let read: KekSource = serde_json::from_str(json).expect("json");
        assert_eq!(read, source);
    }
}

#[test]
fn the_example_of_a_command_gives_the_key_or_says_why_not() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("kek"), format!("{BASE64}\n")).expect("written");
    let run = |directory: &str, name: &str| {
        let argv = ["env", directory, "examples/kek-command.sh", name];
        KekSource::Command(argv.map(str::to_owned).to_vec()).load()
    };
    let given = format!("CREDENTIALS_DIRECTORY={}", dir.path().display());
    assert_eq!(run(&given, "kek").expect("a key"), key());
    for (directory, name, words) in [
        (given.as_str(), "other", "exit status: 66"),
        (given.as_str(), "../kek", "exit status: 64"),
        ("CREDENTIALS_DIRECTORY=", "kek", "exit status: 78"),
    ] {
        let error = run(directory, name).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_password_is_what_the_source_holds_without_the_end_of_its_line() {
    let password = |line: &str| KekSource::Command(shell(&format!("printf '{line}'"))).password();
    assert_eq!(
        password(" pass word \\r\\n").expect("one").as_str(),
        " pass word "
    );
    let refusal = password("\\n").expect_err("none").to_string();
    assert!(
        refusal.ends_with("is empty; it is to hold a password"),
        "{refusal}"
    );
}
