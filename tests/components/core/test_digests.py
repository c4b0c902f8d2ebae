"""Digests against published values, and against each other."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.digests import canonical_json, digest_json, sha256_bytes, sha256_file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ],
    ids=["empty", "abc", "million"],
)
def test_the_vectors_of_fips_180(data: bytes, digest: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    assert sha256_bytes(data) == digest
    assert sha256_file(tmp_path / "file") == digest


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_a_file_is_its_bytes_across_the_blocks_it_is_read_in(size: int, tmp_path: Path) -> None:
    data = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


@given(JSON)
def test_canonical_text_says_everything(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_count(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert digest_json({key: value[key] for key in keys}) == digest_json(value)


@given(st.lists(st.integers(), min_size=2, unique=True))
def test_the_order_of_a_list_does(values: list[int]) -> None:
    assert digest_json(values) != digest_json(values[::-1])


def test_a_tuple_is_a_list_and_text_is_no_number() -> None:
    assert digest_json((1, 2)) == digest_json([1, 2])
    assert digest_json(1) != digest_json("1")
    assert digest_json({"a": None}) != digest_json({})


def test_a_known_digest_stays() -> None:
    """Every manifest holds such digests: another value here would make every finished unit unfinished."""
    value = {"b": [1, 2.5, None, True], "a": "π ≻ π'"}
    assert canonical_json(value) == '{"a":"π ≻ π\'","b":[1,2.5,null,true]}'
    assert digest_json(value) == "cc54f6a606bfeae144d029334b2c9b49041c25251f2790fa2f420efefc9268d7"


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_json(value)
