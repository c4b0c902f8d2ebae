"""The compiled graph, read as a cluster reads it: every run of a step, unrolled, with what reaches it."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from nashflow.components.core.errors import UserError
from nashflow.pipelines.cluster.runs.tasks import Place as PlaceOfTask
from nashflow.pipelines.cluster.runs.tasks import place_of
from nashflow.pipelines.graph import compile_graph, write_graph
from nashflow.pipelines.plan import planned_tasks
from nashflow.pipelines.recipe import SHIPPED, Recipe, load_recipe
from tests.fixtures import cli
from tests.fixtures.graphs import Place, Task, load, unrolled

Tasks = Mapping[Place, Task]

RECIPES = {
    "quickstart": ("quickstart", ()),
    "bracket": ("quickstart-tournament", ("run.iterations=1",)),
    "ten iterations, two shards": ("quickstart", ("run.iterations=10", "prompts.shards=2")),
    "two phases, three shards": ("sandbox-egpo", ("run.iterations=2", "prompts.shards=3")),
}
STEPS = ("preparation", "rollout", "judging", "logprobs", "training", "evaluation", "reporting", "closing")
LOCK = {"run_root": "<run_root>", "takes_over": "<takes_over>", "job_id": "{{$.pipeline_job_uuid}}"}
OF_PIPELINE = LOCK | {name: f"<{name}>" for name in ("set", "prompts", "policy", "only_new_prompts", "run_name")}
OUTSIDE = (Place("preparation"), Place("closing"))


@pytest.fixture(scope="module", params=RECIPES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def recipe(case: str) -> Recipe:
    return load_recipe(*RECIPES[case])


@pytest.fixture(scope="module")
def package(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "pipeline.yaml"
    compile_graph(recipe, path)
    return path


@pytest.fixture(scope="module")
def tasks(package: Path) -> Tasks:
    return unrolled(package)


def compiled(tmp_path: Path, name: str, *overrides: str, first: int = 1) -> Path:
    package = tmp_path / "p.yaml"
    compile_graph(load_recipe(name, overrides), package, first)
    return package


# --- what reaches a step ---------------------------------------------------------------------------------------------


def test_every_container_runs_a_step_by_its_own_module_and_is_its_only_one(package: Path) -> None:
    """Local execution and the cluster tell steps apart by nothing else."""
    containers = load(package)[0]["deploymentSpec"]["executors"]
    commands = {label: executor["container"]["command"] for label, executor in containers.items()}
    assert commands == {f"exec-{step}": ["python3", "-m", f"nashflow.components.{step}"] for step in STEPS}


def test_the_recipe_travels_once(tasks: Tasks, recipe: Recipe) -> None:
    """Preparation is given it, as JSON; the others are told where it has put it; closing, the exit task, nothing."""
    for place, task in tasks.items():
        told = task.flags["recipe"]
        if place.step == "preparation":
            assert json.loads(told) == recipe.model_dump(mode="json")
        else:
            assert told == ("" if place.step == "closing" else "<preparation.resolved>")
            assert sum(len(str(value)) for value in task.flags.values()) < 200, "short enough for KFP's page"


def test_pipeline_parameters_reach_preparation_and_the_lock_both_its_ends(tasks: Tasks) -> None:
    for place, task in tasks.items():
        own = {name: value for name, value in task.flags.items() if str(value).startswith(("<", "{{$"))}
        own.pop("recipe", None)
        images = [own.pop(name) for name in list(own) if name.endswith("image")]
        assert bool(images) == (place.step == "preparation")
        assert own == (OF_PIPELINE if place.step == "preparation" else LOCK if place.step == "closing" else {})


def test_all_but_preparation_is_tried_again_in_its_pod_and_with_another_pod(tasks: Tasks) -> None:
    """Above all closing: nothing else records how the run ended."""
    for place, task in tasks.items():
        retries = 0 if place.step == "preparation" else 3
        assert task.flags["retries"] == retries
        assert task.retries.get("maxRetryCount", 0) == retries


def test_everything_but_the_closing_waits_for_preparations_go(package: Path, tasks: Tasks) -> None:
    ir, _ = load(package)
    (handler,) = (task for task in ir["root"]["dag"]["tasks"].values() if "triggerPolicy" not in task)
    inside = ir["components"][handler["componentRef"]["name"]]["dag"]["tasks"]
    assert inside["iterations"]["triggerPolicy"]["condition"] == "inputs.parameter_values['preparation-go'] == 'true'"
    assert set(inside) == {"preparation", "iterations"}
    assert set(ir["root"]["dag"]["tasks"]) == {"run", "closing"}
    for place, task in tasks.items():
        assert task.around[:-1] == () if place.step == "closing" else task.around[0] == "run"
        assert place in OUTSIDE or task.around[1] == "iterations"
        assert not task.cached


# --- iterations ------------------------------------------------------------------------------------------------------


def expected(recipe: Recipe) -> list[set[Place]]:
    """The places that a graph of all of a recipe's iterations has, in the order in which they have to be done."""
    shards = range(recipe.prompts.shards)
    order = [{Place("preparation")}, {Place("evaluation", 0)}]
    for iteration in range(1, recipe.run.iterations + 1):
        for phase in recipe.method.phases(iteration):
            for step in ("logprobs",) if phase.data_from else ("rollout", "judging", "logprobs"):
                order.append({Place(step, iteration, phase.name, shard) for shard in shards})
            order.append({Place("training", iteration, phase.name)})
        order.append({Place("evaluation", iteration)})
    return [*order, {Place("reporting", recipe.run.iterations)}, {Place("closing")}]


