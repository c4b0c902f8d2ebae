"""The layouts: values and gradients of the plain computation, for every family of models, and what they refuse."""

import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from nashflow.components.core.errors import UserError
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.models.folders import load_causal_lm, save_policy
from nashflow.components.models.stand_in import stand_in
from nashflow.components.scoring.batches import bucket
from nashflow.components.scoring.groups import Group, Pair, grouped
from nashflow.components.scoring.layouts import attention
from nashflow.components.scoring.layouts.base import Layout
from nashflow.components.scoring.layouts.packed import Packed
from nashflow.components.scoring.layouts.padded import Padded
from nashflow.components.scoring.layouts.shared_prefix import SharedPrefix
from nashflow.components.scoring.scorer import TransformersScorer
from nashflow.components.training.data import PairData
from nashflow.components.training.loop import Trainer
from nashflow.components.training.settings import TrainingSettings
from tests.fixtures import models

WORDS = ("a", "b", "c", "d")
VOCABULARY = len(models.SPECIALS) + len(WORDS)
LAYOUTS: tuple[Layout, ...] = (Padded(), Packed(), SharedPrefix())
ROWS = LAYOUTS[1:]
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": models.PAD,
}
CAPPED = {"head_dim": 8, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama, tied": ("Llama", {"tie_word_embeddings": True}),
    "qwen2": ("Qwen2", {}),
    "qwen2, a window in some layers": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "mistral": ("Mistral", {"sliding_window": 6}),
    "gemma2": ("Gemma2", {**CAPPED, "sliding_window": 6}),
    "gemma3": ("Gemma3", {"head_dim": 8, "sliding_window": 6, "sliding_window_pattern": 2}),
    "phi3": ("Phi3", {"sliding_window": 6}),
    "granite": ("Granite", {"logits_scaling": 4.0}),
    "cohere": ("Cohere", {"logit_scale": 0.3}),
}


def made(folder: Path, family: str) -> Path:
    """The folder of a tiny random model."""
    name, more = FAMILIES[family]
    config = getattr(transformers, f"{name}TextConfig" if name == "Gemma3" else f"{name}Config")
    models.save_tokenizer(folder, WORDS)
    return models.save_model(getattr(transformers, f"{name}ForCausalLM"), config(**SIZES, **more), folder, 0, "float32")


def some_groups(*shapes: tuple[int, Sequence[int]], seed: int = 0) -> list[Group]:
    """Random groups by the lengths of their prompts and responses."""
    rng = np.random.default_rng(seed)

    def tokens(count: int) -> list[int]:
        return rng.integers(VOCABULARY, size=count).tolist()

    return [Group(tokens(prompt), [tokens(response) for response in responses]) for prompt, responses in shapes]


GROUPS = some_groups((9, (12, 5)), (1, (1, 3)), (20, (15, 15)), (9, (2, 9)), (4, (7,)))


