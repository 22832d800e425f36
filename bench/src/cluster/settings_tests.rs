//! The configurations say what the cluster is agreed to be told.

use super::*;

fn common(cache_mib: Option<u32>) -> Common {
    Common {
        replicas: 2,
        catalog: "host=here user=thenar dbname=thenar".to_owned(),
        objects: "url = \"file:///objects\"\n".to_owned(),
        flush_rows: 64,
        merges: cache_mib.is_none(),
        cache_mib,
        log: "info".to_owned(),
    }
}

fn own<'a>() -> Own<'a> {
    Own {
        data: Path::new("data"),
        kek: Path::new("kek"),
        ca: Path::new("ca.pem"),
        tls: Path::new("tls"),
        address: "127.0.0.1:7001",
        advertised: "127.0.0.1:7003",
        metrics: "127.0.0.1:7002",
    }
}

/// The lines of a section, the head of the file being the one without a name.
fn section<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let mut sections = vec![("", Vec::new())];
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let named = |(one, _): &(&str, Vec<&str>)| *one == name;
            assert!(!sections.iter().any(named), "[{name}] is there twice");
            sections.push((name, Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line);
        }
    }
    let found = sections.into_iter().find(|(one, _)| *one == name);
    found.map(|(_, lines)| lines).unwrap_or_default()
}

#[test]
fn a_node_is_told_where_fronts_reach_it_and_how_much_it_may_keep() {
    let text = common(Some(3)).of_node(&own());
    assert_eq!(
        section(&text, "cluster"),
        [
            "enabled = true",
            "replicas = 2",
            "address = \"127.0.0.1:7003\"",
            "weight_mib = 256",
            "merge_segments = 0"
        ]
    );
    assert_eq!(
        section(&text, "storage.objects"),
        ["url = \"file:///objects\"", "cache_bytes_max = 3145728"]
    );
    assert_eq!(section(&text, "matching"), ["address = \"127.0.0.1:7001\""]);
    assert!(section(&text, "").contains(&"kek = { file = \"kek\" }"));
    assert!(section(&text, "matcher").contains(&"flush_rows = 64"));
}

#[test]
fn a_front_is_told_of_the_cluster_and_has_no_routes() {
    let text = common(Some(3)).of_front(&own());
    assert_eq!(section(&text, "cluster"), ["enabled = true", "replicas = 2"]);
    assert_eq!(section(&text, "storage.objects"), ["url = \"file:///objects\""]);
    assert_eq!(
        section(&text, "catalog"),
        ["address = \"host=here user=thenar dbname=thenar\""]
    );
    assert!(!text.contains("routes"));
}

#[test]
fn a_single_node_and_its_front_have_no_cluster() {
    let node = common(None).of_single_node(&own());
    let front = common(None).of_single_front(&own(), "127.0.0.1:7003");
    for text in [&node, &front] {
        assert_eq!(section(text, "cluster"), Vec::<&str>::new());
        assert!(!text.contains("cache_bytes_max"));
    }
    assert!(section(&front, "catalog").is_empty());
    assert_eq!(section(&front, "routes"), ["default = \"node-1\""]);
    assert!(section(&front, "routes.nodes.node-1").contains(&"address = \"127.0.0.1:7003\""));
}