def assert_one_after_the_other(tasks: Tasks, recipe: Recipe) -> None:
    """Every task begins when all before it have ended; of the steps before it in its loop its own shard's alone."""
    done: set[Place] = set()
    loop: set[Place] = set()
    for places in expected(recipe):
        in_loop = next(iter(places)).step in ("rollout", "judging", "logprobs")
        for place in places:
            assert tasks[place].after == done | {other for other in loop if not in_loop or other.shard == place.shard}
        loop |= places
        if not in_loop:
            done, loop = done | loop, set()


def test_iterations_phases_and_steps_follow_each_other(tasks: Tasks, recipe: Recipe) -> None:
    assert set(tasks) == set().union(*expected(recipe))
    assert_one_after_the_other(tasks, recipe)


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("sandbox-*.yaml")))
def test_so_they_do_for_every_method(name: str, shards: int, tmp_path: Path) -> None:
    overrides = ("run.iterations=2", f"prompts.shards={shards}")
    tasks, recipe = unrolled(compiled(tmp_path, name, *overrides)), load_recipe(name, overrides)
    assert set(tasks) == set().union(*expected(recipe))
    assert_one_after_the_other(tasks, recipe)


def test_one_shard_needs_no_loop(tmp_path: Path) -> None:
    ir, _ = load(compiled(tmp_path, "sandbox-egpo", "run.iterations=2"))
    graphs = [part for part in (ir["root"], *ir["components"].values()) if "dag" in part]
    assert len(graphs) == 3, "the run, its exit handler and its condition"
    assert "parameterIterator" not in json.dumps(graphs)


def test_several_shards_are_a_loop_a_phase_of_so_many_at_once(tmp_path: Path) -> None:
    package = compiled(tmp_path, "sandbox-egpo", "run.iterations=2", "prompts.shards=3", "cluster.shards_at_once=2")
    ir, _ = load(package)
    inside = ir["components"]["comp-condition-2"]["dag"]["tasks"]
    graphs = {name: task["componentRef"]["name"] for name, task in inside.items() if name.startswith("shards-")}
    assert set(graphs) == {"shards-1-half", "shards-1", "shards-2-half", "shards-2"}
    assert graphs["shards-1"] == graphs["shards-2"] != graphs["shards-1-half"] == graphs["shards-2-half"]
    for graph in set(graphs.values()):
        (loop,) = ir["components"][graph]["dag"]["tasks"].values()
        assert json.loads(loop["parameterIterator"]["items"]["raw"]) == [0, 1, 2]
        assert loop["iteratorPolicy"] == {"parallelismLimit": 2}


def test_a_later_graph_unrolls_the_later_iterations_alone(tmp_path: Path) -> None:
    tasks = unrolled(compiled(tmp_path, "quickstart", "run.iterations=5", first=4))
    assert {place.iteration for place in tasks if place.step == "rollout"} == {4, 5}
    assert tasks[Place("rollout", 4, "main")].after == {Place("preparation"), Place("evaluation", 0)}
    with pytest.raises(UserError, match="--first-iteration 6: the recipe's iterations are 1 to 5"):
        compiled(tmp_path, "quickstart", "run.iterations=5", first=6)


# --- what a person sees of it ----------------------------------------------------------------------------------------


def test_tasks_have_names_for_people(tmp_path: Path) -> None:
    tasks = unrolled(compiled(tmp_path, "sandbox-egpo", "run.iterations=1"))
    parts = [f"{step} 1{phase}" for step in ("rollout", "judging", "logprobs", "training") for phase in ("", " half")]
    assert {" / ".join(task.around) for task in tasks.values()} == {
        *("run / preparation", "closing"),
        *(f"run / iterations / {name}" for name in ("evaluation 0", "evaluation 1", "reporting", *parts)),
    }
    tasks = unrolled(compiled(tmp_path, "sandbox-egpo", "run.iterations=1", "prompts.shards=2"))
    assert tasks[Place("judging", 1, "half", 1)].around == (
        "run",
        "iterations",
        "shards 1 half",
        "each shard",
        "judging",
    )
    assert tasks[Place("judging", 1, "main", 1)].around == ("run", "iterations", "shards 1", "each shard", "judging")


