"""Checks the files of this folder as data: they parse, what one names is there, each alert has its tests and its entry in the runbook.

Usage: check.py [THENAR], a built binary, which reads the settings in the manifests too.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import yaml

HERE = pathlib.Path(__file__).parent
MANIFESTS = ("match.yaml", "front.yaml", "admin.yaml")
# Seconds that a server has to let go of its data, after the drain.
LET_GO = 20
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
        if "template" in spec:
            workload(name, spec)


def workload(name, spec):
    pod = spec["template"]["spec"]
    need(spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"], f"{name}: selector and labels")
    volumes = {volume["name"] for volume in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
    for container in pod["initContainers"] + pod["containers"]:
        for mount in container["volumeMounts"]:
            need(mount["name"] in volumes, f"{name}: {container['name']} mounts {mount['name']}")
    told = (HERE / "README.md").read_text()
    secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    secrets |= {variable["valueFrom"]["secretKeyRef"]["name"] for variable in pod["containers"][0].get("env", []) if "valueFrom" in variable}
    for secret in secrets:
        need(f"`{secret}`" in told, f"{name}: README does not tell of the secret {secret}")
    for container in pod["initContainers"]:
        script = container["command"][-1]
        need(script.startswith("test -e /data/thenar/FORMAT "), f"{name}: {container['name']} makes what is there already")
    (server,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        get = server[probe]["httpGet"]
        need(get["path"] == path and get["port"] in ports, f"{name}: {probe} asks {get}")
    # Otherwise a service `thenar` gives every pod variables THENAR_..., which are no settings.
    need(pod.get("enableServiceLinks") is False, f"{name}: services become settings")
    settings = configured(pod)
    pause = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pause + settings["drain_seconds_max"] + LET_GO
    need(pause > 0 and pod["terminationGracePeriodSeconds"] >= needed, f"{name}: a drain takes {needed} s")
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(ports["metrics"])}
    need(spec["template"]["metadata"].get("annotations") == scraped, f"{name}: annotations for Prometheus")
    limit = binary(server["resources"]["limits"]["memory"])
    if server["args"][0] == "match":
        codes = settings.get("engine", {}).get("resident_bytes_max", 0)
        need(0 < codes <= limit // 2, f"{name}: codes of {codes} bytes in {limit} bytes of memory; the other half is for the rest")
        need(spec.get("podManagementPolicy") == "Parallel", f"{name}: one node that can't load keeps the others from starting")
    else:
        needed = front_bytes(settings) + sum(binary(volume["emptyDir"]["sizeLimit"]) for volume in pod["volumes"] if "emptyDir" in volume)
        need(limit >= needed, f"{name}: a front may take {needed} bytes, and has {limit}")
    lasts(name, spec, server)


def lasts(name, spec, server):
    """A keyring is on a volume that lasts and that one pod alone writes, or nobody can write it."""
    pod = spec["template"]["spec"]
    if "volumeClaimTemplates" in spec:
        is_alone = server["args"][0] == "match" or spec["replicas"] == 1
        need(is_alone, f"{name}: fronts with keyrings of their own that change")
        # Otherwise every mount opens the files to the group, and a key-encryption key that others may read is refused.
        need(pod["securityContext"].get("fsGroupChangePolicy") == "OnRootMismatch", f"{name}: each mount changes the files' modes")
        return
    secrets = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
    keyring = [mount for mount in server["volumeMounts"] if mount["mountPath"] == "/data/thenar/keyring"]
    need(
        [mount["name"] in secrets and mount.get("readOnly") for mount in keyring] == [True],
        f"{name}: new keys end with the pod",
    )


def configured(pod):
    """The settings of a pod's server: its configuration file, from whichever manifest has it."""
    (config,) = (volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume)
    things = [thing for name in MANIFESTS for thing in documents(f"kubernetes/{name}")]
    (text,) = (t["data"]["thenar.toml"] for t in things if (t["kind"], t["metadata"]["name"]) == ("ConfigMap", config))
    return tomllib.loads(text)


def binary(quantity):
    """Bytes of a quantity such as 6Gi."""
    return int(quantity[:-2]) << {"Mi": 20, "Gi": 30}[quantity[-2:]]


