"""The recipe under a run root: written once, found by its digest, and never another one."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.shared import recipes
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.store import open_store
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
        digest = recipes.write(store, recipe)
        assert recipes.read(store, digest) == recipe
        assert recipes.write(store, dict(reversed(recipe.items()))) == digest, "the order of keys means nothing"
        (key,) = store.list()
        content = store.read(key)
        assert key == f"recipes/{digest}.json"
        assert hashlib.sha256(content).hexdigest()[:16] == digest
        place = data.draw(st.integers(0, len(content) - 1))
        changed = bytearray(content)
        changed[place] ^= data.draw(st.integers(1, 255))
        store.write(key, bytes(changed))
        with pytest.raises(UserError, match=f"^{Path(folder, key)}: is not what preparation wrote"):
            recipes.read(store, digest)


def test_a_recipe_that_nobody_wrote_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        recipes.read(open_store(str(tmp_path)), "0" * 16)
    assert str(caught.value) == (
        f"--recipe 0000000000000000: {tmp_path}/recipes/0000000000000000.json is not there: preparation writes it; "
        "run that first"
    )


@pytest.mark.parametrize("digest", ["../run", "0" * 15, "0" * 17, "g" * 16, "A" * 16, f"{'0' * 16}\n", "/etc/passwd"])
def test_what_is_no_digest_is_no_path(digest: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a JSON object nor a digest"):
        recipes.read(open_store(str(tmp_path)), digest)


def test_recipes_of_one_run_root_lie_beside_each_other(prepared: SandboxRun) -> None:
    """Until a run has ended its steps find their recipe, whatever another attempt has changed that may change."""
    before = prepared.step("preparation").parameters["digest"]
    after = prepared.changed(evaluation__tau=0.3).step("preparation").parameters["digest"]
    assert before != after
    assert recipes.read(prepared.store, before)["evaluation"]["tau"] == 0.1
    assert recipes.read(prepared.store, after)["evaluation"]["tau"] == 0.3
