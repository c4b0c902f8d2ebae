"""vLLM samples each row from its own seed, whatever runs beside it, and the same distribution as transformers."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.enumeration import enumerate_policy
from nashflow.components.games.sandbox.reference import make_reference
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import prompt_messages, response_text
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from nashflow.components.sampling.engines import SamplingEngine, Transformers, Vllm
from nashflow.components.sampling.sampler import Sampled, Sampler
from nashflow.components.sampling.stop import Stop
from tests.fixtures import models
from tests.fixtures.engines import NEEDS_VLLM
from tests.fixtures.models import BOS, EOS
from tests.fixtures.runs import logprobs
from tests.fixtures.statistics import BY_CHANCE, chance

pytestmark = NEEDS_VLLM

WORDS = ("a", "b", "c", "d", "e")
FIRST = len(models.SPECIALS)
PROMPTS = [[BOS, FIRST + index % 5] * (1 + index % 3) for index in range(40)]
SEEDS = [2**64 - 1 - 7 * index for index in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.llama(tmp_path_factory.mktemp("policy"), WORDS)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    make_reference(made := tmp_path_factory.mktemp("reference"), WorldSettings())
    return made


@pytest.fixture(scope="module")
def sampler(folder: Path) -> Iterator[Sampler]:
    opened = Vllm().open({folder: 1.0}, "float32", load_causal_lm)
    yield opened
    opened.close()


def sampled(sampler: Sampler, rows: slice = slice(None), batch_size: int = 16, **changed: Any) -> list[Sampled]:
    settings: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12, **changed}
    batches = sampler.sample(PROMPTS[rows], SEEDS[rows], batch_size=batch_size, **settings)
    return [response for _, response in sorted(chain.from_iterable(batches), key=itemgetter(0))]


def test_a_row_has_the_same_tokens_in_any_batch_and_any_company(sampler: Sampler) -> None:
    whole = sampled(sampler)
    assert len(whole) == len(PROMPTS)
    assert len({tuple(response.ids) for response in whole}) > 20
    assert sampled(sampler, slice(17, 40)) == whole[17:]
    assert sampled(sampler, batch_size=7) == whole


def test_a_row_comes_as_soon_as_it_is_finished(sampler: Sampler) -> None:
    batches = sampler.sample(PROMPTS, SEEDS, temperature=1.0, top_p=1.0, max_new_tokens=12, batch_size=7)
    rows = [row for batch in batches for row, _ in batch]
    assert sorted(rows) == list(range(40))
    assert rows != sorted(rows)


def test_one_that_is_left_half_way_goes_on_with_others(sampler: Sampler) -> None:
    batches = sampler.sample(PROMPTS, SEEDS, temperature=1.0, top_p=1.0, max_new_tokens=12, batch_size=7)
    first = dict([*next(batches), *next(batches)])
    del batches
    whole = sampled(sampler, batch_size=7)
    assert first == {row: whole[row] for row in first}


@pytest.mark.parametrize("changed", [{}, {"temperature": 0.5, "top_p": 0.8}, {"stop": Stop((EOS,), ("b",))}])
def test_log_probabilities_are_those_of_the_policy_itself(
    changed: dict[str, Any], sampler: Sampler, folder: Path
) -> None:
    said = sampled(sampler, **changed)
    pairs = [(prompt, response.ids) for prompt, response in zip(PROMPTS, said, strict=True)]
    assert [response.logprob for response in said] == pytest.approx(logprobs(folder, pairs).tolist(), abs=1e-3)


def test_a_bfloat16_policy_has_no_log_probabilities(folder: Path) -> None:
    opened = Vllm().open({folder: 1.0}, "bfloat16", load_causal_lm)
    assert {response.logprob for response in sampled(opened)} == {None}
    opened.close()


def test_responses_end_at_the_stop_set(sampler: Sampler) -> None:
    for response in sampled(sampler, batch_size=7):
        assert (EOS in response.ids) == (response.finish == "stop")
        assert EOS not in response.ids[:-1]
    one = sampled(sampler, batch_size=7, stop=Stop((FIRST + 1,)))
    assert {response.ids[-1] for response in one if response.finish == "stop"} == {FIRST + 1}
    assert any(EOS in response.ids for response in one)
    texts = sampled(sampler, batch_size=7, stop=Stop((EOS,), ("b",)))
    ended = [response for response in texts if FIRST + 1 in response.ids]
    assert ended
    assert all(response.ids.index(FIRST + 1) == len(response.ids) - 1 for response in ended)
    assert all("b" not in response.text and response.finish == "stop" for response in ended)


def test_at_temperature_0_it_says_what_transformers_says(sampler: Sampler, folder: Path) -> None:
    other = Transformers().open({folder: 1.0}, "float32", load_causal_lm)
    assert sampled(sampler, batch_size=7, temperature=0.0) == sampled(other, batch_size=7, temperature=0.0)


def test_top_p_keeps_the_likeliest_tokens(sampler: Sampler) -> None:
    likeliest = sampled(sampler, batch_size=7, temperature=0.0)
    assert sampled(sampler, batch_size=7, top_p=1e-6) == likeliest


@pytest.mark.parametrize("engine", [Vllm(), Transformers()])
def test_both_engines_sample_the_sandboxs_25_responses_as_the_policy_has_them(
    engine: SamplingEngine, reference: Path
) -> None:
    model, tokenizer = load_causal_lm(reference, "float64"), load_tokenizer(reference)
    expected, dialogues = enumerate_policy(model, tokenizer), Dialogues(tokenizer)
    count, prompt = 4000, dialogues.prompt(prompt_messages(3))
    opened = engine.open({reference: 1.0}, "float32", load_causal_lm)
    drawn = opened.sample([prompt] * count, range(count), temperature=1.0, top_p=1.0, max_new_tokens=3, batch_size=500)
    said = Counter(response.text for batch in drawn for _, response in batch)
    opened.close()
    mass = float(expected.mass_outside[3])
    probabilities = [*np.exp(expected.log_policy[3]) * (1 - mass), mass]
    counts = [said.pop(response_text(index), 0) for index in range(25)]
    assert chance([*counts, sum(said.values())], probabilities) > BY_CHANCE


def test_prompts_without_room_are_refused_before_anything_is_sampled(sampler: Sampler) -> None:
    line = r"^the longest prompt has 600 tokens; with max_new_tokens = 4 it exceeds the model's 512 positions: drop"
    with pytest.raises(UserError, match=line):
        sampler.sample([[BOS] * 600], [1], temperature=1.0, top_p=1.0, max_new_tokens=4, batch_size=1)


def test_a_model_that_answers_nan_is_refused_with_the_prompt(folder: Path, tmp_path: Path) -> None:
    bad = Vllm().open({models.damage(folder, FIRST, tmp_path / "bad"): 1.0}, "float32", load_causal_lm)
    line = rf"^the policy in {tmp_path}/bad answers with numbers that are infinite or NaN, in float32, to 'b a': "
    with pytest.raises(UserError, match=line):
        list(
            bad.sample([[BOS], [FIRST + 1, FIRST]], [1, 2], temperature=1.0, top_p=1.0, max_new_tokens=2, batch_size=2)
        )
    bad.close()


def test_heads_that_vllm_has_no_attention_for_are_refused(tmp_path: Path) -> None:
    small = Vllm().open({models.llama(tmp_path / "small", WORDS, hidden=32): 1.0}, "float32", load_causal_lm)
    line = r"its attention heads have 16 dimensions, and vllm has 32, .*: set rollout\.engine to transformers$"
    with pytest.raises(UserError, match=line):
        small.sample([[BOS]], [1], temperature=1.0, top_p=1.0, max_new_tokens=2, batch_size=1)


def test_more_accelerators_than_there_are_are_refused() -> None:
    line = r"^rollout\.engine\.tensor_parallel is 64, and there are \d+ accelerators here: set it to \d+, or ask for"
    with pytest.raises(UserError, match=line):
        Vllm(tensor_parallel=64).require_here()
