#!/usr/bin/env python3
"""README's "Kubernetes, from zero" on a real API server, with the very values that stand there.

Helm installs the chart (without replicas: nothing here fetches images). Vanne runs as its pod would: with the pod's
arguments, environment, user, read-only root and mounts (container.py), as the service account with the chart's roles.
It must get ready only when it knows the pods, follow them from 3 to 10, take an upgraded config over without a restart,
answer `vanne status` from beside it, and at SIGTERM be unready at once, serve on, and exit before the grace period ends.
Needs root, and Go for Helm and the control plane of README.md. Exit code 1 if anything is not so.
"""

import copy
import http.client
import json
import re
import signal
import time

import cluster
import container
import objects
from helm import CHART, RELEASE, ROOT, Helm, stage

PORT, PROBE = 8080, 9901
WAIT_SECONDS_MAX = 60
# A route more, for the upgrade.
HELLO = {"name": "hello", "match": {"path": "/hello"}, "answer": {"body": "hello"}}


def readme_values():
    """The values that README tells to write into `my.yaml`."""
    section = (ROOT / "README.md").read_text().partition("## Kubernetes, from zero\n")[2].partition("\n## ")[0]
    (values,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", section)
    return values


def web():
    """What README's `kubectl create deployment web` and `kubectl expose` make: port 80, without a name."""
    pods, service = copy.deepcopy(objects.deployment("web", 3)), objects.service("web", selector={"app": "web"})
    pod = pods["spec"]["template"]["spec"]["containers"][0]
    pod["command"] = ["pod", "--port=80"]
    pod["ports"][0]["containerPort"] = 80
    service["spec"]["ports"] = [{"port": 80, "targetPort": 80}]
    return pods, service


def ask(port, path):
    """Status, body and the pod that answered; status 0 when nobody does."""
    try:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        link.request("GET", path, headers={"connection": "close"})
        answer = link.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("x-pod")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error), None


def until(look):
    """Whether `look()` comes true in time."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        if look():
            return True
        time.sleep(0.05)
    return False


def pods_asked(count):
    """Which pods answer so many requests."""
    return {ask(PORT, "/")[2] for _ in range(count)}


def mount(here, scratch):
    """The ConfigMap as the cluster has it, into the folder that is mounted."""
    (scratch / "config").mkdir(exist_ok=True)
    found = json.loads(here.kubectl("get", "configmap", RELEASE, "-o", "json"))
    container.swap(scratch / "config", found["data"])


def account(here, scratch, name):
    """The folder that a pod has of its service account."""
    folder = scratch / "account"
    folder.mkdir()
    authority = here.access.path("ca.pem").read_text()
    container.swap(folder, {"token": here.access.token("default", name, 3600), "ca.crt": authority, "namespace": "default"})


def install(helm, here, files):
    """README's `helm upgrade --install`."""
    words = [word for file in files for word in ("-f", file)]
    run = helm.run("upgrade", "--install", RELEASE, CHART, f"--kubeconfig={here.kubeconfig}", "--wait", "--set=replicas=0", *words)
    if run.returncode != 0:
        raise stage.StageError(f"helm cannot install the chart:\n{run.stderr}")
    return run.stdout


def environment(spec, here):
    """What the pod's container has, and what every container of a cluster has."""
    plain = {item["name"]: item.get("value", "") for item in spec["containers"][0]["env"]}
    address, _, port = here.access.servers[0].partition(":")
    return {**plain, "KUBERNETES_SERVICE_HOST": address, "KUBERNETES_SERVICE_PORT": port or str(here.access.port)}


def follows(here, findings):
    """Three pods, then ten."""
    findings.note(until(lambda: ask(PROBE, "/startupz")[0] == 200), f"started: {ask(PROBE, '/startupz')}")
    findings.note(ask(PROBE, "/readyz")[0] == 200, "ready")
    found = pods_asked(30)
    findings.note(len(found) == 3 and None not in found, f"three pods answer: {sorted(map(str, found))}")
    here.kubectl("scale", "deployment/web", "--replicas=10")
    findings.note(until(lambda: len(pods_asked(30)) == 10), "ten pods answer")


def upgrades(helm, here, scratch, files, child, findings):
    """A route more, and nothing is started anew."""
    (config,) = helm.read([readme_values()])
    more = scratch / "more.json"
    more.write_text(json.dumps({"config": {"route": [*config["config"]["route"], HELLO]}}))
    install(helm, here, [*files, more])
    findings.note(ask(PORT, "/hello")[1] != "hello", "the new route is not there yet")
    mount(here, scratch)
    is_there = until(lambda: ask(PORT, "/hello")[1] == "hello")
    findings.note(is_there and child.poll() is None, "an upgraded config counts, without a restart")
    code, text = container.execute(child, "status", "-c", "/etc/vanne/vanne.yaml")
    findings.note(code == 0 and "web" in text, f"vanne status in the pod{'' if code == 0 else f': {text}'}")


def ends(child, grace_seconds, findings):
    """SIGTERM: unready at once, served on, and gone in time."""
    child.send_signal(signal.SIGTERM)
    findings.note(until(lambda: ask(PROBE, "/readyz")[0] == 503), "unready after SIGTERM")
    findings.note(ask(PORT, "/")[0] == 200, "and still served")
    begun = time.monotonic()
    code = child.wait(grace_seconds)
    findings.note(code == 0, f"exit {code} after {time.monotonic() - begun:.0f} s, of {grace_seconds} s")


async def main(args, scratch, findings):
    """All of it."""
    helm, path = Helm(scratch), scratch / "my.yaml"
    path.write_text(readme_values())
    with cluster.running(scratch) as here:
        here.apply(*web())
        here.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        notes = install(helm, here, [path])
        findings.note("vanne status" in notes, "Helm installs the chart")
        template = json.loads(here.kubectl("get", "deployment", RELEASE, "-o", "json"))["spec"]["template"]["spec"]
        mount(here, scratch)
        account(here, scratch, template["serviceAccountName"])
        words = [*template["containers"][0]["args"], *stage.RUN_OPTIONS]
        with container.running(scratch, args.vanne, words, environment(template, here)) as child:
            follows(here, findings)
            upgrades(helm, here, scratch, [path], child, findings)
            ends(child, template["terminationGracePeriodSeconds"], findings)
        if findings.wrong:
            print((scratch / "vanne.log").read_text(errors="replace")[-3000:])


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    stage.play(main, parser.parse_args())
