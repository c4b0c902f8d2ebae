"""The Bradley-Terry oracle against transformers' own pipeline and plain forward passes."""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers

from nashflow.components.core.errors import UserError
from nashflow.components.models.folders import Dtype
from nashflow.components.oracles.base import ABSTENTION, Oracle, Query
from nashflow.components.oracles.reward_model.settings import RewardModel
from nashflow.components.storage.records import Message
from tests.fixtures import models

PROMPTS: list[list[Message]] = [
    [{"role": "user", "content": "Name a colour."}],
    [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello. What is it?"},
        {"role": "user", "content": "A riddle, please, and not too short a one."},
    ],
]
ANSWERS = ["", "Red.", "Blue, of course; or green on some days.", "I do not know any, sorry! Ask me for a number."]
QUERIES = [
    Query(messages, ANSWERS[first], ANSWERS[second])
    for messages in PROMPTS
    for first in range(len(ANSWERS))
    for second in range(first)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.classifier(tmp_path_factory.mktemp("reward"))


def opened(folder: Path, dtype: Dtype, batch_size: int) -> Oracle:
    return RewardModel(model=str(folder), dtype=dtype, batch_size=batch_size).load()


def pipeline_rewards(folder: Path, dialogues: Sequence[Sequence[Message]], **options: Any) -> list[float]:
    """Raw logits by the text pipeline, one text at a time, as the published code does it."""
    from transformers import AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    classify = pipeline("text-classification", model=str(folder), tokenizer=tokenizer, device="cpu")
    # These test tokenizers add no BOS of their own: the template's stays.
    texts = [str(tokenizer.apply_chat_template(list(dialogue), tokenize=False)) for dialogue in dialogues]
    found = [classify(text, function_to_apply="none", batch_size=1, truncation=True)[0]["score"] for text in texts]
    return [float(score) for score in found]


def answered(messages: Sequence[Message], text: str) -> list[Message]:
    return [*messages, {"role": "assistant", "content": text}]


def sigmoid(difference: float) -> float:
    return 1 / (1 + math.exp(-difference))


def test_probabilities_are_those_of_the_pipelines_rewards(folder: Path) -> None:
    dialogues = [answered(query.messages, text) for query in QUERIES for text in (query.first, query.second)]
    rewards = pipeline_rewards(folder, dialogues)
    assert len({round(reward, 3) for reward in rewards}) == 8, "the test can tell answers apart"
    verdicts = opened(folder, "float32", 4).compare(QUERIES)
    for verdict, first, second in zip(verdicts, rewards[::2], rewards[1::2], strict=True):
        assert verdict.probability == pytest.approx(sigmoid(first - second), abs=1e-5)
        assert verdict.forward == verdict.backward == verdict.probability
        assert not verdict.abstained
        assert not verdict.truncated


def test_neither_batch_size_nor_company_changes_a_verdict(folder: Path) -> None:
    alone = [opened(folder, "float64", 1).compare([query])[0].probability for query in QUERIES[:3]]
    for batch_size in (1, 3, 64):
        found = opened(folder, "float64", batch_size).compare(QUERIES)
        assert [verdict.probability for verdict in found[:3]] == pytest.approx(alone, abs=1e-12)


def test_each_answer_is_scored_once(folder: Path) -> None:
    import torch
    from torch.nn.modules.module import register_module_forward_hook

    oracle = opened(folder, "float32", 3)
    rows: list[int] = []
    handle = register_module_forward_hook(
        lambda module, _, output: rows.append(len(output)) if isinstance(module, torch.nn.Embedding) else None
    )
    try:
        oracle.compare([*QUERIES, *(query.swapped() for query in QUERIES)])
    finally:
        handle.remove()
    assert rows == [3, 3, 2], "two prompts with four answers each"


def test_a_second_bos_at_the_beginning_is_not_read(tmp_path: Path) -> None:
    verdicts = []
    for name, bos in (("none", ""), ("one", "{{ bos_token }}"), ("two", "{{ bos_token }}{{ bos_token }}")):
        folder = models.classifier(tmp_path / name)
        (folder / "chat_template.jinja").write_text(bos + models.CHAT_TEMPLATE.removeprefix("{{ bos_token }}"))
        verdicts.append(opened(folder, "float64", 8).compare(QUERIES))
    assert verdicts[0] != verdicts[1] == verdicts[2]


def test_answers_that_differ_in_the_name_of_a_special_token_alone_are_told_apart(folder: Path) -> None:
    texts = ["Price: <|bos|>10 8", "Price: 10 8", "Price: 10<|end|> 8"]
    queries = [Query(PROMPTS[0], texts[0], other) for other in texts[1:]]
    for verdict in opened(folder, "float64", 8).compare(queries):
        assert abs(verdict.probability - 0.5) > 1e-6


@pytest.mark.parametrize("side", ["right", "left"])
def test_what_is_too_long_is_cut_as_the_pipeline_cuts_it_and_reported(tmp_path: Path, side: str) -> None:
    folder = models.classifier(tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    options = {"model_max_length": 60, "truncation_side": side}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | options))
    long, longer = "word " * 30, "other words " * 40
    messages = PROMPTS[0]
    cut, whole, half_cut = opened(folder, "float32", 4).compare(
        [Query(messages, long, longer), Query(messages, "Red.", "Blue."), Query(messages, "Red.", long)]
    )
    if side == "right":
        first, second = pipeline_rewards(folder, [answered(messages, long), answered(messages, longer)])
    else:  # the pipeline would cut off the BOS that stands in its text
        first, second = tail_rewards(folder, [answered(messages, long), answered(messages, longer)], 60)
    assert cut.probability == pytest.approx(sigmoid(first - second), abs=1e-5)
    assert abs(cut.probability - 0.5) > 1e-3
    assert (cut.truncated, whole.truncated, half_cut.truncated) == (True, False, True)


