"""The verdict cache: written answer by answer, and read by all runs."""

import io
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.llm_judge.budget import Spent
from nashflow.components.oracles.llm_judge.cache import VerdictCache
from nashflow.components.storage import records
from nashflow.components.storage.records import CachedVerdict
from nashflow.components.storage.store import Store


def verdict(key: str, probability: float = 1.0) -> CachedVerdict:
    return CachedVerdict(
        key=key, outcome="verdict", probability=probability, input_tokens=3, output_tokens=2, part="", output="[[A]]"
    )


def opened(store: Store, follow: bool = False) -> VerdictCache:
    return VerdictCache(store, "judge", follow=follow)


def files(store: Store) -> list[str]:
    return store.at("..").list("cache/verdicts/judge")


def test_answers_are_there_for_every_run_as_soon_as_they_are_given(run_store: Store) -> None:
    cache = opened(run_store)
    for key in "ab":
        cache.add(verdict(key))
        assert opened(run_store).find(key) == ("verdict", 1.0)
    assert opened(run_store).find("c") is None
    assert (len(files(run_store)), opened(run_store).spent) == (1, Spent(6, 4))
    other = opened(run_store.at("../other"))
    assert (other.find("a"), other.spent) == (("verdict", 1.0), Spent())


def test_a_kill_loses_none(run_store: Store) -> None:
    code = """
import os, sys
from multiprocessing.pool import ThreadPool
from nashflow.components.oracles.llm_judge.cache import VerdictCache
from nashflow.components.storage.store import open_store
from tests.components.oracles.llm_judge.test_cache import verdict
cache = VerdictCache(open_store(sys.argv[1]), "judge", follow=False)
ThreadPool(8).map(lambda number: cache.add(verdict(str(number))), range(150))
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", code, run_store.uri], check=False)
    assert ended.returncode == -9
    again = opened(run_store)
    assert all(again.find(str(number)) for number in range(150))
    assert again.spent == Spent(450, 300)
    assert len(files(run_store)) <= 3


def test_the_first_of_two_answers_counts_and_both_are_paid_for(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", "0")
    one, two = opened(local_store, follow=True), opened(local_store)
    two.add(verdict("a", 0.0))
    one.add(verdict("b"))
    assert one.find("a") == ("verdict", 0.0)
    assert one.spent == Spent(6, 4)
    one.add(verdict("a", 1.0))
    assert one.find("a") == ("verdict", 0.0)
    assert opened(local_store).spent == Spent(9, 6)


def test_a_file_that_has_grown_is_read_again_and_counts_once(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", "0")
    one, two = opened(local_store, follow=True), opened(local_store)
    for key in "abc":
        two.add(verdict(key))
        one.add(verdict(f"{key}2"))
        assert one.find(key)
    assert one.spent == Spent(18, 12)


def test_files_of_earlier_versions_are_read(local_store: Store) -> None:
    old = records.table([verdict("a")], records.VERDICTS).drop_columns(["part"])
    sink = io.BytesIO()
    pq.write_table(old, sink)
    local_store.at("..").write("cache/verdicts/judge/x.parquet", sink.getvalue())
    assert opened(local_store).find("a") == ("verdict", 1.0)


def test_a_damaged_file_is_named(local_store: Store, tmp_path: Path) -> None:
    local_store.at("..").write("cache/verdicts/judge/x.parquet", b"nothing")
    with pytest.raises(UserError, match=r"cache/verdicts/judge/x\.parquet: not a Parquet file.*; delete that file: "):
        opened(local_store)
