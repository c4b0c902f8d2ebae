"""The compiled graph, read as KFP's backend reads it."""

import importlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.protocol import parser
from nashflow.pipelines.compiled import read_graph
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.plan import tasks_of
from nashflow.pipelines.recipe import SHIPPED, load_recipe
from tests.fixtures import cli

RECIPES = {
    "quickstart": ("quickstart", ()),
    "bracket": ("quickstart-tournament", ("run.iterations=1",)),
    "ten iterations, two shards": ("quickstart", ("run.iterations=10", "prompts.shards=2")),
}
STEPS = ("preparation", "rollout", "judging", "logprobs", "training", "evaluation", "reporting", "closing")
# What the backend replaces anywhere in an argument.
EXECUTOR_INPUT = "{{$}}"
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
    specification, _ = yaml.safe_load_all(package.read_text())
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


# --- the graph -------------------------------------------------------------------------------------------------------


def test_every_container_runs_a_step_by_its_own_module(ir: dict[str, Any]) -> None:
    """Local execution and the cluster tell steps apart by nothing else."""
    for label, container in executors(ir).items():
        step = re.fullmatch(r"exec-([a-z]+)(-\d{3}(-[a-z]+)?)?", label)
        assert step
        assert container["command"] == ["python3", "-m", f"nashflow.components.{step[1]}"]
        importlib.import_module(container["command"][2])
    assert {container["command"][2].rpartition(".")[2] for container in executors(ir).values()} == set(STEPS)


def test_all_but_preparation_is_tried_again(ir: dict[str, Any]) -> None:
    """Above all closing: nothing else records how the run ended."""
    for _, task in tasks(ir):
        if "executorLabel" in (part := component(ir, task)):
            assert task.get("retryPolicy", {}).get("maxRetryCount", 0) == (
                0 if "preparation" in part["executorLabel"] else 3
            )


def test_every_entry_point_accepts_its_arguments(ir: dict[str, Any]) -> None:
    """Numbers where numbers are wanted: placeholders stand for the inputs' declared types."""
    users = {part["executorLabel"]: part for part in ir["components"].values() if "executorLabel" in part}
    for label, container in executors(ir).items():
        step = container["command"][2].rpartition(".")[2]
        declared = users[label]["inputDefinitions"]["parameters"]
        samples = {"NUMBER_INTEGER": "1", "STRING": "text", "TASK_FINAL_STATUS": "text"}
        values = {name: samples[declared[name]["parameterType"]] for name in declared}
        argv = [PARAMETER.sub(lambda match, values=values: values[match[1]], text) for text in container["args"]]
        own = getattr(importlib.import_module(f"nashflow.components.{step}.step"), "FLAGS", ())
        parsed = vars(parser(step, own).parse_args(argv))
        assert parsed["executor_input"] == EXECUTOR_INPUT
        assert (parsed["run_root"], parsed["settings"]) == ("text", "text")


def test_the_settings_of_every_call_are_ones_that_its_step_reads(ir: dict[str, Any]) -> None:
    for _, task in tasks(ir):
        if "executorLabel" in (part := component(ir, task)):
            step = part["executorLabel"].split("-")[1]
            text = task["inputs"]["parameters"]["settings"]["runtimeValue"]["constant"]
            importlib.import_module(f"nashflow.components.{step}.settings").Step.parse(json.loads(text), step)


def test_everything_after_preparation_waits_for_its_go(ir: dict[str, Any]) -> None:
    root = ir["root"]["dag"]["tasks"]
    assert set(root) == {"exit-handler-1", "closing"}
    inside = component(ir, root["exit-handler-1"])["dag"]["tasks"]
    assert set(inside) == {"preparation", "condition-2"}
    condition = inside["condition-2"]["triggerPolicy"]["condition"]
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


@pytest.mark.parametrize(("cores", "text"), [(0.001, "0.001"), (1, "1"), (9999.999, "9999.999"), (10_000, "10000")])
def test_cores_are_written_plainly(cores: float, text: str, tmp_path: Path) -> None:
    containers, _ = placed(tmp_path, f"cluster.steps.training.cpu={cores}")
    assert containers["exec-training-001-half"]["resources"]["resourceCpuLimit"] == text


