"""Checks the files of this folder as data: they parse, what one names is there, each alert has its tests and its entry in the runbook.

Usage: check.py [THENAR], a built binary, which reads the settings in the manifests too.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import yaml

HERE = pathlib.Path(__file__).parent
# Each is for a namespace of its own.
SPLIT = ("match.yaml", "front.yaml", "admin.yaml")
CLUSTER = ("cluster/match.yaml", "cluster/front.yaml", "cluster/migrate.yaml")
MANIFESTS = SPLIT + CLUSTER
# Settings of the compose file's servers.
FILES = ("split/match.toml", "split/front.toml", "cluster/match.toml", "cluster/front.toml")
# Sections whose names are the operator's.
NAMED = ("routes.nodes", "routes.tenants", "quotas.tenants")
# Names of metrics; in two pieces, so that it is none itself.
METRIC = "thenar" + r"_\w+"
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
        address = service.get("environment", {}).get("THENAR_CLUSTER__ADDRESS")
        need(address in (None, f"{name}:7444"), f"compose: fronts would look for {name} at {address}")
    ports = [(profile, port) for s in services.values() for profile in s["profiles"] for port in s.get("ports", [])]
    need(len(ports) == len(set(ports)), "compose: two services of one profile publish one port")


def kubernetes(name):
    objects = documents(f"kubernetes/{name}")
    for thing in objects:
        need({"apiVersion", "kind", "metadata"} <= thing.keys(), f"{name}: {thing} is no object")
    names = {(thing["kind"], thing["metadata"]["name"]) for thing in objects}
    (adapter,) = documents("kubernetes/adapter.yaml")
    measured = {rule["name"]["as"] for rule in adapter["rules"]["custom"]}
    for thing in objects:
        spec = thing.get("spec", {})
        if thing["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            need((target["kind"], target["name"]) in names, f"{name}: the autoscaler follows {target}")
            for metric in spec["metrics"]:
                asked = metric["pods"]["metric"]["name"]
                need(asked in measured, f"{name}: adapter.yaml has no metric {asked}")
        if thing["kind"] == "PodDisruptionBudget":
            chosen = [t["spec"]["selector"] for t in objects if "template" in t.get("spec", {})]
            need(spec["selector"] in chosen, f"{name}: the budget is of no pod")
        if thing["kind"] == "Job":
            job(name, spec)
        elif "template" in spec:
            workload(name, spec)


def secrets(container):
    """The secrets that a container's variables come from, by variable."""
    found = {variable["name"]: variable.get("valueFrom", {}).get("secretKeyRef") for variable in container.get("env", [])}
    return {variable: (key["name"], key["key"]) for variable, key in found.items() if key}


