"""The recipe under a run root: written once, found by its digest, and never another one."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.storage import recipes
from nashflow.components.storage.store import open_store
from tests.fixtures.runs import SandboxRun

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4), st.data())
def test_what_was_written_is_read_and_nothing_else(recipe: dict[str, Any], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        store = open_store(folder)
        location = recipes.write(store, recipe)
        found, read = recipes.read(location)
        assert (found.uri, read) == (store.uri, recipe)
        assert recipes.write(store, dict(reversed(recipe.items()))) == location, "the order of keys means nothing"
        (key,) = store.list()
        content = store.read(key)
        assert key == f"recipes/{hashlib.sha256(content).hexdigest()[:16]}.json"
        assert location == f"{folder}/{key}"
        place = data.draw(st.integers(0, len(content) - 1))
        changed = bytearray(content)
        changed[place] ^= data.draw(st.integers(1, 255))
        store.write(key, bytes(changed))
        with pytest.raises(UserError, match=f"^{location}: is not what preparation wrote"):
            recipes.read(location)


def test_a_recipe_on_s3_has_an_address_of_its_own(s3_bucket: str) -> None:
    location = recipes.write(open_store(f"{s3_bucket}/runs/one"), {"a": 1})
    assert location.startswith(f"{s3_bucket}/runs/one/recipes/")
    store, recipe = recipes.read(location)
    assert (store.uri, recipe) == (f"{s3_bucket}/runs/one", {"a": 1})


REFUSED = {
    "{root}/recipes/0123456789abcdef.json": "not there: preparation writes it; run that first",
    "{root}/recipes/": "neither JSON nor a recipe under a run root",
    "{root}/0123456789abcdef.json": "neither JSON nor a recipe under a run root: RUN_ROOT/recipes/….json",
    "{root}/recipes/../run.json": "neither JSON nor a recipe under a run root",
    "0123456789abcdef": "neither JSON nor a recipe under a run root",
    "[]": "neither JSON nor a recipe under a run root",
    "recipes/0123456789abcdef.json": "not a place for artifacts: ''",
    "ftp://host/recipes/0123456789abcdef.json": "not a place for artifacts: 'ftp://host'",
}


@pytest.mark.parametrize("location", REFUSED)
def test_what_is_no_recipe_is_named(location: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        recipes.read(location.replace("{root}", str(tmp_path)))
    assert REFUSED[location] in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_recipes_of_one_run_root_lie_beside_each_other(prepared: SandboxRun) -> None:
    """Until a run has ended its steps find their recipe, whatever another attempt has changed that may change."""
    before = prepared.step("preparation").parameters["resolved"]
    after = prepared.changed(evaluation__tau=0.3).step("preparation").parameters["resolved"]
    assert before != after
    assert recipes.read(before)[1]["evaluation"]["tau"] == 0.1
    assert recipes.read(after)[1]["evaluation"]["tau"] == 0.3