def test_idle_cores_may_be_borrowed(tmp_path: Path) -> None:
    containers, _ = placed(tmp_path, "cluster.profile=laptop")
    asked = [container["resources"] for container in containers.values()]
    assert {(each["resourceCpuRequest"], each["resourceCpuLimit"]) for each in asked} == {("0.25", "2")}


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


def cpu_seconds(work: Callable[[], object]) -> float:
    """What the child processes of some work cost the CPU: a busy machine changes nothing about it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def test_the_papers_recipe_compiles_in_five_times_what_importing_kfp_takes(tmp_path: Path) -> None:
    """Each in a fresh process, imports and lint included: three seconds where KFP's import takes 0.6."""
    importing = cpu_seconds(lambda: subprocess.run([sys.executable, "-c", "import kfp.kubernetes"], check=True))
    compiling = cpu_seconds(lambda: cli.call("compile", "inpo-llama3-8b", "--output", str(tmp_path / "p.yaml")))
    assert compiling <= 5 * importing
    assert len(read_graph(tmp_path / "p.yaml").executors) == 4 + 3 * 5


# --- what a cluster is asked for -------------------------------------------------------------------------------------


MODEL_STEPS = ("rollout", "judging", "logprobs", "training", "evaluation")
ON_GPUS = {**dict.fromkeys(MODEL_STEPS, "vllm_image"), "training": "training_image"}


