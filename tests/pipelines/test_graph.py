"""The compiled graph, read as KFP's backend reads it."""

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.protocol import _parser
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.plan import tasks_of
from nashflow.pipelines.recipe import load_recipe

RECIPES = {
    "quickstart": ("quickstart", ()),
    "bracket": ("quickstart-tournament", ("run.iterations=1",)),
    "ten iterations, two shards": ("quickstart", ("run.iterations=10", "prompts.shards=2")),
}
STEPS = ("preparation", "rollout", "judging", "logprobs", "training", "evaluation", "reporting")
WRITTEN = {
    "artifacts": {"manifest", "metrics", "report"},
    "parameters": {"resolved_run_root", "go"},
}
"""Outputs that steps know how to write: the protocol's own, preparation's parameters and reporting's page."""
# What the backend's driver and launcher replace. The first two may stand anywhere; the last one only alone.
EXECUTOR_INPUT, JOB_ID = "{{$}}", "{{$.pipeline_job_uuid}}"
PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([\w-]+)'\]\}\}")


@pytest.fixture(scope="module", params=RECIPES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def package(case: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name, overrides = RECIPES[case]
    path = tmp_path_factory.mktemp("graph") / "pipeline.yaml"
    compile_graph(load_recipe(name, overrides), path)
    return path


@pytest.fixture(scope="module")
def ir(package: Path) -> dict[str, Any]:
    (specification,) = yaml.safe_load_all(package.read_text())
    return dict(specification)


def component(ir: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    return dict(ir["components"][task["componentRef"]["name"]])


def dags(ir: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (part for part in (ir["root"], *ir["components"].values()) if "dag" in part)


def tasks(ir: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every task with the graph that it stands in."""
    for part in dags(ir):
        yield from ((part, task) for task in part["dag"]["tasks"].values())


def executors(ir: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: executor["container"] for name, executor in ir["deploymentSpec"]["executors"].items()}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


# --- lint ------------------------------------------------------------------------------------------------------------


def test_every_declared_input_is_passed_and_only_those(ir: dict[str, Any]) -> None:
    """The driver fails a task whose input is absent, optional or not."""
    for _, task in tasks(ir):
        declared = component(ir, task).get("inputDefinitions", {})
        for kind in ("parameters", "artifacts"):
            passed = set(task.get("inputs", {}).get(kind, {})) | {task.get("parameterIterator", {}).get("itemInput")}
            assert set(declared.get(kind, {})) <= passed, (task["taskInfo"], kind)


def test_every_reference_is_to_something_declared(ir: dict[str, Any]) -> None:
    for part, task in tasks(ir):
        inputs = task.get("inputs", {})
        for source in inputs.get("parameters", {}).values():
            if name := source.get("componentInputParameter"):
                iterated = {task.get("parameterIterator", {}).get("itemInput")}
                assert name in part["inputDefinitions"]["parameters"] or name in iterated, (task["taskInfo"], name)
        for kind, key in (("parameters", "Parameter"), ("artifacts", "Artifact")):
            for source in inputs.get(kind, {}).values():
                if output := source.get(f"taskOutput{key}"):
                    producer = component(ir, part["dag"]["tasks"][output["producerTask"]])
                    assert output[f"output{key}Key"] in producer["outputDefinitions"][kind]
                    assert output["producerTask"] in task["dependentTasks"]


def test_only_placeholders_that_the_backend_resolves(ir: dict[str, Any]) -> None:
    found = [text for text in texts(ir) if "{{" in text]
    for text in found:
        left = PARAMETER.sub("", text).replace(EXECUTOR_INPUT, "")
        assert "{{" not in left or text == JOB_ID, text
    assert found.count(JOB_ID) == 1
    assert found.count(EXECUTOR_INPUT) == len(executors(ir))


def test_placeholders_name_inputs_of_their_component(ir: dict[str, Any]) -> None:
    users = {part["executorLabel"]: part for part in ir["components"].values() if "executorLabel" in part}
    for label, container in executors(ir).items():
        declared = users[label]["inputDefinitions"]["parameters"]
        assert set(PARAMETER.findall(" ".join(container["args"]))) <= set(declared)
    for _, task in tasks(ir):
        parameters = task.get("inputs", {}).get("parameters", {})
        for source in parameters.values():
            constant = str(source.get("runtimeValue", {}).get("constant", ""))
            assert set(PARAMETER.findall(constant)) <= set(parameters)


def test_every_container_runs_a_step_by_its_own_module(ir: dict[str, Any]) -> None:
    """Local execution and the cluster tell steps apart by nothing else."""
    for label, container in executors(ir).items():
        step = re.fullmatch(r"exec-([a-z]+)(-\d+)?", label)
        assert step
        assert container["command"] == ["python3", "-m", f"nashflow.components.{step[1]}"]
        importlib.import_module(container["command"][2])
    assert {container["command"][2].rpartition(".")[2] for container in executors(ir).values()} == set(STEPS)


def test_no_executor_stands_for_two_components(ir: dict[str, Any]) -> None:
    labels = [part["executorLabel"] for part in ir["components"].values() if "executorLabel" in part]
    assert sorted(labels) == sorted(set(labels)) == sorted(executors(ir))


def test_every_declared_output_is_one_that_steps_write(ir: dict[str, Any]) -> None:
    for part in ir["components"].values():
        if "executorLabel" in part:
            outputs = part["outputDefinitions"]
            assert {"manifest", "metrics"} <= set(outputs["artifacts"]) <= WRITTEN["artifacts"]
            own = "preparation" in part["executorLabel"]
            assert set(outputs.get("parameters", {})) == (WRITTEN["parameters"] if own else set())
            assert ("report" in outputs["artifacts"]) == ("reporting" in part["executorLabel"])


def test_every_entry_point_accepts_its_arguments(ir: dict[str, Any]) -> None:
    """Numbers where numbers are wanted: placeholders stand for the inputs' declared types."""
    users = {part["executorLabel"]: part for part in ir["components"].values() if "executorLabel" in part}
    for label, container in executors(ir).items():
        step = container["command"][2].rpartition(".")[2]
        declared = users[label]["inputDefinitions"]["parameters"]
        samples = {"NUMBER_INTEGER": "1", "STRING": "text"}
        values = {name: samples[declared[name]["parameterType"]] for name in declared}
        argv = [PARAMETER.sub(lambda match, values=values: values[match[1]], text) for text in container["args"]]
        own = getattr(importlib.import_module(f"nashflow.components.{step}.step"), "FLAGS", ())
        parsed = vars(_parser(step, own).parse_args(argv))
        assert parsed["executor_input"] == EXECUTOR_INPUT
        assert (parsed["run_root"], parsed["settings"]) == ("text", "text")


def test_the_settings_of_every_call_are_ones_that_its_step_reads(ir: dict[str, Any]) -> None:
    for _, task in tasks(ir):
        if "executorLabel" in (part := component(ir, task)):
            step = re.sub(r"exec-|-\d+", "", part["executorLabel"])
            text = task["inputs"]["parameters"]["settings"]["runtimeValue"]["constant"]
            importlib.import_module(f"nashflow.components.{step}.settings").Step.parse(json.loads(text), step)


def test_no_step_is_cached(ir: dict[str, Any]) -> None:
    leaves = [task for _, task in tasks(ir) if "dag" not in component(ir, task)]
    assert leaves
    assert not [task["taskInfo"] for task in leaves if task.get("cachingOptions", {}).get("enableCache")]


def test_everything_after_preparation_waits_for_its_go(ir: dict[str, Any]) -> None:
    root = ir["root"]["dag"]["tasks"]
    assert set(root) == {"preparation", "condition-1"}
    condition = root["condition-1"]["triggerPolicy"]["condition"]
    assert condition == "inputs.parameter_values['pipelinechannel--preparation-go'] == 'true'"


# --- sizes -----------------------------------------------------------------------------------------------------------


def count(ir: dict[str, Any], part: dict[str, Any]) -> int:
    """Containers that a graph starts, loops unrolled."""
    total = 0
    for task in part["dag"]["tasks"].values():
        inner = component(ir, task)
        times = len(json.loads(task["parameterIterator"]["items"]["raw"])) if "parameterIterator" in task else 1
        total += times * (count(ir, inner) if "dag" in inner else 1)
    return total


def test_it_starts_the_tasks_that_the_plan_counts(ir: dict[str, Any], case: str) -> None:
    name, overrides = RECIPES[case]
    assert count(ir, ir["root"]) == len(tasks_of(load_recipe(name, overrides)))


def test_it_is_small(package: Path) -> None:
    assert package.stat().st_size <= 400_000


def test_shards_do_not_enlarge_it(tmp_path: Path) -> None:
    """They are loops, not copies: only their numbers are written out."""
    sizes = []
    for shards in (2, 64):
        compile_graph(load_recipe("quickstart", [f"prompts.shards={shards}"]), tmp_path / "p.yaml")
        sizes.append((tmp_path / "p.yaml").stat().st_size)
    assert sizes[1] - sizes[0] < 2_000


def test_it_is_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from nashflow.pipelines.graph import compile_graph\n"
        "from nashflow.pipelines.recipe import load_recipe\n"
        "compile_graph(load_recipe('quickstart', ['run.iterations=10']), Path(sys.argv[1]))"
    )
    files = [tmp_path / f"{seed}.yaml" for seed in ("1", "2")]
    for file in files:
        environment = os.environ | {"PYTHONHASHSEED": file.stem}
        subprocess.run([sys.executable, "-c", code, str(file)], env=environment, check=True, capture_output=True)
    assert files[0].read_bytes() == files[1].read_bytes()


# --- what cannot be compiled -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "output", "complaint"),
    [
        ("prompts.field='{{x}}'", "p.yaml", "the recipe holds {{, which KFP takes for a placeholder"),
        (f"prompts.field={'x' * 64_000}", "p.yaml", "above 64000: put long texts into files"),
        ("run.seed=0", "p.json", "give a name that ends in .yaml"),
    ],
)
def test_what_does_not_travel_through_kfp_is_refused(
    tmp_path: Path, override: str, output: str, complaint: str
) -> None:
    with pytest.raises(UserError) as caught:
        compile_graph(load_recipe("quickstart", [override]), tmp_path / output)
    assert complaint in str(caught.value)
    assert not list(tmp_path.iterdir())