ARTIFACTS = {
    "preparation": {"reference": "Model", "settings": "Metrics"},
    "rollout": {"responses": "Dataset"},
    "judging": {"comparisons": "Dataset", "pairs": "Dataset"},
    "logprobs": {"log_probabilities": "Dataset"},
    "training": {"policy": "Model", "metrics": "Metrics"},
    "evaluation": {"scores": "Metrics", "report": "HTML"},
    "reporting": {"report": "HTML", "metrics": "Metrics"},
    "closing": {},
}
DATA = ARTIFACTS["rollout"] | ARTIFACTS["judging"]


def test_artifacts_are_named_for_what_they_are(tasks: Tasks, recipe: Recipe) -> None:
    """Of several shards the data are handed out by training: one artifact a kind, instead of one a shard."""
    for place, task in tasks.items():
        made = ARTIFACTS[place.step]
        if recipe.prompts.shards > 1:
            made = {} if place.phase and place.step != "training" else made | (DATA if place.step == "training" else {})
        assert task.writes == {name: f"system.{kind}" for name, kind in made.items()}


def test_artifacts_tell_the_lineage(tmp_path: Path) -> None:
    tasks = unrolled(compiled(tmp_path, "sandbox-onpo", "run.iterations=2"))
    read = {f"{place.step} {place.iteration} {place.phase}".strip(): task.reads for place, task in tasks.items()}
    assert {name: reads for name, reads in read.items() if name.split()[1] in "01" and reads} == {
        "evaluation 0": {"policy": "preparation.reference"},
        "rollout 1 auxiliary": {"policy": "preparation.reference"},
        "judging 1 auxiliary": {"responses": "rollout-001-auxiliary.responses"},
        "logprobs 1 auxiliary": {"source": "judging-001-auxiliary.pairs"},
        "training 1 auxiliary": {"scored": "logprobs-001-auxiliary.log_probabilities"},
        "logprobs 1 main": {"source": "training-001-auxiliary.policy"},
        "training 1 main": {"scored": "logprobs-001-main.log_probabilities"},
        "evaluation 1": {"policy": "training-001-main.policy"},
    }
    assert read["rollout 2 auxiliary"] == {"policy": "training-001-main.policy"}


def test_of_several_shards_training_tells_the_lineage(tmp_path: Path) -> None:
    """From policy to policy, and from each training to the data of all shards."""
    tasks = unrolled(compiled(tmp_path, "sandbox-onpo", "run.iterations=2", "prompts.shards=2"))
    assert {
        f"{place.step} {place.iteration} {place.phase}".strip(): task.reads
        for place, task in tasks.items()
        if task.reads
    } == {
        "evaluation 0": {"policy": "preparation.reference"},
        "training 1 auxiliary": {"previous": "preparation.reference"},
        "training 1 main": {"previous": "training-001-auxiliary.policy"},
        "evaluation 1": {"policy": "training-001-main.policy"},
        "training 2 auxiliary": {"previous": "training-001-main.policy"},
        "training 2 main": {"previous": "training-002-auxiliary.policy"},
        "evaluation 2": {"policy": "training-002-main.policy"},
    }


def test_parameters_are_explained_and_booleans_are_booleans(tmp_path: Path) -> None:
    ir, _ = load(compiled(tmp_path, "inpo-llama3-8b"))
    parameters = ir["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {
        *("run_root", "set", "prompts", "policy", "only_new_prompts", "run_name", "takes_over", "image"),
        *("vllm_image", "training_image"),
    }
    assert all(parameter["description"] and parameter["isOptional"] for parameter in parameters.values())
    only_new = parameters["only_new_prompts"]
    assert (only_new["parameterType"], only_new["defaultValue"]) == ("BOOLEAN", False)


def test_a_run_is_given_the_images_that_its_steps_use_and_no_other(tmp_path: Path) -> None:
    ir, _ = load(compiled(tmp_path, "quickstart"))
    assert {name for name in ir["root"]["inputDefinitions"]["parameters"] if name.endswith("image")} == {"image"}


