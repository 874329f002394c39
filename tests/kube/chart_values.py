"""Values for the tests of the chart: of each a sample, and wrong ones with the words that they are refused with."""

# Everything is made, but for what excludes each other: KEDA and the autoscaler.
BASE = {
    "config": {"pool": {"api": {"kubernetes": {"namespace": "shop", "service": "api", "port": 80}}}},
    "ingress": {"enabled": True, "hosts": ["a.example.com"]},
    "vpa": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True, "token": {"secret": "metrics"}},
    "prometheusRule": {"enabled": True},
}
SCALED = {"autoscaling": {"enabled": True}}
KEDA = {"keda": {"enabled": True, "prometheus": "http://prometheus:9090"}}
HTTPS = {"config": {"listener": {"https": {"address": "0.0.0.0:8443"}}}, "service": {"ports": {"https": 443}}}
PEER = [{"podSelector": {}}]
LABELS = {"team": "edge"}

# By path of the value: what stands beside it, and a sample that must change what is rendered.
SAMPLES = {
    "image.repository": ({}, "registry.example.com/vanne"),
    "image.tag": ({}, "9.9.9"),
    "image.pullPolicy": ({}, "Always"),
    "image.pullSecrets": ({}, [{"name": "registry"}]),
    "replicas": ({}, 5),
    "config": ({}, {"log": {"level": "debug"}}),
    "secrets": ({}, [{"name": "tls", "secret": "vanne-tls"}]),
    "env": ({}, [{"name": "A", "value": "b"}]),
    "service.type": ({}, "NodePort"),
    "service.annotations": ({}, LABELS),
    "service.ports": ({}, {"http": 8000}),
    "service.externalTrafficPolicy": ({"service": {"type": "LoadBalancer"}}, "Local"),
    "ingress.enabled": ({}, False),
    "ingress.className": ({}, "public"),
    "ingress.annotations": ({}, LABELS),
    "ingress.listener": (HTTPS, "https"),
    "ingress.hosts": ({}, ["b.example.com"]),
    "ingress.tls": ({}, [{"hosts": ["a.example.com"], "secretName": "a"}]),
    "serviceAccount.create": ({}, False),
    "serviceAccount.name": ({}, "edge"),
    "serviceAccount.annotations": ({}, LABELS),
    "rbac.create": ({}, False),
    "resources": ({}, {"requests": {"cpu": "2"}}),
    "autoscaling.enabled": ({}, True),
    "autoscaling.min": (SCALED, 4),
    "autoscaling.max": (SCALED, 9),
    "autoscaling.cpu": (SCALED, None),
    "autoscaling.memory": (SCALED, 60),
    "autoscaling.sessions": (SCALED, 100),
    "keda.enabled": ({"keda": KEDA["keda"] | {"enabled": False}}, True),
    "keda.min": (KEDA, 4),
    "keda.max": (KEDA, 9),
    "keda.prometheus": (KEDA, "http://elsewhere:9090"),
    "keda.queue": (KEDA, 7),
    "keda.cpu": (KEDA, None),
    "keda.hours": (KEDA, [{"timezone": "UTC", "start": "0 8 * * *", "end": "0 9 * * *", "replicas": 6}]),
    "vpa.enabled": ({}, False),
    "vpa.updateMode": ({}, "Initial"),
    "podDisruptionBudget.enabled": ({}, False),
    "podDisruptionBudget.maxUnavailable": ({}, "25%"),
    "networkPolicy.enabled": ({}, False),
    "networkPolicy.traffic": ({}, PEER),
    "networkPolicy.scrape": ({}, PEER),
    "networkPolicy.apiServer": ({}, PEER),
    "networkPolicy.apiServerPorts": ({}, [16443]),
    "networkPolicy.dns": ({}, PEER),
    "networkPolicy.peers": ({}, [{"to": PEER}]),
    "serviceMonitor.enabled": ({}, False),
    "serviceMonitor.interval": ({}, "1m"),
    "serviceMonitor.labels": ({}, LABELS),
    "serviceMonitor.token.secret": ({}, "another"),
    "serviceMonitor.token.key": ({}, "bearer"),
    "prometheusRule.enabled": ({}, False),
    "prometheusRule.labels": ({}, LABELS),
    "prometheusRule.errorRate": ({}, 0.2),
    "prometheusRule.latency": ({}, 3),
    "prometheusRule.latencyExcept": ({}, "downloads|streams"),
    "prometheusRule.certificateDays": ({}, 30),
    "terminationGracePeriodSeconds": ({}, 300),
    "antiAffinity": ({}, "hard"),
    "affinity": ({}, {"nodeAffinity": {}}),
    "nodeSelector": ({}, {"disk": "fast"}),
    "tolerations": ({}, [{"key": "edge", "operator": "Exists"}]),
    "priorityClassName": ({}, "system-cluster-critical"),
    "podAnnotations": ({}, LABELS),
    "podLabels": ({}, LABELS),
}

# Values, and words of the complaint.
REFUSED = [
    ({"config": {"listener": {"http": {"addressed": "0.0.0.0:80"}}}}, "at '/config/listener/http': additional properties 'addressed'"),
    ({"config": {"listener": {"http": {"address": "0.0.0.0"}}}}, "config.listener.http.address: the chart needs the port"),
    ({"config": {"listener": {"http": {"address": "127.0.0.1:80"}}}}, "nobody outside the pod reaches 127.0.0.1:80"),
    ({"config": {"listener": {"a_b": {"address": "0.0.0.0:81"}}}}, "config.listener.a_b: its name is the name of a port"),
    ({"config": {"listener": {"probe": {"address": "0.0.0.0:81"}}}}, "and not \"probe\""),
    ({"config": {"probe": {"address": "127.0.0.1:9901"}}}, "config.probe.address: nobody outside the pod"),
    ({"config": {"process": {"drain_deadline": "${D}"}}}, "config.process.drain_deadline: the chart needs the number"),
    ({"terminationGracePeriodSeconds": 60}, "expected more than 60"),
    ({"service": {"ports": {"https": 443}}}, "config.listener has no \"https\", expected one of: http"),
    ({"service": {"ports": {"http": 70_000}}}, "at '/service/ports/http': maximum"),
    ({"ingress": {"hosts": []}}, "ingress.hosts: expected at least one host"),
    ({"ingress": {"listener": "https"}}, "ingress.listener: service.ports has no \"https\", expected one of: http"),
    ({"keda": {"enabled": True}}, "keda.prometheus: expected the address of Prometheus"),
    ({**SCALED, **KEDA}, "autoscaling.enabled and keda.enabled: choose one of them"),
    ({"autoscaling": {"enabled": True, "cpu": None, "memory": None}}, "autoscaling: nothing to scale by"),
    ({"antiAffinity": "strict"}, "at '/antiAffinity': value must be one of 'soft', 'hard'"),
    ({"replica": 3}, "additional properties 'replica'"),
]


def leaves(properties, path=""):
    """Paths and schemas of the values that have no values below them."""
    for name, value in properties.items():
        if "properties" in value:
            yield from leaves(value["properties"], f"{path}{name}.")
        elif name != "global":
            yield f"{path}{name}", value


def at(values, path):
    """The value at a path; `None` where there is none."""
    for name in path.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values
