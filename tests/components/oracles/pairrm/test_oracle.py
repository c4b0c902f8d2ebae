"""PairRM against the published forward pass, one text at a time, on a tiny folder in its layout."""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.base import ABSTENTION, Query
from nashflow.components.oracles.oracle_settings import TooLong
from nashflow.components.oracles.pairrm.settings import PairRM
from nashflow.components.storage.records import Message

SPECIALS = ["[PAD]", "[CLS]", "[SEP]", "<|source|>", "<|candidate1|>", "<|candidate2|>"]
QUESTION: list[Message] = [{"role": "user", "content": "Name a colour."}]
TURNS: list[Message] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "A riddle, please."},
]
ANSWERS = ["Red.", "Blue, of course; or green.", ""]
QUERIES = [
    Query(messages, ANSWERS[first], ANSWERS[second])
    for messages in (QUESTION, TURNS)
    for first in range(len(ANSWERS))
    for second in range(first)
]


def save_tokenizer(folder: Path) -> int:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: index for index, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=SPECIALS[0], cls_token=SPECIALS[1], sep_token=SPECIALS[2]
    )
    wrapped.save_pretrained(folder)
    return len(names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from safetensors.torch import save_file
    from transformers import DebertaV2Config, DebertaV2Model

    made = tmp_path_factory.mktemp("pairrm")
    config = DebertaV2Config(
        vocab_size=save_tokenizer(made),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        type_vocab_size=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = {f"pretrained_model.{name}": value for name, value in DebertaV2Model(config).state_dict().items()}
        shapes = {"1.weight": (32, 64), "1.bias": (32,), "4.weight": (2, 32), "4.bias": (2,)}
        head = {f"head_layer.{name}": torch.randn(shape) / 4 for name, shape in shapes.items()}
    save_file({**body, **head}, made / "model.safetensors", {"format": "pt"})
    marks = dict(zip(("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id"), (3, 4, 5), strict=True))
    told = {**config.to_dict(), **marks, "architectures": ["DebertaV2PairRM"], "n_tasks": 2}
    (made / "config.json").write_text(json.dumps(told))
    return made


def logit(folder: Path, source: str, first: str, second: str) -> float:
    """What the published class answers to three texts, in float64."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, DebertaV2Config, DebertaV2Model

    tensors = {name: value.double() for name, value in load_file(folder / "model.safetensors").items()}
    model = DebertaV2Model(DebertaV2Config.from_pretrained(folder)).double().eval()
    body = {name.removeprefix("pretrained_model."): value for name, value in tensors.items() if "pretrained" in name}
    model.load_state_dict(body)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = []
    for mark, text in zip(SPECIALS[3:], (source, first, second), strict=True):
        ids += [1, *tokenizer.encode(mark + text, add_special_tokens=False), 2]
    with torch.no_grad():
        states = model(torch.tensor([ids])).last_hidden_state[0]

    def scores(mark: int) -> torch.Tensor:
        both = torch.cat([states[ids.index(3)], states[ids.index(mark)]])
        inner = (tensors["head_layer.1.weight"] @ both + tensors["head_layer.1.bias"]).tanh()
        return tensors["head_layer.4.weight"] @ inner + tensors["head_layer.4.bias"]

    return float((scores(4) - scores(5)).mean())


def shown(messages: Sequence[Message], answer: str) -> tuple[str, str]:
    """The texts of a dialogue and an answer."""
    if len(messages) == 1:
        return messages[0]["content"], answer
    task = "Finish the following coversation in each i-th turn by filling in <Response i> with your response."
    return (
        f"{task}USER: Hi\nAssistant: <Response 1>\nUSER: A riddle, please.\nAssistant: <Response 2>",
        f"<Response 1>: Hello.\n<Response 2>: {answer}",
    )


def test_probabilities_are_those_of_the_published_class_in_both_orders(folder: Path) -> None:
    verdicts = PairRM(model=str(folder), dtype="float64", batch_size=4).load().compare(QUERIES)
    for query, verdict in zip(QUERIES, verdicts, strict=True):
        (source, first), (_, second) = shown(query.messages, query.first), shown(query.messages, query.second)
        forward, swapped = logit(folder, source, first, second), logit(folder, source, second, first)
        expected = 1 / (1 + math.exp(-forward)), 1 - 1 / (1 + math.exp(-swapped))
        assert (verdict.forward, verdict.backward) == pytest.approx(expected, abs=1e-10)
        assert (verdict.probability > 0.5) == (forward - swapped > 0)
    assert max(abs(verdict.probability - 0.5) for verdict in verdicts) > 0.01


def test_a_mark_in_an_answer_is_text(folder: Path) -> None:
    oracle = PairRM(model=str(folder), dtype="float64").load()
    (verdict,) = oracle.compare([Query(QUESTION, "Red.<|candidate1|>", "Red.[SEP]")])
    assert not verdict.abstained
    assert verdict.probability != 0.5


def test_answers_share_what_the_dialogue_leaves(folder: Path) -> None:
    """A dialogue is cut to 1224 tokens, and each answer of the other 824 to 412, of which three are no text."""
    oracle = PairRM(model=str(folder)).load()
    long: list[Message] = [{"role": "user", "content": "w" * 2000}]
    fits, cut, same = oracle.compare(
        [Query(QUESTION, "a" * 409, "b"), Query(long, "a" * 410, "b"), Query(long, "a" * 410, "a" * 411)]
    )
    assert (fits.truncated, fits.abstained) == (False, False)
    assert (cut.truncated, cut.abstained) == (True, False)
    assert same == ABSTENTION


def test_preparation_hears_of_prompts_that_it_cannot_read(folder: Path) -> None:
    read = PairRM(model=str(folder)).reader()
    assert read(QUESTION) == 2048 - (3 + len("Name a colour.")) - 2 * 3
    with pytest.raises(TooLong, match="reads 1224 tokens"):
        read([{"role": "user", "content": "w" * 1222}])
    with pytest.raises(UserError, match="the roles system, user: remove the others"):
        read([{"role": "system", "content": "Be brief."}, *QUESTION])


def damaged(folder: Path, to: Path, config: dict[str, Any], without: str = "") -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, to)
    tensors = load_file(to / "model.safetensors")
    save_file({name: value for name, value in tensors.items() if name != without}, to / "model.safetensors")
    (to / "config.json").write_text(json.dumps({**json.loads((to / "config.json").read_text()), **config}))
    return to


@pytest.mark.parametrize(
    ("config", "without", "complaint"),
    [
        ({}, "head_layer.4.bias", r"is no PairRM: its weights lack head_layer\.4\.bias"),
        (
            {},
            "pretrained_model.encoder.rel_embeddings.weight",
            "is not a transformer: its weights lack enc",
        ),
        (
            {"n_tasks": 1},
            "",
            r"head_layer\.4\.(weight|bias) is \[2.* and of a PairRM .* it is \[1",
        ),
        ({"cand2_prefix_id": 7}, "", r"the tokens \[3, 4, 7\] in config.json, and \[3, 4, 5\] in its tokenizer"),
    ],
)
def test_a_folder_that_is_none_is_refused(
    config: dict[str, Any], without: str, complaint: str, folder: Path, tmp_path: Path
) -> None:
    PairRM(model=str(folder)).check()
    with pytest.raises(UserError, match=complaint):
        PairRM(model=str(damaged(folder, tmp_path / "damaged", config, without))).check()


def test_vllm_is_refused_with_the_reason(folder: Path) -> None:
    line = r"^x: pairrm has no engine, and runs on transformers: vllm has no attention with .*: remove oracle\.engine$"
    with pytest.raises(UserError, match=line):
        PairRM.parse({"model": str(folder), "engine": "vllm"}, "x")
