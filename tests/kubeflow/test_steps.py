"""What a step gets and what becomes of its outputs."""

import json

import pytest

from .cluster import Kubeflow
from .conftest import Submit
from .toy import pipeline, task

_WRITE = """
python3 - "$1" <<'END'
import json, os, sys
outputs = json.loads(sys.argv[1])["outputs"]
for name, parameter in outputs.get("parameters", {}).items():
    with open(parameter["outputFile"], "w") as file:
        file.write("the " + name)
for name, artifacts in outputs["artifacts"].items():
    if name != "executor-logs":
        with open("/" + artifacts["artifacts"][0]["uri"].replace("://", "/"), "w") as file:
            file.write("what is in " + name)
END
"""
_READ = """
python3 - "$1" <<'END'
import json, sys
for name, artifacts in json.loads(sys.argv[1])["inputs"]["artifacts"].items():
    for artifact in artifacts["artifacts"]:
        print(name, open("/" + artifact["uri"].replace("://", "/")).read())
END
"""


def test_outputs_reach_the_next_step(cluster: Kubeflow, submit: Submit) -> None:
    made = task(_WRITE, outputs=["word"], artifacts=["data"])
    read = task(f'echo "told: $1"; shift; {_READ}', inputs={"word": ("made", "word"), "given": ["made", "data"]})
    run = submit(pipeline({"made": made, "read": read}))
    assert run.state == "SUCCEEDED"
    log = cluster.log(run, "(0).root(0).read(0).executor(0)")
    assert "told: the word" in log
    assert "given what is in data" in log


def test_a_step_is_given_an_output_that_it_did_not_declare(cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task('echo "$1"')}))
    line = next(line for line in cluster.log(run, _node("only")).splitlines() if line.startswith("{"))
    outputs = json.loads(line)["outputs"]
    assert list(outputs["artifacts"]) == ["executor-logs"]
    assert outputs["artifacts"]["executor-logs"]["artifacts"][0]["uri"].endswith("/executor-logs-0")


def test_logs_are_uploaded_after_a_failure_too(cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task("echo what went wrong; exit 3", artifacts=["data"])}))
    assert run.state == "FAILED"
    assert cluster.nodes(run)[_node("only")]["message"] == "main: Error (exit code 1)"
    uploaded = {key.rpartition("/")[2]: cluster.stored(key) for key in cluster.keys(run)}
    assert uploaded == {"executor-logs-0": b"what went wrong\n"}


def test_a_parameter_that_is_not_written_fails_the_task(cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task("true", outputs=["word"])}))
    assert run.state == "FAILED"
    assert 'failed to read output parameter name="word"' in cluster.log(run, _node("only"))


def test_a_file_that_is_not_written_does_not(cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task("true", artifacts=["data"])}))
    assert run.state == "SUCCEEDED"
    assert "does not exist" in cluster.log(run, _node("only"))


def test_pods_have_files_of_their_own(cluster: Kubeflow, submit: Submit) -> None:
    look = "ls /minio; mkdir -p /minio/mine /tmp/kfp/outputs/mine; sleep 0.2; ls /minio /tmp/kfp/outputs"
    run = submit(pipeline({"one": task(f"{look}; echo one >/tmp/kfp/one"), "two": task(look, after=["one"])}))
    for name in ("one", "two"):
        lines = cluster.log(run, _node(name)).splitlines()
        assert [lines.count(word) for word in ("mlpipeline", "mine", "one")] == [2, 2, 0]


def test_the_environment_is_the_pods_alone(cluster: Kubeflow, submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "this machine's")
    cluster.cluster.secrets["keys"] = {"password": "the secret"}
    source = {"secretName": "keys", "keyToEnv": [{"secretKey": "password", "envVar": "PASSWORD"}]}
    platform = {
        "platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-only": {"secretAsEnv": [source]}}}}}
    }
    run = submit(pipeline({"only": task("env", env={"PLAIN": "as it is"})}), platform)
    log = cluster.log(run, _node("only"))
    assert "PASSWORD=the secret" in log
    assert "PLAIN=as it is" in log
    assert "this machine's" not in log


def _node(name: str) -> str:
    return f"(0).root(0).{name}(0).executor(0)"