def plain(model: Any, groups: Sequence[Group]) -> torch.Tensor:
    """The definition: a full forward of each sequence alone, and log-softmax of its logits."""
    values = []
    for prompt, response in (pair for group in groups for pair in group.pairs):
        logits = model(torch.tensor([[*prompt, *response]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
        values.append(logits.log_softmax(-1)[torch.arange(len(response)), response].sum())
    return torch.stack(values)


def loss_and_gradient(model: Any, values: torch.Tensor) -> tuple[float, torch.Tensor]:
    """A loss with every value in it, and its gradient in all weights."""
    model.zero_grad()
    loss = (values * torch.linspace(0.5, 1.5, len(values)).to(values)).square().mean()
    loss.backward()
    return float(loss.detach()), torch.cat([weights.grad.flatten() for weights in model.parameters()])


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradient_are_those_of_the_plain_computation(family: str, tmp_path: Path) -> None:
    """In float32, for sequences beyond the window. A lost cap or window moves the loss by more than 1e-3."""
    model = load_causal_lm(made(tmp_path, family))
    expected, gradient = loss_and_gradient(model, plain(model, GROUPS))
    for layout in LAYOUTS:
        found, mine = loss_and_gradient(model, layout.logprobs(model, GROUPS))
        assert found == pytest.approx(expected, rel=1e-5)
        assert float((mine - gradient).norm() / gradient.norm()) < 1e-5
    # Calls without segments, such as generation's, are what they were.
    torch.testing.assert_close(plain(model, GROUPS), plain(load_causal_lm(tmp_path), GROUPS), rtol=0, atol=0)
    # Preparation, which does not open it, takes it, too.
    small = stand_in(tmp_path)
    assert small is not None
    for layout in LAYOUTS:
        layout.check(small)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("policy"), "mistral")


@pytest.mark.parametrize("layout", ROWS)
def test_segments_longer_than_a_block_of_queries(layout: Layout, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_causal_lm(folder, "float64")
    layout.check(model)
    whole = layout.logprobs(model, GROUPS)
    monkeypatch.setattr(attention, "_BLOCK", 4)
    torch.testing.assert_close(layout.logprobs(model, GROUPS), whole, rtol=1e-10, atol=0)


@pytest.mark.parametrize("layout", ROWS)
def test_gradient_checkpointing_changes_nothing(layout: Layout, folder: Path) -> None:
    model = load_causal_lm(folder)
    layout.check(model)
    expected = loss_and_gradient(model, layout.logprobs(model, GROUPS))
    model.gradient_checkpointing_enable()
    model.train()
    found = loss_and_gradient(model, layout.logprobs(model, GROUPS))
    assert found[0] == expected[0]
    torch.testing.assert_close(found[1], expected[1], rtol=1e-6, atol=1e-9)


def test_a_prompt_is_computed_once_for_its_responses_and_nothing_is_padded(folder: Path) -> None:
    model, widths = load_causal_lm(folder), []
    model.base_model.layers[0].mlp.register_forward_hook(lambda _, inputs, __: widths.append(inputs[0].shape[:2]))
    (group,) = some_groups((20, (5, 9)))
    for layout in LAYOUTS:
        layout.check(model)
        widths.clear()
        layout.logprobs(model, [group])
        (shape,) = widths
        # A response's last token is predicted, and not read.
        assert shape.numel() == layout.tokens(group) - len(group.responses)
    assert [layout.tokens(group) for layout in LAYOUTS] == [58, 54, 34]


def test_groups_of_one_prompt_share_it_in_a_pass(folder: Path) -> None:
    """Wherever they stand, with the values of each alone."""
    model, widths = load_causal_lm(folder), []
    SharedPrefix().check(model)
    model.base_model.layers[0].mlp.register_forward_hook(lambda _, inputs, __: widths.append(inputs[0].shape[1]))
    one, other = some_groups((20, (5, 9, 1, 7)), (20, (3, 4)))
    groups = [Group(one.prompt, one.responses[:2]), other, Group(list(one.prompt), one.responses[2:])]
    found = SharedPrefix().logprobs(model, groups)
    assert widths == [20 + 4 + 8 + 0 + 6 + 20 + 2 + 3]
    torch.testing.assert_close(found, plain(model, groups), rtol=1e-5, atol=1e-5)


OTHERS: dict[str, Callable[[], Any]] = {
    "mamba": lambda: transformers.MambaForCausalLM(
        transformers.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, initializer_range=0.3)
    ),
    "lfm2": lambda: transformers.Lfm2ForCausalLM(
        transformers.Lfm2Config(**SIZES, layer_types=["conv", "full_attention"])
    ),
    "bloom": lambda: transformers.BloomForCausalLM(
        transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=2, initializer_range=0.3)
    ),
}


@pytest.mark.parametrize("family", OTHERS)
def test_models_of_other_layers_are_refused_and_the_advice_works(family: str) -> None:
    """Whether they were checked or not: nothing is computed as if there were no segments."""
    model = OTHERS[family]().eval()
    for layout in ROWS:
        with pytest.raises(UserError, match=r"to padded$"):
            layout.logprobs(OTHERS[family]().eval(), GROUPS)
        with pytest.raises(UserError, match=rf"\({family}\) .* set training\.layout and logprobs\.layout to padded$"):
            layout.check(model)
    Padded().check(model)
    torch.testing.assert_close(Padded().logprobs(model, GROUPS), plain(model, GROUPS), rtol=1e-5, atol=0)


REFUSED: dict[str, Callable[[], Any]] = {
    "bart": lambda: transformers.BartForCausalLM(
        transformers.BartConfig(vocab_size=VOCABULARY, d_model=32, decoder_layers=2, decoder_attention_heads=4)
    ),
    "xlnet": lambda: transformers.XLNetLMHeadModel(
        transformers.XLNetConfig(vocab_size=VOCABULARY, d_model=32, n_layer=2, n_head=4, d_inner=32)
    ),
}


@pytest.mark.parametrize("family", REFUSED)
def test_a_model_whose_values_depend_on_padding_or_on_tokens_to_come_is_refused(family: str) -> None:
    """BART's decoder counts positions from the start of a row, whatever is padding there; XLNet reads a response before
    it predicts it."""
    model = REFUSED[family]().eval()
    for layout in LAYOUTS:
        with pytest.raises(UserError, match=rf"\({family}\) has other .* set policy\.model to a causal language model"):
            layout.check(model)


def test_attention_with_terms_of_the_models_own_is_refused(folder: Path) -> None:
    """Such as the sinks of gpt-oss: what is not computed is not left out in silence."""
    model = load_causal_lm(folder)
    layer = model.base_model.layers[0].self_attn
    before = layer.forward
    layer.forward = lambda *arguments, **named: before(*arguments, s_aux=torch.zeros(4), **named)
    with pytest.raises(UserError, match=r"set training\.layout and logprobs\.layout to padded$"):
        Packed().check(model)


def test_a_head_that_is_not_known_is_refused(folder: Path) -> None:
    model = load_causal_lm(folder)
    before = model.forward
    model.forward = lambda **named: transformers.modeling_outputs.CausalLMOutput(logits=2 * before(**named).logits)
    for layout in LAYOUTS:
        with pytest.raises(UserError, match="makes its logits in a way that is not known here"):
            layout.check(model)


def test_a_head_of_another_width_than_the_last_layers_is_refused() -> None:
    model = transformers.ElectraForCausalLM(
        transformers.ElectraConfig(**SIZES, embedding_size=16, is_decoder=True)
    ).eval()
    with pytest.raises(UserError, match="makes its logits in a way that is not known here"):
        Padded().check(model)


def test_a_policy_is_saved_as_it_was_loaded(folder: Path, tmp_path: Path) -> None:
    for layout in (Padded(), SharedPrefix()):
        model = load_causal_lm(folder)
        layout.check(model)
        save_policy(model, folder, tmp_path / layout.kind, "float32")
    one, other = ((tmp_path / kind / "config.json").read_bytes() for kind in ("padded", "shared_prefix"))
    assert one == other


# --- what is built on them -------------------------------------------------------------------------------------------


def pairs_of(groups: Sequence[Group]) -> list[Pair]:
    return [pair for group in groups for pair in group.pairs]


@pytest.mark.parametrize("max_tokens", [1, 40, 60, 1000])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_micro_batches_to_score_are_within_the_budget_and_change_no_value(
    layout: Layout, max_tokens: int, folder: Path
) -> None:
    pairs = pairs_of([*GROUPS, *GROUPS[::-1]])
    batches = bucket(pairs, max_tokens, layout)
    assert sorted(index for batch in batches for index in batch) == list(range(len(pairs)))
    for batch in batches:
        longest = max(len(prompt) + len(response) for prompt, response in (pairs[index] for index in batch))
        tokens = sum(layout.tokens(group) for group in grouped([pairs[index] for index in batch]))
        assert len(batch) == 1 or (len(batch) * longest if layout.padded else tokens) <= max_tokens
    model = load_causal_lm(folder, "float64")
    expected = plain(model, [Group(prompt, [response]) for prompt, response in pairs]).tolist()
    assert TransformersScorer(model, layout).score(pairs, max_tokens) == pytest.approx(expected, rel=1e-6)


def test_responses_to_one_prompt_are_scored_together() -> None:
    prompts = some_groups((20, (5, 6)), (30, (7, 8)), (20, (2, 2)))
    pairs = [pair for sides in zip(*(group.pairs for group in prompts), strict=True) for pair in sides]
    batches = bucket(pairs, 45, SharedPrefix())
    assert [[pairs[index][0] for index in batch] for batch in batches] == [[prompts[at].prompt] * 2 for at in (2, 0, 1)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("method", "first"),
    [(INPO(eta=0.5, tau=0.1), 1.0), (IterativeDPO(beta=0.5, reference="moving"), math.log(2))],
    ids=["squared", "logistic"],
)
def test_the_first_loss_where_training_starts_at_its_anchor(
    layout: Layout, method: Any, first: float, folder: Path
) -> None:
    """c² or ln 2, whatever the layout that the values were cached in."""
    (phase,) = method.phases(1)
    groups = [group for group in GROUPS if len(group.responses) == 2]
    for other in LAYOUTS:
        cached = TransformersScorer(load_causal_lm(folder), other).score(pairs_of(groups), 100)
        anchors = dict.fromkeys(phase.weights, np.array(cached).reshape(-1, 2))
        data = PairData(groups, np.array([[1.0, -1.0]] * len(groups)), anchors)
        model = load_causal_lm(folder)
        layout.check(model)
        settings = TrainingSettings(batch_size=4, layout=layout, warmup_ratio=0.0)
        trainer = Trainer(model, phase, data, settings, (0, 1, "main"))
        assert trainer.update([0, 1, 2, 3])["loss"] == pytest.approx(first, abs=1e-4)


def test_no_mask_of_all_tokens_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = torch.nn.functional.scaled_dot_product_attention

    def watched(*arguments: Any, **named: Any) -> Any:
        mask = inspect.signature(lambda q, k, v, mask=None, *_, **__: 0).bind(*arguments, **named).arguments.get("mask")
        seen.append(0 if mask is None else mask.numel())
        return real(*arguments, **named)

    model = load_causal_lm(folder)
    Packed().check(model)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    monkeypatch.setattr(attention, "_BLOCK", 8)
    Packed().logprobs(model, some_groups((60, (40, 40))))
    assert seen
    # Eight queries, each with the five tokens before it that its window of six holds.
    assert max(seen) <= 8 * (8 + 5)