def supplied(name, spec):
    """Whatever a pod mounts is there, and the README tells of each secret that it wants."""
    pod = spec["template"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
    for container in pod.get("initContainers", []) + pod["containers"]:
        for mount in container["volumeMounts"]:
            need(mount["name"] in volumes, f"{name}: {container['name']} mounts {mount['name']}")
    told = (HERE / "README.md").read_text()
    wanted = {(volume["secret"]["secretName"], item["key"]) for volume in pod["volumes"] for item in volume.get("secret", {}).get("items", [])}
    wanted |= {key for container in pod["containers"] for key in secrets(container).values()}
    for secret in {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume} | {secret for secret, _ in wanted}:
        need(f"`{secret}`" in told, f"{name}: README does not tell of the secret {secret}")
    for secret, key in wanted:
        row = re.search(rf"^\| `{secret}` \|(.*)\|$", told, re.MULTILINE)
        need(row and f"`{key}`" in row[1], f"{name}: README does not tell of {key} of the secret {secret}")
    # Otherwise a service `thenar` gives every pod variables THENAR_..., which are no settings.
    need(pod.get("enableServiceLinks") is False, f"{name}: services become settings")


def job(name, spec):
    supplied(name, spec)
    pod = spec["template"]["spec"]
    catalogs = [configured(name, pod)["catalog"]]
    for other in CLUSTER[:2]:
        (peer,) = (thing["spec"] for thing in documents(f"kubernetes/{other}") if "template" in thing.get("spec", {}))
        catalogs.append(configured(other, peer["template"]["spec"])["catalog"])
    need(all(catalog == catalogs[0] for catalog in catalogs), f"{name}: another database than the servers'")
    need(catalogs[0]["password"]["env"] in secrets(pod["containers"][0]), f"{name}: nothing gives the password")
    need(pod["restartPolicy"] in ("Never", "OnFailure"), f"{name}: a job that never ends")


def workload(name, spec):
    pod = spec["template"]["spec"]
    need(spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"], f"{name}: selector and labels")
    supplied(name, spec)
    for container in pod["initContainers"]:
        script = container["command"][-1]
        need(script.startswith("test -e /data/thenar/FORMAT "), f"{name}: {container['name']} makes what is there already")
    (server,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        get = server[probe]["httpGet"]
        need(get["path"] == path and get["port"] in ports, f"{name}: {probe} asks {get}")
    settings = configured(name, pod)
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
    if settings.get("cluster", {}).get("enabled"):
        member(name, spec, server, settings)
    else:
        lasts(name, spec, server)


def member(name, spec, server, settings):
    """A server of a cluster has what it needs and keeps nothing: keyrings are in the bucket."""
    pod = spec["template"]["spec"]
    given = secrets(server)
    for source in (settings["kek"], settings["cluster"]["catalog_kek"], settings["catalog"]["password"]):
        # The key of a secret that is mounted may be read by its group, which the server refuses.
        need(source.get("env") in given, f"{name}: no secret gives the variable of {source}")
    mounted = {mount["mountPath"] for mount in server["volumeMounts"]}
    authorities = pathlib.PurePosixPath(settings["catalog"]["root_certificates"])
    need(str(authorities.parent) in mounted, f"{name}: nothing is mounted at {authorities.parent}")
    for container in pod["initContainers"]:
        kek = settings["kek"].get("env")
        need(f"--kek-env {kek}" in container["command"][-1] and kek in secrets(container), f"{name}: a key of its own in the directory")
    if server["args"][0] != "match":
        need("volumeClaimTemplates" not in spec, f"{name}: a front keeps nothing")
        return
    need(pod["securityContext"].get("fsGroupChangePolicy") == "OnRootMismatch", f"{name}: each mount goes through the cache")
    (claim,) = spec["volumeClaimTemplates"]
    room = binary(claim["spec"]["resources"]["requests"]["storage"])
    need(settings["storage"]["objects"]["cache_bytes_max"] <= room * 9 // 10, f"{name}: the cache does not fit on its volume")
    address = {variable["name"]: variable.get("value") for variable in server["env"]}.get("THENAR_CLUSTER__ADDRESS")
    want = f"$(POD_NAME).{spec['serviceName']}:{settings['matching']['address'].rpartition(':')[2]}"
    need(address == want, f"{name}: fronts would look for the node at {address}")
    (service,) = (t["spec"] for t in documents(f"kubernetes/{name}") if (t["kind"], t["metadata"]["name"]) == ("Service", spec["serviceName"]))
    need(service.get("publishNotReadyAddresses"), f"{name}: a node that drains has no name")


def alike(what, match, front):
    """The settings of a cluster's tiers: the same database, bucket and catalog key, and another key of its own for each."""
    for section, setting in (("cluster", "replicas"), ("cluster", "catalog_kek"), ("catalog", "address")):
        need(match[section].get(setting) == front[section].get(setting), f"{what}: {section}.{setting} differs")
    for setting in ("url", "region", "endpoint"):
        stores = [tier["storage"]["objects"].get(setting) for tier in (match, front)]
        need(stores[0] == stores[1], f"{what}: storage.objects.{setting} differs")
    need(match["kek"] != front["kek"] and front["cluster"]["catalog_kek"] not in (match["kek"], front["kek"]), f"{what}: one key for two keyrings")
    for tier in (match, front):
        need("routes" not in tier, f"{what}: routes, which a cluster has not")


def clusters():
    """The settings of both examples of a cluster."""
    alike("cluster/*.toml", *(tomllib.loads((HERE / f"cluster/{tier}.toml").read_text()) for tier in ("match", "front")))
    found = {}
    for name in CLUSTER[:2]:
        (spec,) = (thing["spec"] for thing in documents(f"kubernetes/{name}") if "template" in thing.get("spec", {}))
        settings = configured(name, spec["template"]["spec"])
        (server,) = spec["template"]["spec"]["containers"]
        given = secrets(server)
        # By the secrets that they come from, for a variable may have any name.
        for section in (settings, settings["cluster"]):
            for setting in section.keys() & {"kek", "catalog_kek", "next_kek", "next_catalog_kek"}:
                section[setting] = given.get(section[setting]["env"])
        found[name] = settings
    alike("kubernetes/cluster", *found.values())


def known():
    """Each setting of an example is one of thenar.example.toml."""
    text = (HERE.parent / "thenar.example.toml").read_text()
    example = tomllib.loads(text.replace("\n#: ", "\n"))

    def unknown(settings, documented, path):
        for setting, value in settings.items():
            name = f"{path}{setting}"
            if setting not in documented:
                yield name
            elif isinstance(value, dict) and isinstance(documented[setting], dict) and name not in NAMED and not setting.endswith(("kek", "password")):
                yield from unknown(value, documented[setting], f"{name}.")

    for name, text in texts():
        for setting in unknown(tomllib.loads(text), example, ""):
            need(False, f"{name}: there is no setting {setting}")


def texts():
    """The settings of all examples."""
    for name in FILES:
        yield name, (HERE / name).read_text()
    for name in MANIFESTS:
        for thing in documents(f"kubernetes/{name}"):
            if thing["kind"] == "ConfigMap":
                yield name, thing["data"]["thenar.toml"]


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


def configured(name, pod):
    """The settings of a pod's server: its configuration file, from whichever manifest beside this one has it."""
    (config,) = (volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume)
    things = [thing for other in (CLUSTER if name in CLUSTER else SPLIT) for thing in documents(f"kubernetes/{other}")]
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
    rules = adapter["rules"]["custom"]
    for thing in (thing for name in MANIFESTS for thing in documents(f"kubernetes/{name}")):
        if "template" not in thing.get("spec", {}) or thing["kind"] == "Job":
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
        for rule in rules:
            need(rule["resources"]["overrides"].keys() <= want.keys(), f"adapter.yaml: {name} has no labels {rule['resources']['overrides']}")
    source = (HERE.parent / "src/telemetry.rs").read_text()
    for rule in rules:
        asked = re.findall(rf"(?:{METRIC}|<<\.Series>>){{(.*?)}}", rule["seriesQuery"] + rule["metricsQuery"])
        need(all('job="thenar"' in labels for labels in asked), "adapter.yaml: calls count once for each job that scrapes a pod")
        for metric in re.findall(METRIC, rule["seriesQuery"] + rule["metricsQuery"]):
            need(f'"{re.sub("_(sum|count)$", "", metric)}"' in source, f"adapter.yaml: no server tells {metric}")


def settings(thenar):
    """The settings of the examples as the server reads them."""
    for name, text in texts():
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            done = subprocess.run([thenar, "config", "check", "--config", file.name], env={}, capture_output=True, text=True)
        need(done.returncode == 0, f"{name}: {done.stderr.strip()}")


def made(thenar):
    """What cluster/init.sh makes: keys that differ and that their owner alone may read, certificates by the names of the servers. A second run changes nothing."""
    (file,) = documents("compose.yaml")
    mounts = (volume.split(":") for volume in file["services"]["cluster-init"]["volumes"])
    folders = {at.removeprefix("/all/") for _, at, *_ in mounts if at.startswith("/all/")}
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place, "all")
        for folder in folders:
            (root / folder).mkdir(parents=True)
        pathlib.Path(place, "bin").mkdir()
        pathlib.Path(place, "bin/thenar").symlink_to(pathlib.Path(thenar).resolve())
        path = {"PATH": f"{place}/bin:{os.environ['PATH']}"}
        there = {}
        # The second time as if the first had been cut off at its end.
        for again in (False, True):
            done = subprocess.run(["sh", HERE / "cluster/init.sh", root], env=path, capture_output=True, text=True)
            if done.returncode:
                return need(False, f"cluster/init.sh: {done.stderr.strip()}")
            files = {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}
            need(not again or files == there, "cluster/init.sh: a second run changes what is there")
            there = files
            (root / "authority/done").unlink()
        need({file.name for file in root.iterdir()} == folders, "cluster/init.sh: what it makes is on no volume")
        keys = [root / f"keys-{tier}/kek" for tier in ("match", "front", "catalog")]
        need(len({key.read_text() for key in keys}) == len(keys), "cluster/init.sh: one key for two keyrings")
        need(all(re.fullmatch("[0-9a-f]{64}", key.read_text()) and key.stat().st_mode & 0o077 == 0 for key in keys), "cluster/init.sh: keys")
        for name, service in file["services"].items():
            if service["profiles"] != ["cluster"] or service.get("command", [""])[0] not in ("match", "front"):
                continue
            config = tomllib.loads((HERE / f"cluster/{service['command'][0]}.toml").read_text())
            for setting, value in config["tls"].items():
                at = root / name / pathlib.PurePosixPath(value).relative_to("/data") if setting != "trust_domain" else root
                need(at.exists(), f"cluster/init.sh: {name} lacks {setting}")


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
clusters()
known()
scrapes()
if len(sys.argv) > 1:
    settings(sys.argv[1])
    made(sys.argv[1])
for provisioning in sorted(HERE.glob("grafana/provisioning/*/*.yaml")):
    documents(provisioning.relative_to(HERE))
alerts()
dashboard()
for fault in faults:
    print(fault, file=sys.stderr)
print(f"docker: {len(faults)} faults")
sys.exit(bool(faults))
