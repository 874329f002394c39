#!/usr/bin/env python3
"""The chart, without a cluster: what it makes is safe and right, and every value does something.

Needs `promtool`, and Go for Helm; `make test-chart` brings the first. For each file of values: `helm lint --strict` has
nothing to say, `vanne check` takes the config, the pods have what a careful cluster asks of them, roles and ports are
those that the config needs. Wrong values are refused with words that help. Each alert fires when it should and only then
(alerts.yaml), and looks at metrics that Vanne has. Exit code 1 if anything is not so.
"""

import json
import re
import subprocess

from chart_values import BASE, REFUSED, SAMPLES, at, leaves
from helm import CHART, HERE, NAMESPACE, ROOT, VALUES, Helm, one, stage

ALERTS = {
    "VanneNoBackend", "VannePoolDegraded", "VanneCircuitOpen", "VanneErrorRate", "VanneLatency", "VanneDiscoveryStale",
    "VanneCertificateExpires", "VanneReloadFailed",
}
# Of a metric's name in a rule, what is not in the table of metrics.
SUFFIX = re.compile(r"_(bucket|sum|count)$")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def lint(helm, files):
    """What Helm says against the chart with these values; `[INFO]` is advice on catalogues."""
    run = helm.run("lint", "--strict", CHART, *[word for file in files for word in ("-f", file)])
    lines = (run.stdout + run.stderr).splitlines()
    return [line for line in lines if line.startswith(("[WARNING]", "[ERROR]"))] or ([lines] if run.returncode else [])


def config_text(objects):
    """The config as the pods have it."""
    return one(objects, "ConfigMap")["data"]["vanne.yaml"]


