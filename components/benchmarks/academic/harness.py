"""lm-eval, asked as by hand: one task at a time, with a model that the sampling engine has opened."""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...core.errors import UserError, one_line
from ...core.settings import nearest
from ...models.dialogues import Dialogues
from ...models.folders import load_tokenizer
from ...storage.records import Message, TaskFigure
from ..base import Subject
from ..nltk_data import PUNKT, is_here, without_download
from .quiet import quietly
from .room import cut_questions, require_room
from .settings import AcademicTask

_logger = logging.getLogger(__name__)
SEEDS = {"random": 0, "numpy": 1234, "torch": 1234, "examples": 1234}
"""Those that lm-eval's command has by itself."""
_ASKED = Message(role="user", content="Which one is it?")


class Harness:
    """Runs tasks on one policy, which is opened for the first of them."""

    def __init__(self, subject: Subject, folder: Path, chat_template: bool, questions: int | None) -> None:
        """`folder` is where tasks find their data sets and further task files; `questions` as in the settings."""
        self._subject, self._folder, self._questions = subject, folder, questions
        self._chat_template = chat_template
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(quietly())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self, task: AcademicTask) -> list[TaskFigure]:
        """The figures of a task, and of the members of a group, with all settings.

        Raises:
            UserError: there is no such task, its data are not there, it has no such metric, or it takes no other number
                of examples.
        """
        import random

        import numpy as np
        import torch
        from lm_eval import evaluate

        # As lm-eval's command has it for each call.
        random.seed(SEEDS["random"])
        np.random.seed(SEEDS["numpy"])
        torch.manual_seed(SEEDS["torch"])
        loaded = self._loaded(task)
        require_room(loaded["tasks"], self._model)
        _logger.info("%s: begins", task.name)
        try:
            found = evaluate(
                lm=self._model,
                task_dict=loaded,
                limit=self._questions,
                apply_chat_template=(self._subject.template.template or True) if self._chat_template else False,
                fewshot_as_multiturn=self._chat_template,
                log_samples=False,
            )
        except LookupError as error:
            if is_here(PUNKT):
                raise
            raise UserError(
                f"benchmark academic: {task.name} needs NLTK's data {PUNKT}, which are not here: set NLTK_DATA to a "
                f"folder that has them, or leave {task.name} out"
            ) from error
        cut = {name: cut_questions(member, self._model) for name, member in loaded["tasks"].items()}
        rows = list(self._rows(task, found, cut))
        _require_metric(task, rows)
        return rows

    def _loaded(self, task: AcademicTask) -> Any:
        """The task with its data, as lm-eval loads it, and with its number of examples."""
        if task.name not in self._tasks.all_tasks:
            known = nearest(task.name, self._tasks.all_tasks)
            raise UserError(f"benchmark academic: lm-eval {version('lm_eval')} has no task {task.name}{known[:200]}")
        try:
            with chdir(self._folder), without_download():
                loaded = self._tasks.load([task.name])
        except (FileNotFoundError, ConnectionError) as error:
            raise UserError(
                f"benchmark academic: the data of {task.name} are not in {self._folder}: {one_line(error)[:200]}; put "
                "a copy of its data set there, under the name that the task has for it"
            ) from error
        for name, member in loaded["tasks"].items():
            own = member.get_config("num_fewshot")
            if own == 0 and task.shots:
                raise UserError(
                    f"benchmark academic: {name} takes no examples: set shots of {task.name} to null, not {task.shots}"
                )
            member.set_config(key="num_fewshot", value=(own or 0) if task.shots is None else task.shots)
            member.set_fewshot_seed(seed=SEEDS["examples"])
        return loaded

    @cached_property
    def _tasks(self) -> Any:
        from lm_eval.tasks import TaskManager

        return TaskManager(include_path=str(self._folder))

    @cached_property
    def _model(self) -> Any:
        subject, more = self._subject, dict[str, Any]()
        folder, rollout = subject.policy.folder, subject.rollout
        if rollout.thinking:
            more["think_end_token"] = rollout.thinking.close
        if self._chat_template:
            dialogues = Dialogues(load_tokenizer(folder), subject.template, subject.day)
            # The template writes the BOS, if any; the tokenizer is to add none.
            more |= {"add_bos_token": False, "chat_template_args": dialogues.arguments}
        model = self._open.enter_context(
            rollout.engine.harness(folder, rollout.dtype, subject.load, rollout.batch_size, **more)
        )
        if self._chat_template:
            _require_template(model, dialogues)
        return model

    def _rows(self, task: AcademicTask, found: Mapping[str, Any], cut: Mapping[str, int]) -> Iterator[TaskFigure]:
        for member, figures in found["results"].items():
            for key, value in figures.items():
                metric, _, filtered = key.partition(",")
                if not isinstance(value, int | float) or not filtered or metric.endswith("_stderr"):
                    continue
                error = figures.get(f"{metric}_stderr,{filtered}")
                yield {
                    "task": task.name,
                    "member": member,
                    "metric": metric,
                    "filter": filtered,
                    "counts": key == task.metric,
                    "value": float(value),
                    "error": float(error) if isinstance(error, int | float) else math.nan,
                    "shots": _shots(found, member),
                    "questions": _questions(found, member),
                    "cut": sum(cut[each] for each in _members(found, member)),
                    "version": str(found["versions"].get(member, "")),
                    "settings": self._settings(found, member),
                }

    def _settings(self, found: Mapping[str, Any], member: str) -> str:
        """How a task was run, as JSON: lm-eval's version and seeds, the template, the BOS, and the task itself."""
        model = self._model
        said = {
            "lm_eval": version("lm_eval"),
            "seeds": SEEDS,
            "engine": self._subject.rollout.engine.model_dump(mode="json"),
            "dtype": self._subject.rollout.dtype,
            "max_length": model.max_length,
            "chat_template": self._chat_template,
            "bos": _bos(model, self._chat_template),
            "task": found["configs"].get(member, {}),
        }
        return json.dumps(said, default=repr, sort_keys=True)