def tail_rewards(folder: Path, dialogues: Sequence[Sequence[Message]], longest: int) -> list[float]:
    """Raw logits of a BOS and each dialogue's last tokens."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rewards = []
    for dialogue in dialogues:
        ids = tokenizer.apply_chat_template(list(dialogue), return_dict=False)
        assert ids[0] == models.BOS
        with torch.no_grad():
            rewards.append(model(torch.tensor([[models.BOS, *ids[-(longest - 1) :]]])).logits.item())
    return rewards


def test_a_model_without_a_padding_token_is_asked_one_by_one(folder: Path, tmp_path: Path) -> None:
    unpadded = models.classifier(tmp_path)
    config = json.loads((unpadded / "config.json").read_text())
    (unpadded / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    found = opened(unpadded, "float64", 8).compare(QUERIES)
    expected = opened(folder, "float64", 8).compare(QUERIES)
    assert [verdict.probability for verdict in found] == pytest.approx([v.probability for v in expected], abs=1e-12)


def test_rewards_far_apart_are_a_certainty_not_an_overflow(tmp_path: Path) -> None:
    folder = models.classifier(tmp_path, spread=0.3)
    scale_head(folder, 1e5)
    probabilities = {verdict.probability for verdict in opened(folder, "float64", 8).compare(QUERIES)}
    assert probabilities == {0.0, 1.0}


def scale_head(folder: Path, factor: float) -> None:
    """Multiply the weights that make a reward of the last hidden state."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"score.weight": weights["score.weight"] * factor}, folder / "model.safetensors")


def short(folder: Path, to: Path, **options: Any) -> Path:
    """A copy of a model folder with other settings of its tokenizer, such as the context's length."""
    shutil.copytree(folder, to)
    config = json.loads((to / "tokenizer_config.json").read_text())
    (to / "tokenizer_config.json").write_text(json.dumps(config | options))
    return to


@pytest.mark.parametrize("longest", [20, 34, 44])
def test_where_both_answers_are_cut_to_one_there_is_no_verdict(folder: Path, tmp_path: Path, longest: int) -> None:
    """The prompt takes 17 tokens and the answer begins with the 18th: its first 20 are the same."""
    messages: list[Message] = [{"role": "user", "content": "Name a colour."}]
    same = "The one that I like is "
    queries = [Query(messages, f"{same}red.", f"{same}blue."), Query(messages, "Red.", "Blue.")]
    first, second = opened(short(folder, tmp_path / "short", model_max_length=longest), "float32", 4).compare(queries)
    assert first == (ABSTENTION if longest < 44 else first)
    assert first.abstained == (longest < 44)
    assert not second.abstained
    assert (second.truncated, abs(second.probability - 0.5) > 1e-3) == (longest == 20, True)


def test_a_context_that_ends_within_the_prompt_gives_no_verdict(folder: Path, tmp_path: Path) -> None:
    oracle = opened(short(folder, tmp_path / "short", model_max_length=12), "float32", 4)
    assert oracle.compare(QUERIES) == [ABSTENTION] * len(QUERIES)


def test_a_context_that_is_cut_on_the_left_still_sees_the_answers(folder: Path, tmp_path: Path) -> None:
    oracle = opened(short(folder, tmp_path / "short", model_max_length=12, truncation_side="left"), "float32", 4)
    for verdict in oracle.compare([Query(PROMPTS[1], "Red.", "Blue.")]):
        assert verdict.truncated
        assert not verdict.abstained


def test_answers_that_the_template_makes_one_have_no_verdict(folder: Path, tmp_path: Path) -> None:
    trims = Path(shutil.copytree(folder, tmp_path / "trims"))
    template = (trims / "chat_template.jinja").read_text()
    (trims / "chat_template.jinja").write_text(template.replace("m['content']", "m['content'] | trim"))
    blank, other = opened(trims, "float32", 4).compare(
        [Query(PROMPTS[0], "Red.", "Red. "), Query(PROMPTS[0], "Red. ", "Blue.")]
    )
    assert blank == ABSTENTION
    assert not other.abstained


def test_a_reward_that_is_no_finite_number_is_refused(folder: Path, tmp_path: Path) -> None:
    letter = 7 + sorted(pre_tokenizers.ByteLevel.alphabet()).index("q")
    damaged = models.damage(folder, letter, tmp_path / "damaged")
    oracle = opened(damaged, "float32", 4)
    assert not oracle.compare([Query(PROMPTS[0], "Red.", "Blue.")])[0].abstained
    with pytest.raises(UserError) as caught:
        oracle.compare([Query(PROMPTS[0], "Red.", "Quite so."), Query(PROMPTS[0], "Red.", "Opaque.")])
    assert str(caught.value) == (
        f"the oracle in {damaged} answers with numbers that are infinite or NaN, in float32, to 'Name a colour.Opaque.'"
        ": set oracle.dtype to float32, or oracle.model to another folder"
    )
