"""How far work is, how fast it goes, who hears of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from nashflow.components.runtime import progress
from nashflow.components.runtime.progress import Progress, listen, over, stop_listening, under_way


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, dict[str, float], dict[str, int]]] = []
        self.closed = 0

    def put(self, done: int, figures: Mapping[str, float], amounts: Mapping[str, int]) -> None:
        self.batches.append((done, dict(figures), dict(amounts)))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def heard() -> Iterator[Heard]:
    listener = Heard()
    listen(listener)
    yield listener
    stop_listening()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_work_that_goes_on_counts_what_was_done_before(clock: list[float]) -> None:
    with Progress("updates", 100, done=40) as work:
        assert (work.rates(), work.left()) == ({}, None)
        assert work.describe() == "40 of 100 updates (40 %)"
        clock[0] += 10
        work.add(20, tokens=4000)
        assert work.rates() == {"updates": 2.0, "tokens": 400.0}
        assert work.left() == 20.0


def test_the_first_batch_which_loads_models_says_little_of_the_speed(clock: list[float]) -> None:
    with Progress("responses", 1300) as work:
        clock[0] += 60
        work.add(100, tokens=800)
        clock[0] += 2
        work.add(200, {"loss": 0.5}, tokens=2400)
        assert work.rates() == {"responses": 100.0, "tokens": 1200.0}
        assert work.describe() == "300 of 1,300 responses (23 %), 100/s, 10 s left, loss 0.5, 1,200 tokens/s"
        clock[0] += 4
        assert work.left() == 6.0
        clock[0] += 100
        assert work.left() == 0.0
        said = work.to_json()
    assert said == {
        "unit": "responses",
        "done": 300,
        "total": 1300,
        "rates": {"responses": 100.0, "tokens": 1200.0},
        "left": 0.0,
        "figures": {"loss": 0.5},
    }


def test_a_batch_is_done_when_the_next_is_asked_for(heard: Heard) -> None:
    handed = over(iter([[1, 2], [3]]), "rows", 3, amounts=lambda batch: {"ones": batch.count(1)})
    assert next(handed) == [1, 2]
    assert heard.batches == []
    assert list(handed) == [[3]]
    assert heard.batches == [(2, {}, {"rows": 2, "ones": 1}), (3, {}, {"rows": 3, "ones": 1})]
    assert under_way() == []


def test_of_work_within_work_the_listener_hears_nothing(heard: Heard) -> None:
    with Progress("prompts", 2) as outer:
        for _ in over([[0], [1]], "texts", 2):
            assert [work.unit for work in under_way()] == ["prompts", "texts"]
        outer.add(1)
    assert heard.batches == [(1, {}, {"prompts": 1})]


def test_there_is_one_listener(heard: Heard) -> None:
    other = Heard()
    listen(other)
    assert heard.closed == 1
    with Progress("rows", 1) as work:
        work.add(1)
    stop_listening()
    stop_listening()
    assert (heard.batches, len(other.batches), other.closed) == ([], 1, 1)


def test_work_that_fails_is_over() -> None:
    def fails() -> Any:
        with Progress("rows", 1):
            raise LookupError

    with pytest.raises(LookupError):
        fails()
    assert under_way() == []
