"""A `python3` that does what a step does for KFP, in milliseconds: it writes the outputs, or fails as it is told."""

import json
import sys
from pathlib import Path
from typing import Any

from .cluster import Kubeflow

_SCRIPT = """#!{python} -ISE
import json, os, sys, time

step = sys.argv[2].rpartition(".")[2]
with open({told!r}) as file:
    told = json.load(file).get(step, {{}})
with open({seen!r}, "a") as file:
    json.dump({{"step": step, "argv": sys.argv[1:], "environment": dict(os.environ)}}, file)
    file.write("\\n")
given = json.loads(sys.argv[sys.argv.index("--executor-input") + 1])
inputs, outputs = given.get("inputs", {{}}), given["outputs"]
for artifacts in inputs.get("artifacts", {{}}).values():
    for artifact in artifacts["artifacts"]:
        assert os.path.exists("/" + artifact["uri"].replace("://", "/")), artifact
print(json.dumps({{"step": step}}), flush=True)
time.sleep(told.get("seconds", 0))
if told.get("exit"):
    print(f"{{step}}: told to fail", flush=True)
    sys.exit(told["exit"])
for name, parameter in outputs.get("parameters", {{}}).items():
    if name not in told.get("leaves_out", ()):
        os.makedirs(os.path.dirname(parameter["outputFile"]), exist_ok=True)
        with open(parameter["outputFile"], "w") as file:
            file.write(told.get("parameters", {{}}).get(name, "true" if name == "go" else f"a {{name}}"))
said = {{}}
for name, artifacts in outputs.get("artifacts", {{}}).items():
    (artifact,) = artifacts["artifacts"]
    if name == "executor-logs":
        continue
    path = "/" + artifact["uri"].replace("://", "/")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(json.dumps({{"made by": step}}))
    metrics = artifact["type"]["schemaTitle"] == "system.Metrics"
    metadata = {{"figure": 0.5}} if metrics else {{"uri": "s3://bucket/" + step, "digest": "0" * 64}}
    said[name] = {{"artifacts": [{{"name": name, "uri": artifact["uri"], "metadata": metadata}}]}}
with open(given["outputs"]["outputFile"], "w") as file:
    json.dump({{"artifacts": said}}, file)
"""


class Stub:
    """The interpreter, and what its steps are told and have seen."""

    def __init__(self, folder: Path, cluster: Kubeflow) -> None:
        """Take the place of the images' python3, with what recorded pipelines ask of the namespace."""
        folder.mkdir()
        self.python = folder / "python3"
        self._told, self._seen = folder / "told.json", folder / "seen.jsonl"
        self.tell()
        script = _SCRIPT.format(python=sys.executable, told=str(self._told), seen=str(self._seen))
        self.python.write_text(script)
        self.python.chmod(0o755)
        cluster.kubelet.python = self.python
        namespace = cluster.cluster
        namespace.claims["nashflow-models"] = folder
        keys = ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "KF_PIPELINES_ENDPOINT")
        namespace.config_maps.setdefault("nashflow-env", {key: f"the {key}" for key in keys})
        secret = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        namespace.secrets.setdefault("nashflow-s3", {key: f"the {key}" for key in secret})

    def tell(self, **steps: dict[str, Any]) -> None:
        """What steps do: seconds, exit, parameters, leaves_out; by the step's name."""
        self._told.write_text(json.dumps(steps))

    @property
    def seen(self) -> list[dict[str, Any]]:
        """The steps that have run: step, argv, environment."""
        return [json.loads(line) for line in self._seen.read_text().splitlines()] if self._seen.exists() else []
