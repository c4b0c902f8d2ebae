"""YAML read strictly: one value for one text, and a line number for what is wrong."""

from pathlib import Path

import pytest
import yaml

from nashflow.components.core.errors import UserError
from nashflow.components.core.yaml_files import load_yaml, read_yaml

TWICE = {
    "a: 1\na: 2\n": "line 2: the key 'a' stands in line 1 already; keep one of them",
    "a: 1\n'a': 2\n": "line 2: the key 'a' stands in line 1 already; keep one of them",
    "- b: {c: 1, d: 2, c: 1}\n": "line 1: the key 'c' stands in line 1 already; keep one of them",
    "x:\n  y:\n    z: 1\n    q: 2\n    z: 3\n": "line 5: the key 'z' stands in line 3 already; keep one of them",
}


@pytest.mark.parametrize("text", TWICE)
def test_a_key_that_stands_twice_in_a_mapping_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stands in line") as caught:
        load_yaml(text)
    assert str(caught.value) == TWICE[text]


@pytest.mark.parametrize(
    "text",
    [
        "a: {b: 1}\nc: {b: 1}\n",
        "- {a: 1}\n- {a: 1}\n",
        "base: &base {a: 1, b: 2}\nx: &x\n  <<: *base\n  a: 3\ny:\n  <<: *x\n  a: 4\n",
        "1: a\n'1': b\n",
        "",
    ],
)
def test_all_else_is_as_yaml_has_it(text: str) -> None:
    assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text", ["[", "a: [1", "a: 2026-13-01", "!!python/object:os.system x", "\x07", "a: b: c", "{[]: 1}"]
)
def test_what_is_no_yaml_is_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        load_yaml(text)
    assert "\n" not in str(caught.value)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes("a: \u00fc\n".encode("utf-8-sig"))
    assert read_yaml(tmp_path / "x.yaml", "x") == {"a": "\u00fc"}


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(UserError, match=r"^x\.yaml: cannot be read: "):
        read_yaml(tmp_path / "x.yaml", "x.yaml")
