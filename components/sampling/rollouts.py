"""Rollout records: responses of one policy to prompts, each with its own seed."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from ..core.seeds import derive_seed
from ..models.dialogues import DEFAULT_TEMPLATE, Dialogues, TemplateSettings
from ..models.folders import Load, load_causal_lm, load_tokenizer
from ..storage.records import Message, Prompt, Rollout
from .sampler import Sampled, Sampler
from .settings import GenerationSettings, Thinking
from .stop import Stop, decoded

Role = Literal["pair", "opponent"]


class Response(NamedTuple):
    """A response to a dialogue."""

    sampled: Sampled
    """Its text is the answer, without thoughts."""
    bos: int
    """How many BOS tokens the prompt begins with."""


class Samplers:
    """The samplers of one task: a policy or mixture is opened when it is first asked for, and closed when another one
    is, or at the end."""

    def __init__(
        self,
        settings: GenerationSettings,
        load: Load = load_causal_lm,
        template: TemplateSettings = DEFAULT_TEMPLATE,
        day: str = "",
    ) -> None:
        """`load` opens a folder's model; `day` is the date that chat templates write."""
        self.settings, self.day, self._load, self._template = settings, day, load, template
        self._opened: dict[tuple[tuple[Path, float], ...], Sampler] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; it is opened again when it is asked for."""
        while self._opened:
            self._opened.popitem()[1].close()

    def open(self, policies: Mapping[Path, float]) -> Sampler:
        """The sampler of one folder of weight 1, or of several, whose token-level geometric mixture is sampled.

        Raises:
            UserError: as the engine's: a folder that cannot be opened.
        """
        key = tuple(policies.items())
        if key not in self._opened:
            self.close()
            self._opened[key] = self.settings.engine.open(policies, self.settings.dtype, self._load)
        return self._opened[key]

    def sampled(
        self,
        policies: Mapping[Path, float],
        work: Sequence[tuple[Prompt, int]],
        *,
        role: Role,
        temperature: float,
        seed: Sequence[int | str],
    ) -> Iterator[list[Rollout]]:
        """Rows of the rollout record for (prompt, sample index) in `work`, in the order in which they are finished.

        A response's randomness is a function of `seed`, the prompt's row id and the sample index alone.

        Raises:
            UserError: as `open`, or a prompt that does not fit.
        """
        settings, sampler = self.settings, self.open(policies)
        dialogues = Dialogues(sampler.tokenizer, self._template, self.day)
        tokens = {prompt["row_id"]: dialogues.prompt(prompt["messages"]) for prompt, _ in work}
        batches = sampler.sample(
            [tokens[prompt["row_id"]] for prompt, _ in work],
            [derive_seed(*seed, prompt["row_id"], index) for prompt, index in work],
            temperature=temperature,
            top_p=settings.top_p,
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
            stop=Stop.of(dialogues, settings.stop),
        )
        for batch in batches:
            yield [
                {
                    "row_id": work[place][0]["row_id"],
                    "sample": work[place][1],
                    "role": role,
                    "prompt_ids": tokens[work[place][0]["row_id"]],
                    "response_ids": response.ids,
                    "text": response.text,
                    "finish": response.finish,
                    "logprob": [] if response.logprob is None else [response.logprob],
                }
                for place, response in _answers(batch, settings.thinking)
            ]

    def responses(
        self,
        policy: Path,
        dialogues: Sequence[Sequence[Message]],
        seeds: Sequence[int],
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
    ) -> Iterator[list[tuple[int, Response]]]:
        """One response to each dialogue, with its index, as they end, by other rules than those of `settings`.

        Raises:
            UserError: as `open`, a dialogue that does not fit, or a prompt that does not begin as the template has it.
        """
        settings, sampler = self.settings, self.open({policy: 1.0})
        reader = Dialogues(sampler.tokenizer, self._template, self.day)
        prompts = [reader.prompt(messages) for messages in dialogues]
        for messages, prompt in zip(dialogues, prompts, strict=True):
            reader.require_bos(messages, prompt)
        batches = sampler.sample(
            prompts,
            seeds,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            batch_size=settings.batch_size,
            stop=Stop.of(reader, settings.stop),
        )
        bos = sampler.tokenizer.bos_token_id
        leading = [next((at for at, token in enumerate(prompt) if token != bos), len(prompt)) for prompt in prompts]
        for batch in batches:
            yield [(place, Response(each, leading[place])) for place, each in _answers(batch, settings.thinking)]


def unfinished(work: Iterable[tuple[Prompt, int]], done: Iterable[Rollout]) -> Iterator[tuple[Prompt, int]]:
    """The part of `work` that has no row in `done`, which is about this work alone.

    Memory holds what is out of order.
    """
    rest, ahead = map(_place, done), set[tuple[int, int]]()
    for prompt, index in work:
        mine = prompt["row_id"], index
        while mine not in ahead and (found := next(rest, None)):
            ahead.add(found)
        if mine in ahead:
            ahead.remove(mine)
        else:
            yield prompt, index


def in_order(rows: Iterable[Rollout], work: Iterable[tuple[Prompt, int]]) -> Iterator[Rollout]:
    """The rows of `work`, each of which is among `rows`, in its order. Memory holds what is out of order."""
    rest, ahead = iter(rows), dict[tuple[int, int], Rollout]()
    for prompt, index in work:
        mine = prompt["row_id"], index
        while mine not in ahead:
            row = next(rest)
            ahead[_place(row)] = row
        yield ahead.pop(mine)


def _place(row: Rollout) -> tuple[int, int]:
    return row["row_id"], row["sample"]


def _answers(responses: Sequence[tuple[int, Sampled]], thinking: Thinking | None) -> Iterator[tuple[int, Sampled]]:
    """The responses with their answers for texts; one whose thoughts do not end has none, and is not finished."""
    for place, response in responses:
        answer = thinking.answer(response.text) if thinking else response.text
        yield place, replace(response, text=answer or "", finish="length" if answer is None else response.finish)


def answer_length(folder: Path, thinking: Thinking | None) -> Callable[[Rollout], int]:
    """Counts a response's tokens; of a policy that thinks (in `folder`), those after its thoughts."""
    if thinking is None:
        return lambda row: len(row["response_ids"])
    tokenizer, close = load_tokenizer(folder), thinking.close

    def length(row: Rollout) -> int:
        ids = row["response_ids"]
        return len(ids) - bisect_left(range(len(ids)), True, key=lambda count: close in decoded(tokenizer, ids[:count]))

    return length


def tokens_of(rows: Iterable[Rollout]) -> dict[str, int]:
    """How many tokens the responses have, as an amount of progress."""
    return {"tokens": sum(len(row["response_ids"]) for row in rows)}


def given_rows(
    folder: Path,
    prompts: Iterable[Prompt],
    first: int,
    thinking: Thinking | None = None,
    template: TemplateSettings = DEFAULT_TEMPLATE,
    day: str = "",
) -> Iterator[Rollout]:
    """Rows of the rollout record for the responses that come with the prompts, as the policy in `folder` would write
    them; sample indices from `first` on. One without thoughts is all answer."""
    dialogues = Dialogues(load_tokenizer(folder), template, day)
    for prompt in prompts:
        for index, text in enumerate(prompt["given"]):
            yield {
                "row_id": prompt["row_id"],
                "sample": first + index,
                "role": "given",
                "prompt_ids": dialogues.prompt(prompt["messages"]),
                "response_ids": dialogues.answer(prompt["messages"], text),
                "text": (thinking.answer(text) if thinking else None) or text,
                "finish": "stop",
                "logprob": [],
            }