def front_bytes(settings):
    """What a front takes by its limits, and a gibibyte for connections, remembered answers and itself."""
    example = tomllib.loads((HERE.parent / "thenar.example.toml").read_text())
    source = (HERE.parent / "src/service/routes.rs").read_text()
    (calls,) = re.findall(r"^pub const CALLS_MAX: usize = ([\d_]+);", source, re.MULTILINE)
    (kib,) = re.findall(r"^const REQUEST_BYTES_MAX: usize = (\d+) << 10;", source, re.MULTILINE)

    def setting(section, name):
        return settings.get(section, {}).get(name, example[section][name])

    recent = setting("recent_matches", "bytes_max") if setting("recent_matches", "per_site_max") else 0
    return setting("front", "rotations_bytes_max") + recent + int(calls) * (int(kib) << 10) + (1 << 30)


def relabelled(labels, steps):
    """The labels of a target as Prometheus makes them, or nothing where it drops the target; with the actions that kubernetes.yml uses."""
    labels = dict(labels)
    for step in steps:
        value = step.get("separator", ";").join(labels.get(name, "") for name in step["source_labels"])
        found = re.fullmatch(step.get("regex", "(.*)"), value)
        if step.get("action", "replace") == "replace":
            if found:
                labels[step["target_label"]] = found[1]
        elif step["action"] != "keep":
            need(False, f"kubernetes.yml: what {step['action']} does is not known here")
        elif not found:
            return None
    return {name: value for name, value in labels.items() if name == "__address__" or not name.startswith("__")}


def scrapes():
    """The job `thenar` finds each pod of the manifests once, at its metrics, and gives it the labels that adapter.yaml wants."""
    (prometheus,) = documents("prometheus/kubernetes.yml")
    (adapter,) = documents("kubernetes/adapter.yaml")
    (job,) = prometheus["scrape_configs"]
    need(job["job_name"] == "thenar", "kubernetes.yml: ThenarDown looks for the job thenar")
    (rule,) = adapter["rules"]["custom"]
    for thing in (thing for name in MANIFESTS for thing in documents(f"kubernetes/{name}")):
        if "template" not in thing.get("spec", {}):
            continue
        name, template = thing["metadata"]["name"], thing["spec"]["template"]
        meta = {"namespace": "palms", "pod_name": f"{name}-0", "pod_ip": "10.0.0.9", "pod_phase": "Running"}
        for kind in ("labels", "annotations"):
            for key, value in template["metadata"][kind].items():
                meta[f"pod_{kind[:-1]}_{re.sub(r'[^a-zA-Z0-9_]', '_', key)}"] = value
        found = []
        for port in [port for container in template["spec"]["containers"] for port in container["ports"]] + [{}]:
            at = meta | ({"pod_container_port_name": port["name"]} if port else {})
            found.append(relabelled({f"__meta_kubernetes_{key}": value for key, value in at.items()}, job["relabel_configs"]))
        targets = [target for target in found if target]
        want = {"__address__": "10.0.0.9:9464", "namespace": "palms", "pod": f"{name}-0", "instance": f"{name}-0", "tier": name.split("-")[1]}
        need(targets == [want], f"kubernetes.yml: {name} is scraped as {targets}")
        need(rule["resources"]["overrides"].keys() <= want.keys(), f"adapter.yaml: {name} has no labels {rule['resources']['overrides']}")
    need(
        all('job="thenar"' in rule[query] for query in ("seriesQuery", "metricsQuery")),
        "adapter.yaml: calls count once for each job that scrapes a pod",
    )


def settings(thenar):
    """The settings in the manifests as the server reads them."""
    for name in MANIFESTS:
        for thing in documents(f"kubernetes/{name}"):
            if thing["kind"] != "ConfigMap":
                continue
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write(thing["data"]["thenar.toml"])
                file.flush()
                done = subprocess.run([thenar, "config", "check", "--config", file.name], env={}, capture_output=True, text=True)
            need(done.returncode == 0, f"{name}: {done.stderr.strip()}")


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
for manifest in MANIFESTS:
    kubernetes(manifest)
scrapes()
if len(sys.argv) > 1:
    settings(sys.argv[1])
for provisioning in sorted(HERE.glob("grafana/provisioning/*/*.yaml")):
    documents(provisioning.relative_to(HERE))
alerts()
dashboard()
for fault in faults:
    print(fault, file=sys.stderr)
print(f"docker: {len(faults)} faults")
sys.exit(bool(faults))
