"""Who answers the questions of a benchmark: a policy, or a file with its answers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ..benchmarks.questions import Answer, Question, QuestionBenchmark, Sampling
from ..core.digests import sha256_bytes
from ..core.errors import UserError
from ..core.seeds import derive_seed
from ..core.settings import named_by
from ..models.dialogues import TemplateSettings
from ..models.policies import LocalPolicy
from ..runtime.progress import Progress
from ..runtime.protocol import StepRun
from ..sampling.rollouts import Response, Samplers
from ..storage.journal import Journal

_Said = dict[str, list[dict[str, Any]]]
"""The answers to the turns so far, by the question's id."""


class Answering(Protocol):
    """A source of answers."""

    def settings(self, benchmark: QuestionBenchmark) -> Any:
        """What the answers depend on, besides the questions and `inputs`: a JSON value."""

    def inputs(self) -> Mapping[str, str]:
        """Digests of what they are made from, by name."""

    def answers(self, benchmark: QuestionBenchmark, questions: Sequence[Question], journal: Journal) -> list[Answer]:
        """One answer for each question, in their order; the journal keeps what is dear to make.

        Raises:
            UserError: there is no answer to one of them, or none can be made.
        """

    def close(self) -> None:
        """Release what a judge may need."""


@dataclass(frozen=True)
class Policy:
    """A policy that answers: its randomness is a function of the run's seed, the question and the turn."""

    samplers: Samplers
    policy: LocalPolicy
    run: StepRun
    template: TemplateSettings

    def settings(self, benchmark: QuestionBenchmark) -> Any:
        """How it is sampled; the benchmark says how long, how hot and from which nucleus."""
        sampling = self.samplers.settings.model_dump(mode="json", exclude={"top_p", "max_new_tokens"})
        return {"run": self.run.identity(), "sampling": sampling, "template": self.template.model_dump(mode="json")}

    def inputs(self) -> Mapping[str, str]:
        """The weights, the day and the engine."""
        engine = named_by(sampler=self.samplers.settings.engine)
        return {"policy": self.policy.digest, "date": self.samplers.day, **engine}

    def answers(self, benchmark: QuestionBenchmark, questions: Sequence[Question], journal: Journal) -> list[Answer]:
        """Turn by turn, those together that are sampled alike."""
        said: _Said = {question.id: [] for question in questions}
        for entry in journal:
            for each in entry:
                said[each.pop("question")].append(each)
        total = sum(len(question.turns) for question in questions)
        with Progress("answers", total, sum(map(len, said.values()))) as progress:
            for batch in self._batches(benchmark, questions, said):
                journal.append(batch)
                for each in batch:
                    said[each["question"]].append(each)
                progress.add(len(batch), tokens=sum(each["tokens"] for each in batch))
        return [_answer(question, said[question.id]) for question in questions]

    def _batches(
        self, benchmark: QuestionBenchmark, questions: Sequence[Question], said: _Said
    ) -> Iterator[list[dict[str, Any]]]:
        for turn in range(max(len(question.turns) for question in questions)):
            left = [each for each in questions if len(each.turns) > turn and len(said[each.id]) == turn]
            by_rules: dict[Sampling, list[Question]] = {}
            for question in left:
                by_rules.setdefault(benchmark.sampled(question), []).append(question)
            for rules, together in by_rules.items():
                for batch in self._responses(benchmark, turn, rules, together, said):
                    yield [_turn(together[place], each) for place, each in batch]

    def _responses(
        self, benchmark: QuestionBenchmark, turn: int, rules: Sampling, questions: Sequence[Question], said: _Said
    ) -> Iterator[list[tuple[int, Response]]]:
        return self.samplers.responses(
            self.policy.folder,
            [benchmark.dialogue(each, [told["text"] for told in said[each.id]]) for each in questions],
            [derive_seed(self.run.seed, "benchmark", benchmark.kind, each.id, turn) for each in questions],
            temperature=rules.temperature,
            top_p=rules.top_p,
            max_new_tokens=rules.max_new_tokens,
        )

    def close(self) -> None:
        """Close the sampler."""
        self.samplers.close()


@dataclass(frozen=True)
class File:
    """A file of answers, in the benchmark's form."""

    path: Path

    def settings(self, benchmark: QuestionBenchmark) -> Any:
        """None."""
        return None

    def inputs(self) -> Mapping[str, str]:
        """The file's digest."""
        return {"given": sha256_bytes(self._content)}

    def answers(self, benchmark: QuestionBenchmark, questions: Sequence[Question], journal: Journal) -> list[Answer]:
        """Those of the file."""
        given = benchmark.read_answers(self._content, str(self.path), questions)
        times = Counter(answer.question for answer in given)
        if doubled := [each for each, count in times.items() if count > 1]:
            raise UserError(f"{self.path}: answers the question {doubled[0]!r} twice: remove one of the two")
        if missing := [question.id for question in questions if question.id not in times]:
            raise UserError(
                f"{self.path}: has no answer to {len(missing)} of {len(questions)} questions of {benchmark.name}, such "
                f"as {missing[0]!r}: add them, or set questions to those that it answers"
            )
        by_question = {answer.question: answer for answer in given}
        found = [by_question[question.id] for question in questions]
        for question, answer in zip(questions, found, strict=True):
            if len(answer.turns) != len(question.turns):
                raise UserError(
                    f"{self.path}: answers {len(answer.turns)} turns of the question {question.id!r}, which has "
                    f"{len(question.turns)}: give an answer to each"
                )
        return found

    @cached_property
    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}: give a file of answers") from None

    def close(self) -> None:
        """Nothing is open."""


def _turn(question: Question, response: Response) -> dict[str, Any]:
    sampled = response.sampled
    said = {"text": sampled.text, "tokens": len(sampled.ids), "finish": sampled.finish, "bos": response.bos}
    return {"question": question.id, **said}


def _answer(question: Question, turns: Sequence[Mapping[str, Any]]) -> Answer:
    text, tokens, finish, bos = (tuple(turn[name] for turn in turns) for name in ("text", "tokens", "finish", "bos"))
    return Answer(question.id, text, tokens, finish, bos)
