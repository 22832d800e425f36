"""Checks the files of this folder as data: they parse, what one names is there, each alert has its tests and its entry in the runbook."""

import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).parent
faults = []


def need(holds, fault):
    if not holds:
        faults.append(fault)


def documents(name):
    return list(yaml.safe_load_all((HERE / name).read_text()))


def compose():
    (file,) = documents("compose.yaml")
    services = file["services"]
    for name, service in services.items():
        need(service.get("profiles"), f"compose: {name} is in no profile")
        for other in service.get("depends_on", {}):
            need(other in services, f"compose: {name} depends on {other}, which is not there")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                need((HERE / source).exists(), f"compose: {name} mounts {source}, which is not there")
            else:
                need(source in file["volumes"], f"compose: {name} mounts {source}, which is no volume")
    ports = [(profile, port) for s in services.values() for profile in s["profiles"] for port in s.get("ports", [])]
    need(len(ports) == len(set(ports)), "compose: two services of one profile publish one port")


def kubernetes(name):
    objects = documents(f"kubernetes/{name}")
    for thing in objects:
        need({"apiVersion", "kind", "metadata"} <= thing.keys(), f"{name}: {thing} is no object")
    names = {(thing["kind"], thing["metadata"]["name"]) for thing in objects}
    for thing in objects:
        spec = thing.get("spec", {})
        if thing["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            need((target["kind"], target["name"]) in names, f"{name}: the autoscaler follows {target}")
        if "template" not in spec:
            continue
        pod = spec["template"]["spec"]
        need(spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"], f"{name}: selector and labels")
        volumes = {volume["name"] for volume in pod["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        for container in pod["initContainers"] + pod["containers"]:
            for mount in container["volumeMounts"]:
                need(mount["name"] in volumes, f"{name}: {container['name']} mounts {mount['name']}")
        (server,) = pod["containers"]
        ports = {port["name"] for port in server["ports"]}
        for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            get = server[probe]["httpGet"]
            need(get["path"] == path and get["port"] in ports, f"{name}: {probe} asks {get}")


def alerts():
    (rules,) = documents("prometheus/rules.yml")
    (tests,) = documents("prometheus/rules_test.yml")
    told = {True: set(), False: set()}
    for test in tests["tests"]:
        for case in test["alert_rule_test"]:
            told[bool(case["exp_alerts"])].add(case["alertname"])
    for group in rules["groups"]:
        for rule in group["rules"]:
            need(rule["alert"] in told[True], f"rules: no test shows {rule['alert']} fire")
            need(rule["alert"] in told[False], f"rules: no test shows {rule['alert']} stay silent")
    runbook(rule for group in rules["groups"] for rule in group["rules"])


def anchors(text):
    """Those of a document's headings, as GitHub and GitLab make them."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)", text, re.MULTILINE)}


def runbook(rules):
    entries = set()
    for rule in rules:
        file, _, anchor = rule["annotations"].get("runbook_url", "").partition("#")
        entries.add(anchor)
        document = HERE.parent / file
        there = document.is_file() and anchor in anchors(document.read_text())
        need(anchor == rule["alert"].lower() and there, f"rules: {rule['alert']} leads to no entry: {file}#{anchor}")
    text = (HERE.parent / "docs/runbook.md").read_text()
    told = {anchor for anchor in anchors(text) if re.match(r"thenar\w", anchor)}
    need(told <= entries, f"runbook: no rule raises {told - entries}")
    led = set(re.findall(r"\]\(#(.*?)\)", text))
    need(led <= anchors(text), f"runbook: there is no {led - anchors(text)}")


def dashboard():
    file = json.loads((HERE / "grafana/thenar.json").read_text())
    ids = [panel["id"] for panel in file["panels"]]
    need(len(ids) == len(set(ids)), "dashboard: two panels have one id")
    for panel in file["panels"]:
        need(panel["targets"] and all(t["expr"] for t in panel["targets"]), f"dashboard: {panel['title']} asks nothing")


compose()
for manifest in ("match.yaml", "front.yaml"):
    kubernetes(manifest)
documents("kubernetes/adapter.yaml")
for provisioning in sorted(HERE.glob("grafana/provisioning/*/*.yaml")):
    documents(provisioning.relative_to(HERE))
alerts()
dashboard()
for fault in faults:
    print(fault, file=sys.stderr)
print(f"docker: {len(faults)} faults")
sys.exit(bool(faults))
