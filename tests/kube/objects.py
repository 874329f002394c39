"""The objects that the scenarios make, as dictionaries."""

import copy

PORT = 8080


def namespace(name):
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(name, space="default", selector=None, **spec):
    """A Service with the port `http`; without a selector its slices are whoever writes them."""
    spec = {"ports": [{"name": "http", "port": 80, "targetPort": PORT}], **spec}
    if selector:
        spec["selector"] = selector
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": space}, "spec": spec}


def deployment(name, replicas, space="default", linger="3s", rolling=None, period=1, calm=0):
    """Pods of our own program, with the label `app`; `rolling` says how they are replaced."""
    labels = {"app": name}
    container = {
        "name": "pod",
        "image": "none",
        "command": ["pod", f"--port={PORT}", f"--linger={linger}"],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": period},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "replicas": replicas,
            "minReadySeconds": calm,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling or {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 30, "containers": [container]},
            },
        },
    }


def endpoint(address, **conditions):
    """An endpoint of a slice that is ready unless said otherwise; its identity is its address."""
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False, **conditions},
        "targetRef": {"kind": "Pod", "name": f"pod-{address}".replace(".", "-"), "uid": f"uid-{address}"},
    }


def slice_of(service_name, addresses, space="default", name=None, port=PORT):
    """A slice that nobody but its writer changes: the label says so."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name or f"{service_name}-1",
            "namespace": space,
            "labels": {
                "kubernetes.io/service-name": service_name,
                "endpointslice.kubernetes.io/managed-by": "vanne.test",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [endpoint(address) for address in addresses],
    }


def slices_path(space="default", name=None):
    """Where the API server has slices, or one of them."""
    base = f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"
    return f"{base}/{name}" if name else base


def replaced(one, **metadata):
    """A copy of an object with other metadata."""
    other = copy.deepcopy(one)
    other["metadata"].update(metadata)
    return other
