"""Sets of prompts: one for each iteration, one for evaluation alone, and what a run says of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from tests.fixtures.folders import over, write_prompts
from tests.fixtures.runs import SandboxRun
from tests.fixtures.tracking import every_run

New = Callable[..., SandboxRun]


def write(path: Path, name: str, count: int, *more: str) -> str:
    return str(write_prompts(path / f"{name}.jsonl", [*(f"{name} {index}" for index in range(count)), *more]))


def sections(folders: Path, path: Any, **changes: Any) -> dict[str, Any]:
    return over(folders, prompts={"path": path, "per_iteration": 4, "held_out": 3}, **changes)


def contents(rows: list[dict[str, Any]]) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


def held_out(run: SandboxRun) -> list[str]:
    return contents(run.rows("iterations/000/prompts/held_out", "prompts"))


def test_each_iteration_has_a_set_of_its_own(fresh: New, folders: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path, "a", 9), write(tmp_path, "b", 6, "a 0")]
    run = fresh(sections(folders, paths))
    run.step("preparation")
    kept_back = held_out(run)
    for iteration, name in ((1, "a"), (2, "b")):
        dealt = contents(run.content("prompts", iteration))
        assert {text[0] for text in dealt} == {name}
        assert not set(dealt) & set(kept_back)
        assert len(set(dealt)) == 4
    assert [row["row_id"] for row in run.content("prompts", 2)] == [4, 5, 6, 7]
    assert json.loads(run.store.read("run.json"))["prompts"]["left_out"] == {"duplicate": 1}


def test_too_few_sets_or_an_empty_one_are_refused(fresh: New, folders: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path, "a", 9), write(tmp_path, "b", 0, "a 0")]
    with pytest.raises(UserError, match=r"prompts\.path has 2 sets, one for each iteration, and run\.iterations is 3"):
        fresh(sections(folders, paths, run__iterations=3))
    with pytest.raises(UserError, match=rf"^{paths[1]}: no prompt is left for iteration 2: "):
        fresh(sections(folders, paths)).step("preparation")


def test_a_run_can_be_extended_by_sets_where_evaluation_has_its_own(fresh: New, folders: Path, tmp_path: Path) -> None:
    own, *paths = (write(tmp_path, name, 6, "a 0") for name in ("own", "a", "b", "c"))
    evaluation = {"benchmarks": ["head_to_head"], "prompts": {"path": own}}
    run = fresh(sections(folders, paths[:2], evaluation=evaluation))
    run.step("preparation")
    before = [run.content("prompts", iteration) for iteration in (1, 2)]
    longer = fresh(sections(folders, paths, evaluation=evaluation, run__iterations=3))
    for _ in range(2):
        longer.step("preparation")
    assert [run.content("prompts", iteration) for iteration in (1, 2)] == before
    assert {text[0] for text in contents(run.content("prompts", 3))} == {"c"}
    for others in ([paths[1], paths[0], paths[2]], paths[:2]):
        with pytest.raises(UserError, match=r"belongs to another recipe: .*prompts\.path is "):
            fresh(sections(folders, others, evaluation=evaluation, run__iterations=2)).step("preparation")
    write(tmp_path, "b", 5)
    with pytest.raises(UserError, match=r"belongs to another recipe: digest of prompts is "):
        longer.step("preparation")


def test_sets_that_would_change_what_is_held_out_are_not_added(fresh: New, folders: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path, name, 6) for name in "abc"]
    fresh(sections(folders, paths[:2])).step("preparation")
    longer = fresh(sections(folders, paths, run__iterations=3))
    with pytest.raises(UserError, match=r"has prompts held out from all of its 2 sets, so that none can be added"):
        longer.step("preparation")


def test_evaluation_may_have_a_set_of_its_own(fresh: New, folders: Path, tmp_path: Path) -> None:
    path, own = write(tmp_path, "a", 8), write(tmp_path, "own", 4, "a 0", "a 1")
    changes = sections(folders, path, evaluation={"benchmarks": ["head_to_head"], "prompts": {"path": own}})
    run = fresh(changes)
    run.step("preparation")
    assert len(set(held_out(run)) & {"a 0", "a 1", *(f"own {index}" for index in range(4))}) == 3
    dealt = contents([row for iteration in (1, 2) for row in run.content("prompts", iteration)])
    assert set(dealt) == {f"a {index}" for index in range(2, 8)}
    said = json.loads(run.store.read("run.json"))["prompts"]
    assert (said["read"], said["kept"], said["left_out"]) == (8, 6, {"in_evaluation": 2})
    assert (said["fresh"], said["dealt"], said["fewest"], said["most"]) == (6, 8, 1, 2)
    assert (said["held_out"]["read"], said["held_out"]["kept"]) == (6, 6)
    few = fresh({**changes, "prompts": {"path": path, "per_iteration": 4, "held_out": 7}}, "few")
    with pytest.raises(UserError, match=r"6 entries, 6 prompts, fewer than prompts\.held_out = 7: lower that"):
        few.step("preparation")


@pytest.mark.parametrize(("own", "line"), [({}, "evaluation.prompts.path: required"), ({"path": "x"}, "is empty")])
def test_a_set_for_evaluation_has_a_path_and_something_to_learn_from_beside_it(
    own: dict[str, str], line: str, fresh: New, folders: Path
) -> None:
    evaluation = {"benchmarks": ["head_to_head"], "prompts": own}
    with pytest.raises(UserError, match=line):
        fresh({"evaluation": evaluation} if own else over(folders, evaluation=evaluation))


def test_no_prompt_that_the_policy_sees_alike_is_held_out_and_dealt(fresh: New, folders: Path, tmp_path: Path) -> None:
    policy = Path(shutil.copytree(folders / "policy", tmp_path / "policy"))
    template = policy / "chat_template.jinja"
    template.write_text(template.read_text().replace("['content']", "['content'] | trim"))
    assert "| trim" in template.read_text()
    texts = [f"question {index}{end}" for index in range(10) for end in ("", " ", "\n")]
    path = write_prompts(tmp_path / "blanks.jsonl", texts)
    run = fresh(sections(folders, str(path), policy__model=str(policy)))
    assert run.step("preparation").metrics["duplicate"] == 20
    dealt = contents([row for iteration in (1, 2) for row in run.content("prompts", iteration)])
    assert not {text.strip() for text in held_out(run)} & {text.strip() for text in dealt}


def test_what_was_left_out_stands_in_metrics_run_json_and_mlflow(
    fresh: New, folders: Path, tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    prompts = {"path": write(tmp_path, "a", 6, "a 0", " ", "long" * 9), "per_iteration": 6, "held_out": 3}
    run = fresh(over(folders, prompts={**prompts, "max_tokens": 20, "on_bad": "skip"}))
    metrics = run.step("preparation").metrics
    counted = {"read": 9, "kept": 6, "duplicate": 1, "empty": 1, "too_long": 1, "most_uses": 4}
    assert metrics == {"prompts": 6, "iterations": 2, **counted}
    said = json.loads(run.store.read("run.json"))["prompts"]
    assert said["left_out"] == {"duplicate": 1, "empty": 1, "too_long": 1}
    assert said["examples"] == {
        "empty": f"{prompts['path']}: line 8: the prompt is empty",
    }
    (sent,) = every_run(MlflowClient(uri))
    assert sent.data.metrics == {f"prompts/{name}": value for name, value in counted.items()}
