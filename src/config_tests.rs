//! Tests of the configuration: the example is sound, unknown keys and odd limits are refused by name.

use super::*;
use crate::keys::provider::KekSource;

fn loaded(text: &str) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    load(Some(file.path()))
}

fn refusal(text: &str) -> String {
    loaded(text).expect_err(text).to_string()
}

#[test]
fn the_example_shows_the_defaults() {
    let text = include_str!("../thenar.example.toml");
    assert_eq!(loaded(text).expect("sound"), Config::default());
}

/// Paths of all settings that have a value.
fn settings(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(table) => {
            for (key, value) in table {
                settings(value, &format!("{path}.{key}"), found);
            }
        }
        serde_json::Value::Null => {}
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn the_example_shows_every_setting_that_has_a_default() {
    let (mut shown, mut there) = (Vec::new(), Vec::new());
    let example = Figment::from(Toml::string(include_str!("../thenar.example.toml")));
    settings(&example.extract().expect("sound"), "", &mut shown);
    let defaults = serde_json::to_value(Config::default()).expect("plain values");
    settings(&defaults, "", &mut there);
    there.retain(|path| !shown.contains(path));
    assert!(there.is_empty(), "{there:?}");
    assert!(shown.contains(&".engine.wait_ms_max".to_owned()), "{shown:?}");
}

#[test]
fn every_line_that_the_example_comments_out_is_sound_too() {
    let text: String = include_str!("../thenar.example.toml")
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let config = loaded(&text).expect("sound");
    assert!(config.kek.is_some() && !config.routes.nodes.is_empty());
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for (text, word) in [
        ("colour = 1", "colour"),
        ("[listen]\nport = 1", "port"),
        ("[engine]\nbackend = \"tpu\"", "tpu"),
        ("[routes.nodes.a]\naddress = \"x:1\"\nweight = 1", "weight"),
    ] {
        assert!(refusal(text).contains(word), "{}", refusal(text));
    }
}

#[test]
fn a_next_key_is_of_a_cluster_and_of_a_key_that_is_there() {
    let text = |cluster: &str| {
        let engines =
            "[storage.objects]\nurl = \"file:///s\"\n[catalog]\naddress = \"postgres://thenar@localhost/p\"";
        format!("[cluster]\n{cluster}\n{engines}")
    };
    let next = "next_kek = { file = \"next.kek\" }";
    let alone = loaded(&text(next)).expect("inert");
    assert!(alone.kek_sources().next.is_none());
    let within = loaded(&text(&format!("enabled = true\n{next}"))).expect("sound");
    let sources = [within.kek_sources(), within.catalog_kek_sources()];
    assert!(
        sources.iter().all(|sources| sources.next.is_some()),
        "one key for both"
    );
    let catalog = "enabled = true\nnext_catalog_kek = { file = \"next.kek\" }";
    let refused = refusal(&text(catalog));
    assert!(refused.contains("cluster.next_catalog_kek"), "{refused}");
}

#[test]
fn limits_are_named_with_value_and_range() {
    assert_eq!(
        refusal("[engine]\nbatch_max = 0"),
        "configuration: engine.batch_max: 0 is not from 1 to 1024"
    );
    let both = refusal("[engine]\nbatch_max = 64\nqueue_max = 10");
    assert!(
        both.contains("engine.queue_max") && both.contains("engine.batch_max (64)"),
        "{both}"
    );
    let small = refusal("[recent_matches]\nper_site_max = 10\nbytes_max = 81919");
    assert!(
        small.contains("recent_matches.bytes_max") && small.contains("81920"),
        "{small}"
    );
    for per_second in [0, 5] {
        let config = loaded(&format!("[quotas.scanner]\nper_second = {per_second}"));
        let scanner = config.expect("sound by itself").quotas.scanner;
        assert_eq!(
            (scanner.per_second, scanner.burst, scanner.at_once),
            (per_second, 0, 256)
        );
    }
    let burst = refusal("[quotas.scanner]\nper_second = 1\nburst = 601");
    assert!(
        burst.contains("quotas") && burst.contains("601") && burst.contains("600"),
        "{burst}"
    );
    for (value, is_sound) in [(0, true), (1, false), (2, true), (64, true), (65, false)] {
        let config = loaded(&format!("[cluster]\nmerge_segments = {value}"));
        assert_eq!(config.is_ok(), is_sound, "{value}");
        if let Err(error) = config {
            let text = error.to_string();
            assert!(
                text.contains("cluster.merge_segments") && text.contains("64"),
                "{text}"
            );
        }
    }
    for odd in ["0.0", "0.2", "-1e-9", "nan"] {
        let text = refusal(&format!("[engine]\nmiss_probability = {odd}"));
        assert!(
            text.contains("engine.miss_probability") && text.contains("up to 0.1"),
            "{text}"
        );
    }
    assert!(refusal("[engine]\nkernel = \"mmx\"").contains("mmx"));
    assert!(refusal("[tls]\ncert = \"a.pem\"").contains("tls.key"));
    assert!(refusal("[tls]\ntrust_domain = \"A/b\"").contains("tls.trust_domain"));
    assert!(refusal("[routes]\ndefault = \"m9\"").contains("m9"));
    for address in [
        "match-1.internal",
        "match-1:0",
        ":7444",
        "https://match-1:7444",
        "::1:7444",
        "[::g]:7444",
    ] {
        let text = refusal(&format!("[routes.nodes.a]\naddress = \"{address}\""));
        assert!(text.contains(address) && text.contains("HOST:PORT"), "{text}");
    }
    assert!(refusal("[routes.tenants]\n\"Bad Name\" = \"m\"").contains("Bad Name"));
}

#[test]
fn what_traces_can_t_do_is_refused_with_field_value_and_limit() {
    for share in ["-0.1", "1.01", "nan"] {
        let value = share.replace("nan", "NaN");
        assert_eq!(
            refusal(&format!("[traces]\nshare = {share}")),
            format!("configuration: traces.share: {value} is not from 0 to 1")
        );
    }
    for endpoint in [
        "collector:4317",
        "ftp://collector:4317",
        "http://collector",
        "http://collector:0",
        "http://collector:4317/v1/traces",
        "https://:4317",
        "",
    ] {
        let text = refusal(&format!("[traces]\nendpoint = \"{endpoint}\""));
        assert!(text.starts_with(&format!(
            "configuration: traces.endpoint: \"{endpoint}\" is neither"
        )));
    }
    for endpoint in [
        "http://127.0.0.1:4317",
        "https://[::1]:4317",
        "https://collector:4317/",
    ] {
        let text = format!("[traces]\nendpoint = \"{endpoint}\"\nshare = 1");
        assert_eq!(
            loaded(&text).expect("sound").traces.endpoint.as_deref(),
            Some(endpoint)
        );
    }
    assert!(refusal("[traces]\nendpoint = \"http://a:1\"\nca = \"a.pem\"").contains("traces.ca"));
    assert_eq!(
        refusal("[traces]\nqueue_max = 0"),
        "configuration: traces.queue_max: 0 is not from 1 to 1000000"
    );
    assert_eq!(
        refusal("[traces]\nanswer_seconds_max = 61"),
        "configuration: traces.answer_seconds_max: 61 is not from 1 to 60"
    );
}

#[test]
fn what_the_catalog_can_t_be_is_refused_and_no_password_is_repeated() {
    for (text, told) in [
        (
            "connections_max = 1",
            "catalog.connections_max: 1 is not from 2 to 1000",
        ),
        (
            "statement_seconds_max = 0",
            "catalog.statement_seconds_max: 0 is not from 1 to 86400",
        ),
        ("address = \"dbname=thenar\"", "catalog.address: it names no host"),
        (
            "password = { env = \"PW\" }",
            "catalog.password: is set and catalog.address is not",
        ),
    ] {
        assert_eq!(
            refusal(&format!("[catalog]\n{text}")),
            format!("configuration: {told}")
        );
    }
    for address in [
        "\"postgres://thenar:hunter2@db/thenar\"",
        "\"host=db password=hunter2\"",
        "\"postgres:/hunter2@db\"",
        "[\"hunter2\"]",
    ] {
        let said = refusal(&format!("[catalog]\naddress = {address}"));
        assert!(
            said.contains("catalog.address") && !said.contains("hunter2"),
            "{said}"
        );
    }
    let config = loaded("[catalog]\naddress = \"postgres://thenar@db/thenar\"").expect("sound");
    assert_eq!(config.catalog.connections_max, 8);
}

#[test]
fn an_object_store_needs_a_database_and_its_settings_an_object_store() {
    let database = "[catalog]\naddress = \"postgres://thenar@db/thenar\"\n";
    for (text, told) in [
        (
            "url = \"s3://palms\"",
            "storage.objects.url: is set and catalog.address is not: where catalogs are files, segments are beside them",
        ),
        (
            "region = \"r\"",
            "storage.objects.region: is set and storage.objects.url is not",
        ),
        (
            "allow_http = true",
            "storage.objects.allow_http: is set and storage.objects.url is not",
        ),
        (
            "cache_bytes_max = 5",
            "storage.objects.cache_bytes_max: 5 is not from 1048576 to 18446744073709551615",
        ),
        (
            "fetches_max = 0",
            "storage.objects.fetches_max: 0 is not from 1 to 256",
        ),
    ] {
        assert_eq!(
            refusal(&format!("[storage.objects]\n{text}")),
            format!("configuration: {told}")
        );
    }
    let inside = format!("{database}[storage.objects]\nurl = \"file:///c/d\"\ncache = \"/c\"");
    assert!(refusal(&inside).contains("storage.objects.url: is in storage.objects.cache (/c)"));
    let text = format!("{database}[storage.objects]\nurl = \"s3://palms\"");
    let objects = loaded(&text).expect("sound").storage.objects;
    assert_eq!((objects.cache_bytes_max, objects.fetches_max), (64 << 30, 4));
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Some(Path::new("no-such.toml"))).expect_err("missing");
    assert!(error.to_string().contains("no-such.toml"));
}

