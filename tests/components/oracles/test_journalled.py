"""Verdicts that are journalled: what a killed attempt has asked is not asked again, and stands in the usage once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from nashflow.components.oracles import journalled
from nashflow.components.oracles.base import Query, Verdict
from nashflow.components.oracles.human.oracle import HumanOracle
from nashflow.components.oracles.journalled import JournalledOracle
from nashflow.components.oracles.mixture.oracle import MixtureOracle
from nashflow.components.oracles.unanswered import Unanswered
from nashflow.components.storage.journal import Journal
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import Unit
from tests.fixtures.table_oracle import TableOracle

QUERIES = [Query([{"role": "user", "content": f"question {index}"}], "a", "b") for index in range(10)]


class Mortal(TableOracle):
    """Ends when it is asked too often."""

    def __init__(self, batches: int) -> None:
        super().__init__(lambda first, second: None if first == "b" else 0.1 + 0.2)
        self.left, self.begun = batches, list[str]()

    def begin(self, part: str) -> None:
        self.begun.append(part)

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().judge(queries)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journalled, "_AT_LEAST", 3)


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(open_store(str(tmp_path)), "iterations/001/evaluation/bench", 1, {}, {})


@contextmanager
def attempt(unit: Unit, oracle: TableOracle | MixtureOracle, fills: int = 4) -> Iterator[JournalledOracle]:
    with Journal(unit) as journal:
        yield JournalledOracle(oracle, fills, journal, unit.name)


def test_a_killed_attempt_is_gone_on_with(unit: Unit) -> None:
    with attempt(unit, Mortal(99)) as whole:
        expected = whole.compare(QUERIES)
    for key in unit.store.list():
        unit.store.delete(key)
    first, second = Mortal(2), Mortal(99)
    with pytest.raises(KeyboardInterrupt), attempt(unit, first) as oracle:
        oracle.compare(QUERIES)
    with attempt(unit, second, fills=1) as oracle:
        assert oracle.compare(QUERIES) == expected
        assert oracle.usage == {"words": 10, "cost": 0.75, "nothing": 0}
    assert [len(batch) for batch in (*first.batches, *second.batches)] == [4, 4, 2]
    assert first.asked + second.asked == [(query.messages[0]["content"], "a", "b") for query in QUERIES]
    assert second.begun == [f"{unit.name}/2"]


def test_all_open_questions_are_named_at_once(unit: Unit) -> None:
    dear = Mortal(99)
    people = MixtureOracle([dear, HumanOracle({}, "Which?", 1)], [0.5, 0.5], ["table", "human"])
    with pytest.raises(Unanswered) as caught, attempt(unit, people) as oracle:
        oracle.compare(QUERIES)
    assert caught.value.questions == QUERIES
