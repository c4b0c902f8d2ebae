"""The samplers of one task: each policy or mixture opened once, whatever is sampled, and closed at the end."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from nashflow.components.core.errors import UserError
from nashflow.components.core.seeds import derive_seed
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.sampling.engines import Transformers
from nashflow.components.sampling.rollouts import Samplers
from nashflow.components.sampling.sampler import Sampled
from nashflow.components.sampling.settings import GenerationSettings
from nashflow.components.sampling.stop import Stop
from nashflow.components.sampling.transformers_sampler import TransformersSampler
from nashflow.components.storage.records import Prompt
from tests.fixtures import models

SETTINGS = GenerationSettings(dtype="float64", max_new_tokens=4, batch_size=4)
PROMPTS: list[Prompt] = [
    {"row_id": row, "messages": [{"role": "user", "content": "abcd"[: row + 1]}], "given": []} for row in range(3)
]
STOP = Stop((models.EOS,))
WORK = [(prompt, index) for prompt in PROMPTS for index in range(3)]


class Opened(TransformersSampler):
    """A sampler that says when it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1
        super().close()

    def sample(self, prompts: Sequence[Sequence[int]], *rest: Any, **options: Any) -> Iterator[list[Sampled]]:
        assert not self.closed
        return super().sample(prompts, *rest, **options)


class Watched(Transformers):
    """The engine, and all that it has opened."""

    _opened: list[Opened] = PrivateAttr(default_factory=list)

    @property
    def opened(self) -> list[Opened]:
        return self._opened

    def open(self, policies: Mapping[Path, float], dtype: Any, load: Any) -> Opened:
        self._opened.append(Opened(policies, dtype, load))
        return self._opened[-1]


@pytest.fixture
def engine() -> Watched:
    return Watched()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [models.llama(tmp_path_factory.mktemp("policy"), seed=seed) for seed in range(2)]


def samplers(engine: Watched, *load: Any) -> Samplers:
    return Samplers(SETTINGS.model_copy(update={"engine": engine}), *load)


def rows(samplers: Samplers, policies: Mapping[Path, float], work: Any = WORK, seed: Any = (7, "main")) -> list[Any]:
    batches = samplers.rows(policies, work, role="pair", temperature=1.0, seed=seed)
    return [row for batch in batches for row in batch]


def test_a_policy_is_opened_once_and_closed_at_the_end(engine: Watched, folders: list[Path]) -> None:
    with samplers(engine) as task:
        first, second = (rows(task, {folders[0]: 1.0}, seed=(seed,)) for seed in (1, 2))
        (opened,) = engine.opened
        assert task.open({folders[0]: 1.0}) is opened
        assert not opened.closed
    assert first != second
    assert (engine.opened, opened.closed) == ([opened], 1)


def test_every_mixture_has_a_sampler_of_its_own(engine: Watched, folders: list[Path]) -> None:
    one, other = folders
    mixtures = [{one: 1.0}, {other: 1.0}, {one: 0.75, other: 0.25}, {one: 0.25, other: 0.75}]
    with samplers(engine) as task:
        made = [rows(task, mixture) for mixture in mixtures]
        assert [rows(task, mixture) for mixture in reversed(mixtures)] == made[::-1]
    texts = {tuple(row["text"] for row in each) for each in made}
    assert (len(texts), len(engine.opened)) == (4, 4)
    assert [opened.closed for opened in engine.opened] == [1] * 4


def test_nothing_is_opened_that_is_not_sampled(engine: Watched) -> None:
    with samplers(engine):
        pass
    assert engine.opened == []


def test_an_error_closes_them_too(engine: Watched, folders: list[Path]) -> None:
    with pytest.raises(UserError, match="longest prompt"), samplers(engine) as task:
        rows(task, {folders[0]: 1.0}, [({**PROMPTS[0], "messages": [{"role": "user", "content": "a" * 600}]}, 0)])
    assert [opened.closed for opened in engine.opened] == [1]


def test_models_are_those_that_the_task_loads(engine: Watched, folders: list[Path]) -> None:
    one, other = folders
    loaded = {folder: load_causal_lm(folder, "float64") for folder in folders}
    asked = []

    def load(folder: Path, dtype: Any) -> Any:
        asked.append((folder, dtype))
        return loaded[folder]

    with samplers(engine, load) as task:
        rows(task, {one: 0.5, other: 0.5})
        rows(task, {one: 1.0})
    assert asked == [(one, "float64"), (other, "float64"), (one, "float64")]
    assert engine.opened[0].model is engine.opened[1].model is loaded[one]


def test_rows_are_the_responses_to_their_prompts_micro_batch_by_micro_batch(
    engine: Watched, folders: list[Path]
) -> None:
    with samplers(engine) as task:
        sampler = task.open({folders[0]: 1.0})
        made = list(task.rows({folders[0]: 1.0}, WORK, role="opponent", temperature=0.5, seed=(7, "x")))
        tokens = [Dialogues(sampler.tokenizer).prompt(prompt["messages"]) for prompt, _ in WORK]
        seeds = [derive_seed(7, "x", prompt["row_id"], index) for prompt, index in WORK]
        (drawn,) = sampler.sample(tokens, seeds, temperature=0.5, top_p=1.0, max_new_tokens=4, batch_size=9, stop=STOP)
    assert [len(batch) for batch in made] == [4, 4, 1]
    assert [row for batch in made for row in batch] == [
        {
            "row_id": prompt["row_id"],
            "sample": index,
            "role": "opponent",
            "prompt_ids": ids,
            "response_ids": one.ids,
            "text": one.text,
            "finish": one.finish,
        }
        for (prompt, index), ids, one in zip(WORK, tokens, drawn, strict=True)
    ]


def test_a_part_of_the_work_has_the_rows_of_the_whole(engine: Watched, folders: list[Path]) -> None:
    with samplers(engine) as task:
        assert rows(task, {folders[0]: 1.0}, WORK[5:8]) == rows(task, {folders[0]: 1.0})[5:8]