def placed(tmp_path: Path, *overrides: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Containers and what kfp-kubernetes says of them, by executor."""
    compile_graph(load_recipe("sandbox-egpo", ["run.iterations=2", *overrides]), tmp_path / "p.yaml")
    ir, platform = yaml.safe_load_all((tmp_path / "p.yaml").read_text())
    return executors(ir), platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_what_kubernetes_takes_and_kfp_does_not_is_said_in_kfps_words(tmp_path: Path) -> None:
    asked = "{memory: 1.5Gi, tolerations: [{effect: ''}]}"
    containers, settings = placed(tmp_path, f"cluster.steps={{reporting: {asked}}}")
    assert containers["exec-reporting"]["resources"]["resourceMemoryLimit"] == "1536Mi"
    assert settings["exec-reporting"]["tolerations"] == [{"operator": "Exists"}]


def test_labels_say_run_iteration_and_step(tmp_path: Path) -> None:
    containers, settings = placed(tmp_path)
    assert set(settings) == set(containers)
    for label, container in containers.items():
        _, step, *place = label.split("-")
        expected = {"nashflow/run": "sandbox-egpo", "nashflow/step": step}
        if place:
            expected["nashflow/iteration"] = str(int(place[0]))
        assert settings[label]["podMetadata"]["labels"] == expected
        assert settings[label]["securityContext"] == {"runAsNonRoot": True}
        assert container["command"][-1].endswith(step)


def test_a_profile_and_what_differs_from_it(tmp_path: Path) -> None:
    containers, settings = placed(
        tmp_path,
        "cluster.profile=one-node",
        "cluster.steps={training: {memory: 400Gi, node_selector: {pool: a}, timeout_seconds: 60}}",
    )
    training, rollout = (
        containers["exec-training-001-half"]["resources"],
        containers["exec-rollout-002-main"]["resources"],
    )
    assert training["resourceMemoryLimit"] == "400Gi"
    assert training["accelerator"]["resourceCount"] == "8"
    assert training["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert (rollout["resourceMemoryLimit"], rollout["accelerator"]["resourceCount"]) == ("96Gi", "1")
    there = settings["exec-training-001-half"]
    assert there["nodeSelector"] == {"labels": {"pool": "a"}}
    assert there["activeDeadlineSeconds"] == "60"
    assert there["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    (shm,) = there["emptyDirMounts"]
    assert (shm["mountPath"], shm["medium"], shm["sizeLimit"]) == ("/dev/shm", "Memory", "64Gi")
    assert "accelerator" not in containers["exec-preparation"]["resources"]


def test_environment_and_volumes_go_by_name_into_every_pod(tmp_path: Path) -> None:
    containers, settings = placed(
        tmp_path,
        "cluster.secrets=[{name: s3, keys: {key: AWS_ACCESS_KEY_ID}}]",
        "cluster.config_maps=[{name: env, keys: {tracking: MLFLOW_TRACKING_URI}}]",
        "cluster.image_pull_secrets=[registry]",
        "cluster.models={claim: models}",
        "cluster.iterations_per_run=1",
    )
    for label in containers:
        there = settings[label]
        assert there["secretAsEnv"][0]["secretName"] == "s3"
        assert there["secretAsEnv"][0]["keyToEnv"] == [{"envVar": "AWS_ACCESS_KEY_ID", "secretKey": "key"}]
        assert there["configMapAsEnv"][0]["configMapName"] == "env"
        assert there["imagePullSecret"][0]["secretName"] == "registry"
        if label.split("-")[1] in ("preparation", *MODEL_STEPS):
            assert (there["pvcMount"][0]["constant"], there["pvcMount"][0]["mountPath"]) == ("models", "/models")
        else:
            assert "pvcMount" not in there


IMAGES = {
    # The image of every step that works on models: without accelerators by its engine, with them one that knows them.
    ("cpu", "transformers", "torch"): dict.fromkeys(MODEL_STEPS, "image"),
    ("cpu", "vllm", "deepspeed"): {
        **dict.fromkeys(("rollout", "evaluation"), "vllm_image"),
        **dict.fromkeys(("judging", "logprobs"), "image"),
        "training": "training_image",
    },
    ("one-node", "transformers", "torch"): ON_GPUS,
    ("one-node", "vllm", "deepspeed"): ON_GPUS,
    ("many-nodes", "vllm", "torch"): ON_GPUS,
}


@pytest.mark.parametrize("case", IMAGES, ids="-".join)
def test_images_are_parameters_one_for_each_runtime(tmp_path: Path, case: tuple[str, str, str]) -> None:
    profile, generation, training = case
    overrides = (f"cluster.profile={profile}", f"rollout.engine={generation}", f"training.engine={training}")
    containers, _ = placed(tmp_path, *overrides, "cluster.iterations_per_run=1")
    found = {(label.split("-")[1], PARAMETER.sub(r"\1", container["image"])) for label, container in containers.items()}
    expected = {**IMAGES[case], **dict.fromkeys(("preparation", "reporting", "closing"), "image")}
    assert found == {
        *((step, f"pipelinechannel--{image}") for step, image in expected.items()),
        ("continuation", "nashflow-client:0.1.0"),
    }


def test_one_steps_accelerators_choose_its_image_alone(tmp_path: Path) -> None:
    containers, _ = placed(tmp_path, "cluster.steps={judging: {accelerators: 1, shared_memory: 1Gi}}")
    accelerated = {label for label, container in containers.items() if "vllm_image" in container["image"]}
    assert accelerated == {label for label in containers if "judging" in label}


def test_a_chained_graph_unrolls_the_later_iterations_alone(tmp_path: Path) -> None:
    recipe = load_recipe("quickstart", ["run.iterations=5"])
    compile_graph(recipe, tmp_path / "p.yaml", first=4)
    ir = next(yaml.safe_load_all((tmp_path / "p.yaml").read_text()))
    numbers = {label.split("-")[2] for label in executors(ir) if "-rollout-" in label}
    assert numbers == {"004", "005"}
    with pytest.raises(UserError, match="--first-iteration 6: the recipe's iterations are 1 to 5"):
        compile_graph(recipe, tmp_path / "p.yaml", first=6)


# --- the paper's recipe ----------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden" / "inpo-llama3-8b.yaml"


def test_the_papers_recipe_compiles_to_its_golden_ir(tmp_path: Path) -> None:
    """After a change that is meant: `nashflow compile inpo-llama3-8b -o …`, without the line of the SDK's version."""
    compile_graph(load_recipe("inpo-llama3-8b"), tmp_path / "p.yaml")
    made, golden = (list(yaml.safe_load_all(path.read_text())) for path in (tmp_path / "p.yaml", GOLDEN))
    made[0].pop("sdkVersion")
    assert made == golden


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*llama3-8b*.yaml")))
def test_recipes_of_the_paper_fit_at_eight_shards_and_at_ten_iterations(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, ["run.iterations=10"])
    assert recipe.prompts.shards == 8
    compile_graph(recipe, tmp_path / "p.yaml")  # which holds the lint's rules against it, the size budget among them
    graph = read_graph(tmp_path / "p.yaml")
    assert len(graph.executors) == 4 + 10 * 5
