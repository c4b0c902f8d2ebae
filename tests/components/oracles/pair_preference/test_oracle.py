"""The pair preference oracle against the published procedure: one text at a time, no padding, softmax by hand."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import Dtype, load_tokenizer
from nashflow.components.oracles.base import ABSTENTION, EVEN, Oracle, Query
from nashflow.components.oracles.pair_preference.oracle import (
    answer_tokens,
    context_text,
    encode,
    render,
)
from nashflow.components.oracles.pair_preference.settings import PairPreference
from nashflow.components.storage.records import Message
from tests.fixtures import families, models

# The template that the published model was trained and is used with.
PLAIN_TEMPLATE = (
    "\n{% for message in messages %}{% if loop.index0 % 2 == 0 %}\n\n<turn> user\n {{ message['content'] }}{% else %}"
    "\n\n<turn> assistant\n {{ message['content'] }}{% endif %}{% endfor %}\n\n\n"
)
DIALOGUES: list[list[Message]] = [
    [{"role": "user", "content": "Name a colour."}],
    [{"role": "user", "content": "  Space around,\nand lines\n"}],
    [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "A riddle, please."},
    ],
]
ANSWERS = ["", "Red.", "Blue, of course; or green\non some days."]
QUERIES = [
    Query(messages, ANSWERS[first], ANSWERS[second])
    for messages in DIALOGUES
    for first in range(len(ANSWERS))
    for second in range(first)
]
Maker = Callable[[Path], Path]


@pytest.fixture(scope="module", params=[models.llama, models.gpt2], ids=["llama", "gpt2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    maker: Maker = request.param
    return maker(tmp_path_factory.mktemp("judge"))


def opened(folder: Path, dtype: Dtype, batch_size: int) -> Oracle:
    return PairPreference(model=str(folder), dtype=dtype, batch_size=batch_size).load()


def published(folder: Path, messages: Sequence[Message], first: str, second: str) -> list[float]:
    """P(first ≻ second) in this order and in the swapped one, as the published code computes them, in float64."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    tokenizer, plain = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    plain.chat_template = PLAIN_TEMPLATE
    context = plain.apply_chat_template(list(messages), tokenize=False)
    probabilities = []
    for position, (a, b) in enumerate([(first, second), (second, first)]):
        content = f"[CONTEXT] {context} [RESPONSE A] {a} [RESPONSE B] {b} \n"
        text = str(tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False))
        ids = tokenizer.encode(text.replace(tokenizer.bos_token, ""), add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            logits = model(ids).logits[0, -1]
        by_letter = [math.exp(logits[tokenizer.encode(letter)[0]].item()) for letter in "AB"]
        probabilities.append(by_letter[position] / sum(by_letter))
    return probabilities


def test_verdicts_are_the_published_codes(folder: Path) -> None:
    verdicts = opened(folder, "float64", 4).compare(QUERIES)
    for query, verdict in zip(QUERIES, verdicts, strict=True):
        forward, backward = published(folder, query.messages, query.first, query.second)
        assert (verdict.forward, verdict.backward) == pytest.approx((forward, backward), abs=1e-10)
        assert verdict.probability == pytest.approx((forward + backward) / 2, abs=1e-10)
        assert not verdict.abstained
    assert max(abs(verdict.forward - verdict.backward) for verdict in verdicts) > 0.01, "there is a bias to average"
    assert max(abs(verdict.probability - 0.5) for verdict in verdicts) > 0.01


def test_neither_batch_size_nor_company_changes_a_verdict(folder: Path) -> None:
    alone = [opened(folder, "float64", 1).compare([query])[0].probability for query in QUERIES[-3:]]
    for batch_size in (1, 4, 64):
        found = opened(folder, "float64", batch_size).compare(QUERIES)
        assert [verdict.probability for verdict in found[-3:]] == pytest.approx(alone, abs=1e-12)


def test_the_other_order_has_exactly_the_other_probability(folder: Path) -> None:
    oracle = opened(folder, "float32", 4)
    verdicts = oracle.compare([*QUERIES, *(query.swapped() for query in QUERIES)])
    for one, other in zip(verdicts[: len(QUERIES)], verdicts[len(QUERIES) :], strict=True):
        assert one.probability == 1 - other.probability
    assert oracle.compare([Query(DIALOGUES[0], "Red.", "Red.")]) == [EVEN]


@pytest.mark.parametrize("messages", DIALOGUES)
def test_the_context_is_what_transformers_makes_of_the_published_template(
    messages: list[Message], tmp_path: Path
) -> None:
    models.save_tokenizer(tmp_path, chat_template=PLAIN_TEMPLATE)
    assert context_text(messages) == load_tokenizer(tmp_path).apply_chat_template(messages, tokenize=False)


def test_the_message_character_by_character() -> None:
    messages = [{"role": "user", "content": "Name a colour."}]
    expected = "[CONTEXT] \n\n<turn> user\n Name a colour.\n [RESPONSE A] Red. [RESPONSE B] Blue. \n"
    assert render(messages, "Red.", "Blue.") == expected


def test_braces_in_a_text_are_text() -> None:
    assert "{context} {0}" in render([{"role": "user", "content": "{context} {0}"}], "{", "}")


def test_the_model_reads_one_user_turn_without_bos(tmp_path: Path) -> None:
    models.save_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    ids = encode(Dialogues(tokenizer), DIALOGUES[0], "Red.", "Blue.")
    assert tokenizer.decode(ids) == f"<|user|>{render(DIALOGUES[0], 'Red.', 'Blue.')}<|end|>"
    assert models.BOS not in ids


def test_a_bos_that_opens_every_turn_opens_the_models_turn(tmp_path: Path) -> None:
    dialogues = Dialogues(load_tokenizer(families.smollm(tmp_path)))
    text = f"<|im_start|>user\n{render(DIALOGUES[0], 'Red.', 'Blue.')}<|im_end|>\n"
    assert dialogues.tokenizer.decode(encode(dialogues, DIALOGUES[0], "Red.", "Blue.")) == text


def test_the_oracle_abstains_where_a_pair_is_too_long(folder: Path) -> None:
    oracle = opened(folder, "float64", 4)
    long = Query(DIALOGUES[0], "word " * 60, "other " * 60)
    verdicts = oracle.compare([QUERIES[0], long, QUERIES[1]])
    assert verdicts[1] == ABSTENTION
    assert [verdict.probability for verdict in (verdicts[0], verdicts[2])] == pytest.approx(
        [verdict.probability for verdict in oracle.compare(QUERIES[:2])], abs=1e-12
    )
    assert oracle.compare([long]) == [ABSTENTION]


def test_the_oracle_abstains_where_it_reads_both_answers_as_one(tmp_path: Path) -> None:
    """The tokenizer knows neither word."""
    oracle = opened(models.llama(tmp_path, ("A", "B", "red")), "float64", 4)
    unknown, known = oracle.compare([Query(DIALOGUES[0], "green", "blue"), Query(DIALOGUES[0], "green", "red")])
    assert unknown == ABSTENTION
    assert not known.abstained


def test_a_pair_that_just_fits_is_judged(tmp_path: Path) -> None:
    folder = models.llama(tmp_path)
    oracle, tokenizer = opened(folder, "float32", 4), load_tokenizer(folder)
    room = 512 - len(encode(Dialogues(tokenizer), DIALOGUES[0], "a", ""))
    fits, does_not = oracle.compare([Query(DIALOGUES[0], "a", "b" * length) for length in (room, room + 1)])
    assert (fits.abstained, does_not.abstained) == (False, True)


def test_answers_are_the_two_letters(tmp_path: Path) -> None:
    models.save_tokenizer(tmp_path, words=("B", "x", "A"))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.convert_ids_to_tokens(list(answer_tokens(tokenizer))) == ["A", "B"]


@pytest.mark.parametrize(("words", "letter"), [(("A", "x"), "B"), (("x", "B"), "A")])
def test_a_letter_that_is_no_token_is_refused(tmp_path: Path, words: tuple[str, ...], letter: str) -> None:
    models.save_tokenizer(tmp_path, words=words)
    with pytest.raises(UserError, match=f'"{letter}" is not a single token of the tokenizer in {tmp_path}'):
        answer_tokens(load_tokenizer(tmp_path))


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = models.llama(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"model.norm.weight": weights["model.norm.weight"] / 0}, folder / "model.safetensors")
    with pytest.raises(
        UserError, match=f"the oracle in {folder} answers with numbers that are infinite or NaN, in float32, to "
    ):
        opened(folder, "float32", 4).compare(QUERIES)