#[test]
fn the_key_is_in_the_data_directory_unless_it_is_set() {
    let config = loaded("data = \"d\"").expect("sound");
    assert_eq!(config.kek_source(), KekSource::File(PathBuf::from("d/kek")));
    let config = loaded("kek = { env = \"KEK\" }").expect("sound");
    assert_eq!(config.kek_source(), KekSource::Env("KEK".to_owned()));
}

#[test]
fn the_engine_takes_every_probability_that_the_configuration_allows() {
    for allowed in ["1e-300", "1e-2", "0.1"] {
        let config = loaded(&format!(
            "[engine]\nmiss_probability = {allowed}\nsign_plane = false"
        ));
        let engine = config.expect("sound").engine;
        assert!(!engine.sign_plane);
        let engine = crate::engine::EngineConfig {
            miss_probability: engine.miss_probability,
            ..crate::engine::EngineConfig::default()
        };
        engine.check().expect("allowed");
    }
}

#[test]
fn the_settings_of_the_examples_for_containers_are_sound() {
    let docker = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker");
    let read = |file: &str| std::fs::read_to_string(docker.join(file)).expect("text");
    // The text of a block in YAML, by its indentation.
    let block = |text: &str| {
        let lines = text
            .lines()
            .skip_while(|line| !line.ends_with("thenar.toml: |"))
            .skip(1);
        let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
        lines.fold(String::new(), |block, line| block + line.trim() + "\n")
    };
    let texts = ["split/front.toml", "split/match.toml"].map(read);
    let blocks = ["kubernetes/front.yaml", "kubernetes/match.yaml"].map(|file| block(&read(file)));
    for text in texts.iter().chain(&blocks) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let config = load(Some(file.path())).expect("sound");
        assert_eq!(config.metrics.address.port(), 9464);
        assert!(
            !config.metrics.address.ip().is_loopback(),
            "probes come from outside"
        );
    }
}

#[test]
fn a_key_in_the_place_of_its_source_is_not_repeated() {
    let key = "5a".repeat(32);
    for setting in super::KEY_SOURCES {
        for text in [
            format!("{setting} = \"{key}\""),
            format!("{setting} = [\"{key}\"]"),
            format!("{setting} = {{ env = [\"{key}\"] }}"),
            format!("{setting} = {{ \"{key}\" = 1 }}"),
        ] {
            let said = refusal(&text);
            assert!(said.contains(setting) && !said.contains(&key), "{text}: {said}");
        }
    }
}
