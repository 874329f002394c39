#!/usr/bin/env python3
"""The chart before a real API server: what it makes is taken as it is, by the schemas of all that it uses.

For each file of values everything that is rendered is applied with `--dry-run=server --validate=strict`: an unknown
field, a wrong type or a rule of a schema that is broken is an error. The API server has the definitions of the
Prometheus operator, KEDA and the VPA, out of their Go modules. The namespace takes only pods of the level `restricted`,
and a pod as the Deployment would make it is applied, too. The roles are applied in earnest, and the API server is asked
what they allow. Needs root, and Go for Helm and the control plane of README.md. Exit code 1 if anything is refused.
"""

import json
import subprocess

import cluster
from helm import NAMESPACE, VALUES, Helm, one, stage

# Modules and the files or folders in them that hold the definitions.
DEFINITIONS = (
    ("github.com/prometheus-operator/prometheus-operator", "v0.85.0", "example/prometheus-operator-crd"),
    ("github.com/kedacore/keda/v2", "v2.21.0", "config/crd/bases"),
    ("k8s.io/autoscaler/vertical-pod-autoscaler", "v1.8.1", "deploy/vpa-v1-crd-gen.yaml"),
)
KINDS = ("ServiceMonitor", "PrometheusRule", "ScaledObject", "VerticalPodAutoscaler")
LEVEL = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
SLICES = "endpointslices.discovery.k8s.io"
OPTIONS = ("--server-side", "--force-conflicts", "--validate=strict", "-f")


def module(name, version):
    """Where Go keeps a module; it is fetched if need be. No module's folder is asked, so no `go.mod` is."""
    command = [stage.need("go"), "mod", "download", "-json", f"{name}@{version}"]
    run = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise stage.StageError(f"{name} {version} could not be fetched:\n{run.stderr}{run.stdout}")
    return json.loads(run.stdout)["Dir"]


def folders():
    """Where the definitions are."""
    return [f"{module(name, version)}/{path}" for name, version, path in DEFINITIONS]


def prepare(here, paths, followed):
    """Definitions that are served, and the namespaces."""
    for path in paths:
        here.kubectl("apply", *OPTIONS, path)
    here.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    for name in sorted(followed | {NAMESPACE}):
        labels = LEVEL if name == NAMESPACE else {}
        here.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    here.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACE}})


def pod(objects):
    """A pod as the Deployment would make it: its level is judged only when there is one. Its account is the default."""
    template = one(objects, "Deployment")["spec"]["template"]
    spec = template["spec"] | {"serviceAccountName": "default"}
    spec.pop("priorityClassName", None)
    metadata = {"name": "one", "namespace": NAMESPACE, "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def refused(here, *words, given):
    """What the API server says against something; empty when it takes it, and warns of nothing."""
    command = [here.kube, "kubectl", f"--kubeconfig={here.kubeconfig}", *words]
    run = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    return run.stderr.strip()


def may(here, verb, what, space):
    """Whether the chart's account may do that in a namespace."""
    user = f"--as=system:serviceaccount:{NAMESPACE}:vanne"
    command = [here.kube, "kubectl", f"--kubeconfig={here.kubeconfig}", "auth", "can-i", verb, what, user, "-n", space]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "yes"


def look(here, findings, name, text, objects):
    """One file of values."""
    complaint = refused(here, "apply", "--dry-run=server", *OPTIONS, "-", given=text)
    findings.note(not complaint, f"{name}: {len(objects)} objects{complaint and f': {complaint}'}")
    complaint = refused(here, "create", "--dry-run=server", "--validate=strict", "-f", "-", given=json.dumps(pod(objects)))
    findings.note(not complaint, f"{name}: a pod{complaint and f': {complaint}'}")
    roles = [item for item in objects if item["kind"] in ("Role", "RoleBinding")]
    here.apply(*roles)
    for space in {item["metadata"]["namespace"] for item in roles}:
        allowed = all(may(here, verb, SLICES, space) for verb in ("get", "list", "watch"))
        beyond = [
            f"{verb} {what} in {where}"
            for verb, what, where in (
                ("delete", SLICES, space), ("list", "pods", space), ("list", "secrets", space), ("list", SLICES, "kube-system"),
            )
            if may(here, verb, what, where)
        ]
        findings.note(allowed and not beyond, f"{name}: slices in {space} and nothing else{beyond or ''}")


async def main(args, scratch, findings):
    """All of it."""
    helm, paths = Helm(scratch), folders()
    rendered = {name: (helm.template(files), helm.objects(files)) for name, files in VALUES.items()}
    made = {item["kind"] for _, objects in rendered.values() for item in objects}
    findings.note(made >= set(KINDS), f"kinds of others: {', '.join(sorted(made & set(KINDS)))}")
    spaces = [item["metadata"].get("namespace") for _, objects in rendered.values() for item in objects]
    with cluster.running(scratch, has_pods=False) as here:
        prepare(here, paths, {space for space in spaces if space})
        for name, (text, objects) in rendered.items():
            look(here, findings, name, text, objects)
        # The same with a fault, so that silence means something.
        wrong = rendered["production"][0].replace("maxUnavailable: 0", "maxUnavailable: none").replace("drop: [ALL]", "dropp: []")
        complaint = refused(here, "apply", "--dry-run=server", *OPTIONS, "-", given=wrong)
        findings.note("maxUnavailable" in complaint or "dropp" in complaint, "a fault is seen")
        complaint = refused(here, "create", "--dry-run=server", "-f", "-", given=json.dumps(root(rendered["production"][1])))
        findings.note("violates PodSecurity" in complaint, "a pod with rights is refused")


def root(objects):
    """A pod that runs as root."""
    found = pod(objects)
    found["spec"]["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}
    return found


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    stage.play(main, parser.parse_args())
