"""What drivers resolve, refuse and decide."""

import json
from typing import Any

import pytest

from .cluster import Kubeflow
from .conftest import Submit
from .toy import inside, pipeline, task

_SAY = 'echo "said: $1"'
_FILE = """python3 -c 'import json, sys
for parameter in json.loads(sys.argv[1])["outputs"].get("parameters", {}).values():
    open(parameter["outputFile"], "w").write(sys.argv[2])
for artifacts in json.loads(sys.argv[1])["outputs"]["artifacts"].values():
    open("/" + artifacts["artifacts"][0]["uri"].replace("://", "/"), "w").write(sys.argv[2])' """


def test_one_artifact_cannot_be_two_inputs(cluster: Kubeflow, submit: Submit) -> None:
    made = task(f'{_FILE} "$1" x', artifacts=["data"])
    twice = task("true", inputs={"one": ["made", "data"], "two": ["made", "data"]})
    run = submit(pipeline({"made": made, "twice": twice}))
    assert run.state == "FAILED"
    last = cluster.log(run, "(0).root(0).twice-driver(0)").splitlines()[-4]
    assert (
        'failed to lookup existing execution: no execution found for type="system.ContainerExecution", name=""' in last
    )


@pytest.mark.parametrize(
    ("constant", "said"),
    [
        ("{{$.pipeline_job_uuid}}", "<run>"),
        ("{{$.pipeline_job_name}}", "toy-0"),
        ("{{$.pipeline_task_name}}", "only"),
        ("in {{$.pipeline_job_uuid}}", "in {{$.pipeline_job_uuid}}"),
    ],
)
def test_placeholders_stand_alone(constant: str, said: str, cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task(_SAY, inputs={"word": constant})}))
    assert f"said: {said.replace('<run>', run.run_id)}\n" in cluster.log(run, _node("only"))


def test_numbers_become_texts_where_texts_are_declared(cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task(_SAY, inputs={"word": 2.0})}))
    assert "said: 2\n" in cluster.log(run, _node("only"))


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("NUMBER_INTEGER", "two", 'input parameter "word" type mismatch: expect NUMBER_INTEGER, got string'),
        ("BOOLEAN", 1.0, 'input parameter "word" type mismatch: expect BOOLEAN, got number'),
    ],
)
def test_other_types_are_refused(kind: str, value: Any, why: str, cluster: Kubeflow, submit: Submit) -> None:
    run = submit(pipeline({"only": task(_SAY, inputs={"word": value}, types={"word": kind})}))
    assert why in cluster.log(run, "(0).root(0).only-driver(0)")


def test_an_input_that_is_not_passed_fails_the_driver(cluster: Kubeflow, submit: Submit) -> None:
    spec = pipeline({"only": task(_SAY, inputs={"word": "x"})})
    spec["root"]["dag"]["tasks"]["only"]["inputs"] = {}
    run = submit(spec)
    assert 'neither value nor default value provided for non-optional parameter "word"' in cluster.log(
        run, "(0).root(0).only-driver(0)"
    )


def test_an_optional_input_that_an_argument_names_has_to_be_passed(cluster: Kubeflow, submit: Submit) -> None:
    spec = pipeline({"only": task(_SAY, inputs={"word": "x"})})
    spec["root"]["dag"]["tasks"]["only"]["inputs"] = {}
    spec["components"]["comp-only"]["inputDefinitions"]["parameters"]["word"] |= {"isOptional": True}
    run = submit(spec)
    assert 'parameter "word" not found in executor input' in cluster.log(run, "(0).root(0).only-driver(0)")


@pytest.mark.parametrize(("word", "phase"), [("yes", "Succeeded"), ("no", "Skipped")])
def test_a_condition_decides(word: str, phase: str, cluster: Kubeflow, submit: Submit) -> None:
    """A condition that does not hold leaves the exit handler RUNNING in MLMD: no launcher comes after its driver."""
    run = submit(_conditional(f'{_FILE} "$1" {word}'))
    assert run.state == "SUCCEEDED"
    assert cluster.nodes(run)["(0).root(0).whole(0).then"]["phase"] == phase
    assert _final(cluster, run) == {"Succeeded": "COMPLETE", "Skipped": "RUNNING"}[phase]