def check(vanne, text, scratch):
    """What `vanne check` says against a config, warnings too."""
    path = scratch / "vanne.yaml"
    path.write_text(text)
    run = subprocess.run([vanne, "check", "--json", str(path)], capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        return [run.stderr]
    found = json.loads(run.stdout)
    return [f"{item['key']}: {item['message']}" for item in found["errors"] + found["warnings"]]


def seconds(text):
    """A length of time of the config."""
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()
    return int(number) * SECONDS[unit]


def pod_faults(objects, config):
    """What a careful cluster would refuse about the pods."""
    deployment = one(objects, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    guard, inner = pod["securityContext"], container["securityContext"]
    rules = {
        "runs as nobody": guard["runAsNonRoot"] is True and guard["runAsUser"] > 0 and guard["runAsGroup"] > 0,
        "seccomp": guard["seccompProfile"] == {"type": "RuntimeDefault"},
        "no way to more rights": inner["allowPrivilegeEscalation"] is False and not inner.get("privileged"),
        "root file system read-only": inner["readOnlyRootFilesystem"] is True,
        "no capabilities": inner["capabilities"] == {"drop": ["ALL"]},
        "nothing of the host": not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
        "no volumes of the host": not any("hostPath" in volume for volume in pod["volumes"]),
        "no ports of the host": not any("hostPort" in port for port in container["ports"]),
        "requests": {"cpu", "memory"} <= container["resources"]["requests"].keys(),
        "at most 512 MiB": int(container["resources"]["limits"]["memory"].removesuffix("Mi")) <= 512,
        "liveness 30 s, 10 s": probe(container, "livenessProbe") == ("/healthz", 30, 10),
        "readiness 15 s, 5 s": probe(container, "readinessProbe") == ("/readyz", 15, 5),
        "a start-up probe": probe(container, "startupProbe")[0] == "/startupz",
        "killed after the deadline": pod["terminationGracePeriodSeconds"] > seconds(config["process"]["drain_deadline"]),
        "none away in an update": deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0,
        "apart from each other": pod["affinity"]["podAntiAffinity"] and pod["topologySpreadConstraints"],
        "a folder for state": {"name": "state", "emptyDir": {"sizeLimit": "64Mi"}} in pod["volumes"],
        "no subPath": not any("subPath" in mount for mount in container["volumeMounts"]),
        "no checksums": not deployment["template"]["metadata"].get("annotations"),
    }
    return [name for name, holds in rules.items() if not holds]


def probe(container, name):
    """Path, period and time limit of a probe on the probe port."""
    found = container[name]
    path = found["httpGet"]["path"] if found["httpGet"]["port"] == "probe" else None
    return path, found["periodSeconds"], found["timeoutSeconds"]


def port(address):
    """The port of an address of the config."""
    return int(address.rpartition(":")[2])


def config_faults(objects, config):
    """What does not follow the config: ports, roles, mounts."""
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    ports = {name: port(listener["address"]) for name, listener in config["listener"].items()}
    ports["probe"] = port(config["probe"]["address"])
    followed = [pool["kubernetes"] for pool in config.get("pool", {}).values() if "kubernetes" in pool]
    namespaces = {follow.get("namespace", NAMESPACE) for follow in followed}
    roles = {item["metadata"]["namespace"]: item["rules"] for item in objects if item["kind"] == "Role"}
    bound = {item["metadata"]["namespace"]: item["subjects"] for item in objects if item["kind"] == "RoleBinding"}
    account = [{"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": NAMESPACE}]
    rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    state = config["process"]["state_dir"]
    files = [path for listener in config["listener"].values() for path in listener.get("tls", {}).get("certificates", [])]
    rules = {
        "ports": {item["name"]: item["containerPort"] for item in container["ports"]} == ports,
        "roles": roles == {name: [rule] for name in namespaces},
        "bindings": bound == {name: account for name in namespaces},
        "a token only if it is needed": pod["automountServiceAccountToken"] is bool(followed),
        "state": state in mounts and config["admin"]["socket"].startswith(f"{state}/"),
        "certificates": all(any(path.startswith(f"{mount}/") for mount in mounts) for path in files),
    }
    return [name for name, holds in rules.items() if not holds]


def value_faults(helm):
    """Values that change nothing in what is rendered, and those that no sample is known of."""
    schema = json.loads((ROOT / "k8s" / "chart.schema.json").read_text())
    known = dict(leaves(schema["properties"]))
    found = [f"{path}: no sample in chart_values.py" for path in known.keys() - SAMPLES.keys()]
    found += [f"{path}: a sample of no value" for path in SAMPLES.keys() - known.keys()]
    (values,) = helm.read([(CHART / "values.yaml").read_text()])
    defaults = {path: leaf["default"] for path, leaf in known.items() if "default" in leaf}
    found += [f"{path}: its default is another one in values.yaml" for path, it in defaults.items() if at(values, path) != it]
    for path in SAMPLES.keys() & known.keys():
        base, sample = SAMPLES[path]
        before, after = helm.render(values=merged(BASE, base)), helm.render(values=merged(BASE, base, nested(path, sample)))
        if after.returncode != 0:
            found.append(f"{path}: {after.stderr}")
        elif before.stdout == after.stdout:
            found.append(f"{path}: changes nothing")
    return found


def nested(path, value):
    """Values that say `value` at a path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def merged(*tables):
    """Tables joined key by key; the later counts."""
    out = {}
    for table in tables:
        for key, value in table.items():
            both = isinstance(value, dict) and isinstance(out.get(key), dict)
            out[key] = merged(out[key], value) if both else value
    return out


def zone_faults(helm):
    """A `ZONE` of the user's own is the only one: twice the same name is no list for the API server."""
    found = helm.objects(values=merged(BASE, {"env": [{"name": "ZONE", "value": "far"}]}))
    env = one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    return [] if env == [{"name": "ZONE", "value": "far"}] else [json.dumps(env)]


def refusal_faults(helm):
    """Wrong values that are taken, or refused without the words that help."""
    found = []
    for values, words in REFUSED:
        run = helm.render(values=merged(BASE, values))
        if run.returncode == 0 or words not in " ".join(run.stderr.split()):
            found.append(f"{json.dumps(values)}: expected {words!r}, found {run.stderr.strip() or 'no complaint'!r}")
    return found


def rule_faults(objects):
    """Alerts that are missing, and metrics in them that Vanne does not have."""
    (group,) = one(objects, "PrometheusRule")["spec"]["groups"]
    table = (ROOT / "src" / "observe" / "metrics" / "table.rs").read_text()
    metrics = set(re.findall(r'= "(vanne_\w+)" \[', table))
    found = {rule["alert"] for rule in group["rules"]} ^ ALERTS
    texts = json.dumps(group) + json.dumps([item for item in objects if item["kind"] == "ScaledObject"])
    used = {SUFFIX.sub("", name) for name in re.findall(r"\bvanne_\w+", texts)}
    return [*found, *(used - metrics)]


def promtool(scratch, *words):
    """What promtool says against something."""
    run = subprocess.run([stage.need("promtool"), *words], cwd=scratch, capture_output=True, text=True, check=False)
    return [] if run.returncode == 0 else [run.stdout + run.stderr]


def alert_faults(objects, scratch):
    """What promtool says against the rules, and alerts that fire or keep silent in alerts.yaml when they should not."""
    (scratch / "rules.yaml").write_text(json.dumps(one(objects, "PrometheusRule")["spec"]))
    (scratch / "alerts.yaml").write_text((HERE / "alerts.yaml").read_text())
    return promtool(scratch, "check", "rules", "rules.yaml") + promtool(scratch, "test", "rules", "alerts.yaml")


def compose_faults(helm, vanne, scratch):
    """What is wrong with the compose file and the configs that it mounts."""
    folder = ROOT / "k8s"
    (compose,) = helm.read([(folder / "compose.yaml").read_text()])
    found = []
    for name, service in compose["services"].items():
        (volume,) = service["volumes"]
        text = (folder / volume.split(":")[0] / "vanne.yaml").read_text()
        (config,) = helm.read([text])
        found += [f"{name}: {fault}" for fault in check(vanne, text, scratch)]
        rules = {
            "killed after the deadline":
                seconds(service["stop_grace_period"]) > seconds(config["process"]["drain_deadline"]),
            "read-only": service["read_only"] is True,
            "no capabilities": service["cap_drop"] == ["ALL"],
            "runs as nobody": service["user"] == "65532:65532",
            "its socket is asked": config["admin"]["socket"] in service["healthcheck"]["test"],
        }
        found += [f"{name}: {rule}" for rule, holds in rules.items() if not holds]
    if compose["services"]["orchestrator"]["scale"] != 3:
        found.append("orchestrator: not three of them")
    return found


async def main(args, scratch, findings):
    """All of it."""
    helm, vanne = Helm(scratch), stage.need(args.vanne)

    def note(what, faults):
        findings.note(not faults, what + "".join(f"\n      {fault}" for fault in faults))

    for name, files in VALUES.items():
        note(f"{name}: lint", lint(helm, files))
        objects = helm.objects(files)
        text = config_text(objects)
        (config,) = helm.read([text])
        # A config without a pool is one to begin with.
        note(f"{name}: vanne check", check(vanne, text, scratch))
        note(f"{name}: pods", pod_faults(objects, config))
        note(f"{name}: follows the config", config_faults(objects, config))
        if any(item["kind"] == "PrometheusRule" for item in objects):
            note(f"{name}: metrics of the rules", rule_faults(objects))
    note("alerts", alert_faults(helm.objects(VALUES["production"]), scratch))
    note("every value", value_faults(helm))
    note("a zone of one's own", zone_faults(helm))
    note("wrong values", refusal_faults(helm))
    note("compose file", compose_faults(helm, vanne, scratch))


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    stage.play(main, parser.parse_args())
