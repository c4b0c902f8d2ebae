"""The samplers of one task: each policy or mixture opened once, whatever is sampled, and closed at the end."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from nashflow.components.core.errors import UserError
from nashflow.components.core.seeds import derive_seed
from nashflow.components.models.dialogues import Dialogues, TemplateSettings
from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from nashflow.components.sampling.engines import Transformers
from nashflow.components.sampling.rollouts import Samplers, answer_length, given_rows
from nashflow.components.sampling.sampler import Sampled
from nashflow.components.sampling.settings import GenerationSettings, Thinking
from nashflow.components.sampling.stop import Stop
from nashflow.components.sampling.transformers_sampler import TransformersSampler
from nashflow.components.storage.records import Prompt
from tests.fixtures import families, models

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

    def sample(
        self, prompts: Sequence[Sequence[int]], *rest: Any, **options: Any
    ) -> Iterator[list[tuple[int, Sampled]]]:
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
    batches = samplers.sampled(policies, work, role="pair", temperature=1.0, seed=seed)
    return [row for batch in batches for row in batch]


def test_a_policy_is_opened_once_and_closed_at_the_end(engine: Watched, folders: list[Path]) -> None:
    with samplers(engine) as task:
        first, second = (rows(task, {folders[0]: 1.0}, seed=(seed,)) for seed in (1, 2))
        (opened,) = engine.opened
        assert task.open({folders[0]: 1.0}) is opened
        assert not opened.closed
    assert first != second
    assert (engine.opened, opened.closed) == ([opened], 1)


def test_every_mixture_has_a_sampler_of_its_own_and_one_is_open_at_a_time(engine: Watched, folders: list[Path]) -> None:
    one, other = folders
    mixtures = [{one: 1.0}, {other: 1.0}, {one: 0.75, other: 0.25}, {one: 0.25, other: 0.75}]
    with samplers(engine) as task:
        made = [rows(task, mixture) for mixture in mixtures]
        assert [rows(task, mixture) for mixture in reversed(mixtures)] == made[::-1]
    texts = {tuple(row["text"] for row in each) for each in made}
    assert (len(texts), len(engine.opened)) == (4, 7)
    assert [opened.closed for opened in engine.opened] == [1] * 7


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
        made = list(task.sampled({folders[0]: 1.0}, WORK, role="opponent", temperature=0.5, seed=(7, "x")))
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
            "logprob": [],
        }
        for (prompt, index), ids, (_, one) in zip(WORK, tokens, drawn, strict=True)
    ]


def test_a_part_of_the_work_has_the_rows_of_the_whole(engine: Watched, folders: list[Path]) -> None:
    with samplers(engine) as task:
        assert rows(task, {folders[0]: 1.0}, WORK[5:8]) == rows(task, {folders[0]: 1.0})[5:8]


# --- thoughts, stops, given answers ----------------------------------------------------------------------------------

WORDS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with one token a word, which ends few of its answers."""
    return models.llama(tmp_path_factory.mktemp("talker"), WORDS, spread=0.1)


def said(folder: Path, **changes: Any) -> list[Any]:
    """What the policy answers to 3 × 16 prompts under other settings."""
    settings = SETTINGS.model_copy(update={"dtype": "float64", "max_new_tokens": 6, **changes})
    with Samplers(settings) as task:
        return rows(task, {folder: 1.0}, [(prompt, index) for prompt in PROMPTS for index in range(16)])


def test_thoughts_are_trained_on_and_kept_from_judges_and_lengths(talker: Path) -> None:
    whole, answers = said(talker), said(talker, thinking=Thinking(close="c"))
    lengths = list(map(answer_length(talker, Thinking(close="c")), answers))
    thought = 0
    for row, answer, length in zip(whole, answers, lengths, strict=True):
        assert answer["response_ids"] == row["response_ids"]
        words = row["text"].split()
        if "c" in words:
            thought += 1
            after = words[words.index("c") + 1 :]
            assert (answer["text"].split(), answer["finish"]) == (after, row["finish"])
            assert length == len(after) + (row["finish"] == "stop")
        else:
            assert (answer["text"], answer["finish"], length) == ("", "length", 0)
    assert 0 < thought < len(answers)
    assert list(map(answer_length(talker, None), whole)) == [len(row["response_ids"]) for row in whole]


def test_further_stops_are_texts_and_tokens_by_name_or_id(talker: Path) -> None:
    for stop, ends in ((("<|user|>",), {"<|user|>"}), ((7, "c"), {"a", "c"})):
        tokenizer = load_tokenizer(talker)
        stopped = [row for row in said(talker, stop=stop) if row["finish"] == "stop"]
        assert {str(tokenizer.convert_ids_to_tokens(row["response_ids"][-1])) for row in stopped} == ends | {"<|end|>"}
    with pytest.raises(UserError, match=r"rollout.stop: the tokenizer in .* has no token 99"):
        said(talker, stop=(99,))


def test_given_answers_end_as_the_template_ends_them_and_may_have_thoughts(tmp_path: Path) -> None:
    folder = families.qwen(tmp_path)
    prompt: Prompt = {**PROMPTS[0], "given": ["<think>so</think>\n\nyes", "no"]}
    template = TemplateSettings(template_arguments={"enable_thinking": False})
    thought, plain = given_rows(folder, [prompt], 3, Thinking(close="</think>"), template)
    dialogues = Dialogues(load_tokenizer(folder), template)
    for row, text in zip((thought, plain), prompt["given"], strict=True):
        assert row["prompt_ids"] == dialogues.prompt(prompt["messages"])
        assert row["response_ids"] == dialogues.answer(prompt["messages"], text)
    assert [(row["sample"], row["text"], row["finish"]) for row in (thought, plain)] == [
        (3, "yes", "stop"),
        (4, "no", "stop"),
    ]
