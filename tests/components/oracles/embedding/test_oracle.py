"""The general preference model against its formula, computed by itself: text by text, with the matrix R written out."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.base import ABSTENTION, EVEN, Query, sigmoid
from nashflow.components.oracles.embedding.head import Head, score
from nashflow.components.oracles.embedding.settings import Embedding
from nashflow.components.storage.records import Message
from tests.fixtures import models
from tests.fixtures.forwards import batches_read

PROMPTS: list[list[Message]] = [
    [{"role": "user", "content": "Name a colour."}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A riddle, please, and not too short a one. " * 8},
    ],
]
ANSWERS = ["Red.", "Blue, of course.", "Green on some days; else none.", ""]
QUERIES = [
    Query(messages, ANSWERS[first], ANSWERS[second])
    for messages in PROMPTS
    for first in range(len(ANSWERS))
    for second in range(first)
]


def general_preference_model(folder: Path, k: int = 3, *, gated: bool = True) -> Path:
    heads = {"value_head.weight": (2 * k, 64)} | ({"prompt_head.weight": (k, 64)} if gated else {})
    return models.with_head(models.llama(folder), **heads)


@pytest.fixture(scope="module", params=[True, False], ids=["gated", "plain"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return general_preference_model(tmp_path_factory.mktemp("gpm"), gated=request.param)


def hidden(folder: Path, ids: Sequence[int]) -> Any:
    """The hidden states of all tokens, in float64."""
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64)
    with torch.no_grad():
        return model.model(torch.tensor([list(ids)])).last_hidden_state[0].numpy()


def preference(folder: Path, messages: Sequence[Message], first: str, second: str) -> float:
    """P(first ≻ second): v_iᵀ R v_j with v at the EOS in the last token's place, R's blocks scaled by the prompt."""
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer

    tensors = load_file(folder / "model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    embeddings = []
    for text in (first, second):
        dialogue = [*messages, {"role": "assistant", "content": text}]
        ids = tokenizer.encode(tokenizer.apply_chat_template(dialogue, tokenize=False), add_special_tokens=False)
        values = tensors["value_head.weight"].astype(np.float64) @ hidden(folder, [*ids[:-1], models.EOS])[-1]
        embeddings.append(values / math.sqrt(sum(value**2 for value in values)))
    asked = len(
        tokenizer.encode(tokenizer.apply_chat_template(list(messages), tokenize=False), add_special_tokens=False)
    )
    scales = np.ones(len(embeddings[0]) // 2)
    if "prompt_head.weight" in tensors:
        weights = np.exp(tensors["prompt_head.weight"].astype(np.float64) @ hidden(folder, ids)[asked - 1])
        scales = weights / weights.sum()
    matrix = np.zeros((len(embeddings[0]),) * 2)
    for block, scale in enumerate(scales):
        matrix[2 * block, 2 * block + 1], matrix[2 * block + 1, 2 * block] = scale, -scale
    return float(1 / (1 + math.exp(-(embeddings[0] @ matrix @ embeddings[1]) / 0.1)))


def test_probabilities_are_those_of_the_formula(folder: Path) -> None:
    verdicts = Embedding(model=str(folder), dtype="float64").load().compare(QUERIES)
    for query, verdict in zip(QUERIES, verdicts, strict=True):
        expected = preference(folder, query.messages, query.first, query.second)
        assert verdict.probability == pytest.approx(expected, abs=1e-10)
        assert verdict.forward == verdict.backward == verdict.probability
    assert max(abs(verdict.probability - 0.5) for verdict in verdicts) > 0.2


def test_preferences_may_be_cyclic(folder: Path) -> None:
    """Three vectors at 120 degrees of one another in one plane: each beats the next."""
    from nashflow.components.oracles.embedding.head import score

    turns = [np.array([math.cos(angle), math.sin(angle)]) for angle in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
    found = [score(turns[index], turns[(index + 1) % 3], np.ones(1)) for index in range(3)]
    assert found == pytest.approx([math.sqrt(3) / 2] * 3)
    assert score(turns[1], turns[0], np.ones(1)) == pytest.approx(-found[0])


def test_every_answer_is_read_once_however_often_it_is_compared(folder: Path) -> None:
    """The answers and the ends of two prompts, one of which is long enough for its beginning to be shared."""
    oracle = Embedding(model=str(folder), batch_size=2).load()
    with batches_read() as read:
        first = oracle.compare(QUERIES)
        assert sum(rows for rows, _ in read) == 2 * (len(ANSWERS) + 1) + 1
        again = oracle.compare([query.swapped() for query in QUERIES])
        assert sum(rows for rows, _ in read) == 2 * (len(ANSWERS) + 1) + 1
    assert [verdict.probability for verdict in again] == [1 - verdict.probability for verdict in first]


def test_of_prompts_that_are_asked_about_no_more_nothing_is_kept(folder: Path) -> None:
    oracle = Embedding(model=str(folder)).load()
    oracle.compare(QUERIES[:6])
    oracle.compare(QUERIES[6:])
    with batches_read() as read:
        oracle.compare(QUERIES[:1])
    assert sum(rows for rows, _ in read) == 3


def test_beta_scales_the_score(folder: Path) -> None:
    def log_odds(beta: float) -> float:
        (verdict,) = Embedding(model=str(folder), dtype="float64", beta=beta).load().compare(QUERIES[:1])
        return math.log(verdict.probability / (1 - verdict.probability))

    assert log_odds(0.1) == pytest.approx(5 * log_odds(0.5))
    digests = {Embedding(model=str(folder), beta=beta).digest() for beta in (0.1, 0.5)}
    assert len(digests) == 2


def test_what_is_too_long_is_cut_on_the_right_and_reported(folder: Path) -> None:
    oracle = Embedding(model=str(folder)).load()
    long, longer = "word " * 120, "word " * 120 + "more"
    same, cut = oracle.compare([Query(PROMPTS[0], long, longer), Query(PROMPTS[0], "Red.", long)])
    assert same == ABSTENTION
    assert (cut.truncated, cut.abstained) == (True, False)
    assert oracle.compare([Query(PROMPTS[0], "Red.", "Red.")]) == [EVEN]


@pytest.mark.parametrize(
    ("heads", "complaint"),
    [
        ({}, "its weights lack value_head.weight"),
        ({"value_head.weight": (5, 64)}, "value_head.weight has 5 rows, and an embedding has an even number"),
        ({"value_head.weight": (4, 32)}, r"value_head.weight is \[4, 32\] in its weights"),
        (
            {"value_head.weight": (6, 64), "prompt_head.weight": (2, 64)},
            r"prompt_head.weight is \[2, 64\] .* \[3, 64\]",
        ),
    ],
)
def test_a_folder_without_its_heads_is_refused(heads: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        Embedding(model=str(models.with_head(models.llama(tmp_path), **heads))).check()


def test_a_folder_with_custom_code_is_opened_without_it(folder: Path, tmp_path: Path) -> None:
    Embedding(model=str(folder)).check()
    assert Embedding(model=str(folder)).parameters() is not None
    mute = general_preference_model(tmp_path)
    config = json.loads((mute / "tokenizer_config.json").read_text())
    (mute / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": None}))
    with pytest.raises(UserError, match="has no EOS"):
        Embedding(model=str(mute)).check()


@pytest.mark.parametrize("weight", [0.0, math.nan])
def test_a_head_that_was_never_trained_gives_no_verdict(weight: float) -> None:
    head = Head(np.full((4, 3), weight), None)
    first, second = head.embeddings(np.ones((2, 3)))
    with pytest.raises(UserError, match=r"oracle\.model: its preference is no number"):
        sigmoid(score(first, second, np.ones(2)))