@pytest.mark.parametrize(
    ("overrides", "first", "description"),
    [
        ((), 1, "iterations 1 to 3, 1 shard"),
        (("run.iterations=1", "prompts.shards=4"), 1, "iteration 1, 4 shards"),
        ((), 3, "iteration 3, 1 shard"),
        (("cluster.service_account=runner",), 2, "iterations 2 to 3, 1 shard; service account runner"),
    ],
)
def test_a_version_is_described_in_words(
    overrides: tuple[str, ...], first: int, description: str, tmp_path: Path
) -> None:
    ir, _ = load(compiled(tmp_path, "quickstart", *overrides, first=first))
    assert ir["pipelineInfo"]["description"] == f"quickstart: inpo, {description}"


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_it_starts_the_tasks_that_the_plan_counts(tasks: Tasks, recipe: Recipe) -> None:
    assert len(tasks) == len(planned_tasks(recipe))


def test_it_is_small(package: Path) -> None:
    assert package.stat().st_size <= 400_000


def test_shards_do_not_enlarge_it(tmp_path: Path) -> None:
    """They are loops, not copies: only their numbers are written out."""
    sizes = []
    for shards in (2, 64):
        write_graph(load_recipe("quickstart", [f"prompts.shards={shards}"]), tmp_path / "p.yaml", 1)
        sizes.append((tmp_path / "p.yaml").stat().st_size)
    assert sizes[1] - sizes[0] < 2_000


def test_it_is_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from nashflow.pipelines.graph import compile_graph\n"
        "from nashflow.pipelines.recipe import load_recipe\n"
        "compile_graph(load_recipe('quickstart', ['run.iterations=10']), Path(sys.argv[1]))"
    )
    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "ours.yaml"
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", code, str(theirs)], env=environment, check=True, capture_output=True)
    compile_graph(load_recipe("quickstart", ["run.iterations=10"]), ours)
    assert theirs.read_bytes() == ours.read_bytes()


# --- what cannot be compiled -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "output", "complaint"),
    [
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
    assert len(unrolled(tmp_path / "p.yaml")) == 4 + 3 * (3 * 8 + 2)


# --- the paper's recipe ----------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden" / "inpo-llama3-8b.yaml"


def test_the_papers_recipe_compiles_to_its_golden_ir(tmp_path: Path) -> None:
    """After a change that is meant: `nashflow compile inpo-llama3-8b -o …`, without the line of the SDK's version."""
    compile_graph(load_recipe("inpo-llama3-8b"), tmp_path / "p.yaml")
    made, golden = (list(yaml.safe_load_all(path.read_text())) for path in (tmp_path / "p.yaml", GOLDEN))
    made[0].pop("sdkVersion")
    assert made == golden


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*llama3-8b*.yaml")))
def test_recipes_of_language_models_fit_at_eight_shards(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.prompts.shards == 8
    compile_graph(recipe, tmp_path / "p.yaml")  # which holds the lint's rules against it, the size budget among them


def test_a_recipe_of_a_language_model_fits_at_ten_iterations(tmp_path: Path) -> None:
    compile_graph(load_recipe("dno-llama3-8b", ["run.iterations=10"]), tmp_path / "p.yaml")
    assert len(unrolled(tmp_path / "p.yaml")) == 4 + 10 * (3 * 8 + 2)


# --- a step that only some recipes have ------------------------------------------------------------------------------


def test_a_judge_is_fitted_before_it_is_asked_for_the_first_time(tmp_path: Path) -> None:
    judge = "{kind: reward_model, model: /models/base, data: {path: /models/pairs.jsonl}}"
    overrides = ["oracle.kind=fitted", f"oracle.judge={judge}", "run.iterations=1"]
    recipe = load_recipe("inpo-llama3-8b", overrides)
    package = tmp_path / "p.yaml"
    compile_graph(recipe, package)
    found = unrolled(package)
    fitting = Place("judge_training")
    assert found[fitting].after == {Place("preparation")}
    assert all(fitting in task.after for place, task in found.items() if place not in (*OUTSIDE, fitting))
    assert found[fitting].flags["recipe"] == "<preparation.resolved>"
    assert found[fitting].image == "<training_image>"
    tasks = planned_tasks(recipe)
    assert tasks[:3] == ["preparation", "judge-training", "evaluation-000"]
    assert place_of("judge-training") == PlaceOfTask("judge_training")


def test_a_policy_is_promoted_when_all_is_measured_and_before_the_report(tmp_path: Path) -> None:
    compile_graph(load_recipe("quickstart", ["promotion.model=toy", "run.iterations=2"]), tmp_path / "p.yaml")
    tasks = unrolled(tmp_path / "p.yaml")
    (task,) = [each for place, each in tasks.items() if place.step == "promotion"]
    assert task.reads == {"policy": "training-002-main.policy"}
    assert task.writes == {"decision": "system.Metrics", "report": "system.HTML"}
    assert Place("evaluation", 2) in task.after
    assert Place("promotion", 2) in tasks[Place("reporting", 2)].after
    compile_graph(load_recipe("quickstart"), tmp_path / "without.yaml")
    assert "promotion" not in (tmp_path / "without.yaml").read_text()
