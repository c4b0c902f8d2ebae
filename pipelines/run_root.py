"""A run root opened to be read: its data as Arrow tables, its policies, its summary, its oracle."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import nearest
from nashflow.components.methods import AnyMethod
from nashflow.components.methods.base import Method
from nashflow.components.models.policies import open_policy
from nashflow.components.oracles.base import Oracle
from nashflow.components.reports.summary import summarise
from nashflow.components.storage import layout, records
from nashflow.components.storage.records import Record
from nashflow.components.storage.run import Run, require_run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import require_manifest

from .asking import open_oracle, oracle_settings
from .joined import with_messages, with_texts


@dataclass(frozen=True)
class RunRoot:
    """A run, finished or under way. Iterations count from 1 to T; those under way are read as far as they are done.

    A phase is the round of data and training that a method gives this name; most methods have one, `main`. What is not
    there yet is a UserError.
    """

    store: Store
    run: Run

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The resolved recipe, a JSON value."""
        return self.run.recipe

    @property
    def method(self) -> Method:
        """The run's method."""
        return TypeAdapter[Method](AnyMethod).validate_python(self.recipe["method"])

    @property
    def iterations(self) -> int:
        """T."""
        return int(self.recipe["run"]["iterations"])

    def prompts(self, iteration: int) -> pa.Table:
        """The prompts of an iteration, a row each: `row_id`, `messages`, `given` responses."""
        self._check(iteration)
        return self._shards([layout.prompts(iteration, shard) for shard in self._numbers], records.PROMPTS)

    def held_out(self) -> pa.Table:
        """The prompts that only evaluation sees."""
        return self._shards([layout.held_out()], records.PROMPTS)

    def responses(self, iteration: int, phase: str = "main") -> pa.Table:
        """The responses that were sampled, a row each, as `ROLLOUTS` has them, and their `messages`."""
        return with_messages(self._responses(iteration, phase), self.prompts(iteration))

    def comparisons(self, iteration: int, phase: str = "main") -> pa.Table:
        """The oracle's verdicts, a row each, as `COMPARISONS` has them, and `messages`, `first_text`, `second_text`."""
        rows = self._data(iteration, phase, "pairs", records.COMPARISONS)
        return self._with_texts(rows, iteration, phase, "first", "second")

    def pairs(self, iteration: int, phase: str = "main") -> pa.Table:
        """The training pairs, a row each, as `PAIRS` has them, and `messages`, `chosen_text`, `rejected_text`."""
        rows = self._data(iteration, phase, "pairs", records.PAIRS)
        return self._with_texts(rows, iteration, phase, "chosen", "rejected")

    def policy(self, iteration: int, name: str = "main") -> Path:
        """The Hugging Face folder of a policy, checked against its digests; 0 is the reference.

        A policy in S3 is fetched, once, into the folder that NASHFLOW_CACHE names, or the system's temporary one.
        """
        return open_policy(self.store, f"{iteration:03d}/{name}").folder

    def summary(self) -> dict[str, Any]:
        """The figures of the iterations that are finished, as `report/summary.json` has them."""
        return summarise(self.store, self.run, self.iterations)

    def oracle(self) -> Oracle:
        """The run's oracle, loaded."""
        return open_oracle(self.recipe["oracle"], self.run.date, self.store)

    @property
    def signature(self) -> str:
        """Stands on the verdicts of the run's oracle, in the column `oracle`."""
        return oracle_settings(self.recipe["oracle"]).made_in(self.store).signature

    @property
    def _numbers(self) -> range:
        return range(self.recipe["prompts"]["shards"])

    def _check(self, iteration: int) -> None:
        if not 1 <= iteration <= self.iterations:
            raise UserError(f"iteration {iteration}: {self.store.uri} has 1 to {self.iterations}")

    def _responses(self, iteration: int, phase: str) -> pa.Table:
        return self._data(iteration, phase, "rollouts", records.ROLLOUTS)

    def _data(self, iteration: int, phase: str, step: str, record: Record[Any]) -> pa.Table:
        """Records of a phase, or of the earlier one of this iteration whose data it uses."""
        self._check(iteration)
        phases = {each.name: each for each in self.method.phases(iteration)}
        if phase not in phases:
            raise UserError(f"phase {phase!r}: {self.method.name} has none of this name{nearest(phase, phases)}")
        source = phases[phase].data_from or phase
        return self._shards([layout.shard(iteration, source, step, shard) for shard in self._numbers], record)

    def _shards(self, units: list[str], record: Record[Any]) -> pa.Table:
        return pa.concat_tables(require_manifest(self.store, unit).table(self.store, record) for unit in units)

    def _with_texts(self, rows: pa.Table, iteration: int, phase: str, *columns: str) -> pa.Table:
        prompts, responses = self.prompts(iteration), self._responses(iteration, phase)
        if self.recipe["judging"].get("reuse"):  # pairs of earlier runs stand among the others
            units = [layout.reused(iteration, shard) for shard in self._numbers]
            prompts = pa.concat_tables([prompts, self._shards(units, records.PROMPTS)])
            responses = pa.concat_tables([responses, self._shards(units, records.ROLLOUTS)])
        return with_texts(with_messages(rows, prompts), responses, columns)


def open_run(run_root: str | PathLike[str]) -> RunRoot:
    """Open the run under a local folder or `s3://bucket/prefix`.

    S3 is reached as boto3 does it: credentials, region and `AWS_ENDPOINT_URL_S3` from the environment or a profile.

    Raises:
        UserError: there is no run, or it is of another version of run roots.
    """
    store = open_store(fspath(run_root))
    return RunRoot(store, require_run(store))
