"""The pipeline's parameters: what a run, or a firing of a schedule, changes of its recipe, and what it is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.storage import outcome, recipes
from nashflow.components.storage.run import read_run
from nashflow.components.storage.store import open_store
from tests.fixtures.folders import over, write_prompts
from tests.fixtures.runs import SandboxRun, copy_files, recipe, snapshot

New = Callable[..., SandboxRun]
ONLY_NEW = {"only_new_prompts": "true"}


@pytest.fixture(autouse=True)
def no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def new(fresh: New, prepared_root: SandboxRun) -> New:
    """A run of the small recipe whose reference is there already."""

    def made(changes: dict[str, Any] | None = None, root: str = "run") -> SandboxRun:
        run = fresh(changes, root)
        copy_files(prepared_root.store, run.store, "policies/000")
        return run

    return made


def refusal(run: SandboxRun, **flags: str) -> str:
    before = snapshot(Path(run.root).parent)
    with pytest.raises(UserError) as caught:
        run.step("preparation", **flags)
    assert len(str(caught.value).splitlines()) == 1
    assert snapshot(Path(run.root).parent) == before
    return str(caught.value)


# --- settings of a run -----------------------------------------------------------------------------------------------


def test_settings_of_a_run_are_in_the_recipe_that_its_steps_read(new: New) -> None:
    run = new()
    result = run.step("preparation", set="method.eta=0.25  training.learning_rate=1e-6 'judging.drop_identical= yes'")
    _, resolved = recipes.read(result.parameters["resolved"])
    whole = recipe({"method.eta": 0.25, "training.learning_rate": 1e-6, "judging.drop_identical": True})
    assert resolved == whole.model_dump(mode="json")
    known = read_run(run.store)
    assert known is not None
    assert known.recipe["method"]["eta"] == 0.25
    assert result.artifacts["settings"].metadata["method.eta"] == 0.25, "and in KFP's table, where runs differ"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            "method.name=sppo",
            "set: method.name would change the graph, which is compiled: compile or submit the recipe anew with "
            "--set method.name=sppo",
        ),
        (
            "method.eta=0.25 prompts.shards=2",
            "set: prompts.shards would change the graph, which is compiled: compile or submit the recipe anew with "
            "--set prompts.shards=2",
        ),
        ("method.etta=0.25", "set: method.etta: unknown key; did you mean method.eta?"),
        ("method.eta=0.25, method.tau=0.2", "set: method.eta: '0.25,' is neither a number above 0 nor 'decreasing'"),
        ("method.eta", "--set method.eta: give section.key=value, such as training.learning_rate=1e-6"),
        (
            "prompts.field='a",
            'set: "prompts.field=\'a": No closing quotation: write section.key=value, blanks between two',
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings: str, line: str, new: New) -> None:
    assert refusal(new(), set=settings) == line


def test_another_run_of_the_same_run_root_has_the_same_settings(prepared: SandboxRun) -> None:
    assert refusal(prepared, set="method.eta=0.25").startswith(
        f"{prepared.root}: belongs to another recipe: method.eta is 0.5 there and 0.25 here"
    )
    assert prepared.step("preparation", set="method.eta=0.5 evaluation.tau=0.3").parameters["go"] == "true"


def test_a_parameter_of_its_own_wins(fresh: New, folders: Path) -> None:
    run = fresh(over(folders, prompts__path="nowhere", policy__model="nowhere"))
    named = {"prompts": str(folders / "prompts.jsonl"), "policy": str(folders / "policy")}
    result = run.step("preparation", set="prompts.path=/x.jsonl policy.model=/x policy.copy_files=true", **named)
    _, resolved = recipes.read(result.parameters["resolved"])
    assert resolved["prompts"]["path"] == named["prompts"]
    assert (resolved["policy"]["model"], resolved["policy"]["copy_files"]) == (named["policy"], True)


# --- only new prompts ------------------------------------------------------------------------------------------------


@pytest.fixture
def fired(fresh: New, folders: Path, tmp_path: Path) -> Callable[..., SandboxRun]:
    """A firing over a file of so many prompts, two of which are held out."""

    def made(root: str, count: int = 8) -> SandboxRun:
        file = write_prompts(tmp_path / "prompts.jsonl", [f"question {index}" for index in range(count)])
        return fresh(over(folders, prompts={"path": str(file), "per_iteration": 4, "held_out": 2}), root)

    return made


@pytest.mark.parametrize(("more", "new", "missing"), [(0, 0, 3), (1, 1, 2), (2, 2, 1)])
def test_a_firing_with_too_few_new_prompts_says_how_many_it_would_need(
    more: int, new: int, missing: int, fired: Callable[..., SandboxRun], capsys: pytest.CaptureFixture[str]
) -> None:
    fired("one").step("preparation", **ONLY_NEW)
    capsys.readouterr()
    second = fired("two", 8 + more)
    result = second.step("preparation", job_id="job-2", **ONLY_NEW)
    assert (result.parameters, result.manifest) == ({"resolved": "", "go": "false"}, None)
    assert set(result.artifacts) == {"reference", "settings"}, "a cluster wants every output"
    why = (
        f"{new} of {8 + more} prompts are new to runs named small, and prompts.held_out = 2 of them are for "
        f"evaluation: {missing} more are needed in {second.recipe.prompts.path}"
    )
    assert capsys.readouterr().err == f"preparation: skipped: {why}\n"
    said = outcome.read(second.store)
    assert said is not None
    assert (said.outcome, said.reason, said.job) == ("skipped", why, "job-2")
    assert second.store.list() == ["report/outcome.json", "run.json"]
    assert lock.held_by(second.store) == ("", "")


def test_a_firing_without_new_prompts_for_one_of_its_iterations_is_skipped(
    fresh: New, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [write_prompts(tmp_path / f"{name}.jsonl", [f"{name} {index}" for index in range(4)]) for name in "ab"]
    own = {"path": str(write_prompts(tmp_path / "own.jsonl", ["one", "two"]))}
    prompts = {"path": [str(path) for path in sets], "per_iteration": 2, "held_out": 2}
    changes = over(folders, prompts=prompts, evaluation__prompts=own, run__iterations=2)
    assert fresh(changes, "one").step("preparation", **ONLY_NEW).parameters["go"] == "true"
    write_prompts(sets[0], [f"later {index}" for index in range(4)])
    assert fresh(changes, "two").step("preparation", **ONLY_NEW).parameters["go"] == "false"
    assert f"no prompt of {sets[1]}, for iteration 2, is new to runs named small" in capsys.readouterr().err


def test_one_prompt_more_is_enough(fired: Callable[..., SandboxRun]) -> None:
    fired("one").step("preparation", **ONLY_NEW)
    result = fired("two", 11).step("preparation", **ONLY_NEW)
    assert (result.parameters["go"], result.metrics["prompts"]) == ("true", 3)


def test_a_firing_that_was_skipped_goes_on_when_there_are_prompts(fired: Callable[..., SandboxRun]) -> None:
    fired("one").step("preparation", **ONLY_NEW)
    assert fired("two").step("preparation", **ONLY_NEW).parameters["go"] == "false"
    assert fired("two", 11).step("preparation", **ONLY_NEW).parameters["go"] == "true"


def test_the_closing_of_a_firing_that_was_skipped_leaves_its_word(fired: Callable[..., SandboxRun]) -> None:
    fired("one").step("preparation", job_id="job-1", **ONLY_NEW)
    second = fired("two")
    second.step("preparation", job_id="job-2", **ONLY_NEW)
    before = snapshot(second.root)
    second.step("closing", job_id="job-2", status='{"state": "COMPLETE"}')
    assert snapshot(second.root) == before


@pytest.mark.parametrize("spelling", ["true", "True"])
def test_worlds_that_make_their_prompts_always_have_new_ones(spelling: str, new: New) -> None:
    for firing in ("monday", "tuesday", "wednesday"):
        result = new(root=firing).step("preparation", job_id=firing, only_new_prompts=spelling)
        assert (result.parameters["go"], result.metrics["prompts"]) == ("true", 8)


def test_a_firing_that_is_skipped_is_a_success_with_a_line_in_its_log(
    fired: Callable[..., SandboxRun], tmp_path: Path
) -> None:
    """As a graph calls it: a real process, the recipe as JSON among KFP's parameters."""
    assert fired("job-1").step("preparation", job_id="job-1", **ONLY_NEW).metrics["prompts"] == 8
    parameters = {
        "run_root": f"{tmp_path}/{{job}}",
        "recipe": json.dumps(fired("job-2").recipe.model_dump(mode="json")),
        "set": "method.eta=0.25",
        "only_new_prompts": True,
        "job_id": "job-2",
    }
    outputs = {name: {"outputFile": str(tmp_path / "out" / name)} for name in ("resolved", "go")}
    given = {"inputs": {"parameterValues": parameters}, "outputs": {"parameters": outputs}}
    command = [sys.executable, "-m", "nashflow.components.preparation", "--executor-input", json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["metrics"]["prompts"] == 0
    assert done.stderr.startswith("preparation: skipped: 0 of 8 prompts are new to runs named small")
    assert (tmp_path / "out" / "go").read_text() == "false"
    recorded = read_run(open_store(str(tmp_path / "job-2")))
    assert recorded is not None
    assert recorded.recipe["method"]["eta"] == 0.25
