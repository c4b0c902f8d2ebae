"""`run.json`: when a run is the same run."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.storage.run import Run, check_same, flatten, identity_of, read_run, require_run
from nashflow.components.storage.store import Store, open_store
from tests.fixtures.runs import recipe

RECIPE: dict[str, Any] = recipe().model_dump(mode="json")
KEYS = sorted(flatten(RECIPE))
FREE = (
    *("run.iterations", "judging.guards."),
    *("training.micro_batch_tokens", "training.launcher", "training.layout", "logprobs.layout"),
    *("evaluation.", "cluster.", "promotion.", "reporting."),
)
INPUTS = {"prompts": "a" * 64, "policy": "b" * 64, "oracle": "c" * 64}


def run(recipe: dict[str, Any] | None = None, **inputs: str) -> Run:
    return Run("small", recipe or RECIPE, INPUTS | inputs, {"nashflow": "0.1.0"})


def changed(key: str, value: Any = "another value") -> dict[str, Any]:
    """The recipe with one dotted key set."""
    copied = copy.deepcopy(RECIPE)
    place, (*sections, last) = copied, key.split(".")
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return copied


def test_a_run_comes_back(run_store: Store) -> None:
    assert read_run(run_store) is None
    one = Run("small", RECIPE, INPUTS, {"torch": "2.13.0"}, {"uri": "sqlite:///x", "runs": {"1": "abc"}})
    one.write(run_store)
    assert read_run(run_store) == require_run(run_store) == one
    said = json.loads(run_store.read("run.json"))
    assert said["identity"] == one.identity
    check_same(run_store, require_run(run_store), one)


def test_a_run_of_before_with_another_size_of_micro_batches_is_the_same_run(run_store: Store) -> None:
    run(changed("training.micro_batch_size", 128)).write(run_store)
    assert require_run(run_store) == run()


def test_a_run_root_without_a_run_is_named(run_store: Store) -> None:
    with pytest.raises(UserError) as caught:
        require_run(run_store)
    assert str(caught.value) == (f"{run_store.uri}: no run here; a run root holds run.json, which preparation writes")


DAMAGED = {
    "cut short": b'{"identity": "ab", "name": "sm',
    "no text": b"\xff\xfe\x00",
    "no object": b"[1, 2]",
    "another program's": b'{"id": 7, "status": "done"}',
    "a key more": json.dumps({**vars(run()), "colour": "red"}).encode(),
    "a key less": json.dumps({key: value for key, value in vars(run()).items() if key != "inputs"}).encode(),
    "a recipe that is a text": json.dumps({**vars(run()), "recipe": "quickstart"}).encode(),
    "a recipe without its run": json.dumps({**vars(run()), "recipe": {"method": {}}}).encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_or_foreign_run_is_the_users_to_mend(content: bytes, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    store.write("run.json", content)
    for read in (read_run, require_run):
        with pytest.raises(UserError) as caught:
            read(store)
        assert str(caught.value) == (
            f"{tmp_path}/run/run.json is no run.json of this version: choose another run root, or delete it"
        )


@pytest.mark.parametrize("key", KEYS)
def test_a_key_belongs_to_the_identity_unless_it_only_looks_at_the_run(key: str) -> None:
    same = run(changed(key)).identity == run().identity
    assert same == key.startswith(FREE)


@pytest.mark.parametrize("section", ["promotion", "reporting", "cluster"])
def test_sections_that_only_look_at_a_run_may_come_and_go(section: str) -> None:
    assert run({**RECIPE, section: {"anything": 1}}).identity == run().identity


@pytest.mark.parametrize("name", INPUTS)
def test_what_the_recipe_names_belongs_to_the_identity(name: str) -> None:
    assert run(**{name: "d" * 64}).identity != run().identity


def test_versions_and_trackers_do_not_belong_to_the_identity() -> None:
    other = Run("small", RECIPE, INPUTS, {"nashflow": "9"}, {"uri": "elsewhere"})
    assert other.identity == run().identity


def test_the_order_of_keys_does_not_count() -> None:
    turned = {name: dict(reversed(section.items())) for name, section in reversed(RECIPE.items())}
    assert run(turned).identity == run().identity


def test_making_an_identity_changes_no_recipe() -> None:
    before = copy.deepcopy(RECIPE)
    identity_of(RECIPE)["method"]["eta"] = 7
    assert before == RECIPE


def refusal(known: Run, now: Run) -> str:
    store = open_store("/runs/one")
    with pytest.raises(UserError) as caught:
        check_same(store, known, now)
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert line.startswith("/runs/one: belongs to another recipe: ")
    assert line.endswith("; choose another run root")
    return line.removeprefix("/runs/one: belongs to another recipe: ").removesuffix("; choose another run root")


def test_what_differs_is_said() -> None:
    assert refusal(run(), run(changed("method.eta", 0.25))) == "method.eta is 0.5 there and 0.25 here"
    assert refusal(run(), run(policy="d" * 64)) == "digest of policy is 'bbbbbbbbbbbb' there and 'dddddddddddd' here"
    both = refusal(run(changed("training.epochs", 9)), run(oracle="e" * 64))
    assert both == (
        "digest of oracle is 'cccccccccccc' there and 'eeeeeeeeeeee' here; training.epochs is 9 there and 4 here"
    )


def test_what_may_differ_is_not_said() -> None:
    both = changed("evaluation.tau", 0.7)
    both["run"]["seed"] = 3
    assert refusal(run(), run(both)) == "run.seed is 0 there and 3 here"


EMPTY: dict[str, dict[str, Any]] = {
    "a section less": {name: section for name, section in RECIPE.items() if name != "judging"},
    "an empty section": {**RECIPE, "judging": {}},
    "a section more": {**RECIPE, "teacher": {}},
    "a key that is null": changed("judging.note", None),
}


LESS = (
    "judging.batch_prompts is 64 there and absent here; judging.drop_identical is False there and absent here; "
    "judging.length_ratio is None there and absent here; judging.seeding is None there and absent here"
)
EMPTY_LINES = {
    "a section less": LESS,
    "an empty section": f"judging is absent there and {{}} here; {LESS}",
    "a section more": "teacher is absent there and {} here",
    "a key that is null": "judging.note is absent there and None here",
}


@pytest.mark.parametrize("case", EMPTY)
def test_every_difference_has_words(case: str) -> None:
    assert refusal(run(), run(EMPTY[case])) == EMPTY_LINES[case]


def test_a_list_is_one_value() -> None:
    assert flatten({"a": {"b": [1, {"c": 2}]}, "d": None}) == {"a.b": [1, {"c": 2}], "d": None}


trees = st.recursive(st.integers(), lambda inner: st.dictionaries(st.text("abc", min_size=1), inner), max_leaves=9)


@given(trees)
def test_flattening_loses_nothing(value: Any) -> None:
    flat = flatten({"x": value})
    rebuilt: dict[str, Any] = {}
    for key, leaf in flat.items():
        place, (*sections, last) = rebuilt, key.split(".")
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = leaf
    assert rebuilt == {"x": value}
