"""What the scripts on the chart share: Helm, and what it renders, as data.

Python 3 and its standard library. Helm also reads YAML for us: a chart of one template gives any YAML back as JSON.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "load"))

import stage  # noqa: E402 after the path to it

CHART = ROOT / "k8s" / "chart"
# Those that are installed: the chart's own, and each of the examples on top of them.
VALUES = {
    "default": [],
    "production": [CHART / "values-production.yaml"],
    "staging": [CHART / "values-staging.yaml"],
    "development": [CHART / "values-development.yaml"],
}
RELEASE, NAMESPACE = "vanne", "edge"
# A chart that gives its files `docs/NUMBER` back, as one list of JSON.
READER = """\
{{- $items := list }}
{{- range $path, $_ := .Files.Glob "docs/*" }}
{{- $items = append $items (fromYaml ($.Files.Get $path)) }}
{{- end }}
{{ dict "apiVersion" "v1" "kind" "List" "items" $items | toJson }}
"""


def tool():
    """Path of Helm, built if need be."""
    if not shutil.which("helm"):
        script = ROOT / "scripts" / "kube_tools.sh"
        run = subprocess.run(["bash", script, "helm"], stdout=subprocess.PIPE, text=True, check=False)
        if run.returncode != 0:
            raise stage.StageError("helm could not be built")
        os.environ["PATH"] = ":".join([*run.stdout.split(), os.environ["PATH"]])
    return stage.need("helm")


class Helm:
    """Helm with files of its own in `scratch`."""

    def __init__(self, scratch):
        self.command, self.scratch = tool(), scratch
        folders = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        self.env = os.environ | {name: str(scratch / name) for name in folders}

    def run(self, *words):
        """One command, ended: its exit code, what it printed and what it complained of."""
        return subprocess.run([self.command, *map(str, words)], env=self.env, capture_output=True, text=True, check=False)

    def render(self, files=(), values=None):
        """Runs `helm template`: with files of values, and `values` on top of them."""
        words = [word for file in files for word in ("-f", file)]
        if values is not None:
            path = self.scratch / "values.json"
            path.write_text(json.dumps(values))
            words += ["-f", path]
        return self.run("template", RELEASE, CHART, "--namespace", NAMESPACE, *words)

    def template(self, files=(), values=None):
        """What is rendered; an error with Helm's words when nothing is."""
        run = self.render(files, values)
        if run.returncode != 0:
            raise stage.StageError(f"the chart cannot be rendered with {[str(file) for file in files]}:\n{run.stderr}")
        return run.stdout

    def read(self, texts):
        """What documents in YAML say, in their order."""
        chart = self.scratch / "reader"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "docs").mkdir(exist_ok=True)
        for old in (chart / "docs").iterdir():
            old.unlink()
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: reader\nversion: 0.0.0\n")
        (chart / "templates" / "all.yaml").write_text(READER)
        for number, text in enumerate(texts):
            (chart / "docs" / f"{number:04}").write_text(text)
        run = self.run("template", "reader", chart)
        if run.returncode != 0:
            raise stage.StageError(f"YAML cannot be read:\n{run.stderr}")
        found = json.loads(run.stdout[run.stdout.index("{"):])["items"]
        for one, text in zip(found, texts, strict=True):
            if "Error" in one:
                raise stage.StageError(f"{one['Error']} in\n{text}")
        return found

    def objects(self, files=(), values=None):
        """The objects that are rendered."""
        parts = re.split(r"(?m)^---\n", self.template(files, values))
        return self.read([part for part in parts if re.search(r"(?m)^kind:", part)])


def one(objects, kind):
    """The only object of a kind."""
    (found,) = [item for item in objects if item["kind"] == kind]
    return found
