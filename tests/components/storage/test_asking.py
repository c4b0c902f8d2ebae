"""Only asking whether units are finished."""

from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Unfinished, asking, only_asking, read_once_while_asking
from tests.fixtures.units import KEY, publish, unit_in


def test_a_unit_that_is_not_finished_is_an_error_within_the_block_alone(run_store: Store) -> None:
    unit = unit_in(run_store)
    with pytest.raises(Unfinished, match=KEY), only_asking():
        unit.finished()
    assert not asking()
    assert unit.finished() is None


def test_records_are_read_and_checked(run_store: Store) -> None:
    unit = unit_in(run_store)
    published = publish(unit)
    with only_asking():
        assert unit.finished() == published
    key = published.files["logprobs"].key
    run_store.write(key, run_store.read(key)[:-1] + b"#")
    assert unit.finished() == published, "a step reads its inputs, not what it has made"
    with pytest.raises(UserError, match="does not match the digest in its manifest"), only_asking():
        unit.finished()


def test_a_unit_whose_records_have_another_size_is_not_finished(run_store: Store) -> None:
    unit = unit_in(run_store)
    key = publish(unit).files["logprobs"].key
    run_store.write(key, run_store.read(key) + b"#")
    assert unit.finished() is None
    with pytest.raises(Unfinished, match=KEY), only_asking():
        unit.finished()


def test_a_file_is_read_once_in_a_block_and_anew_in_the_next(tmp_path: Path) -> None:
    file, read = tmp_path / "file", read_once_while_asking(Path.read_text)
    for before, after in (("one", "two"), ("three", "four")):
        file.write_text(before)
        with only_asking():
            assert read(file) == before
            file.write_text(after)
            assert read(file) == before
        assert read(file) == after
