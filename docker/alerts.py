"""Shows in a real Prometheus that the alerts fire, and that rules and dashboard ask for what servers tell. Usage: alerts.py THENAR, a built binary.

It runs the profiles `split` and `serve` of compose.yaml without containers, on loopback: init.sh, front.toml and match.toml of this folder, a
front, two match nodes, and `thenar serve`. Prometheus gets a generated copy of prometheus.yml and rules.yml in which every time, those of the
scrapes and windows and each `for`, is SPEED times as short, and the targets are on this machine. Nothing may fire while all is well; then things
go wrong, and every alert but those of UNPROVOKED has to. It is no test of the times themselves, nor of who is told of an alert.
"""

import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

HERE = pathlib.Path(__file__).resolve().parent
# A minute of the shipped rules is a second here.
SPEED = 60
# Seconds for anything that is awaited.
PATIENCE = 60
# They need a card that fails or is too small.
UNPROVOKED = {"ThenarGpuLost", "ThenarGpuFull"}
TARGETS = ("front:9464", "match-1:9464", "match-2:9464", "serve:9464")
METRIC = r"thenar[_]\w+"
DIM = 64
# What made the palms of this check.
ENCODER = ("--encoder", "drawn/1")
# Of one caller of `serve`.
CONNECTIONS_MAX = 4
THRESHOLD = 0.8
# Scores that nearly reach it, in the eyes of the guard, and not at all.
NEAR, FAR = 0.79, 0.1


class Failed(Exception):
    """What did not hold, in words."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url):
    """The answer's text, whatever its status, or nothing where nobody answers."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return None


def until(what, holds, seconds=PATIENCE):
    """Asks again and again until the answer is true, and gives it."""
    end = time.monotonic() + seconds
    while not (answer := holds()):
        if time.monotonic() > end:
            raise Failed(f"after {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.1)
    return answer


def replaced(text, pairs):
    for old, new in pairs.items():
        if old not in text:
            raise Failed(f"a shipped file no longer has {old!r}")
        text = text.replace(old, new)
    return text


def faster(text):
    """A text with every duration of Prometheus in it divided by SPEED."""
    milliseconds = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

    def short(match):
        return f"{int(match[1]) * milliseconds[match[2]] // SPEED}ms"

    return re.sub(r"(?<![\w.])(\d+)(ms|[smhd])\b", short, text)


def longest(text):
    """The longest duration in a text, in seconds, once it is faster; 0 without one."""
    return max((int(found) / 1_000 for found in re.findall(r"(\d+)ms\b", faster(text))), default=0)


def palm(path, score):
    """A signature with this score against that of score 1, as NumPy writes it."""
    values = [score, (1 - score * score) ** 0.5] + [0.0] * (DIM - 2)
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({DIM},), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack(f"<{DIM}f", *values))


