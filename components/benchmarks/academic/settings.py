"""The academic benchmark: tasks of lm-eval, whose settings are all recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ...core.digests import digest_json, sha256_bytes
from ...core.errors import UserError
from ...core.settings import Settings
from ...oracles.oracle_settings import OracleSettings
from ...runtime.progress import over
from ...storage.records import TASK_FIGURES
from ...storage.store import Store, open_store
from ..base import Figure, FolderBenchmark, Measured, Subject
from ..extra import require_extra
from ..published import ACADEMIC, Published

METRICS = {
    "ifeval": "prompt_level_strict_acc,none",
    "gpqa_main_zeroshot": "acc,none",
    "mmlu": "acc,none",
    "hellaswag": "acc_norm,none",
    "truthfulqa_mc2": "acc,none",
    "gsm8k": "exact_match,strict-match",
}
"""The six tasks of the paper, and the metric and filter that count of each."""


_CUT = "questions of which the model read the end alone, because they are longer than what it reads"


class AcademicTask(Settings):
    """A task or group of lm-eval; one of the six may be its bare name."""

    name: str = Field(min_length=1)
    """lm-eval's name of it."""
    metric: str = Field(min_length=1)
    """The metric that counts, with its filter, as lm-eval writes them: `acc,none`."""
    shots: int | None = Field(None, ge=0)
    """How many solved examples precede a question; null: as many as the task has by itself."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        told = {"name": value} if isinstance(value, str) else value
        if isinstance(told, dict) and "metric" not in told and told.get("name") in METRICS:
            return {**told, "metric": METRICS[told["name"]]}
        return told


class Academic(FolderBenchmark):
    """What a model knows and can do without a judge: IFEval, GPQA, MMLU, HellaSwag, TruthfulQA (mc2) and GSM8K by
    lm-eval, or other tasks of it.

    Log-probabilities and answers are those of the engine that samples, `rollout.engine`, in `rollout.dtype`.
    """

    version: ClassVar[int] = 2
    kind: Literal["academic"] = "academic"
    figures: ClassVar[tuple[Figure, ...]] = ()
    published: ClassVar[tuple[Published, ...]] = (ACADEMIC,)

    data: str = ""
    """The folder or s3:// prefix where tasks find their data sets under the names that they have for them, such as
    `cais/mmlu` for a copy of that data set; YAML files of further tasks are found there, too."""
    tasks: tuple[AcademicTask, ...] = tuple(AcademicTask(name=name, metric=metric) for name, metric in METRICS.items())
    """The tasks, in their order; the mean of their metrics is `academic/mean`."""
    chat_template: bool = False
    """Whether questions are asked in the policy's chat template, solved examples as its turns. The paper's figures are
    most like those without."""
    questions: int | None = Field(None, ge=1)
    """How many questions of each task, or of each member of a group, are asked, from the first on; null: all."""

    @field_validator("tasks")
    @classmethod
    def _different(cls, tasks: tuple[AcademicTask, ...]) -> tuple[AcademicTask, ...]:
        names = [task.name for task in tasks]
        if not names:
            raise ValueError(f"is empty: name at least one task, such as {', '.join(METRICS)}")
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{doubled} is there twice: leave one of them out")
        return tasks

    @property
    def name(self) -> str:
        """The kind, and the number of questions where not all are asked."""
        return self.kind if self.questions is None else f"{self.kind}-{self.questions}"

    def measures(self, oracle: OracleSettings | None) -> tuple[Figure, ...]:
        """A figure for each task, and their mean, in per cent."""
        tasks = [self._figure(task.name, meaning=f"{task.metric} of lm-eval's {task.name}") for task in self.tasks]
        names = ", ".join(task.name for task in self.tasks)
        mean = self._figure("mean", title="academic", meaning=f"mean of {names}", headline=True)
        figures = (figure for both in (mean, *tasks) for figure in (both, Figure(both.error, unit="%", digits=2)))
        return (*figures, Figure(f"{self.name}/cut", better="lower", digits=0, meaning=_CUT, fault=True))

    def _figure(self, short: str, **more: Any) -> Figure:
        name = f"{self.name}/{short}"
        return Figure(name, **{"title": short, **more}, unit="%", better="higher", digits=2, error=f"{name}_error")

    def identity(self, *without: str) -> Any:
        """Its settings without the place of its files, which are told by their digests."""
        return super().identity("data", *without)

    def digest(self) -> str:
        """Of all files of `data`."""
        store = self._store()
        return digest_json({key: sha256_bytes(store.read(key)) for key in store.list()})

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder of its files, unless that is in S3."""
        return () if "://" in self.data or not self.data else (Path(self.data),)

    def check(self) -> None:
        """Refuse data that are not there, and to measure without lm-eval."""
        require_extra(self.kind, "lm_eval")
        self._store()

    def depends_on(self, bench: Subject) -> Any:
        """How the model is run, and the version of lm-eval."""
        rollout = bench.rollout.model_dump(mode="json", include={"engine", "dtype", "batch_size", "thinking"})
        template = bench.template.model_dump(mode="json") if self.chat_template else None
        return {"sampling": rollout, "template": template, "lm_eval": version("lm_eval")}

    def measure(self, bench: Subject) -> Measured:
        """Each task by itself; what was measured before is not measured again."""
        from .harness import Harness

        rows = []
        with self._folder() as folder, Harness(bench, folder, self.chat_template, self.questions) as harness:
            for (task,) in over([(task,) for task in self.tasks], "tasks", len(self.tasks)):
                rows += bench.kept(task.name, partial(harness.run, task))
        own = {row["task"]: row for row in rows if row["member"] == row["task"] and row["counts"]}
        figures: dict[str, float | None] = {}
        for name, row in own.items():
            figures |= {f"{self.name}/{name}": 100 * row["value"], f"{self.name}/{name}_error": 100 * row["error"]}
        values, errors = [row["value"] for row in own.values()], [row["error"] for row in own.values()]
        figures[f"{self.name}/mean"] = 100 * sum(values) / len(values)
        figures[f"{self.name}/mean_error"] = 100 * sqrt(sum(error**2 for error in errors)) / len(errors)
        figures[f"{self.name}/cut"] = sum(row["cut"] for row in own.values())
        return Measured(figures, {TASK_FIGURES: rows})

    def _store(self) -> Store:
        if not self.data:
            raise UserError(
                "benchmark academic: data is not set: set it to the folder or s3:// prefix of its data sets"
            )
        store = open_store(self.data)
        if not store.list():
            raise UserError(f"benchmark academic: data: there are no files in {self.data}: put its data sets there")
        return store

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """The files on this machine."""
        if self.paths:
            yield self.paths[0].expanduser().resolve()
            return
        store = self._store()
        with TemporaryDirectory(prefix="nashflow-academic-") as scratch:
            for key in store.list():
                store.download(key, Path(scratch, key))
            yield Path(scratch)