def _require_metric(task: AcademicTask, rows: Sequence[TaskFigure]) -> None:
    known = {f"{row['metric']},{row['filter']}" for row in rows if row["member"] == task.name}
    if task.metric not in known:
        raise UserError(
            f"benchmark academic: {task.name} has no metric {task.metric!r}: set metric to "
            f"{' or '.join(sorted(known)) or 'one of a member of the group, and name to that'}"
        )


def _shots(found: Mapping[str, Any], member: str) -> int:
    """How many examples a task had; of a group, its members."""
    return max(int(found["n-shot"][each]) for each in _members(found, member))


def _questions(found: Mapping[str, Any], member: str) -> int:
    """How many questions of a task were asked; of a group, of its members."""
    return sum(int(found["n-samples"][each]["effective"]) for each in _members(found, member))


def _members(found: Mapping[str, Any], member: str) -> list[str]:
    """A task, or all tasks of a group."""
    below = found["group_subtasks"].get(member, [])
    return [each for name in below for each in _members(found, name)] if below else [member]


def _bos(model: Any, chat_template: bool) -> int:
    """How many BOS tokens prompts begin with."""
    text = model.apply_chat_template([_ASKED]) if chat_template else _ASKED["content"]
    ids, bos = list(model.tok_encode(text)), model.tokenizer.bos_token_id
    return next((place for place, token in enumerate(ids) if token != bos), len(ids)) if bos is not None else 0


def _require_template(model: Any, dialogues: Dialogues) -> None:
    """Raise where lm-eval would not ask as the policy is asked elsewhere, to the token, the BOS among them."""
    theirs, ours = list(model.tok_encode(model.apply_chat_template([_ASKED]))), dialogues.prompt([_ASKED])
    if theirs != ours:
        raise UserError(
            f"benchmark academic: lm-eval renders the chat template as {theirs[:8]}…, and the policy is asked with "
            f"{ours[:8]}…: set chat_template to false, or rollout.engine to transformers"
        )