def test_a_failure_reaches_the_exit_task(cluster: Kubeflow, submit: Submit) -> None:
    run = submit(_conditional("exit 1"))
    assert run.state == "FAILED"
    assert _final(cluster, run) == "FAILED"


def test_what_becomes_of_the_exit_task_is_no_matter(cluster: Kubeflow, submit: Submit) -> None:
    spec = _conditional(f'{_FILE} "$1" yes')
    spec["deploymentSpec"]["executors"]["exec-last"]["container"]["command"][2] = "exit 1"
    assert submit(spec).state == "SUCCEEDED"


def test_a_loop_collects(cluster: Kubeflow, submit: Submit) -> None:
    made = task(f'{_FILE} "$2" "made of $1"', inputs={"item": {"componentInputParameter": "item"}}, artifacts=["data"])
    read = task(
        'python3 -c \'import json, sys\nfor artifact in json.loads(sys.argv[1])["inputs"]["artifacts"]["all"]'
        '["artifacts"]: print(open("/" + artifact["uri"].replace("://", "/")).read())\' "$1"',
        inputs={"all": ["loop", "every"]},
    )
    spec = inside(pipeline({"made": made, "read": read}), "loop", "made")
    loop = {"itemInput": "item", "items": {"raw": "[0, 1, 2]"}}
    spec["root"]["dag"]["tasks"]["loop"] |= {"parameterIterator": loop, "iteratorPolicy": {"parallelismLimit": 2}}
    component = spec["components"]["comp-loop"]
    component["inputDefinitions"] = {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}}
    outputs = {
        "artifacts": {"every": {"artifactSelectors": [{"producerSubtask": "made", "outputArtifactKey": "data"}]}}
    }
    component["dag"]["outputs"] = outputs
    spec["components"]["comp-read"]["inputDefinitions"]["artifacts"]["all"]["isArtifactList"] = True
    run = submit(spec)
    assert run.state == "SUCCEEDED"
    log = cluster.log(run, _node("read"))
    assert [line for line in log.splitlines() if line.startswith("made of")] == [f"made of {n}" for n in range(3)]
    items = [node for name, node in cluster.nodes(run).items() if name.endswith("made(0).executor(0)")]
    assert len(items) == 3


def _conditional(script: str) -> dict[str, Any]:
    """An exit handler around a task and, if that says yes, another one."""
    word = {"taskOutputParameter": {"producerTask": "first", "outputParameterKey": "word"}}
    last = task(
        'echo "$1"', inputs={"status": {"taskFinalStatus": {"producerTask": "whole"}}}, after=["whole"], exit=True
    )
    spec = pipeline({"first": task(script, outputs=["word"]), "second": task("true"), "last": last})
    spec["components"]["comp-last"]["inputDefinitions"]["parameters"]["status"] = {
        "parameterType": "TASK_FINAL_STATUS",
        "isOptional": True,
    }
    inside(spec, "then", "second", dependentTasks=["first"], inputs={"parameters": {"word": word}})
    spec["root"]["dag"]["tasks"]["then"]["triggerPolicy"] = {"condition": "inputs.parameter_values['word'] == 'yes'"}
    spec["components"]["comp-then"]["inputDefinitions"] = {"parameters": {"word": {"parameterType": "STRING"}}}
    return inside(spec, "whole", "first", "then")


def _final(cluster: Kubeflow, run: Any) -> str:
    log = cluster.log(run, "(0).root(0).whole.onExit(0).last(0).executor(0)")
    status = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
    assert status["pipelineTaskName"] == "whole"
    assert status["error"] == {}
    return status["state"]  # type: ignore[no-any-return]


def _node(name: str) -> str:
    return f"(0).root(0).{name}(0).executor(0)"


def test_what_never_began_has_no_exit_task(cluster: Kubeflow, submit: Submit) -> None:
    spec = _conditional("true")
    missing = {"parameters": {"x": {"componentInputParameter": "missing"}}}
    spec["root"]["dag"]["tasks"]["whole"]["inputs"] = missing
    run = submit(spec)
    assert run.state == "FAILED"
    assert cluster.nodes(run)["(0).root(0).whole"]["phase"] == "Omitted"
    assert "parent DAG does not have input parameter missing" in cluster.log(run, "(0).root(0).whole-driver(0)")