class Place:
    """A temporary folder, what runs in it, and where each listens. `close` ends and removes all."""

    def __init__(self, thenar):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="thenar-alerts-"))
        self.thenar = thenar
        self.running = {}
        self.metrics = {target: f"127.0.0.1:{free_port()}" for target in TARGETS}
        self.api = {name: free_port() for name in ("front", "match-1", "match-2", "serve")}
        # By tenant: the server, the data directory of its authority, and that of the administrator's and the server's files.
        front, serve = ("front", self.root / "split/match-1", self.root / "split/front/split"), ("serve",) + (self.root / "serve",) * 2
        self.tenants = {"alpha": front, "beta": front, "gate": serve, "crowd": serve, "hurt": serve}

    def close(self):
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        shutil.rmtree(self.root)

    def start(self, name, *command):
        with (self.root / f"{name}.log").open("a") as log:
            self.running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self, name, url):
        def answers():
            if self.running[name].poll() is not None:
                raise Failed(f"{name} ended by itself")
            return get(url) is not None and "ready" in get(url).lower()

        until(f"{name} is not ready", answers)

    def serve(self, name, command, config):
        self.start(name, self.thenar, command, "--config", config, "--backend", "cpu")
        self.ready(name, f"http://{self.metrics[name + ':9464']}/readyz")

    def told(self, target):
        """The figures of a server as Prometheus gets them."""
        return get(f"http://{self.metrics[target]}/metrics") or ""

    def run(self, *command):
        """The exit code of `thenar`, and what it said."""
        # Nothing of the caller's own settings.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("THENAR_")}
        done = subprocess.run([self.thenar, *command], env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def must(self, *command):
        code, said = self.run(*command)
        if code:
            raise Failed(f"thenar {' '.join(map(str, command))}: {said}")

    def connection(self, tenant, role):
        """The flags of a client command."""
        server, _, files = self.tenants[tenant]
        tls = files / "tls" if (files / "tls").is_dir() else files
        own = tls / "admin" if role == "admin" else self.root / f"clients/{tenant}-{role}"
        flags = ["--server", f"https://127.0.0.1:{self.api[server]}", "--ca", tls / "ca.pem"]
        return flags + ["--cert", f"{own}.pem", "--key", f"{own}.key"]

    def identify(self, tenant, score, role="operator"):
        return self.run("identify", self.root / f"{score}.npy", *ENCODER, *self.connection(tenant, role))


def set_up(place):
    """The two deployments, with tenants and a person in each."""
    (place.root / "bin").mkdir()
    (place.root / "bin/thenar").symlink_to(place.thenar)
    path = {**os.environ, "PATH": f"{place.root / 'bin'}:{os.environ['PATH']}"}
    made = subprocess.run(["sh", HERE / "split/init.sh", place.root / "split"], env=path, capture_output=True, text=True)
    if made.returncode:
        raise Failed(f"init.sh: {made.stderr}")
    for name in ("match-1", "match-2", "front"):
        tier = name.split("-")[0]
        at = {'"/data': f'"{place.root / "split" / name}', "0.0.0.0:9464": place.metrics[f"{name}:9464"]}
        if tier == "match":
            at["0.0.0.0:7444"] = f"127.0.0.1:{place.api[name]}"
        else:
            at["0.0.0.0:7443"] = f"127.0.0.1:{place.api[name]}"
            at |= {f"match-{i}:7444": f"127.0.0.1:{place.api[f'match-{i}']}" for i in (1, 2)}
        config = place.root / f"{name}.toml"
        config.write_text(replaced((HERE / f"split/{tier}.toml").read_text(), at))
        place.serve(name, tier, config)
    place.must("init", "--data", place.root / "serve")
    (place.root / "serve.toml").write_text(
        f'data = "{place.root / "serve"}"\nlisten.address = "127.0.0.1:{place.api["serve"]}"\n'
        f'metrics.address = "{place.metrics["serve:9464"]}"\nquotas.tenants.crowd.per_second = 1\n'
        f"listen.connections_per_caller_max = {CONNECTIONS_MAX}\n"
    )
    place.serve("serve", "serve", place.root / "serve.toml")
    for score in (1, NEAR, FAR):
        palm(place.root / f"{score}.npy", score)
    consent = ("--policy-version", "1", "--purpose", "a check", "--expires", "2100-01-01T00:00:00Z", "--consent-method", "in-app")
    for tenant, (_, authority, _) in place.tenants.items():
        size = ("--dim", str(DIM), *ENCODER, "--threshold", str(THRESHOLD))
        place.must("tenant", "create", tenant, *size, *place.connection(tenant, "admin"))
        for role in ("operator", "scanner"):
            who = ("--tenant", tenant, "--role", role, "--name", f"{tenant}-{role}")
            place.must("cert", "issue", "--data", authority, *who, "--out", place.root / "clients")
        person = ("--left", place.root / "1.npy", *ENCODER, "--subject", "ada")
        place.must("enroll", *person, *consent, *place.connection(tenant, "operator"))


class Prometheus:
    """A real one, on the shipped files made faster."""

    def __init__(self, place):
        self.rules = yaml.safe_load((HERE / "prometheus/rules.yml").read_text())["groups"]
        config = yaml.safe_load(faster((HERE / "prometheus/prometheus.yml").read_text()))
        (job,) = config["scrape_configs"]
        shipped = [(target, part["labels"]) for part in job["static_configs"] for target in part["targets"]]
        job["static_configs"] = [
            {"targets": [place.metrics[target]], "labels": labels | {"instance": target}}
            for target, labels in [*shipped, ("serve:9464", {"tier": "serve"})]
        ]
        folder = place.root / "prometheus"
        folder.mkdir()
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        short = [
            {**group, "rules": [{**rule, "expr": faster(rule["expr"]), "for": faster(rule.get("for", "0s"))} for rule in group["rules"]]}
            for group in self.rules
        ]
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": short}))
        self.address = f"127.0.0.1:{free_port()}"
        flags = (f"--web.listen-address={self.address}", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
        place.start("prometheus", "prometheus", *flags, f"--query.lookback-delta={faster('5m')}", "--log.level=warn")
        place.ready("prometheus", f"http://{self.address}/-/ready")

    def ask(self, path, **parameters):
        text = get(f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        if text is None:
            raise Failed("Prometheus does not answer")
        answer = json.loads(text)
        if answer["status"] != "success":
            raise Failed(f"Prometheus: {answer['error']}: {parameters}")
        return answer["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def evaluated(self):
        """When each group of rules was evaluated last, in seconds since 1970."""
        for group in self.ask("rules")["groups"]:
            # To the second: older Pythons read no nanoseconds.
            moment = re.sub(r"\.\d+", "", group["lastEvaluation"]).replace("Z", "+00:00")
            yield datetime.datetime.fromisoformat(moment).timestamp()

    def firing(self):
        return [alert for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"]


class Background:
    """Things done again and again until the block ends. What one of them raises is raised by `look`."""

    def __init__(self, *deeds):
        self.end = threading.Event()
        self.faults = []
        self.threads = [threading.Thread(target=self.repeat, args=(deed,)) for deed in deeds]

    def repeat(self, deed):
        try:
            while not self.end.wait(0.2):
                deed()
        except Exception as error:  # It is told by `look`, in the thread that can end the check.
            self.faults.append(error)

    def look(self):
        if self.faults:
            raise Failed(str(self.faults[0]))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for thread in self.threads:
            thread.join()


def quiet(place, prometheus):
    """Traffic and no fault, for as long as the slowest rule takes: nothing fires."""

    def all_well():
        for tenant in ("alpha", "beta", "gate"):
            code, said = place.identify(tenant, 1)
            if code or "MATCH ada" not in said:
                raise Failed(f"{tenant}: {said}")

    up = f'count(up{{job="thenar"}} == 1) == {len(TARGETS)}'
    until("Prometheus does not reach all servers", lambda: prometheus.query(up))
    rules = [rule for group in prometheus.rules for rule in group["rules"]]
    slowest = max(longest(rule.get("for", "0s")) + longest(rule["expr"]) for rule in rules)
    with Background(all_well) as traffic:
        began = time.time()

        def evaluated():
            traffic.look()
            if firing := prometheus.firing():
                raise Failed(f"nothing is wrong, and it fires: {firing}")
            return min(prometheus.evaluated()) > began + slowest

        until("the rules are not evaluated", evaluated)
    known = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    if len(known) != len(rules) or any(rule["health"] != "ok" for rule in known):
        raise Failed(f"Prometheus does not evaluate all of the {len(rules)} rules: {known}")
    if fired := prometheus.query('count_over_time(ALERTS{alertstate="firing"}[1h])'):
        raise Failed(f"nothing was wrong, and it fired: {fired}")
    print(f"quiet: {len(rules)} rules and traffic for {slowest:.0f} s ({slowest * SPEED / 60:.0f} min of the shipped times); nothing fired")


def go_wrong(place):
    """What goes wrong once."""
    serve = place.running["serve"]
    serve.terminate()
    if serve.wait() != 0:
        raise Failed("serve did not end well")
    with (place.root / "serve/tenants/hurt/catalog.db").open("r+b") as catalog:
        catalog.seek(5000)
        catalog.write(b"damage")
    place.serve("serve", "serve", place.root / "serve.toml")
    place.running["match-1"].kill()
    place.run("erase", "ada", *place.connection("alpha", "operator"))
    for _ in range(11):
        place.identify("gate", NEAR, "scanner")
    place.must("cert", "revoke", "--days", "1", "--data", place.root / "serve")
    until("serve does not take the list", lambda: 'which="crl"' in place.told("serve:9464"))
    # A certificate that the key is not of.
    place.must("cert", "server", "--data", place.root / "serve", "--out", place.root / "other")
    shutil.copy(place.root / "other/server.pem", place.root / "serve/tls/server.pem")


def goes_wrong(place):
    """What goes wrong again and again."""

    def slow():
        node = place.running["match-2"]
        node.send_signal(signal.SIGSTOP)
        lift = threading.Timer(0.6, node.send_signal, (signal.SIGCONT,))
        lift.start()
        place.identify("beta", 1)
        lift.join()

    def plain():
        with socket.create_connection(("127.0.0.1", place.api["serve"])) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\n\r\n")

    def crowding():
        _, _, files = place.tenants["gate"]
        context = ssl.create_default_context(cafile=files / "tls/ca.pem")
        own = place.root / "clients/gate-operator"
        context.load_cert_chain(f"{own}.pem", f"{own}.key")
        with contextlib.ExitStack() as kept:
            for _ in range(2 * CONNECTIONS_MAX):
                stream = kept.enter_context(socket.create_connection(("127.0.0.1", place.api["serve"])))
                # One that is closed may be so before its handshake has ended on this side.
                with contextlib.suppress(OSError):
                    kept.enter_context(context.wrap_socket(stream, server_hostname="127.0.0.1"))

    return lambda: place.identify("alpha", 1), lambda: place.identify("crowd", 1), slow, plain, crowding


# Each alert, and the labels of one that has to fire.
EXPECTED = {
    "ThenarDown": {"instance": "match-1:9464"},
    "ThenarNodeUnreachable": {"node": "match-1"},
    "ThenarTenantUnavailable": {"instance": "serve:9464"},
    "ThenarFailing": {"instance": "front:9464"},
    "ThenarRefusing": {"instance": "serve:9464", "limit": "quotas.tenant.per_second"},
    "ThenarSlow": {"instance": "front:9464"},
    "ThenarClimbing": {"instance": "serve:9464"},
    "ThenarErasureRefused": {"instance": "front:9464"},
    "ThenarCertificateEndsSoon": {"instance": "serve:9464", "which": "crl"},
    "ThenarCertificateEndsNow": {"instance": "serve:9464", "which": "crl"},
    "ThenarCertificatesRefused": {"instance": "serve:9464"},
    "ThenarHandshakesRefused": {"instance": "serve:9464"},
    "ThenarConnectionsRefused": {"instance": "serve:9464", "limit": "listen.connections_per_caller_max"},
}


def all_fire(place, prometheus):
    rules = {rule["alert"]: rule for group in prometheus.rules for rule in group["rules"]}
    if rules.keys() != EXPECTED.keys() | UNPROVOKED:
        raise Failed(f"alerts.py and rules.yml differ: {rules.keys() ^ (EXPECTED.keys() | UNPROVOKED)}")
    fired = {}
    with Background(*goes_wrong(place)) as faults:
        began = time.monotonic()
        go_wrong(place)

        def all_seen():
            faults.look()
            for alert in prometheus.firing():
                name, labels = alert["labels"]["alertname"], alert["labels"]
                if name in fired or not EXPECTED.get(name, {"": ""}).items() <= labels.items():
                    continue
                wanted = set(re.findall(r"\$labels\.(\w+)", str(rules[name]["annotations"])))
                if missing := {label for label in wanted if not labels.get(label)}:
                    raise Failed(f"{name} tells of labels that it has not: {missing}")
                fired[name] = alert["annotations"]["summary"]
                print(f"fires after {time.monotonic() - began:4.1f} s: {name}: {fired[name]}")
            return fired.keys() == EXPECTED.keys()

        until(lambda: f"these do not fire: {sorted(EXPECTED.keys() - fired.keys())}", all_seen)
        # A tenant that asks for more than its quota wakes nobody.
        if prometheus.query('ALERTS{alertname="ThenarFailing",alertstate="firing",instance="serve:9464"}'):
            raise Failed("ThenarFailing fires for refusals at a quota")
        expressions(place, prometheus)
    print(f"not provoked, since they need a GPU that fails or is too small: {', '.join(sorted(UNPROVOKED))}")


def expressions(place, prometheus):
    """What rules and panels ask has an answer, and names metrics that servers tell or operations.md tells of."""
    told = {name for target in TARGETS for name in re.findall(f"^{METRIC}", place.told(target), re.MULTILINE)}
    table = re.findall(rf"^\| (`{METRIC}.*?) \|", (HERE.parent / "docs/operations.md").read_text(), re.MULTILINE)
    documented = {name for cell in table for name in re.findall(METRIC, cell)}
    panels = json.loads((HERE / "grafana/thenar.json").read_text())["panels"]
    asked = [(panel["title"], target["expr"], False) for panel in panels for target in panel["targets"]]
    asked += [(rule["alert"], rule["expr"], True) for group in prometheus.rules for rule in group["rules"]]
    empty = []
    for title, expression, may_be_empty in asked:
        names = set(re.findall(METRIC, expression))
        bases = {name: re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
        if unknown := {name for name in names if not {name, bases[name]} & (told | documented)}:
            raise Failed(f"{title}: no server tells of {unknown}")
        # Grafana puts four intervals of the scrapes there.
        result = prometheus.query(faster(expression.replace("$__rate_interval", "1m")))
        if not result and not may_be_empty and names <= told:
            raise Failed(f"{title}: the servers tell of {names}, and there is no answer to {expression}")
        if not result:
            empty.append(title)
    print(f"{len(asked)} expressions of rules and panels have an answer; an empty one: {', '.join(dict.fromkeys(empty)) or 'none'}")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: alerts.py THENAR")
    # Through a pipe too it tells what happens as it happens.
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    place = Place(pathlib.Path(sys.argv[1]).resolve())
    try:
        set_up(place)
        prometheus = Prometheus(place)
        quiet(place, prometheus)
        all_fire(place, prometheus)
        print(f"alerts: {len(EXPECTED)} fired in Prometheus, after {time.monotonic() - began:.0f} s, at {SPEED} times the speed of the shipped rules")
    except Failed as error:
        for log in sorted(place.root.glob("*.log")):
            print(f"--- the last lines of {log.stem}", *log.read_text().splitlines()[-10:], sep="\n", file=sys.stderr)
        sys.exit(f"alerts: {error}")
    finally:
        place.close()


main()
